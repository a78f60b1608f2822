//! One container's groups: made, found, removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::CgroupError;
use super::host::{self, Host};
use super::kill;
use super::mounts::Controller;
use crate::containerizer::plan::{CgroupVersion, TaskCgroup};

/// Which of a container's groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The container itself.
    Container,
    /// The leaf of the supervisor and the container's first process.
    Supervisor,
    /// The leaf of the task.
    Task,
}

impl Level {
    fn under(self, container: &Path) -> PathBuf {
        match self {
            Self::Container => container.to_owned(),
            Self::Supervisor => container.join("supervisor"),
            Self::Task => container.join("task"),
        }
    }
}

/// A container's groups in all trees.
#[derive(Clone, Debug)]
pub struct Tree {
    groups: Vec<Group>,
}

/// A container's group in one tree.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) version: CgroupVersion,
    pub(super) controllers: Vec<Controller>,
    pub(super) path: PathBuf,
}

impl Tree {
    /// The groups of `container`, whether they exist or not.
    #[must_use]
    pub fn of(host: &Host, container: &str) -> Self {
        let groups = host
            .hierarchies()
            .iter()
            .map(|hierarchy| Group {
                version: hierarchy.version,
                controllers: hierarchy.controllers.clone(),
                path: host.root(hierarchy).join(container),
            })
            .collect();
        Self { groups }
    }

    /// Makes the groups of `container`. On failure nothing is left.
    pub fn create(host: &Host, container: &str) -> Result<Self, CgroupError> {
        let tree = Self::of(host, container);
        match tree.make() {
            // Another agent with the same root has gone and taken the empty root with it.
            Err(CgroupError::Make { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                host.make_roots()?;
                tree.make()?;
            }
            other => other?,
        }
        Ok(tree)
    }

    fn make(&self) -> Result<(), CgroupError> {
        let made = self.groups.iter().try_for_each(|group| {
            host::make(&group.path)?;
            if group.version == CgroupVersion::V2 {
                host::enable(&group.path, &group.controllers)?;
            }
            host::make(&Level::Supervisor.under(&group.path))?;
            host::make(&Level::Task.under(&group.path))
        });
        if made.is_err() {
            for group in &self.groups {
                let _never_made = remove_group(&group.path);
            }
        }
        made
    }

    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The directory at `level` in the tree that has `controller`.
    #[must_use]
    pub fn directory(
        &self,
        controller: Controller,
        level: Level,
    ) -> Option<(CgroupVersion, PathBuf)> {
        let mut groups = self.groups.iter();
        let group = groups.find(|group| group.controllers.contains(&controller))?;
        Some((group.version, level.under(&group.path)))
    }

    /// The leaves at `level` in all trees, as a process that enters them needs them.
    #[must_use]
    pub fn leaves(&self, level: Level) -> Vec<TaskCgroup> {
        self.groups
            .iter()
            .map(|group| TaskCgroup {
                version: group.version,
                controllers: group
                    .controllers
                    .iter()
                    .map(|controller| controller.name().to_owned())
                    .collect(),
                path: level.under(&group.path),
            })
            .collect()
    }

    /// Kills what is at `level` and below, and returns without waiting for it to be gone.
    pub fn kill(&self, level: Level) -> Result<(), CgroupError> {
        kill::kill(self, level)
    }

    /// True if no process is at `level` or below.
    #[must_use]
    pub fn is_empty(&self, level: Level) -> bool {
        kill::is_empty(self, level)
    }

    /// Kills everything and removes the groups; blocks for at most `timeout`.
    pub fn destroy(&self, timeout: Duration) -> Result<(), CgroupError> {
        kill::destroy(self, timeout)
    }
}

/// Removes a group and everything below it; one that is not there is as good.
pub(super) fn remove_group(path: &Path) -> Result<(), CgroupError> {
    for below in subgroups(path) {
        remove_group(&below)?;
    }
    match fs::remove_dir(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(CgroupError::Remove {
            path: path.to_owned(),
            cause,
        }),
        _ => Ok(()),
    }
}

/// The groups directly below `path`.
pub(super) fn subgroups(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::mounts::Mounts;
    use super::*;

    #[test]
    fn groups_are_made_found_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["memory", "pids"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let table = "1 2 0:1 / /memory rw - cgroup cgroup rw,memory\n\
                     1 2 0:1 / /pids rw - cgroup cgroup rw,pids";
        let mounts = Mounts::parse(table, dir.path()).unwrap();
        let wanted = [Controller::Memory, Controller::Pids];
        let host = Host::new(&mounts, &wanted, "mesos").unwrap();
        // The root vanished meanwhile: it is made again.
        host.remove_roots();
        let tree = Tree::create(&host, "c1").unwrap();
        let (_, task) = tree.directory(Controller::Pids, Level::Task).unwrap();
        assert_eq!(task, dir.path().join("pids/mesos/c1/task"));
        assert!(task.is_dir());
        assert!(tree.directory(Controller::Cpu, Level::Task).is_none());
        assert_eq!(tree.leaves(Level::Supervisor).len(), 2);
        tree.destroy(Duration::from_secs(1)).unwrap();
        assert!(!dir.path().join("memory/mesos/c1").exists());
        tree.destroy(Duration::from_secs(1)).unwrap();
    }
}
