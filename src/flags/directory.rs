//! `--config_dir`: one file per flag, as Mesos' packages lay their configuration out.
//!
//! File name = flag name, content = value. `?name` and `?no-name` are booleans whose content does not
//! matter. A directory `attributes` or `resources` holds one file per item. Hidden files are passed
//! over.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;

use super::argv::{Setting, resolve, unknown};
use super::definition::find_in_file;
use super::error::{FlagError, Origin};
use super::files::read_bounded;

/// Flags that may be a directory of `name` files, whose text form is `name:value;name:value`.
const LISTS: [&str; 2] = ["attributes", "resources"];

/// A directory to read, and whether other roles read it too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    /// Unknown names are ignored with a note instead of being refused.
    pub(super) shared: bool,
}

/// What a role's flags mean in a directory.
pub(super) struct Reader<'a> {
    pub(super) command: &'a Command,
    pub(super) role: &'static str,
    /// Names of a shared directory that stand for a flag with another name.
    pub(super) shared_names: &'static [(&'static str, &'static str)],
    /// One line for everything that was passed over.
    pub(super) notes: &'a mut Vec<String>,
}

impl Reader<'_> {
    /// The settings of one directory, with the file that each came from.
    pub(super) fn read(
        &mut self,
        directory: &Directory,
    ) -> Result<Vec<(Setting, PathBuf)>, FlagError> {
        let mut settings: Vec<(Setting, PathBuf)> = Vec::new();
        for (file, path) in entries(&directory.path)? {
            if file.starts_with('.') {
                continue;
            }
            let Some((setting, is_standin)) = self.setting(directory, &file, &path)? else {
                continue;
            };
            let earlier = settings
                .iter()
                .position(|((name, _), _)| *name == setting.0);
            match earlier {
                None => settings.push((setting, path)),
                // `master` and `zk` side by side: the flag's own name says more.
                Some(_) if is_standin => {}
                Some(_) => {
                    return Err(FlagError::Twice {
                        name: setting.0,
                        origin: Origin::ConfigDir(path),
                    });
                }
            }
        }
        Ok(settings)
    }

    /// The setting that a file stands for, and whether its name stands for another flag's.
    fn setting(
        &mut self,
        directory: &Directory,
        file: &str,
        path: &Path,
    ) -> Result<Option<(Setting, bool)>, FlagError> {
        if LISTS.contains(&file) && path.is_dir() {
            let value = read_list(path)?;
            return Ok((!value.is_empty()).then(|| ((file.to_owned(), value), false)));
        }
        if path.is_dir() {
            let path = path.display();
            self.notes.push(format!("{path}: ignored, a directory"));
            return Ok(None);
        }
        let standin = self
            .shared_names
            .iter()
            .find(|(shared, _)| directory.shared && *shared == file);
        let (written, content) = match (file.strip_prefix('?'), standin) {
            (Some(option), _) => (option, None),
            (None, Some((_, name))) => (*name, Some(read_bounded(path)?)),
            (None, None) => (file, self.content(directory, file, path)?),
        };
        let resolved = resolve(self.command, written, content.as_deref())
            .filter(|(name, _)| find_in_file(self.command, name).is_some());
        let Some((name, value)) = resolved else {
            if directory.shared {
                let (role, path) = (self.role, path.display());
                self.notes
                    .push(format!("{path}: ignored, {role} has no such flag"));
                return Ok(None);
            }
            let origin = Origin::ConfigDir(path.to_owned());
            return Err(unknown(self.command, self.role, file, origin));
        };
        let value = value.ok_or_else(|| FlagError::NoValue { name: name.clone() })?;
        if directory.shared && name == "zk" && !value.starts_with("zk://") {
            // The same file may hold a plain address for the agents.
            let path = path.display();
            self.notes
                .push(format!("{path}: ignored, it is no zk:// address"));
            return Ok(None);
        }
        Ok(Some(((name, value), standin.is_some())))
    }

    /// The content of a file that is a flag of the role; nothing is read for others.
    fn content(
        &self,
        directory: &Directory,
        file: &str,
        path: &Path,
    ) -> Result<Option<String>, FlagError> {
        let known = resolve(self.command, file, Some("")).is_some();
        if !known && directory.shared {
            return Ok(Some(String::new()));
        }
        if !known {
            let origin = Origin::ConfigDir(path.to_owned());
            return Err(unknown(self.command, self.role, file, origin));
        }
        read_bounded(path).map(Some)
    }
}

/// `name:value;name:value` of the files in a directory.
fn read_list(path: &Path) -> Result<String, FlagError> {
    let mut items = Vec::new();
    for (name, path) in entries(path)? {
        if name.starts_with('.') || path.is_dir() {
            continue;
        }
        let value = read_bounded(&path)?;
        if !value.is_empty() {
            items.push(format!("{name}:{value}"));
        }
    }
    Ok(items.join(";"))
}

/// Names and paths in a directory, sorted by name.
fn entries(path: &Path) -> Result<Vec<(String, PathBuf)>, FlagError> {
    let wrong = |source| FlagError::Read {
        path: path.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| FlagError::NotText {
                place: path.join(name).to_string_lossy().into_owned(),
            })?;
        found.push((name, entry.path()));
    }
    found.sort();
    Ok(found)
}
