//! Third-party clients from package registries, unmodified, against a real cluster.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use crate::cluster::{Cluster, python};

#[test]
fn pymesos_schedules_executes_and_operates() {
    let name = "pymesos_schedules_executes_and_operates";
    let Some(python) = python(name) else {
        return;
    };
    let import = Command::new(&python)
        .args(["-c", "import pymesos"])
        .output();
    if !import.unwrap().status.success() {
        mesosd::testing::skip(name, "pymesos is not in target/venv: tests/run installs it");
        return;
    }
    let cluster = Cluster::start(1, "cpus:2;mem:1024;disk:1024");
    let output = Command::new(&python)
        .arg("tests/python/pymesos_framework.py")
        .arg(cluster.address())
        .arg(cluster.agents[0].address.to_string())
        .arg(&python)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.ends_with("ok\n"),
        "{text}\n{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        cluster.logs()
    );
    cluster.stop();
}

#[test]
fn mesos_framework_for_node_schedules() {
    let name = "mesos_framework_for_node_schedules";
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/target/node");
    if !std::path::Path::new(directory)
        .join("node_modules/mesos-framework/package.json")
        .exists()
    {
        mesosd::testing::skip(
            name,
            "mesos-framework is not in target/node: tests/run installs it",
        );
        return;
    }
    let cluster = Cluster::start(1, "cpus:2;mem:1024;disk:1024;ports:[31000-31100]");
    let address: SocketAddr = cluster.address().parse().unwrap();
    // Its logs go to the working directory.
    let logs = tempfile::tempdir().unwrap();
    std::fs::create_dir(logs.path().join("logs")).unwrap();
    let output = Command::new("node")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/node/mesos_framework.js"
        ))
        .args([address.ip().to_string(), address.port().to_string()])
        .env("NODE_PATH", format!("{directory}/node_modules"))
        .current_dir(logs.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.ends_with("ok\n"),
        "{text}\n{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        cluster.logs()
    );
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
