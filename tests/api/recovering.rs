//! What an agent answers that has not recovered its containers yet: 503, as Mesos does, so that executors and
//! tools ask again and do not take what is not known yet for gone.

use mesosd::agent::AgentConfig;
use mesosd::api::http::agent_routes;
use mesosd::api::server::Limits;
use mesosd::api::service::agent::Statistics;
use mesosd::api::service::daemon::Daemon;
use mesosd::telemetry::Metrics;
use mesosd::testing::agent::NotedAgent;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};

use crate::raw::Server;
use crate::wire::send_raw;

const IDS: &str = r#""executor_id":{"value":"e"},"framework_id":{"value":"f"}"#;

async fn code(server: &Server, path: &str, body: &str) -> (u16, String) {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut answer = send_raw(server.address, request.as_bytes()).await;
    (answer.status, answer.text().await)
}

#[tokio::test]
async fn an_agent_that_recovers_asks_for_patience() {
    let folder = tempfile::tempdir().unwrap();
    let (_told, masters) = watch::channel(None);
    let agent = NotedAgent::start(AgentConfig::new("host", "/"), folder.path(), masters).unwrap();
    let handle = agent.running.handle.clone();
    let daemon = Daemon::new(Metrics::new());
    let router = agent_routes(handle, daemon, Statistics::new(|_| None), None).await;
    let server = Server::start(router, Limits::default()).await;

    let subscribe = format!(r#"{{"type":"SUBSCRIBE",{IDS},"subscribe":{{}}}}"#);
    let message = format!(r#"{{"type":"MESSAGE",{IDS},"message":{{"data":"AA=="}}}}"#);
    let heartbeat = format!(r#"{{"type":"HEARTBEAT",{IDS}}}"#);
    let table = [
        ("/api/v1/executor", subscribe.as_str(), 503, 400),
        ("/api/v1/executor", message.as_str(), 503, 400),
        ("/api/v1/executor", heartbeat.as_str(), 202, 202),
        ("/api/v1/executor", "{}", 400, 400),
        ("/api/v1", r#"{"type":"GET_STATE"}"#, 503, 200),
        ("/api/v1", r#"{"type":"GET_HEALTH"}"#, 503, 200),
        ("/slave(1)/api/v1", r#"{"type":"GET_CONTAINERS"}"#, 503, 200),
    ];
    for (path, body, before, _) in table {
        let (given, said) = code(&server, path, body).await;
        assert_eq!(given, before, "{path} {body}: {said}");
        assert_eq!(
            given == 503,
            said.contains("has not finished its recovery"),
            "{said}"
        );
    }
    let health = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(send_raw(server.address, health).await.status, 200);

    agent.recovered();
    let begun = Instant::now();
    while code(&server, "/api/v1", r#"{"type":"GET_HEALTH"}"#).await.0 == 503 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        sleep(Duration::from_millis(5)).await;
    }
    for (path, body, _, after) in table {
        let (given, said) = code(&server, path, body).await;
        assert_eq!(given, after, "{path} {body}: {said}");
    }
}
