//! What outlives a leader besides its tasks, as users see it: where the masters are, how long a framework
//! may be away, what an operator has said of an agent, quota, and the answers to reconciliation.

use std::time::Duration;

use mesosd::testing::ensemble::Ensemble;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::cluster::{Cluster, Daemon};
use super::{open, until};

const SECOND: Duration = Duration::from_secs(1);
const DOMAIN: &str = r#"{"fault_domain":{"region":{"name":"north"},"zone":{"name":"hall-2"}}}"#;

/// The JSON that a master answers; null if it does not.
fn post(master: &Daemon, path: &str, body: &Value) -> Value {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: test\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (_, answer) = master.exchange(request.as_bytes());
    serde_json::from_str(&answer).unwrap_or(Value::Null)
}

fn ask(master: &Daemon, call: &str) -> Value {
    post(master, "/api/v1", &json!({ "type": call }))
}

/// The one agent that the leader has, once it is registered.
async fn the_agent(cluster: &Cluster) -> Value {
    let mut found = Value::Null;
    until("the agent is registered", 60 * SECOND, async || {
        let leader = cluster.leader().map(|number| &cluster.masters[number]);
        let agents = leader.map_or(Value::Null, |leader| ask(leader, "GET_AGENTS"));
        found = agents["get_agents"]["agents"][0].clone();
        found["active"] == true || found["deactivated"] == true
    })
    .await;
    found
}

/// A scheduler that subscribes, waits for its id and goes away.
fn passing_scheduler(leader: &Daemon) -> String {
    use std::io::{Read as _, Write as _};
    let body = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": {
        "user": "root", "name": "away", "failover_timeout": 1000.0, "roles": ["ops"],
        "capabilities": [{"type": "MULTI_ROLE"}],
    }}})
    .to_string();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", leader.port)).unwrap();
    stream.set_read_timeout(Some(10 * SECOND)).unwrap();
    write!(
        stream,
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).unwrap();
        assert_ne!(read, 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        if let Some((_, rest)) = text.split_once("\"framework_id\":{\"value\":\"")
            && let Some((id, _)) = rest.split_once('"')
        {
            return id.to_owned();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_users_and_operators_have_said_outlives_the_leader() {
    let Some(ensemble) = Ensemble::start("zookeeper: outlives", 1) else {
        return;
    };
    let url = ensemble.url("/mesos");
    let domain = format!("--domain={DOMAIN}");
    let mut cluster = Cluster::with_flags(&url, 2, 1, &[&domain]);
    let agent = the_agent(&cluster).await;
    let agent_id = agent["agent_info"]["id"]["value"].as_str().unwrap();
    let number = cluster.leader().unwrap();

    // Where the master is: in its znode, which Mesos' own tools read, and in what it says of itself.
    let domain: Value = serde_json::from_str(DOMAIN).unwrap();
    let observer = open(&url, 10_000).await;
    let mut seen = 0;
    for name in observer.list("/mesos").await.unwrap() {
        if name.starts_with("json.info_") {
            let node = observer.read(&format!("/mesos/{name}")).await.unwrap();
            let node: Value = serde_json::from_slice(&node.unwrap().data).unwrap();
            assert_eq!(node["domain"], domain, "{node}");
            seen += 1;
        }
    }
    assert_eq!(seen, 2);
    let leader = &cluster.masters[number];
    let (_, state) = leader.get("/state");
    let region =
        r#""domain":{"fault_domain":{"region":{"name":"north"},"zone":{"name":"hall-2"}}}"#;
    assert_eq!(
        state.matches(region).count(),
        2,
        "itself and leader_info: {state}"
    );
    assert_eq!(
        ask(leader, "GET_MASTER")["get_master"]["master_info"]["domain"],
        domain
    );

    // A framework that is away, an agent that was drained, a quota.
    let framework_id = passing_scheduler(leader);
    let quota = json!({"type": "UPDATE_QUOTA", "update_quota": {"force": true, "quota_configs": [
        {"role": "ops", "guarantees": {"cpus": {"value": 1.0}}},
    ]}});
    post(leader, "/api/v1", &quota);
    let drain = json!({"type": "DRAIN_AGENT", "drain_agent": {
        "agent_id": {"value": agent_id}, "max_grace_period": {"seconds": 7},
    }});
    post(leader, "/api/v1", &drain);
    until("the agent is drained", 30 * SECOND, async || {
        let agents = ask(leader, "GET_AGENTS");
        agents["get_agents"]["agents"][0]["drain_info"]["state"] == "DRAINED"
    })
    .await;

    leader.signal(Signal::SIGKILL);
    cluster.masters.remove(number);
    let after = the_agent(&cluster).await;
    assert_eq!(after["agent_info"]["id"]["value"], agent_id);
    assert_eq!(after["deactivated"], true, "{after}");
    assert_eq!(after["drain_info"]["state"], "DRAINED", "{after}");
    let grace = &after["drain_info"]["config"]["max_grace_period"]["nanoseconds"];
    assert_eq!(*grace, 7_000_000_000_u64, "{after}");

    let leader = &cluster.masters[cluster.leader().unwrap()];
    let frameworks = ask(leader, "GET_FRAMEWORKS");
    let framework = &frameworks["get_frameworks"]["frameworks"][0];
    assert_eq!(
        framework["framework_info"]["id"]["value"], *framework_id,
        "{frameworks}"
    );
    assert_eq!(
        framework["framework_info"]["failover_timeout"], 1000.0,
        "{frameworks}"
    );
    assert_eq!(framework["connected"], false, "{frameworks}");
    let quota = ask(leader, "GET_QUOTA");
    let config = &quota["get_quota"]["status"]["configs"][0];
    assert_eq!(config["role"], "ops", "{quota}");
    assert_eq!(config["guarantees"]["cpus"]["value"], 1.0, "{quota}");

    // And it can be taken back from the next leader.
    let reactivate = json!({"type": "REACTIVATE_AGENT", "reactivate_agent": {
        "agent_id": {"value": agent_id},
    }});
    post(leader, "/api/v1", &reactivate);
    until("the agent is as new", 30 * SECOND, async || {
        let agents = ask(leader, "GET_AGENTS");
        agents["get_agents"]["agents"][0]["deactivated"] == false
    })
    .await;
}
