//! A change of the leading master under 10,000 agents with ten tasks each: two masters and a real
//! ZooKeeper, the agents emulated in a process of their own, each with a connection of its own.
//!
//! Agents do as real ones do: they learn the leader from ZooKeeper, wait a random part of a second
//! (`--registration_backoff_factor`), open their link and say all that they run.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mesosd::base::Rng;
use mesosd::election::ZooKeeperUrl;
use mesosd::election::driver::{addresses, follow};
use mesosd::election::session::Ensemble as Access;
use mesosd::proto::link::agent_link_client::AgentLinkClient;
use mesosd::proto::{link, v1};
use mesosd::testing::ensemble::Ensemble;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::daemons::{Daemon, daemon, get, metric, proc_kib, wait_until};
use super::{Failure, report_value, scalar};

const AGENTS: usize = 10_000;
const TASKS_PER_AGENT: usize = 10;
const SESSION: Duration = Duration::from_secs(4);
const UUID: &str = "11111111-2222-3333-4444-555555555555";
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(300);

pub(super) async fn run() -> Result<(), Failure> {
    let agents = std::env::var("AGENTS").ok();
    let agents: usize = agents.map_or(Ok(AGENTS), |count| count.parse())?;
    let Some(ensemble) = Ensemble::start("benches: failover", 1) else {
        return Err("there is no ZooKeeper here: tests/run installs it".into());
    };
    let url = ensemble.url("/mesos");
    let dir = tempfile::tempdir()?;
    let flags = [
        "--role=master".to_owned(),
        format!("--zk={url}"),
        format!("--zk_session_timeout={}secs", SESSION.as_secs()),
        "--logging_level=WARNING".to_owned(),
    ];
    let start = |name: &str| daemon(dir.path(), name, &flags);
    let mut first = start("first")?;
    let is_elected = |master: &Daemon| metric(master.address, "master/elected") == Some(1.0);
    wait_until("a leader", LIMIT, || is_elected(&first)).await?;
    let second = start("second")?;

    let begin = Instant::now();
    let mut emulator = Command::new("sh")
        .args(["-c", "ulimit -n $(ulimit -Hn); exec \"$@\"", "sh"])
        .arg(std::env::current_exe()?)
        .args(["emulate-elected", &url, &agents.to_string()])
        .spawn()?;
    let measured = async {
        all_there(&first, agents).await?;
        tell(agents, "admission of all agents", begin)?;
        let resident = proc_kib(first.child.id(), "status", "VmRSS") as f64 / 1024.0;
        report_value(
            "failover",
            "resident, master with all of them",
            resident,
            "MiB",
        )?;

        let begin = Instant::now();
        first.child.kill()?;
        first.child.wait()?;
        wait_until("another leader", LIMIT, || is_elected(&second)).await?;
        tell(agents, "leader killed to elected (session 4 s)", begin)?;
        let elected = Instant::now();
        all_there(&second, agents).await?;
        tell(agents, "elected to all agents and tasks back", elected)?;
        tell(agents, "leader killed to all agents and tasks back", begin)?;

        first = start("first")?;
        tokio::time::sleep(SESSION).await;
        let begin = Instant::now();
        let pid = second.child.id().to_string();
        Command::new("kill").arg(pid).status()?;
        wait_until("the next leader", LIMIT, || is_elected(&first)).await?;
        tell(agents, "planned handover to elected", begin)?;
        all_there(&first, agents).await?;
        tell(
            agents,
            "planned handover to all agents and tasks back",
            begin,
        )
    };
    let measured = measured.await;
    emulator.kill()?;
    emulator.wait()?;
    measured
}

fn tell(agents: usize, what: &str, begin: Instant) -> Result<(), Failure> {
    let seconds = begin.elapsed().as_secs_f64();
    report_value(
        "failover",
        &format!("{agents} agents: {what}"),
        seconds,
        "s",
    )
}

/// Waits for all of them, and reports how long others waited meanwhile who asked `/health`.
async fn all_there(master: &Daemon, agents: usize) -> Result<(), Failure> {
    let tasks = agents * TASKS_PER_AGENT;
    let wanted = [
        format!("\"master/slaves_active\":{agents}.0"),
        format!("\"master/tasks_running\":{tasks}.0"),
    ];
    let stop = Arc::new(AtomicBool::new(false));
    let (address, stopped) = (master.address, Arc::clone(&stop));
    let others = std::thread::spawn(move || {
        let mut times = Vec::new();
        while !stopped.load(Ordering::Relaxed) {
            let begin = Instant::now();
            if get(address, "/health").is_some() {
                times.push(begin.elapsed());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        times
    });
    let deadline = Instant::now() + LIMIT;
    let mut there = false;
    while !there && Instant::now() < deadline {
        // Each of these costs the master a look at all tasks.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let metrics = get(address, "/metrics/snapshot").unwrap_or_default();
        there = wanted.iter().all(|wanted| metrics.contains(wanted));
    }
    stop.store(true, Ordering::Relaxed);
    let times = others
        .join()
        .map_err(|_| "the poller of /health panicked")?;
    let parameters = format!("{agents} agents: /health while they come");
    let shown = super::results::times("failover", &parameters, None, &times)?;
    println!("failover   {parameters:<46} {shown}");
    if there {
        Ok(())
    } else {
        Err(format!("timed out: not all of {agents} agents and {tasks} tasks are there").into())
    }
}

/// Agents that come back to every leader, until the process is killed.
pub(super) async fn emulate(url: &str, agents: usize) -> Result<(), Failure> {
    let url: ZooKeeperUrl = url.parse()?;
    let masters = addresses(follow(Access::new(url, Duration::from_secs(10))));
    let failures = Arc::new(AtomicU64::new(0));
    let mut all = tokio::task::JoinSet::new();
    for number in 0..agents {
        let (masters, failures) = (masters.clone(), Arc::clone(&failures));
        all.spawn(async move {
            let mut agent = Emulated {
                number,
                masters,
                rng: Rng::seeded(number as u64, "emulated agent"),
            };
            loop {
                if agent.attempt().await.is_err() {
                    failures.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        });
    }
    // None of them ends by itself: the first that does has panicked.
    if let Some(ended) = all.join_next().await {
        ended?;
    }
    Ok(())
}

struct Emulated {
    number: usize,
    masters: watch::Receiver<Option<String>>,
    rng: Rng,
}

impl Emulated {
    /// One link from its start to its end.
    async fn attempt(&mut self) -> Result<(), Failure> {
        use link::from_agent::Message as Say;
        use link::from_master::Message as Hear;
        let address = loop {
            if let Some(address) = self.masters.borrow_and_update().clone() {
                break address;
            }
            self.masters.changed().await?;
        };
        tokio::time::sleep(self.rng.up_to(Duration::from_secs(1))).await;
        let channel = Channel::from_shared(format!("http://{address}"))?
            .connect()
            .await?;
        let (say, said) = mpsc::channel(16);
        let send = |message| link::FromAgent {
            message: Some(message),
        };
        say.send(send(Say::Reregister(reregister(self.number))))
            .await?;
        let mut heard = AgentLinkClient::new(channel)
            .connect(ReceiverStream::new(said))
            .await?
            .into_inner();
        loop {
            tokio::select! {
                changed = self.masters.changed() => {
                    changed?;
                    if self.masters.borrow().as_deref() != Some(&*address) {
                        return Ok(());
                    }
                }
                message = heard.next() => {
                    let message = message.ok_or("the link has ended")??;
                    if let Some(Hear::Ping(ping)) = message.message {
                        let sequence = ping.sequence;
                        say.send(send(Say::Pong(link::Pong { sequence }))).await?;
                    }
                }
            }
        }
    }
}

/// What an agent with ten tasks of one framework says.
fn reregister(number: usize) -> link::Reregister {
    let agent_id = v1::AgentId {
        value: format!("{UUID}-S{number}"),
    };
    let framework_id = v1::FrameworkId {
        value: format!("{UUID}-0000"),
    };
    let allocated = |name, value| v1::Resource {
        allocation_info: Some(v1::resource::AllocationInfo {
            role: Some("bench".into()),
        }),
        ..scalar(name, value)
    };
    let task = |task: usize| v1::Task {
        name: format!("task-{number}-{task}"),
        task_id: v1::TaskId {
            value: format!("task-{number}-{task}"),
        },
        framework_id: framework_id.clone(),
        agent_id: agent_id.clone(),
        state: v1::TaskState::TaskRunning as i32,
        resources: vec![allocated("cpus", 0.1), allocated("mem", 32.0)],
        ..v1::Task::default()
    };
    link::Reregister {
        agent: v1::AgentInfo {
            id: Some(agent_id.clone()),
            hostname: format!("emulated-{number}"),
            ..v1::AgentInfo::default()
        },
        total: vec![scalar("cpus", 64.0), scalar("mem", 262_144.0)],
        frameworks: vec![v1::FrameworkInfo {
            id: Some(framework_id.clone()),
            user: "root".into(),
            name: "bench".into(),
            checkpoint: Some(true),
            roles: vec!["bench".into()],
            capabilities: vec![v1::framework_info::Capability {
                r#type: Some(v1::framework_info::capability::Type::MultiRole as i32),
            }],
            ..v1::FrameworkInfo::default()
        }],
        tasks: (0..TASKS_PER_AGENT).map(task).collect(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..link::Reregister::default()
    }
}
