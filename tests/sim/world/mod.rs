//! The world: real master and agent cores, model frameworks and containers, links and disks, in virtual
//! time. The next happening is the one with the smallest (time, number); everything else is drawn from
//! the seed, so one seed is one history.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

use mesosd::agent::{self, Agent, AgentConfig, Ended, ExecutorCall};
use mesosd::base::{
    AgentId, ConnectionId, ContainerId, FrameworkId, Instant, Now, RequestId, Rng, TaskId, Uuid,
};
use mesosd::master::{self, Master, MasterConfig, SchedulerCall};
use mesosd::proto::v1::TaskState;
use mesosd::proto::{link, v1};
use mesosd::testing::planted::PlantedBugs;

use crate::checkers::Checkers;
use crate::clock::Clock;
use crate::containers::Container;
use crate::disk::Disk;
use crate::ensemble::{Answer, Ensemble, Question, Storing};
use crate::options::Options;
use crate::scheduler::{Deed, Scheduler};

mod agents;
mod containers;
mod election;
mod ending;
mod faults;
mod frameworks;
mod master_node;
mod operators;
mod registrar;

use election::{Client, ClientTimer};
use registrar::Term;

/// Virtual nanoseconds.
type Time = u64;

/// How many happenings pass from one look at the cores' invariants to the next.
const INVARIANTS: u64 = 7;

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

/// Something that will happen.
enum Happening {
    /// A master's mailbox hands an event to the core of this incarnation.
    Master(usize, u32, Box<master::Event>),
    MasterTimer(usize, u32, master::TimerKey, u64),
    /// A master's process starts again.
    MasterStarts(usize),
    /// A leadership that has believed on notices its end.
    Deposed(usize, u64),
    /// A master whose core saw the end of its lease looks whether the election did.
    LeadsNoMore(usize, u64),
    /// A leadership asks about the registry, after a pause.
    AskRegistry(usize, u64, Storing),
    /// A question arrives at the ensemble: (client, its life, its session).
    ToEnsemble(usize, u64, u64, Box<Question>),
    /// An answer arrives at a client.
    ToClient(usize, u64, Answer),
    ClientTimer(usize, u64, ClientTimer, u64),
    /// A client tries to open a session again.
    Reopen(usize, u64),
    EnsembleTicks,
    /// An operator decides something.
    Operator,
    /// An operator takes back what operators have decided.
    OperatorRepairs,
    Agent(usize, u32, agent::Event),
    AgentTimer(usize, u32, agent::TimerKey, u64),
    /// A checkpoint reaches the disk.
    Write(
        usize,
        u32,
        agent::checkpoint::CheckpointToken,
        agent::checkpoint::Record,
    ),
    /// An agent's process starts again.
    AgentStarts(usize, u32),
    /// An agent's driver tries to reach the master.
    AgentConnects(usize, u32),
    /// A message of a link arrives at an agent.
    ToAgent(ConnectionId, Box<link::from_master::Message>),
    /// A message of a link arrives at the master.
    ToMaster(ConnectionId, Box<link::from_agent::Message>),
    /// An event arrives at a framework.
    ToScheduler(ConnectionId, Box<v1::scheduler::Event>),
    /// One side of a link learns that it is gone.
    MasterLosesAgent(ConnectionId),
    AgentLosesMaster(ConnectionId),
    MasterLosesScheduler(ConnectionId),
    SchedulerLosesMaster(ConnectionId),
    SchedulerConnects(usize, u32),
    SchedulerThinks(usize),
    SchedulerCalls(usize, u32, Box<SchedulerCall>),
    /// A container's supervisor starts. Containers know their machine's boot, not the agent's life.
    ContainerStarts(usize, u32, ContainerId),
    ExecutorConnects(usize, u32, ContainerId),
    ExecutorHears(usize, u32, ContainerId, Box<v1::executor::Event>),
    TaskBecomes(usize, u32, ContainerId, TaskId, TaskState),
    ContainerEnds(usize, u32, ContainerId, Ended),
    /// The world considers its faults.
    Fault,
}

struct Due {
    at: Time,
    number: u64,
    what: Happening,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

struct MasterNode {
    /// While it leads.
    core: Option<Master>,
    /// Counts cores: what was meant for an earlier one is void.
    incarnation: u32,
    timers: BTreeMap<master::TimerKey, u64>,
    clock: Clock,
    /// The process runs.
    up: bool,
    /// It stands still until then.
    frozen_until: Time,
    term: Option<Term>,
    epoch: u64,
    watch: LeadershipWatch,
}

/// What is judged over one leadership.
#[derive(Default)]
struct LeadershipWatch {
    /// When it began, on the master's clock.
    began: Instant,
    /// Frameworks that have subscribed since.
    subscribed: BTreeSet<FrameworkId>,
    /// Frameworks that were torn down since.
    torn_down: BTreeSet<FrameworkId>,
    /// Agents that must be back before anything is offered.
    held_for: usize,
    /// Agents that are back.
    back: BTreeSet<AgentId>,
}

struct AgentNode {
    core: Option<Agent>,
    incarnation: u32,
    timers: BTreeMap<agent::TimerKey, u64>,
    disk: Disk,
    clock: Clock,
    frozen_until: Time,
    /// No record fits on the disk until then.
    full_until: Time,
    /// No master can be reached until then.
    cut_until: Time,
    containers: BTreeMap<ContainerId, Container>,
    link: Option<ConnectionId>,
    boot: u32,
    /// Checkpoints and executor messages keep their order.
    disk_free_at: Time,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Peer {
    Agent(usize),
    Scheduler(usize),
}

/// A connection between the master and a peer.
struct Link {
    peer: Peer,
    master: usize,
    /// Of the leadership on the master's side.
    epoch: u64,
    up: bool,
    /// When the last message of each direction arrives: links keep their order.
    to_peer_at: Time,
    to_master_at: Time,
}

/// One history.
pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) now: Time,
    number: u64,
    queue: BinaryHeap<Reverse<Due>>,
    masters: Vec<MasterNode>,
    clients: Vec<Client>,
    ensemble: Ensemble,
    agents: Vec<AgentNode>,
    pub(crate) schedulers: Vec<Scheduler>,
    links: BTreeMap<ConnectionId, Link>,
    requests: BTreeMap<RequestId, &'static str>,
    /// What operators wait for.
    orders: BTreeMap<RequestId, master::OperatorCall>,
    next_id: u64,
    network: Rng,
    faults: Rng,
    life: Rng,
    operators: Rng,
    faults_on: bool,
    pub(crate) checkers: Checkers,
    bugs: PlantedBugs,
    trace: VecDeque<String>,
    trace_lines: u64,
    pub(crate) steps: u64,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl World {
    /// A cluster about to start; a trace of so many lines is kept.
    pub(crate) fn new(options: Options, bugs: PlantedBugs, trace_lines: u64) -> Self {
        let seed = Options::entropy(options.seed);
        let mut world = Self {
            now: 0,
            number: 0,
            queue: BinaryHeap::new(),
            masters: Vec::new(),
            clients: Vec::new(),
            ensemble: Ensemble::new(options.session),
            agents: Vec::new(),
            schedulers: (0..options.schedulers)
                .map(|index| Scheduler::new(seed, index))
                .collect(),
            links: BTreeMap::new(),
            requests: BTreeMap::new(),
            orders: BTreeMap::new(),
            next_id: 0,
            network: Rng::seeded(seed, "network"),
            faults: Rng::seeded(seed, "faults"),
            life: Rng::seeded(seed, "life"),
            operators: Rng::seeded(seed, "operators"),
            faults_on: true,
            checkers: Checkers::default(),
            bugs,
            trace: VecDeque::new(),
            trace_lines,
            steps: 0,
            counts: BTreeMap::new(),
            options,
        };
        let processes = world.options.masters + world.options.agents + world.options.schedulers;
        world.clients = (0..processes).map(|_| Client::new()).collect();
        let mut clocks = Rng::seeded(seed, "clocks");
        let mut clock = || Clock {
            drift: i64::try_from(clocks.below(1_001)).unwrap() - 500,
            wall: i64::try_from(clocks.below(2_000_000_000)).unwrap(),
        };
        for _ in 0..world.options.masters {
            world.masters.push(MasterNode {
                core: None,
                incarnation: 0,
                timers: BTreeMap::new(),
                clock: clock(),
                up: false,
                frozen_until: 0,
                term: None,
                epoch: 0,
                watch: LeadershipWatch::default(),
            });
        }
        for _ in 0..world.options.agents {
            world.agents.push(AgentNode {
                core: None,
                incarnation: 0,
                timers: BTreeMap::new(),
                disk: Disk::default(),
                clock: clock(),
                frozen_until: 0,
                full_until: 0,
                cut_until: 0,
                containers: BTreeMap::new(),
                link: None,
                boot: 0,
                disk_free_at: 0,
            });
        }
        world.begin();
        world
    }

    fn begin(&mut self) {
        for master in 0..self.masters.len() {
            self.start_master(master);
        }
        for index in 0..self.agents.len() {
            self.start_agent(index);
        }
        for index in 0..self.schedulers.len() {
            let client = self.scheduler_client(index);
            self.start_client(client);
            self.after(
                Duration::from_millis(5),
                Happening::SchedulerConnects(index, 0),
            );
            self.after(Duration::from_secs(1), Happening::SchedulerThinks(index));
        }
        self.after(Duration::from_millis(100), Happening::Fault);
        if self.elects() {
            self.after(Duration::from_millis(500), Happening::EnsembleTicks);
        }
        if self.options.operators {
            self.after(Duration::from_secs(5), Happening::Operator);
        }
    }

    /// The master that leads; of several who believe so the newest.
    fn leading(&self) -> Option<usize> {
        let leads = |master: &usize| self.masters[*master].core.is_some();
        let all = (0..self.masters.len()).filter(leads);
        all.max_by_key(|master| self.masters[*master].epoch)
    }

    fn agent_now(&self, index: usize) -> Now {
        self.agents[index].clock.now(self.now)
    }

    fn master_now(&self, master: usize) -> Now {
        self.masters[master].clock.now(self.now)
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.trace_lines == 0 {
            return;
        }
        if self.trace.len() as u64 == self.trace_lines {
            self.trace.pop_front();
        }
        let line = line();
        self.trace
            .push_back(format!("{:>12.6} {line}", self.now as f64 / 1e9));
    }

    /// The last lines of the history.
    pub(crate) fn trace(&self) -> String {
        self.trace
            .iter()
            .fold(String::new(), |text, line| text + line + "\n")
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn at(&mut self, at: Time, what: Happening) {
        self.number += 1;
        self.queue.push(Reverse(Due {
            at: at.max(self.now),
            number: self.number,
            what,
        }));
    }

    fn after(&mut self, pause: Duration, what: Happening) {
        self.at(self.now + nanos(pause), what);
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn delay(&mut self) -> u64 {
        let max = self.options.delay_max;
        // Most messages are quick even on a slow network.
        let max = if self.network.chance(3, 4) {
            max / 20
        } else {
            max
        };
        nanos(self.network.up_to(max)) + 50_000
    }

    fn chance(&mut self, per_ten_thousand: u64) -> bool {
        self.faults_on && self.faults.chance(per_ten_thousand, 10_000)
    }

    // Starting and stopping.

    fn start_agent(&mut self, index: usize) {
        let boot = self.agents[index].boot;
        let mut config = AgentConfig::new(format!("agent-{index}"), format!("/work/{index}"));
        config.resources = vec![
            scalar("cpus", 4.0),
            scalar("mem", 4096.0),
            scalar("disk", 60.0),
        ];
        config.boot_id = format!("boot-{boot}");
        let life = (u64::from(self.agents[index].incarnation) << 8) + index as u64;
        config.seed = Options::entropy(self.options.seed) ^ Options::entropy(life + 1);
        config.planted = self.bugs.clone();
        let mut effects = agent::Effects::new();
        let (checkpointed, torn) = self.agents[index].disk.read();
        if torn {
            self.count("torn journal read");
        }
        let now = self.agent_now(index);
        let mut core = Agent::new(config, checkpointed, now);
        core.start(now, &mut effects);
        let node = &mut self.agents[index];
        node.incarnation += 1;
        node.core = Some(core);
        let incarnation = node.incarnation;
        self.note(|| format!("agent {index} starts"));
        let client = self.agent_client(index);
        self.start_client(client);
        self.perform_agent(index, &mut effects);
        self.after(
            Duration::from_millis(3),
            Happening::AgentConnects(index, incarnation),
        );
    }

    /// What is under way is lost; both sides learn of it, one perhaps much later.
    fn break_link(&mut self, connection: ConnectionId, may_be_half_open: bool) {
        let Some(link) = self.links.get_mut(&connection).filter(|link| link.up) else {
            return;
        };
        link.up = false;
        let peer = link.peer;
        self.count("broken link");
        self.note(|| format!("link {} to {peer:?} breaks", connection.0));
        let mut pauses = [self.delay(), self.delay()];
        if may_be_half_open && self.chance(self.options.half_open) {
            let side = usize::try_from(self.faults.below(2)).unwrap();
            pauses[side] += nanos(self.faults.up_to(Duration::from_secs(120)));
        }
        let [at_master, at_peer] = pauses.map(|pause| self.now + pause);
        match peer {
            Peer::Agent(_) => {
                self.at(at_master, Happening::MasterLosesAgent(connection));
                self.at(at_peer, Happening::AgentLosesMaster(connection));
            }
            Peer::Scheduler(_) => {
                self.at(at_master, Happening::MasterLosesScheduler(connection));
                self.at(at_peer, Happening::SchedulerLosesMaster(connection));
            }
        }
    }

    // Running.

    /// Lets one thing happen. False when nothing ever will again.
    pub(crate) fn step(&mut self) -> bool {
        let Some(Reverse(due)) = self.queue.pop() else {
            return false;
        };
        self.now = due.at;
        self.steps += 1;
        self.happen(due.what);
        true
    }

    /// Invariants cost more than the steps that they are of: one step in a few is looked at. What is
    /// wrong stays so, as a rule.
    fn looks(&self) -> bool {
        self.steps.is_multiple_of(INVARIANTS)
    }

    /// A process that stands still does nothing: until when, if this is its doing.
    fn stands_still(&self, what: &Happening) -> Time {
        let master = |master: &usize| self.masters[*master].frozen_until;
        let agent = |agent: &usize| self.agents[*agent].frozen_until;
        let side_of_master = |connection: &ConnectionId| {
            let link = self.links.get(connection);
            link.map_or(0, |link| self.masters[link.master].frozen_until)
        };
        let side_of_peer =
            |connection: &ConnectionId| match self.links.get(connection).map(|link| link.peer) {
                Some(Peer::Agent(index)) => self.agents[index].frozen_until,
                _ => 0,
            };
        match what {
            Happening::Master(index, ..)
            | Happening::MasterTimer(index, ..)
            | Happening::AskRegistry(index, ..)
            | Happening::Deposed(index, _)
            | Happening::LeadsNoMore(index, _) => master(index),
            Happening::ToClient(client, ..)
            | Happening::ClientTimer(client, ..)
            | Happening::Reopen(client, _) => self.client_frozen_until(*client),
            Happening::Agent(index, ..)
            | Happening::AgentTimer(index, ..)
            | Happening::Write(index, ..)
            | Happening::AgentConnects(index, _)
            | Happening::ExecutorConnects(index, ..) => agent(index),
            Happening::ToAgent(connection, _) | Happening::AgentLosesMaster(connection) => {
                side_of_peer(connection)
            }
            Happening::ToMaster(connection, _)
            | Happening::MasterLosesAgent(connection)
            | Happening::MasterLosesScheduler(connection) => side_of_master(connection),
            _ => 0,
        }
    }

    fn happen(&mut self, what: Happening) {
        let until = self.stands_still(&what);
        if until > self.now {
            return self.at(until, what);
        }
        match what {
            Happening::Master(master, incarnation, event) => {
                if incarnation == self.masters[master].incarnation {
                    self.step_master(master, *event);
                }
            }
            Happening::MasterTimer(master, incarnation, key, generation) => {
                let node = &mut self.masters[master];
                if incarnation == node.incarnation && node.timers.get(&key) == Some(&generation) {
                    node.timers.remove(&key);
                    self.step_master(master, master::Event::TimerFired(key));
                }
            }
            Happening::MasterStarts(master) => self.start_master(master),
            Happening::Deposed(master, number) => self.deposed(master, number),
            Happening::LeadsNoMore(master, number) => self.leads_no_more(master, number),
            Happening::AskRegistry(master, number, storing) => {
                self.ask_registry(master, number, storing);
            }
            Happening::ToEnsemble(client, life, session, question) => {
                self.ensemble_hears(client, life, session, *question);
            }
            Happening::ToClient(client, life, answer) => self.client_hears(client, life, answer),
            Happening::ClientTimer(client, life, timer, number) => {
                self.client_timer(client, life, timer, number);
            }
            Happening::Reopen(client, life) => self.open_again(client, life),
            Happening::EnsembleTicks => self.ensemble_ticks(),
            Happening::Operator => self.operator_decides(),
            Happening::OperatorRepairs => self.operator_repairs(),
            Happening::Fault => self.fault(),
            other => self.happen_to_peer(other),
        }
    }

    /// What happens to agents, frameworks and links.
    fn happen_to_peer(&mut self, what: Happening) {
        match what {
            Happening::Agent(index, incarnation, event) => {
                self.agent_event(index, incarnation, event);
            }
            Happening::AgentTimer(index, incarnation, key, generation) => {
                let node = &mut self.agents[index];
                if incarnation == node.incarnation && node.timers.get(&key) == Some(&generation) {
                    node.timers.remove(&key);
                    self.step_agent(index, agent::Event::TimerFired(key));
                }
            }
            Happening::AgentStarts(index, incarnation) => {
                let node = &self.agents[index];
                if incarnation == node.incarnation && node.core.is_none() {
                    self.start_agent(index);
                }
            }
            Happening::Write(index, incarnation, token, record) => {
                self.write(index, incarnation, token, record);
            }
            Happening::AgentConnects(index, incarnation) => self.agent_connects(index, incarnation),
            Happening::ToAgent(connection, message) => self.agent_hears(connection, message),
            Happening::ToMaster(connection, message) => {
                if let Some(link) = self.links.get(&connection).filter(|link| link.up) {
                    let master = link.master;
                    self.step_master(
                        master,
                        master::Event::AgentMessage {
                            connection,
                            message,
                        },
                    );
                }
            }
            Happening::ToScheduler(connection, event) => self.scheduler_hears(connection, &event),
            Happening::MasterLosesAgent(connection) => {
                if let Some(link) = self.links.get(&connection) {
                    let master = link.master;
                    self.step_master(master, master::Event::AgentDisconnected { connection });
                }
            }
            Happening::MasterLosesScheduler(connection) => {
                if let Some(link) = self.links.get(&connection) {
                    let master = link.master;
                    self.step_master(master, master::Event::SchedulerDisconnected { connection });
                }
            }
            Happening::AgentLosesMaster(connection) => self.agent_loses_master(connection),
            Happening::SchedulerLosesMaster(connection) => self.scheduler_loses_master(connection),
            Happening::SchedulerConnects(index, epoch) => self.scheduler_connects(index, epoch),
            Happening::SchedulerThinks(index) => {
                if self.schedulers[index].connection.is_some() {
                    let deeds = self.schedulers[index].think();
                    self.perform_scheduler(index, deeds);
                }
                let pause = if self.faults_on { 1 } else { 10 };
                self.after(
                    Duration::from_secs(pause),
                    Happening::SchedulerThinks(index),
                );
            }
            Happening::SchedulerCalls(index, epoch, call) => self.call(index, epoch, *call),
            Happening::ContainerStarts(index, boot, id) => {
                self.container_starts(index, boot, &id);
            }
            Happening::ExecutorConnects(index, boot, id) => {
                self.executor_connects(index, boot, &id);
            }
            Happening::ExecutorHears(index, incarnation, id, event) => {
                self.executor_hears(index, incarnation, &id, &event);
            }
            Happening::TaskBecomes(index, boot, id, task, state) => {
                self.task_becomes(index, boot, &id, &task, state);
            }
            Happening::ContainerEnds(index, boot, id, ended) => {
                self.container_ends(index, boot, id, ended);
            }
            _ => {}
        }
    }
}

fn scalar(name: &str, value: f64) -> v1::Resource {
    v1::Resource {
        name: name.into(),
        r#type: v1::value::Type::Scalar as i32,
        scalar: Some(v1::value::Scalar { value }),
        ..v1::Resource::default()
    }
}

fn shorten(mut line: String) -> String {
    if let Some((at, _)) = line.char_indices().nth(400) {
        line.truncate(at);
        line.push_str("...");
    }
    line
}
