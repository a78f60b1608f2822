//! Third-party clients from package registries, unmodified, against a real cluster.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::foreign::{Foreign, installed};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn pymesos_schedules_executes_and_operates() {
    let name = "pymesos_schedules_executes_and_operates";
    let Some(program) = Foreign::python(name, "pymesos_framework.py") else {
        return;
    };
    let cluster = Cluster::start(1, "cpus:2;mem:1024;disk:1024");
    let agent = cluster.agents[0].address.to_string();
    let python = installed("venv/bin/python");
    program
        .args([cluster.address().as_str(), agent.as_str()])
        .args([python])
        .succeeds(&cluster);
    cluster.stop();
}

#[test]
fn mesos_framework_for_node_schedules() {
    let name = "mesos_framework_for_node_schedules";
    let package = "node/node_modules/mesos-framework/package.json";
    let Some(program) = Foreign::new(name, "node", &[package]) else {
        return;
    };
    let cluster = Cluster::start(1, "cpus:2;mem:1024;disk:1024;ports:[31000-31100]");
    let address: SocketAddr = cluster.address().parse().unwrap();
    // Its logs go to the working directory.
    let logs = tempfile::tempdir().unwrap();
    std::fs::create_dir(logs.path().join("logs")).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/mesos_framework.js");
    program
        .args([
            script,
            &address.ip().to_string(),
            &address.port().to_string(),
        ])
        .env("NODE_PATH", installed("node/node_modules"))
        .current_dir(logs.path())
        .succeeds(&cluster);
    cluster.stop();
}

/// A scheduler that reads the event stream line by line, and sends each call on a connection of its own.
fn over_http(test: &str, package: &str) {
    let Some(program) = Foreign::python_with(test, "mesoshttp_framework.py", package) else {
        return;
    };
    let cluster = Cluster::start(1, "cpus:2;mem:1024;disk:1024");
    program
        .args([cluster.address().as_str(), package])
        .succeeds(&cluster);
    cluster.stop();
}

#[test]
fn mesoshttp_schedules() {
    over_http("mesoshttp_schedules", "mesoshttp");
}

/// What became of mesoshttp.
#[test]
fn avmesos_schedules() {
    over_http("avmesos_schedules", "avmesos");
}

/// Yelp's tasks with retries, on pymesos.
#[test]
fn task_processing_runs_and_retries() {
    let name = "task_processing_runs_and_retries";
    let script = "task_processing_framework.py";
    let Some(program) = Foreign::python_with(name, script, "task-processing") else {
        return;
    };
    let resources = "cpus:2;mem:1024;disk:1024;ports:[31000-31100]";
    let cluster = Cluster::start(1, resources);
    program.args([cluster.address()]).succeeds(&cluster);
    cluster.stop();
}

/// A task `open-1`, for clients that look at it; its framework lives in a process of its own.
fn with_a_task(cluster: &Cluster) -> Child {
    let words = [
        "run", "--name", "open", "--cpus", "0.1", "--mem", "32", "--",
    ];
    let run = cluster
        .command(&words)
        .args(["sh", "-c", "echo one; echo two; exec sleep 1000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    cluster.wait_until("the task runs", LIMIT, || {
        let tasks = cluster.json(&["ps", "--state", "running"]);
        tasks.as_array().unwrap().len() == 1
    });
    run
}

/// The framework of `open-1`.
fn framework_id(cluster: &Cluster) -> String {
    let tasks = cluster.json(&["ps"]);
    tasks[0]["framework_id"].as_str().unwrap().to_owned()
}

/// The command line of Apache Mesos itself, as it is packed on PyPI.
#[test]
fn mesos_own_command_line_lists_inspects_and_executes() {
    let name = "mesos_own_command_line_lists_inspects_and_executes";
    let home = tempfile::tempdir().unwrap();
    let mesos = |words: &[&str]| {
        let program = Foreign::python_with(name, "mesos_cli.py", "mesos-cli")?;
        Some(program.env("HOME", home.path()).args(words))
    };
    if mesos(&[]).is_none() {
        return;
    }
    let cluster = Cluster::start(1, "cpus:2;mem:1024;disk:1024");
    std::fs::create_dir(home.path().join(".mesos")).unwrap();
    std::fs::write(
        home.path().join(".mesos/config.toml"),
        format!("[master]\n  address = \"{}\"\n", cluster.address()),
    )
    .unwrap();
    let mut run = with_a_task(&cluster);
    let framework_id = framework_id(&cluster);
    let says = |words: &[&str]| mesos(words).unwrap().run(&cluster);
    let agents = says(&["agent", "list"]);
    assert!(
        agents.contains("agent-0.test") && agents.contains("True"),
        "{agents}"
    );
    let frameworks = says(&["framework", "list"]);
    assert!(frameworks.contains(&framework_id), "{frameworks}");
    let tasks = says(&["task", "list"]);
    assert!(
        tasks.contains("open-1") && tasks.contains("TASK_RUNNING"),
        "{tasks}"
    );
    let inspected = says(&["task", "inspect", "open-1"]);
    assert!(inspected.contains("\"container_id\""), "{inspected}");
    let echoed = says(&["task", "exec", "open-1", "sh", "-c", "echo $((6*7)); pwd"]);
    assert!(echoed.starts_with("42\n"), "{echoed}");
    // Through its standard input, and with the exit code of the command.
    let piped = says(&["--pipe=some words", "task", "exec", "-i", "open-1", "cat"]);
    assert_eq!(piped, "some words");
    let code = says(&["--code=7", "task", "exec", "open-1", "sh", "-c", "exit 7"]);
    assert_eq!(code, "");
    run.kill().unwrap();
    run.wait().unwrap();
    cluster.stop();
}

/// The command line of DC/OS, against a plain cluster.
#[test]
fn dcoscli_shows_reads_and_executes() {
    let name = "dcoscli_shows_reads_and_executes";
    let home = tempfile::tempdir().unwrap();
    let dcos = |words: &[&str]| {
        let program = Foreign::python_with(name, "dcos_cli.py", "dcoscli")?;
        let program = program.env("HOME", home.path()).env("LC_ALL", "C.UTF-8");
        Some(program.args(words))
    };
    if dcos(&[]).is_none() {
        return;
    }
    let cluster = Cluster::start(1, "cpus:2;mem:1024;disk:1024");
    let mut run = with_a_task(&cluster);
    let framework_id = framework_id(&cluster);
    let says = |words: &[&str]| dcos(words).unwrap().run(&cluster);
    let url = format!("http://{}/", cluster.address());
    says(&["config", "set", "core.reporting", "false"]);
    says(&["config", "set", "core.dcos_url", &url]);
    says(&["config", "set", "core.mesos_master_url", &url]);
    let tasks = says(&["task"]);
    assert!(
        tasks.contains("open") && tasks.contains("agent-0.test"),
        "{tasks}"
    );
    let services = says(&["service"]);
    assert!(services.contains(&framework_id), "{services}");
    assert_eq!(says(&["task", "log", "open-1"]), "one\ntwo\n");
    assert_eq!(says(&["task", "log", "--lines=1", "open-1"]), "two\n");
    let files = says(&["task", "ls", "open-1"]);
    assert!(
        files.contains("stderr") && files.contains("stdout"),
        "{files}"
    );
    assert_eq!(says(&["task", "exec", "open-1", "echo", "here"]), "here\n");
    let piped = says(&["--pipe=some words", "task", "exec", "-i", "open-1", "cat"]);
    assert_eq!(piped, "some words");
    says(&["service", "shutdown", &framework_id]);
    assert!(!run.wait().unwrap().success(), "the task was killed");
    let completed = says(&["service", "--completed"]);
    assert!(completed.contains(&framework_id), "{completed}");
    cluster.stop();
}

/// Code and text of what an agent answers to a request of an executor.
fn executor_call(agent: SocketAddr, method: &str, headers: &str, body: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(agent).unwrap();
    let length = body.len();
    write!(
        socket,
        "{method} /api/v1/executor HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, text) = answer.split_once("\r\n\r\n").unwrap();
    (code, text.to_owned())
}

#[test]
fn an_agent_checks_calls_of_executors_in_order() {
    let cluster = Cluster::start(1, "cpus:1;mem:64;disk:64");
    let json = "Content-Type: application/json\r\n";
    let text = "Content-Type: application/json\r\nAccept: text/plain\r\n";
    let ids = r#""executor_id":{"value":"E"},"framework_id":{"value":"F"}"#;
    let call = |rest: &str| format!("{{{ids},{rest}}}");
    let update = |rest: &str| {
        let status = format!(r#""task_id":{{"value":"T"}},"state":"TASK_RUNNING"{rest}"#);
        call(&format!(
            r#""type":"UPDATE","update":{{"status":{{{status}}}}}"#
        ))
    };
    let uuid = r#","uuid":"AAAAAAAAAAAAAAAAAAAAAA==""#;
    let subscribe = call(r#""type":"SUBSCRIBE","subscribe":{}"#);
    let cases = [
        ("GET", "", String::new(), 405, "405 Method Not Allowed"),
        (
            "POST",
            "",
            subscribe.clone(),
            400,
            "a 'Content-Type' header",
        ),
        (
            "POST",
            "Content-Type: a/b\r\n",
            subscribe.clone(),
            415,
            "'Content-Type: a/b'",
        ),
        (
            "POST",
            json,
            "{".to_owned(),
            400,
            "mesos.v1.executor.Call: malformed JSON",
        ),
        (
            "POST",
            json,
            "{}".to_owned(),
            400,
            "mesos.v1.executor.Call: field 'executor_id'",
        ),
        (
            "POST",
            json,
            call(r#""type":"DANCE""#),
            400,
            "field 'type' is required",
        ),
        (
            "POST",
            json,
            call(r#""type":"SUBSCRIBE""#),
            400,
            "subscribe",
        ),
        (
            "POST",
            text,
            call(r#""type":"SUBSCRIBE""#),
            400,
            "subscribe",
        ),
        (
            "POST",
            text,
            subscribe.clone(),
            406,
            "'Accept' allows neither",
        ),
        (
            "POST",
            json,
            subscribe,
            400,
            "executor 'E' of framework 'F' is not known here",
        ),
        ("POST", json, update(""), 400, ""),
        ("POST", json, update(uuid), 400, ""),
        (
            "POST",
            json,
            update(&format!(r#"{uuid},"source":"SOURCE_MASTER""#)),
            400,
            "",
        ),
        (
            "POST",
            json,
            update(&format!(r#"{uuid},"source":"SOURCE_EXECUTOR""#)),
            400,
            "executor 'E'",
        ),
        ("POST", json, call(r#""type":"MESSAGE""#), 400, ""),
        ("POST", json, call(r#""type":"HEARTBEAT""#), 202, ""),
    ];
    for (method, headers, body, code, text) in cases {
        let (answered, said) = executor_call(cluster.agents[0].address, method, headers, &body);
        assert_eq!(answered, code, "{method} {body}: {said}");
        assert!(said.contains(text), "{method} {body}: {said}");
        assert_eq!(said.is_empty(), code == 202, "{method} {body}");
    }
    cluster.stop();
}
