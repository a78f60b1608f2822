//! What operators have said of agents is in ZooKeeper: the next leader goes on with it.

use std::time::Duration;

use mesosd::proto::v1::TaskState;
use mesosd::testing::ensemble::Ensemble;
use nix::sys::signal::Signal;

use super::cluster::Cluster;
use super::failover::{Framework, until};

const LIMIT: Duration = Duration::from_secs(60);

/// Each agent's host name, id and state.
fn agents(cluster: &Cluster) -> Vec<[String; 3]> {
    let agents = cluster.ask(&["agents"]).unwrap_or_default();
    let word =
        |agent: &serde_json::Value, name: &str| agent[name].as_str().unwrap_or("").to_owned();
    let agents = agents.as_array().into_iter().flatten();
    let agents = agents.map(|agent| ["hostname", "id", "state"].map(|name| word(agent, name)));
    let mut agents: Vec<_> = agents.collect();
    agents.sort();
    agents
}

/// Waits until both agents are in these states.
async fn are(cluster: &Cluster, what: &str, states: [&str; 2]) {
    let same = || {
        agents(cluster)
            .iter()
            .map(|agent| agent[2].clone())
            .eq(states)
    };
    until(cluster, what, LIMIT, same).await;
}

/// The leader dies without a word.
fn kill_leader(cluster: &mut Cluster) {
    let leader = cluster.leader().unwrap();
    cluster.masters[leader].signal(Signal::SIGKILL);
    cluster.masters.remove(leader);
    cluster.add_master();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn drains_and_deactivations_outlive_their_leader() {
    let Some(ensemble) = Ensemble::start("zookeeper: operators", 1) else {
        return;
    };
    let mut cluster = Cluster::start(&ensemble.url("/mesos"), 2, 2);
    are(&cluster, "the agents are there", ["active"; 2]).await;
    let known = agents(&cluster);
    let (first, second) = (&known[0][1], &known[1][1]);
    // With one agent that takes no more, it is known where tasks go.
    assert!(cluster.ask(&["deactivate", second]).is_some());
    let marks = tempfile::tempdir().unwrap();
    let framework = Framework::start(&cluster.url);
    framework.launch("drained", marks.path()).await;
    let runs = || framework.is_running("drained");
    until(&cluster, "the task runs", LIMIT, runs).await;

    // The leader dies as soon as it has answered; the agent may not have heard of it.
    assert!(cluster.ask(&["drain", first]).is_some());
    kill_leader(&mut cluster);
    are(
        &cluster,
        "the next leader drains",
        ["drained", "deactivated"],
    )
    .await;
    let killed = || framework.state("drained") == Some(TaskState::TaskKilled);
    until(&cluster, "the task is killed", LIMIT, killed).await;

    // And the one after it.
    kill_leader(&mut cluster);
    are(&cluster, "all is as it was", ["drained", "deactivated"]).await;
    assert_eq!(
        agents(&cluster)
            .iter()
            .map(|agent| &agent[1])
            .collect::<Vec<_>>(),
        [first, second],
        "the same agents"
    );
    framework.launch("waits", marks.path()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(framework.state("waits"), None, "nobody takes it");
    assert!(cluster.ask(&["reactivate", first]).is_some());
    let runs = || framework.is_running("waits");
    until(&cluster, "the task runs", LIMIT, runs).await;
    let words = ["drain", first, "--mark-gone"];
    assert!(cluster.ask(&words).is_some());
    kill_leader(&mut cluster);
    let left = [second.clone()];
    let gone = || {
        agents(&cluster)
            .into_iter()
            .map(|[_, id, _]| id)
            .eq(left.clone())
    };
    until(&cluster, "the drained agent is gone", LIMIT, gone).await;
    let said = cluster.ask(&["registry", "show", &format!("--zk={}", cluster.url)]);
    let said = said.unwrap().to_string();
    assert!(said.contains("gone"), "{said}");
    let torn_down = framework.handle.teardown().await;
    assert!(torn_down.is_ok(), "{torn_down:?}");
}
