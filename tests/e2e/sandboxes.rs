//! Sandboxes of ended executors: kept for their time, then gone, also when the agent that made them is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mesosd::proto::v1::TaskState::{TaskFinished, TaskRunning};

use crate::cluster::Cluster;
use crate::scheduler::{Scheduler, task};

const AGENT: &str = "cpus:4;mem:2048;disk:1024";
const LIMIT: Duration = Duration::from_secs(20);

/// Every folder below `path` that is a sandbox, by its `stdout`.
fn sandboxes(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(sandboxes(&entry.path()));
        } else if entry.file_name() == "stdout" {
            found.push(path.to_owned());
        }
    }
    found
}

/// Runs one task to its end and one that goes on, and returns the one's sandbox.
fn one_of_two(cluster: &Cluster, scheduler: &mut Scheduler) -> PathBuf {
    scheduler.submit(task("stays", "exec sleep 1000"));
    scheduler.wait_for("stays", TaskRunning);
    scheduler.submit(task("goes", "echo out"));
    assert_eq!(scheduler.end_of("goes").state(), TaskFinished);
    let all = sandboxes(&cluster.work_dir(0));
    let gone = |path: &&PathBuf| path.to_string_lossy().contains("/executors/goes/");
    all.iter()
        .find(gone)
        .cloned()
        .unwrap_or_else(|| panic!("{all:?}"))
}

/// With `flags`, the sandbox of an ended task goes within seconds and that of a running one stays.
fn goes_soon(flags: &[&str]) {
    let cluster = Cluster::with_flags(1, AGENT, &[], flags);
    let mut scheduler = Scheduler::start(&cluster, "collected");
    let sandbox = one_of_two(&cluster, &mut scheduler);
    cluster.wait_until("the sandbox goes", LIMIT, || !sandbox.exists());
    let left = sandboxes(&cluster.work_dir(0));
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(
        left[0].to_string_lossy().contains("/executors/stays/"),
        "{left:?}"
    );
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn age_ends_a_sandbox() {
    goes_soon(&["--gc_delay=2secs", "--disk_watch_interval=1secs"]);
}

#[test]
fn a_full_disk_ends_a_sandbox_early() {
    // All of the disk is to be kept free, so every disk is too full.
    goes_soon(&["--gc_disk_headroom=1", "--disk_watch_interval=1secs"]);
}

#[test]
fn neither_young_nor_pressed_stays() {
    let cluster = Cluster::with_flags(1, AGENT, &[], &["--disk_watch_interval=1secs"]);
    let mut scheduler = Scheduler::start(&cluster, "kept");
    let sandbox = one_of_two(&cluster, &mut scheduler);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(scheduler.text("goes", "stdout"), "out\n");
    assert!(sandbox.exists());
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn an_agent_collects_what_an_earlier_one_has_left() {
    for checkpoint in [false, true] {
        let flags = ["--gc_delay=4secs", "--disk_watch_interval=1secs"];
        let mut cluster = Cluster::with_flags(1, AGENT, &[], &flags);
        let mut scheduler = Scheduler::with(&cluster, "restart", |info| {
            info.checkpoint = Some(checkpoint);
        });
        let sandbox = one_of_two(&cluster, &mut scheduler);
        cluster.agents[0].crash_and_restart();
        assert!(sandbox.exists());
        // With checkpoints the other task goes on, and keeps its sandbox.
        let kept = usize::from(checkpoint);
        cluster.wait_until("all other sandboxes go", LIMIT, || {
            sandboxes(&cluster.work_dir(0)).len() == kept
        });
        assert!(!sandbox.exists());
        scheduler.teardown();
        cluster.stop();
    }
}
