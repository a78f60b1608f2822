//! A framework of a run, a process of its own: launches short tasks, writes down what it asked for
//! before it asks, and every answer; a new process goes on where the killed one was.
//!
//! `history` in its directory is the only thing it remembers: one line per event, `milliseconds word
//! rest`. The files `quiet` and `finish` beside it are the driver's orders: launch no more, and tear down.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesosd::base::Rng;
use mesosd::frameworks::sdk::{self, Config, Event, Events, Handle};
use mesosd::proto::v1;
use mesosd::proto::v1::scheduler::call::reconcile;

use super::guard::RUN;

/// Makes a process a framework: its name, the ensemble and its directory, with `|` between them.
pub(crate) const FRAMEWORK: &str = "MESOSD_CHAOS_FRAMEWORK";
/// Tasks that have not ended.
const OPEN_MAX: usize = 8;
/// What a task needs.
const CPUS: f64 = 0.2;
const MEMORY: f64 = 32.0;
/// How often it asks for the state of what has not ended.
const RECONCILE: Duration = Duration::from_secs(2);

struct Framework {
    name: String,
    dir: PathBuf,
    handle: Handle,
    events: Events,
    history: File,
    rng: Rng,
    /// How many tasks were ever asked for.
    asked: u64,
    /// Those that have not ended, with their agents.
    open: BTreeMap<String, v1::AgentId>,
}

/// The framework's whole life; its exit code.
pub(crate) fn live(what: &str) -> i32 {
    let mut words = what.split('|');
    let mut word = || words.next().unwrap().to_owned();
    let (name, url, dir) = (word(), word(), PathBuf::from(word()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { Framework::new(name, &url, dir).run().await })
}

impl Framework {
    fn new(name: String, url: &str, dir: PathBuf) -> Self {
        let past = fs::read_to_string(dir.join("history")).unwrap_or_default();
        let mut config = Config::new(url, "root", &name);
        config.framework.failover_timeout = Some(3_600.0);
        config.framework.roles = vec![name.clone()];
        config.call_timeout = Duration::from_secs(4);
        let (mut asked, mut open) = (0, BTreeMap::new());
        for line in past.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[1..] {
                ["framework", id] => config.framework.id = Some(id.into()),
                ["asks", task, agent] => {
                    asked += 1;
                    open.insert(task.to_owned(), v1::AgentId::from(agent));
                }
                ["update", task, state, ..] if is_terminal(state) => drop(open.remove(task)),
                _ => {}
            }
        }
        let mut options = File::options();
        let options = options.create(true).append(true);
        let history = options.open(dir.join("history")).unwrap();
        let (handle, events) = sdk::start(config);
        Self {
            rng: Rng::seeded(asked, &name),
            name,
            dir,
            handle,
            events,
            history,
            asked,
            open,
        }
    }

    fn note(&mut self, line: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let line = format!("{} {}\n", now.as_millis(), line.replace('\n', " "));
        // One write: a line is there or it is not.
        self.history.write_all(line.as_bytes()).unwrap();
    }

    fn is_quiet(&self) -> bool {
        self.dir.join("quiet").exists()
    }

    async fn run(mut self) -> i32 {
        self.note("begins");
        let mut look = tokio::time::interval(Duration::from_millis(100));
        let mut reconcile = tokio::time::interval(RECONCILE);
        loop {
            tokio::select! {
                event = self.events.next() => match event {
                    Some(event) => if let Some(code) = self.event(event).await {
                        return code;
                    },
                    None => return 4,
                },
                _ = look.tick() => if self.dir.join("finish").exists() {
                    let finished = self.handle.teardown().await;
                    self.note(&format!("finishes {finished:?}"));
                    if finished.is_ok() {
                        return 0;
                    }
                },
                _ = reconcile.tick() => self.reconcile().await,
            }
        }
    }

    async fn reconcile(&mut self) {
        let tasks = self.open.iter().map(|(task, agent)| reconcile::Task {
            task_id: task.as_str().into(),
            agent_id: Some(agent.clone()),
        });
        let tasks: Vec<_> = tasks.collect();
        if !tasks.is_empty() && self.handle.reconcile(tasks).await.is_ok() {
            self.note("reconciles");
        }
    }

    /// Handles an event; an exit code when it was the last one.
    async fn event(&mut self, event: Event) -> Option<i32> {
        match event {
            Event::Subscribed { framework_id, .. } => {
                self.note(&format!("framework {}", framework_id.value));
            }
            Event::Disconnected { reason } => self.note(&format!("disconnected {reason}")),
            Event::Offers(offers) => {
                for offer in offers {
                    self.offer(offer).await;
                }
            }
            Event::Update(status) => {
                let state = status.state().as_str_name();
                let task = &status.task_id.value;
                self.note(&format!(
                    "update {task} {state} {} {} {}",
                    status.reason().as_str_name(),
                    status.source().as_str_name(),
                    status.message()
                ));
                if is_terminal(state) {
                    self.open.remove(&status.task_id.value);
                }
            }
            Event::Ended { reason } => {
                self.note(&format!("ended {reason}"));
                return Some(3);
            }
            _ => {}
        }
        None
    }

    async fn offer(&mut self, offer: v1::Offer) {
        let filters = |seconds| {
            Some(v1::Filters {
                refuse_seconds: Some(seconds),
            })
        };
        if self.is_quiet() || self.open.len() >= OPEN_MAX || room(&offer) == 0 {
            let pause = if self.is_quiet() { 60.0 } else { 0.5 };
            // It comes again if this is lost.
            let _ = self.handle.decline(vec![offer.id], filters(pause)).await;
            return;
        }
        let count = (1 + self.rng.below(3)).min(room(&offer));
        let tasks: Vec<v1::TaskInfo> = (0..count).map(|_| self.task(&offer.agent_id)).collect();
        for task in &tasks {
            let (task, agent) = (&task.task_id.value, &offer.agent_id.value);
            self.note(&format!("asks {task} {agent}"));
        }
        let names: Vec<String> = tasks
            .iter()
            .map(|task| task.task_id.value.clone())
            .collect();
        let launched = self
            .handle
            .launch(vec![offer.id], tasks, filters(0.2))
            .await;
        for name in names {
            match &launched {
                Ok(()) => self.note(&format!("accepted {name}")),
                Err(error) => self.note(&format!("unanswered {name} {error}")),
            }
        }
    }

    fn task(&mut self, agent: &v1::AgentId) -> v1::TaskInfo {
        self.asked += 1;
        let name = format!("{}-{}", self.name, self.asked);
        self.open.insert(name.clone(), agent.clone());
        let length = self.rng.up_to(Duration::from_secs(6)).as_secs_f64();
        let record = self.record(&name);
        let command = format!(
            "exec 3>>'{}'; read -r stat </proc/$$/stat; echo \"start $$ $stat\" >&3; \
             sleep {length:.2}; echo \"end $$\" >&3",
            record.display()
        );
        let variable = v1::environment::Variable {
            name: RUN.to_owned(),
            value: std::env::var(RUN).ok(),
            ..Default::default()
        };
        v1::TaskInfo {
            name: name.clone(),
            task_id: name.as_str().into(),
            agent_id: agent.clone(),
            resources: vec![sdk::scalar("cpus", CPUS), sdk::scalar("mem", MEMORY)],
            command: Some(v1::CommandInfo {
                value: Some(command),
                environment: Some(v1::Environment {
                    variables: vec![variable],
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// Where a task writes its start and its end, outside of its sandbox.
    fn record(&self, task: &str) -> PathBuf {
        records(&self.dir).join(task)
    }
}

/// How many tasks an offer has room for.
fn room(offer: &v1::Offer) -> u64 {
    let amount = |name: &str| {
        let named = offer.resources.iter().filter(|part| part.name == name);
        let scalars = named.filter_map(|part| part.scalar.as_ref());
        scalars.map(|scalar| scalar.value).sum::<f64>()
    };
    (1..=3_u32)
        .take_while(|count| {
            let count = f64::from(*count);
            amount("cpus") >= CPUS * count && amount("mem") >= MEMORY * count
        })
        .count() as u64
}

/// The folder of the tasks' own records.
pub(crate) fn records(framework: &Path) -> PathBuf {
    framework.join("records")
}

pub(crate) fn is_terminal(state: &str) -> bool {
    v1::TaskState::from_str_name(state).is_some_and(v1::TaskState::is_terminal)
}
