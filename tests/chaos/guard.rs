//! Cleans up after a run, by the run's name, whatever happened to the run: a process of its own that
//! waits until the run has ended or died, and then ends what carries the run's name.
//!
//! Every process of a run has [`RUN`] in its environment: daemons, frameworks, and the tasks, whose
//! command names it. Control groups are below a root of that name, mounts below the run's directory.

use std::fs;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The name of a run, in the environment of all that belongs to it.
pub(crate) const RUN: &str = "MESOSD_CHAOS_RUN";
/// Makes a process a guard: the name of the run, `:`, its directory.
pub(crate) const GUARD: &str = "MESOSD_CHAOS_GUARD";

/// The guard of a run; dropping it waits until all is clean.
pub(crate) struct Guard(Child);

impl Guard {
    pub(crate) fn start(run: &str, dir: &Path) -> Self {
        let own = std::env::current_exe().unwrap();
        let child = Command::new(own)
            .env(GUARD, format!("{run}:{}", dir.display()))
            .stdin(Stdio::piped())
            // A terminal's interrupt ends the run, not its guard.
            .process_group(0)
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The guard's whole life.
pub(crate) fn watch(what: &str) {
    let (run, dir) = what.split_once(':').unwrap();
    // Ends with the run, however it ends.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    sweep(run, Path::new(dir));
}

fn sweep(run: &str, dir: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = processes(run);
        if left.is_empty() || Instant::now() > deadline {
            break;
        }
        for (pid, _) in left {
            // It may be gone.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    for root in cgroup_roots(run) {
        remove_cgroup(&root);
    }
    for mount in mounts(dir).into_iter().rev() {
        let _ = umount2(&mount, MntFlags::MNT_DETACH);
    }
    let _ = fs::remove_dir_all(dir);
}

/// The processes of a run, with their command lines.
pub(crate) fn processes(run: &str) -> Vec<(i32, String)> {
    let mark = format!("{RUN}={run}");
    let belongs = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut words = environment.split(|byte| *byte == 0);
        words.any(|word| word == mark.as_bytes())
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let named = |pid: i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        (pid, line)
    };
    pids.filter(belongs).map(named).collect()
}

/// The control groups at which the run's own begin, in every hierarchy.
pub(crate) fn cgroup_roots(run: &str) -> Vec<PathBuf> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten();
    hierarchies
        .map(|entry| entry.path().join(run))
        .chain([Path::new("/sys/fs/cgroup").join(run)])
        .filter(|path| path.is_dir())
        .collect()
}

fn children(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.is_dir()).collect()
}

/// The control groups of containers: below the root and the agent's own name.
pub(crate) fn containers(run: &str) -> Vec<PathBuf> {
    let agents = cgroup_roots(run)
        .into_iter()
        .flat_map(|root| children(&root));
    agents.flat_map(|agent| children(&agent)).collect()
}

fn remove_cgroup(path: &Path) {
    for child in children(path) {
        remove_cgroup(&child);
    }
    let deadline = Instant::now() + Duration::from_secs(2);
    while fs::remove_dir(path).is_err() && path.exists() && Instant::now() < deadline {
        let pids = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        for pid in pids.lines().filter_map(|line| line.parse().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What is mounted below a directory, in the order of mounting.
pub(crate) fn mounts(dir: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    let points = points.map(PathBuf::from);
    points.filter(|point| point.starts_with(dir)).collect()
}
