//! The plain HTTP endpoints, health and reflection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use tokio_stream::StreamExt;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::raw::Master;

/// Status line and body of a GET over HTTP/1.1.
fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_answer_in_their_formats() {
    let master = Master::start().await;
    let address = master.server.address;
    let ok = "HTTP/1.1 200 OK";
    assert_eq!(get(address, "/health"), (ok.to_owned(), String::new()));

    let (status, version) = get(address, "/version");
    assert_eq!(status, ok);
    let version: serde_json::Value = serde_json::from_str(&version).unwrap();
    assert_eq!(version["version"], mesosd::proto::MESOS_VERSION);

    assert_eq!(get(address, "/master/health").0, ok);
    for path in ["/flags", "/master/flags"] {
        assert_eq!(
            get(address, path),
            (ok.to_owned(), r#"{"flags":{}}"#.to_owned())
        );
    }
    assert_eq!(
        get(address, "/redirect").0,
        "HTTP/1.1 307 Temporary Redirect"
    );
    let (status, _) = get(address, "/redirect/state");
    assert_eq!(status, "HTTP/1.1 404 Not Found", "no loops");

    let (status, metrics) = get(address, "/metrics/snapshot");
    assert_eq!(status, ok);
    let metrics: serde_json::Value = serde_json::from_str(&metrics).unwrap();
    assert_eq!(metrics["master/slaves_active"], 0.0);
    assert_eq!(metrics["master/elected"], 1.0);

    let (status, page) = get(address, "/");
    assert_eq!(status, ok);
    assert!(page.contains("<h1>mesosd master</h1>"), "{page}");

    let (status, prometheus) = get(address, "/metrics");
    assert_eq!(status, ok);
    assert!(
        prometheus.contains("# TYPE mesosd_master_steps_total counter"),
        "{prometheus}"
    );

    let (status, text) = get(address, "/nothing");
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    assert_eq!(text, "404 Not Found.");
}

#[tokio::test]
async fn health_and_reflection_are_on() {
    let master = Master::start().await;
    let channel = master.server.channel().await;
    let mut health = HealthClient::new(channel.clone());
    for service in [
        "",
        "mesos.v1.scheduler.SchedulerService",
        "mesos.v1.master.OperatorService",
    ] {
        let service = service.to_owned();
        let answer = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    }

    let mut reflection = ServerReflectionClient::new(channel);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap();
    let answer = answers.into_inner().next().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for name in [
        "mesos.v1.scheduler.SchedulerService",
        "mesosd.v1.AgentLink",
        "grpc.health.v1.Health",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
}

/// The metrics that a text of PromQL names.
fn metrics_in(text: &str) -> std::collections::BTreeSet<String> {
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !name(c))
        .filter(|word| word.starts_with("mesosd_"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_and_alerts_name_metrics_that_exist() {
    let master = Master::start().await;
    let (_stream, _, _) = crate::http::subscribed(&master).await;
    let (_, prometheus) = get(master.server.address, "/metrics");
    let mut there: std::collections::BTreeSet<String> = prometheus
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(str::to_owned)
        .collect();
    // Timers without samples have no quantiles, and nothing has ended yet.
    for line in prometheus.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            there.extend(rest.split(' ').next().map(str::to_owned));
        }
    }
    there.insert("mesosd_master_task_ends_total".to_owned());
    // The binary defines those of the host.
    for name in ["load_1min", "mem_free_bytes", "mem_total_bytes"] {
        there.insert(format!("mesosd_system_{name}"));
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for file in ["grafana/mesosd.json", "prometheus/alerts.yml"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let named = metrics_in(&text);
        assert!(named.len() > 8, "{file}: {named:?}");
        let missing: Vec<_> = named.difference(&there).collect();
        assert!(
            missing.is_empty(),
            "{file} names what is not there: {missing:?}"
        );
    }
    let dashboard = std::fs::read(root.join("grafana/mesosd.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_slice(&dashboard).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 10);
    // What is counted has a sentence, a type and no name twice.
    let mut before = std::collections::BTreeSet::new();
    for line in prometheus.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(help.len() > 3, "{line}");
            assert!(before.insert(name.to_owned()), "{name} is there twice");
        }
    }
    assert!(before.contains("mesosd_master_messages_register_framework_total"));
    assert!(before.contains("mesosd_master_mem_total_bytes"));
}
