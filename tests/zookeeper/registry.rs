//! The registry in ZooKeeper: durable, fenced, bounded, and sure of what became of a write.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mesosd::base::{AgentId, Timestamp};
use mesosd::election::session::{Change, Session};
use mesosd::proto::v1;
use mesosd::registrar::{
    EmbeddedStorage, Storage as _, StorageError, ZooKeeperStorage, read_records, recover,
};
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
async fn a_server_that_reads_one_record_at_a_time_is_enough() {
    let Some(ensemble) = Ensemble::start("zookeeper: registry", 1) else {
        return;
    };
    let (mut storage, session) = lead(&ensemble.url("/mesos"), 1).await;
    let mut registry = storage.load().await.unwrap();
    let operations: Vec<Operation> = (0..250).map(|number| admit(number, 10)).collect();
    apply(&mut registry, &operations);
    storage.store(&operations, &registry).await.unwrap();
    let records = read_records(&session, ROOT).await.unwrap();
    assert_eq!(records.len(), 250);

    let proxy = Proxy::new(ensemble.port(0));
    proxy.old.store(true, Ordering::SeqCst);
    let old = open(&format!("zk://127.0.0.1:{}/mesos", proxy.port), 10_000).await;
    assert_eq!(read_records(&old, ROOT).await.unwrap(), records);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_too_large_costs_nobody_the_leadership() {
    let Some(ensemble) = Ensemble::start("zookeeper: large record", 1) else {
        return;
    };
    let url = ensemble.url("/mesos");
    let (storage, _) = lead(&url, 1).await;
    let mut recovered = recover::<usize>(storage).await.unwrap();
    let wanted = [
        admit(0, 10),
        admit(1, 1_100_000),
        admit(2, 900_000),
        admit(3, 10),
    ];
    for (number, operation) in wanted.into_iter().enumerate() {
        recovered.registrar.submit(number, operation);
    }
    let mut refused = Vec::new();
    for _ in 0..4 {
        let answer = recovered.answers.recv().await.unwrap();
        refused.extend(
            answer
                .result
                .err()
                .map(|error| (answer.token, error.to_string())),
        );
    }
    let [(1, refused)] = &refused[..] else {
        panic!("{refused:?}");
    };
    let wanted = "the record of agent/m-S1 would have 1100";
    assert!(
        refused.starts_with(wanted) && refused.contains("takes 1000000"),
        "{refused}"
    );
    drop(recovered.registrar);
    recovered.task.await.unwrap().unwrap();
    let (mut next, _) = lead(&url, 1).await;
    let admitted = next.load().await.unwrap().agents;
    let ids: Vec<&str> = admitted.keys().map(AgentId::as_str).collect();
    assert_eq!(ids, ["m-S0", "m-S2", "m-S3"]);
}

/// `mesosd registry WORDS`: the exit code, stdout, stderr.
fn command(words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mesosd"));
    let output = command.arg("registry").args(words).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_moves_into_zookeeper_and_back() {
    let Some(ensemble) = Ensemble::start("zookeeper: registry command", 1) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut operations: Vec<Operation> = (0..300).map(|number| admit(number, 2_000)).collect();
    operations.push(Operation::MarkUnreachable {
        agent_id: AgentId::new("m-S3"),
        at: Timestamp(7),
    });
    let mut storage = EmbeddedStorage::open(folder.path(), 1).unwrap();
    let mut registry = storage.load().await.unwrap();
    apply(&mut registry, &operations);
    storage.store(&operations, &registry).await.unwrap();
    drop(storage);

    let url = ensemble.url("/mesos");
    let (file, zk) = (
        format!("--work_dir={}", folder.path().display()),
        format!("--zk={url}"),
    );
    let done = |words: &[&str]| {
        let (code, out, err) = command(words);
        assert_eq!((code, &*err), (Some(0), ""), "{words:?}");
        out
    };
    let exported = done(&["export", &file]);
    let path = folder.path().join("exported.json");
    std::fs::write(&path, &exported).unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(done(&["check", &zk]), "0 records, 0 of them damaged\n");
    assert_eq!(done(&["import", &zk, path]), "300 records imported\n");
    assert_eq!(done(&["export", &zk]), exported);
    assert_eq!(done(&["show", &zk]), done(&["show", &file]));
    let (mut leader, session) = lead(&url, 1).await;
    assert_eq!(leader.load().await.unwrap(), registry);

    // While masters contend, nobody replaces it; looking is harmless.
    let (code, _, said) = command(&["import", &zk, path]);
    assert_eq!(code, Some(74), "{said}");
    assert!(
        said.contains("masters contend at /mesos in ZooKeeper: stop them all"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(done(&["check", &zk]), "300 records, 0 of them damaged\n");

    // Damage is listed with its znode, and mended by what was exported.
    let records = read_records(&session, ROOT).await.unwrap();
    let damaged = &records[5].path;
    let damage = Change::Set(damaged.clone(), b"\xff\xff".to_vec(), None);
    session.transact(&[damage]).await.unwrap();
    let (code, out, said) = command(&["check", &zk]);
    assert_eq!(code, Some(1), "{said}");
    assert!(out.starts_with(&format!("{damaged}: ")), "{out}");
    assert!(out.ends_with("300 records, 1 of them damaged\n"), "{out}");
    drop(leader);
    session.close().await;
    assert_eq!(done(&["import", &zk, path]), "300 records imported\n");
    assert_eq!(done(&["check", &zk]), "300 records, 0 of them damaged\n");
    assert_eq!(done(&["export", &zk]), exported);

    // Nobody answers: one line.
    let (code, _, said) = command(&[
        "show",
        "--zk=zk://127.0.0.1:1/mesos",
        "--zk_session_timeout=1secs",
    ]);
    assert_eq!((code, said.lines().count()), (Some(69), 1), "{said}");
}
