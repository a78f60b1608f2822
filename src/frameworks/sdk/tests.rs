//! The driver against a scripted master over real gRPC.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status};

use super::*;
use crate::proto::v1::scheduler as wire;
use wire::scheduler_service_server::{SchedulerService, SchedulerServiceServer};

type Sink = mpsc::Sender<Result<wire::Event, Status>>;

/// What the master has been asked, in order.
enum Asked {
    Subscribe(Box<wire::call::Subscribe>, Sink),
    Call(Box<wire::Call>, Option<String>),
}

struct Master {
    asked: mpsc::Sender<Asked>,
    refusals: Arc<Mutex<Vec<Status>>>,
    streams: Mutex<u32>,
}

#[tonic::async_trait]
impl SchedulerService for Master {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<wire::Event, Status>> + Send>>;

    async fn subscribe(
        &self,
        request: Request<wire::Call>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        if let Some(status) = self.refusals.lock().unwrap().pop() {
            return Err(status);
        }
        let (sink, events) = mpsc::channel(16);
        let subscribe = request.into_inner().subscribe.unwrap();
        let asked = Asked::Subscribe(Box::new(subscribe), sink);
        self.asked.send(asked).await.unwrap();
        let stream: Self::SubscribeStream = Box::pin(ReceiverStream::new(events));
        let mut response = Response::new(stream);
        let id = {
            let mut streams = self.streams.lock().unwrap();
            *streams += 1;
            format!("stream-{streams}")
        };
        response
            .metadata_mut()
            .insert("mesos-stream-id", id.parse().unwrap());
        Ok(response)
    }

    async fn call(
        &self,
        request: Request<wire::Call>,
    ) -> Result<Response<wire::CallReply>, Status> {
        let stream = request
            .metadata()
            .get("mesos-stream-id")
            .map(|id| id.to_str().unwrap().to_owned());
        let asked = Asked::Call(Box::new(request.into_inner()), stream);
        self.asked.send(asked).await.unwrap();
        Ok(Response::new(wire::CallReply::default()))
    }
}

/// A master with its script.
struct Bench {
    address: String,
    asked: mpsc::Receiver<Asked>,
    refusals: Arc<Mutex<Vec<Status>>>,
}

impl Bench {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, asked) = mpsc::channel(16);
        let refusals = Arc::default();
        let master = Master {
            asked: sender,
            refusals: Arc::clone(&refusals),
            streams: Mutex::default(),
        };
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(SchedulerServiceServer::new(master))
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self {
            address,
            asked,
            refusals,
        }
    }

    fn config(&self) -> Config {
        let mut config = Config::new(&self.address, "root", "test");
        config.backoff_min = Duration::from_millis(1);
        config
    }

    async fn subscription(&mut self) -> (wire::call::Subscribe, Sink) {
        match self.next().await {
            Asked::Subscribe(subscribe, sink) => (*subscribe, sink),
            Asked::Call(call, _) => panic!("a call before SUBSCRIBE: {call:?}"),
        }
    }

    async fn call(&mut self) -> (wire::Call, String) {
        match self.next().await {
            Asked::Call(call, stream) => (*call, stream.unwrap()),
            Asked::Subscribe(..) => panic!("a subscription instead of a call"),
        }
    }

    async fn next(&mut self) -> Asked {
        timeout(Duration::from_secs(20), self.asked.recv())
            .await
            .unwrap()
            .unwrap()
    }
}

async fn next(events: &mut Events) -> Event {
    timeout(Duration::from_secs(20), events.next())
        .await
        .unwrap()
        .unwrap()
}

fn subscribed(interval: f64) -> wire::Event {
    wire::Event {
        r#type: Some(wire::event::Type::Subscribed.into()),
        subscribed: Some(wire::event::Subscribed {
            framework_id: "f-1".into(),
            heartbeat_interval_seconds: Some(interval),
            master_info: None,
        }),
        ..Default::default()
    }
}

fn update(task: &str, state: v1::TaskState, uuid: Option<u8>) -> wire::Event {
    wire::Event {
        r#type: Some(wire::event::Type::Update.into()),
        update: Some(wire::event::Update {
            status: v1::TaskStatus {
                task_id: task.into(),
                state: state.into(),
                agent_id: Some("a".into()),
                uuid: uuid.map(|byte| vec![byte; 16]),
                ..Default::default()
            },
        }),
        ..Default::default()
    }
}

#[tokio::test]
async fn framework_comes_back_under_its_id_and_reconciles() {
    let mut bench = Bench::new().await;
    let (handle, mut events) = start(bench.config());
    let (subscribe, sink) = bench.subscription().await;
    assert_eq!(subscribe.framework_info.id, None);
    assert_eq!(subscribe.framework_info.checkpoint, Some(true));
    sink.send(Ok(subscribed(15.0))).await.unwrap();
    assert!(matches!(
        next(&mut events).await,
        Event::Subscribed { again: false, .. }
    ));
    let task = v1::TaskInfo {
        task_id: "t".into(),
        agent_id: "a".into(),
        ..Default::default()
    };
    handle
        .launch(vec!["o".into()], vec![task], None)
        .await
        .unwrap();
    let (call, stream) = bench.call().await;
    assert_eq!(call.framework_id, Some("f-1".into()));
    assert_eq!(stream, "stream-1");
    drop(sink);
    assert!(matches!(
        next(&mut events).await,
        Event::Disconnected { .. }
    ));
    let (subscribe, sink) = bench.subscription().await;
    assert_eq!(subscribe.framework_info.id, Some("f-1".into()));
    assert!(matches!(
        handle.revive(Vec::new()).await,
        Err(SdkError::NotSubscribed)
    ));
    sink.send(Ok(subscribed(15.0))).await.unwrap();
    let (call, stream) = bench.call().await;
    assert_eq!(stream, "stream-2");
    let tasks = call.reconcile.unwrap().tasks;
    let known: BTreeMap<_, _> = tasks
        .iter()
        .map(|task| (task.task_id.value.as_str(), task.agent_id.clone()))
        .collect();
    assert_eq!(known, BTreeMap::from([("t", Some("a".into()))]));
    assert!(matches!(
        next(&mut events).await,
        Event::Subscribed { again: true, .. }
    ));
}

#[tokio::test]
async fn updates_are_acknowledged_when_they_have_been_dealt_with() {
    let mut bench = Bench::new().await;
    let (_handle, mut events) = start(bench.config());
    let (_, sink) = bench.subscription().await;
    sink.send(Ok(subscribed(15.0))).await.unwrap();
    next(&mut events).await;
    let running = v1::TaskState::TaskRunning;
    for event in [
        update("own", running, None),
        update("t", running, Some(1)),
        update("t", v1::TaskState::TaskFinished, Some(2)),
    ] {
        sink.send(Ok(event)).await.unwrap();
    }
    next(&mut events).await;
    next(&mut events).await;
    assert!(
        bench.asked.try_recv().is_err(),
        "without uuid none, and the other is being dealt with"
    );
    next(&mut events).await;
    let (call, _) = bench.call().await;
    assert_eq!(call.acknowledge.unwrap().uuid, vec![1; 16]);
}

#[tokio::test]
async fn manual_acknowledgement_is_left_to_the_program() {
    let mut bench = Bench::new().await;
    let mut config = bench.config();
    config.acknowledgement = Acknowledgement::Manual;
    let (handle, mut events) = start(config);
    let (_, sink) = bench.subscription().await;
    sink.send(Ok(subscribed(15.0))).await.unwrap();
    let running = v1::TaskState::TaskRunning;
    for byte in [1, 2] {
        let event = update("t", running, Some(byte));
        sink.send(Ok(event)).await.unwrap();
    }
    next(&mut events).await;
    next(&mut events).await;
    let Event::Update(second) = next(&mut events).await else {
        panic!("no update");
    };
    assert!(bench.asked.try_recv().is_err());
    handle.acknowledge(&second).await.unwrap();
    let (call, _) = bench.call().await;
    assert_eq!(call.acknowledge.unwrap().uuid, vec![2; 16]);
}

#[tokio::test]
async fn silence_is_a_lost_connection() {
    let mut bench = Bench::new().await;
    let (_handle, mut events) = start(bench.config());
    let (_, sink) = bench.subscription().await;
    sink.send(Ok(subscribed(0.05))).await.unwrap();
    next(&mut events).await;
    let Event::Disconnected { reason } = next(&mut events).await else {
        panic!("no disconnection");
    };
    assert!(reason.contains("silent"), "{reason}");
    bench.subscription().await;
    drop(sink);
}

#[tokio::test]
async fn standby_sends_to_the_leader() {
    let standby = Bench::new().await;
    let mut leader = Bench::new().await;
    let mut status = Status::unavailable("not leading");
    status
        .metadata_mut()
        .insert("mesos-leader", leader.address.parse().unwrap());
    standby.refusals.lock().unwrap().push(status);
    let (_handle, mut events) = start(standby.config());
    let (_, sink) = leader.subscription().await;
    sink.send(Ok(subscribed(15.0))).await.unwrap();
    assert!(matches!(
        next(&mut events).await,
        Event::Subscribed { again: false, .. }
    ));
}

#[tokio::test]
async fn refusal_and_error_are_the_end() {
    let bench = Bench::new().await;
    let status = Status::invalid_argument("bad role");
    bench.refusals.lock().unwrap().push(status);
    let (_handle, mut events) = start(bench.config());
    let Event::Ended { reason } = next(&mut events).await else {
        panic!("not the end");
    };
    assert!(reason.contains("bad role"), "{reason}");
    assert!(events.next().await.is_none());

    let mut bench = Bench::new().await;
    let (_handle, mut events) = start(bench.config());
    let (_, sink) = bench.subscription().await;
    let error = wire::Event {
        r#type: Some(wire::event::Type::Error.into()),
        error: Some(wire::event::Error {
            message: "Framework failed over".to_owned(),
        }),
        ..Default::default()
    };
    sink.send(Ok(error)).await.unwrap();
    let Event::Ended { reason } = next(&mut events).await else {
        panic!("not the end");
    };
    assert_eq!(reason, "Framework failed over");
}

#[tokio::test]
async fn absent_master_is_tried_again_and_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut config = Config::new(&address, "root", "test");
    config.backoff_min = Duration::from_millis(1);
    let (_handle, mut events) = start(config);
    for _ in 0..3 {
        let Event::Disconnected { reason } = next(&mut events).await else {
            panic!("connected to nobody");
        };
        assert!(reason.contains(&address), "{reason}");
    }
}

#[tokio::test]
async fn dropped_events_close_the_connection() {
    let mut bench = Bench::new().await;
    let (_handle, events) = start(bench.config());
    let (_, sink) = bench.subscription().await;
    drop(events);
    timeout(Duration::from_secs(20), sink.closed())
        .await
        .unwrap();
}

/// The master closes the subscription before it answers.
#[tokio::test]
async fn teardown_is_the_end_at_once() {
    let mut bench = Bench::new().await;
    let mut config = bench.config();
    config.backoff_min = Duration::from_secs(3600);
    config.backoff_max = Duration::from_secs(3600);
    let (handle, mut events) = start(config);
    let (_, sink) = bench.subscription().await;
    sink.send(Ok(subscribed(15.0))).await.unwrap();
    assert!(matches!(next(&mut events).await, Event::Subscribed { .. }));
    let asked = tokio::spawn(async move { handle.teardown().await });
    let (call, _) = bench.call().await;
    assert_eq!(call.r#type(), wire::call::Type::Teardown);
    drop(sink);
    let Event::Ended { reason } = next(&mut events).await else {
        panic!("not the end");
    };
    assert_eq!(reason, "the framework was torn down");
    asked.await.unwrap().unwrap();
    assert!(events.next().await.is_none());
}
