//! Limits of tasks, end to end: what the kernel is told, what it enforces, and what frameworks hear.

use std::time::Duration;

use mesosd::proto::v1;
use mesosd::proto::v1::TaskState::{TaskFailed, TaskFinished, TaskRunning};
use mesosd::proto::v1::task_status::Reason;

use crate::cluster::Cluster;
use crate::scheduler::{Scheduler, resources, task};

const AGENT: &str = "cpus:4;mem:2048;disk:1024";

/// True if this host can isolate; notes a skip by the test's name if not.
fn can_isolate(test: &str) -> bool {
    if mesosd::testing::is_root() {
        return true;
    }
    mesosd::testing::skip(test, "needs root and cgroups");
    false
}

fn number(path: &std::path::Path) -> i64 {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    text.trim().parse().unwrap()
}

#[test]
fn memory_beyond_the_limit_fails_the_task_with_the_bytes() {
    if !can_isolate("memory_beyond_the_limit_fails_the_task_with_the_bytes") {
        return;
    }
    let cluster = Cluster::start(1, AGENT);
    let mut scheduler = Scheduler::start(&cluster, "memory");
    // The shell itself survives its child: the task must fail all the same.
    scheduler.submit(task(
        "greedy",
        "head -c 300m /dev/zero | tail; echo survived; sleep 1000",
    ));
    let end = scheduler.end_of("greedy");
    assert_eq!(end.state(), TaskFailed, "{end:?}");
    assert_eq!(end.reason(), Reason::ContainerLimitationMemory, "{end:?}");
    // The task's 32 MB and the executor's 32 MB.
    assert!(end.message().contains(&(64 << 20).to_string()), "{end:?}");
    let limitation = end.limitation.unwrap();
    assert_eq!(limitation.resources[0].name, "mem");
    assert!(
        limitation.resources[0].scalar.unwrap().value > 60.0,
        "{limitation:?}"
    );
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn shares_always_quota_when_asked() {
    if !can_isolate("shares_always_quota_when_asked") {
        return;
    }
    for cfs in [false, true] {
        let flag = format!("--cgroups_enable_cfs={cfs}");
        let cluster = Cluster::with_flags(1, AGENT, &[], &[&flag, "--cgroups_pids_max=99"]);
        let mut scheduler = Scheduler::start(&cluster, "cpu");
        let mut sleeper = task("sleeper", "exec sleep 1000");
        sleeper.resources = resources(0.4, 64.0);
        scheduler.submit(sleeper);
        let status = scheduler.wait_for("sleeper", TaskRunning);
        let id = status.container_status.unwrap().container_id.unwrap().value;
        // On version 1 hosts these files exist by these names; version 2 is tested in a virtual machine.
        let at = |controller, file| number(&cluster.control(0, controller, &id, file));
        assert_eq!(at("cpu", "cpu.shares"), 512);
        let quota = at("cpu", "cpu.cfs_quota_us");
        assert_eq!(quota, if cfs { 50_000 } else { -1 });
        assert_eq!(at("memory", "task/memory.limit_in_bytes"), 96 << 20);
        assert_eq!(at("pids", "task/pids.max"), 99);
        scheduler.teardown();
        cluster.stop();
    }
}

#[test]
fn processes_and_rlimits_are_bounded() {
    if !can_isolate("processes_and_rlimits_are_bounded") {
        return;
    }
    let cluster = Cluster::with_flags(1, AGENT, &[], &["--cgroups_pids_max=10"]);
    let mut scheduler = Scheduler::start(&cluster, "processes");
    scheduler.submit(task(
        "forks",
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done; echo all of them",
    ));
    let mut limited = task(
        "limited",
        "ulimit -n; ls -d /proc/[0-9]* | wc -l; mount -t tmpfs t /tmp; echo $?",
    );
    limited.container = Some(v1::ContainerInfo {
        r#type: v1::container_info::Type::Mesos.into(),
        rlimit_info: Some(v1::RLimitInfo {
            rlimits: vec![v1::r_limit_info::RLimit {
                r#type: Some(v1::r_limit_info::r_limit::Type::RlmtNofile.into()),
                soft: Some(123),
                hard: Some(456),
            }],
        }),
        ..Default::default()
    });
    scheduler.submit(limited);
    let end = scheduler.end_of("forks");
    assert_eq!(end.state(), TaskFailed, "{end:?}");
    let stderr = scheduler.text("forks", "stderr").to_lowercase();
    assert!(stderr.contains("fork"), "{stderr}");

    let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert_eq!(scheduler.end_of("limited").state(), TaskFinished);
    let text = scheduler.text("limited", "stdout");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "123");
    // Process 1, the shell, ls and wc.
    assert!(lines[1].parse::<u32>().unwrap() <= 4, "{text}");
    assert_eq!(lines[2], "0", "the task mounts in its own namespace");
    assert_eq!(
        before,
        std::fs::read_to_string("/proc/self/mountinfo").unwrap()
    );
    scheduler.teardown();
    cluster.stop();
}

/// `Pss` of every process that runs from the binary under test or one of its sealed copies and belongs
/// to this cluster, in KiB.
fn pss(cluster: &Cluster) -> u64 {
    let mut ours = vec![cluster.master.pid(), cluster.agents[0].pid()];
    let mut index = 0;
    while index < ours.len() {
        let path = format!("/proc/{0}/task", ours[index]);
        let threads = std::fs::read_dir(path).into_iter().flatten().flatten();
        for thread in threads {
            let children = std::fs::read_to_string(thread.path().join("children"));
            let children = children.unwrap_or_default();
            ours.extend(
                children
                    .split_whitespace()
                    .map(|pid| pid.parse::<u32>().unwrap()),
            );
        }
        index += 1;
    }
    let is_mesosd = |pid: &&u32| {
        let name = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        name.to_string_lossy().contains("mesosd")
    };
    ours.iter()
        .filter(is_mesosd)
        .map(|pid| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
            let words = line.unwrap().split_whitespace().next().unwrap();
            words.parse::<u64>().unwrap()
        })
        .sum()
}

#[test]
fn a_tasks_supervisor_costs_at_most_two_megabytes() {
    let cluster = Cluster::start(1, "cpus:20;mem:16384;disk:1024");
    let mut scheduler = Scheduler::start(&cluster, "sleepers");
    let mut at = [0, 0];
    let mut number = 0;
    for (index, count) in [20, 120].into_iter().enumerate() {
        let ids: Vec<String> = (number..count).map(|n| format!("sleeper-{n}")).collect();
        number = count;
        for id in &ids {
            let mut sleeper = task(id, "exec sleep 1000");
            sleeper.resources = resources(0.01, 32.0);
            scheduler.submit(sleeper);
        }
        for id in &ids {
            scheduler.wait_for(id, TaskRunning);
        }
        // What was allocated to start them is given back in a moment.
        std::thread::sleep(Duration::from_secs(1));
        at[index] = pss(&cluster);
    }
    let each = at[1].saturating_sub(at[0]) / 100;
    eprintln!(
        "Pss per task: {each} KiB ({} KiB with 20, {} KiB with 120)",
        at[0], at[1]
    );
    // An unoptimized binary is several times as large.
    let most = if cfg!(debug_assertions) { 8192 } else { 2048 };
    assert!((1..=most).contains(&each), "{each} KiB per task");
    scheduler.teardown();
    cluster.stop();
}
