//! Schedulers and executors that go away: what they leave ends, when its time has come, and everybody is
//! told.

use std::time::{Duration, Instant};

use mesosd::proto::v1::TaskState::{TaskFailed, TaskFinished, TaskKilled, TaskRunning};
use mesosd::proto::v1::task_status::Reason;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::agent_recovery::{let_end, shared, starts, waits};
use crate::cluster::Cluster;
use crate::groups::executor;
use crate::leftovers::processes_of;
use crate::scheduler::{Scheduler, task};

const AGENT: &str = "cpus:4;mem:2048;disk:1024";
const LIMIT: Duration = Duration::from_secs(20);

fn states_of(cluster: &Cluster, framework: &str) -> Vec<String> {
    let tasks = cluster.json(&["ps"]);
    let tasks = tasks.as_array().unwrap().iter();
    tasks
        .filter(|task| task["framework_id"] == framework)
        .map(|task| task["state"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn tasks_wait_for_their_scheduler_as_long_as_it_has_asked_for() {
    let cluster = Cluster::start(1, AGENT);
    let dir = shared();
    for (name, timeout) in [("none", 0.0), ("some", 3.0)] {
        let mut scheduler = Scheduler::with(&cluster, name, |info| {
            info.failover_timeout = Some(timeout);
        });
        scheduler.submit(waits(dir.path(), name, 0));
        scheduler.wait_for(name, TaskRunning);
        let id = scheduler.id();
        let begin = Instant::now();
        drop(scheduler);
        if timeout > 0.0 {
            std::thread::sleep(Duration::from_millis(1500));
            assert_eq!(states_of(&cluster, &id), ["TASK_RUNNING"]);
        }
        cluster.wait_until("the framework ends", LIMIT, || {
            states_of(&cluster, &id).is_empty()
        });
        let waited = begin.elapsed().as_secs_f64();
        assert!(waited >= timeout, "{name}: only {waited} s");
        cluster.wait_until("its containers end", LIMIT, || {
            cluster.containers().is_empty()
        });
        // Its id is never valid again.
        let all = cluster.json(&["frameworks", "--all"]);
        let mut all = all.as_array().unwrap().iter();
        let over = all.find(|framework| framework["id"] == *id).unwrap();
        assert_eq!(over["live"], false, "{over}");
    }
    cluster.stop();
}

#[test]
fn a_scheduler_that_comes_back_in_time_has_its_tasks() {
    let cluster = Cluster::start(1, AGENT);
    let dir = shared();
    let mut first = Scheduler::with(&cluster, "back", |info| {
        info.failover_timeout = Some(60.0);
    });
    first.submit(waits(dir.path(), "stays", 0));
    first.wait_for("stays", TaskRunning);
    let id = first.id();
    drop(first);
    // Its end is told to the next one.
    let_end(dir.path(), "stays");
    std::thread::sleep(Duration::from_millis(500));
    let mut second = Scheduler::with(&cluster, "back", |info| {
        info.failover_timeout = Some(60.0);
        info.id = Some(id.as_str().into());
    });
    assert_eq!(second.id(), id);
    assert_eq!(second.end_of("stays").state(), TaskFinished);
    assert_eq!(starts(dir.path(), "stays"), 1);
    second.teardown();
    cluster.stop();
}

/// The processes that supervise the containers of `agent-0`.
fn supervisors(cluster: &Cluster) -> Vec<Pid> {
    let containers = cluster.work_dir(0).join("run/containers");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(containers).unwrap().flatten() {
        if let Ok(text) = std::fs::read_to_string(entry.path().join("pid")) {
            let record: serde_json::Value = serde_json::from_str(&text).unwrap();
            let pid = record["pid"].as_i64().unwrap();
            found.push(Pid::from_raw(i32::try_from(pid).unwrap()));
        }
    }
    found
}

/// The only one, as soon as what ended before is cleared away.
fn supervisor(cluster: &Cluster) -> Pid {
    cluster.wait_until("one container is left", LIMIT, || {
        supervisors(cluster).len() == 1
    });
    supervisors(cluster)[0]
}

#[test]
fn tasks_end_with_their_executor() {
    let cluster = Cluster::start(1, AGENT);
    let dir = shared();
    let mut scheduler = Scheduler::start(&cluster, "losses");
    scheduler.submit(waits(dir.path(), "single", 0));
    scheduler.wait_for("single", TaskRunning);
    kill(supervisor(&cluster), Signal::SIGKILL).unwrap();
    let end = scheduler.end_of("single");
    assert_eq!(end.state(), TaskFailed, "{end:?}");
    assert_eq!(end.reason(), Reason::ExecutorTerminated, "{end:?}");
    assert_eq!(processes_of(&scheduler, "single"), [""; 0]);
    assert!(scheduler.no_more_than(&end));

    let members = vec![waits(dir.path(), "a", 0), waits(dir.path(), "b", 0)];
    scheduler.submit_group(executor("pod"), members);
    for name in ["a", "b"] {
        scheduler.wait_for(name, TaskRunning);
    }
    kill(supervisor(&cluster), Signal::SIGKILL).unwrap();
    for name in ["a", "b"] {
        let end = scheduler.end_of(name);
        assert_eq!(end.state(), TaskFailed, "{end:?}");
        assert_eq!(processes_of(&scheduler, name), [""; 0]);
        assert_eq!(starts(dir.path(), name), 1);
    }
    cluster.wait_until("nothing is left", LIMIT, || cluster.containers().is_empty());
    scheduler.teardown();
    cluster.stop();
}

/// A stopped executor answers nobody; whoever kills its task, or goes, gets rid of it all the same.
#[test]
fn an_executor_that_stands_still_does_not_keep_its_task() {
    let flags = ["--executor_shutdown_grace_period=1secs"];
    let cluster = Cluster::with_flags(1, AGENT, &[], &flags);
    let mut scheduler = Scheduler::start(&cluster, "losses");
    scheduler.submit(task("stuck", "exec sleep 1014"));
    scheduler.wait_for("stuck", TaskRunning);
    kill(supervisor(&cluster), Signal::SIGSTOP).unwrap();
    scheduler.kill("stuck", None);
    scheduler.settle(Duration::from_millis(500));
    scheduler.teardown();
    cluster.wait_until("the container ends", LIMIT, || {
        cluster.containers().is_empty()
    });
    assert_eq!(processes_of(&scheduler, "stuck"), [""; 0]);
    cluster.stop();
}

/// A damaged journal is refused; with `--strict=false` what can be read goes on, and the rest is ended and
/// told.
#[test]
fn what_a_damaged_journal_has_lost_is_ended_and_told() {
    let mut cluster = Cluster::start(1, AGENT);
    let dir = shared();
    let mut scheduler = Scheduler::start(&cluster, "damage");
    for name in ["first", "second"] {
        scheduler.submit(waits(dir.path(), name, 0));
        scheduler.wait_for(name, TaskRunning);
        scheduler.settle(Duration::from_millis(500));
    }
    let journal = cluster.work_dir(0).join("meta/journal");
    cluster.agents[0].signal(Signal::SIGKILL);
    cluster.agents[0].wait(LIMIT);
    let mut bytes = std::fs::read(&journal).unwrap();
    // In the first record that names the second task; more follow it.
    let at = bytes.windows(6).position(|part| part == b"second").unwrap();
    bytes[at] ^= 0xff;
    std::fs::write(&journal, &bytes).unwrap();
    let agent = &mut cluster.agents[0];
    assert_eq!(agent.run_to_end(&[]), Some(64), "{}", agent.log());
    let log = agent.log();
    assert!(log.contains("--strict=false"), "{log}");
    for name in ["first", "second"] {
        assert!(!processes_of(&scheduler, name).is_empty(), "{name} goes on");
    }
    agent.start_again(&["--strict=false"]);
    let lost = scheduler.end_of("second");
    assert_ne!(lost.state(), TaskFinished, "{lost:?}");
    cluster.wait_until("the orphan ends", LIMIT, || {
        processes_of(&scheduler, "second").is_empty()
    });
    scheduler.kill("first", None);
    assert_eq!(scheduler.end_of("first").state(), TaskKilled);
    assert_eq!(starts(dir.path(), "first"), 1);
    scheduler.teardown();
    cluster.stop();
}
