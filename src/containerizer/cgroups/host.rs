//! Our own root cgroup in every tree that is used.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{self, CgroupError};
use super::mounts::{Controller, Hierarchy, Mounts};
use crate::containerizer::plan::CgroupVersion;

/// The trees in use, and the name of our root in each.
#[derive(Clone, Debug)]
pub struct Host {
    hierarchies: Vec<Hierarchy>,
    root: String,
}

impl Host {
    /// Makes our root `root` (a relative path) in the trees that hold `wanted`.
    pub fn new(mounts: &Mounts, wanted: &[Controller], root: &str) -> Result<Self, CgroupError> {
        let host = Self {
            hierarchies: mounts.hierarchies(wanted)?,
            root: root.trim_matches('/').to_owned(),
        };
        host.make_roots()?;
        Ok(host)
    }

    /// The trees in use.
    #[must_use]
    pub fn hierarchies(&self) -> &[Hierarchy] {
        &self.hierarchies
    }

    /// Our root in one tree.
    #[must_use]
    pub fn root(&self, hierarchy: &Hierarchy) -> PathBuf {
        hierarchy.mount.join(&self.root)
    }

    /// Makes our roots where they are missing.
    pub(super) fn make_roots(&self) -> Result<(), CgroupError> {
        for hierarchy in &self.hierarchies {
            match hierarchy.version {
                CgroupVersion::V1 => self.make_root_v1(hierarchy)?,
                CgroupVersion::V2 => self.make_root_v2(hierarchy)?,
            }
        }
        Ok(())
    }

    fn make_root_v1(&self, hierarchy: &Hierarchy) -> Result<(), CgroupError> {
        let root = self.root(hierarchy);
        make_all(&root)?;
        // Old kernels count a parent's memory without its children unless told otherwise.
        let switch = root.join("memory.use_hierarchy");
        if hierarchy.controllers.contains(&Controller::Memory)
            && files::read(&switch).is_ok_and(|text| text == "0")
        {
            files::write_exact(&switch, "1")?;
        }
        Ok(())
    }

    fn make_root_v2(&self, hierarchy: &Hierarchy) -> Result<(), CgroupError> {
        let mut place = hierarchy.mount.clone();
        for name in Path::new(&self.root).components() {
            enable(&place, &hierarchy.controllers)?;
            place.push(name);
            make(&place)?;
        }
        enable(&place, &hierarchy.controllers)?;
        // A group's protection is bounded by its parent's.
        if hierarchy.controllers.contains(&Controller::Memory) {
            files::write_exact(&place.join("memory.low"), "max")?;
        }
        Ok(())
    }

    /// Removes our roots if nothing is in them. They may be another agent's too: one that is not
    /// empty stays.
    pub fn remove_roots(&self) {
        for hierarchy in &self.hierarchies {
            let _in_use = fs::remove_dir(self.root(hierarchy));
        }
    }
}

/// Makes a group; one that is there already is as good.
pub(super) fn make(path: &Path) -> Result<(), CgroupError> {
    match fs::create_dir(path) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => Err(CgroupError::Make {
            path: path.to_owned(),
            cause,
        }),
        _ => Ok(()),
    }
}

fn make_all(path: &Path) -> Result<(), CgroupError> {
    fs::create_dir_all(path).map_err(|cause| CgroupError::Make {
        path: path.to_owned(),
        cause,
    })
}

/// Gives the children of a version 2 group the controllers, and checks that they have them. A group
/// other than the tree's root must hold no processes of its own for that: ours never do.
pub(super) fn enable(group: &Path, controllers: &[Controller]) -> Result<(), CgroupError> {
    let path = group.join("cgroup.subtree_control");
    let has =
        |text: &str, controller: &Controller| text.split(' ').any(|name| name == controller.name());
    let enabled = files::read(&path)?;
    let missing: Vec<String> = controllers
        .iter()
        .filter(|controller| !controller.is_core_of_v2() && !has(&enabled, controller))
        .map(|controller| format!("+{}", controller.name()))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    files::write_checked(&path, &missing.join(" "), |found| {
        controllers
            .iter()
            .all(|controller| controller.is_core_of_v2() || has(found, controller))
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn v2_controllers_are_enabled_only_where_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cgroup.subtree_control");
        fs::write(&path, "cpu memory\n").unwrap();
        enable(dir.path(), &[Controller::Cpu, Controller::Freezer]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "cpu memory\n");
        // A plain file keeps the text itself, so the check after the write must fail.
        let refused = enable(dir.path(), &[Controller::Pids]).unwrap_err();
        assert!(refused.to_string().contains("+pids"), "{refused}");
    }

    #[test]
    fn roots_are_made_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["memory", "pids"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let table = "1 2 0:1 / /memory rw - cgroup cgroup rw,memory\n\
                     1 2 0:1 / /pids rw - cgroup cgroup rw,pids";
        let mounts = Mounts::parse(table, dir.path()).unwrap();
        let wanted = [Controller::Memory, Controller::Pids];
        let host = Host::new(&mounts, &wanted, "/mesos/").unwrap();
        assert!(dir.path().join("memory/mesos").is_dir());
        fs::create_dir(dir.path().join("pids/mesos/other")).unwrap();
        host.remove_roots();
        assert!(!dir.path().join("memory/mesos").exists());
        assert!(dir.path().join("pids/mesos/other").exists());
    }
}
