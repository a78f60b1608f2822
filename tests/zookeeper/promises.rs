//! What a leader that stood still for longer than its session says to agents when it wakes: nothing.

use std::time::Duration;

use mesosd::frameworks::sdk::{self, Config, Event};
use mesosd::proto::link::agent_link_client::AgentLinkClient;
use mesosd::proto::link::{self, FromMaster, from_agent, from_master};
use mesosd::proto::v1;
use mesosd::testing::ensemble::Ensemble;
use nix::sys::signal::Signal;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

use super::cluster::{Cluster, Daemon};
use super::until;

const SECOND: Duration = Duration::from_secs(1);

/// An agent by hand: registered with one master, whatever ZooKeeper says.
struct Link {
    said: mpsc::Sender<link::FromAgent>,
    heard: Streaming<FromMaster>,
}

impl Link {
    async fn register(master: &Daemon) -> Self {
        let address = format!("http://127.0.0.1:{}", master.port);
        let endpoint = Endpoint::from_shared(address).unwrap();
        let mut client = AgentLinkClient::new(endpoint.connect().await.unwrap());
        let (said, outgoing) = mpsc::channel(16);
        let resources = vec![sdk::scalar("cpus", 1.0), sdk::scalar("mem", 128.0)];
        let register = link::Register {
            agent: v1::AgentInfo {
                hostname: "by-hand.test".to_owned(),
                resources: resources.clone(),
                ..v1::AgentInfo::default()
            },
            total: resources,
            version: "1.0.0".to_owned(),
        };
        let message = Some(from_agent::Message::Register(register));
        said.send(link::FromAgent { message }).await.unwrap();
        let opened = client.connect(ReceiverStream::new(outgoing)).await.unwrap();
        let mut heard = opened.into_inner();
        loop {
            let message = heard.message().await.unwrap().unwrap().message;
            if let Some(from_master::Message::Registered(_)) = message {
                return Self { said, heard };
            }
        }
    }

    /// What has arrived and was not read yet, up to a silence of this length or the end.
    async fn rest(&mut self, silence: Duration) -> Vec<from_master::Message> {
        let mut rest = Vec::new();
        while let Ok(Ok(Some(message))) = timeout(silence, self.heard.message()).await {
            rest.extend(message.message);
        }
        rest
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_leader_that_was_frozen_tells_its_agents_nothing_when_it_wakes() {
    let Some(ensemble) = Ensemble::start("zookeeper: promises", 1) else {
        return;
    };
    // A ping is due the moment it wakes.
    let flags = ["--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=60"];
    let cluster = Cluster::with_flags(&ensemble.url("/mesos"), 2, 0, &flags);
    until("a master leads", 20 * SECOND, async || {
        cluster.leader().is_some()
    })
    .await;
    let number = cluster.leader().unwrap();
    let (leader, other) = (&cluster.masters[number], &cluster.masters[1 - number]);
    let mut link = until_registered(leader).await;
    let address = format!("127.0.0.1:{}", leader.port);
    let (handle, mut events) = sdk::start(Config::new(&address, "root", "promises"));
    let offer = loop {
        let event = timeout(20 * SECOND, events.next()).await.unwrap().unwrap();
        if let Event::Offers(mut offers) = event {
            break offers.remove(0);
        }
    };

    leader.signal(Signal::SIGSTOP);
    until("the other master leads", 30 * SECOND, async || {
        other.is_elected()
    })
    .await;
    link.rest(SECOND / 5).await;
    // A launch and a word of the agent wait for the sleeper.
    let task = v1::TaskInfo {
        name: "t".to_owned(),
        task_id: "t".into(),
        agent_id: offer.agent_id,
        resources: vec![sdk::scalar("cpus", 0.5), sdk::scalar("mem", 32.0)],
        command: Some(v1::CommandInfo {
            value: Some("true".to_owned()),
            ..v1::CommandInfo::default()
        }),
        ..v1::TaskInfo::default()
    };
    let launching =
        tokio::spawn(async move { handle.launch(vec![offer.id], vec![task], None).await });
    let pong = from_agent::Message::Pong(link::Pong { sequence: 1 });
    let message = Some(pong);
    link.said.send(link::FromAgent { message }).await.unwrap();
    tokio::time::sleep(SECOND / 2).await;
    leader.signal(Signal::SIGCONT);

    let promised = link.rest(3 * SECOND).await;
    assert!(promised.is_empty(), "woken, it says: {promised:?}");
    let launched = timeout(20 * SECOND, launching).await.unwrap().unwrap();
    assert!(launched.is_err(), "woken, it takes launches");
    until("it has noticed", 20 * SECOND, async || !leader.is_elected()).await;
    assert!(other.is_elected());
}

/// The leader may still read its registry.
async fn until_registered(leader: &Daemon) -> Link {
    until("the leader serves", 20 * SECOND, async || {
        leader.get("/state").0.starts_with("HTTP/1.1 200")
    })
    .await;
    timeout(20 * SECOND, Link::register(leader)).await.unwrap()
}
