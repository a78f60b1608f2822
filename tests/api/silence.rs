//! Half-open connections: a peer that falls silent without a word is noticed by keep-alive.

use std::time::Duration;

use mesosd::api::server::Limits;
use mesosd::proto::link::agent_link_client::AgentLinkClient;
use mesosd::proto::link::{self, FromAgent};
use mesosd::proto::v1;
use mesosd::proto::v1::scheduler::scheduler_service_client::SchedulerServiceClient;
use mesosd::proto::v1::scheduler::{Call, call};
use mesosd::testing::wire::Wire;
use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};

use crate::raw::Master;

const OFTEN: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(20);

async fn through(wire: &Wire) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", wire.address)).unwrap();
    endpoint.connect().await.unwrap()
}

/// Waits until the master sees no framework as connected, or one.
async fn wait_for(master: &Master, connected: bool) {
    let deadline = Instant::now() + LONG;
    loop {
        let snapshot = master.handle().snapshot().await.unwrap();
        let mut frameworks = snapshot.frameworks.values();
        if frameworks.any(|framework| framework.is_connected()) == connected {
            return;
        }
        assert!(Instant::now() < deadline, "connected is never {connected}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the only agent's link is up, or down.
async fn wait_for_agent(master: &Master, linked: bool) {
    let deadline = Instant::now() + LONG;
    loop {
        let snapshot = master.handle().snapshot().await.unwrap();
        let mut agents = snapshot.agents.values();
        if agents.any(|agent| agent.is_active()) == linked {
            return;
        }
        assert!(Instant::now() < deadline, "linked is never {linked}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// First words of an agent.
fn registration() -> FromAgent {
    let register = link::Register {
        agent: v1::AgentInfo {
            hostname: "silent".to_owned(),
            port: Some(5051),
            ..v1::AgentInfo::default()
        },
        version: "1.12.0".to_owned(),
        ..link::Register::default()
    };
    FromAgent {
        message: Some(link::from_agent::Message::Register(register)),
    }
}

#[tokio::test]
async fn a_scheduler_and_an_agent_that_fall_silent_are_noticed() {
    let limits = Limits {
        keepalive: OFTEN,
        keepalive_answer: OFTEN * 5,
        ..Limits::default()
    };
    let master = Master::with_limits(limits).await;
    let wire = Wire::to(master.server.address).await.unwrap();
    let mut scheduler = SchedulerServiceClient::new(through(&wire).await);
    let call = Call {
        r#type: Some(call::Type::Subscribe.into()),
        subscribe: Some(call::Subscribe {
            framework_info: v1::FrameworkInfo {
                user: "u".to_owned(),
                name: "silent".to_owned(),
                failover_timeout: Some(600.0),
                ..v1::FrameworkInfo::default()
            },
            ..call::Subscribe::default()
        }),
        ..Call::default()
    };
    let mut events = scheduler.subscribe(call).await.unwrap().into_inner();
    assert!(
        events
            .message()
            .await
            .unwrap()
            .unwrap()
            .subscribed
            .is_some()
    );
    wait_for(&master, true).await;
    // The link of an agent, on another connection.
    let mut agent = AgentLinkClient::new(through(&wire).await);
    let (sender, outgoing) = tokio::sync::mpsc::channel::<FromAgent>(1);
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(outgoing);
    sender.send(registration()).await.unwrap();
    let _incoming = agent.connect(outgoing).await.unwrap().into_inner();
    wait_for_agent(&master, true).await;
    // As long as something answers, nothing ends.
    sleep(OFTEN * 8).await;
    wait_for(&master, true).await;
    wait_for_agent(&master, true).await;
    assert!(!sender.is_closed());
    // The master's own pings would take a minute to find out.
    wire.silence();
    wait_for(&master, false).await;
    wait_for_agent(&master, false).await;
}

/// HTTP/1.1 has no pings: the kernel asks for the peer instead, also while nothing is sent.
#[tokio::test(flavor = "multi_thread")]
async fn the_kernel_looks_after_connections_without_pings() {
    let master = Master::start().await;
    let address = master.server.address;
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    let request = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    std::io::Write::write_all(&mut socket, request.as_bytes()).unwrap();
    let mut answer = [0; 12];
    std::io::Read::read_exact(&mut socket, &mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let own = socket.local_addr().unwrap().port();
    let ports = (format!(":{:04X}", address.port()), format!(":{own:04X}"));
    // Which timer the server's side has: 02 is that of keep-alive.
    let timer = || {
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let mut rows = table.lines().map(|row| row.split_whitespace());
        rows.find_map(|mut row| {
            let (local, remote) = (row.nth(1)?, row.next()?);
            let is_it = local.ends_with(&ports.0) && remote.ends_with(&ports.1);
            is_it.then(|| row.nth(2).unwrap_or_default().to_owned())
        })
    };
    let deadline = Instant::now() + LONG;
    while !timer().is_some_and(|timer| timer.starts_with("02:")) {
        assert!(Instant::now() < deadline, "{:?}", timer());
        sleep(Duration::from_millis(20)).await;
    }
}
