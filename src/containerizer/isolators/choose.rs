//! From the text of `--isolation` to isolators, with the rules about which go together.

use std::collections::BTreeSet;

use super::cgroups_cpu::CgroupsCpu;
use super::cgroups_mem::CgroupsMem;
use super::cgroups_pids::CgroupsPids;
use super::filesystem_linux::FilesystemLinux;
use super::filesystem_posix::FilesystemPosix;
use super::isolator::Isolator;
use super::namespaces_pid::NamespacesPid;
use super::posix_cpu::PosixCpu;
use super::posix_mem::PosixMem;
use super::posix_rlimits::PosixRlimits;
use crate::containerizer::cgroups::Controller;

/// Every isolator, in the order in which they are applied.
const KNOWN: [&str; 9] = [
    "filesystem/linux",
    "filesystem/posix",
    "cgroups/cpu",
    "cgroups/mem",
    "cgroups/pids",
    "namespaces/pid",
    "posix/cpu",
    "posix/mem",
    "posix/rlimits",
];

/// Names that stand for others. The first two are Mesos' oldest spellings.
const ALIASES: [(&str, &[&str]); 3] = [
    ("process", &["posix/cpu", "posix/mem"]),
    ("cgroups", &["cgroups/cpu", "cgroups/mem"]),
    (
        "cgroups/all",
        &["cgroups/cpu", "cgroups/mem", "cgroups/pids"],
    ),
];

/// Why a list of isolators cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsolationError {
    /// A name that is none.
    #[error(
        "--isolation: there is no isolator {name:?}; known are {}, process, cgroups, cgroups/all",
        KNOWN.join(", ")
    )]
    Unknown {
        /// The name.
        name: String,
    },
    /// Two isolators that exclude each other.
    #[error("--isolation: {one} and {other} cannot be used together")]
    Conflict {
        /// One.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// An isolator that needs root and cgroups.
    #[error("--isolation: {name} needs the linux launcher, which is not in use: {why}")]
    NeedsLinux {
        /// The isolator.
        name: &'static str,
        /// Why the launcher is another one.
        why: String,
    },
}

/// What isolators can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `--cgroups_enable_cfs`.
    pub cfs: bool,
    /// `--cgroups_limit_swap`.
    pub limit_swap: bool,
    /// Most processes and threads of a task.
    pub pids_max: u64,
}

/// Isolators in the order of application, and the controllers that they need.
#[derive(Debug)]
pub struct Chosen {
    /// The isolators.
    pub isolators: Vec<Box<dyn Isolator>>,
    /// What they need of the host.
    pub controllers: Vec<Controller>,
}

/// The isolators named by `names`; exactly one of them is a file system isolator, `filesystem/posix`
/// if none is named. `no_linux` says why the linux launcher is not in use, if it is not.
pub fn choose(
    names: &[String],
    settings: Settings,
    no_linux: Option<&str>,
) -> Result<Chosen, IsolationError> {
    let mut wanted = BTreeSet::new();
    for name in names {
        let name = name.trim();
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
        match (alias, KNOWN.iter().find(|known| **known == name)) {
            (Some((_, meant)), _) => wanted.extend(meant.iter().copied()),
            (None, Some(known)) => {
                wanted.insert(*known);
            }
            (None, None) => {
                return Err(IsolationError::Unknown {
                    name: name.to_owned(),
                });
            }
        }
    }
    if !wanted.contains("filesystem/linux") {
        wanted.insert("filesystem/posix");
    }
    check_together(&wanted, no_linux)?;
    let mut chosen = Chosen {
        isolators: Vec::new(),
        controllers: Vec::new(),
    };
    for name in KNOWN.into_iter().filter(|name| wanted.contains(name)) {
        chosen.controllers.extend_from_slice(controllers(name));
        chosen.isolators.push(make(name, settings));
    }
    Ok(chosen)
}

fn check_together(
    wanted: &BTreeSet<&'static str>,
    no_linux: Option<&str>,
) -> Result<(), IsolationError> {
    for (one, other) in [
        ("filesystem/linux", "filesystem/posix"),
        ("cgroups/cpu", "posix/cpu"),
        ("cgroups/mem", "posix/mem"),
    ] {
        if wanted.contains(one) && wanted.contains(other) {
            return Err(IsolationError::Conflict { one, other });
        }
    }
    let Some(why) = no_linux else {
        return Ok(());
    };
    let needs = |name: &&&str| !name.starts_with("posix/") && **name != "filesystem/posix";
    match wanted.iter().find(needs) {
        Some(name) => Err(IsolationError::NeedsLinux {
            name,
            why: why.to_owned(),
        }),
        None => Ok(()),
    }
}

fn controllers(name: &str) -> &'static [Controller] {
    match name {
        "cgroups/cpu" => &[Controller::Cpu, Controller::Cpuacct],
        "cgroups/mem" => &[Controller::Memory],
        "cgroups/pids" => &[Controller::Pids],
        _ => &[],
    }
}

/// The isolator of a name in [`KNOWN`].
fn make(name: &str, settings: Settings) -> Box<dyn Isolator> {
    match name {
        "filesystem/linux" => Box::new(FilesystemLinux),
        "cgroups/cpu" => Box::new(CgroupsCpu { cfs: settings.cfs }),
        "cgroups/mem" => Box::new(CgroupsMem {
            swap: settings.limit_swap,
        }),
        "cgroups/pids" => Box::new(CgroupsPids {
            most: settings.pids_max,
        }),
        "namespaces/pid" => Box::new(NamespacesPid),
        "posix/cpu" => Box::new(PosixCpu),
        "posix/mem" => Box::new(PosixMem),
        "posix/rlimits" => Box::new(PosixRlimits),
        _ => Box::new(FilesystemPosix),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        cfs: false,
        limit_swap: false,
        pids_max: 10,
    };

    fn names(text: &str, no_linux: Option<&str>) -> Result<Vec<&'static str>, IsolationError> {
        let list: Vec<String> = text.split(',').map(str::to_owned).collect();
        let chosen = choose(&list, SETTINGS, no_linux)?;
        Ok(chosen.isolators.iter().map(|one| one.name()).collect())
    }

    #[test]
    fn every_known_name_makes_the_isolator_of_that_name() {
        for name in KNOWN {
            assert_eq!(make(name, SETTINGS).name(), name);
        }
    }

    #[test]
    fn aliases_and_order() {
        assert_eq!(
            names("posix/rlimits,cgroups/all", None).unwrap(),
            [
                "filesystem/posix",
                "cgroups/cpu",
                "cgroups/mem",
                "cgroups/pids",
                "posix/rlimits"
            ]
        );
        assert_eq!(
            names("process", Some("not root")).unwrap(),
            ["filesystem/posix", "posix/cpu", "posix/mem"]
        );
    }

    #[test]
    fn wrong_lists_are_refused_by_name() {
        let unknown = names("cgroups/cpu,gpu/nvidia", None)
            .unwrap_err()
            .to_string();
        assert!(unknown.contains("\"gpu/nvidia\"") && unknown.contains("cgroups/pids"));
        assert_eq!(
            names("cgroups/cpu,posix/cpu", None).unwrap_err(),
            IsolationError::Conflict {
                one: "cgroups/cpu",
                other: "posix/cpu"
            }
        );
        let refused = names("cgroups/cpu", Some("not root")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "--isolation: cgroups/cpu needs the linux launcher, which is not in use: not root"
        );
    }
}
