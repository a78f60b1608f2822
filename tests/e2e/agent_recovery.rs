//! Agents that end, however, and come back: what runs goes on, once, and its end is told, once.

use std::path::Path;
use std::time::Duration;

use mesosd::proto::v1;
use mesosd::proto::v1::TaskState::{TaskFailed, TaskFinished, TaskKilled, TaskLost, TaskRunning};
use mesosd::proto::v1::task_status::Reason;
use nix::sys::signal::Signal;

use crate::agent_api::call;
use crate::cluster::{Cluster, python};
use crate::groups::executor;
use crate::leftovers::processes_of;
use crate::scheduler::{Scheduler, resources, shell, task};

const AGENT: &str = "cpus:4;mem:2048;disk:1024";
const LIMIT: Duration = Duration::from_secs(20);

/// Says that it has started, waits for the file `name`, and ends with `code`.
pub(crate) fn waits(dir: &Path, name: &str, code: i32) -> v1::TaskInfo {
    let dir = dir.display();
    task(
        name,
        &format!(
            "echo started >> {dir}/{name}.starts; until [ -e {dir}/{name} ]; do sleep 0.05; done; \
             exit {code}"
        ),
    )
}

/// A folder that tasks see as well: they have a /tmp of their own.
pub(crate) fn shared() -> tempfile::TempDir {
    tempfile::tempdir_in("/var/tmp").unwrap()
}

pub(crate) fn let_end(dir: &Path, name: &str) {
    std::fs::write(dir.join(name), "").unwrap();
}

pub(crate) fn starts(dir: &Path, name: &str) -> usize {
    let text = std::fs::read_to_string(dir.join(format!("{name}.starts"))).unwrap();
    text.lines().count()
}

pub(crate) fn wait_for_registrations(cluster: &Cluster, count: usize) {
    cluster.wait_until("the agent is back", LIMIT, || {
        let log = cluster.agents[0].log();
        log.matches("registered with the master").count() == count
    });
}

#[test]
fn tasks_go_on_while_their_agent_is_away() {
    let mut cluster = Cluster::start(1, AGENT);
    let dir = shared();
    let mut scheduler = Scheduler::start(&cluster, "recovery");
    let dir = dir.path();
    for name in ["after", "away", "killed"] {
        scheduler.submit(waits(dir, name, 3));
        scheduler.wait_for(name, TaskRunning);
    }
    for (life, signal) in [Signal::SIGKILL, Signal::SIGTERM].into_iter().enumerate() {
        cluster.agents[0].restart(signal, &[]);
        wait_for_registrations(&cluster, life + 2);
    }
    let id = scheduler.agent("after");
    let agents = cluster.json(&["agents"]);
    assert!(agents.to_string().contains(&id), "another id: {agents}");

    // One ends when its agent is back, one while it is away, one is killed by its new agent.
    let_end(dir, "after");
    let after = scheduler.end_of("after");
    assert_eq!(after.state(), TaskFailed);
    assert_eq!(after.message(), "Command exited with status 3");
    cluster.agents[0].signal(Signal::SIGKILL);
    let_end(dir, "away");
    std::thread::sleep(Duration::from_millis(500));
    cluster.agents[0].crash_and_restart();
    let away = scheduler.end_of("away");
    assert_eq!(away.state(), TaskFailed);
    assert_eq!(away.message(), "Command exited with status 3");
    scheduler.kill("killed", None);
    let killed = scheduler.end_of("killed");
    assert_eq!(killed.state(), TaskKilled);
    for (name, last) in [("after", after), ("away", away), ("killed", killed)] {
        assert_eq!(starts(dir, name), 1);
        assert_eq!(processes_of(&scheduler, name), [""; 0]);
        assert!(scheduler.no_more_than(&last), "{name} has ended twice");
    }
    cluster.wait_until("the containers go", LIMIT, || {
        cluster.containers().is_empty()
    });
    scheduler.submit(task("next", "true"));
    assert_eq!(scheduler.end_of("next").state(), TaskFinished);
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn a_group_goes_on_and_its_limits_hold() {
    let mut cluster = Cluster::start(1, AGENT);
    let dir = shared();
    let dir = dir.path();
    let mut scheduler = Scheduler::start(&cluster, "recovery");
    scheduler.submit_group(
        executor("pod"),
        vec![waits(dir, "a", 0), waits(dir, "b", 0)],
    );
    let path = dir.display();
    scheduler.submit(task(
        "greedy",
        &format!("until [ -e {path}/grow ]; do sleep 0.05; done; head -c 200m /dev/zero | tail; sleep 1000"),
    ));
    for id in ["a", "b", "greedy"] {
        scheduler.wait_for(id, TaskRunning);
    }
    cluster.agents[0].restart(Signal::SIGKILL, &[]);
    wait_for_registrations(&cluster, 2);
    for id in ["a", "b"] {
        let_end(dir, id);
        assert_eq!(scheduler.end_of(id).state(), TaskFinished);
        assert_eq!(starts(dir, id), 1);
    }
    let_end(dir, "grow");
    let end = scheduler.end_of("greedy");
    assert_eq!(end.state(), TaskFailed);
    if mesosd::testing::is_root() {
        assert_eq!(end.reason(), Reason::ContainerLimitationMemory, "{end:?}");
    }
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn without_checkpoints_tasks_end_with_the_agent() {
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let mut cluster = Cluster::start(1, AGENT);
        let mut scheduler = Scheduler::with(&cluster, "careless", |info| {
            info.checkpoint = Some(false);
        });
        scheduler.submit(task("goes", "exec sleep 1011"));
        scheduler.wait_for("goes", TaskRunning);
        cluster.agents[0].restart(signal, &[]);
        let end = scheduler.end_of("goes");
        assert_eq!(end.state(), TaskLost, "{end:?}");
        cluster.wait_until("its processes end", LIMIT, || {
            processes_of(&scheduler, "goes").is_empty()
        });
        scheduler.teardown();
        cluster.stop();
    }
}

/// A task of an executor of ours, in Python.
fn under(python: &Path, script: &str, name: &str) -> v1::TaskInfo {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = folder.join("tests/python").join(script);
    let mut task = task(name, "");
    task.command = None;
    task.executor = Some(v1::ExecutorInfo {
        r#type: Some(v1::executor_info::Type::Custom.into()),
        executor_id: "own".into(),
        resources: resources(0.1, 64.0),
        command: Some(v1::CommandInfo {
            environment: Some(v1::Environment {
                variables: vec![v1::environment::Variable {
                    name: "MESOSD_PROTO".to_owned(),
                    value: Some(folder.join("proto").display().to_string()),
                    ..Default::default()
                }],
            }),
            ..shell(&format!("exec {} {}", python.display(), script.display()))
        }),
        ..Default::default()
    });
    task
}

/// The restart of an agent under executors that are no built-in ones: one task goes on, one has ended
/// while the agent was away.
fn own_executor_comes_back(python: &Path, script: &str) {
    let flags = ["--executor_reregistration_timeout=10secs"];
    let mut cluster = Cluster::with_flags(1, AGENT, &[], &flags);
    let mut scheduler = Scheduler::start(&cluster, "recovery");
    for name in ["alone", "stays"] {
        scheduler.submit(under(python, script, name));
        scheduler.wait_for(name, TaskRunning);
    }
    cluster.agents[0].signal(Signal::SIGKILL);
    std::thread::sleep(Duration::from_millis(500));
    cluster.agents[0].crash_and_restart();
    let alone = scheduler.end_of("alone");
    assert_eq!(alone.state(), TaskFinished, "{alone:?}\n{}", cluster.logs());
    // Once more, with nothing that is open.
    cluster.agents[0].restart(Signal::SIGKILL, &[]);
    wait_for_registrations(&cluster, 3);
    cluster.wait_until("the executor is back", LIMIT, || {
        let said = scheduler.read_of("stays", "own", "stdout");
        let said = String::from_utf8(said).unwrap();
        said.matches("registered again").count() == 2 || said.matches("subscribe 200").count() == 3
    });
    scheduler.kill("stays", None);
    let stays = scheduler.end_of("stays");
    assert_eq!(stays.state(), TaskKilled, "{stays:?}\n{}", cluster.logs());
    assert!(scheduler.no_more_than(&stays));
    // What has ended is still shown by the third life of the agent.
    let agent = cluster.agents[0].address;
    let tasks = call(agent, &serde_json::json!({"type": "GET_TASKS"})).json();
    let completed = tasks["get_tasks"]["completed_tasks"].to_string();
    assert!(completed.contains("\"alone\""), "{tasks}");
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn a_v0_executor_is_called_back() {
    if let Some(python) = python("a_v0_executor_is_called_back") {
        own_executor_comes_back(&python, "v0_executor.py");
    }
}

#[test]
fn an_http_executor_subscribes_again() {
    if let Some(python) = python("an_http_executor_subscribes_again") {
        own_executor_comes_back(&python, "executor_http.py");
    }
}

#[test]
fn a_pymesos_executor_subscribes_again() {
    if let Some(python) = python("a_pymesos_executor_subscribes_again") {
        own_executor_comes_back(&python, "pymesos_executor.py");
    }
}

#[test]
fn without_checkpoints_own_executors_end_with_the_agent() {
    let Some(python) = python("without_checkpoints_own_executors_end_with_the_agent") else {
        return;
    };
    for script in ["v0_executor.py", "executor_http.py"] {
        let mut cluster = Cluster::start(1, AGENT);
        let mut scheduler = Scheduler::with(&cluster, "careless", |info| {
            info.checkpoint = Some(false);
        });
        scheduler.submit(under(&python, script, "goes"));
        scheduler.wait_for("goes", TaskRunning);
        cluster.agents[0].restart(Signal::SIGKILL, &[]);
        let end = scheduler.end_of("goes");
        assert_eq!(end.state(), TaskLost, "{script}: {end:?}");
        cluster.wait_until("the container is gone", LIMIT, || {
            cluster.containers().is_empty()
        });
        scheduler.teardown();
        cluster.stop();
    }
}

#[test]
fn cleanup_ends_what_is_left_and_a_changed_agent_is_refused() {
    let mut cluster = Cluster::start(1, AGENT);
    let mut scheduler = Scheduler::start(&cluster, "recovery");
    scheduler.submit(task("stays", "exec sleep 1012"));
    scheduler.wait_for("stays", TaskRunning);
    let agent = &mut cluster.agents[0];
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.wait(LIMIT), Some(0), "{}", agent.log());
    assert!(!processes_of(&scheduler, "stays").is_empty());
    let code = agent.run_to_end(&["--resources=cpus:1;mem:64;disk:64"]);
    assert_eq!(code, Some(64), "{}", agent.log());
    assert!(
        agent.log().contains("--reconfiguration_policy=equal: "),
        "{}",
        agent.log()
    );
    assert!(!processes_of(&scheduler, "stays").is_empty());
    assert_eq!(agent.run_to_end(&["--recover=cleanup"]), Some(0));
    assert_eq!(processes_of(&scheduler, "stays"), [""; 0]);
    assert_eq!(cluster.containers(), Vec::<std::path::PathBuf>::new());
    scheduler.teardown();
}
