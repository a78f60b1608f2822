//! Containers in containers: sessions with input and output, terminals, launch, wait, kill, remove.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesosd::proto::v1;
use mesosd::proto::v1::TaskState::TaskRunning;
use mesosd::proto::v1::agent::agent_service_client::AgentServiceClient;
use mesosd::proto::v1::agent::call::{self as parts, attach_container_input};
use mesosd::proto::v1::agent::{Call, ProcessIo, process_io};
use serde_json::{Value, json};
use tonic::transport::Endpoint;

use crate::agent_api::{Reply, call, get, request};
use crate::cluster::Cluster;
use crate::groups::executor;
use crate::scheduler::{Scheduler, task};

const AGENT: &str = "cpus:4;mem:2048;disk:1024";
const LIMIT: Duration = Duration::from_secs(10);

/// The id of a container in another one.
fn inside(parent: &Value, name: &str) -> Value {
    json!({"value": name, "parent": parent})
}

/// The container of an executor.
fn container_of(agent: SocketAddr, executor: &str) -> Value {
    let all = get(agent, "/containers").json();
    let mut all = all.as_array().unwrap().iter();
    let one = all.find(|one| one["executor_id"] == executor).unwrap();
    json!({"value": one["container_id"]})
}

/// Runs a shell command as a session, to its end; gives what came on each stream.
fn session(
    agent: SocketAddr,
    id: &Value,
    command: &str,
    container: Value,
) -> (u16, String, String) {
    let call = json!({"type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session":
        {"container_id": id, "command": {"value": command}, "container": container}});
    let head = "POST /api/v1\nContent-Type: application/json\nAccept: application/recordio\n\
                Message-Accept: application/json";
    let reply = request(agent, head, &call.to_string());
    if reply.code != 200 {
        return (reply.code, reply.text(), String::new());
    }
    let head = reply.head.to_lowercase();
    assert!(
        head.contains("content-type: application/recordio\r\n"),
        "{head}"
    );
    assert!(
        head.contains("message-content-type: application/json\r\n"),
        "{head}"
    );
    let (mut out, mut err) = (String::new(), String::new());
    for record in records(&reply) {
        if record["type"] != "DATA" {
            continue;
        }
        let data = STANDARD
            .decode(record["data"]["data"].as_str().unwrap())
            .unwrap();
        let text = String::from_utf8(data).unwrap();
        match record["data"]["type"].as_str().unwrap() {
            "STDOUT" => out.push_str(&text),
            _ => err.push_str(&text),
        }
    }
    (200, out, err)
}

/// The records of a chunked reply, one in each chunk.
fn records(reply: &Reply) -> Vec<Value> {
    let mut rest = reply.body.as_slice();
    let mut all = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let length = std::str::from_utf8(&rest[..line]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            return all;
        }
        let chunk = &rest[line + 2..line + 2 + length];
        let text = chunk.iter().position(|&byte| byte == b'\n').unwrap();
        all.push(serde_json::from_slice(&chunk[text + 1..]).unwrap());
        rest = &rest[line + 4 + length..];
    }
}

/// Sends records to ATTACH_CONTAINER_INPUT.
fn input(agent: SocketAddr, records: &[Value]) -> Reply {
    let body: String = records
        .iter()
        .map(|part| {
            let call = json!({"type": "ATTACH_CONTAINER_INPUT", "attach_container_input": part});
            let text = call.to_string();
            format!("{}\n{text}", text.len())
        })
        .collect();
    let head = "POST /api/v1\nContent-Type: application/recordio\n\
                Message-Content-Type: application/json";
    request(agent, head, &body)
}

fn stdin(text: &str) -> Value {
    json!({"type": "PROCESS_IO", "process_io":
        {"type": "DATA", "data": {"type": "STDIN", "data": STANDARD.encode(text)}}})
}

fn wait(agent: SocketAddr, id: &Value) -> Reply {
    call(
        agent,
        &json!({"type": "WAIT_CONTAINER", "wait_container": {"container_id": id}}),
    )
}

#[test]
fn sessions_run_beside_the_task() {
    let cluster = Cluster::start(1, AGENT);
    let mut scheduler = Scheduler::start(&cluster, "nested");
    scheduler.submit(task("t", "MARK=yes exec sleep 1014"));
    scheduler.wait_for("t", TaskRunning);
    let agent = cluster.agents[0].address;
    let parent = container_of(agent, "t");

    let words = "echo out; echo err >&2; cat /proc/*/cmdline | tr '\\0' ' '; echo; pwd; exit 3";
    let id = inside(&parent, "one");
    let (code, out, err) = session(agent, &id, words, Value::Null);
    assert_eq!((code, err.as_str()), (200, "err\n"), "{out}");
    assert!(
        out.starts_with("out\n") && out.contains("sleep 1014"),
        "{out}"
    );
    assert!(
        out.trim_end().ends_with(parent["value"].as_str().unwrap()),
        "{out}"
    );
    let ended = wait(agent, &id).json();
    assert_eq!(ended["wait_container"]["exit_status"], 3 << 8);

    // Input comes over another connection; one that only says whom it means changes nothing.
    let id = inside(&parent, "two");
    let named = json!({"type": "CONTAINER_ID", "container_id": id});
    let talk = std::thread::spawn({
        let id = id.clone();
        move || session(agent, &id, "cat; echo bye", Value::Null)
    });
    cluster.wait_until("the session runs", LIMIT, || {
        input(agent, std::slice::from_ref(&named)).code == 200
    });
    let heartbeat = json!({"type": "PROCESS_IO", "process_io":
        {"type": "CONTROL", "control": {"type": "HEARTBEAT"}}});
    let sent = input(
        agent,
        &[named.clone(), stdin("hello\n"), heartbeat, stdin("")],
    );
    assert_eq!(sent.code, 200, "{}", sent.text());
    assert_eq!(
        talk.join().unwrap(),
        (200, "hello\nbye\n".to_owned(), String::new())
    );

    let window = json!({"type": "MESOS", "tty_info": {"window_size": {"rows": 33, "columns": 99}}});
    let id = inside(&parent, "three");
    let (_, out, _) = session(agent, &id, "stty size; test -t 1 && echo terminal", window);
    assert_eq!(out, "33 99\r\nterminal\r\n");

    for (id, code) in [
        (json!({"value": "alone"}), 400),
        (inside(&json!({"value": "nobody"}), "x"), 404),
        (inside(&parent, "a/b"), 400),
        (inside(&parent, "one"), 400),
    ] {
        let (found, text, _) = session(agent, &id, "true", Value::Null);
        assert_eq!(found, code, "{id}: {text}");
    }
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn containers_are_launched_waited_for_killed_and_removed() {
    let cluster = Cluster::start(1, AGENT);
    let mut scheduler = Scheduler::start(&cluster, "nested");
    scheduler.submit_group(executor("pod"), vec![task("a", "exec sleep 1015")]);
    let status = scheduler.wait_for("a", TaskRunning);
    let agent = cluster.agents[0].address;
    let of_task = status.container_status.unwrap().container_id.unwrap();
    let parent = inside(
        &json!({"value": of_task.parent.unwrap().value}),
        &of_task.value,
    );
    let id = inside(&parent, "n1");
    let launch = json!({"type": "LAUNCH_NESTED_CONTAINER", "launch_nested_container":
        {"container_id": id, "command": {"value": "echo $MESOS_SANDBOX; exec sleep 1016"}}});
    for code in [200, 202] {
        let reply = call(agent, &launch);
        assert_eq!(reply.code, code, "{}", reply.text());
    }
    let shown = json!({"type": "GET_CONTAINERS", "get_containers": {"show_nested": true}});
    let shown = call(agent, &shown).json().to_string();
    assert!(shown.contains("\"n1\""), "{shown}");
    let remove = json!({"type": "REMOVE_CONTAINER", "remove_container": {"container_id": id}});
    assert_eq!(call(agent, &remove).code, 409, "it runs");
    let framework = scheduler.id();
    let own = format!("containers/{}/containers/n1", of_task.value);
    let path = format!("/frameworks/{framework}/executors/pod/runs/latest/{own}/stdout");
    cluster.wait_until("it speaks", LIMIT, || {
        let said = get(agent, &format!("/files/read?path={path}&offset=0"));
        said.code == 200 && said.text().contains(&own)
    });
    let kill = |id: &Value, signal: i32| {
        let part = json!({"container_id": id, "signal": signal});
        call(
            agent,
            &json!({"type": "KILL_NESTED_CONTAINER", "kill_nested_container": part}),
        )
        .code
    };
    assert_eq!(kill(&id, 15), 200);
    assert_eq!(wait(agent, &id).json()["wait_container"]["exit_status"], 15);
    assert_eq!(call(agent, &remove).code, 200);
    assert_eq!(wait(agent, &id).code, 404);
    assert_eq!((kill(&id, 9), kill(&inside(&parent, "n2"), 9)), (404, 404));
    scheduler.teardown();
    cluster.stop();
}

/// A container in another one, for gRPC.
fn below(parent: &v1::ContainerId, name: &str) -> v1::ContainerId {
    v1::ContainerId {
        value: name.to_owned(),
        parent: Some(Box::new(parent.clone())),
    }
}

fn part(kind: attach_container_input::Type, part: parts::AttachContainerInput) -> Call {
    Call {
        r#type: Some(parts::Type::AttachContainerInput.into()),
        attach_container_input: Some(parts::AttachContainerInput {
            r#type: Some(kind.into()),
            ..part
        }),
        ..Call::default()
    }
}

fn named(id: &v1::ContainerId) -> Call {
    part(
        attach_container_input::Type::ContainerId,
        parts::AttachContainerInput {
            container_id: Some(id.clone()),
            ..parts::AttachContainerInput::default()
        },
    )
}

fn typed(text: &str) -> Call {
    let data = process_io::Data {
        r#type: Some(process_io::data::Type::Stdin.into()),
        data: Some(text.into()),
    };
    part(
        attach_container_input::Type::ProcessIo,
        parts::AttachContainerInput {
            process_io: Some(ProcessIo {
                r#type: Some(process_io::Type::Data.into()),
                data: Some(data),
                control: None,
            }),
            ..parts::AttachContainerInput::default()
        },
    )
}

/// What is said on standard output until the end.
async fn heard(mut said: tonic::Streaming<ProcessIo>) -> String {
    let mut text = Vec::new();
    while let Some(message) = said.message().await.unwrap() {
        text.extend(message.data.unwrap_or_default().data());
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn sessions_over_grpc() {
    let cluster = Cluster::start(1, AGENT);
    let mut scheduler = Scheduler::start(&cluster, "nested");
    scheduler.submit(task("t", "exec sleep 1019"));
    let status = scheduler.wait_for("t", TaskRunning);
    let parent = status.container_status.unwrap().container_id.unwrap();
    let agent = cluster.agents[0].address;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{agent}")).unwrap();
        let mut client = AgentServiceClient::new(endpoint.connect().await.unwrap());
        let id = below(&parent, "talk");
        let session = Call {
            r#type: Some(parts::Type::LaunchNestedContainerSession.into()),
            launch_nested_container_session: Some(parts::LaunchNestedContainerSession {
                container_id: id.clone(),
                command: Some(crate::scheduler::shell("read line; echo \"<$line>\"; cat")),
                container: None,
            }),
            ..Call::default()
        };
        let said = client.launch_nested_container_session(session).await;
        let said = said.unwrap().into_inner();
        let attach = Call {
            r#type: Some(parts::Type::AttachContainerOutput.into()),
            attach_container_output: Some(parts::AttachContainerOutput {
                container_id: id.clone(),
            }),
            ..Call::default()
        };
        let also = client.attach_container_output(attach.clone()).await;
        let also = also.unwrap().into_inner();
        let words = [named(&id), typed("hello\n"), typed("more\n"), typed("")];
        let done = client
            .attach_container_input(tokio_stream::iter(words))
            .await;
        assert_eq!(done.unwrap().into_inner().r#type, None);
        assert_eq!(heard(said).await, "<hello>\nmore\n");
        assert_eq!(heard(also).await, "<hello>\nmore\n");

        let nobody = client
            .attach_container_input(tokio_stream::iter([named(&below(&parent, "no"))]))
            .await;
        assert_eq!(nobody.unwrap_err().code(), tonic::Code::NotFound);
        let empty = client
            .attach_container_input(tokio_stream::iter([typed("x")]))
            .await;
        assert_eq!(empty.unwrap_err().code(), tonic::Code::InvalidArgument);
        // The task's own container writes to its sandbox only.
        let silent = Call {
            attach_container_output: Some(parts::AttachContainerOutput {
                container_id: parent.clone(),
            }),
            ..attach
        };
        let silent = client.attach_container_output(silent).await;
        assert_eq!(silent.unwrap_err().code(), tonic::Code::InvalidArgument);
    });
    scheduler.teardown();
    cluster.stop();
}
