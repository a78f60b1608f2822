//! Agents that fall silent and come back: what runs there goes on, and everybody is told so.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use mesosd::proto::v1;
use mesosd::proto::v1::TaskState::{
    TaskFinished, TaskGoneByOperator, TaskRunning, TaskUnreachable,
};
use mesosd::proto::v1::task_status::Reason;
use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::leftovers::processes_of;
use crate::scheduler::{Scheduler, task};

const AGENT: &str = "cpus:2;mem:512;disk:512";
const LIMIT: Duration = Duration::from_secs(30);
/// Two seconds of silence.
const PINGS: [&str; 2] = ["--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=2"];

fn metric(cluster: &Cluster, name: &str) -> f64 {
    let mut socket = TcpStream::connect(cluster.address()).unwrap();
    let request = "GET /metrics/snapshot HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let all: serde_json::Value = serde_json::from_str(body).unwrap();
    all[name].as_f64().unwrap()
}

#[test]
fn tasks_of_a_silent_agent_are_unreachable_and_come_back() {
    let cluster = Cluster::with_flags(1, AGENT, &PINGS, &[]);
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let mut scheduler = Scheduler::start(&cluster, "partitions");
    let path = dir.path().display();
    let command =
        format!("echo begin >> {path}/starts; until [ -e {path}/go ]; do sleep 0.05; done");
    scheduler.submit(task("stays", &command));
    scheduler.wait_for("stays", TaskRunning);
    cluster.agents[0].signal(Signal::SIGSTOP);
    let silent = scheduler.wait_for("stays", TaskUnreachable);
    assert_eq!(silent.reason(), Reason::AgentRemoved);
    assert!(silent.unreachable_time.is_some(), "{silent:?}");
    assert_eq!(metric(&cluster, "master/slave_unreachable_completed"), 1.0);
    assert_eq!(metric(&cluster, "master/tasks_unreachable"), 1.0);

    cluster.agents[0].signal(Signal::SIGCONT);
    let back = loop {
        let back = scheduler.wait_for("stays", TaskRunning);
        // The executor's own update may still be on its way.
        if back.reason() == Reason::AgentReregistered {
            break back;
        }
    };
    assert_eq!(back.source(), v1::task_status::Source::Master, "{back:?}");
    std::fs::write(dir.path().join("go"), "").unwrap();
    assert_eq!(scheduler.end_of("stays").state(), TaskFinished);
    let starts = std::fs::read_to_string(dir.path().join("starts")).unwrap();
    assert_eq!(starts, "begin\n", "it ran once");
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn an_agent_that_is_gone_never_comes_back_under_its_id() {
    let mut cluster = Cluster::with_flags(1, AGENT, &PINGS, &[]);
    let mut scheduler = Scheduler::start(&cluster, "partitions");
    scheduler.submit(task("stays", "exec sleep 1013"));
    scheduler.wait_for("stays", TaskRunning);
    let id = scheduler.agent("stays");
    cluster.agents[0].signal(Signal::SIGSTOP);
    scheduler.wait_for("stays", TaskUnreachable);
    let said = cluster.command(&["gone", &id]).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.status.success() && text.contains("is given up for good"),
        "{said:?}"
    );
    let gone = scheduler.next_of("stays");
    assert_eq!(gone.state(), TaskGoneByOperator, "{gone:?}");
    // It is told so, ends all that it runs, and ends; a change of master changes nothing of that.
    cluster.master.crash_and_restart();
    cluster.agents[0].signal(Signal::SIGCONT);
    cluster.agents[0].wait(LIMIT);
    assert_eq!(processes_of(&scheduler, "stays"), [""; 0]);
    let again = cluster.command(&["gone", &id]).output().unwrap();
    assert!(again.status.success(), "{again:?}");
    let never = cluster.command(&["gone", "nobody"]).output().unwrap();
    let text = String::from_utf8_lossy(&never.stderr).into_owned();
    assert_eq!(
        (never.status.code(), text.lines().count()),
        (Some(1), 1),
        "{text}"
    );
}

#[test]
fn silent_agents_are_given_up_one_after_the_other() {
    let limit = "--agent_removal_rate_limit=1/1hrs";
    let cluster = Cluster::with_flags(3, AGENT, &[PINGS[0], PINGS[1], limit], &[]);
    for agent in &cluster.agents[..2] {
        agent.signal(Signal::SIGSTOP);
    }
    cluster.wait_until("both are to be given up", LIMIT, || {
        metric(&cluster, "master/slave_unreachable_scheduled") == 2.0
    });
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(metric(&cluster, "master/slave_unreachable_completed"), 1.0);
    // Whoever answers before its turn stays; the other one comes back.
    for agent in &cluster.agents[..2] {
        agent.signal(Signal::SIGCONT);
    }
    cluster.wait_until("all are there", LIMIT, || {
        metric(&cluster, "master/slaves_active") == 3.0
    });
    assert_eq!(metric(&cluster, "master/slave_unreachable_canceled"), 1.0);
    assert_eq!(metric(&cluster, "master/slave_unreachable_completed"), 1.0);
    cluster.stop();
}

#[test]
fn the_registry_forgets_agents_that_stay_away() {
    let flags = [
        PINGS[0],
        PINGS[1],
        "--registry_gc_interval=1secs",
        "--registry_max_agent_age=3secs",
    ];
    let mut cluster = Cluster::with_flags(2, AGENT, &flags, &[]);
    let away = cluster.json(&["agents"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let gone = cluster
        .agents
        .iter()
        .position(|agent| agent.log().contains(&away));
    let mut agent = cluster.agents.remove(gone.unwrap());
    agent.signal(Signal::SIGKILL);
    assert_eq!(agent.wait(LIMIT), None);
    cluster.wait_until("it is given up", LIMIT, || {
        metric(&cluster, "master/slave_unreachable_completed") == 1.0
    });
    cluster.wait_until("it is forgotten", LIMIT, || {
        cluster
            .master
            .log()
            .contains("the registry forgets agents that were given up")
    });
    cluster.master.signal(Signal::SIGTERM);
    assert_eq!(cluster.master.wait(LIMIT), Some(0));
    let at = format!("--work_dir={}", cluster.dir().join("master").display());
    let records = cluster.json(&["registry", "show", &at]);
    let records = records["records"].as_array().unwrap();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_ne!(records[0]["key"], format!("agent/{away}"));
}
