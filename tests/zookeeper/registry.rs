//! The registry in ZooKeeper: durable, fenced, bounded, and sure of what became of a write.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mesosd::base::{AgentId, Timestamp};
use mesosd::election::session::{Change, Session};
use mesosd::proto::v1;
use mesosd::registrar::{Storage as _, StorageError, ZooKeeperStorage, read_records};
use mesosd::registry::{Operation, Registry};
use mesosd::testing::ensemble::Ensemble;

use super::open;
use super::proxy::Proxy;

const ROOT: &str = "/mesos/registry";

fn admit(number: usize, bytes: usize) -> Operation {
    Operation::AdmitAgent {
        agent_id: AgentId::new(format!("m-S{number}")),
        info: Arc::new(v1::AgentInfo {
            hostname: format!("agent-{number}.{}", "x".repeat(bytes)),
            ..v1::AgentInfo::default()
        }),
    }
}

fn apply(registry: &mut Registry, operations: &[Operation]) {
    for operation in operations {
        operation.apply(registry).unwrap();
    }
}

/// A candidate's session and znode.
async fn candidate(url: &str) -> (Session, String) {
    let session = open(url, 10_000).await;
    session.make_path("/mesos").await.unwrap();
    let node = session.enter("/mesos", b"{}").await.unwrap();
    (session, format!("/mesos/{node}"))
}

async fn lead(url: &str, epoch_min: u64) -> (ZooKeeperStorage, Session) {
    let (session, node) = candidate(url).await;
    let storage = ZooKeeperStorage::open(session.clone(), &node, ROOT, epoch_min);
    (storage.await.unwrap(), session)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_leader_reads_it_and_an_earlier_one_cannot_write() {
    let Some(ensemble) = Ensemble::start("zookeeper: registry", 1) else {
        return;
    };
    let url = ensemble.url("/mesos");
    let (mut first, _) = lead(&url, 5).await;
    let mut registry = first.load().await.unwrap();
    assert_eq!((first.epoch(), &registry), (5, &Registry::default()));
    let mut operations: Vec<Operation> = (0..40).map(|number| admit(number, 10)).collect();
    operations.push(Operation::MarkUnreachable {
        agent_id: AgentId::new("m-S3"),
        at: Timestamp(7),
    });
    operations.push(Operation::RemoveAgent {
        agent_id: AgentId::new("m-S4"),
    });
    apply(&mut registry, &operations);
    first.store(&operations, &registry).await.unwrap();
    let remove = [Operation::RemoveAgent {
        agent_id: AgentId::new("m-S5"),
    }];
    apply(&mut registry, &remove);
    first.store(&remove, &registry).await.unwrap();

    let (mut second, session) = lead(&url, 1).await;
    assert_eq!(
        second.epoch(),
        6,
        "larger than any before, whatever the clock says"
    );
    assert_eq!(second.load().await.unwrap(), registry);
    let late = [admit(100, 10)];
    let mut theirs = registry.clone();
    apply(&mut theirs, &late);
    let refused = first.store(&late, &theirs).await.unwrap_err();
    assert!(matches!(refused, StorageError::Fenced), "{refused}");
    second.store(&late, &theirs).await.unwrap();
    let (mut third, _) = lead(&url, 1).await;
    assert_eq!(third.load().await.unwrap(), theirs);

    // Who has lost its candidate's znode cannot take the registry over.
    let (other, node) = candidate(&url).await;
    let delete = [Change::Delete(node.clone())];
    other.transact(&delete).await.unwrap();
    let refused = ZooKeeperStorage::open(other, &node, ROOT, 1)
        .await
        .unwrap_err();
    assert!(matches!(refused, StorageError::Fenced), "{refused}");

    // Damage is named, with the znode and the way out.
    let records = read_records(&session, ROOT).await.unwrap();
    let damaged = &records
        .iter()
        .find(|record| record.key == "agent/m-S7")
        .unwrap()
        .path;
    let damage = Change::Set(damaged.clone(), b"\xff\xff".to_vec(), None);
    session.transact(&[damage]).await.unwrap();
    let (mut fourth, _) = lead(&url, 1).await;
    let error = fourth.load().await.unwrap_err().to_string();
    assert!(
        error.contains("m-S7") && error.contains("mesosd registry"),
        "{error}"
    );
    let newer = br#"{"epoch":9,"format":2,"writes":0}"#.to_vec();
    let newer = Change::Set(format!("{ROOT}/epoch"), newer, None);
    session.transact(&[newer]).await.unwrap();
    let (session, node) = candidate(&url).await;
    let error = ZooKeeperStorage::open(session, &node, ROOT, 1)
        .await
        .unwrap_err();
    assert!(
        matches!(error, StorageError::Newer { format: 2, .. }),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_read_back_and_not_guessed() {
    let Some(ensemble) = Ensemble::start("zookeeper: lost answer", 1) else {
        return;
    };
    let proxy = Proxy::new(ensemble.port(0));
    let through = format!("zk://127.0.0.1:{}/mesos", proxy.port);
    let (session, node) = candidate(&through).await;
    // The shards, the takeover, then three writes: each answer is lost.
    proxy.lose_next.store(true, Ordering::SeqCst);
    let mut storage = ZooKeeperStorage::open(session, &node, ROOT, 1)
        .await
        .unwrap();
    let mut registry = storage.load().await.unwrap();
    for number in 0..3 {
        let operations = [admit(number, 10)];
        apply(&mut registry, &operations);
        proxy.lose_next.store(true, Ordering::SeqCst);
        storage.store(&operations, &registry).await.unwrap();
    }
    assert_eq!(proxy.lost.load(Ordering::SeqCst), 4);
    let (mut next, session) = lead(&ensemble.url("/mesos"), 1).await;
    assert_eq!(next.load().await.unwrap(), registry);
    let epoch = session
        .read(&format!("{ROOT}/epoch"))
        .await
        .unwrap()
        .unwrap();
    // Created, three writes, taken over: nothing was written twice.
    assert_eq!(epoch.version, 4, "{}", String::from_utf8_lossy(&epoch.data));
    // The deposed one, whose next answer is lost too, is told the truth as well.
    let late = [admit(9, 10)];
    apply(&mut registry, &late);
    proxy.lose_next.store(true, Ordering::SeqCst);
    let refused = storage.store(&late, &registry).await.unwrap_err();
    assert!(matches!(refused, StorageError::Fenced), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_beyond_the_packet_limit_are_split() {
    let Some(ensemble) = Ensemble::start("zookeeper: large batch", 1) else {
        return;
    };
    let url = ensemble.url("/mesos");
    let (mut storage, _) = lead(&url, 1).await;
    let mut registry = storage.load().await.unwrap();
    let operations: Vec<Operation> = (0..3_000).map(|number| admit(number, 1_500)).collect();
    apply(&mut registry, &operations);
    let begin = Instant::now();
    storage.store(&operations, &registry).await.unwrap();
    let stored = begin.elapsed();
    let begin = Instant::now();
    let (mut next, _) = lead(&url, 1).await;
    assert_eq!(next.load().await.unwrap(), registry);
    eprintln!(
        "3,000 agents of 1.5 kB: stored in {stored:?}, loaded in {:?}",
        begin.elapsed()
    );
    assert!(begin.elapsed() < Duration::from_secs(20));
    let large = [admit(5_000, 1_100_000)];
    apply(&mut registry, &large);
    let error = next.store(&large, &registry).await.unwrap_err().to_string();
    assert!(error.contains("more than ZooKeeper takes"), "{error}");
}
