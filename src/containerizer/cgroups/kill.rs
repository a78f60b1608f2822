//! Killing everything in a container's groups: frozen first on version 1, so that nothing can fork
//! away; `cgroup.kill` on version 2.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::files::{self, CgroupError};
use super::mounts::Controller;
use super::tree::{Level, Tree, remove_group, subgroups};
use crate::containerizer::plan::CgroupVersion;

/// First and longest pause between two looks at a group whose processes are dying.
const PAUSES: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(50));
/// How long a version 1 group may take to freeze before its processes are killed unfrozen.
const FREEZE_WAIT: Duration = Duration::from_millis(200);

/// Kills what is at `level`, without waiting.
pub(super) fn kill(tree: &Tree, level: Level) -> Result<(), CgroupError> {
    match tree.directory(Controller::Freezer, level) {
        Some((CgroupVersion::V1, path)) => kill_frozen(&path),
        Some((CgroupVersion::V2, path)) => kill_v2(&path),
        None => {
            signal(&everything(tree));
            Ok(())
        }
    }
}

/// True if no process is at `level` or below.
pub(super) fn is_empty(tree: &Tree, level: Level) -> bool {
    let mut found = BTreeSet::new();
    match tree.directory(Controller::Freezer, level) {
        Some((_, path)) => collect(&path, &mut found),
        None => found = everything(tree),
    }
    found.is_empty()
}

/// Kills everything and removes the groups.
pub(super) fn destroy(tree: &Tree, timeout: Duration) -> Result<(), CgroupError> {
    let started = Instant::now();
    let mut pause = PAUSES.0;
    loop {
        if !everything(tree).is_empty() {
            kill(tree, Level::Container)?;
            // A process that entered only some of the trees before its launch failed.
            signal(&everything(tree));
        }
        // Not empty, or just emptied and still being released (EBUSY): look again soon.
        let removed = tree
            .groups()
            .iter()
            .try_for_each(|group| remove_group(&group.path));
        let Err(error) = removed else {
            return Ok(());
        };
        if started.elapsed() >= timeout {
            return Err(give_up(tree, timeout, error));
        }
        thread::sleep(pause);
        pause = PAUSES.1.min(pause * 2);
    }
}

fn give_up(tree: &Tree, timeout: Duration, error: CgroupError) -> CgroupError {
    let left = everything(tree);
    match (left.is_empty(), tree.groups().first()) {
        (false, Some(group)) => CgroupError::Unkillable {
            path: group.path.clone(),
            pids: left.into_iter().collect(),
            seconds: timeout.as_secs(),
        },
        _ => error,
    }
}

/// All processes in the groups of all trees.
fn everything(tree: &Tree) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for group in tree.groups() {
        collect(&group.path, &mut found);
    }
    found
}

/// The processes in a group and below it.
fn collect(path: &Path, found: &mut BTreeSet<u32>) {
    if let Ok(text) = fs::read_to_string(path.join("cgroup.procs")) {
        // Zero stands for a process that this pid namespace cannot see.
        let pids = text.lines().filter_map(|line| line.parse::<u32>().ok());
        found.extend(pids.filter(|pid| *pid != 0));
    }
    for below in subgroups(path) {
        collect(&below, found);
    }
}

fn signal(pids: &BTreeSet<u32>) {
    for pid in pids {
        if let Ok(pid) = libc::pid_t::try_from(*pid) {
            // SAFETY: plain numbers, positive. A process that has ended meanwhile is as good.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }
}

/// Version 1. A frozen process dies only when it is thawed, but until then it cannot fork. The
/// group is thawed in any case: a frozen one left behind could never be removed.
fn kill_frozen(path: &Path) -> Result<(), CgroupError> {
    let state = path.join("freezer.state");
    if !state.exists() {
        return Ok(());
    }
    let frozen = freeze(&state);
    let mut found = BTreeSet::new();
    collect(path, &mut found);
    signal(&found);
    files::write(&state, "THAWED")?;
    frozen
}

fn freeze(state: &Path) -> Result<(), CgroupError> {
    let started = Instant::now();
    let mut pause = PAUSES.0;
    // Writing again helps a group in which a process was just being forked.
    loop {
        files::write(state, "FROZEN")?;
        // Processes that cannot be frozen (stopped in the kernel) are killed all the same.
        if files::read(state)? == "FROZEN" || started.elapsed() >= FREEZE_WAIT {
            return Ok(());
        }
        thread::sleep(pause);
        pause = PAUSES.1.min(pause * 2);
    }
}

/// Version 2. A kernel before 5.14 has no `cgroup.kill`: freeze, signal, thaw.
fn kill_v2(path: &Path) -> Result<(), CgroupError> {
    let switch = path.join("cgroup.kill");
    if switch.exists() {
        return files::write(&switch, "1");
    }
    let freeze = path.join("cgroup.freeze");
    if !freeze.exists() {
        return Ok(());
    }
    files::write(&freeze, "1")?;
    let mut found = BTreeSet::new();
    collect(path, &mut found);
    signal(&found);
    files::write(&freeze, "0")
}
