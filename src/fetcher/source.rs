//! Where an item comes from, and how its bytes arrive.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

use super::watch;

/// Bytes copied at once.
const CHUNK: usize = 64 << 10;

/// Certificates of the system, where distributions keep them.
const CERTIFICATE_FILES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Why an item does not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// The scheme is none of ours.
    #[error("the scheme '{0}' is not supported: use http, https or file")]
    Scheme(String),
    /// A relative path without a place to begin.
    #[error("a relative path needs --frameworks_home")]
    Relative,
    /// No file name can be made of the URI.
    #[error("it has no path to name the file after; give output_file")]
    NoName,
    /// The file cannot be opened.
    #[error("cannot open the file: {0}")]
    Open(io::Error),
    /// The path is a directory, a device or the like.
    #[error("it is not a regular file")]
    NotAFile,
    /// The server cannot be asked.
    #[error("the request failed: {0}")]
    Request(Box<ureq::Error>),
    /// The server refuses.
    #[error("the server answered {0}")]
    Status(http::StatusCode),
    /// The bytes stop coming.
    #[error("the transfer broke off: {0}")]
    Read(io::Error),
    /// The bytes cannot be stored.
    #[error("cannot write: {0}")]
    Write(io::Error),
    /// There are too many of them.
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
}

/// A place that items come from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    File(PathBuf),
    Http(String),
}

impl Source {
    pub(super) fn parse(uri: &str, frameworks_home: Option<&Path>) -> Result<Self, SourceError> {
        let uri = uri.trim();
        if let Some((scheme, rest)) = uri.split_once("://") {
            return match scheme.to_ascii_lowercase().as_str() {
                "http" | "https" => Ok(Self::Http(uri.to_owned())),
                "file" => {
                    let path = rest.strip_prefix("localhost").unwrap_or(rest);
                    Ok(Self::File(PathBuf::from(path)))
                }
                _ => Err(SourceError::Scheme(scheme.to_owned())),
            };
        }
        let path = Path::new(uri);
        if path.is_absolute() {
            return Ok(Self::File(path.to_owned()));
        }
        match frameworks_home {
            Some(home) => Ok(Self::File(home.join(path))),
            None => Err(SourceError::Relative),
        }
    }

    /// The name that the item gets in the sandbox: the last one of its path, without a query.
    pub(super) fn name(&self) -> Result<String, SourceError> {
        let name = match self {
            Self::File(path) => path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned()),
            Self::Http(uri) => {
                let end = uri.find(['?', '#']).unwrap_or(uri.len());
                let after_scheme = uri[..end].split_once("://").map_or("", |(_, rest)| rest);
                after_scheme
                    .split_once('/')
                    .and_then(|(_, path)| path.rsplit('/').next())
                    .map(str::to_owned)
            }
        };
        name.filter(|name| !matches!(name.as_str(), "" | "." | ".."))
            .ok_or(SourceError::NoName)
    }

    /// Opens the source; with the mode of a file of the host.
    pub(super) fn open(&self) -> Result<(Box<dyn Read>, Option<u32>), SourceError> {
        match self {
            Self::File(path) => {
                use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
                // A fifo without a writer must not hang us.
                let file = File::options()
                    .read(true)
                    .custom_flags(libc::O_NONBLOCK)
                    .open(path)
                    .map_err(SourceError::Open)?;
                let about = file.metadata().map_err(SourceError::Open)?;
                if !about.is_file() {
                    return Err(SourceError::NotAFile);
                }
                Ok((Box::new(file), Some(about.permissions().mode())))
            }
            Self::Http(uri) => {
                let answer = agent()
                    .get(uri)
                    .call()
                    .map_err(|error| SourceError::Request(Box::new(error)))?;
                if !answer.status().is_success() {
                    return Err(SourceError::Status(answer.status()));
                }
                Ok((Box::new(answer.into_body().into_reader()), None))
            }
        }
    }
}

fn agent() -> ureq::Agent {
    let mut tls = TlsConfig::builder();
    if let Some(certificates) = system_certificates() {
        tls = tls.root_certs(RootCerts::Specific(Arc::new(certificates)));
    }
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("mesosd/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build())
        .build()
        .into()
}

/// `SSL_CERT_FILE` or the system's own list; `None` leaves the list that is built in.
fn system_certificates() -> Option<Vec<Certificate<'static>>> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let text = named
        .into_iter()
        .chain(CERTIFICATE_FILES.map(PathBuf::from))
        .find_map(|path| std::fs::read(path).ok())?;
    let found: Vec<_> = ureq::tls::parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    (!found.is_empty()).then_some(found)
}

/// Copies everything, at most `limit` bytes; gives the number of bytes.
pub(super) fn copy(
    from: &mut dyn Read,
    to: &mut dyn Write,
    limit: u64,
) -> Result<u64, SourceError> {
    let mut chunk = vec![0; CHUNK];
    let mut total: u64 = 0;
    loop {
        let count = match from.read(&mut chunk) {
            Ok(0) => return Ok(total),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(SourceError::Read(error)),
        };
        watch::progress(count as u64);
        total += count as u64;
        if total > limit {
            return Err(SourceError::TooLarge(limit));
        }
        to.write_all(&chunk[..count]).map_err(SourceError::Write)?;
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn uris_name_a_source_and_a_file() {
        for (uri, name) in [
            ("http://h/a/b.tgz", Some("b.tgz")),
            ("https://h:1/b.tgz?token=1/2#x", Some("b.tgz")),
            ("http://h/a/", None),
            ("http://h", None),
            ("file:///etc/hosts", Some("hosts")),
            ("file://localhost/etc/hosts", Some("hosts")),
            ("/etc/hosts", Some("hosts")),
            ("/", None),
            ("app/run.sh", Some("run.sh")),
        ] {
            let source = Source::parse(uri, Some(Path::new("/home"))).unwrap();
            assert_eq!(source.name().ok().as_deref(), name, "{uri}");
        }
        assert_eq!(
            Source::parse("app/run.sh", Some(Path::new("/home"))).unwrap(),
            Source::File("/home/app/run.sh".into())
        );
        assert!(matches!(
            Source::parse("app/run.sh", None),
            Err(SourceError::Relative)
        ));
        assert!(matches!(
            Source::parse("hdfs://h/x", None),
            Err(SourceError::Scheme(_))
        ));
    }
}
