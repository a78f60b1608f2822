//! Contenders and followers with a real ensemble.

use std::time::Duration;

use mesosd::election::driver::{Contest, Standing, contend, follow};
use mesosd::election::info;
use mesosd::election::session::Change;
use mesosd::proto::v1;
use mesosd::testing::ensemble::Ensemble;

use super::{access, open, until};

const SECOND: Duration = Duration::from_secs(1);

fn master(port: u32) -> v1::MasterInfo {
    v1::MasterInfo {
        id: format!("m{port}"),
        ip: u32::from_le_bytes([127, 0, 0, 1]),
        port,
        hostname: Some("localhost".to_owned()),
        version: Some("0.1.0".to_owned()),
        ..v1::MasterInfo::default()
    }
}

fn leads(contest: &Contest) -> bool {
    match &*contest.standings.borrow() {
        Standing::Elected(term) => term.lease.is_held(),
        Standing::Standby(_) => false,
    }
}

/// Who the standby believes to lead.
fn follows(contest: &Contest) -> Option<String> {
    match &*contest.standings.borrow() {
        Standing::Standby(leader) => leader.as_deref().map(|leader| leader.id.clone()),
        Standing::Elected(_) => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masters_take_over_from_each_other() {
    let Some(mut ensemble) = Ensemble::start("zookeeper: election", 1) else {
        return;
    };
    let url = ensemble.url("/cells/mesos");
    let observer = open(&url, 10_000).await;
    let following = follow(access(&url, 10_000));
    let first = contend(access(&url, 10_000), &master(1));
    until("the first leads", 10 * SECOND, async || leads(&first)).await;
    let second = contend(access(&url, 10_000), &master(2));
    let third = contend(access(&url, 10_000), &master(3));
    for standby in [&second, &third] {
        let told = async || follows(standby).as_deref() == Some("m1");
        until("standbys know the leader", 10 * SECOND, told).await;
    }
    let known = async || {
        following
            .leaders
            .borrow()
            .as_deref()
            .is_some_and(|leader| leader.id == "m1")
    };
    until("followers know the leader", 10 * SECOND, known).await;

    // As Mesos' own tools expect it.
    let names = observer.list("/cells/mesos").await.unwrap();
    assert_eq!(names.len(), 3, "{names:?}");
    for name in &names {
        let digits = name.strip_prefix("json.info_").unwrap();
        assert!(digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit()));
    }
    let least = names.iter().min().unwrap();
    let node = observer
        .read(&format!("/cells/mesos/{least}"))
        .await
        .unwrap()
        .unwrap();
    assert!(node.owner.is_some());
    assert_eq!(node.data, info::write(&master(1)));

    // Handing over: well below a second, though the session timeout is ten.
    let begin = std::time::Instant::now();
    first.withdraw().await;
    let leader = async || leads(&second) || leads(&third);
    until("another one leads", 10 * SECOND, leader).await;
    let took = begin.elapsed();
    eprintln!("handed over in {took:?}");
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    let (leader, standby) = if leads(&second) {
        (second, third)
    } else {
        (third, second)
    };
    let at_followers = async || {
        let known = following
            .leaders
            .borrow()
            .as_deref()
            .map(|leader| leader.id.clone());
        known != Some("m1".to_owned()) && known.is_some()
    };
    until("followers hear of it", 10 * SECOND, at_followers).await;

    // A restart of the ensemble within the session: nobody is deposed for long, never two at once.
    ensemble.crash(0);
    ensemble.revive(0);
    ensemble.wait();
    let settled = async || {
        assert!(!(leads(&leader) && leads(&standby)), "two leaders");
        leads(&leader) || leads(&standby)
    };
    until("somebody leads after the restart", 30 * SECOND, settled).await;

    // Somebody deletes the leader's znode.
    let (leader, standby) = if leads(&leader) {
        (leader, standby)
    } else {
        (standby, leader)
    };
    let node = match &*leader.standings.borrow() {
        Standing::Elected(term) => term.node.clone(),
        Standing::Standby(_) => panic!("it leads"),
    };
    until("the observer is back", 20 * SECOND, async || {
        observer.sync("/").await.is_ok()
    })
    .await;
    observer.transact(&[Change::Delete(node)]).await.unwrap();
    until("the other one takes over", 10 * SECOND, async || {
        leads(&standby)
    })
    .await;
    until("the deposed one knows it", 10 * SECOND, async || {
        !leads(&leader)
    })
    .await;

    // And one that resigns goes to the end of the queue.
    standby.resign().await;
    until("back again", 15 * SECOND, async || leads(&leader)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_leads_without_a_majority_of_the_ensemble() {
    let Some(mut ensemble) = Ensemble::start("zookeeper: majority", 3) else {
        return;
    };
    let url = ensemble.url("/mesos");
    let timeout = 3_000;
    let contest = contend(access(&url, timeout), &master(1));
    until("it leads", 10 * SECOND, async || leads(&contest)).await;
    ensemble.freeze(1);
    ensemble.freeze(2);
    let lease = Duration::from_millis(timeout) * 60 / 100;
    // The server that still runs answers pings for a while; they do not count.
    let took = until("the lease ends", 3 * lease, async || !leads(&contest)).await;
    assert!(took <= lease + SECOND / 2, "{took:?}");
    ensemble.thaw(1);
    ensemble.thaw(2);
    until("it leads again", 30 * SECOND, async || leads(&contest)).await;
    ensemble.crash(0);
    until("one server fewer is no matter", 20 * SECOND, async || {
        leads(&contest)
    })
    .await;
    contest.withdraw().await;
}
