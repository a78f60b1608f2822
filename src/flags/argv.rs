//! The command line of a daemon, split into names and values.

use std::ffi::OsString;

use clap::Command;

use super::definition::{find, is_boolean, nearest};
use super::error::{FlagError, Origin};

/// A name of the definition and the value that was written for it.
pub(super) type Setting = (String, String);

/// The command line without the program's name. `--help` and `--version` are none of its business.
pub(super) fn split(
    command: &Command,
    role: &'static str,
    words: &[OsString],
) -> Result<Vec<Setting>, FlagError> {
    let mut settings: Vec<Setting> = Vec::new();
    let mut words = words.iter().map(|word| text(word));
    while let Some(word) = words.next() {
        let word = word?;
        let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) else {
            return Err(FlagError::Stray {
                text: word.to_owned(),
            });
        };
        let (written, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        let (name, value) = match resolve(command, written, value) {
            Some((name, Some(value))) => (name, value),
            Some((name, None)) => match words.next() {
                Some(value) => (name, value?.to_owned()),
                None => return Err(FlagError::NoValue { name }),
            },
            None => return Err(unknown(command, role, written, Origin::CommandLine)),
        };
        let repeatable = name == "config_dir";
        if !repeatable && settings.iter().any(|(earlier, _)| *earlier == name) {
            return Err(FlagError::Twice {
                name,
                origin: Origin::CommandLine,
            });
        }
        settings.push((name, value));
    }
    Ok(settings)
}

/// The flag that `written` means, and its value as far as that is clear: `no-x` is `x=false`, and a
/// boolean alone is `true`.
pub(super) fn resolve(
    command: &Command,
    written: &str,
    value: Option<&str>,
) -> Option<(String, Option<String>)> {
    if let Some(arg) = find(command, written) {
        let name = arg.get_long()?.to_owned();
        let value = match value {
            None if is_boolean(arg) => Some("true".to_owned()),
            value => value.map(str::to_owned),
        };
        return Some((name, value));
    }
    let positive = written
        .strip_prefix("no-")
        .or_else(|| written.strip_prefix("no_"))?;
    let arg = find(command, positive).filter(|arg| is_boolean(arg) && value.is_none())?;
    Some((arg.get_long()?.to_owned(), Some("false".to_owned())))
}

/// The error for a name that the role does not have.
pub(super) fn unknown(
    command: &Command,
    role: &'static str,
    written: &str,
    origin: Origin,
) -> FlagError {
    FlagError::Unknown {
        name: written.to_owned(),
        origin,
        role,
        hint: nearest(command, written),
    }
}

fn text(word: &OsString) -> Result<&str, FlagError> {
    word.to_str().ok_or_else(|| FlagError::NotText {
        place: word.to_string_lossy().into_owned(),
    })
}
