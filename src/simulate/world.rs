//! The master's events and effects, the agents that run what it launches, and the time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use crate::allocator::AllocatorConfig;
use crate::base::{ConnectionId, FrameworkId, Instant, Now, OfferId, RequestId, Rng, Timestamp};
use crate::master::{Effect, Effects, Event, Master, MasterConfig, SchedulerCall, TimerKey};
use crate::proto::link::from_agent::Message as FromAgent;
use crate::proto::link::from_master::Message as FromMaster;
use crate::proto::v1::scheduler::{self, call};
use crate::proto::{link, v1};
use crate::quota::Quota;
use crate::registry::Registry;
use crate::resources::{Quantities, ReservationForm, ResourceName};
use crate::roles::Role;

use super::figures::{Fairness, Figures, Sample, Waits, jain};
use super::model::{Answer, Model, filters};
use super::scenario::{FrameworkGroup, Scenario, ScenarioError, quantities, resources};

/// Longer than any scenario: model agents are never silent.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Something that will happen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Subscribe(usize),
    /// A batch of tasks is wanted.
    Batch(usize),
    /// A framework answers offers that it got together.
    Answer(usize, Vec<OfferId>),
    TaskEnds(usize, TaskKey),
    Sample,
}

/// Agent by number, framework by number, task by id.
type TaskKey = (usize, String);

#[derive(Debug)]
struct Agent {
    id: Option<v1::AgentId>,
    connection: ConnectionId,
}

/// The whole of it.
#[derive(Debug)]
struct World<'a> {
    scenario: &'a Scenario,
    master: Master,
    registry: Registry,
    now: Instant,
    rng: Rng,
    next: u64,
    /// Events that wait for the end of a step.
    todo: VecDeque<Event>,
    stepping: bool,
    queue: BinaryHeap<Reverse<(Instant, u64, Happening)>>,
    timers: BTreeMap<TimerKey, Instant>,
    agents: Vec<Agent>,
    models: Vec<Model>,
    by_connection: BTreeMap<ConnectionId, usize>,
    by_id: BTreeMap<String, usize>,
    offers: BTreeMap<OfferId, v1::Offer>,
    totals: Quantities,
    used: Vec<Quantities>,
    waits: Vec<Duration>,
    samples: Vec<Sample>,
    /// Sum and number of samples of launched / wanted, by framework.
    satisfied: Vec<(f64, u64)>,
}

/// The quotas of a scenario, checked.
pub(super) fn quotas(scenario: &Scenario) -> Result<BTreeMap<Role, Quota>, ScenarioError> {
    let wrong = |name: &str, error: &dyn std::fmt::Display| {
        ScenarioError::Wrong(format!("quota.{name}: {error}"))
    };
    let quotas = scenario.quota.iter().map(|(name, quota)| {
        let place = format!("quota.{name}");
        let role = Role::parse(name).map_err(|error| wrong(name, &error))?;
        let guarantees = quantities(&place, &quota.guarantee)?;
        let limits = quantities(&place, &quota.limit)?;
        let limits = limits.iter().map(|(name, amount)| (name.clone(), amount));
        let quota = Quota::new(&role, guarantees, limits.collect());
        Ok((role, quota.map_err(|error| wrong(name, &error))?))
    });
    quotas.collect()
}

/// Plays a scenario to its end.
///
/// # Errors
///
/// A value of the scenario makes no sense.
pub fn simulate(scenario: &Scenario) -> Result<Figures, ScenarioError> {
    let mut world = World::new(scenario)?;
    world.add_agents()?;
    world.add_frameworks()?;
    world.later(Duration::ZERO, Happening::Sample);
    let end = world.now.after(scenario.duration);
    while let Some(at) = world.next_at().filter(|at| *at <= end) {
        world.now = world.now.max(at);
        world.happen();
        if scenario.stop_when_launched && world.is_done() {
            break;
        }
    }
    Ok(world.figures())
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario) -> Result<Self, ScenarioError> {
        let now = Instant(1_000_000_000);
        let mut config = MasterConfig::new("sim");
        config.agent_ping_timeout = NEVER;
        config.offer_timeout = scenario.offer_timeout;
        config.offer_hoarding_timeout = scenario.offer_hoarding_timeout;
        config.allocator = AllocatorConfig {
            seed: scenario.seed,
            allocation_interval: scenario.allocation_interval,
            order: scenario.allocation_order,
            ..AllocatorConfig::default()
        };
        let registry = Registry {
            weights: scenario.weights()?.into_iter().collect(),
            quotas: quotas(scenario)?.into_iter().collect(),
            ..Registry::default()
        };
        let mut effects = Effects::new();
        let at = Self::time(now);
        let mut world = Self {
            scenario,
            master: Master::new(config, registry.clone(), at, &mut effects),
            registry,
            now,
            rng: Rng::seeded(scenario.seed, "scenario"),
            next: 0,
            todo: VecDeque::new(),
            stepping: false,
            queue: BinaryHeap::new(),
            timers: BTreeMap::new(),
            agents: Vec::new(),
            models: Vec::new(),
            by_connection: BTreeMap::new(),
            by_id: BTreeMap::new(),
            offers: BTreeMap::new(),
            totals: Quantities::new(),
            used: vec![Quantities::new(); scenario.frameworks.len()],
            waits: Vec::new(),
            samples: Vec::new(),
            satisfied: Vec::new(),
        };
        world.perform(&mut effects);
        Ok(world)
    }

    fn time(mono: Instant) -> Now {
        Now {
            mono,
            wall: Timestamp(mono.0),
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn later(&mut self, delay: Duration, what: Happening) {
        let (at, number) = (self.now.after(delay), self.number());
        self.queue.push(Reverse((at, number, what)));
    }

    fn next_at(&self) -> Option<Instant> {
        let queued = self.queue.peek().map(|Reverse((at, _, _))| *at);
        let timer = self.timers.values().min().copied();
        [queued, timer].into_iter().flatten().min()
    }

    /// Between half of a duration and one and a half.
    fn around(&mut self, duration: Duration) -> Duration {
        duration / 2 + self.rng.up_to(duration)
    }

    fn is_done(&self) -> bool {
        let idle = |model: &Model| model.wanted.is_empty() && model.batches_left == 0;
        self.models.iter().all(idle)
    }

    fn group(&self, framework: usize) -> &'a FrameworkGroup {
        &self.scenario.frameworks[self.models[framework].group]
    }

    // The cluster at its start.

    fn add_agents(&mut self) -> Result<(), ScenarioError> {
        for group in &self.scenario.agents {
            let total = resources("agents: resources", &group.resources)?;
            let attributes = crate::attributes::parse(&group.attributes)
                .map_err(|error| ScenarioError::Wrong(format!("agents: attributes: {error}")))?;
            for _ in 0..group.count {
                let number = self.agents.len();
                let connection = ConnectionId(self.number());
                self.totals.add(&total.quantities());
                self.agents.push(Agent {
                    id: None,
                    connection,
                });
                let peer = format!("agent-{number}:5051");
                self.step(Event::AgentConnected { connection, peer });
                let register = link::Register {
                    agent: v1::AgentInfo {
                        hostname: format!("agent-{number}"),
                        attributes: attributes.to_proto(),
                        ..v1::AgentInfo::default()
                    },
                    total: total.to_proto(ReservationForm::Stack),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                };
                self.say(number, FromAgent::Register(register));
            }
        }
        Ok(())
    }

    fn add_frameworks(&mut self) -> Result<(), ScenarioError> {
        for (at, group) in self.scenario.frameworks.iter().enumerate() {
            let task = resources(&group.name, &group.task)?;
            for number in 1..=group.count {
                let framework = self.models.len();
                let connection = ConnectionId(self.number());
                self.by_connection.insert(connection, framework);
                self.satisfied.push((0.0, 0));
                self.models.push(Model {
                    group: at,
                    name: format!("{}-{number}", group.name),
                    role: group.role_of(number)?,
                    connection,
                    id: None,
                    task: task.clone(),
                    wanted: VecDeque::new(),
                    batches_left: group.batches,
                    asked: 0,
                    launched: 0,
                    finished: 0,
                    suppressed: false,
                    kept: BTreeMap::new(),
                });
                self.later(group.starts, Happening::Subscribe(framework));
            }
        }
        Ok(())
    }

    // What happens.

    fn happen(&mut self) {
        // Of what happens at the same moment, timers are last: a pass sees all of it.
        let queued = self.queue.peek().map(|Reverse((at, _, _))| *at);
        let timers = self.timers.iter().map(|(key, at)| (*at, key));
        if let Some((at, key)) = timers.min()
            && queued.is_none_or(|queued| at < queued)
        {
            let key = key.clone();
            self.timers.remove(&key);
            return self.step(Event::TimerFired(key));
        }
        let Some(Reverse((_, _, what))) = self.queue.pop() else {
            return;
        };
        match what {
            Happening::Subscribe(framework) => self.subscribe(framework),
            Happening::Batch(framework) => self.batch(framework),
            Happening::Answer(framework, offers) => self.answer(framework, &offers),
            Happening::TaskEnds(agent, (framework, task)) => self.task_ends(agent, framework, task),
            Happening::Sample => self.sample(),
        }
    }

    fn subscribe(&mut self, framework: usize) {
        use v1::framework_info::capability::Type as Capability;
        let model = &self.models[framework];
        let (connection, role) = (model.connection, model.role.to_string());
        let kinds = [Capability::MultiRole, Capability::PartitionAware];
        let capability = |kind: Capability| v1::framework_info::Capability {
            r#type: Some(kind.into()),
        };
        let info = v1::FrameworkInfo {
            user: "nobody".to_owned(),
            name: model.name.clone(),
            roles: vec![role],
            capabilities: kinds.map(capability).into(),
            ..v1::FrameworkInfo::default()
        };
        // What it wants it wants from its first moment on.
        self.batch(framework);
        self.step(Event::SchedulerSubscribed {
            connection,
            framework: Box::new(info),
            suppressed_roles: Vec::new(),
            offer_constraints: None,
            principal: None,
        });
    }

    fn batch(&mut self, framework: usize) {
        let (group, now) = (self.group(framework), self.now);
        let model = &mut self.models[framework];
        if model.batches_left == 0 {
            return;
        }
        model.batches_left -= 1;
        model.asked += group.tasks;
        model.wanted.extend((0..group.tasks).map(|_| now));
        let more = model.batches_left > 0;
        let kept = std::mem::take(&mut model.kept);
        if more {
            let delay = self.around(group.every);
            self.later(delay, Happening::Batch(framework));
        }
        let kept: Vec<OfferId> = kept.into_keys().map(OfferId::new).collect();
        self.answer(framework, &kept);
        if std::mem::take(&mut self.models[framework].suppressed) {
            self.call(framework, SchedulerCall::Revive { roles: Vec::new() });
        }
    }

    fn answer(&mut self, framework: usize, offers: &[OfferId]) {
        let group = self.group(framework);
        let mut returned = Vec::new();
        for id in offers {
            let Some(offer) = self.offers.get(id).cloned() else {
                continue;
            };
            let first = self.models[framework].launched;
            match self.models[framework].answer(group, &offer) {
                Answer::Use(since) => {
                    let waited = since.iter().map(|since| self.now.since(*since));
                    self.waits.extend(waited);
                    self.offers.remove(id);
                    let model = &self.models[framework];
                    let accept = model.accept(group, &offer, since.len(), first);
                    let task = model.task.quantities();
                    for _ in &since {
                        self.used[model.group].add(&task);
                    }
                    self.call(framework, SchedulerCall::Accept(accept));
                }
                Answer::Return => {
                    self.offers.remove(id);
                    returned.push(offer.id);
                }
                Answer::Keep => {
                    let kept = &mut self.models[framework].kept;
                    kept.insert(id.to_string(), offer);
                }
            }
        }
        if !returned.is_empty() {
            let decline = call::Decline {
                offer_ids: returned,
                filters: Some(filters(group.refuses)),
            };
            self.call(framework, SchedulerCall::Decline(decline));
        }
        let model = &mut self.models[framework];
        if group.suppresses && model.wanted.is_empty() && model.id.is_some() && !model.suppressed {
            model.suppressed = true;
            self.call(framework, SchedulerCall::Suppress { roles: Vec::new() });
        }
    }

    fn task_ends(&mut self, agent: usize, framework: usize, task: String) {
        let model = &mut self.models[framework];
        model.finished += 1;
        let Some(id) = &model.id else {
            return;
        };
        let framework_id = v1::FrameworkId::from(id);
        self.used[model.group].subtract(&model.task.quantities());
        let uuid = self.rng.uuid();
        let update = link::StatusUpdate {
            framework_id,
            executor_id: None,
            status: v1::TaskStatus {
                task_id: v1::TaskId { value: task },
                state: v1::TaskState::TaskFinished.into(),
                uuid: Some(uuid.0.to_vec()),
                agent_id: self.agents[agent].id.clone(),
                ..v1::TaskStatus::default()
            },
            latest_state: v1::TaskState::TaskFinished.into(),
        };
        self.say(agent, FromAgent::StatusUpdate(update));
    }

    fn sample(&mut self) {
        let part = |name: &ResourceName, used: &Quantities| {
            let total = self.totals.get(name).thousandths();
            let used = used.get(name).thousandths();
            if total == 0 {
                0.0
            } else {
                used as f64 / total as f64
            }
        };
        let mut all = Quantities::new();
        self.used.iter().for_each(|used| all.add(used));
        let dominant = |used: &Quantities| {
            let shares = used.iter().map(|(name, _)| part(name, used));
            shares.fold(0.0, f64::max)
        };
        self.samples.push(Sample {
            at: self.now.since(Instant(1_000_000_000)),
            cpus: part(&ResourceName::CPUS, &all),
            mem: part(&ResourceName::MEM, &all),
            shares: self.used.iter().map(dominant).collect(),
        });
        for (model, (sum, count)) in self.models.iter().zip(&mut self.satisfied) {
            if model.asked > 0 {
                *sum += model.launched as f64 / model.asked as f64;
                *count += 1;
            }
        }
        self.later(self.scenario.sample, Happening::Sample);
    }

    // The master.

    fn call(&mut self, framework: usize, call: SchedulerCall) {
        let model = &self.models[framework];
        let Some(framework_id) = model.id.clone() else {
            return;
        };
        let connection = Some(model.connection);
        let request = RequestId(self.number());
        self.step(Event::SchedulerCall {
            request,
            framework_id,
            connection,
            call,
        });
    }

    fn say(&mut self, agent: usize, message: FromAgent) {
        let connection = self.agents[agent].connection;
        self.step(Event::AgentMessage {
            connection,
            message: Box::new(message),
        });
    }

    /// One step, and the steps that its effects lead to at once. All effects of a step are
    /// performed before the next.
    fn step(&mut self, event: Event) {
        self.todo.push_back(event);
        if std::mem::replace(&mut self.stepping, true) {
            return;
        }
        while let Some(event) = self.todo.pop_front() {
            let mut effects = Effects::new();
            self.master.step(Self::time(self.now), event, &mut effects);
            self.perform(&mut effects);
        }
        self.stepping = false;
    }

    fn perform(&mut self, effects: &mut Effects) {
        for effect in effects.drain() {
            match effect {
                Effect::ToScheduler { connection, event } => self.hear(connection, *event),
                Effect::ToAgent {
                    connection,
                    message,
                } => self.command(connection, *message),
                Effect::Persist { token, operation } => {
                    let result = operation.apply(&mut self.registry).map(|_| ());
                    self.step(Event::Persisted { token, result });
                }
                Effect::SetTimer { key, at } => {
                    self.timers.insert(key, at);
                }
                Effect::CancelTimer { key } => {
                    self.timers.remove(&key);
                }
                Effect::AwaitRoom { connection } => {
                    self.step(Event::SchedulerHasRoom { connection });
                }
                Effect::CloseScheduler { .. }
                | Effect::CloseAgent { .. }
                | Effect::Reply { .. }
                | Effect::Publish(_) => {}
            }
        }
    }

    /// A framework hears of something.
    fn hear(&mut self, connection: ConnectionId, event: scheduler::Event) {
        let Some(framework) = self.by_connection.get(&connection).copied() else {
            return;
        };
        if let Some(subscribed) = event.subscribed {
            let id = FrameworkId::new(subscribed.framework_id.value.as_str());
            self.by_id.insert(id.to_string(), framework);
            self.models[framework].id = Some(id);
        }
        if let Some(offers) = event.offers {
            let mut ids = Vec::new();
            for offer in offers.offers {
                let id = OfferId::new(offer.id.value.as_str());
                self.offers.insert(id.clone(), offer);
                ids.push(id);
            }
            let delay = self.group(framework).answers;
            self.later(delay, Happening::Answer(framework, ids));
        }
        if let Some(rescind) = event.rescind {
            let id = OfferId::new(rescind.offer_id.value.as_str());
            self.offers.remove(&id);
            self.models[framework].kept.remove(&rescind.offer_id.value);
        }
        if let Some(update) = event.update
            && let (Some(agent_id), Some(uuid)) = (update.status.agent_id, update.status.uuid)
        {
            let acknowledge = call::Acknowledge {
                agent_id,
                task_id: update.status.task_id,
                uuid,
            };
            self.call(framework, SchedulerCall::Acknowledge(acknowledge));
        }
    }

    /// An agent is told something.
    fn command(&mut self, connection: ConnectionId, message: FromMaster) {
        let known = |agent: &Agent| agent.connection == connection;
        match message {
            FromMaster::Registered(registered) => {
                if let Some(agent) = self.agents.iter_mut().rev().find(|agent| known(agent)) {
                    agent.id = Some(registered.agent_id);
                }
            }
            FromMaster::RunTask(run) => {
                let id = run.framework.id.map(|id| id.value).unwrap_or_default();
                let Some(framework) = self.by_id.get(&id).copied() else {
                    return;
                };
                if let Some(runs) = self.group(framework).runs
                    && let Some(agent) = self.agents.iter().position(known)
                {
                    let delay = self.around(runs);
                    let task = (framework, run.task.task_id.value);
                    self.later(delay, Happening::TaskEnds(agent, task));
                }
            }
            _ => {}
        }
    }

    // The end.

    fn figures(mut self) -> Figures {
        self.sample();
        let mean = |of: fn(&Sample) -> f64| {
            let sum: f64 = self.samples.iter().map(of).sum();
            sum / self.samples.len() as f64
        };
        let mut by_role: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut all = Vec::new();
        for (model, (sum, count)) in self.models.iter().zip(&self.satisfied) {
            if *count > 0 {
                let satisfied = sum / *count as f64;
                all.push(satisfied);
                by_role
                    .entry(model.role.to_string())
                    .or_default()
                    .push(satisfied);
            }
        }
        let sum = |of: fn(&Model) -> u64| self.models.iter().map(of).sum();
        let metrics = self.master.snapshot(Self::time(self.now)).metrics;
        Figures {
            lasted: self.now.since(Instant(1_000_000_000)),
            tasks_wanted: sum(|model| model.asked),
            tasks_launched: sum(|model| model.launched),
            tasks_finished: sum(|model| model.finished),
            passes: self.master.allocator_metrics().passes,
            offers: metrics.offers_sent,
            offers_declined: metrics.offers_declined,
            offers_rescinded: metrics.offers_rescinded,
            cpus: mean(|sample| sample.cpus),
            mem: mean(|sample| sample.mem),
            jain: jain(&all),
            jain_by_role: by_role
                .into_iter()
                .map(|(role, x)| {
                    let (jain, frameworks) = (jain(&x), x.len());
                    (role, Fairness { jain, frameworks })
                })
                .collect(),
            waits: Waits::of(self.waits),
            groups: self
                .scenario
                .frameworks
                .iter()
                .map(|group| group.name.clone())
                .collect(),
            samples: self.samples,
        }
    }
}
