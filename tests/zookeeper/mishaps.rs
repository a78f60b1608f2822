//! A registry that refuses its leader, and one that nobody can read: masters say so, and know the way out.

use std::time::Duration;

use mesosd::election::session::Change;
use mesosd::registrar::read_records;
use mesosd::testing::ensemble::Ensemble;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::cluster::{Cluster, MESOSD};
use super::{open, until};

const LIMIT: Duration = Duration::from_secs(60);
const EPOCH: &str = "/mesos/registry/epoch";
const WEIGHTS: &str =
    r#"{"type":"UPDATE_WEIGHTS","update_weights":{"weight_infos":[{"role":"a","weight":2.0}]}}"#;

/// The election knows nothing of it: the core has ended, the znode of the candidate is still the first one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_registry_refuses_it_makes_room_after_a_second() {
    let Some(ensemble) = Ensemble::start("zookeeper: refused leader", 1) else {
        return;
    };
    let cluster = Cluster::start(&ensemble.url("/mesos"), 2, 0);
    until("one leads", LIMIT, async || cluster.leader().is_some()).await;
    let first = cluster.leader().unwrap();
    // As if another leader had taken the registry over.
    let session = open(&ensemble.url("/mesos"), 10_000).await;
    let stamp = session.read(EPOCH).await.unwrap().unwrap().data;
    let mut stamp: Value = serde_json::from_slice(&stamp).unwrap();
    stamp["epoch"] = Value::from(stamp["epoch"].as_u64().unwrap() + 1);
    stamp["leader"] = "a stranger".into();
    let taken = Change::Set(EPOCH.to_owned(), stamp.to_string().into(), None);
    session.transact(&[taken]).await.unwrap();

    let (head, _) = cluster.masters[first].post("/api/v1", WEIGHTS);
    assert!(!head.starts_with("HTTP/1.1 200"), "not stored: {head}");
    let other = async || cluster.masters[1 - first].is_elected();
    let after = until("the other one leads", LIMIT, other).await;
    eprintln!("refused by its registry, another one leads after {after:?}");
    assert!(after > Duration::from_millis(800), "{after:?}");
    assert!(!cluster.masters[first].is_elected());
    let (head, _) = cluster.masters[1 - first].post("/api/v1", WEIGHTS);
    assert!(
        head.starts_with("HTTP/1.1 200"),
        "{head}\n{}",
        cluster.logs()
    );
    // It is a candidate as before.
    cluster.masters[1 - first].signal(Signal::SIGTERM);
    let again = async || cluster.masters[first].is_elected();
    until("the first one leads again", LIMIT, again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_registry_is_refused_and_mended() {
    let Some(ensemble) = Ensemble::start("zookeeper: damage", 1) else {
        return;
    };
    let url = ensemble.url("/mesos");
    let mut cluster = Cluster::start(&url, 1, 1);
    let agent = || {
        let agents = cluster_agents(&cluster);
        let agent = agents.first().filter(|agent| agent["active"] == true)?;
        Some(agent["id"].as_str()?.to_owned())
    };
    until("the agent is there", LIMIT, async || agent().is_some()).await;
    let id = agent().unwrap();
    let zk = format!("--zk={url}");
    let exported = registry(&["export", &zk]);
    let file = cluster.dir.path().join("exported.json");
    std::fs::write(&file, &exported.1).unwrap();
    end(&mut cluster);

    let session = open(&url, 10_000).await;
    let records = read_records(&session, "/mesos/registry").await.unwrap();
    let damaged = records
        .iter()
        .find(|record| record.key == format!("agent/{id}"));
    let damaged = damaged.unwrap().path.clone();
    let damage = Change::Set(damaged.clone(), b"\xff\xff".to_vec(), None);
    session.transact(&[damage]).await.unwrap();
    cluster.add_master();
    // It tries again and again, and leads nothing.
    let said = async || cluster.masters[0].log().matches(&damaged).count() >= 2;
    until("the damage is named twice", LIMIT, said).await;
    let log = cluster.masters[0].log();
    let line = log.lines().find(|line| line.contains(&damaged)).unwrap();
    assert!(line.contains("mesosd registry"), "{line}");
    assert!(
        !cluster.masters[0].is_elected() && !log.contains("this master leads"),
        "{log}"
    );
    let (code, out) = registry(&["check", &zk]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.starts_with(&format!("{damaged}: ")), "{out}");

    // The way out: stop all masters, import what was exported.
    end(&mut cluster);
    let imported = registry(&["import", &zk, file.to_str().unwrap()]);
    assert_eq!(imported.0, Some(0), "{}", imported.1);
    assert_eq!(registry(&["export", &zk]), exported);
    cluster.add_master();
    let back = async || {
        let agents = cluster_agents(&cluster);
        agents
            .first()
            .is_some_and(|agent| agent["active"] == true && agent["id"] == *id)
    };
    until("the agent is back, by its id", LIMIT, back).await;
}

fn cluster_agents(cluster: &Cluster) -> Vec<Value> {
    let agents = cluster.ask(&["agents"]).unwrap_or_default();
    agents.as_array().cloned().unwrap_or_default()
}

/// All masters leave.
fn end(cluster: &mut Cluster) {
    for mut master in cluster.masters.drain(..) {
        master.signal(Signal::SIGTERM);
        assert_eq!(master.wait(LIMIT), Some(0), "{}", master.log());
    }
}

/// `mesosd registry WORDS`: the exit code and what it says.
fn registry(words: &[&str]) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(MESOSD);
    let output = command.arg("registry").args(words).output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}
