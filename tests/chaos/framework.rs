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
use mesosd::proto::v1;

use super::guard::RUN;
use super::scheduler::{Heard, Identity, Offer, Scheduler, Task};

/// Makes a process a framework: its name, where it finds masters, `true` if its tasks outlive their
/// agents, and its directory, with `|` between them.
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
    scheduler: Scheduler,
    history: File,
    rng: Rng,
    /// How many tasks were ever asked for.
    asked: u64,
    /// What is said to be lost may come back.
    careless: bool,
    /// Those that have not ended, with their agents.
    open: BTreeMap<String, String>,
}

/// The framework's whole life; its exit code.
pub(crate) fn live(what: &str) -> i32 {
    let mut words = what.split('|');
    let mut word = || words.next().unwrap().to_owned();
    let (name, url, checkpoint, dir) = (word(), word(), word() == "true", PathBuf::from(word()));
    let identity = Identity {
        name,
        id: None,
        checkpoint,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { Framework::new(identity, &url, dir).run().await })
}

impl Framework {
    fn new(mut identity: Identity, url: &str, dir: PathBuf) -> Self {
        let past = fs::read_to_string(dir.join("history")).unwrap_or_default();
        let (mut asked, mut open) = (0, BTreeMap::new());
        // Who does not checkpoint may be told of an end that was none.
        let mut agents = BTreeMap::new();
        for line in past.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[1..] {
                ["framework", id] => identity.id = Some(id.to_owned()),
                ["asks", task, agent] => {
                    asked += 1;
                    agents.insert(task.to_owned(), agent.to_owned());
                    open.insert(task.to_owned(), agent.to_owned());
                }
                ["update", task, state, ..] if is_terminal(state) => drop(open.remove(task)),
                ["update", task, state, ..] => {
                    if let Some(agent) = agents.get(task)
                        && !identity.checkpoint
                        && state != "TASK_UNREACHABLE"
                    {
                        open.insert(task.to_owned(), agent.clone());
                    }
                }
                _ => {}
            }
        }
        let mut options = File::options();
        let options = options.create(true).append(true);
        let history = options.open(dir.join("history")).unwrap();
        Self {
            rng: Rng::seeded(asked, &identity.name),
            name: identity.name.clone(),
            careless: !identity.checkpoint,
            dir,
            scheduler: Scheduler::start(url, identity),
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
                event = self.scheduler.next() => match event {
                    Some(event) => if let Some(code) = self.event(event).await {
                        return code;
                    },
                    None => return 4,
                },
                _ = look.tick() => if self.dir.join("finish").exists() {
                    let finished = self.scheduler.teardown().await;
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
        let tasks: Vec<(String, String)> = self.open.clone().into_iter().collect();
        if !tasks.is_empty() && self.scheduler.reconcile(&tasks).await.is_ok() {
            self.note("reconciles");
        }
    }

    /// Handles an event; an exit code when it was the last one.
    async fn event(&mut self, event: Heard) -> Option<i32> {
        match event {
            Heard::Subscribed(id) => self.note(&format!("framework {id}")),
            Heard::Disconnected(reason) => self.note(&format!("disconnected {reason}")),
            Heard::Offer(offer) => self.offer(offer).await,
            Heard::Update(status) => {
                let (task, state) = (&status.task, &status.state);
                self.note(&format!(
                    "update {task} {state} {} {} {}",
                    status.reason, status.source, status.message
                ));
                if is_terminal(&status.state) {
                    self.open.remove(&status.task);
                } else if let Some(agent) = status.agent
                    && self.careless
                    && status.state != "TASK_UNREACHABLE"
                {
                    self.open.insert(status.task, agent);
                }
            }
            Heard::Ended(reason) => {
                self.note(&format!("ended {reason}"));
                return Some(3);
            }
        }
        None
    }

    async fn offer(&mut self, offer: Offer) {
        if self.is_quiet() || self.open.len() >= OPEN_MAX || room(&offer) == 0 {
            let pause = if self.is_quiet() { 60.0 } else { 0.5 };
            // It comes again if this is lost.
            let _ = self.scheduler.decline(&offer, pause).await;
            return;
        }
        let count = (1 + self.rng.below(3)).min(room(&offer));
        let tasks: Vec<Task> = (0..count).map(|_| self.task(&offer.agent)).collect();
        for task in &tasks {
            self.note(&format!("asks {} {}", task.name, offer.agent));
        }
        let launched = self.scheduler.launch(&offer, &tasks, 0.2).await;
        for Task { name, .. } in &tasks {
            match &launched {
                Ok(()) => self.note(&format!("accepted {name}")),
                Err(error) => self.note(&format!("unanswered {name} {error}")),
            }
        }
    }

    fn task(&mut self, agent: &str) -> Task {
        self.asked += 1;
        let name = format!("{}-{}", self.name, self.asked);
        self.open.insert(name.clone(), agent.to_owned());
        let length = self.rng.up_to(Duration::from_secs(6)).as_secs_f64();
        let record = self.record(&name);
        let command = format!(
            "exec 3>>'{}'; read -r stat </proc/$$/stat; echo \"start $$ $stat\" >&3; \
             sleep {length:.2}; echo \"end $$\" >&3",
            record.display()
        );
        let run = std::env::var(RUN).unwrap_or_default();
        Task {
            name,
            cpus: CPUS,
            memory: MEMORY,
            command,
            environment: vec![(RUN.to_owned(), run)],
        }
    }

    /// Where a task writes its start and its end, outside of its sandbox.
    fn record(&self, task: &str) -> PathBuf {
        records(&self.dir).join(task)
    }
}

/// How many tasks an offer has room for.
fn room(offer: &Offer) -> u64 {
    (1..=3_u32)
        .take_while(|count| {
            let count = f64::from(*count);
            offer.cpus >= CPUS * count && offer.memory >= MEMORY * count
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
