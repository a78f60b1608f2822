//! ZooKeeper's clients: every master contends, every agent and framework follows, each by the real
//! machines, over sessions that expire, answers that are lost and watches that fire late.

use mesosd::election::contender::{self, Contender};
use mesosd::election::detector::{self, Detector};
use mesosd::election::info;

use super::*;
use crate::ensemble::{Answer, Question, lost};

/// From a failed attempt to open a session to the next one.
const REOPEN: Duration = Duration::from_millis(700);
/// How often the ensemble looks at its sessions.
const TICK: Duration = Duration::from_millis(500);

/// The timers of a client's machines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum ClientTimer {
    Detector,
    Contender(contender::Timer),
}

/// One client of the ensemble.
pub(super) struct Client {
    /// Zero while there is none.
    pub(super) session: u64,
    /// Grows with every session and every process; answers to an earlier one are void.
    life: u64,
    contender: Option<Contender>,
    detector: Detector,
    timers: BTreeMap<ClientTimer, u64>,
    /// The master that leads, as far as it was told.
    pub(super) leader: Option<usize>,
    /// The number of the watch that stands, if one does.
    watch: u64,
    /// The newest watch that fired before its listing arrived.
    fired: u64,
    cut_since: Time,
    pub(super) cut_until: Time,
    /// Its server lags behind.
    behind: Option<Behind>,
}

/// What a server believes that has not heard of the newest leader.
struct Behind {
    /// The leader's znode, and whose it is.
    node: String,
    master: usize,
    /// When it hears the truth.
    until: Time,
}

impl Client {
    pub(super) fn new() -> Self {
        Self {
            session: 0,
            life: 0,
            contender: None,
            detector: Detector::new(),
            timers: BTreeMap::new(),
            leader: None,
            watch: 0,
            fired: 0,
            cut_since: 0,
            cut_until: 0,
            behind: None,
        }
    }
}

/// How a candidate of this number describes itself.
fn describe(master: usize) -> v1::MasterInfo {
    let number = u8::try_from(master).unwrap();
    v1::MasterInfo {
        id: format!("candidate-{master}"),
        ip: u32::from_le_bytes([10, 0, 0, number + 1]),
        port: 5050,
        ..v1::MasterInfo::default()
    }
}

fn number_of(info: &v1::MasterInfo) -> usize {
    usize::from(info.ip.to_le_bytes()[3]) - 1
}

impl World {
    /// True when masters are elected; a single one leads for ever.
    pub(super) fn elects(&self) -> bool {
        self.masters.len() > 1
    }

    pub(super) fn agent_client(&self, agent: usize) -> usize {
        self.masters.len() + agent
    }

    pub(super) fn scheduler_client(&self, scheduler: usize) -> usize {
        self.masters.len() + self.options.agents + scheduler
    }

    /// The master that a client takes for the leader.
    pub(super) fn leader_of(&self, client: usize) -> Option<usize> {
        if self.elects() {
            self.clients[client].leader
        } else {
            Some(0)
        }
    }

    fn client_is_up(&self, client: usize) -> bool {
        match client.checked_sub(self.masters.len()) {
            None => self.masters[client].up,
            Some(agent) if agent < self.options.agents => self.agents[agent].core.is_some(),
            Some(_) => true,
        }
    }

    pub(super) fn client_frozen_until(&self, client: usize) -> Time {
        match client.checked_sub(self.masters.len()) {
            None => self.masters[client].frozen_until,
            Some(agent) if agent < self.options.agents => self.agents[agent].frozen_until,
            Some(_) => 0,
        }
    }

    fn client_clock(&self, client: usize) -> Clock {
        match client.checked_sub(self.masters.len()) {
            None => self.masters[client].clock,
            Some(agent) if agent < self.options.agents => self.agents[agent].clock,
            Some(_) => Clock::default(),
        }
    }

    /// A process has started: it opens a session.
    pub(super) fn start_client(&mut self, client: usize) {
        if !self.elects() {
            return;
        }
        let contends = client < self.masters.len();
        let one = &mut self.clients[client];
        one.contender = contends.then(Contender::new);
        one.detector = Detector::new();
        one.leader = None;
        self.new_life(client);
        self.ask(client, Question::Open);
    }

    /// A process has ended; its session is left to expire.
    pub(super) fn stop_client(&mut self, client: usize) {
        if self.elects() {
            self.clients[client].contender = None;
            self.clients[client].leader = None;
            self.new_life(client);
        }
    }

    fn new_life(&mut self, client: usize) {
        let one = &mut self.clients[client];
        one.life += 1;
        one.session = 0;
        one.timers.clear();
    }

    /// The session is over, or given up: another one is opened.
    fn reopen(&mut self, client: usize) {
        self.count("session over");
        self.new_life(client);
        self.contend(client, contender::Event::Ended);
        self.detect(client, detector::Event::Ended);
        self.ask(client, Question::Open);
    }

    fn zookeeper_delay(&mut self) -> u64 {
        let max = self.options.session / 8;
        let max = if self.network.chance(9, 10) {
            max / 20
        } else {
            max
        };
        nanos(self.network.up_to(max)) + 50_000
    }

    fn is_cut(&self, client: usize) -> bool {
        self.clients[client].cut_until > self.now
    }

    /// Asks the ensemble; questions about the registry also of one that is no client yet.
    pub(super) fn ask(&mut self, client: usize, question: Question) {
        let life = self.clients[client].life;
        let session = self.clients[client].session;
        let delay = match &question {
            Question::Registry(..) => nanos(self.network.up_to(self.options.write_max)) + 50_000,
            _ => self.zookeeper_delay(),
        };
        if self.is_cut(client) || self.chance(self.options.zookeeper_loss) {
            let at = self.now + nanos(self.options.session) * 2 / 5;
            self.count("lost question");
            self.at(at, Happening::ToClient(client, life, lost(question)));
            return;
        }
        let question = Box::new(question);
        self.at(
            self.now + delay,
            Happening::ToEnsemble(client, life, session, question),
        );
    }

    pub(super) fn ensemble_hears(
        &mut self,
        client: usize,
        life: u64,
        session: u64,
        question: Question,
    ) {
        let lags = self.chance(self.options.stale_read);
        let lag = nanos(self.options.session) / 4;
        let heard = self.now.saturating_sub(self.network.below(lag));
        self.ensemble.heard(session, heard);
        if matches!(&question, Question::Registry(..)) && self.chance(self.options.store_failure) {
            self.count("store failure");
            let Question::Registry(term, _) = question else {
                return;
            };
            let failed = Answer::Registry(term, crate::ensemble::Stored::Failed);
            self.after(
                Duration::from_millis(1),
                Happening::ToClient(client, life, failed),
            );
            return;
        }
        let asked = question.clone();
        // A contender reads what its own session has done.
        let lags =
            lags && (client >= self.masters.len() || matches!(asked, Question::Registry(..)));
        if let Question::List { watch, .. } = &asked
            && lags
        {
            // The server catches up, and finds the watch.
            self.count("stale listing");
            let pause = self.faults.up_to(Duration::from_secs(20));
            self.after(
                pause,
                Happening::ToClient(client, life, Answer::Changed(*watch)),
            );
        }
        let who = (client, life, session);
        let misled = self.answer_behind(client, life, &question);
        let (answer, changed) = match misled.filter(|_| self.ensemble.has_session(session)) {
            Some(answer) => (answer, false),
            None => self.ensemble.serve(self.now, who, question, lags),
        };
        if changed {
            self.fire_watches();
        }
        let is_lost = self.is_cut(client) || self.chance(self.options.zookeeper_loss);
        let (pause, answer) = if is_lost && !matches!(answer, Answer::Expired) {
            self.count("lost reply");
            (nanos(self.options.session) * 2 / 5, lost(asked))
        } else {
            (self.zookeeper_delay(), answer)
        };
        self.at(self.now + pause, Happening::ToClient(client, life, answer));
    }

    /// What a client hears whose server lags behind; the server finds the watch when it catches up.
    fn answer_behind(&mut self, client: usize, life: u64, question: &Question) -> Option<Answer> {
        let behind = self.clients[client].behind.as_ref();
        let behind = behind.filter(|behind| behind.until > self.now)?;
        let (node, until) = (behind.node.clone(), behind.until);
        match question {
            Question::List { asked, watch } => {
                let changed = Answer::Changed(*watch);
                self.at(until, Happening::ToClient(client, life, changed));
                Some(Answer::Listed(vec![node], *asked, *watch))
            }
            Question::Read(name) if *name == node => {
                let content = Some(info::write(&describe(behind.master)));
                let read = detector::Event::Read(node, content);
                Some(Answer::Detector(read))
            }
            _ => None,
        }
    }

    /// An agent's next session is at a server that still names a former leader who believes on, and whose
    /// successor the agent has written down; the agent is killed for it, or its session is over.
    pub(super) fn mislead(&mut self, index: usize) {
        let seen = self.agents[index].disk.epoch();
        let believes = |master: &usize| self.masters[*master].epoch < seen && self.accepts(*master);
        let Some(master) = (0..self.masters.len()).find(believes) else {
            return;
        };
        let term = self.masters[master].term.as_ref();
        let Some(node) = term.and_then(|term| term.node.clone()) else {
            return;
        };
        self.count("misled agent");
        self.note(|| format!("agent {index} will hear that master {master} leads"));
        let until = self.now + nanos(self.faults.up_to(Duration::from_secs(30)));
        let client = self.agent_client(index);
        self.clients[client].behind = Some(Behind {
            node,
            master,
            until,
        });
        if self.faults.chance(1, 2) {
            self.kill_agent(index);
            let incarnation = self.agents[index].incarnation;
            let pause = self.faults.up_to(Duration::from_secs(2));
            self.after(pause, Happening::AgentStarts(index, incarnation));
        } else {
            self.reopen(client);
        }
    }

    fn fire_watches(&mut self) {
        for (client, life, number) in self.ensemble.take_watches() {
            let mut at = self.now + self.zookeeper_delay();
            if self.chance(self.options.late_watch) {
                self.count("late watch");
                let max = if self.options.believes { 30 } else { 10 };
                at += nanos(self.faults.up_to(Duration::from_secs(max)));
            }
            // The client's library finds out when it is connected again.
            at = at.max(self.clients[client].cut_until);
            self.at(
                at,
                Happening::ToClient(client, life, Answer::Changed(number)),
            );
        }
    }

    pub(super) fn client_hears(&mut self, client: usize, life: u64, answer: Answer) {
        if self.clients[client].life != life || !self.client_is_up(client) {
            return;
        }
        match answer {
            Answer::Opened(session) => {
                self.clients[client].session = session;
                self.detect(client, detector::Event::Opened);
                let timeout = self.options.session;
                self.contend(client, contender::Event::Opened { timeout });
            }
            Answer::NotOpened => {
                self.after(REOPEN, Happening::Reopen(client, life));
            }
            Answer::Expired => self.reopen(client),
            Answer::Changed(number) => {
                let one = &mut self.clients[client];
                if one.watch == number {
                    self.detect(client, detector::Event::Changed);
                } else {
                    // The library hands the listing over first.
                    one.fired = one.fired.max(number);
                }
            }
            Answer::Contender(event) => self.contend(client, event),
            Answer::Detector(event) => self.detect(client, event),
            Answer::Listed(nodes, asked, number) => {
                self.clients[client].watch = number;
                let listed = nodes.clone();
                self.contend(
                    client,
                    contender::Event::Listed {
                        nodes: listed,
                        asked,
                    },
                );
                self.detect(client, detector::Event::Listed(nodes));
                if self.clients[client].fired == number {
                    self.detect(client, detector::Event::Changed);
                }
            }
            Answer::Registry(term, stored) => self.registry_answers(client, term, stored),
            Answer::Nothing => {}
        }
    }

    pub(super) fn open_again(&mut self, client: usize, life: u64) {
        if self.clients[client].life == life && self.client_is_up(client) {
            self.ask(client, Question::Open);
        }
    }

    pub(super) fn client_timer(
        &mut self,
        client: usize,
        life: u64,
        timer: ClientTimer,
        number: u64,
    ) {
        let one = &mut self.clients[client];
        if one.life != life || one.timers.get(&timer) != Some(&number) {
            return;
        }
        one.timers.remove(&timer);
        match timer {
            ClientTimer::Detector => self.detect(client, detector::Event::TimerFired),
            ClientTimer::Contender(timer) => {
                self.contend(client, contender::Event::TimerFired(timer));
            }
        }
    }

    fn set_client_timer(&mut self, client: usize, timer: ClientTimer, at: Instant) {
        let number = self.id();
        let life = self.clients[client].life;
        self.clients[client].timers.insert(timer, number);
        let at = self.client_clock(client).reaches(at);
        self.at(at, Happening::ClientTimer(client, life, timer, number));
    }

    fn detect(&mut self, client: usize, event: detector::Event) {
        let now = self.client_clock(client).now(self.now);
        let mut effects = Vec::new();
        let detector = &mut self.clients[client].detector;
        detector.step(now, event, &mut effects);
        detector.check_invariants();
        for effect in effects {
            match effect {
                detector::Effect::List => {
                    let watch = self.id();
                    let asked = now.mono;
                    self.ask(client, Question::List { asked, watch });
                }
                detector::Effect::Read(name) => self.ask(client, Question::Read(name)),
                detector::Effect::Leader(leader) => {
                    let leader = leader.map(|info| number_of(&info));
                    self.follow(client, leader);
                }
                detector::Effect::Unreadable(error) => panic!("{error}"),
                detector::Effect::SetTimer(at) => {
                    self.set_client_timer(client, ClientTimer::Detector, at);
                }
            }
        }
    }

    /// Another master leads, as a client was told: what it has with the former one ends.
    fn follow(&mut self, client: usize, leader: Option<usize>) {
        if std::mem::replace(&mut self.clients[client].leader, leader) == leader {
            return;
        }
        self.note(|| format!("client {client} follows {leader:?}"));
        let Some(agent) = client.checked_sub(self.masters.len()) else {
            return;
        };
        let link = match agent.checked_sub(self.options.agents) {
            None => self.agents[agent].link,
            Some(scheduler) => self.schedulers[scheduler].connection,
        };
        let Some(connection) = link else {
            return;
        };
        let master = self.links.get(&connection).map(|link| link.master);
        if master == leader {
            return;
        }
        self.count("left a former leader");
        // Of that the former leader may hear much later.
        self.break_link(connection, true);
        if agent < self.options.agents {
            self.agent_loses_master(connection);
        } else {
            self.scheduler_loses_master(connection);
        }
    }

    pub(super) fn contend(&mut self, client: usize, event: contender::Event) {
        let now = self.client_clock(client).now(self.now);
        let Some(contender) = &mut self.clients[client].contender else {
            return;
        };
        let mut effects = Vec::new();
        contender.step(now, event, &mut effects);
        contender.check_invariants();
        for effect in effects {
            match effect {
                contender::Effect::Enter => {
                    let content = info::write(&describe(client));
                    self.ask(client, Question::Enter(content));
                }
                contender::Effect::Find => self.ask(client, Question::Find),
                contender::Effect::List => self.detect(client, detector::Event::Refresh),
                contender::Effect::Beat => self.ask(client, Question::Beat { sent: now.mono }),
                contender::Effect::Lead { node, until } => {
                    self.elected(client, Some(node), until);
                }
                contender::Effect::Extend { until } => self.extend_lease(client, until),
                contender::Effect::StepDown(why) => {
                    self.note(|| format!("master {client} steps down: {why}"));
                    self.step_down(client);
                }
                contender::Effect::CloseSession => {
                    self.ask(client, Question::Close);
                    self.reopen(client);
                }
                contender::Effect::SetTimer(timer, at) => {
                    self.set_client_timer(client, ClientTimer::Contender(timer), at);
                }
                contender::Effect::CancelTimer(timer) => {
                    let timer = ClientTimer::Contender(timer);
                    self.clients[client].timers.remove(&timer);
                }
            }
        }
    }

    /// The ensemble hears of its clients and ends the sessions of those it has not heard of; clients
    /// give up sessions that are as good as dead.
    pub(super) fn ensemble_ticks(&mut self) {
        self.after(TICK, Happening::EnsembleTicks);
        let timeout = nanos(self.options.session);
        for client in 0..self.clients.len() {
            let session = self.clients[client].session;
            if session == 0
                || !self.client_is_up(client)
                || self.client_frozen_until(client) > self.now
            {
                continue;
            }
            let one = &self.clients[client];
            let life = one.life;
            if one.cut_until > self.now {
                if self.now > one.cut_since + timeout * 7 / 5 {
                    self.reopen(client);
                }
            } else if self.ensemble.has_session(session) {
                let lag = self.network.below(timeout / 4);
                self.ensemble.heard(session, self.now.saturating_sub(lag));
            } else {
                self.client_hears(client, life, Answer::Expired);
            }
        }
        for session in self.ensemble.overdue(self.now) {
            self.count("expired session");
            if self.ensemble.end(session) {
                self.fire_watches();
            }
        }
    }

    /// A client cannot reach the ensemble for a while.
    pub(super) fn cut_client(&mut self, client: usize, pause: Duration) {
        self.count("cut from ZooKeeper");
        self.note(|| format!("client {client} is cut from ZooKeeper for {pause:?}"));
        let one = &mut self.clients[client];
        if one.cut_until <= self.now {
            one.cut_since = self.now;
        }
        one.cut_until = one.cut_until.max(self.now + nanos(pause));
    }

    /// An operator, or an accident, deletes the leader's znode.
    pub(super) fn delete_first_node(&mut self) {
        // The leader learns it in its own time: tried with nobody leading.
        let leads = self.masters.iter().any(|master| master.term.is_some());
        if let Some(node) = self.ensemble.first_node().filter(|_| !leads) {
            self.count("deleted znode");
            self.ensemble.delete(&node);
            self.fire_watches();
        }
    }
}
