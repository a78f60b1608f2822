//! What is wrong with a configuration, in one line that names the flag, the place and the way out.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `--name=value`.
    CommandLine,
    /// `MESOS_NAME=value`.
    Environment,
    /// A line of `--config=FILE.toml`.
    ConfigFile(PathBuf),
    /// A file of a `--config_dir`.
    ConfigDir(PathBuf),
    /// Nowhere: the built-in default.
    Default,
}

/// Why a daemon does not start with this configuration. Always exit code 64.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// No flag of this role has the name.
    #[error("{place}: {role} has no such flag{hint}; 'mesosd --role={role} --help' lists all", place = Place(origin, name))]
    Unknown {
        /// The name as it was written.
        name: String,
        /// Where it was written.
        origin: Origin,
        /// The role that was asked for.
        role: &'static str,
        /// `, did you mean ...` or nothing.
        hint: String,
    },
    /// The value is not one that the flag takes.
    #[error("{place}: {reason}", place = Place(origin, name))]
    Bad {
        /// The flag's name.
        name: String,
        /// Where the value was written.
        origin: Origin,
        /// What is wrong, with the value.
        reason: String,
    },
    /// A flag that must be given is not.
    #[error("--{name} is missing: give --{name}=... or set {variable}", variable = variable(name))]
    Missing {
        /// The flag's name.
        name: String,
    },
    /// The same flag stands twice in one place.
    #[error("{place}: given twice", place = Place(origin, name))]
    Twice {
        /// The flag's name.
        name: String,
        /// Where it was written twice.
        origin: Origin,
    },
    /// `--name` without a value, for a flag that needs one.
    #[error("--{name}: a value is missing, write --{name}=...")]
    NoValue {
        /// The flag's name.
        name: String,
    },
    /// Something on the command line that is no flag.
    #[error("'{text}' is not a flag: a daemon takes only --name=value")]
    Stray {
        /// What was written.
        text: String,
    },
    /// An argument or variable that is not UTF-8.
    #[error("{place}: the value is not UTF-8 text")]
    NotText {
        /// What was found, unreadable bytes replaced.
        place: String,
    },
    /// `--role` is missing or names no role.
    #[error("--role={text}: choose one of master, agent, local")]
    Role {
        /// What was written.
        text: String,
    },
    /// A configuration file or directory cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A configuration file is larger than any configuration.
    #[error("{} is larger than {max} bytes, which no flag's value needs", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        max: u64,
    },
    /// A configuration file is not TOML.
    #[error("{}: not TOML: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line and what was expected.
        reason: String,
    },
}

/// The environment variable of a flag.
pub(super) fn variable(name: &str) -> String {
    format!("MESOS_{}", name.to_uppercase())
}

struct Place<'a>(&'a Origin, &'a str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(origin, name) = self;
        match origin {
            Origin::CommandLine | Origin::Default => write!(f, "--{name}"),
            Origin::Environment => f.write_str(&variable(name)),
            Origin::ConfigFile(path) => write!(f, "{}: {name}", path.display()),
            Origin::ConfigDir(path) => write!(f, "{}", path.display()),
        }
    }
}
