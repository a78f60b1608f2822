//! How long a framework may be away, through a change of the leader. The masters are in this process: a
//! daemon's `--agent_reregister_timeout` is ten minutes at least.

use std::time::{Duration, Instant};

use mesosd::master::driver::{Running, lead};
use mesosd::master::{Handle, MasterConfig};
use mesosd::proto::v1;
use mesosd::registrar::ZooKeeperStorage;
use mesosd::runtime::Lease;
use mesosd::telemetry::Metrics;
use mesosd::testing::ensemble::Ensemble;

use super::{open, until};

const LIMIT: Duration = Duration::from_secs(30);
/// Until missing agents are given up.
const AGENTS: Duration = Duration::from_secs(2);

/// A leader elected by this test, with the registry in a real ZooKeeper.
async fn elected(url: &str, uuid: &str) -> Running {
    let session = open(url, 10_000).await;
    session.make_path("/mesos").await.unwrap();
    let node = session.enter("/mesos", b"{}").await.unwrap();
    let node = format!("/mesos/{node}");
    let storage = ZooKeeperStorage::open(session, &node, "/mesos/registry", 1);
    let storage = storage.await.unwrap();
    let mut config = MasterConfig::new(uuid);
    config.epoch = storage.epoch();
    config.agent_reregister_timeout = AGENTS;
    let metrics = Metrics::new();
    lead(config, storage, Lease::endless(), &metrics)
        .await
        .unwrap()
}

fn framework(name: &str, failover_timeout: f64) -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        user: "root".to_owned(),
        name: name.to_owned(),
        failover_timeout: Some(failover_timeout),
        ..v1::FrameworkInfo::default()
    }
}

/// The frameworks that this master waits for.
async fn known(master: &Handle) -> Vec<String> {
    let snapshot = master.snapshot().await.unwrap();
    let frameworks = snapshot.frameworks.values();
    frameworks
        .map(|framework| framework.info.name.clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_framework_that_does_not_come_back_ends_after_its_timeout_and_not_before_its_agents_had_theirs()
 {
    let Some(ensemble) = Ensemble::start("zookeeper: failover timeout", 1) else {
        return;
    };
    let url = ensemble.url("/mesos");
    let first = elected(&url, "11111111-1111-1111-1111-111111111111").await;
    let mut streams = Vec::new();
    for (name, timeout) in [("zero", 0.0), ("short", 0.5), ("long", 4.0)] {
        let subscribed = first
            .handle
            .subscribe(framework(name, timeout), Vec::new(), None);
        let mut stream = subscribed.await.unwrap();
        let event = stream.recv().await.unwrap();
        assert!(event.subscribed.is_some(), "{event:?}");
        streams.push(stream);
    }
    // It dies with all its connections open.
    first.task.abort();
    drop(first);

    let second = elected(&url, "22222222-2222-2222-2222-222222222222").await;
    let begin = Instant::now();
    let names = ["long", "short", "zero"];
    let mut present = known(&second.handle).await;
    present.sort();
    assert_eq!(present, names, "nobody is forgotten with the leader");
    // Neither of the timeouts of 0 and 0.5 s has an effect while agents may come back.
    tokio::time::sleep((AGENTS * 3 / 4).saturating_sub(begin.elapsed())).await;
    if begin.elapsed() < AGENTS {
        assert_eq!(known(&second.handle).await.len(), 3);
    }
    let left = async || known(&second.handle).await == ["long"];
    until("those who could have come back are given up", LIMIT, left).await;
    let shorter = begin.elapsed();
    assert!(
        shorter >= AGENTS - Duration::from_millis(100),
        "{shorter:?}"
    );
    let none = async || known(&second.handle).await.is_empty();
    until("the third one is given up as well", LIMIT, none).await;
    let longer = begin.elapsed();
    assert!(
        longer >= Duration::from_millis(3_900),
        "from the election on: {longer:?}"
    );
    eprintln!("given up {shorter:?} and {longer:?} after the election");
    drop(streams);
    second.handle.shutdown().await;
    second.task.await.unwrap().unwrap();
    // And the registry has let them go.
    let third = elected(&url, "33333333-3333-3333-3333-333333333333").await;
    assert_eq!(known(&third.handle).await, Vec::<String>::new());
}
