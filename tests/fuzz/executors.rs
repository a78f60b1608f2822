//! What supervisors say on the agent's unix socket, damaged: frames of executors that the agent knows and of
//! those that it does not. The agent hangs up on whoever breaks the rules, and is there for the next one.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::Stream;
use mesosd::agent::AgentConfig;
use mesosd::proto::link::agent_link_server::{AgentLink, AgentLinkServer};
use mesosd::proto::link::{self, FromAgent, FromMaster, from_master};
use mesosd::proto::v1;
use mesosd::proto::v1::executor::{Call, Event, call, event};
use mesosd::testing::agent::NotedAgent;
use prost::Message as _;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use crate::fuzz_some;

/// The task in the samples; the one of a run has a name of the same length.
const SAMPLE: &str = "task-00000";

const PATIENCE: Duration = Duration::from_secs(20);

type Orders = mpsc::Sender<Result<FromMaster, Status>>;

/// A master that admits an agent and gives its test the way to order.
struct Master(mpsc::Sender<Orders>);

#[tonic::async_trait]
impl AgentLink for Master {
    type ConnectStream = Pin<Box<dyn Stream<Item = Result<FromMaster, Status>> + Send>>;

    async fn connect(
        &self,
        request: Request<Streaming<FromAgent>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let mut incoming = request.into_inner();
        let (orders, outgoing) = mpsc::channel(64);
        let admitted = self.0.clone();
        tokio::spawn(async move {
            incoming.message().await.unwrap();
            let registered = link::Registered {
                agent_id: "S0".into(),
                master: v1::MasterInfo::default(),
                epoch: 1,
                total_ping_timeout_seconds: 3600.0,
            };
            order(&orders, from_master::Message::Registered(registered)).await;
            admitted.send(orders).await.unwrap();
            // All that the agent says is heard, so that it never waits.
            while let Ok(Some(_)) = incoming.message().await {}
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

async fn order(orders: &Orders, message: from_master::Message) {
    let message = Some(message);
    orders.send(Ok(FromMaster { message })).await.unwrap();
}

/// An agent that is registered.
struct Agent {
    runtime: Runtime,
    agent: NotedAgent,
    orders: Orders,
    _masters: watch::Sender<Option<String>>,
    _folder: tempfile::TempDir,
}

impl Agent {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (agent, orders, masters) = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let (sender, mut admitted) = mpsc::channel(1);
            let server = tonic::transport::Server::builder()
                .add_service(AgentLinkServer::new(Master(sender)))
                .serve_with_incoming(TcpListenerStream::new(listener));
            tokio::spawn(server);
            let (masters, known) = watch::channel(Some(address));
            let mut config = AgentConfig::new("host", "/");
            config.resources = vec![scalar("cpus", 1e6), scalar("mem", 1e9)];
            config.timing.registration_backoff_factor = Duration::ZERO;
            let agent = NotedAgent::start(config, folder.path(), known).unwrap();
            agent.recovered();
            (agent, admitted.recv().await.unwrap(), masters)
        });
        Self {
            runtime,
            agent,
            orders,
            _masters: masters,
            _folder: folder,
        }
    }

    fn connect(&self) -> UnixStream {
        let socket = UnixStream::connect(&self.agent.running.socket).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// A subscribed executor with this task.
    fn executor(&self, id: &str) -> UnixStream {
        let run = link::RunTask {
            framework: v1::FrameworkInfo {
                id: Some("F".into()),
                user: "nobody".into(),
                name: "fuzz".into(),
                ..Default::default()
            },
            executor: None,
            task: v1::TaskInfo {
                name: id.to_owned(),
                task_id: id.into(),
                agent_id: "S0".into(),
                resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
                command: Some(v1::CommandInfo {
                    value: Some("true".to_owned()),
                    ..Default::default()
                }),
                ..Default::default()
            },
        };
        let message = from_master::Message::RunTask(run);
        self.runtime.block_on(order(&self.orders, message));
        let begun = Instant::now();
        loop {
            // The task may still be on its way: then the agent sends the executor away.
            let mut socket = self.connect();
            socket.write_all(&frame(&subscribe(id))).unwrap();
            if next(&mut socket).r#type() == event::Type::Subscribed {
                return socket;
            }
            assert!(begun.elapsed() < PATIENCE, "{id} never arrives");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn scalar(name: &str, value: f64) -> v1::Resource {
    v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..Default::default()
    }
}

fn of_type(id: &str, kind: call::Type) -> Call {
    Call {
        executor_id: id.into(),
        framework_id: "F".into(),
        r#type: Some(kind.into()),
        ..Default::default()
    }
}

fn subscribe(id: &str) -> Call {
    Call {
        subscribe: Some(call::Subscribe::default()),
        ..of_type(id, call::Type::Subscribe)
    }
}

fn update(id: &str, state: v1::TaskState, number: u8) -> Call {
    let status = v1::TaskStatus {
        task_id: id.into(),
        state: state.into(),
        source: Some(v1::task_status::Source::Executor.into()),
        uuid: Some(vec![number; 16]),
        executor_id: Some(id.into()),
        timestamp: Some(1_795_200_522.25),
        ..Default::default()
    };
    Call {
        update: Some(call::Update { status }),
        ..of_type(id, call::Type::Update)
    }
}

fn message(id: &str) -> Call {
    let data = b"0123456789".to_vec();
    Call {
        message: Some(call::Message { data }),
        ..of_type(id, call::Type::Message)
    }
}

fn frame(call: &Call) -> Vec<u8> {
    let body = call.encode_to_vec();
    let length = u32::try_from(body.len()).unwrap();
    [&length.to_be_bytes()[..], &body].concat()
}

/// The next event of the agent.
fn next(socket: &mut UnixStream) -> Event {
    let mut length = [0; 4];
    socket.read_exact(&mut length).unwrap();
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    socket.read_exact(&mut body).unwrap();
    Event::decode(&body[..]).unwrap()
}

/// Frames as supervisors send them.
fn samples() -> Vec<Vec<u8>> {
    let states = [
        v1::TaskState::TaskStarting,
        v1::TaskState::TaskRunning,
        v1::TaskState::TaskFinished,
    ];
    let updates: Vec<Vec<u8>> = (1..)
        .zip(states)
        .map(|(number, state)| frame(&update(SAMPLE, state, number)))
        .collect();
    vec![
        updates.concat(),
        updates[1].clone(),
        [frame(&message(SAMPLE)), updates[2].clone()].concat(),
        frame(&message(SAMPLE)),
        frame(&subscribe(SAMPLE)),
        [frame(&subscribe(SAMPLE)), updates.concat()].concat(),
        frame(&of_type(SAMPLE, call::Type::Heartbeat)),
        vec![0xff; 8],
    ]
}

/// Says all this, then no more; the agent must hang up too.
fn say(mut socket: UnixStream, bytes: &[u8]) {
    // The agent may hang up first.
    let _cut_off = socket.write_all(bytes);
    let _gone = socket.shutdown(Shutdown::Write);
    let mut rest = Vec::new();
    let ended = socket.read_to_end(&mut rest);
    let waited = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    assert!(!waited, "the agent does not hang up");
}

#[test]
fn frames_of_executors() {
    let agent = Agent::start();
    let number = std::cell::Cell::new(0);
    fuzz_some("frames/executor", 400, &samples(), |bytes| {
        number.set(number.get() + 1);
        if number.get() % 2 == 0 {
            say(agent.connect(), bytes);
            return;
        }
        let id = format!("task-{:05}", number.get());
        let mut own = bytes.to_vec();
        while let Some(at) = own
            .windows(SAMPLE.len())
            .position(|w| w == SAMPLE.as_bytes())
        {
            own[at..at + SAMPLE.len()].copy_from_slice(id.as_bytes());
        }
        say(agent.executor(&id), &own);
    });
    // All is as it was for whoever keeps the rules.
    let mut good = agent.executor("task-good0");
    assert_eq!(next(&mut good).r#type(), event::Type::Launch);
    let finished = update("task-good0", v1::TaskState::TaskFinished, 9);
    good.write_all(&frame(&finished)).unwrap();
    let acknowledged = next(&mut good).acknowledged.unwrap();
    assert_eq!(acknowledged.uuid, [9; 16]);
}
