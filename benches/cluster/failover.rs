//! A change of the leading master under 10,000 agents with ten tasks each: two masters and a real
//! ZooKeeper, the agents emulated in a process of their own, each with a connection of its own.
//!
//! Agents do as real ones do: they learn the leader from ZooKeeper, open their link, wait a random part of
//! half a second (`--registration_backoff_factor`) and say all that they run. They count the answers
//! themselves, in a file: asking the master for its metrics often would be a part of what is measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
/// The longest first wait of an agent: half of `--registration_backoff_factor`.
const FIRST_WAIT: Duration = Duration::from_millis(500);
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
    let answers = dir.path().join("answers");
    let mut emulator = Command::new("sh")
        .args(["-c", "ulimit -n $(ulimit -Hn); exec \"$@\"", "sh"])
        .arg(std::env::current_exe()?)
        .args(["emulate-elected", &url, &agents.to_string()])
        .arg(&answers)
        .spawn()?;
    let watch = Watch {
        agents,
        answers,
        emulator: emulator.id(),
    };
    let measured = async {
        watch.all_there(&first).await?;
        watch.tell("admission of all agents", begin)?;
        let resident = proc_kib(first.child.id(), "status", "VmRSS") as f64 / 1024.0;
        let what = "resident, master with all of them";
        report_value("failover", what, resident, "MiB")?;

        let begin = Instant::now();
        first.child.kill()?;
        first.child.wait()?;
        wait_until("another leader", LIMIT, || is_elected(&second)).await?;
        watch.tell("leader killed to elected (session 4 s)", begin)?;
        let elected = Instant::now();
        watch.all_there(&second).await?;
        watch.tell("elected to all agents and tasks back", elected)?;
        watch.tell("leader killed to all agents and tasks back", begin)?;

        first = start("first")?;
        tokio::time::sleep(SESSION).await;
        let begin = Instant::now();
        let pid = second.child.id().to_string();
        Command::new("kill").arg(pid).status()?;
        wait_until("the next leader", LIMIT, || is_elected(&first)).await?;
        watch.tell("planned handover to elected", begin)?;
        watch.all_there(&first).await?;
        watch.tell("planned handover to all agents and tasks back", begin)
    };
    let measured = measured.await;
    emulator.kill()?;
    emulator.wait()?;
    measured
}

/// Who is waited for.
struct Watch {
    agents: usize,
    /// Where the emulator says how many of its agents have their answer, and from whom.
    answers: PathBuf,
    emulator: u32,
}

impl Watch {
    fn tell(&self, what: &str, begin: Instant) -> Result<(), Failure> {
        let seconds = begin.elapsed().as_secs_f64();
        let what = format!("{} agents: {what}", self.agents);
        report_value("failover", &what, seconds, "s")
    }

    /// Waits for all of them, and reports how long others waited meanwhile who asked `/health`, and who
    /// had the processors.
    async fn all_there(&self, master: &Daemon) -> Result<(), Failure> {
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
        let pids = [master.child.id(), self.emulator];
        let before = pids.map(processor_seconds);
        let wanted = format!("{address} {}", self.agents);
        let answered = || std::fs::read_to_string(&self.answers).is_ok_and(|told| told == wanted);
        let there = wait_until("an answer for every agent", LIMIT, answered).await;
        let after = pids.map(processor_seconds);
        stop.store(true, Ordering::Relaxed);
        let times = others.join();
        let times = times.map_err(|_| "the poller of /health panicked")?;
        there?;
        let parameters = format!("{} agents: /health while they come", self.agents);
        let shown = super::results::times("failover", &parameters, None, &times)?;
        println!("failover   {parameters:<46} {shown}");
        for (who, (before, after)) in ["master", "emulator"].iter().zip(before.iter().zip(after)) {
            let what = format!("{} agents: processor, {who}", self.agents);
            report_value("failover", &what, after - before, "s")?;
        }
        self.verify(master)
    }

    /// What the agents believe is what the master says.
    fn verify(&self, master: &Daemon) -> Result<(), Failure> {
        let tasks = self.agents * TASKS_PER_AGENT;
        let metrics = get(master.address, "/metrics/snapshot").unwrap_or_default();
        for wanted in [
            format!("\"master/slaves_active\":{}.0", self.agents),
            format!("\"master/tasks_running\":{tasks}.0"),
        ] {
            if !metrics.contains(&wanted) {
                return Err(format!("not in the master's metrics: {wanted}").into());
            }
        }
        Ok(())
    }
}

/// What a process has used of the processors, in user and kernel.
fn processor_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let (_, rest) = stat.rsplit_once(')').unwrap_or_default();
    let ticks = rest.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

/// Agents that come back to every leader, until the process is killed.
pub(super) async fn emulate(url: &str, agents: usize, answers: &Path) -> Result<(), Failure> {
    let url: ZooKeeperUrl = url.parse()?;
    let masters = addresses(follow(Access::new(url, Duration::from_secs(10))));
    let answered = Answered::default();
    let mut all = tokio::task::JoinSet::new();
    for number in 0..agents {
        let (masters, answered) = (masters.clone(), answered.clone());
        all.spawn(async move {
            let mut agent = Emulated {
                number,
                masters,
                answered,
                rng: Rng::seeded(number as u64, "emulated agent"),
            };
            loop {
                if agent.attempt().await.is_err() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        });
    }
    loop {
        tokio::select! {
            // None of them ends by itself: the first that does has panicked.
            Some(ended) = all.join_next() => return Ok(ended?),
            () = tokio::time::sleep(Duration::from_millis(20)) => {
                if let Some(master) = masters.borrow().clone() {
                    let new = answers.with_extension("new");
                    std::fs::write(&new, format!("{master} {}", answered.by(&master)))?;
                    std::fs::rename(new, answers)?;
                }
            }
        }
    }
}

/// How many agents have an open link that each master has answered.
#[derive(Clone, Default)]
struct Answered(Arc<Mutex<BTreeMap<String, usize>>>);

impl Answered {
    fn by(&self, master: &str) -> usize {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(master).copied().unwrap_or(0)
    }

    fn answered(&self, master: &str) -> Open {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(master.to_owned()).or_default() += 1;
        Open(self.clone(), master.to_owned())
    }
}

/// A link that was answered, until its end.
struct Open(Answered, String);

impl Drop for Open {
    fn drop(&mut self) {
        let mut counts = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.entry(self.1.clone()).and_modify(|count| *count -= 1);
    }
}

struct Emulated {
    number: usize,
    masters: watch::Receiver<Option<String>>,
    answered: Answered,
    rng: Rng,
}

impl Emulated {
    /// One link from its start to its end, or until another master leads.
    async fn attempt(&mut self) -> Result<(), Failure> {
        let mut masters = self.masters.clone();
        let known = masters.wait_for(Option::is_some).await?.clone();
        let Some(address) = known else { return Ok(()) };
        tokio::select! {
            ended = self.link(&address) => ended,
            moved = masters.wait_for(|master| *master != Some(address.clone()) && master.is_some()) => {
                moved?;
                Ok(())
            }
        }
    }

    async fn link(&mut self, address: &str) -> Result<(), Failure> {
        use link::from_agent::Message as Say;
        use link::from_master::Message as Hear;
        let channel = Channel::from_shared(format!("http://{address}"))?
            .connect()
            .await?;
        // Messages are large, and a queue has room for 32 of them from its start.
        let (say, said) = mpsc::channel::<Box<link::FromAgent>>(16);
        let send = |message| {
            Box::new(link::FromAgent {
                message: Some(message),
            })
        };
        let mut heard = AgentLinkClient::new(channel)
            .connect(ReceiverStream::new(said).map(|message| *message))
            .await?
            .into_inner();
        tokio::time::sleep(self.rng.up_to(FIRST_WAIT)).await;
        say.send(send(Say::Reregister(reregister(self.number))))
            .await?;
        let mut open = None;
        while let Some(message) = heard.next().await {
            match message?.message {
                Some(Hear::Reregistered(_)) => {
                    open.get_or_insert_with(|| self.answered.answered(address));
                }
                Some(Hear::Ping(ping)) => {
                    let sequence = ping.sequence;
                    say.send(send(Say::Pong(link::Pong { sequence }))).await?;
                }
                _ => {}
            }
        }
        Err("the link has ended".into())
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
