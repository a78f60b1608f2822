//! Brings the sources together: command line, environment, `--config`, `--config_dir`, defaults.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::{IntErrorKind, ParseIntError};
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command};

use super::argv::{self, Setting};
use super::definition::{RoleFlags, definition, find, is_boolean, reason_without_effect};
use super::directory::{Directory, Reader};
use super::error::{FlagError, Origin};
use super::files::read_bounded;
use super::toml_file;
use super::value::{HiddenValue, redacted};
use crate::election::UrlError;

/// Directory below `/etc` that all daemons of Mesos' packages read.
const SHARED_DIRECTORY: &str = "mesos";

/// Variables of Mesos' world that are no flags of a daemon.
const FOREIGN_VARIABLES: [&str; 3] = [
    "MESOS_NATIVE_JAVA_LIBRARY",
    "MESOS_NATIVE_LIBRARY",
    "MESOS_ROLE",
];

/// What surrounds the process.
#[derive(Clone, Debug)]
pub struct World {
    /// Environment variables.
    pub environment: Vec<(OsString, OsString)>,
    /// Where `mesos`, `mesos-master` and `mesos-slave` are looked for: `/etc`.
    pub etc: PathBuf,
}

impl World {
    /// The world of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self {
            environment: std::env::vars_os().collect(),
            etc: PathBuf::from("/etc"),
        }
    }
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Request<F> {
    /// To run with these flags.
    Run(Box<Loaded<F>>),
    /// To print this help.
    Help(String),
}

/// The configuration of one role.
#[derive(Clone, Debug)]
pub struct Loaded<F> {
    /// The flags.
    pub flags: F,
    /// What an operator should know, one line each, to be logged as warnings.
    pub notes: Vec<String>,
    /// Every flag that has a value, as text, sorted by name: `/flags` and `GET_FLAGS`. Passwords are
    /// hidden.
    pub shown: Vec<(String, String)>,
    /// Where each flag that was given stands.
    origins: BTreeMap<String, Origin>,
}

impl<F> Loaded<F> {
    /// The same error with the place of the flag, for whoever found it later and knows only the value.
    #[must_use]
    pub fn located(&self, error: FlagError) -> FlagError {
        match error {
            FlagError::Bad {
                name,
                origin: Origin::Default,
                reason,
            } => FlagError::Bad {
                origin: self.origins.get(&name).cloned().unwrap_or(Origin::Default),
                name,
                reason,
            },
            other => other,
        }
    }
}

/// The value of a `--role` on a daemon's command line.
pub fn role_of(words: &[OsString]) -> Result<Option<String>, FlagError> {
    let mut words = words.iter().map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        if word == "--role" {
            return match words.next() {
                Some(role) => Ok(Some(role.into_owned())),
                None => Err(FlagError::NoValue {
                    name: "role".to_owned(),
                }),
            };
        }
        if let Some(role) = word.strip_prefix("--role=") {
            return Ok(Some(role.to_owned()));
        }
    }
    Ok(None)
}

/// Reads the configuration of a role; `words` is the command line without the program's name.
pub fn load<F: RoleFlags>(words: &[OsString], world: &World) -> Result<Request<F>, FlagError> {
    let mut command = definition::<F>();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        return Ok(Request::Help(command.render_long_help().to_string()));
    }
    // Aliases and defaults are only complete after this.
    command.build();
    let mut notes = Vec::new();
    let settings = gather::<F>(&command, words, world, &mut notes)?;
    let matches = parse(&command, &settings)?;
    let flags =
        F::from_arg_matches(&matches).map_err(|error| refused(&command, &settings, &error))?;
    flags.check().map_err(|(name, reason)| FlagError::Bad {
        name: name.to_owned(),
        origin: origin_of(&settings, name),
        reason,
    })?;
    for (name, (_, origin)) in &settings {
        let arg = find(&command, name);
        if *origin != Origin::Default
            && let Some(reason) = arg.and_then(reason_without_effect)
        {
            notes.push(format!("--{name} has no effect in this version: {reason}"));
        }
    }
    let shown = dump(&command, &matches);
    Ok(Request::Run(Box::new(Loaded {
        flags,
        notes,
        shown,
        origins: settings
            .into_iter()
            .map(|(name, (_, origin))| (name, origin))
            .collect(),
    })))
}

/// The winning value of each flag, and where it stands.
type Settings = BTreeMap<String, (Vec<String>, Origin)>;

fn gather<F: RoleFlags>(
    command: &Command,
    words: &[OsString],
    world: &World,
    notes: &mut Vec<String>,
) -> Result<Settings, FlagError> {
    let mut settings = Settings::new();
    let mut directories = Vec::new();
    for (name, value) in argv::split(command, F::ROLE, words)? {
        if name == "config_dir" {
            directories.push(value);
        } else {
            win(&mut settings, (name, value), Origin::CommandLine);
        }
    }
    for setting in environment(command, world, notes)? {
        if setting.0 == "config_dir" {
            if directories.is_empty() {
                directories.push(setting.1);
            }
        } else {
            win(&mut settings, setting, Origin::Environment);
        }
    }
    if let Some((paths, _)) = settings.get("config") {
        for path in paths.clone() {
            let path = PathBuf::from(path);
            for setting in toml_file::read(command, F::ROLE, &path)? {
                win(&mut settings, setting, Origin::ConfigFile(path.clone()));
            }
        }
    }
    let mut reader = Reader {
        command,
        role: F::ROLE,
        shared_names: F::SHARED_NAMES,
        notes,
    };
    // Later directories win over earlier ones.
    for directory in directories_of::<F>(&directories, world).iter().rev() {
        for (setting, path) in reader.read(directory)? {
            win(&mut settings, setting, Origin::ConfigDir(path));
        }
    }
    if !directories.is_empty() {
        settings.insert("config_dir".to_owned(), (directories, Origin::CommandLine));
    }
    follow_files(&mut settings)?;
    Ok(settings)
}

/// The directories to read: those that were given, else those of the role that exist.
fn directories_of<F: RoleFlags>(given: &[String], world: &World) -> Vec<Directory> {
    if given.is_empty() {
        let own = F::OWN_DIRECTORY.map(|name| (name, false));
        return own
            .map(|_| (SHARED_DIRECTORY, true))
            .into_iter()
            .chain(own)
            .map(|(name, shared)| Directory {
                path: world.etc.join(name),
                shared,
            })
            .filter(|directory| directory.path.is_dir())
            .collect();
    }
    given
        .iter()
        .enumerate()
        .map(|(index, path)| {
            let path = PathBuf::from(path);
            let shared = index + 1 < given.len()
                || path
                    .file_name()
                    .is_some_and(|name| name == SHARED_DIRECTORY);
            Directory { path, shared }
        })
        .collect()
}

fn win(settings: &mut Settings, (name, value): Setting, origin: Origin) {
    settings
        .entry(name)
        .or_insert_with(|| (vec![value], origin));
}

/// The flags among the environment's `MESOS_` variables; one note names those that are none.
fn environment(
    command: &Command,
    world: &World,
    notes: &mut Vec<String>,
) -> Result<Vec<Setting>, FlagError> {
    let mut settings = Vec::new();
    let mut strangers = Vec::new();
    for (key, value) in &world.environment {
        let Some(key) = key.to_str().filter(|key| key.starts_with("MESOS_")) else {
            continue;
        };
        let name = key.trim_start_matches("MESOS_").to_lowercase();
        let arg = find(command, &name).filter(|arg| arg.get_long() != Some("role"));
        let Some(name) = arg.and_then(|arg| arg.get_long()) else {
            strangers.push(key);
            continue;
        };
        let value = value.to_str().ok_or_else(|| FlagError::NotText {
            place: key.to_owned(),
        })?;
        settings.push((name.to_owned(), value.to_owned()));
    }
    strangers.retain(|key| !FOREIGN_VARIABLES.contains(key));
    if !strangers.is_empty() {
        strangers.sort_unstable();
        let names = strangers.join(", ");
        notes.push(format!("environment: no flags of this role: {names}"));
    }
    Ok(settings)
}

/// Flags whose file is read again and again while the daemon runs.
const LOOKED_AT_LATER: [&str; 1] = ["whitelist"];

/// Replaces each `file:///path` by the content of the file.
fn follow_files(settings: &mut Settings) -> Result<(), FlagError> {
    for (name, (values, origin)) in settings {
        if LOOKED_AT_LATER.contains(&name.as_str()) {
            continue;
        }
        for value in values {
            let Some(path) = value.strip_prefix("file://") else {
                continue;
            };
            *value = read_bounded(path.as_ref()).map_err(|error| FlagError::Bad {
                name: name.clone(),
                origin: origin.clone(),
                reason: error.to_string(),
            })?;
        }
    }
    Ok(())
}

fn parse(command: &Command, settings: &Settings) -> Result<ArgMatches, FlagError> {
    let words = settings.iter().flat_map(|(name, (values, _))| {
        let boolean = find(command, name).is_some_and(is_boolean);
        values.iter().map(move |value| match value.as_str() {
            "1" if boolean => format!("--{name}=true"),
            "0" if boolean => format!("--{name}=false"),
            value => format!("--{name}={value}"),
        })
    });
    command
        .clone()
        .no_binary_name(true)
        .try_get_matches_from(words)
        .map_err(|error| refused(command, settings, &error))
}

fn origin_of(settings: &Settings, name: &str) -> Origin {
    settings
        .get(name)
        .map_or(Origin::Default, |(_, origin)| origin.clone())
}

/// What clap found, as one line that names the place where the value was written.
fn refused(command: &Command, settings: &Settings, error: &clap::Error) -> FlagError {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    let named = text(ContextKind::InvalidArg);
    let name = named
        .trim_start_matches("--")
        .split(['=', '[', ' ', ','])
        .next()
        .and_then(|name| find(command, name))
        .and_then(|arg| arg.get_long())
        .unwrap_or_default()
        .to_owned();
    if error.kind() == ErrorKind::MissingRequiredArgument {
        return FlagError::Missing { name };
    }
    let value = text(ContextKind::InvalidValue);
    let reason = match error.kind() {
        ErrorKind::InvalidValue if value.is_empty() => "the value is empty".to_owned(),
        ErrorKind::InvalidValue => {
            let valid = text(ContextKind::ValidValue);
            format!("'{value}' is not one of {valid}")
        }
        ErrorKind::ArgumentConflict => {
            let prior = text(ContextKind::PriorArg);
            let prior = prior.split(' ').next().unwrap_or_default();
            format!("cannot be given together with {prior}")
        }
        _ => match std::error::Error::source(error) {
            Some(source) => {
                let reason = source.to_string();
                // Parsers of ours name the value themselves, unless it may be secret.
                let hidden = source.is::<HiddenValue>() || source.is::<UrlError>();
                let named = hidden || reason.contains(&value);
                if named || redacted(&value) != value {
                    reason
                } else if let Some(error) = source.downcast_ref::<ParseIntError>() {
                    format!("'{value}' {}", not_a_number(error))
                } else {
                    format!("'{value}': {reason}")
                }
            }
            None => error.to_string().replace('\n', " "),
        },
    };
    FlagError::Bad {
        origin: origin_of(settings, &name),
        name,
        reason,
    }
}

fn not_a_number(error: &ParseIntError) -> &'static str {
    match error.kind() {
        IntErrorKind::Zero => "must be at least 1",
        IntErrorKind::PosOverflow => "is too large",
        _ => "is not a whole number of 0 or more",
    }
}

fn dump(command: &Command, matches: &ArgMatches) -> Vec<(String, String)> {
    let mut shown: Vec<_> = command
        .get_arguments()
        .filter_map(|arg| {
            let name = arg.get_long()?;
            let values = matches.get_raw(arg.get_id().as_str())?;
            let texts: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
            Some((name.to_owned(), redacted(&texts.join(","))))
        })
        .collect();
    shown.sort();
    shown
}
