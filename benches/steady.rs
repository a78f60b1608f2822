//! From a task's end to the next offer of what it had, through a whole master: its loop, its core and
//! its allocator, in process. Agents and frameworks talk to the master as links and streams do.
//!
//! `cargo bench --bench steady -- [agents] [frameworks]`, 10,000 and 1,000 without: a full cluster with
//! two tasks on each agent, of which 1 % end per second. Every other framework declines what it is
//! offered for 5 s, the others launch a task on it, which runs at once. Measured is the time from the
//! agent's TASK_FINISHED, or from a DECLINE, until somebody has an offer of that agent. Results go to
//! stdout and, one JSON line, to `target/bench-results.jsonl`.

#[path = "results/mod.rs"]
mod results;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mesosd::base::{ConnectionId, FrameworkId, Rng};
use mesosd::master::driver::{AgentLink, Subscription, start};
use mesosd::master::{Handle, MasterConfig, SchedulerCall};
use mesosd::proto::v1::TaskState::{TaskFinished, TaskRunning};
use mesosd::proto::v1::scheduler::{call, event};
use mesosd::proto::{MESOS_VERSION, link, v1};
use mesosd::registrar::MemoryStorage;
use mesosd::telemetry::Metrics;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const MASTER: &str = "11111111-2222-3333-4444-555555555555";
/// How long tasks end before it counts, and how long it counts.
const WARM_UP: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(15);
/// How long a framework that wants nothing does not want it.
const REFUSE_SECONDS: f64 = 5.0;

fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok());
    let (agents, frameworks) = (numbers.next().unwrap_or(10_000), numbers.next());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run(agents, frameworks.unwrap_or(1000)))
}

/// A running task: agent, framework, name.
type Task = (usize, usize, String);

/// What agents and frameworks share.
struct World {
    handle: Handle,
    links: Vec<ConnectionId>,
    running: Mutex<Vec<Task>>,
    /// Since when somebody could be offered more of an agent.
    waiting: Mutex<BTreeMap<String, Instant>>,
    times: Mutex<Vec<Duration>>,
    counts: AtomicBool,
    names: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn run(agents: usize, frameworks: usize) -> Result<(), Failure> {
    let mut config = MasterConfig::new(MASTER);
    // These agents answer no pings.
    config.agent_ping_timeout = Duration::from_secs(3600);
    let running = start(config, MemoryStorage::default(), &Metrics::new()).await?;
    let handle = running.handle.clone();
    let mut streams = Vec::new();
    for framework in 0..frameworks {
        let mut stream = handle
            .subscribe(framework_info(framework), Vec::new(), None)
            .await?;
        stream.recv().await.ok_or("the subscription ended")?;
        streams.push(stream);
    }
    let (mut links, mut tasks) = (Vec::new(), Vec::new());
    for agent in 0..agents {
        let own = [agent, agent + frameworks / 2].map(|at| at % frameworks);
        let own = [
            (own[0], format!("{agent}-a")),
            (own[1], format!("{agent}-b")),
        ];
        links.push(connect(&handle, agent, &own).await?);
        tasks.extend(own.map(|(framework, name)| (agent, framework, name)));
    }
    let world = Arc::new(World {
        handle,
        links: links.iter().map(AgentLink::connection).collect(),
        running: Mutex::new(tasks),
        waiting: Mutex::default(),
        times: Mutex::default(),
        counts: AtomicBool::new(false),
        names: AtomicU64::new(1),
    });
    for (framework, stream) in streams.into_iter().enumerate() {
        tokio::spawn(schedule(Arc::clone(&world), framework, stream));
    }
    for (agent, link) in links.into_iter().enumerate() {
        tokio::spawn(obey(Arc::clone(&world), agent, link));
    }
    end_tasks(&world, WARM_UP).await?;
    world.counts.store(true, Ordering::Relaxed);
    end_tasks(&world, MEASURED).await?;
    let times = std::mem::take(&mut *locked(&world.times));
    report(&format!("{agents}x{frameworks}"), &times)
}

/// 1 % of the tasks end per second, evenly.
async fn end_tasks(world: &World, time: Duration) -> Result<(), Failure> {
    let (begin, mut ended) = (Instant::now(), 0_u32);
    let per_second = locked(&world.running).len().div_ceil(100);
    let between = Duration::from_secs(1) / u32::try_from(per_second)?;
    let mut rng = Rng::seeded(begin.elapsed().subsec_nanos().into(), "steady");
    while begin.elapsed() < time {
        let due = begin + between * ended;
        tokio::time::sleep(due.saturating_duration_since(Instant::now())).await;
        let task = {
            let mut running = locked(&world.running);
            let at = usize::try_from(rng.below(running.len() as u64))?;
            running.swap_remove(at)
        };
        let agent = format!("{MASTER}-S{}", task.0);
        locked(&world.waiting)
            .entry(agent)
            .or_insert_with(Instant::now);
        tell(world, task, TaskFinished).await?;
        ended += 1;
    }
    Ok(())
}

/// An agent says how a task is.
async fn tell(
    world: &World,
    (agent, framework, name): Task,
    state: v1::TaskState,
) -> Result<(), Failure> {
    let number = u128::from(world.names.fetch_add(1, Ordering::Relaxed)) | (1 << 100);
    let update = link::StatusUpdate {
        framework_id: framework_id(framework).as_str().into(),
        executor_id: None,
        status: v1::TaskStatus {
            task_id: name.as_str().into(),
            agent_id: Some(format!("{MASTER}-S{agent}").as_str().into()),
            state: state.into(),
            source: Some(v1::task_status::Source::Executor.into()),
            timestamp: Some(1_795_200_522.25),
            uuid: Some(number.to_be_bytes().to_vec()),
            ..v1::TaskStatus::default()
        },
        latest_state: state.into(),
    };
    let update = link::from_agent::Message::StatusUpdate(update);
    Ok(world
        .handle
        .agent_message(world.links[agent], update)
        .await?)
}

/// One agent: what it is told to run, runs.
async fn obey(world: Arc<World>, agent: usize, mut link: AgentLink) -> Result<(), Failure> {
    while let Some(message) = link.recv().await {
        if let Some(link::from_master::Message::RunTask(run)) = message.message {
            let id = run.framework.id.ok_or("frameworks have ids")?;
            let framework = id.value.rsplit('-').next().unwrap_or_default().parse()?;
            let task = (agent, framework, run.task.task_id.value);
            tell(&world, task.clone(), TaskRunning).await?;
            locked(&world.running).push(task);
        }
    }
    Err("the master has closed a link".into())
}

/// One framework: every other one uses what it is offered.
async fn schedule(
    world: Arc<World>,
    framework: usize,
    mut stream: Subscription,
) -> Result<(), Failure> {
    let id = FrameworkId::parse(&framework_id(framework))?;
    let connection = Some(stream.connection());
    let say = |call| world.handle.scheduler_call(id.clone(), connection, call);
    while let Some(event) = stream.recv().await {
        for offer in event.offers.map(|offers| offers.offers).unwrap_or_default() {
            offered(&world, &offer);
            if framework.is_multiple_of(2) {
                let name = format!("t{}", world.names.fetch_add(1, Ordering::Relaxed));
                say(launch(offer, name)).await?;
                continue;
            }
            let now = Instant::now();
            locked(&world.waiting).insert(offer.agent_id.value, now);
            let filters = Some(v1::Filters {
                refuse_seconds: Some(REFUSE_SECONDS),
            });
            let decline = call::Decline {
                offer_ids: vec![offer.id],
                filters,
            };
            say(SchedulerCall::Decline(decline)).await?;
        }
        if let Some(event::Update { status }) = event.update
            && let (Some(uuid), Some(agent_id)) = (status.uuid, status.agent_id)
        {
            let acknowledge = call::Acknowledge {
                agent_id,
                task_id: status.task_id,
                uuid,
            };
            say(SchedulerCall::Acknowledge(acknowledge)).await?;
        }
    }
    Err("the master has closed a stream".into())
}

/// Notes how long what is offered has waited.
fn offered(world: &World, offer: &v1::Offer) {
    let since = locked(&world.waiting).remove(&offer.agent_id.value);
    if let Some(since) = since.filter(|_| world.counts.load(Ordering::Relaxed)) {
        locked(&world.times).push(since.elapsed());
    }
}

fn launch(offer: v1::Offer, name: String) -> SchedulerCall {
    let task = v1::TaskInfo {
        name: name.clone(),
        task_id: name.as_str().into(),
        agent_id: offer.agent_id,
        resources: offer.resources,
        command: Some(v1::CommandInfo {
            value: Some("true".to_owned()),
            ..v1::CommandInfo::default()
        }),
        ..v1::TaskInfo::default()
    };
    SchedulerCall::Accept(call::Accept {
        offer_ids: vec![offer.id],
        operations: vec![v1::offer::Operation {
            r#type: Some(v1::offer::operation::Type::Launch.into()),
            launch: Some(v1::offer::operation::Launch {
                task_infos: vec![task],
            }),
            ..v1::offer::Operation::default()
        }],
        filters: None,
    })
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

/// An agent that comes with two running tasks that take all of it.
async fn connect(
    handle: &Handle,
    agent: usize,
    own: &[(usize, String)],
) -> Result<AgentLink, Failure> {
    let mut link = handle
        .connect_agent(format!("10.0.0.1:{}", 1024 + agent % 60_000))
        .await?;
    let id = format!("{MASTER}-S{agent}");
    let task = |(framework, name): &(usize, String)| v1::Task {
        name: name.clone(),
        task_id: name.as_str().into(),
        framework_id: framework_id(*framework).as_str().into(),
        agent_id: id.as_str().into(),
        state: TaskRunning.into(),
        resources: vec![
            scalar("cpus", 2.0, Some("*")),
            scalar("mem", 1024.0, Some("*")),
        ],
        ..v1::Task::default()
    };
    let message = link::Reregister {
        agent: v1::AgentInfo {
            hostname: format!("agent-{agent}.test"),
            id: Some(id.as_str().into()),
            port: Some(5051),
            ..v1::AgentInfo::default()
        },
        total: vec![scalar("cpus", 4.0, None), scalar("mem", 2048.0, None)],
        frameworks: own
            .iter()
            .map(|(framework, _)| framework_info(*framework))
            .collect(),
        tasks: own.iter().map(task).collect(),
        version: MESOS_VERSION.to_owned(),
        ..link::Reregister::default()
    };
    let message = link::from_agent::Message::Reregister(message);
    handle.agent_message(link.connection(), message).await?;
    link.recv().await.ok_or("the registration was refused")?;
    Ok(link)
}

fn report(size: &str, times: &[Duration]) -> Result<(), Failure> {
    let what = "event to offer";
    let shown = results::times("steady/master", size, Some(what), times)?;
    println!("steady/master/{size} {what}: {shown}");
    Ok(())
}
