//! The names of ZooKeeper's servers: where they lead to is asked anew at each attempt to connect.

use std::time::Duration;

use mesosd::registrar::read_records;
use mesosd::testing::ensemble::Ensemble;
use mesosd::testing::{is_root, skip};

use super::cluster::Daemon;
use super::proxy::Proxy;
use super::{open, until};

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_moved_is_found_by_its_name() {
    if !is_root() {
        skip("zookeeper: names", "only root may mount");
        return;
    }
    let Some(ensemble) = Ensemble::start("zookeeper: names", 1) else {
        return;
    };
    let port = ensemble.port(0);
    let at = |host: &str| Proxy::at(&format!("{host}:{port}"), port);
    let (before, after) = (at("127.0.0.2"), at("127.0.0.3"));
    let dir = tempfile::tempdir().unwrap();
    let hosts = dir.path().join("hosts");
    let name = |address: &str| {
        let text = format!("127.0.0.1 localhost\n{address} keeper.test\n");
        // The file stays the same one: it is mounted.
        std::fs::write(&hosts, text).unwrap();
    };
    name("127.0.0.2");
    let flags = [
        "--role=master".to_owned(),
        format!("--zk=zk://keeper.test:{port}/mesos"),
        "--quorum=1".to_owned(),
        "--zk_session_timeout=20secs".to_owned(),
    ];
    let master = Daemon::start_among(&hosts, dir.path(), "master", &flags);
    until("it leads", LIMIT, async || master.is_elected()).await;
    assert!(before.accepted() > 0 && after.accepted() == 0);

    name("127.0.0.3");
    before.close();
    let found = async || after.accepted() > 0;
    let silence = until("it asks at the new address", LIMIT, found).await;
    eprintln!("found at its new address after {silence:?}");
    // A lease has 12 s: it is the same leadership, and what it promises is stored.
    let session = open(&ensemble.url("/mesos"), 10_000).await;
    let body = r#"{"type":"UPDATE_WEIGHTS","update_weights":{"weight_infos":[{"role":"a","weight":2.0}]}}"#;
    let (head, _) = master.post("/api/v1", body);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}\n{}", master.log());
    let stored = read_records(&session, "/mesos/registry").await.unwrap();
    assert!(stored.iter().any(|record| record.key == "weight/a"));
    assert_eq!(
        master.log().matches("this master leads").count(),
        1,
        "{}",
        master.log()
    );
}
