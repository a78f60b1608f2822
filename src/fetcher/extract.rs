//! Unpacks archives into a sandbox. Entries outside of it, devices and more than the limits are errors;
//! links are made but never followed; owners and set-user-id bits are dropped.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::FetchLimits;
use super::sandbox::{Sandbox, SandboxError};
use super::source::{self, SourceError};

/// Longest target of a symbolic link (`PATH_MAX`).
const LINK_BYTES_MAX: u64 = 4096;

/// Why an archive cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExtractError {
    /// The archive itself is damaged or is none.
    #[error("the archive is damaged: {0}")]
    Damaged(io::Error),
    /// The zip directory is damaged or uses what we do not know.
    #[error("the archive is damaged: {0}")]
    Zip(zip::result::ZipError),
    /// An entry that is neither file, directory nor link.
    #[error("its entry '{0}' is neither a file, a directory nor a link")]
    Kind(String),
    /// Too many entries.
    #[error("it has more than {0} entries")]
    TooMany(u64),
    /// It unpacks to too much.
    #[error("it unpacks to more than {0} bytes")]
    TooLarge(u64),
    /// An entry cannot be stored.
    #[error("its entry cannot be unpacked: {0}")]
    Sandbox(#[from] SandboxError),
    /// An entry's bytes cannot be copied.
    #[error("its entry '{name}' cannot be unpacked: {cause}")]
    Copy {
        /// The entry.
        name: String,
        /// Why.
        cause: SourceError,
    },
}

/// How an archive is packed, judged by its name as Mesos does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Tar,
    TarGz,
    TarBz2,
    TarXz,
    Gz,
    Zip,
}

impl Packing {
    pub(super) fn of(name: &str) -> Option<Self> {
        const SUFFIXES: [(&str, Packing); 9] = [
            (".tar", Packing::Tar),
            (".tgz", Packing::TarGz),
            (".tar.gz", Packing::TarGz),
            (".tbz2", Packing::TarBz2),
            (".tar.bz2", Packing::TarBz2),
            (".txz", Packing::TarXz),
            (".tar.xz", Packing::TarXz),
            (".gz", Packing::Gz),
            (".zip", Packing::Zip),
        ];
        SUFFIXES
            .iter()
            .find(|(suffix, _)| name.ends_with(suffix))
            .map(|(_, packing)| *packing)
    }
}

/// What may still be unpacked.
#[derive(Debug)]
struct Budget {
    limits: FetchLimits,
    bytes: u64,
    entries: u64,
}

impl Budget {
    fn entry(&mut self) -> Result<(), ExtractError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ExtractError::TooMany(self.limits.entries));
        }
        Ok(())
    }

    fn copy(
        &mut self,
        name: &Path,
        from: &mut dyn Read,
        to: &mut File,
    ) -> Result<(), ExtractError> {
        let left = self.limits.bytes - self.bytes;
        match source::copy(from, to, left) {
            Ok(count) => {
                self.bytes += count;
                Ok(())
            }
            Err(SourceError::TooLarge(_)) => Err(ExtractError::TooLarge(self.limits.bytes)),
            Err(cause) => Err(ExtractError::Copy {
                name: name.display().to_string(),
                cause,
            }),
        }
    }
}

/// Unpacks `archive`, a file of the sandbox, to the top of the sandbox; a lone `.gz` beside itself.
pub(super) fn extract(
    sandbox: &Sandbox,
    archive: &Path,
    packing: Packing,
    limits: FetchLimits,
) -> Result<(), ExtractError> {
    let mut budget = Budget {
        limits,
        bytes: 0,
        entries: 0,
    };
    let file = sandbox.open_file(archive)?;
    let input = BufReader::new(file);
    match packing {
        Packing::Tar => untar(sandbox, input, &mut budget),
        Packing::TarGz => untar(sandbox, gunzip(input), &mut budget),
        Packing::TarBz2 => untar(
            sandbox,
            bzip2::read::MultiBzDecoder::new(input),
            &mut budget,
        ),
        Packing::TarXz => untar(
            sandbox,
            liblzma::read::XzDecoder::new_multi_decoder(input),
            &mut budget,
        ),
        Packing::Gz => {
            let name = archive.with_extension("");
            let mut to = sandbox.create_file(&name, 0o644)?;
            budget.copy(&name, &mut gunzip(input), &mut to)
        }
        Packing::Zip => unzip(sandbox, input.into_inner(), &mut budget),
    }
}

fn gunzip(input: BufReader<File>) -> flate2::bufread::MultiGzDecoder<BufReader<File>> {
    flate2::bufread::MultiGzDecoder::new(input)
}

fn untar(sandbox: &Sandbox, input: impl Read, budget: &mut Budget) -> Result<(), ExtractError> {
    let mut archive = tar::Archive::new(input);
    for entry in archive.entries().map_err(ExtractError::Damaged)? {
        let mut entry = entry.map_err(ExtractError::Damaged)?;
        budget.entry()?;
        let path = entry.path().map_err(ExtractError::Damaged)?.into_owned();
        let target = entry
            .link_name()
            .map_err(ExtractError::Damaged)?
            .map(std::borrow::Cow::into_owned);
        let kind = entry.header().entry_type();
        if kind.is_file() || kind.is_gnu_sparse() || kind.is_contiguous() {
            let mode = entry.header().mode().unwrap_or(0o644);
            let mut to = sandbox.create_file(&path, mode)?;
            let modified = entry.header().mtime().unwrap_or(0);
            budget.copy(&path, &mut entry, &mut to)?;
            // Build tools look at it; a file without it is still a file.
            let _unset = to.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(modified));
        } else if kind.is_dir() {
            sandbox.create_directory(&path)?;
        } else if kind.is_symlink() {
            sandbox.symbolic_link(&path, &target.unwrap_or_default())?;
        } else if kind.is_hard_link() {
            sandbox.hard_link(&path, &target.unwrap_or_default())?;
        } else if !kind.is_pax_global_extensions() {
            return Err(ExtractError::Kind(path.display().to_string()));
        }
    }
    Ok(())
}

fn unzip(sandbox: &Sandbox, input: File, budget: &mut Budget) -> Result<(), ExtractError> {
    let mut archive = zip::ZipArchive::new(BufReader::new(input)).map_err(ExtractError::Zip)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(ExtractError::Zip)?;
        budget.entry()?;
        let path = PathBuf::from(entry.name().map_err(ExtractError::Zip)?.as_ref());
        if entry.is_dir() {
            sandbox.create_directory(&path)?;
        } else if entry.is_symlink() {
            let mut target = String::new();
            (&mut entry)
                .take(LINK_BYTES_MAX)
                .read_to_string(&mut target)
                .map_err(ExtractError::Damaged)?;
            sandbox.symbolic_link(&path, Path::new(&target))?;
        } else {
            let mode = entry.unix_mode().unwrap_or(0o644);
            let mut to = sandbox.create_file(&path, mode)?;
            budget.copy(&path, &mut entry, &mut to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_is_judged_by_the_name() {
        for (name, packing) in [
            ("a.tar", Some(Packing::Tar)),
            ("a.tgz", Some(Packing::TarGz)),
            ("a.tar.gz", Some(Packing::TarGz)),
            ("a.tbz2", Some(Packing::TarBz2)),
            ("a.tar.bz2", Some(Packing::TarBz2)),
            ("a.txz", Some(Packing::TarXz)),
            ("a.tar.xz", Some(Packing::TarXz)),
            ("a.gz", Some(Packing::Gz)),
            ("a.zip", Some(Packing::Zip)),
            ("a.7z", None),
            ("tar", None),
        ] {
            assert_eq!(Packing::of(name), packing, "{name}");
        }
    }
}
