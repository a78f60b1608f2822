//! What a master, or whoever claims to be one, answers to the SDK, damaged: gRPC frames of a subscription and
//! replies to calls. The driver tells its program of what it understands, and tries again after the rest.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::post;
use mesosd::api::server::{Limits, serve};
use mesosd::frameworks::sdk::{self, Config, Event};
use mesosd::proto::v1;
use mesosd::proto::v1::scheduler as wire;
use mesosd::telemetry::Metrics;
use prost::Message as _;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::fuzz_some;

/// How long a driver may take for one answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the master answers: the first subscription, and calls.
#[derive(Clone, Default)]
struct Script {
    stream: Arc<Mutex<Vec<u8>>>,
    reply: Arc<Mutex<Vec<u8>>>,
    subscriptions: Arc<AtomicUsize>,
    again: Arc<Notify>,
}

fn answer(bytes: Vec<u8>) -> Response {
    Response::builder()
        .header("content-type", "application/grpc")
        .header("mesos-stream-id", "stream")
        .body(Body::from(bytes))
        .unwrap()
}

impl Script {
    fn routes(&self) -> Router {
        let (subscribe, call) = (self.clone(), self.clone());
        let subscribe = move || async move {
            if subscribe.subscriptions.fetch_add(1, Ordering::Relaxed) > 0 {
                subscribe.again.notify_one();
                std::future::pending::<()>().await;
            }
            let bytes = subscribe.stream.lock().unwrap().clone();
            answer(bytes)
        };
        let call = move || async move { answer(call.reply.lock().unwrap().clone()) };
        Router::new()
            .route(
                "/mesos.v1.scheduler.SchedulerService/Subscribe",
                post(subscribe),
            )
            .route("/mesos.v1.scheduler.SchedulerService/Call", post(call))
    }

    /// Waits until a driver has come back after what it was told.
    async fn heard(&self, address: &str, bytes: &[u8]) {
        *self.stream.lock().unwrap() = bytes.to_vec();
        *self.reply.lock().unwrap() = bytes.to_vec();
        self.subscriptions.store(0, Ordering::Relaxed);
        let mut config = Config::new(address, "root", "fuzz");
        config.backoff_min = Duration::from_millis(1);
        config.backoff_max = Duration::from_millis(1);
        config.call_timeout = PATIENCE;
        let (_handle, mut events) = sdk::start(config);
        let over = async {
            loop {
                tokio::select! {
                    event = events.next() => match event {
                        None | Some(Event::Ended { .. }) => return,
                        Some(_) => {}
                    },
                    () = self.again.notified() => return,
                }
            }
        };
        let over = tokio::time::timeout(PATIENCE, over).await;
        over.expect("the driver ends or comes back");
    }
}

fn frame(event: &wire::Event) -> Vec<u8> {
    let body = event.encode_to_vec();
    let length = u32::try_from(body.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], &body].concat()
}

fn of_type(kind: wire::event::Type) -> wire::Event {
    wire::Event {
        r#type: Some(kind.into()),
        ..Default::default()
    }
}

/// Streams as masters send them.
fn samples() -> Vec<Vec<u8>> {
    use wire::event::{self, Type};
    let subscribed = frame(&wire::Event {
        subscribed: Some(event::Subscribed {
            framework_id: "F".into(),
            heartbeat_interval_seconds: Some(15.0),
            ..Default::default()
        }),
        ..of_type(Type::Subscribed)
    });
    let offer = v1::Offer {
        id: "O".into(),
        framework_id: "F".into(),
        agent_id: "S".into(),
        hostname: "h".to_owned(),
        ..Default::default()
    };
    let offers = frame(&wire::Event {
        offers: Some(event::Offers {
            offers: vec![offer],
        }),
        ..of_type(Type::Offers)
    });
    let status = v1::TaskStatus {
        task_id: "t".into(),
        agent_id: Some("S".into()),
        state: v1::TaskState::TaskRunning.into(),
        uuid: Some(vec![7; 16]),
        ..Default::default()
    };
    let update = frame(&wire::Event {
        update: Some(event::Update { status }),
        ..of_type(Type::Update)
    });
    let message = frame(&wire::Event {
        message: Some(event::Message {
            agent_id: "S".into(),
            executor_id: "e".into(),
            data: vec![1, 2, 3],
        }),
        ..of_type(Type::Message)
    });
    let error = frame(&wire::Event {
        error: Some(event::Error {
            message: "no".to_owned(),
        }),
        ..of_type(Type::Error)
    });
    let beat = frame(&of_type(Type::Heartbeat));
    vec![
        [&subscribed[..], &beat, &offers, &update].concat(),
        [&subscribed[..], &update, &update, &message].concat(),
        [&subscribed[..], &beat].concat(),
        [&offers[..], &subscribed].concat(),
        [&subscribed[..], &error].concat(),
        subscribed,
        vec![0; 5],
    ]
}

#[test]
fn replies_to_the_sdk() {
    let runtime = Runtime::new().unwrap();
    let script = Script::default();
    let address = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = script.routes();
        tokio::spawn(async move {
            let forever = std::future::pending();
            serve(
                listener,
                routes,
                Limits::default(),
                &Metrics::new(),
                forever,
            )
            .await;
        });
        address.to_string()
    });
    fuzz_some("sdk/replies", 300, &samples(), |bytes| {
        runtime.block_on(script.heard(&address, bytes));
    });
}
