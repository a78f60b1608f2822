//! Containers that operators launch, without an executor: launch, limits, wait, kill, remove, and the
//! restart of the agent under them.

use std::net::SocketAddr;
use std::time::Duration;

use mesosd::proto::v1::TaskState::{TaskFailed, TaskRunning};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::agent_api::{Reply, call, get};
use crate::cluster::Cluster;
use crate::scheduler::{Scheduler, task};

const AGENT: &str = "cpus:4;mem:2048;disk:1024";
const LIMIT: Duration = Duration::from_secs(20);

fn launch(agent: SocketAddr, name: &str, command: &str, more: Value) -> Reply {
    let mut part = json!({"container_id": {"value": name}, "command": {"value": command}});
    let fields = more.as_object().cloned().unwrap_or_default();
    part.as_object_mut().unwrap().extend(fields);
    call(
        agent,
        &json!({"type": "LAUNCH_CONTAINER", "launch_container": part}),
    )
}

fn wait(agent: SocketAddr, name: &str) -> Reply {
    let part = json!({"container_id": {"value": name}});
    call(
        agent,
        &json!({"type": "WAIT_CONTAINER", "wait_container": part}),
    )
}

fn kill(agent: SocketAddr, name: &str, signal: i32) -> u16 {
    let part = json!({"container_id": {"value": name}, "signal": signal});
    let call = call(
        agent,
        &json!({"type": "KILL_CONTAINER", "kill_container": part}),
    );
    call.code
}

fn remove(agent: SocketAddr, name: &str) -> u16 {
    let part = json!({"container_id": {"value": name}});
    let call = call(
        agent,
        &json!({"type": "REMOVE_CONTAINER", "remove_container": part}),
    );
    call.code
}

/// The names of all containers that are shown.
fn shown(agent: SocketAddr, what: &Value) -> Vec<String> {
    let all = call(
        agent,
        &json!({"type": "GET_CONTAINERS", "get_containers": what}),
    );
    let all = all.json();
    let all = all["get_containers"]["containers"].as_array().cloned();
    all.unwrap_or_default()
        .iter()
        .map(|one| one["container_id"]["value"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn containers_run_without_an_executor() {
    let cluster = Cluster::start(1, AGENT);
    let agent = cluster.agents[0].address;
    let words = "echo $MESOS_SANDBOX; pwd; exit 3";
    assert_eq!(launch(agent, "ends", words, Value::Null).code, 200);
    let ended = wait(agent, "ends").json();
    assert_eq!(ended["wait_container"]["exit_status"], 3 << 8, "{ended}");
    let sandbox = cluster.work_dir(0).join("containers/ends");
    let said = std::fs::read_to_string(sandbox.join("stdout")).unwrap();
    let own = sandbox.display();
    assert_eq!(said, format!("{own}\n{own}\n"));
    // Its sandbox has the name that it has on the host.
    let stdout = get(
        agent,
        &format!("/files/read?path={own}/stdout&offset=0&length=5"),
    );
    assert_eq!(stdout.json()["data"], said[..5]);
    let debug = get(agent, "/files/debug").json();
    assert_eq!(debug[own.to_string()], own.to_string());
    let listed = json!({"type": "LIST_FILES", "list_files": {"path": own.to_string()}});
    let listed = call(agent, &listed).json();
    let names = listed["list_files"]["file_infos"].to_string();
    assert!(
        names.contains("ends/stdout") && names.contains("ends/stderr"),
        "{names}"
    );
    for (path, code) in [("", 404), ("/../../..", 400), ("/nothing", 404)] {
        let path = format!(
            "/files/browse?path={}{path}",
            sandbox.parent().unwrap().display()
        );
        let path = if code == 400 {
            path.replace("containers", "containers/ends")
        } else {
            path
        };
        assert_eq!(get(agent, &path).code, code, "{path}");
    }
    // What has ended is known until it is removed.
    assert_eq!(launch(agent, "ends", words, Value::Null).code, 202);
    assert_eq!(kill(agent, "ends", 9), 404);
    assert_eq!(remove(agent, "ends"), 200);
    assert!(!sandbox.exists());
    assert_eq!(wait(agent, "ends").code, 404);
    assert_eq!(remove(agent, "ends"), 404);

    let resources = json!({"resources": [
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
        {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}}]});
    let sleeps = "trap 'exit 7' TERM; while :; do sleep 0.05; done";
    assert_eq!(launch(agent, "runs", sleeps, resources.clone()).code, 200);
    assert_eq!(launch(agent, "runs", sleeps, resources.clone()).code, 202);
    assert_eq!(shown(agent, &json!({})), [""; 0]);
    let standalone = json!({"show_standalone": true});
    assert_eq!(shown(agent, &standalone), ["runs"]);
    assert_eq!(remove(agent, "runs"), 409, "it runs");
    let attach = json!({"type": "ATTACH_CONTAINER_INPUT"});
    assert_ne!(call(agent, &attach).code, 200);

    // Another one in it.
    let inner = json!({"value": "inner", "parent": {"value": "runs"}});
    let nested = call(
        agent,
        &json!({"type": "LAUNCH_CONTAINER", "launch_container":
            {"container_id": inner, "command": {"value": "exec sleep 1017"}}}),
    );
    assert_eq!(nested.code, 200, "{}", nested.text());
    let all = json!({"show_standalone": true, "show_nested": true});
    assert_eq!(shown(agent, &all), ["runs", "inner"]);
    let greedy = call(
        agent,
        &json!({"type": "LAUNCH_CONTAINER", "launch_container":
            {"container_id": {"value": "x", "parent": {"value": "runs"}},
             "command": {"value": "true"}, "resources": resources["resources"]}}),
    );
    assert_eq!(greedy.code, 400, "{}", greedy.text());

    assert_eq!(kill(agent, "runs", 15), 200);
    let ended = wait(agent, "runs").json();
    assert_eq!(ended["wait_container"]["exit_status"], 7 << 8, "{ended}");

    let sleep = "exec sleep 1018";
    assert_eq!(launch(agent, "killed", sleep, Value::Null).code, 200);
    assert_eq!(kill(agent, "killed", 9), 200);
    let ended = wait(agent, "killed").json();
    assert_eq!(ended["wait_container"]["exit_status"], 9, "{ended}");

    for (name, part, code) in [
        ("a/b", json!({}), 400),
        ("none", json!({"command": Value::Null}), 400),
        (
            "user",
            json!({"command": {"value": "true", "user": "nobody-of-that-name"}}),
            400,
        ),
        (
            "image",
            json!({"container": {"type": "DOCKER", "docker": {"image": "x"}}}),
            400,
        ),
    ] {
        let reply = launch(agent, name, "true", part);
        assert_eq!(reply.code, code, "{name}: {}", reply.text());
        assert_eq!(wait(agent, name.trim_end_matches("/b")).code, 404, "{name}");
    }
    if mesosd::testing::is_root() {
        let grow = "head -c 200m /dev/zero | tail";
        assert_eq!(launch(agent, "greedy", grow, resources).code, 200);
        let ended = wait(agent, "greedy").json();
        let ended = &ended["wait_container"];
        assert_eq!(
            ended["reason"], "REASON_CONTAINER_LIMITATION_MEMORY",
            "{ended}"
        );
        assert_eq!(ended["state"], "TASK_FAILED");
    }
    cluster.stop();
}

/// As in Mesos, the container of an executor can be waited for and be sent signals, by who looks after it.
#[test]
fn containers_of_executors_are_waited_for_and_killed() {
    let cluster = Cluster::start(1, AGENT);
    let agent = cluster.agents[0].address;
    let mut scheduler = Scheduler::start(&cluster, "own");
    let trap = "trap 'exit 7' USR1; while :; do sleep 0.05; done";
    for (id, signal, state) in [("hears", 10, TaskFailed), ("dies", 9, TaskFailed)] {
        scheduler.submit(task(id, trap));
        scheduler.wait_for(id, TaskRunning);
        let all = get(agent, "/containers").json();
        let name = all[0]["container_id"].as_str().unwrap().to_owned();
        assert_eq!(remove(agent, &name), 409, "it runs");
        let waiting = {
            let name = name.clone();
            std::thread::spawn(move || wait(agent, &name))
        };
        // The shell has to set its trap first.
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(kill(agent, &name, signal), 200, "{id}");
        assert_eq!(scheduler.end_of(id).state(), state, "{id}");
        let ended = waiting.join().unwrap();
        assert_eq!(ended.code, 200, "{id}: {}", ended.text());
        let ended = ended.json();
        assert!(ended["wait_container"].is_object(), "{id}: {ended}");
        assert_eq!(kill(agent, &name, 9), 404, "{id}");
        assert_eq!(wait(agent, &name).code, 404, "{id}");
    }
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn what_has_no_meaning_here_is_refused_by_name() {
    let cluster = Cluster::start(1, AGENT);
    let agent = cluster.agents[0].address;
    let info = json!({"info": {"type": "org.example", "name": "disks"}});
    for (kind, part, code) in [
        ("ADD_RESOURCE_PROVIDER_CONFIG", info.clone(), 400),
        ("UPDATE_RESOURCE_PROVIDER_CONFIG", info, 400),
        (
            "REMOVE_RESOURCE_PROVIDER_CONFIG",
            json!({"type": "org.example", "name": "disks"}),
            400,
        ),
        (
            "MARK_RESOURCE_PROVIDER_GONE",
            json!({"resource_provider_id": {"value": "p"}}),
            404,
        ),
        ("PRUNE_IMAGES", json!({}), 400),
    ] {
        let with = json!({"type": kind, kind.to_lowercase(): part});
        let reply = call(agent, &with);
        assert_eq!(reply.code, code, "{kind}: {}", reply.text());
        assert!(!reply.text().trim().is_empty(), "{kind}");
        if kind != "PRUNE_IMAGES" {
            assert_eq!(call(agent, &json!({"type": kind})).code, 400, "{kind}");
        }
    }
    for (kind, key) in [
        ("GET_OPERATIONS", "get_operations"),
        ("GET_RESOURCE_PROVIDERS", "get_resource_providers"),
    ] {
        let reply = call(agent, &json!({"type": kind})).json();
        assert_eq!(reply, json!({"type": kind, key: {}}));
    }
    assert_eq!(get(agent, "/health").code, 200);
    cluster.stop();
}

#[test]
fn containers_go_on_while_the_agent_is_away() {
    let mut cluster = Cluster::start(1, AGENT);
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let path = dir.path().display();
    let agent = cluster.agents[0].address;
    let waits = |name: &str| {
        format!(
            "echo once >> {path}/starts; until [ -e {path}/{name} ]; do sleep 0.05; done; exit 4"
        )
    };
    for name in ["after", "away", "last"] {
        assert_eq!(launch(agent, name, &waits(name), Value::Null).code, 200);
    }
    assert_eq!(launch(agent, "before", "exit 5", Value::Null).code, 200);
    assert_eq!(wait(agent, "before").code, 200);
    let status = |name: &str| wait(agent, name).json()["wait_container"]["exit_status"].clone();

    cluster.agents[0].signal(Signal::SIGKILL);
    std::fs::write(dir.path().join("away"), "").unwrap();
    std::thread::sleep(Duration::from_millis(500));
    cluster.agents[0].crash_and_restart();
    cluster.wait_until("the agent serves", LIMIT, || {
        let standalone = json!({"show_standalone": true});
        shown(agent, &standalone) == ["after", "last"]
    });
    assert_eq!(
        (status("before"), status("away")),
        (json!(5 << 8), json!(4 << 8))
    );
    std::fs::write(dir.path().join("after"), "").unwrap();
    assert_eq!(status("after"), 4 << 8);
    let starts = std::fs::read_to_string(dir.path().join("starts")).unwrap();
    assert_eq!(starts.lines().count(), 3, "none runs twice");
    for name in ["before", "away", "after"] {
        assert_eq!(remove(agent, name), 200);
    }
    // An agent that is to clear away ends them.
    let agent = &mut cluster.agents[0];
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.wait(LIMIT), Some(0), "{}", agent.log());
    assert_eq!(agent.run_to_end(&["--recover=cleanup"]), Some(0));
    assert_eq!(cluster.containers(), Vec::<std::path::PathBuf>::new());
}
