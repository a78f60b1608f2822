//! Nothing outlives a task, an agent or a cluster that has ended, however it ended.

use std::path::PathBuf;
use std::time::Duration;

use mesosd::proto::v1::TaskState::{TaskFinished, TaskKilled, TaskRunning};

use crate::cluster::Cluster;
use crate::scheduler::{Scheduler, task};

const AGENT: &str = "cpus:4;mem:2048;disk:1024";
pub(crate) const NOBODY: u32 = 65534;

/// Processes that have a task's environment, as command lines.
pub(crate) fn processes_of(scheduler: &Scheduler, task: &str) -> Vec<String> {
    let wanted = [
        format!("MESOS_FRAMEWORK_ID={}", scheduler.id()),
        format!("MESOS_TASK_ID={task}"),
    ];
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == own || name.parse::<u32>().is_err() {
            continue;
        }
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment);
        let mut all = wanted.iter();
        if all.all(|wanted| environment.split('\0').any(|one| one == wanted)) {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push(String::from_utf8_lossy(&command).replace('\0', " "));
        }
    }
    found
}

/// Leaves a process in a session of its own whose parents are gone, and one that forked twice.
const DAEMONS: &str = "setsid sh -c 'sleep 2001 & sleep 2002' & (sleep 2003 &); sleep 0.2;";

/// Runs tasks that leave daemons behind; each must be gone when the end of its task is told.
fn leave_daemons(cluster: &Cluster, user: &str) {
    let mut scheduler = Scheduler::with(cluster, "daemons", |info| info.user = user.to_owned());
    scheduler.submit(task("ends", &format!("{DAEMONS} id -un; exit 0")));
    assert_eq!(scheduler.end_of("ends").state(), TaskFinished);
    assert_eq!(scheduler.text("ends", "stdout"), format!("{user}\n"));
    assert_eq!(processes_of(&scheduler, "ends"), [""; 0]);
    scheduler.submit(task(
        "killed",
        &format!("trap '' TERM; {DAEMONS} echo up; sleep 2004"),
    ));
    scheduler.wait_for("killed", TaskRunning);
    cluster.wait_until("the daemons run", Duration::from_secs(10), || {
        scheduler.text("killed", "stdout") == "up\n"
    });
    assert!(processes_of(&scheduler, "killed").len() >= 4);
    scheduler.kill("killed", Some(Duration::from_millis(300)));
    assert_eq!(scheduler.end_of("killed").state(), TaskKilled);
    assert_eq!(processes_of(&scheduler, "killed"), [""; 0]);
    scheduler.teardown();
}

/// The user of the tests, and of the agents that they start.
pub(crate) fn user_name() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid())
        .unwrap()
        .unwrap()
        .name
}

#[test]
fn daemons_of_a_task_end_with_it() {
    let cluster = Cluster::start(1, AGENT);
    leave_daemons(&cluster, &user_name());
    cluster.stop();
}

#[test]
fn an_agent_without_root_ends_daemons_too() {
    if !mesosd::testing::is_root() {
        mesosd::testing::skip(
            "an_agent_without_root_ends_daemons_too",
            "needs to change its user",
        );
        return;
    }
    let mut cluster = Cluster::start(0, AGENT);
    cluster.add_agent_as(NOBODY, AGENT, &[]);
    cluster.wait_for_agents(1);
    let log = cluster.agents[0].log();
    assert!(
        log.contains("tasks run without isolation, by the posix launcher: not running as root")
    );
    leave_daemons(&cluster, "nobody");
    cluster.stop();
}

/// The runs that the agent has made for an executor.
fn runs(cluster: &Cluster, framework: &str, executor: &str) -> Vec<PathBuf> {
    let agents = std::fs::read_dir(cluster.work_dir(0).join("slaves")).unwrap();
    let below = format!("frameworks/{framework}/executors/{executor}/runs");
    let runs = agents.flatten().map(|agent| agent.path().join(&below));
    runs.filter_map(|runs| std::fs::read_dir(runs).ok())
        .flat_map(|entries| entries.flatten())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.path())
        .collect()
}

/// Kills the agent without warning while a task of a framework without checkpoints runs, starts it again,
/// and looks for what is left.
fn crash(mut cluster: Cluster, user: &str) {
    let mut scheduler = Scheduler::with(&cluster, "crash", |info| {
        info.user = user.to_owned();
        info.checkpoint = Some(false);
    });
    scheduler.submit(task(
        "victim",
        &format!("{DAEMONS} echo up; exec sleep 2005"),
    ));
    scheduler.wait_for("victim", TaskRunning);
    cluster.wait_until("the daemons run", Duration::from_secs(10), || {
        scheduler.text("victim", "stdout") == "up\n"
    });
    assert!(processes_of(&scheduler, "victim").len() >= 4);
    cluster.agents[0].crash_and_restart();
    cluster.wait_until("the agent is back", Duration::from_secs(20), || {
        cluster.agents[0]
            .log()
            .matches("registered with the master")
            .count()
            == 2
    });
    let end = scheduler.end_of("victim");
    assert!(!matches!(end.state(), TaskFinished), "{end:?}");
    assert_eq!(
        processes_of(&scheduler, "victim"),
        [""; 0],
        "{}",
        cluster.logs()
    );
    assert_eq!(
        cluster.containers(),
        Vec::<PathBuf>::new(),
        "{}",
        cluster.logs()
    );
    let runs = runs(&cluster, &scheduler.id(), "victim");
    assert_eq!(runs.len(), 1, "run twice: {runs:?}");
    assert_eq!(
        std::fs::read_to_string(runs[0].join("stdout")).unwrap(),
        "up\n"
    );
    // The agent works on.
    scheduler.submit(task("next", "true"));
    assert_eq!(scheduler.end_of("next").state(), TaskFinished);
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn a_crashed_agent_leaves_nothing_to_the_next() {
    crash(Cluster::start(1, AGENT), &user_name());
}

#[test]
fn a_crashed_agent_without_root_leaves_nothing_to_the_next() {
    let name = "a_crashed_agent_without_root_leaves_nothing_to_the_next";
    if !mesosd::testing::is_root() {
        mesosd::testing::skip(name, "needs to change its user");
        return;
    }
    let mut cluster = Cluster::start(0, AGENT);
    cluster.add_agent_as(NOBODY, AGENT, &[]);
    cluster.wait_for_agents(1);
    crash(cluster, "nobody");
}
