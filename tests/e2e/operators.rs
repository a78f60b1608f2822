//! Operators' words on real processes: an agent is drained, kept from offers, taken back; the master
//! that is killed in between remembers.

use std::process::Stdio;
use std::time::Duration;

use mesosd::proto::v1::TaskState::{TaskFinished, TaskGoneByOperator, TaskKilled, TaskRunning};
use nix::sys::signal::Signal;

use crate::agent_recovery::wait_for_registrations;
use crate::cluster::Cluster;
use crate::leftovers::processes_of;
use crate::scheduler::{Scheduler, task};

const LIMIT: Duration = Duration::from_secs(30);

fn state(cluster: &Cluster) -> String {
    let agents = cluster.json(&["agents"]);
    agents[0]["state"].as_str().unwrap_or_default().to_owned()
}

fn says(cluster: &Cluster, words: &[&str]) -> String {
    let output = cluster.command(words).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_drained_agent_stays_so_through_the_masters_death() {
    let mut cluster = Cluster::start(1, "cpus:2;mem:512;disk:1024");
    cluster.wait_for_agents(1);
    let mut run = cluster
        .command(&[
            "run", "--name", "stubborn", "--cpus", "1", "--mem", "64", "--",
        ])
        .args(["sh", "-c", "trap '' TERM; while true; do sleep 0.1; done"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    cluster.wait_until("the task runs", LIMIT, || {
        let tasks = cluster.json(&["ps", "--state", "running"]);
        tasks.as_array().unwrap().len() == 1
    });
    let agents = cluster.json(&["agents"]);
    let host = agents[0]["id"].as_str().unwrap().to_owned();
    let said = says(&cluster, &["drain", &host, "--max-grace-period=1secs"]);
    assert!(said.starts_with(&host), "{said}");
    cluster.wait_until("the agent is drained", LIMIT, || {
        state(&cluster) == "drained"
    });
    assert!(!run.wait().unwrap().success(), "the task was killed");

    let weights = says(&cluster, &["weights", "set", "ads=2.5"]);
    assert!(
        weights.contains("ads") && weights.contains("2.5"),
        "{weights}"
    );
    says(&cluster, &["quota", "set", "ads", "--limit=cpus:1"]);
    cluster.master.crash_and_restart();
    cluster.wait_until("the agent is back, drained", LIMIT, || {
        state(&cluster) == "drained"
    });
    assert_eq!(cluster.json(&["weights"])[0]["weight"], 2.5);
    assert_eq!(cluster.json(&["quota"])[0]["limits"]["cpus"], 1.0);
    says(&cluster, &["quota", "remove", "ads"]);
    says(&cluster, &["reactivate", &host]);
    assert_eq!(state(&cluster), "active");
    let ran = says(
        &cluster,
        &["run", "--cpus", "0.1", "--mem", "32", "--", "echo", "again"],
    );
    assert_eq!(ran, "again\n");
}

/// Ends when it is told to.
const TIDY: &str = "trap 'exit 1' TERM; while true; do sleep 0.1; done";
/// Ends only when it is made to.
const STUBBORN: &str = "trap '' TERM; while true; do sleep 0.1; done";

fn only_agent(cluster: &Cluster) -> String {
    let agents = cluster.json(&["agents"]);
    agents[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_deactivated_agent_keeps_its_tasks_and_gets_no_more() {
    let mut cluster = Cluster::start(1, "cpus:2;mem:512;disk:1024");
    let id = only_agent(&cluster);
    let mut scheduler = Scheduler::start(&cluster, "operators");
    scheduler.submit(task("stays", TIDY));
    scheduler.wait_for("stays", TaskRunning);
    says(&cluster, &["deactivate", &id]);
    assert_eq!(state(&cluster), "deactivated");
    scheduler.submit(task("waits", "true"));
    scheduler.settle(Duration::from_millis(1500));
    assert!(!processes_of(&scheduler, "stays").is_empty());
    // The registry remembers it, and the agent comes back as it was.
    cluster.master.crash_and_restart();
    cluster.wait_until("it is back, deactivated", LIMIT, || {
        state(&cluster) == "deactivated"
    });
    scheduler.settle(Duration::from_millis(1500));
    assert_eq!(cluster.json(&["ps"]).as_array().unwrap().len(), 1);
    says(&cluster, &["reactivate", &id]);
    assert_eq!(scheduler.end_of("waits").state(), TaskFinished);
    assert!(!processes_of(&scheduler, "stays").is_empty());
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn a_drain_goes_on_when_its_agent_comes_back_and_may_end_in_gone() {
    let mut cluster = Cluster::start(1, "cpus:2;mem:512;disk:1024");
    let id = only_agent(&cluster);
    let mut scheduler = Scheduler::start(&cluster, "operators");
    for (name, command) in [("tidy", TIDY), ("stubborn", STUBBORN)] {
        scheduler.submit(task(name, command));
        scheduler.wait_for(name, TaskRunning);
    }
    // The agent is away when the operator speaks.
    let agent = &mut cluster.agents[0];
    agent.signal(Signal::SIGKILL);
    agent.wait(LIMIT);
    let words = ["drain", &id, "--max-grace-period=1secs", "--mark-gone"];
    says(&cluster, &words);
    assert_eq!(state(&cluster), "draining");
    cluster.agents[0].start_again(&[]);
    wait_for_registrations(&cluster, 2);
    // It may be asked to end once more while it drains.
    cluster.agents[0].restart(Signal::SIGTERM, &[]);
    for name in ["tidy", "stubborn"] {
        let end = scheduler.end_of(name);
        assert_eq!(end.state(), TaskKilled, "{end:?}");
        assert_eq!(processes_of(&scheduler, name), [""; 0]);
    }
    assert_eq!(
        state(&cluster),
        "draining",
        "the last end is not acknowledged"
    );
    scheduler.settle(Duration::from_millis(500));
    // Empty, it is given up for good and ends.
    let code = cluster.agents[0].wait(LIMIT);
    let log = cluster.agents[0].log();
    assert!(log.contains("was marked gone"), "{code:?} {log}");
    let agents = cluster.json(&["agents"]);
    assert_eq!(agents.as_array().unwrap().len(), 0, "{agents}");
    let again = cluster.command(&["reactivate", &id]).output().unwrap();
    assert_eq!(again.status.code(), Some(64), "{again:?}");
    scheduler.teardown();
}

#[test]
fn a_drain_of_an_agent_that_never_comes_back_can_be_ended() {
    if !mesosd::testing::is_root() {
        mesosd::testing::skip("operators: a dead agent", "needs root and control groups");
        return;
    }
    let mut cluster = Cluster::start(1, "cpus:2;mem:512;disk:1024");
    let id = only_agent(&cluster);
    let mut scheduler = Scheduler::start(&cluster, "operators");
    scheduler.submit(task("lost", TIDY));
    scheduler.wait_for("lost", TaskRunning);
    cluster.cut_power(0);
    says(&cluster, &["drain", &id]);
    assert_eq!(state(&cluster), "draining");
    let early = cluster.command(&["reactivate", &id]).output().unwrap();
    assert_eq!(early.status.code(), Some(64), "it drains still: {early:?}");
    says(&cluster, &["gone", &id]);
    let end = scheduler.end_of("lost");
    assert_eq!(end.state(), TaskGoneByOperator, "{end:?}");
    scheduler.teardown();
}
