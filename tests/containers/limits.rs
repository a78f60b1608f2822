//! Limits: really in the kernel, really enforced, and reported with numbers.

use std::fs;
use std::path::PathBuf;

use mesosd::containerizer::ContainerEvent;
use mesosd::containerizer::LauncherChoice::{Linux, Posix};
use mesosd::proto::v1;

use crate::bench::{Bench, can_isolate};

/// A control file of a container; version 1 hosts have a mount per controller.
fn control(bench: &Bench, controller: &str, container: &str, file: &str) -> PathBuf {
    let root = bench
        .cgroups()
        .into_iter()
        .find(|path| path.starts_with(format!("/sys/fs/cgroup/{controller}")))
        .unwrap_or_else(|| PathBuf::from("/sys/fs/cgroup").join(&bench.cgroups_root));
    root.join(container).join(file)
}

fn number(path: PathBuf) -> i64 {
    let text = fs::read_to_string(&path).unwrap();
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("{path:?}: {text}"))
}

fn is_v1() -> bool {
    fs::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .contains(" - cgroup cgroup ")
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_in_the_kernel_and_can_be_updated() {
    let name = "limits_are_in_the_kernel_and_can_be_updated";
    if !can_isolate(name) {
        return;
    }
    if !is_v1() {
        mesosd::testing::skip(
            name,
            "reads cgroup v1 files; v2 is tested in a virtual machine",
        );
        return;
    }
    let mut bench = Bench::with(Linux, |config| {
        config.cfs = true;
        config.pids_max = 77;
    });
    let config = bench.container("echo up; exec sleep 1000");
    let id = config.container_id.clone();
    let supervisor = bench.launch(config.clone()).await;
    Bench::line(&config, "stdout").await;
    let at = |controller: &str, file: &str| control(&bench, controller, id.as_str(), file);
    assert_eq!(number(at("cpu", "cpu.shares")), 1024);
    assert_eq!(number(at("cpu", "cpu.cfs_quota_us")), 100_000);
    assert_eq!(number(at("memory", "task/memory.limit_in_bytes")), 64 << 20);
    assert_eq!(
        number(at("memory", "task/memory.soft_limit_in_bytes")),
        64 << 20
    );
    assert_eq!(number(at("pids", "task/pids.max")), 77);
    // Each is in the right leaf of each tree.
    for controller in ["cpu", "memory", "pids", "freezer"] {
        let held = fs::read_to_string(at(controller, "supervisor/cgroup.procs")).unwrap();
        assert!(
            held.lines().any(|pid| pid == supervisor.to_string()),
            "{controller}"
        );
        let task = fs::read_to_string(at(controller, "task/cgroup.procs")).unwrap();
        assert_eq!(task.lines().count(), 1, "{controller}: {task}");
    }
    let role = mesosd::roles::Role::default();
    let more = mesosd::resources::parse("cpus:2;mem:128", &role).unwrap();
    bench
        .containerizer
        .update(&id, &more, &Default::default())
        .await
        .unwrap();
    assert_eq!(number(at("cpu", "cpu.shares")), 2048);
    assert_eq!(number(at("cpu", "cpu.cfs_quota_us")), 200_000);
    assert_eq!(
        number(at("memory", "task/memory.limit_in_bytes")),
        128 << 20
    );
    let less = mesosd::resources::parse("cpus:0.5;mem:48", &role).unwrap();
    bench
        .containerizer
        .update(&id, &less, &Default::default())
        .await
        .unwrap();
    assert_eq!(number(at("cpu", "cpu.shares")), 512);
    assert_eq!(
        number(at("memory", "task/memory.soft_limit_in_bytes")),
        48 << 20
    );
    // A hard limit is never lowered under a running task.
    assert_eq!(
        number(at("memory", "task/memory.limit_in_bytes")),
        128 << 20
    );
    let usage = bench.containerizer.usage(&id).await.unwrap();
    assert_eq!(usage.mem_limit_bytes, Some(128 << 20));
    assert_eq!(usage.cpus_limit, Some(0.5));
    assert_eq!(usage.threads, Some(1));
    assert!(usage.mem_total_bytes.unwrap() > 0, "{usage:?}");
    bench.containerizer.destroy(&id);
    let ended = bench.ended().await;
    assert_eq!(ended.wait_status, Some(libc::SIGKILL), "{ended:?}");
    assert!(bench.containerizer.usage(&id).await.is_err());
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn last_update_wins_also_before_the_container_runs() {
    if !can_isolate("last_update_wins_also_before_the_container_runs") {
        return;
    }
    let mut bench = Bench::new(Linux);
    let config = bench.container("echo up; exec sleep 1000");
    let id = config.container_id.clone();
    let role = mesosd::roles::Role::default();
    bench.containerizer.launch(config.clone());
    let updates: Vec<_> = [96, 128, 160]
        .map(|mem| {
            let resources = mesosd::resources::parse(&format!("cpus:1;mem:{mem}"), &role).unwrap();
            bench
                .containerizer
                .update(&id, &resources, &Default::default())
        })
        .into();
    // Carried out in the wrong order.
    for update in updates.into_iter().rev() {
        update.await.unwrap();
    }
    Bench::line(&config, "stdout").await;
    while !matches!(bench.event().await, ContainerEvent::Launched { .. }) {}
    let usage = bench.containerizer.usage(&id).await.unwrap();
    assert_eq!(usage.mem_limit_bytes, Some(160 << 20));
    assert_eq!(usage.mem_soft_limit_bytes, Some(160 << 20));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn task_above_its_memory_limit_is_killed_and_the_bytes_are_told() {
    if !can_isolate("task_above_its_memory_limit_is_killed_and_the_bytes_are_told") {
        return;
    }
    let mut bench = Bench::new(Linux);
    // The shell itself survives its child: the container must end all the same.
    let config = bench.container("head -c 200m /dev/zero | tail; echo survived; sleep 1000");
    let ended = bench.run(config).await;
    let reason = ended.reason.clone().unwrap_or_else(|| panic!("{ended:?}"));
    assert_eq!(
        reason.reason,
        v1::task_status::Reason::ContainerLimitationMemory
    );
    assert!(
        reason.message.contains("67108864 bytes allowed"),
        "{reason:?}"
    );
    assert_eq!(reason.resources[0].name, "mem");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn task_may_burst_to_its_limit() {
    if !can_isolate("task_may_burst_to_its_limit") {
        return;
    }
    let mut bench = Bench::new(Linux);
    let mut config =
        bench.container("head -c 100m /dev/zero | tail | wc -c; cat /proc/self/oom_score_adj");
    config.limits.insert("mem".into(), f64::INFINITY);
    let ended = bench.run(config.clone()).await;
    assert_eq!((ended.wait_status, ended.reason), (Some(0), None));
    let text = fs::read_to_string(config.sandbox.join("stdout")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("104857600"));
    assert!(
        lines.next().unwrap().parse::<i32>().unwrap() > 900,
        "{text}"
    );
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn number_of_processes_is_bounded() {
    if !can_isolate("number_of_processes_is_bounded") {
        return;
    }
    let mut bench = Bench::with(Linux, |config| config.pids_max = 10);
    let config =
        bench.container("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done; sleep 1000");
    let ended = bench.run(config.clone()).await;
    assert_ne!(ended.wait_status, Some(0), "{ended:?}");
    let stderr = fs::read_to_string(config.sandbox.join("stderr")).unwrap();
    assert!(stderr.to_lowercase().contains("fork"), "{stderr}");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rlimits_are_applied_by_both_launchers() {
    for launcher in [Posix, Linux] {
        if launcher == Linux && !can_isolate("rlimits_are_applied_by_both_launchers") {
            continue;
        }
        let mut bench = Bench::new(launcher);
        let mut config = bench.container("ulimit -n; ulimit -c");
        use v1::r_limit_info::r_limit::Type;
        let limit = |kind: Type, value| v1::r_limit_info::RLimit {
            r#type: Some(kind.into()),
            soft: Some(value),
            hard: Some(value),
        };
        config.container = Some(v1::ContainerInfo {
            r#type: v1::container_info::Type::Mesos.into(),
            rlimit_info: Some(v1::RLimitInfo {
                rlimits: vec![limit(Type::RlmtNofile, 123), limit(Type::RlmtCore, 0)],
            }),
            ..Default::default()
        });
        let ended = bench.run(config.clone()).await;
        assert_eq!(ended.wait_status, Some(0), "{ended:?}");
        let text = fs::read_to_string(config.sandbox.join("stdout")).unwrap();
        assert_eq!(text, "123\n0\n");
        bench.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn posix_usage_counts_the_whole_tree() {
    let mut bench = Bench::new(Posix);
    let config = bench.container("sleep 1000 & echo up; wait");
    let id = config.container_id.clone();
    bench.launch(config.clone()).await;
    Bench::line(&config, "stdout").await;
    let usage = bench.containerizer.usage(&id).await.unwrap();
    // Supervisor, first process, shell, sleep.
    assert_eq!(usage.processes, Some(4), "{usage:?}");
    assert!(usage.mem_rss_bytes.unwrap() > 0);
    bench.finish().await;
}
