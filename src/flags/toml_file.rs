//! `--config=FILE.toml`: one `name = value` per flag.

use std::path::Path;

use clap::Command;
use toml::{Table, Value};

use super::argv::{Setting, unknown};
use super::definition::find_in_file;
use super::error::{FlagError, Origin};
use super::files::read_bounded;

/// The settings of a TOML file; every key must be a flag of the role.
pub(super) fn read(
    command: &Command,
    role: &'static str,
    path: &Path,
) -> Result<Vec<Setting>, FlagError> {
    let text = read_bounded(path)?;
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| FlagError::Syntax {
            path: path.to_owned(),
            reason: reason(&text, &error),
        })?;
    let origin = || Origin::ConfigFile(path.to_owned());
    let mut settings: Vec<Setting> = Vec::new();
    for (key, value) in table {
        let name = find_in_file(command, &key)
            .and_then(|arg| arg.get_long())
            .ok_or_else(|| unknown(command, role, &key, origin()))?
            .to_owned();
        if settings.iter().any(|(earlier, _)| *earlier == name) {
            return Err(FlagError::Twice {
                name,
                origin: origin(),
            });
        }
        let value = as_text(value).map_err(|reason| FlagError::Bad {
            name: name.clone(),
            origin: origin(),
            reason,
        })?;
        settings.push((name, value));
    }
    Ok(settings)
}

/// `line 3: what was expected`, in one line.
fn reason(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |span| {
        let before = &text.as_bytes()[..span.start.min(text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    });
    format!("line {line}: {}", error.message().replace('\n', " "))
}

/// The text that a flag's parser reads: plain values as they are, lists of plain values joined by
/// commas, anything nested as JSON.
fn as_text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(truth) => Ok(truth.to_string()),
        Value::Datetime(time) => Err(format!("{time} is a date, which no flag takes")),
        Value::Array(items) if items.iter().all(is_plain) => items
            .into_iter()
            .map(as_text)
            .collect::<Result<Vec<_>, _>>()
            .map(|texts| texts.join(",")),
        nested @ (Value::Array(_) | Value::Table(_)) => serde_json::to_string(&nested)
            .map_err(|error| format!("not expressible as JSON: {error}")),
    }
}

fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Table(_))
}
