//! Nothing outlives its container: not a process that left its session, not a cgroup of a failed launch,
//! not a container of a dead agent; whoever is killed.

use std::fs;
use std::time::Duration;

use mesosd::containerizer::LauncherChoice::{self, Linux, Posix};
use mesosd::containerizer::{ContainerEvent, Containerizer};

use crate::bench::{Bench, can_isolate, processes_with};

fn launchers(test: &str) -> Vec<LauncherChoice> {
    let mut all = vec![Posix];
    if can_isolate(test) {
        all.push(Linux);
    }
    all
}

/// Starts a process in a session of its own whose parents are gone, then says `up`.
const DAEMON: &str = "(setsid sh -c 'sleep 1000 & sleep 1001' &) ; (sleep 1002 &) ; echo up;";

#[tokio::test(flavor = "multi_thread")]
async fn what_left_its_session_ends_with_the_task() {
    for launcher in launchers("what_left_its_session_ends_with_the_task") {
        let mut bench = Bench::new(launcher);
        let config = bench.container(&format!("{DAEMON} exit 0"));
        let ended = bench.run(config.clone()).await;
        assert_eq!(ended.wait_status, Some(0), "{ended:?}");
        let marker = config.sandbox.display().to_string();
        assert_eq!(processes_with(&marker), Vec::<String>::new());
        bench.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn destroyed_container_leaves_nothing_and_its_status_is_known() {
    for launcher in launchers("destroyed_container_leaves_nothing_and_its_status_is_known") {
        let mut bench = Bench::new(launcher);
        let config = bench.container(&format!("trap '' TERM; {DAEMON} sleep 1003; sleep 1004"));
        bench.launch(config.clone()).await;
        Bench::line(&config, "stdout").await;
        bench.containerizer.destroy(&config.container_id);
        let ended = bench.ended().await;
        assert_eq!(ended.wait_status, Some(libc::SIGKILL), "{ended:?}");
        bench.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_supervisor_takes_the_task_along() {
    for launcher in launchers("killed_supervisor_takes_the_task_along") {
        let mut bench = Bench::new(launcher);
        let config = bench.container(&format!("{DAEMON} sleep 1005"));
        let supervisor = bench.launch(config.clone()).await;
        Bench::line(&config, "stdout").await;
        // SAFETY: our own child, which is still there.
        unsafe { libc::kill(supervisor.cast_signed(), libc::SIGKILL) };
        let ended = bench.ended().await;
        assert_eq!(ended.wait_status, None, "{ended:?}");
        assert!(ended.message.contains("without recording"), "{ended:?}");
        bench.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_first_process_takes_the_task_along() {
    for launcher in launchers("killed_first_process_takes_the_task_along") {
        let mut bench = Bench::new(launcher);
        let config = bench.container(&format!("{DAEMON} sleep 1006"));
        let supervisor = bench.launch(config.clone()).await;
        Bench::line(&config, "stdout").await;
        let path = format!("/proc/{supervisor}/task/{supervisor}/children");
        let children = fs::read_to_string(path).unwrap();
        let first: i32 = children.split_whitespace().next().unwrap().parse().unwrap();
        // SAFETY: a child of our supervisor, which waits for it.
        unsafe { libc::kill(first, libc::SIGKILL) };
        let ended = bench.ended().await;
        assert_eq!(ended.wait_status, Some(libc::SIGKILL), "{ended:?}");
        bench.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn launches_that_fail_halfway_are_undone() {
    for launcher in launchers("launches_that_fail_halfway_are_undone") {
        let mut bench = Bench::new(launcher);
        // The sandbox cannot be made.
        let mut config = bench.container("true");
        fs::write(bench.dir.path().join("file"), "").unwrap();
        config.sandbox = bench.dir.path().join("file/sandbox");
        let ended = bench.run(config).await;
        assert!(ended.message.contains("file"), "{ended:?}");
        // An isolator refuses.
        let mut config = bench.container("true");
        use mesosd::proto::v1;
        config.container = Some(v1::ContainerInfo {
            r#type: v1::container_info::Type::Mesos.into(),
            rlimit_info: Some(v1::RLimitInfo {
                rlimits: vec![v1::r_limit_info::RLimit::default()],
            }),
            ..Default::default()
        });
        let ended = bench.run(config).await;
        assert!(ended.message.contains("posix/rlimits"), "{ended:?}");
        // The task cannot enter its sandbox: found in the container, recorded as a shell would.
        let mut config = bench.container("true\0");
        config.command.shell = Some(true);
        let ended = bench.run(config).await;
        assert_eq!(ended.wait_status, Some(126 << 8), "{ended:?}");
        bench.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_limit_leaves_no_cgroup() {
    if !can_isolate("refused_limit_leaves_no_cgroup") {
        return;
    }
    // The kernel has a largest number of processes.
    let mut bench = Bench::with(Linux, |config| config.pids_max = u64::MAX);
    let ended = bench.run(bench.container("true")).await;
    assert!(ended.message.contains("pids.max"), "{ended:?}");
    assert!(ended.message.contains(&u64::MAX.to_string()), "{ended:?}");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn container_of_a_dead_agent_is_destroyed_by_the_next() {
    for launcher in launchers("container_of_a_dead_agent_is_destroyed_by_the_next") {
        let bench = Bench::new(launcher);
        let config = bench.container(&format!("{DAEMON} sleep 1007"));
        let mut next = Bench::config(bench.dir.path(), &bench.cgroups_root);
        next.launcher = launcher;
        // An agent that is gone: its runtime ends without a word, its containers go on.
        let first = config.clone();
        let bench = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let mut bench = bench;
            runtime.block_on(async {
                bench.launch(first.clone()).await;
                Bench::line(&first, "stdout").await;
            });
            runtime.shutdown_timeout(Duration::from_secs(5));
            bench
        })
        .join()
        .unwrap();
        let marker = config.sandbox.display().to_string();
        assert!(!processes_with(&marker).is_empty());
        let (containerizer, mut events) = tokio::task::spawn_blocking(|| Containerizer::new(next))
            .await
            .unwrap()
            .unwrap();
        assert!(!processes_with(&marker).is_empty());
        containerizer.recover(Vec::new());
        assert_eq!(events.recv().await, Some(ContainerEvent::Recovered));
        // The first process ends the rest as soon as it sees that the supervisor is gone.
        for _ in 0..500 {
            if processes_with(&marker).is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(processes_with(&marker), Vec::<String>::new());
        containerizer.shutdown().await;
        // The dead agent's containerizer still believes in its container: only look at the files.
        assert!(bench.cgroups().is_empty());
        let records = fs::read_dir(bench.dir.path().join("run/containers")).unwrap();
        assert_eq!(records.count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_containers_at_once_leave_nothing() {
    for launcher in launchers("many_containers_at_once_leave_nothing") {
        let mut bench = Bench::new(launcher);
        for number in 0..40 {
            bench
                .containerizer
                .launch(bench.container(&format!("exit {number}")));
        }
        let mut statuses = Vec::new();
        let mut launched = 0;
        while statuses.len() < 40 {
            match bench.event().await {
                ContainerEvent::Recovered => unreachable!("nothing was to be recovered"),
                ContainerEvent::Launched { .. } => launched += 1,
                ContainerEvent::Ended {
                    ended,
                    container_id,
                } => {
                    let sandbox = bench.dir.path().join("runs").join(container_id.as_str());
                    let stderr = fs::read_to_string(sandbox.join("stderr"));
                    let status = ended
                        .wait_status
                        .unwrap_or_else(|| panic!("{ended:?} {stderr:?}"));
                    statuses.push(libc::WEXITSTATUS(status));
                }
            }
        }
        statuses.sort_unstable();
        assert_eq!(statuses, (0..40).collect::<Vec<i32>>());
        assert_eq!(launched, 40);
        bench.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_what_runs() {
    for launcher in launchers("shutdown_ends_what_runs") {
        let mut bench = Bench::new(launcher);
        for _ in 0..5 {
            let config = bench.container(&format!("{DAEMON} sleep 1008"));
            bench.launch(config).await;
        }
        bench.finish().await;
    }
}
