//! What pollers of a large cluster wait for, and what they cost the master: `/state` and GET_STATE, as
//! JSON and protobuf, over HTTP on loopback; the loop's longest wait meanwhile; `/health` while five
//! clients poll; twenty pollers against two.
//!
//! `cargo bench --bench state -- [agents]`, 20,000 without: ten running and ten finished tasks for each.
//! Results go to stdout and, one JSON line each, to `target/bench-results.jsonl`.

#[path = "results/mod.rs"]
mod results;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mesosd::api::http::master_routes;
use mesosd::api::server::{Limits, serve};
use mesosd::api::service::daemon::Daemon;
use mesosd::base::FrameworkId;
use mesosd::master::driver::{AgentLink, Running, Subscription, start};
use mesosd::master::{Handle, MasterConfig, SchedulerCall};
use mesosd::proto::v1::TaskState::{TaskFinished, TaskRunning};
use mesosd::proto::v1::framework_info::{Capability, capability};
use mesosd::proto::v1::scheduler::call;
use mesosd::proto::{MESOS_VERSION, link, v1};
use mesosd::registrar::MemoryStorage;
use mesosd::telemetry::Metrics;
use tokio::net::TcpListener;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Frameworks: as many as keep 1,000 finished tasks each.
const TASKS_PER_FRAMEWORK: usize = 1_000;
/// Running tasks of one agent, and as many finished ones.
const TASKS_PER_AGENT: usize = 10;
const MASTER: &str = "11111111-2222-3333-4444-555555555555";

fn main() -> Result<(), Failure> {
    let agents = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let agents: usize = agents.unwrap_or(20_000);
    // As a master has it.
    let runtime = mesosd::runtime::threads()
        .worker_threads(2)
        .on_thread_start(mesosd::runtime::prompt)
        .build()?;
    runtime.block_on(run(agents))
}

/// A master and everybody whose departure would change its state.
struct Cluster {
    address: SocketAddr,
    handle: Handle,
    _links: Vec<AgentLink>,
    _schedulers: Vec<Subscription>,
    _running: Running,
}

async fn run(agents: usize) -> Result<(), Failure> {
    let begin = Instant::now();
    let cluster = fill(agents).await?;
    let tasks = agents * TASKS_PER_AGENT;
    let parameters = format!("{agents} agents, {tasks} running, {tasks} finished tasks");
    println!(
        "filled in {:.1} s: {parameters}",
        begin.elapsed().as_secs_f64()
    );
    memory("filled")?;
    let address = cluster.address;

    let state = r#"{"type":"GET_STATE"}"#;
    let reads = [
        ("state/plain", "GET /state", "", ""),
        ("state/gzip", "GET /state", "Accept-Encoding: gzip\r\n", ""),
        ("summary", "GET /state-summary", "", ""),
        (
            "v1/json",
            "POST /api/v1",
            "Accept: application/json\r\n",
            state,
        ),
        (
            "v1/protobuf",
            "POST /api/v1",
            "Accept: application/x-protobuf\r\n",
            state,
        ),
    ];
    for (id, request, headers, body) in reads {
        let watch = Watch::begin(cluster.handle.clone());
        let mut times = Vec::new();
        let mut size = 0;
        for _ in 0..5 {
            let begin = Instant::now();
            size = aside(move || ask(address, request, headers, body)).await?;
            times.push(begin.elapsed());
        }
        report(id, &format!("{parameters}, {} MB", size / 1_000_000), times)?;
        report("loop/wait", &format!("during {id}"), watch.end().await)?;
        memory(id)?;
    }

    // The same with others that poll.
    let stop = Arc::new(AtomicBool::new(false));
    let pollers: Vec<_> = (0..5)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // A poller that fails shows in the others' times.
                    let _ = ask(address, "GET /state", "", "");
                }
            })
        })
        .collect();
    let watch = Watch::begin(cluster.handle.clone());
    let mut times = Vec::new();
    for _ in 0..500 {
        let begin = Instant::now();
        aside(move || ask(address, "GET /health", "", "")).await?;
        times.push(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.store(true, Ordering::Relaxed);
    report("health", "while five clients poll /state", times)?;
    report(
        "loop/wait",
        "while five clients poll /state",
        watch.end().await,
    )?;
    for poller in pollers {
        aside(move || poller.join().map_err(|_| "a poller panicked")).await?;
    }

    for count in [2, 20] {
        let begin = Instant::now();
        let readers: Vec<_> = (0..count)
            .map(|_| std::thread::spawn(move || ask(address, "GET /state", "", "").map(drop)))
            .collect();
        for reader in readers {
            aside(move || reader.join().map_err(|_| "a reader panicked")).await??;
        }
        let took = begin.elapsed();
        report("pollers", &format!("{count} at once, all done"), vec![took])?;
    }
    memory("the end")
}

async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Asks the loop for its state every millisecond and notes how long it takes to answer: that is the
/// longest step in between.
struct Watch {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Vec<Duration>>,
}

impl Watch {
    fn begin(handle: Handle) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut times = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let begin = Instant::now();
                if handle.snapshot().await.is_err() {
                    break;
                }
                times.push(begin.elapsed());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            times
        });
        Self { stop, task }
    }

    async fn end(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap_or_default()
    }
}

/// One request; how many bytes its reply has.
fn ask(address: SocketAddr, request: &str, headers: &str, body: &str) -> Result<usize, Failure> {
    let mut socket = TcpStream::connect(address)?;
    write!(
        socket,
        "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         {headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let read = socket.read(&mut buffer)?;
        if read == 0 {
            return Ok(size);
        }
        if size == 0 && !buffer.starts_with(b"HTTP/1.1 200") {
            let text = String::from_utf8_lossy(&buffer[..read.min(200)]);
            return Err(format!("{request}: {text}").into());
        }
        size += read;
    }
}

// The cluster.

async fn fill(agents: usize) -> Result<Cluster, Failure> {
    let metrics = Metrics::new();
    let mut config = MasterConfig::new(MASTER);
    // These agents answer no pings.
    config.agent_ping_timeout = Duration::from_secs(3600);
    let running = start(config, MemoryStorage::default(), &metrics).await?;
    let handle = running.handle.clone();
    let router = master_routes(handle.clone(), Daemon::new(metrics.clone())).await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let forever = std::future::pending();
        serve(listener, router, Limits::default(), &metrics, forever).await;
    });
    let frameworks = (agents * TASKS_PER_AGENT).div_ceil(TASKS_PER_FRAMEWORK);
    let mut links = Vec::new();
    for agent in 0..agents {
        links.push(connect(&handle, agent, frameworks).await?);
    }
    let mut schedulers = Vec::new();
    for framework in 0..frameworks {
        let info = framework_info(framework);
        let roles = vec!["*".to_owned()];
        schedulers.push(subscribe(&handle, info, roles).await?);
    }
    for (agent, link) in links.iter().enumerate() {
        finish(&handle, link, &schedulers, agent, frameworks).await?;
    }
    Ok(Cluster {
        address,
        handle,
        _links: links,
        _schedulers: schedulers,
        _running: running,
    })
}

async fn subscribe(
    handle: &Handle,
    info: v1::FrameworkInfo,
    suppressed: Vec<String>,
) -> Result<Subscription, Failure> {
    let mut subscription = handle.subscribe(info, suppressed, None).await?;
    subscription.recv().await.ok_or("the subscription ended")?;
    Ok(subscription)
}

fn framework_of(agent: usize, task: usize, frameworks: usize) -> usize {
    (agent * TASKS_PER_AGENT + task) % frameworks
}

fn framework_id(framework: usize) -> String {
    format!("{MASTER}-{framework:04}")
}

fn framework_info(framework: usize) -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        user: "root".to_owned(),
        name: format!("framework {framework}"),
        id: Some(framework_id(framework).as_str().into()),
        failover_timeout: Some(3600.0),
        capabilities: vec![Capability {
            r#type: Some(capability::Type::ReservationRefinement.into()),
        }],
        ..v1::FrameworkInfo::default()
    }
}

fn scalar(name: &str, value: f64, role: Option<&str>) -> v1::Resource {
    v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        allocation_info: role.map(|role| v1::resource::AllocationInfo {
            role: Some(role.to_owned()),
        }),
        ..v1::Resource::default()
    }
}

fn agent_id(agent: usize) -> v1::AgentId {
    format!("{MASTER}-S{agent}").as_str().into()
}

fn status(agent: usize, name: &str, state: v1::TaskState, number: u128) -> v1::TaskStatus {
    v1::TaskStatus {
        task_id: name.into(),
        agent_id: Some(agent_id(agent)),
        state: state.into(),
        source: Some(v1::task_status::Source::Executor.into()),
        timestamp: Some(1_795_200_522.25),
        uuid: Some(number.to_be_bytes().to_vec()),
        container_status: Some(v1::ContainerStatus {
            container_id: Some(format!("container-of-{name}").as_str().into()),
            network_infos: vec![v1::NetworkInfo {
                ip_addresses: vec![v1::network_info::IpAddress {
                    ip_address: Some("10.0.0.1".to_owned()),
                    ..v1::network_info::IpAddress::default()
                }],
                ..v1::NetworkInfo::default()
            }],
            ..v1::ContainerStatus::default()
        }),
        ..v1::TaskStatus::default()
    }
}

/// Task `task` of an agent: the first ten stay, the others finish.
fn task(agent: usize, task: usize, frameworks: usize) -> v1::Task {
    let name = format!("task-{agent}-{task}");
    let framework = framework_of(agent, task % TASKS_PER_AGENT, frameworks);
    v1::Task {
        name: name.clone(),
        task_id: name.as_str().into(),
        framework_id: framework_id(framework).as_str().into(),
        agent_id: agent_id(agent),
        state: TaskRunning.into(),
        resources: vec![
            scalar("cpus", 0.1, Some("*")),
            scalar("mem", 32.0, Some("*")),
        ],
        statuses: vec![status(agent, &name, TaskRunning, 1)],
        ..v1::Task::default()
    }
}

async fn connect(handle: &Handle, agent: usize, frameworks: usize) -> Result<AgentLink, Failure> {
    let mut link = handle
        .connect_agent(format!("10.0.0.1:{}", 1024 + agent % 60_000))
        .await?;
    let tasks: Vec<v1::Task> = (0..2 * TASKS_PER_AGENT)
        .map(|number| task(agent, number, frameworks))
        .collect();
    let mut known: Vec<usize> = (0..TASKS_PER_AGENT)
        .map(|number| framework_of(agent, number, frameworks))
        .collect();
    known.sort_unstable();
    known.dedup();
    let message = link::Reregister {
        agent: v1::AgentInfo {
            hostname: format!("agent-{agent}.test"),
            id: Some(agent_id(agent)),
            port: Some(5051),
            ..v1::AgentInfo::default()
        },
        total: vec![scalar("cpus", 16.0, None), scalar("mem", 65_536.0, None)],
        frameworks: known.into_iter().map(framework_info).collect(),
        tasks,
        version: MESOS_VERSION.to_owned(),
        ..link::Reregister::default()
    };
    let message = link::from_agent::Message::Reregister(message);
    handle.agent_message(link.connection(), message).await?;
    link.recv().await.ok_or("the registration was refused")?;
    Ok(link)
}

async fn finish(
    handle: &Handle,
    link: &AgentLink,
    schedulers: &[Subscription],
    agent: usize,
    frameworks: usize,
) -> Result<(), Failure> {
    for number in TASKS_PER_AGENT..2 * TASKS_PER_AGENT {
        let name = format!("task-{agent}-{number}");
        let framework = framework_of(agent, number % TASKS_PER_AGENT, frameworks);
        let draw = ((agent as u128) << 32) | number as u128 | (1 << 100);
        let status = status(agent, &name, TaskFinished, draw);
        let uuid = status.uuid.clone().ok_or("a status has a name")?;
        let update = link::StatusUpdate {
            framework_id: framework_id(framework).as_str().into(),
            executor_id: None,
            status,
            latest_state: TaskFinished.into(),
        };
        let update = link::from_agent::Message::StatusUpdate(update);
        handle.agent_message(link.connection(), update).await?;
        let acknowledge = SchedulerCall::Acknowledge(call::Acknowledge {
            agent_id: agent_id(agent),
            task_id: name.as_str().into(),
            uuid,
        });
        let id = FrameworkId::parse(&framework_id(framework))?;
        let connection = Some(schedulers[framework].connection());
        handle.scheduler_call(id, connection, acknowledge).await?;
    }
    Ok(())
}

// Reporting.

fn report(id: &str, parameters: &str, times: Vec<Duration>) -> Result<(), Failure> {
    let shown = results::times(id, parameters, None, &times)?;
    println!("{id:<12} {parameters:<66} {shown}");
    Ok(())
}

/// The memory that this process, master and clients, has, and the most that it has had.
fn memory(when: &str) -> Result<(), Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let lines = status.lines().map(|line| line.replace('\t', " "));
    let told: Vec<String> = lines
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"))
        .collect();
    println!("{:<12} {when:<66} {}", "memory", told.join(", "));
    Ok(())
}
