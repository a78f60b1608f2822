//! Task groups under the built-in default executor.

use std::time::Duration;

use mesosd::frameworks::sdk;
use mesosd::proto::v1;
use mesosd::proto::v1::TaskState::{TaskFailed, TaskFinished, TaskKilled, TaskRunning};
use mesosd::proto::v1::task_status::Reason;

use crate::cluster::Cluster;
use crate::leftovers::{NOBODY, processes_of, user_name};
use crate::scheduler::{Scheduler, task, uri};

const AGENT: &str = "cpus:4;mem:2048;disk:1024";

pub(crate) fn executor(id: &str) -> v1::ExecutorInfo {
    v1::ExecutorInfo {
        r#type: Some(v1::executor_info::Type::Default.into()),
        executor_id: id.into(),
        resources: vec![
            sdk::scalar("cpus", 0.1),
            sdk::scalar("mem", 32.0),
            sdk::scalar("disk", 16.0),
        ],
        ..Default::default()
    }
}

/// Where a task of a group has its sandbox, seen from the executor's.
fn nested(status: &v1::TaskStatus) -> String {
    let id = status
        .container_status
        .clone()
        .unwrap()
        .container_id
        .unwrap();
    assert!(id.parent.is_some(), "{id:?}");
    format!("containers/{}", id.value)
}

/// A cluster whose only agent is not root.
fn portable() -> Cluster {
    let mut cluster = Cluster::start(0, AGENT);
    cluster.add_agent_as(NOBODY, AGENT, &[]);
    cluster.wait_for_agents(1);
    cluster
}

#[test]
fn tasks_of_a_group_run_side_by_side_and_end_on_their_own() {
    side_by_side(Cluster::start(1, AGENT), &user_name());
}

#[test]
fn without_root_groups_run_too() {
    if !mesosd::testing::is_root() {
        mesosd::testing::skip("without_root_groups_run_too", "needs to change its user");
        return;
    }
    side_by_side(portable(), "nobody");
}

fn side_by_side(cluster: Cluster, framework_user: &str) {
    let mut scheduler = Scheduler::with(&cluster, "groups", |info| {
        info.user = framework_user.to_owned();
    });
    let isolated = mesosd::testing::is_root() && framework_user != "nobody";
    let script = cluster.dir().join("script");
    std::fs::write(&script, "#!/bin/sh\necho fetched\n").unwrap();
    let mut fetching = task(
        "one",
        "./script; echo $MESOS_TASK_ID $(id -un); pwd; test -d tmp && touch /tmp/mine; sleep 1",
    );
    let command = fetching.command.as_mut().unwrap();
    command.uris = vec![v1::command_info::Uri {
        executable: Some(true),
        ..uri(format!("file://{}", script.display()))
    }];
    let user = if isolated { "nobody" } else { framework_user };
    command.user = Some(user.to_owned());
    let two = task(
        "two",
        "echo err >&2; sleep 1; ls /tmp/mine; ls /proc | grep -c '^[0-9]'",
    );
    scheduler.submit_group(executor("pod"), vec![fetching, two]);
    let one = scheduler.wait_for("one", TaskRunning);
    let two = scheduler.wait_for("two", TaskRunning);
    assert_ne!(nested(&one), nested(&two));
    // Another group joins the running executor.
    scheduler.submit_group(executor("pod"), vec![task("three", "sleep 2; echo third")]);
    scheduler.wait_for("three", TaskRunning);
    for id in ["one", "two", "three"] {
        let end = scheduler.end_of(id);
        assert_eq!(end.state(), TaskFinished, "{end:?} {}", cluster.logs());
    }
    let read = |status: &v1::TaskStatus, name: &str| {
        let path = format!("{}/{name}", nested(status));
        let id = &status.task_id.value;
        String::from_utf8(scheduler.read_of(id, "pod", &path)).unwrap()
    };
    let text = read(&one, "stdout");
    assert!(
        text.starts_with(&format!("fetched\none {user}\n")),
        "{text}"
    );
    assert!(text.trim_end().ends_with(&nested(&one)), "{text}");
    assert!(read(&two, "stderr").starts_with("err\n"));
    if isolated {
        // Neither the other's /tmp nor its processes: process 1, shell, ls and grep.
        let text = read(&two, "stdout");
        let count: u32 = text.trim().parse().unwrap_or_else(|_| panic!("{text}"));
        assert!(count <= 4, "{text}");
    }
    assert_eq!(
        scheduler.read_of("three", "pod", "tasks/three/stdout"),
        b"third\n"
    );
    let output = cluster.command(&["logs", "three"]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "third\n",
        "{output:?}"
    );
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn a_bad_end_is_the_end_of_the_group_and_of_no_other() {
    bad_end(Cluster::start(1, AGENT), &user_name());
    if mesosd::testing::is_root() {
        bad_end(portable(), "nobody");
    }
}

fn bad_end(cluster: Cluster, user: &str) {
    let mut scheduler = Scheduler::with(&cluster, "bad", |info| info.user = user.to_owned());
    let others = "setsid sleep 2006 & echo up; sleep 2007";
    scheduler.submit_group(
        executor("pod"),
        vec![task("fails", "sleep 1; exit 3"), task("sibling", others)],
    );
    scheduler.submit_group(executor("pod"), vec![task("other", others)]);
    for id in ["fails", "sibling", "other"] {
        scheduler.wait_for(id, TaskRunning);
    }
    assert_eq!(scheduler.end_of("fails").state(), TaskFailed);
    assert_eq!(scheduler.end_of("sibling").state(), TaskKilled);
    assert_eq!(processes_of(&scheduler, "sibling"), [""; 0]);
    assert!(processes_of(&scheduler, "other").len() >= 2);
    // The other group has its own fate: it runs until it is killed.
    let running = || {
        let tasks = cluster.json(&["tasks"]);
        tasks.to_string().matches("TASK_RUNNING").count()
    };
    assert_eq!(running(), 1, "{}", cluster.json(&["tasks"]));
    scheduler.kill("other", Some(Duration::from_millis(200)));
    assert_eq!(scheduler.end_of("other").state(), TaskKilled);
    assert_eq!(processes_of(&scheduler, "other"), [""; 0]);

    let mut missing = task("missing", "true");
    missing.command.as_mut().unwrap().uris = vec![uri("/no/such/file")];
    scheduler.submit_group(
        executor("pod-2"),
        vec![missing, task("waits", "sleep 2008")],
    );
    let end = scheduler.end_of("missing");
    assert_eq!(end.state(), TaskFailed);
    assert_eq!(end.reason(), Reason::ContainerLaunchFailed);
    assert!(end.message().contains("/no/such/file"), "{end:?}");
    assert_eq!(scheduler.end_of("waits").state(), TaskKilled);
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn memory_of_a_group_is_limited_together() {
    if !mesosd::testing::is_root() {
        mesosd::testing::skip("memory_of_a_group_is_limited_together", "needs cgroups");
        return;
    }
    let cluster = Cluster::start(1, AGENT);
    let mut scheduler = Scheduler::start(&cluster, "memory");
    let greedy = "sleep 1; head -c 400m /dev/zero | tail; sleep 2009";
    scheduler.submit_group(
        executor("pod"),
        vec![task("greedy", greedy), task("modest", "sleep 2010")],
    );
    let greedy = scheduler.end_of("greedy");
    assert_eq!(greedy.state(), TaskFailed, "{greedy:?}");
    assert_eq!(
        greedy.reason(),
        Reason::ContainerLimitationMemory,
        "{greedy:?}"
    );
    // Two tasks and the executor, 32 MB each.
    assert!(
        greedy.message().contains(&(96 << 20).to_string()),
        "{greedy:?}"
    );
    // It dies with the container, or a moment before that with its group.
    let modest = scheduler.end_of("modest");
    assert!(
        matches!(modest.state(), TaskFailed | TaskKilled),
        "{modest:?}"
    );
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn a_group_whose_agent_crashed_is_gone_with_the_next() {
    let mut cluster = Cluster::start(1, AGENT);
    let mut scheduler = Scheduler::with(&cluster, "crash", |info| info.checkpoint = Some(false));
    let stays = "setsid sleep 2011 & sleep 2012";
    scheduler.submit_group(executor("pod"), vec![task("a", stays), task("b", stays)]);
    for id in ["a", "b"] {
        scheduler.wait_for(id, TaskRunning);
    }
    cluster.agents[0].crash_and_restart();
    for id in ["a", "b"] {
        assert_ne!(scheduler.end_of(id).state(), TaskFinished);
    }
    cluster.wait_until("nothing is left", Duration::from_secs(20), || {
        let mut ids = ["a", "b"].into_iter();
        ids.all(|id| processes_of(&scheduler, id).is_empty()) && cluster.containers().is_empty()
    });
    scheduler.teardown();
    cluster.stop();
}
