//! The shell around the core: a real link, a real executors' socket, hostile peers.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::Stream;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::journal::KEEPING;
use super::*;
use crate::proto::link::agent_link_server::{AgentLink, AgentLinkServer};
use crate::proto::link::{FromAgent, FromMaster, from_agent, from_master};
use crate::resources::Resources;
use crate::testing::wire::Wire;

const PATIENCE: Duration = Duration::from_secs(20);

/// Both directions of one link, as the master sees it.
type Opened = (
    Streaming<FromAgent>,
    mpsc::Sender<Result<FromMaster, Status>>,
);

struct FakeMaster {
    links: mpsc::Sender<Opened>,
    /// What it answers instead of opening a link, the last one first.
    refusals: Arc<Mutex<Vec<Status>>>,
}

#[tonic::async_trait]
impl AgentLink for FakeMaster {
    type ConnectStream = Pin<Box<dyn Stream<Item = Result<FromMaster, Status>> + Send>>;

    async fn connect(
        &self,
        request: Request<Streaming<FromAgent>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        if let Some(status) = self.refusals.lock().unwrap().pop() {
            return Err(status);
        }
        let (sender, receiver) = mpsc::channel(16);
        drop(self.links.send((request.into_inner(), sender)).await);
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// A master that the test speaks for.
struct Master {
    links: mpsc::Receiver<Opened>,
    refusals: Arc<Mutex<Vec<Status>>>,
    server: JoinHandle<()>,
}

impl Master {
    async fn listen(listener: TcpListener) -> Self {
        let (sender, links) = mpsc::channel(4);
        let refusals = Arc::default();
        let service = AgentLinkServer::new(FakeMaster {
            links: sender,
            refusals: Arc::clone(&refusals),
        });
        let server = tokio::spawn(async move {
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        Self {
            links,
            refusals,
            server,
        }
    }

    /// The next link, after its registration was answered; gives the agent's first message too.
    async fn admit(&mut self) -> (Link, from_agent::Message) {
        let (incoming, outgoing) = soon(self.links.recv()).await.unwrap();
        let mut link = Link { incoming, outgoing };
        let first = link.recv().await;
        link.send(registered(1)).await;
        (link, first)
    }
}

struct Link {
    incoming: Streaming<FromAgent>,
    outgoing: mpsc::Sender<Result<FromMaster, Status>>,
}

impl Link {
    async fn recv(&mut self) -> from_agent::Message {
        let message = soon(self.incoming.message()).await.unwrap().unwrap();
        message.message.unwrap()
    }

    async fn send(&self, message: from_master::Message) {
        let message = Some(message);
        self.outgoing
            .send(Ok(FromMaster { message }))
            .await
            .unwrap();
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

/// Remembers what it was asked to launch; destroys at once.
#[derive(Debug)]
struct FakeContainers {
    events: mpsc::Sender<ContainerEvent>,
    launched: Mutex<Vec<ContainerId>>,
}

impl Containers for FakeContainers {
    fn recover(&self, known: Vec<ContainerConfig>) {
        for config in known {
            self.launch(config);
        }
        self.events.try_send(ContainerEvent::Recovered).unwrap();
    }

    fn launch(&self, config: ContainerConfig) {
        let container_id = config.container_id;
        self.launched.lock().unwrap().push(container_id.clone());
        let event = ContainerEvent::Launched {
            container_id,
            pid: 1,
        };
        self.events.try_send(event).unwrap();
    }

    fn update(&self, _: ContainerId, _: Resources, _: BTreeMap<String, f64>) {}

    fn link_volumes(&self, _: &Path, _: Option<&str>, _: &[ContainerVolume]) -> Result<(), String> {
        Ok(())
    }

    fn destroy(&self, container_id: ContainerId) {
        let event = ContainerEvent::Ended {
            container_id,
            ended: Ended::default(),
        };
        self.events.try_send(event).unwrap();
    }
}

fn parts(folder: &Path, masters: watch::Receiver<Option<String>>) -> AgentParts {
    let (events, container_events) = mpsc::channel(64);
    let mut config = config();
    config.work_dir = folder.join("work");
    AgentParts {
        config,
        runtime_dir: folder.join("run"),
        keeping: KEEPING,
        masters,
        containers: Arc::new(FakeContainers {
            events,
            launched: Mutex::default(),
        }),
        container_events,
    }
}

/// An agent that has registered with a fake master.
struct Shell {
    agent: Running,
    master: Master,
    link: Link,
    /// Keeps the master's address known.
    _masters: watch::Sender<Option<String>>,
    _folder: tempfile::TempDir,
}

impl Shell {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (masters, known) = watch::channel(Some(address));
        let agent = start(parts(folder.path(), known)).unwrap();
        let mut master = Master::listen(listener).await;
        let (link, first) = master.admit().await;
        assert!(matches!(first, from_agent::Message::Register(_)));
        Self {
            agent,
            master,
            link,
            _masters: masters,
            _folder: folder,
        }
    }

    async fn run(&self, task: v1::TaskInfo) {
        let run = link::RunTask {
            framework: framework(),
            executor: task.executor.clone(),
            task,
        };
        self.link.send(from_master::Message::RunTask(run)).await;
    }

    /// A subscribed executor with its task.
    async fn executor(&self, task: &str) -> Peer {
        self.run(command_task(task)).await;
        let mut peer = Peer::connect(&self.agent.socket).await;
        // The task may still be on its way: then the agent sends the executor away, once.
        for _ in 0..100 {
            peer.subscribe(task).await;
            if peer.event().await.r#type() == v1::executor::event::Type::Subscribed {
                let launch = peer.event().await.launch.unwrap();
                assert_eq!(launch.task.task_id.value, task);
                return peer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            peer = Peer::connect(&self.agent.socket).await;
        }
        panic!("the task never arrived");
    }
}

/// An executor's side of the socket.
struct Peer(UnixStream);

impl Peer {
    async fn connect(socket: &Path) -> Self {
        Self(UnixStream::connect(socket).await.unwrap())
    }

    async fn call(&mut self, call: &v1::executor::Call) {
        let body = call.encode_to_vec();
        let length = u32::try_from(body.len()).unwrap();
        self.0.write_all(&length.to_be_bytes()).await.unwrap();
        self.0.write_all(&body).await.unwrap();
    }

    async fn subscribe(&mut self, executor: &str) {
        self.call(&v1::executor::Call {
            executor_id: executor.into(),
            framework_id: "F".into(),
            r#type: Some(v1::executor::call::Type::Subscribe as i32),
            subscribe: Some(v1::executor::call::Subscribe::default()),
            ..Default::default()
        })
        .await;
    }

    async fn update(&mut self, executor: &str, status: v1::TaskStatus) {
        self.call(&v1::executor::Call {
            executor_id: executor.into(),
            framework_id: "F".into(),
            r#type: Some(v1::executor::call::Type::Update as i32),
            update: Some(v1::executor::call::Update { status }),
            ..Default::default()
        })
        .await;
    }

    async fn event(&mut self) -> v1::executor::Event {
        let length = soon(self.0.read_u32()).await.unwrap();
        let mut body = vec![0; usize::try_from(length).unwrap()];
        soon(self.0.read_exact(&mut body)).await.unwrap();
        v1::executor::Event::decode(&body[..]).unwrap()
    }

    /// The agent hangs up without another word.
    async fn is_closed(&mut self) {
        let mut rest = [0; 16];
        let read = soon(self.0.read(&mut rest)).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
}

#[tokio::test]
async fn a_task_from_the_master_to_its_last_acknowledgement() {
    let mut shell = Shell::start().await;
    let mut executor = shell.executor("t").await;
    let finished = status("t", v1::TaskState::TaskFinished, 1);
    executor.update("t", finished).await;
    let acknowledged = executor.event().await.acknowledged.unwrap();
    assert_eq!(acknowledged.uuid, [1; 16]);
    let from_agent::Message::StatusUpdate(update) = shell.link.recv().await else {
        panic!("an update comes first");
    };
    assert_eq!(update.status.state(), v1::TaskState::TaskFinished);
    let acknowledge = link::Acknowledge {
        framework_id: update.framework_id,
        task_id: update.status.task_id,
        uuid: vec![1; 16],
    };
    let message = from_master::Message::Acknowledge(acknowledge);
    shell.link.send(message).await;
    shell.agent.handle.shutdown(true).await;
    let goodbye = shell.link.recv().await;
    assert!(matches!(goodbye, from_agent::Message::Unregister(_)));
    drop(shell.link);
    let exit = soon(shell.agent.ended).await.unwrap();
    assert!(!exit.failed, "{}", exit.reason);
}

#[tokio::test]
async fn a_broken_link_is_opened_again_with_the_same_id() {
    let mut shell = Shell::start().await;
    drop(shell.link);
    let (link, first) = shell.master.admit().await;
    let from_agent::Message::Reregister(message) = first else {
        panic!("the id is known: {first:?}");
    };
    assert_eq!(message.agent.id, Some("S0".into()));
    drop(link);
    shell.master.server.abort();
}

#[tokio::test]
async fn a_master_that_falls_silent_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wire = Wire::to(listener.local_addr().unwrap()).await.unwrap();
    let (_masters, known) = watch::channel(Some(wire.address.to_string()));
    let mut parts = parts(folder.path(), known);
    parts.config.timing.link_keepalive = Duration::from_secs(1);
    let agent = start(parts).unwrap();
    let mut master = Master::listen(listener).await;
    let (_link, first) = master.admit().await;
    assert!(matches!(first, from_agent::Message::Register(_)));
    let registered = async |wanted: bool| {
        while agent.handle.snapshot().await.unwrap().registered != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(registered(true)).await;
    wire.silence();
    soon(registered(false)).await;
    wire.restore();
    let (_link, first) = master.admit().await;
    assert!(matches!(first, from_agent::Message::Reregister(_)));
    soon(registered(true)).await;
}

#[tokio::test]
async fn hostile_executors_are_cut_off_and_harm_nobody() {
    let shell = Shell::start().await;
    let mut good = shell.executor("good").await;
    let socket = &shell.agent.socket;

    let mut huge = Peer::connect(socket).await;
    huge.0.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
    huge.is_closed().await;

    let mut garbage = Peer::connect(socket).await;
    garbage
        .0
        .write_all(&[0, 0, 0, 4, 255, 255, 255, 255])
        .await
        .unwrap();
    garbage.is_closed().await;

    let mut empty = Peer::connect(socket).await;
    empty.0.write_all(&[0; 4]).await.unwrap();
    empty.is_closed().await;

    let mut eager = Peer::connect(socket).await;
    let running = status("good", v1::TaskState::TaskRunning, 1);
    eager.update("good", running).await;
    eager.is_closed().await;

    // A length that promises much reserves little, and its end is noticed.
    let mut liar = Peer::connect(socket).await;
    liar.0.write_all(&[3, 0, 0, 0, 1]).await.unwrap();
    drop(liar);

    let mut stranger = Peer::connect(socket).await;
    stranger.subscribe("nobody").await;
    let event = stranger.event().await;
    assert_eq!(event.r#type(), v1::executor::event::Type::Shutdown);
    stranger.is_closed().await;

    let mut impostor = shell.executor("impostor").await;
    let running = status("good", v1::TaskState::TaskRunning, 2);
    impostor.update("good", running).await;
    impostor.is_closed().await;

    let running = status("good", v1::TaskState::TaskRunning, 3);
    good.update("good", running).await;
    let acknowledged = good.event().await.acknowledged.unwrap();
    assert_eq!(acknowledged.uuid, [3; 16]);
}

#[tokio::test]
async fn folders_that_cannot_be_used_are_named_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("run"), "").unwrap();
    let (_masters, known) = watch::channel(None);
    let error = start(parts(folder.path(), known.clone())).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("--runtime_dir: cannot"), "{text}");
    std::fs::remove_file(folder.path().join("run")).unwrap();
    let first = start(parts(folder.path(), known.clone())).unwrap();
    let error = start(parts(folder.path(), known)).unwrap_err();
    assert!(error.to_string().contains("in use by another agent"));
    first.handle.shutdown(false).await;
    soon(first.ended).await.unwrap();
}

#[tokio::test]
async fn a_master_that_cannot_be_reached_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (_masters, known) = watch::channel(Some(address.to_string()));
    let agent = start(parts(folder.path(), known)).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let listener = TcpListener::bind(address).await.unwrap();
    let mut master = Master::listen(listener).await;
    let (_link, first) = master.admit().await;
    assert!(matches!(first, from_agent::Message::Register(_)));
    drop(agent);
}

#[tokio::test]
async fn a_new_leader_does_not_wait_for_what_the_old_one_has_cost() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody accepts: a machine that is off, whose address takes whatever is sent there.
    let off = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (masters, known) = watch::channel(Some(off.local_addr().unwrap().to_string()));
    let mut agent = start(parts(folder.path(), known)).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    // The next leader's process has died: refused at once, again and again, with growing pauses.
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = dead.local_addr().unwrap().to_string();
    drop(dead);
    masters.send_replace(Some(closed.clone()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The third one still reads the registry when the agent comes, and knows the dead one only.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut master = Master::listen(listener).await;
    let mut early = Status::unavailable("not yet");
    early
        .metadata_mut()
        .insert("mesos-leader", closed.parse().unwrap());
    *master.refusals.lock().unwrap() = vec![Status::unavailable("not yet"), early];
    let begin = std::time::Instant::now();
    masters.send_replace(Some(address));
    let (_link, first) = master.admit().await;
    assert!(matches!(first, from_agent::Message::Register(_)));
    let took = begin.elapsed();
    // With the pauses that have grown meanwhile it would be 4.8 s at least.
    assert!(took < Duration::from_secs(4), "{took:?}");
    agent.ended.abort();
    let _ = (&mut agent.ended).await;
}

#[tokio::test]
async fn an_executor_that_goes_away_silently_is_noticed() {
    let shell = Shell::start().await;
    shell.run(custom_task("t", "E")).await;
    let subscription = Subscription {
        framework_id: FrameworkId::new("F"),
        executor_id: ExecutorId::new("E"),
        unacknowledged_tasks: Vec::new(),
        unacknowledged_updates: Vec::new(),
    };
    let handle = &shell.agent.handle;
    let connected = async || {
        let snapshot = handle.snapshot().await.unwrap();
        let mut executors = snapshot.executors();
        executors.any(|executor| executor.connection.is_some())
    };
    for _ in 0..1000 {
        let subscribed = handle.subscribe_executor(subscription.clone(), None).await;
        let (_, events) = subscribed.unwrap();
        if connected().await {
            drop(events);
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..1000 {
        if !connected().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the agent still believes in the executor");
}
