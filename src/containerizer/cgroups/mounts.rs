//! Which cgroup trees the host has, from `/proc/self/mountinfo`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::files::{self, CgroupError};
use crate::containerizer::plan::CgroupVersion;

/// The controllers that mesosd uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// Shares and quota.
    Cpu,
    /// Time used; part of every group in version 2.
    Cpuacct,
    /// Bytes.
    Memory,
    /// Number of processes and threads.
    Pids,
    /// Stopping a whole group; part of every group in version 2.
    Freezer,
}

impl Controller {
    /// The kernel's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Freezer => "freezer",
        }
    }

    /// True if version 2 has it in every group, without a controller to enable.
    #[must_use]
    pub fn is_core_of_v2(self) -> bool {
        matches!(self, Self::Cpuacct | Self::Freezer)
    }
}

/// One tree and the controllers that we take from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Version of the tree.
    pub version: CgroupVersion,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// What we use of it.
    pub controllers: Vec<Controller>,
}

/// The mounted trees of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// Version 1: mount point of each controller.
    v1: BTreeMap<String, PathBuf>,
    /// Version 2: mount point and the controllers that are there.
    v2: Option<(PathBuf, Vec<String>)>,
}

impl Mounts {
    /// The trees of this machine.
    pub fn detect() -> Result<Self, CgroupError> {
        let table = files::read(Path::new("/proc/self/mountinfo"))?;
        Self::parse(&table, Path::new("/"))
    }

    /// The trees in a mount table whose mount points lie below `prefix` (`/`, or a test's directory).
    pub fn parse(table: &str, prefix: &Path) -> Result<Self, CgroupError> {
        let mut mounts = Self::default();
        for line in table.lines() {
            let Some((point, kind, options)) = fields(line) else {
                continue;
            };
            let point = prefix.join(point.trim_start_matches('/'));
            match kind {
                "cgroup" => {
                    for option in options.split(',') {
                        let at = mounts.v1.entry(option.to_owned());
                        at.or_insert_with(|| point.clone());
                    }
                }
                "cgroup2" if mounts.v2.is_none() => {
                    let available = files::read(&point.join("cgroup.controllers"))?;
                    let available = available.split(' ').map(str::to_owned).collect();
                    mounts.v2 = Some((point, available));
                }
                _ => {}
            }
        }
        Ok(mounts)
    }

    /// Where a controller is; version 1 first, since a controller bound there is not usable in 2.
    fn find(&self, controller: Controller) -> Result<(CgroupVersion, &Path), CgroupError> {
        if let Some(mount) = self.v1.get(controller.name()) {
            return Ok((CgroupVersion::V1, mount));
        }
        if let Some((mount, available)) = &self.v2 {
            let there = available.iter().any(|name| name == controller.name());
            if there || controller.is_core_of_v2() {
                return Ok((CgroupVersion::V2, mount));
            }
        }
        Err(CgroupError::Unavailable {
            controller: controller.name(),
        })
    }

    /// The trees that hold `wanted`, each once. Controllers may share a version 1 tree
    /// (`cpu,cpuacct`), under one path or several.
    pub fn hierarchies(&self, wanted: &[Controller]) -> Result<Vec<Hierarchy>, CgroupError> {
        let mut found: Vec<Hierarchy> = Vec::new();
        for &controller in wanted {
            let (version, mount) = self.find(controller)?;
            match found.iter_mut().find(|tree| tree.mount == mount) {
                Some(tree) if tree.controllers.contains(&controller) => {}
                Some(tree) => tree.controllers.push(controller),
                None => found.push(Hierarchy {
                    version,
                    mount: mount.to_owned(),
                    controllers: vec![controller],
                }),
            }
        }
        Ok(found)
    }
}

/// Mount point, file system and super block options of a line of mountinfo.
fn fields(line: &str) -> Option<(String, &str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let point = before.split(' ').nth(4)?;
    let mut after = after.split(' ');
    let kind = after.next()?;
    Some((unescape(point), kind, after.nth(1)?))
}

/// Spaces and the like are written as three octal digits.
fn unescape(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (code, plain)| {
        text.replace(code, plain)
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";

    fn host(v2: &str, controllers: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join(v2);
        std::fs::create_dir_all(&at).unwrap();
        std::fs::write(at.join("cgroup.controllers"), controllers).unwrap();
        dir
    }

    #[test]
    fn hybrid_host_takes_each_controller_where_it_is() {
        let dir = host("sys/fs/cgroup/unified", "pids hugetlb\n");
        let mounts = Mounts::parse(HYBRID, dir.path()).unwrap();
        let all = [
            Controller::Cpu,
            Controller::Cpuacct,
            Controller::Memory,
            Controller::Pids,
            Controller::Freezer,
        ];
        let found = mounts.hierarchies(&all).unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|h| {
                let name = h.mount.file_name().unwrap().to_str().unwrap().to_owned();
                (name, h.version, h.controllers.len())
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("cpu,cpuacct".to_owned(), CgroupVersion::V1, 2),
                ("memory".to_owned(), CgroupVersion::V1, 1),
                ("unified".to_owned(), CgroupVersion::V2, 1),
                ("freezer".to_owned(), CgroupVersion::V1, 1),
            ]
        );
    }

    #[test]
    fn pure_v2_has_freezer_and_accounting_built_in() {
        let dir = host("sys/fs/cgroup", "cpu memory pids\n");
        let table = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
        let mounts = Mounts::parse(table, dir.path()).unwrap();
        let wanted = [Controller::Freezer, Controller::Cpuacct, Controller::Memory];
        let found = mounts.hierarchies(&wanted).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].controllers, wanted);
    }

    #[test]
    fn missing_controller_is_named() {
        let dir = host("sys/fs/cgroup", "cpu\n");
        let table = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        let mounts = Mounts::parse(table, dir.path()).unwrap();
        let refused = mounts.hierarchies(&[Controller::Memory]).unwrap_err();
        assert!(refused.to_string().contains("\"memory\""), "{refused}");
    }

    #[test]
    fn spaces_in_mount_points_are_read() {
        let line = "9 8 0:1 / /mnt/a\\040b rw - cgroup cgroup rw,pids";
        assert_eq!(fields(line).unwrap().0, "/mnt/a b");
    }
}
