//! Shell: the loop around contender and detector: opens sessions, asks ZooKeeper what they want asked,
//! and tells who leads.
//!
//! One task per process. A session that is over is replaced by a new one for as long as the task lives.
//! Sessions live on a thread of their own: ten thousand agents that come back at once must not delay the
//! heartbeats of the master that they come to, or it loses its leadership to the next one, and they start
//! again.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::base::{Instant, Rng};
use crate::proto::v1;
use crate::runtime::{Lease, SystemClock};

use super::contender::{self, Contender};
use super::detector::{self, Detector};
use super::info;
use super::session::{Change, Ensemble, Session, ZooKeeperError};

/// First and longest pause between attempts to open a session; a random half is taken off.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a withdrawn candidate may take to be gone.
const WITHDRAW_MAX: Duration = Duration::from_secs(2);
/// How long a leader that resigns tries to delete its znode, before only the end of its session does.
const DELETE_MAX: Duration = Duration::from_millis(500);

/// Where sessions live, as long as the process; none if the system had no thread to give.
static APART: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).thread_name("zookeeper");
    let built = builder.enable_all().build();
    let told = built.inspect_err(|error| tracing::warn!("no thread for ZooKeeper: {error}"));
    told.ok()
});

/// Spawns where nothing else runs.
fn spawn_apart(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    match &*APART {
        Some(runtime) => runtime.spawn(task),
        None => tokio::spawn(task),
    }
}

/// The present leader, as far as is known.
pub type Leader = Option<Arc<v1::MasterInfo>>;

/// Follows the leader. Dropping it ends the session.
#[derive(Debug)]
pub struct Following {
    /// The leader; nobody at first.
    pub leaders: watch::Receiver<Leader>,
    task: JoinHandle<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One leadership of this master, from its election to its end.
#[derive(Clone, Debug)]
pub struct Term {
    /// Counts the leaderships of this process.
    pub number: u64,
    /// Ends with the leadership, at the latest.
    pub lease: Lease,
    /// The session that the znode belongs to: what it writes, a later leader's session does not undo.
    pub session: Session,
    /// The path of the znode that made it the leader.
    pub node: String,
}

/// Where this master stands.
#[derive(Clone, Debug)]
pub enum Standing {
    /// Another master leads, or nobody.
    Standby(Leader),
    /// This one was elected.
    Elected(Term),
}

/// A master that contends.
#[derive(Debug)]
pub struct Contest {
    /// Where it stands, every time that changes.
    pub standings: watch::Receiver<Standing>,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Command {
    /// Give up the leadership and contend anew, behind all others.
    Resign,
    /// Leave for good.
    Withdraw,
}

impl Contest {
    /// Gives the leadership of this term up, if it is still the present one, and contends anew.
    pub async fn resign(&self) {
        // A task that has ended leads nothing.
        let _ = self.commands.send(Command::Resign).await;
    }

    /// Gives up the leadership or the candidacy for good; the others see it at once.
    pub async fn withdraw(mut self) {
        let _ = self.commands.send(Command::Withdraw).await;
        if timeout(WITHDRAW_MAX, &mut self.task).await.is_err() {
            tracing::warn!("ZooKeeper does not answer: the others wait for the session to expire");
        }
    }
}

impl Drop for Contest {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts to follow the leader.
#[must_use]
pub fn follow(ensemble: Ensemble) -> Following {
    let (told, leaders) = watch::channel(None);
    let driver = Driver::new(ensemble, Some(told), None);
    let task = spawn_apart(driver.run(None));
    Following { leaders, task }
}

/// The leader's `host:port`, every time that it changes, for as long as somebody listens.
#[must_use]
pub fn addresses(following: Following) -> watch::Receiver<Option<String>> {
    let (told, addresses) = watch::channel(None);
    tokio::spawn(async move {
        let mut leaders = following.leaders.clone();
        loop {
            let leader = leaders.borrow_and_update().clone();
            let address = leader.as_deref().and_then(info::address);
            told.send_if_modified(|known| {
                let changed = *known != address;
                *known = address;
                changed
            });
            tokio::select! {
                changed = leaders.changed() => if changed.is_err() { return },
                () = told.closed() => return,
            }
        }
    });
    addresses
}

/// Starts to contend; `master` is what the znode says.
#[must_use]
pub fn contend(ensemble: Ensemble, master: &v1::MasterInfo) -> Contest {
    let (told, standings) = watch::channel(Standing::Standby(None));
    let (commands, incoming) = mpsc::channel(4);
    let candidate = Candidate {
        contender: Contender::new(),
        content: info::write(master),
        address: info::address(master),
        told,
        term: None,
        terms: 0,
        leader: None,
    };
    let driver = Driver::new(ensemble, None, Some(candidate));
    let task = spawn_apart(driver.run(Some(incoming)));
    Contest {
        standings,
        commands,
        task,
    }
}

/// What is asked of ZooKeeper, and its answer.
type Question = Pin<Box<dyn Future<Output = Happened> + Send>>;

/// What the loop hears of.
enum Happened {
    Detector(detector::Event),
    Contender(contender::Event),
    /// A listing has an answer, and maybe a watch.
    Listed(Vec<String>, Instant, super::session::Watch),
    /// No answer, which is no news.
    Nothing,
}

/// A master's part.
struct Candidate {
    contender: Contender,
    content: Vec<u8>,
    address: Option<String>,
    told: watch::Sender<Standing>,
    term: Option<Term>,
    terms: u64,
    leader: Leader,
}

impl Candidate {
    fn tell(&self) {
        let standing = match &self.term {
            Some(term) => Standing::Elected(term.clone()),
            None => Standing::Standby(self.known()),
        };
        self.told.send_replace(standing);
    }

    /// The leader, unless it is a znode that an earlier life of ours has left behind.
    fn known(&self) -> Leader {
        let other = |info: &Arc<v1::MasterInfo>| info::address(info) != self.address;
        self.leader.clone().filter(other)
    }
}

struct Driver {
    ensemble: Ensemble,
    path: String,
    detector: Detector,
    candidate: Option<Candidate>,
    leaders: Option<watch::Sender<Leader>>,
    questions: FuturesUnordered<Question>,
    watch: Option<Question>,
    timers: BTreeMap<Timer, Instant>,
    /// The session is to be closed.
    close: bool,
    rng: Rng,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Detector,
    Contender(contender::Timer),
}

impl Driver {
    fn new(
        ensemble: Ensemble,
        leaders: Option<watch::Sender<Leader>>,
        candidate: Option<Candidate>,
    ) -> Self {
        let (seed, _) = uuid::Uuid::new_v4().as_u64_pair();
        Self {
            path: ensemble.url.path().to_owned(),
            ensemble,
            detector: Detector::new(),
            candidate,
            leaders,
            questions: FuturesUnordered::new(),
            watch: None,
            timers: BTreeMap::new(),
            close: false,
            rng: Rng::seeded(seed, "election"),
        }
    }

    async fn run(mut self, mut commands: Option<mpsc::Receiver<Command>>) {
        let mut pause = PAUSE_MIN;
        let mut reported = None;
        loop {
            let opened = tokio::select! {
                opened = open(self.ensemble.clone(), self.candidate.is_some()) => opened,
                command = next_command(&mut commands) => match command {
                    Command::Resign => continue,
                    Command::Withdraw => return,
                },
            };
            match opened {
                Ok(session) => {
                    (pause, reported) = (PAUSE_MIN, None);
                    let withdrawn = self.serve(&session, &mut commands).await;
                    session.close().await;
                    if withdrawn {
                        return;
                    }
                }
                Err(error) => {
                    // One line per trouble, not one per attempt.
                    let line = format!("{}: {error}", self.ensemble.url);
                    if reported.as_ref() != Some(&line) {
                        tracing::warn!("{line}; trying again");
                        reported = Some(line);
                    }
                }
            }
            let wait = pause / 2 + self.rng.up_to(pause / 2);
            pause = (pause * 2).min(PAUSE_MAX);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                command = next_command(&mut commands) => if matches!(command, Command::Withdraw) {
                    return;
                },
            }
        }
    }

    /// One session from its start to its end; true when the candidate has withdrawn.
    async fn serve(
        &mut self,
        session: &Session,
        commands: &mut Option<mpsc::Receiver<Command>>,
    ) -> bool {
        let timeout = session.timeout();
        tracing::info!(zookeeper = %self.ensemble.url, ?timeout, "a session with ZooKeeper");
        self.detect(session, detector::Event::Opened);
        self.contend(session, contender::Event::Opened { timeout });
        let mut withdrawn = false;
        while !self.close {
            let deadline = self.timers.values().min().copied();
            tokio::select! {
                Some(happened) = self.questions.next() => self.happened(session, happened),
                happened = watched(&mut self.watch) => {
                    self.watch = None;
                    self.happened(session, happened);
                }
                () = SystemClock.sleep_until(deadline) => self.fire(session),
                () = session.ended() => {
                    tracing::warn!("the session with ZooKeeper has ended");
                    break;
                }
                command = next_command(commands) => {
                    withdrawn = matches!(command, Command::Withdraw);
                    let term = self.candidate.as_ref().and_then(|own| own.term.as_ref());
                    let node = term.map(|term| term.node.clone());
                    self.contend(session, contender::Event::Resign);
                    // Others hold the session, too: the next leader does not wait for them.
                    if let Some(node) = node {
                        delete(session, node).await;
                    }
                    self.close = true;
                }
            }
        }
        self.contend(session, contender::Event::Ended);
        self.detect(session, detector::Event::Ended);
        // They hold the session.
        self.questions = FuturesUnordered::new();
        self.watch = None;
        self.timers.clear();
        self.close = false;
        withdrawn
    }

    fn fire(&mut self, session: &Session) {
        let now = SystemClock.now().mono;
        let due: Vec<Timer> = self
            .timers
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(timer, _)| *timer)
            .collect();
        for timer in due {
            self.timers.remove(&timer);
            match timer {
                Timer::Detector => self.detect(session, detector::Event::TimerFired),
                Timer::Contender(timer) => {
                    self.contend(session, contender::Event::TimerFired(timer));
                }
            }
        }
    }

    fn happened(&mut self, session: &Session, happened: Happened) {
        match happened {
            Happened::Detector(event) => self.detect(session, event),
            Happened::Contender(event) => self.contend(session, event),
            Happened::Nothing => {}
            Happened::Listed(nodes, asked, watch) => {
                self.watch = Some(Box::pin(async move {
                    watch.fired().await;
                    Happened::Detector(detector::Event::Changed)
                }));
                let event = contender::Event::Listed {
                    nodes: nodes.clone(),
                    asked,
                };
                self.contend(session, event);
                self.detect(session, detector::Event::Listed(nodes));
            }
        }
    }

    fn detect(&mut self, session: &Session, event: detector::Event) {
        let mut effects = Vec::new();
        self.detector.step(SystemClock.now(), event, &mut effects);
        for effect in effects {
            match effect {
                detector::Effect::List => self.ask(list(session.clone(), self.path.clone())),
                detector::Effect::Read(name) => {
                    self.ask(read(session.clone(), self.path.clone(), name));
                }
                detector::Effect::Leader(leader) => self.leader(leader),
                detector::Effect::Unreadable(error) => tracing::warn!("{error}"),
                detector::Effect::SetTimer(at) => drop(self.timers.insert(Timer::Detector, at)),
            }
        }
    }

    fn ask(&mut self, question: impl Future<Output = Happened> + Send + 'static) {
        self.questions.push(Box::pin(question));
    }

    fn leader(&mut self, leader: Leader) {
        let shown = leader.as_deref().and_then(info::address);
        tracing::info!(
            leader = shown.as_deref().unwrap_or("none"),
            "the leading master"
        );
        if let Some(leaders) = &self.leaders {
            leaders.send_replace(leader.clone());
        }
        if let Some(candidate) = &mut self.candidate {
            candidate.leader = leader;
            if candidate.term.is_none() {
                candidate.tell();
            }
        }
    }

    fn contend(&mut self, session: &Session, event: contender::Event) {
        let mut effects = Vec::new();
        let Some(candidate) = &mut self.candidate else {
            return;
        };
        candidate
            .contender
            .step(SystemClock.now(), event, &mut effects);
        for effect in effects {
            self.perform(session, effect);
        }
    }

    fn perform(&mut self, session: &Session, effect: contender::Effect) {
        use contender::Effect;
        let Some(candidate) = &mut self.candidate else {
            return;
        };
        let (session, path) = (session.clone(), self.path.clone());
        match effect {
            Effect::Enter => {
                let content = candidate.content.clone();
                self.ask(enter(session, path, content));
            }
            Effect::Find => self.ask(find(session, path)),
            Effect::List => self.detect(&session, detector::Event::Refresh),
            Effect::Beat => self.ask(beat(session, path)),
            Effect::Lead { node, until } => {
                candidate.terms += 1;
                tracing::info!(node, "elected");
                candidate.term = Some(Term {
                    number: candidate.terms,
                    lease: Lease::until(until),
                    session,
                    node: format!("{path}/{node}"),
                });
                candidate.tell();
            }
            Effect::Extend { until } => {
                if let Some(term) = &candidate.term {
                    term.lease.extend(until);
                }
            }
            Effect::StepDown(why) => {
                if let Some(term) = candidate.term.take() {
                    term.lease.revoke();
                    tracing::warn!("this master does not lead any more: {why}");
                }
                candidate.tell();
            }
            Effect::CloseSession => self.close = true,
            Effect::SetTimer(timer, at) => {
                self.timers.insert(Timer::Contender(timer), at);
            }
            Effect::CancelTimer(timer) => drop(self.timers.remove(&Timer::Contender(timer))),
        }
    }
}

/// Opens a session; a candidate needs the path to be there.
async fn open(ensemble: Ensemble, contends: bool) -> Result<Session, ZooKeeperError> {
    let session = Session::open(&ensemble).await?;
    if contends {
        session.make_path(ensemble.url.path()).await?;
    }
    Ok(session)
}

async fn next_command(commands: &mut Option<mpsc::Receiver<Command>>) -> Command {
    match commands {
        // Whoever could say something has gone: nobody needs the result.
        Some(commands) => commands.recv().await.unwrap_or(Command::Withdraw),
        None => std::future::pending().await,
    }
}

async fn watched(watch: &mut Option<Question>) -> Happened {
    match watch {
        Some(watch) => watch.await,
        None => std::future::pending().await,
    }
}

async fn list(session: Session, path: String) -> Happened {
    let asked = SystemClock.now().mono;
    match session.list_and_watch(&path).await {
        Ok((names, watch)) => Happened::Listed(names, asked, watch),
        Err(_) => Happened::Detector(detector::Event::ListFailed),
    }
}

async fn read(session: Session, path: String, name: String) -> Happened {
    let content = session.read(&format!("{path}/{name}")).await;
    Happened::Detector(match content {
        Ok(content) => detector::Event::Read(name, content.map(|content| content.data)),
        Err(_) => detector::Event::ReadFailed(name),
    })
}

async fn enter(session: Session, path: String, content: Vec<u8>) -> Happened {
    Happened::Contender(match session.enter(&path, &content).await {
        Ok(node) => contender::Event::Entered(node),
        Err(error) if error.is_lost() => contender::Event::EnterLost,
        Err(error) => {
            tracing::warn!("this master cannot contend: {error}");
            contender::Event::EnterRefused
        }
    })
}

/// Looks for the znode of this session that a lost answer may have made.
async fn find(session: Session, path: String) -> Happened {
    let found = async {
        session.sync(&path).await?;
        for name in session.list(&path).await? {
            if super::first([name.as_str()]).is_some()
                && let Some(content) = session.read(&format!("{path}/{name}")).await?
                && content.owner == Some(session.id())
            {
                return Ok(Some(name));
            }
        }
        Ok::<_, ZooKeeperError>(None)
    };
    Happened::Contender(match found.await {
        Ok(found) => contender::Event::Found(found),
        Err(_) => contender::Event::FindFailed,
    })
}

/// Deletes the znode of a leader that promises nothing any more; the end of its session does it otherwise.
async fn delete(session: &Session, node: String) {
    let change = [Change::Delete(node)];
    match timeout(DELETE_MAX, session.transact(&change)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the znode of the former leader stays for now"),
        Err(_) => tracing::debug!("the znode of the former leader stays for now"),
    }
}

async fn beat(session: Session, path: String) -> Happened {
    let sent = SystemClock.now().mono;
    let path = if path.is_empty() { "/" } else { &path };
    match session.sync(path).await {
        Ok(()) => Happened::Contender(contender::Event::Answered { sent }),
        // The lease knows what silence means.
        Err(_) => Happened::Nothing,
    }
}
