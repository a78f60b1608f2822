//! What strangers send to a master's endpoints: queries, forms, lists in JSON, messages of v0 drivers. Each is
//! answered, and the master is there for the next one.

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use mesosd::api::http::master_routes;
use mesosd::api::service::daemon::Daemon;
use mesosd::master::MasterConfig;
use mesosd::master::driver::start;
use mesosd::registrar::MemoryStorage;
use mesosd::telemetry::Metrics;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use crate::{fuzz_some, recordings};

/// A master, asked without sockets.
struct Master {
    runtime: Runtime,
    routes: Router,
}

impl Master {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let routes = runtime.block_on(async {
            let metrics = Metrics::new();
            let config = MasterConfig::new("11111111-2222-3333-4444-555555555555");
            let running = start(config, MemoryStorage::default(), &metrics)
                .await
                .unwrap();
            master_routes(running.handle, Daemon::new(metrics)).await
        });
        Self { runtime, routes }
    }

    /// Code of the answer; none for what is no request at all.
    fn ask(
        &self,
        method: &Method,
        path: &str,
        header: (&str, &str),
        body: &[u8],
    ) -> Option<StatusCode> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header.0, header.1)
            .body(Body::from(body.to_vec()))
            .ok()?;
        let answer = self.runtime.block_on(self.routes.clone().oneshot(request));
        Some(answer.unwrap().status())
    }

    fn is_well(&self) {
        let health = self.ask(&Method::GET, "/health", ("x", "x"), b"");
        assert_eq!(health, Some(StatusCode::OK));
    }
}

fn not_a_bug(code: Option<StatusCode>, what: &str) {
    let bug = code == Some(StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!bug, "{what} is answered as a bug of ours");
}

#[test]
fn queries_and_paths() {
    let master = Master::start();
    let samples = [
        &b"/tasks?limit=3&offset=1&order=asc&framework_id=f&task_id=t"[..],
        b"/slaves?slave_id=%41+b;c=d&jsonp=a.b%5B0%5D",
        b"/quota/a/b%2Fc",
        b"/files/read?path=/master/log&offset=-1&length=9",
        b"/metrics/snapshot?timeout=2secs",
        b"/logging/toggle?level=1&duration=1secs",
        b"/help/master/state",
        b"/redirect?x",
    ];
    fuzz_some(
        "requests/path",
        600,
        &samples.map(<[u8]>::to_vec),
        |bytes| {
            if let Ok(path) = std::str::from_utf8(bytes) {
                not_a_bug(
                    master.ask(&Method::GET, path, ("accept-encoding", "gzip"), b""),
                    path,
                );
            }
        },
    );
    master.is_well();
}

#[test]
fn forms_and_lists() {
    let master = Master::start();
    let samples = [
        &b"slaveId=a-S0&resources=%5B%7B%22name%22%3A%22cpus%22%2C%22type%22%3A%22SCALAR%22%2C%22scalar%22%3A%7B%22value%22%3A1%7D%2C%22role%22%3A%22r%22%7D%5D"[..],
        b"slaveId=a&volumes=[{\"name\":\"disk\",\"type\":\"SCALAR\",\"scalar\":{\"value\":1}}]",
        b"frameworkId=f",
        br#"[{"role":"a","weight":2.5}]"#,
        br#"{"role":"web","force":true,"guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":1}}]}"#,
        br#"{"windows":[{"machine_ids":[{"hostname":"h","ip":"10.0.0.1"}],"unavailability":{"start":{"nanoseconds":7}}}]}"#,
        br#"[{"hostname":"h"}]"#,
    ];
    let targets = [
        (Method::POST, "/reserve"),
        (Method::POST, "/destroy-volumes"),
        (Method::POST, "/teardown"),
        (Method::PUT, "/weights"),
        (Method::POST, "/quota"),
        (Method::POST, "/maintenance/schedule"),
        (Method::POST, "/machine/down"),
        (Method::POST, "/machine/up"),
    ];
    fuzz_some(
        "requests/body",
        300,
        &samples.map(<[u8]>::to_vec),
        |bytes| {
            for (method, path) in &targets {
                not_a_bug(master.ask(method, path, ("x", "x"), bytes), path);
            }
        },
    );
    master.is_well();
}

#[test]
fn calls_with_any_kind_of_body() {
    let master = Master::start();
    let mut samples = crate::calls();
    samples.extend(recordings("v1", ".pb"));
    fuzz_some("requests/call", 400, &samples, |bytes| {
        for kind in ["application/json", "application/x-protobuf"] {
            for path in ["/api/v1", "/api/v1/scheduler"] {
                not_a_bug(
                    master.ask(&Method::POST, path, ("content-type", kind), bytes),
                    path,
                );
            }
        }
    });
    master.is_well();
}

#[test]
fn messages_of_drivers() {
    let master = Master::start();
    let mut samples = Vec::new();
    for recording in recordings("libprocess", ".c2s") {
        let end = recording.windows(4).position(|four| four == b"\r\n\r\n");
        samples.extend(end.map(|end| recording[end + 4..].to_vec()));
    }
    let names = [
        "mesos.scheduler.Call",
        "mesos.internal.RegisterFrameworkMessage",
        "mesos.internal.ReregisterFrameworkMessage",
        "mesos.internal.LaunchTasksMessage",
        "mesos.internal.StatusUpdateAcknowledgementMessage",
        "mesos.internal.ReconcileTasksMessage",
        "mesos.internal.DeactivateFrameworkMessage",
        "mesos.internal.AuthenticateMessage",
    ];
    fuzz_some("requests/message", 200, &samples, |bytes| {
        for name in names {
            // Nobody listens there.
            let from = ("libprocess-from", "scheduler(1)@127.0.0.1:1");
            let path = format!("/master/{name}");
            not_a_bug(master.ask(&Method::POST, &path, from, bytes), name);
        }
    });
    let senders = [&b"scheduler(1)@127.0.0.1:1"[..], b"x@[::1]:65536", b"@:"];
    fuzz_some(
        "requests/sender",
        500,
        &senders.map(<[u8]>::to_vec),
        |bytes| {
            if let Ok(from) = std::str::from_utf8(bytes) {
                let path = "/master/mesos.internal.Nothing";
                not_a_bug(
                    master.ask(&Method::POST, path, ("libprocess-from", from), b""),
                    from,
                );
            }
        },
    );
    master.is_well();
}
