//! The world: real master and agent cores, model frameworks and containers, links and disks, in virtual
//! time. The next happening is the one with the smallest (time, number); everything else is drawn from
//! the seed, so one seed is one history.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use mesosd::agent::{self, Agent, AgentConfig, Ended, ExecutorCall};
use mesosd::base::{
    AgentId, ConnectionId, ContainerId, Instant, Now, RequestId, Rng, TaskId, Timestamp, Uuid,
};
use mesosd::master::{self, Master, MasterConfig, SchedulerCall};
use mesosd::proto::v1::TaskState;
use mesosd::proto::{link, v1};
use mesosd::registry::Registry;
use mesosd::testing::planted::PlantedBugs;

use crate::checkers::Checkers;
use crate::containers::Container;
use crate::options::Options;
use crate::scheduler::{Deed, Scheduler};

mod agents;
mod containers;
mod ending;
mod frameworks;
mod master_node;

/// Virtual nanoseconds.
type Time = u64;

/// Lines of the trace that a failure prints.
const TRACE_LINES: u64 = 300;

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

/// Something that will happen.
enum Happening {
    /// The master's mailbox hands an event to the core of this incarnation.
    Master(u32, master::Event),
    MasterTimer(u32, master::TimerKey, u64),
    /// A registry write reaches the store.
    Store(u32, master::Token, mesosd::registry::Operation),
    Agent(usize, u32, agent::Event),
    AgentTimer(usize, u32, agent::TimerKey, u64),
    /// A checkpoint reaches the disk.
    Write(
        usize,
        u32,
        agent::checkpoint::CheckpointToken,
        agent::checkpoint::Record,
    ),
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
    core: Option<Master>,
    incarnation: u32,
    timers: BTreeMap<master::TimerKey, u64>,
}

struct AgentNode {
    core: Option<Agent>,
    incarnation: u32,
    timers: BTreeMap<agent::TimerKey, u64>,
    disk: Vec<agent::checkpoint::Record>,
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
    master: MasterNode,
    registry: Registry,
    agents: Vec<AgentNode>,
    pub(crate) schedulers: Vec<Scheduler>,
    links: BTreeMap<ConnectionId, Link>,
    requests: BTreeMap<RequestId, &'static str>,
    next_id: u64,
    network: Rng,
    faults: Rng,
    life: Rng,
    faults_on: bool,
    pub(crate) checkers: Checkers,
    bugs: PlantedBugs,
    trace: VecDeque<String>,
    trace_lines: u64,
    pub(crate) steps: u64,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl World {
    pub(crate) fn new(options: Options, bugs: PlantedBugs) -> Self {
        let seed = options.seed;
        let mut world = Self {
            now: 0,
            number: 0,
            queue: BinaryHeap::new(),
            master: MasterNode {
                core: None,
                incarnation: 0,
                timers: BTreeMap::new(),
            },
            registry: Registry::default(),
            agents: Vec::new(),
            schedulers: (0..options.schedulers)
                .map(|index| Scheduler::new(seed, index))
                .collect(),
            links: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_id: 0,
            network: Rng::seeded(seed, "network"),
            faults: Rng::seeded(seed, "faults"),
            life: Rng::seeded(seed, "life"),
            faults_on: true,
            checkers: Checkers::default(),
            bugs,
            trace: VecDeque::new(),
            trace_lines: crate::number("SIM_TRACE", TRACE_LINES),
            steps: 0,
            counts: BTreeMap::new(),
            options,
        };
        world.start_master();
        for index in 0..world.options.agents {
            world.agents.push(AgentNode {
                core: None,
                incarnation: 0,
                timers: BTreeMap::new(),
                disk: Vec::new(),
                containers: BTreeMap::new(),
                link: None,
                boot: 0,
                disk_free_at: 0,
            });
            world.start_agent(index);
        }
        for index in 0..world.options.schedulers {
            world.after(
                Duration::from_millis(5),
                Happening::SchedulerConnects(index, 0),
            );
            world.after(Duration::from_secs(1), Happening::SchedulerThinks(index));
        }
        world.after(Duration::from_millis(100), Happening::Fault);
        world
    }

    fn now(&self) -> Now {
        Now {
            mono: Instant(self.now),
            wall: Timestamp(1_700_000_000_000_000_000 + self.now),
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
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

    fn start_master(&mut self) {
        self.master.incarnation += 1;
        let uuid = format!("m{}", self.master.incarnation);
        let mut config = MasterConfig::new(uuid);
        config.agent_ping_timeout = self.options.ping;
        config.offer_timeout = self.options.offer_timeout;
        config.planted = self.bugs.clone();
        config.allocator.seed = self.options.seed;
        let mut effects = master::Effects::new();
        let core = Master::new(config, self.registry.clone(), self.now(), &mut effects);
        self.master.core = Some(core);
        self.note(|| "master starts".to_owned());
        self.perform_master(&mut effects);
    }

    fn crash_master(&mut self) {
        self.note(|| "master crashes".to_owned());
        self.count("master crash");
        self.master.core = None;
        self.master.timers.clear();
        self.requests.clear();
        for connection in self.links.keys().copied().collect::<Vec<_>>() {
            self.break_link(connection, false);
        }
        let pause = self.faults.up_to(Duration::from_secs(20));
        let incarnation = self.master.incarnation;
        self.after(
            pause,
            Happening::Master(incarnation, master::Event::Shutdown),
        );
    }

    fn start_agent(&mut self, index: usize) {
        let boot = self.agents[index].boot;
        let mut config = AgentConfig::new(format!("agent-{index}"), format!("/work/{index}"));
        config.resources = vec![
            scalar("cpus", 4.0),
            scalar("mem", 4096.0),
            scalar("disk", 60.0),
        ];
        config.boot_id = format!("boot-{boot}");
        config.seed = self
            .options
            .seed
            .wrapping_mul(31)
            .wrapping_add(index as u64)
            ^ (u64::from(self.agents[index].incarnation) << 32);
        config.planted = self.bugs.clone();
        let mut effects = agent::Effects::new();
        let mut checkpointed = agent::checkpoint::Checkpointed::default();
        for record in &self.agents[index].disk {
            checkpointed.apply(record);
        }
        let mut core = Agent::new(config, checkpointed, self.now());
        core.start(self.now(), &mut effects);
        let node = &mut self.agents[index];
        node.incarnation += 1;
        node.core = Some(core);
        let incarnation = node.incarnation;
        self.note(|| format!("agent {index} starts"));
        self.perform_agent(index, &mut effects);
        self.after(
            Duration::from_millis(3),
            Happening::AgentConnects(index, incarnation),
        );
    }

    /// The machine goes down: processes, links and what was not on disk are gone.
    fn crash_agent(&mut self, index: usize) {
        self.note(|| format!("agent {index} crashes"));
        self.count("agent crash");
        self.agents[index].boot += 1;
        let all: Vec<_> = self.agents[index].containers.keys().cloned().collect();
        for id in all {
            self.container_vanishes(index, &id);
        }
        self.stop_agent(index, Duration::from_secs(60));
    }

    /// The agent's process is killed: the executors of checkpointing frameworks go on without it.
    fn kill_agent(&mut self, index: usize) {
        self.note(|| format!("agent {index} is killed"));
        self.count("agent kill");
        let node = &mut self.agents[index];
        let mut ending = Vec::new();
        for (id, container) in &mut node.containers {
            container.connection = None;
            if !container.config.checkpoint {
                ending.push(id.clone());
            }
        }
        for id in ending {
            self.container_vanishes(index, &id);
        }
        self.stop_agent(index, Duration::from_secs(20));
    }

    fn stop_agent(&mut self, index: usize, pause_max: Duration) {
        let node = &mut self.agents[index];
        node.core = None;
        node.timers.clear();
        if let Some(connection) = node.link.take() {
            self.break_link(connection, false);
        }
        let pause = self.faults.up_to(pause_max);
        let incarnation = self.agents[index].incarnation;
        // An event for an incarnation that has no core is the signal to start the next one.
        self.after(
            pause,
            Happening::Agent(
                index,
                incarnation,
                agent::Event::Shutdown { destroy: false },
            ),
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

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Master(incarnation, event) => self.master_event(incarnation, event),
            Happening::MasterTimer(incarnation, key, generation) => {
                if incarnation == self.master.incarnation
                    && self.master.timers.get(&key) == Some(&generation)
                {
                    self.master.timers.remove(&key);
                    self.step_master(master::Event::TimerFired(key));
                }
            }
            Happening::Store(incarnation, token, operation) => {
                self.store(incarnation, token, &operation);
            }
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
            Happening::Write(index, incarnation, token, record) => {
                self.write(index, incarnation, token, record);
            }
            Happening::AgentConnects(index, incarnation) => self.agent_connects(index, incarnation),
            Happening::ToAgent(connection, message) => self.agent_hears(connection, message),
            Happening::ToMaster(connection, message) => {
                if self.links.get(&connection).is_some_and(|link| link.up) {
                    self.step_master(master::Event::AgentMessage {
                        connection,
                        message,
                    });
                }
            }
            Happening::ToScheduler(connection, event) => self.scheduler_hears(connection, &event),
            Happening::MasterLosesAgent(connection) => {
                self.step_master(master::Event::AgentDisconnected { connection });
            }
            Happening::MasterLosesScheduler(connection) => {
                self.step_master(master::Event::SchedulerDisconnected { connection });
            }
            Happening::AgentLosesMaster(connection) => self.agent_loses_master(connection),
            Happening::SchedulerLosesMaster(connection) => self.scheduler_loses_master(connection),
            Happening::SchedulerConnects(index, epoch) => self.scheduler_connects(index, epoch),
            Happening::SchedulerThinks(index) => {
                if self.schedulers[index].connection.is_some() {
                    let deeds = self.schedulers[index].think();
                    self.perform_scheduler(index, deeds);
                }
                self.after(Duration::from_secs(1), Happening::SchedulerThinks(index));
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
            Happening::Fault => self.fault(),
        }
    }

    fn fault(&mut self) {
        if !self.faults_on {
            return;
        }
        self.after(Duration::from_millis(500), Happening::Fault);
        for connection in self.links.keys().copied().collect::<Vec<_>>() {
            if self.chance(self.options.disconnect) {
                self.break_link(connection, true);
            }
        }
        for index in 0..self.agents.len() {
            if self.agents[index].core.is_none() {
                continue;
            }
            if self.chance(self.options.agent_crash) {
                self.crash_agent(index);
                continue;
            }
            if self.chance(self.options.agent_kill) {
                self.kill_agent(index);
                continue;
            }
            let boot = self.agents[index].boot;
            for id in self.agents[index]
                .containers
                .keys()
                .cloned()
                .collect::<Vec<_>>()
            {
                if self.chance(self.options.container_crash) {
                    self.count("container crash");
                    let ended = Ended {
                        wait_status: Some(9),
                        reason: None,
                        message: "killed by the simulation".into(),
                    };
                    self.container_ends(index, boot, id, ended);
                } else if self.chance(self.options.disconnect) {
                    self.executor_link_breaks(index, &id);
                }
            }
        }
        if self.master.core.is_some() && self.chance(self.options.master_crash) {
            self.crash_master();
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
