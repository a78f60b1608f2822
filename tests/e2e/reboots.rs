//! An agent whose host was started anew: nothing runs any more, the boot has another name, and only what
//! is on its disk is left. And agents whose description has changed.

use std::time::Duration;

use mesosd::proto::v1::TaskState::{TaskFailed, TaskFinished, TaskGone, TaskRunning};
use mesosd::proto::v1::task_status::Reason;
use nix::sys::signal::Signal;

use crate::agent_recovery::{let_end, shared, wait_for_registrations, waits};
use crate::cluster::{Cluster, MESOSD};
use crate::groups::executor;
use crate::leftovers::processes_of;
use crate::scheduler::{Scheduler, task};

const AGENT: &str = "cpus:4;mem:2048;disk:1024";
const MORE: &str = "--resources=cpus:8;mem:4096;disk:2048";
const LESS: &str = "--resources=cpus:1;mem:512;disk:512";
const LIMIT: Duration = Duration::from_secs(30);
/// Another name of the boot, for one process and what it starts.
const UNDER_ANOTHER_BOOT: &str =
    "mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"";

fn ids(cluster: &Cluster) -> Vec<String> {
    let agents = cluster.json(&["agents"]);
    let agents = agents.as_array().unwrap().iter();
    let active = agents.filter(|agent| agent["active"] == true);
    active
        .map(|agent| agent["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Takes the power from the only agent and gives it back.
fn reboot(cluster: &mut Cluster, more: &[&str]) {
    cluster.cut_power(0);
    let boot = cluster.dir().join("boot");
    std::fs::write(&boot, "6c0a7f3e-0000-4000-8000-000000000001\n").unwrap();
    let boot = boot.display().to_string();
    let agent = &mut cluster.agents[0];
    agent.set_program(&[
        "unshare",
        "-m",
        "sh",
        "-c",
        UNDER_ANOTHER_BOOT,
        &boot,
        MESOSD,
    ]);
    agent.start_again(more);
}

fn can_reboot(test: &str) -> bool {
    let root = mesosd::testing::is_root();
    if !root {
        mesosd::testing::skip(test, "needs root: the name of the boot is mounted over");
    }
    root
}

#[test]
fn after_a_boot_the_agent_is_the_same_and_says_what_has_ended() {
    if !can_reboot("reboots: the same agent") {
        return;
    }
    let mut cluster = Cluster::start(1, AGENT);
    let dir = shared();
    let mut scheduler = Scheduler::start(&cluster, "reboot");
    scheduler.submit(waits(dir.path(), "single", 0));
    scheduler.submit_group(executor("pod"), vec![waits(dir.path(), "member", 0)]);
    scheduler.submit(waits(dir.path(), "done", 0));
    for name in ["single", "member", "done"] {
        scheduler.wait_for(name, TaskRunning);
    }
    let_end(dir.path(), "done");
    let done = scheduler.end_of("done");
    let before = ids(&cluster);
    reboot(&mut cluster, &[]);
    wait_for_registrations(&cluster, 2);
    assert_eq!(ids(&cluster), before, "the same agent");
    for name in ["single", "member"] {
        let end = scheduler.end_of(name);
        assert_eq!(end.state(), TaskFailed, "{end:?}");
        assert_eq!(end.reason(), Reason::ExecutorTerminated, "{end:?}");
        assert!(scheduler.no_more_than(&end), "{name} has ended twice");
        assert_eq!(processes_of(&scheduler, name), [""; 0]);
    }
    assert!(scheduler.no_more_than(&done), "what was over stays so");
    cluster.wait_until("nothing is used any more", LIMIT, || {
        let agents = cluster.json(&["agents"]);
        agents[0]["allocated"]["cpus"].as_f64().unwrap_or(0.0) == 0.0
    });
    scheduler.submit(task("next", "true"));
    assert_eq!(scheduler.end_of("next").state(), TaskFinished);
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn after_a_boot_with_less_memory_it_is_another_agent() {
    if !can_reboot("reboots: another agent") {
        return;
    }
    let mut cluster = Cluster::start(1, AGENT);
    let dir = shared();
    let mut scheduler = Scheduler::start(&cluster, "reboot");
    scheduler.submit(waits(dir.path(), "single", 0));
    scheduler.wait_for("single", TaskRunning);
    let before = ids(&cluster);
    reboot(&mut cluster, &[LESS]);
    wait_for_registrations(&cluster, 2);
    let end = scheduler.end_of("single");
    assert_eq!(end.state(), TaskGone, "{end:?}");
    assert_eq!(end.reason(), Reason::AgentRemoved, "{end:?}");
    cluster.wait_until("it is another one", LIMIT, || {
        let now = ids(&cluster);
        now.len() == 1 && now != before
    });
    scheduler.submit(task("next", "true"));
    assert_eq!(scheduler.end_of("next").state(), TaskFinished);
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn an_agent_may_grow_under_its_tasks_where_the_policy_says_so() {
    let mut cluster = Cluster::start(1, AGENT);
    let dir = shared();
    let mut scheduler = Scheduler::start(&cluster, "grows");
    scheduler.submit(waits(dir.path(), "stays", 0));
    scheduler.wait_for("stays", TaskRunning);
    let before = ids(&cluster);
    let additive = "--reconfiguration_policy=additive";
    let agent = &mut cluster.agents[0];
    agent.signal(Signal::SIGKILL);
    agent.wait(LIMIT);
    for (flags, policy) in [
        (vec![MORE], "equal"),
        (vec![additive, LESS], "additive"),
        (vec![additive, "--hostname=other.test"], "additive"),
    ] {
        assert_eq!(agent.run_to_end(&flags), Some(64), "{flags:?}");
        let log = agent.log();
        let last = log.lines().last().unwrap_or_default();
        let named = format!("--reconfiguration_policy={policy}: ");
        assert!(last.contains(&named), "{flags:?}: {last}");
    }
    agent.start_again(&[additive, MORE, "--attributes=rack:r1"]);
    wait_for_registrations(&cluster, 2);
    assert_eq!(ids(&cluster), before);
    cluster.wait_until("it has grown", LIMIT, || {
        cluster.json(&["agents"])[0]["total"]["cpus"] == 8.0
    });
    let_end(dir.path(), "stays");
    assert_eq!(scheduler.end_of("stays").state(), TaskFinished);
    scheduler.teardown();
    cluster.stop();
}
