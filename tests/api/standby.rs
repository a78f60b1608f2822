//! What a master answers that does not lead: 307 with the leader's place in Mesos' form, 503 while nobody
//! leads or the leader still reads its registry, its own affairs, and gRPC refusals that name the leader.

use std::sync::Arc;

use mesosd::api::http::standby_routes;
use mesosd::api::server::Limits;
use mesosd::api::service::daemon::Daemon;
use mesosd::api::{LEADER, Switch};
use mesosd::proto::link::agent_link_client::AgentLinkClient;
use mesosd::proto::v1;
use mesosd::proto::v1::master::operator_service_client::OperatorServiceClient;
use mesosd::proto::v1::scheduler::scheduler_service_client::SchedulerServiceClient;
use mesosd::proto::v1::{master, scheduler};
use mesosd::telemetry::Metrics;
use tonic::{Code, Status};

use crate::raw::Server;
use crate::wire::send;

/// A master behind its switch.
async fn standby() -> (Switch, Server) {
    let switch = Switch::new();
    let routes = standby_routes(&switch, Daemon::new(Metrics::new()));
    let server = Server::start(switch.serve(routes), Limits::default()).await;
    (switch, server)
}

fn leader() -> Option<Arc<v1::MasterInfo>> {
    Some(Arc::new(v1::MasterInfo {
        id: "m".to_owned(),
        port: 5050,
        address: Some(v1::Address {
            hostname: Some("m1.example".to_owned()),
            ip: Some("10.0.0.1".to_owned()),
            port: 5050,
        }),
        ..v1::MasterInfo::default()
    }))
}

/// What only the leader answers, and where a standby sends it.
const LEADERS: &[(&str, &str)] = &[
    ("POST /api/v1/scheduler", "/master/api/v1/scheduler"),
    ("POST /master/api/v1/scheduler", "/master/api/v1/scheduler"),
    ("POST /api/v1", "/master/api/v1"),
    ("POST /master/api/v1", "/master/api/v1"),
    // Who does not lead looks at nothing else: not at the method either.
    ("PUT /api/v1/scheduler", "/master/api/v1/scheduler"),
    ("GET /state", "/master/state"),
    ("GET /master/state", "/master/state"),
    ("GET /state?jsonp=cb", "/master/state?jsonp=cb"),
    ("GET /state.json", "/master/state.json"),
    ("GET /state-summary", "/master/state-summary"),
    ("GET /slaves", "/master/slaves"),
    ("GET /frameworks", "/master/frameworks"),
    ("GET /tasks?limit=3", "/master/tasks?limit=3"),
    ("GET /roles", "/master/roles"),
    ("GET /weights", "/master/weights"),
    ("PUT /weights", "/master/weights"),
    ("GET /quota", "/master/quota"),
    ("DELETE /quota/a/b", "/master/quota/a/b"),
    ("GET /maintenance/schedule", "/master/maintenance/schedule"),
    ("GET /maintenance/status", "/master/maintenance/status"),
    ("POST /machine/down", "/master/machine/down"),
    ("POST /machine/up", "/master/machine/up"),
    ("POST /reserve", "/master/reserve"),
    ("POST /unreserve", "/master/unreserve"),
    ("POST /create-volumes", "/master/create-volumes"),
    ("POST /destroy-volumes", "/master/destroy-volumes"),
    ("POST /teardown", "/master/teardown"),
    // They name no thing of their own.
    ("GET /redirect", ""),
    ("GET /redirect/", ""),
    ("GET /master/redirect", ""),
];

/// What every master answers for itself.
const OWN: &[(&str, u16)] = &[
    ("GET /health", 200),
    ("GET /master/health", 200),
    ("GET /version", 200),
    ("GET /flags", 200),
    ("GET /metrics/snapshot", 200),
    ("GET /metrics", 200),
    ("GET /system/stats.json", 200),
    ("GET /logging/toggle", 200),
    ("GET /files/debug", 200),
    ("GET /files/browse", 400),
    ("GET /files/read?path=/master/log", 404),
    ("GET /help", 200),
    ("GET /", 200),
    ("GET /redirect/state", 404),
    ("GET /nothing", 404),
    ("GET /containers", 404),
];

#[tokio::test]
async fn a_standby_sends_on_what_only_the_leader_answers() {
    let (switch, server) = standby().await;
    for (standing, code) in [("nobody leads", 503), ("leads and recovers", 503)] {
        for (request, _) in LEADERS {
            let mut answer = send(server.address, request, &[], b"").await;
            assert_eq!(answer.status, code, "{standing}: {request}");
            assert_eq!(answer.header("Location"), None, "{standing}: {request}");
            let said = answer.text().await;
            assert!(said.contains("try again"), "{standing}: {request}: {said}");
        }
        switch.recover();
    }
    switch.stand_by(leader());
    for (request, path) in LEADERS {
        let answer = send(server.address, request, &[], b"").await;
        assert_eq!(answer.status, 307, "{request}");
        let location = format!("//m1.example:5050{path}");
        assert_eq!(
            answer.header("Location"),
            Some(location.as_str()),
            "{request}"
        );
    }
    for (request, code) in OWN {
        let answer = send(server.address, request, &[], b"").await;
        assert_eq!(answer.status, *code, "{request}");
    }
    let mut metrics = send(server.address, "GET /metrics/snapshot", &[], b"").await;
    let metrics: serde_json::Value = serde_json::from_slice(&metrics.body().await).unwrap();
    assert_eq!(metrics["master/elected"], 0.0);
    let mut page = send(server.address, "GET /", &[], b"").await;
    let page = page.text().await;
    assert!(page.contains("m1.example:5050"), "{page}");
}

/// The refusal of each gRPC service.
async fn refusals(server: &Server) -> Vec<(&'static str, Status)> {
    let channel = server.channel().await;
    let subscribe = scheduler::Call {
        r#type: Some(scheduler::call::Type::Subscribe.into()),
        ..scheduler::Call::default()
    };
    let health = master::Call {
        r#type: Some(master::call::Type::GetHealth.into()),
        ..master::Call::default()
    };
    let mut schedulers = SchedulerServiceClient::new(channel.clone());
    let mut operators = OperatorServiceClient::new(channel.clone());
    let mut agents = AgentLinkClient::new(channel);
    vec![
        (
            "a subscription",
            schedulers.subscribe(subscribe.clone()).await.err().unwrap(),
        ),
        ("a call", schedulers.call(subscribe).await.err().unwrap()),
        ("an operator", operators.call(health).await.err().unwrap()),
        (
            "an agent",
            agents.connect(tokio_stream::empty()).await.err().unwrap(),
        ),
    ]
}

#[tokio::test]
async fn grpc_refusals_name_the_leader() {
    let (switch, server) = standby().await;
    for (who, status) in refusals(&server).await {
        assert_eq!(status.code(), Code::Unavailable, "{who}: {status:?}");
        assert!(status.metadata().get(LEADER).is_none(), "{who}: {status:?}");
        assert!(
            status.message().contains("none is known"),
            "{who}: {status:?}"
        );
    }
    switch.stand_by(leader());
    for (who, status) in refusals(&server).await {
        assert_eq!(status.code(), Code::Unavailable, "{who}: {status:?}");
        let named = status.metadata().get(LEADER).expect(who);
        assert_eq!(named, "10.0.0.1:5050", "{who}");
        assert!(
            status.message().contains("10.0.0.1:5050"),
            "{who}: {status:?}"
        );
    }
    switch.recover();
    for (who, status) in refusals(&server).await {
        assert_eq!(status.code(), Code::Unavailable, "{who}: {status:?}");
        assert!(
            status.message().contains("reads the registry"),
            "{who}: {status:?}"
        );
    }
}
