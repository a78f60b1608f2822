//! Drives the master's core: a bench with a manual clock, one file per concern.

mod accept;
mod agents;
mod bad_input;
mod counterfactuals;
mod failover;
mod maintenance;
mod offers;
mod operations;
mod policy;
mod random;
mod reconcile;
mod records;
mod scripts;
mod shell;
mod standing;
mod subscribe;
mod updates;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::base::{ConnectionId, FrameworkId, Instant, Now, RequestId, Timestamp};
use crate::proto::link::from_agent::Message as FromAgent;
use crate::proto::link::from_master::Message as FromMaster;
use crate::proto::v1::TaskState;
use crate::proto::v1::framework_info::capability::Type as Capability;
use crate::proto::v1::scheduler::{self, call};
use crate::proto::{link, v1};
use crate::registry::{Operation, Registry};
use crate::resources::{ReservationForm, parse};
use crate::roles::Role;
use crate::runtime::TimerTable;

use super::call::{CallError, OperatorCall, Reply, SchedulerCall};
use super::config::MasterConfig;
use super::core::Master;
use super::effect::{Effect, Effects, OperatorEvent, Token};
use super::event::Event;
use super::snapshot::Snapshot;
use super::timer::TimerKey;

/// A master with everything around it under the test's hands.
pub(super) struct Bench {
    pub(super) master: Master,
    pub(super) registry: Registry,
    now: Now,
    timers: TimerTable<TimerKey>,
    next: u64,
    /// When false, registry writes wait in `unanswered`.
    pub(super) answers: bool,
    pub(super) unanswered: VecDeque<(Token, Operation)>,
    events: BTreeMap<ConnectionId, Vec<scheduler::Event>>,
    messages: BTreeMap<ConnectionId, Vec<FromMaster>>,
    pub(super) closed: BTreeSet<ConnectionId>,
    /// Schedulers that are to be told of again when they have read.
    pub(super) awaiting_room: BTreeSet<ConnectionId>,
    replies: BTreeMap<RequestId, Result<Reply, CallError>>,
    pub(super) published: Vec<OperatorEvent>,
}

/// A subscribed framework.
#[derive(Clone, Debug)]
pub(super) struct Scheduler {
    pub(super) id: FrameworkId,
    pub(super) connection: ConnectionId,
}

/// A registered agent.
#[derive(Clone, Debug)]
pub(super) struct AgentPeer {
    pub(super) id: v1::AgentId,
    pub(super) info: v1::AgentInfo,
    pub(super) connection: ConnectionId,
}

pub(super) fn resources(text: &str) -> Vec<v1::Resource> {
    parse(text, &Role::DEFAULT)
        .unwrap()
        .to_proto(ReservationForm::Stack)
}

pub(super) fn framework(name: &str) -> v1::FrameworkInfo {
    let capability = |kind: Capability| v1::framework_info::Capability {
        r#type: Some(kind.into()),
    };
    v1::FrameworkInfo {
        user: "nobody".to_owned(),
        name: name.to_owned(),
        roles: vec!["dev".to_owned()],
        checkpoint: Some(true),
        failover_timeout: Some(60.0),
        capabilities: vec![
            capability(Capability::MultiRole),
            capability(Capability::PartitionAware),
        ],
        ..v1::FrameworkInfo::default()
    }
}

/// A framework that knows TASK_LOST only.
pub(super) fn old_framework(name: &str) -> v1::FrameworkInfo {
    let mut info = framework(name);
    info.capabilities.pop();
    info
}

pub(super) fn task(id: &str, agent: &AgentPeer, needs: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        name: id.to_owned(),
        task_id: v1::TaskId {
            value: id.to_owned(),
        },
        agent_id: agent.id.clone(),
        resources: resources(needs),
        command: Some(v1::CommandInfo {
            value: Some("true".to_owned()),
            ..v1::CommandInfo::default()
        }),
        ..v1::TaskInfo::default()
    }
}

pub(super) fn launch(tasks: Vec<v1::TaskInfo>) -> v1::offer::Operation {
    v1::offer::Operation {
        r#type: Some(v1::offer::operation::Type::Launch.into()),
        launch: Some(v1::offer::operation::Launch { task_infos: tasks }),
        ..v1::offer::Operation::default()
    }
}

pub(super) fn state_of(event: &scheduler::Event) -> Option<TaskState> {
    Some(event.update.as_ref()?.status.state())
}

pub(super) fn uuid(number: u8) -> Vec<u8> {
    vec![number; 16]
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(MasterConfig::new("m"), Registry::default())
    }

    pub(super) fn with(config: MasterConfig, registry: Registry) -> Self {
        let now = Now {
            mono: Instant(1_000_000_000),
            wall: Timestamp(1_700_000_000_000_000_000),
        };
        let mut effects = Effects::new();
        let master = Master::new(config, registry.clone(), now, &mut effects);
        let mut bench = Self {
            master,
            registry,
            now,
            timers: TimerTable::new(),
            next: 1,
            answers: true,
            unanswered: VecDeque::new(),
            events: BTreeMap::new(),
            messages: BTreeMap::new(),
            closed: BTreeSet::new(),
            awaiting_room: BTreeSet::new(),
            replies: BTreeMap::new(),
            published: Vec::new(),
        };
        bench.take(&mut effects);
        bench
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn connection(&mut self) -> ConnectionId {
        ConnectionId(self.number())
    }

    /// One step; registry writes are answered at once unless the test holds them back.
    pub(super) fn step(&mut self, event: Event) {
        let mut effects = Effects::new();
        self.master.step(self.now, event, &mut effects);
        self.take(&mut effects);
        self.master.check_invariants();
        if self.answers {
            self.answer_all();
        }
    }

    pub(super) fn answer_all(&mut self) {
        while let Some((token, operation)) = self.unanswered.pop_front() {
            let result = operation.apply(&mut self.registry).map(|_| ());
            self.step(Event::Persisted { token, result });
        }
    }

    fn take(&mut self, effects: &mut Effects) {
        for effect in effects.drain() {
            match effect {
                Effect::ToScheduler { connection, event } => {
                    self.events.entry(connection).or_default().push(*event);
                }
                Effect::ToAgent {
                    connection,
                    message,
                } => {
                    assert!(!self.closed.contains(&connection), "sent after close");
                    self.messages.entry(connection).or_default().push(*message);
                }
                Effect::AwaitRoom { connection } => {
                    assert!(self.awaiting_room.insert(connection), "asked twice");
                }
                Effect::CloseScheduler { connection } | Effect::CloseAgent { connection } => {
                    self.closed.insert(connection);
                }
                Effect::Persist { token, operation } => {
                    self.unanswered.push_back((token, operation));
                }
                Effect::SetTimer { key, at } => self.timers.set(key, at),
                Effect::CancelTimer { key } => assert!(self.timers.cancel(&key), "{key:?}"),
                Effect::Reply { request, result } => {
                    assert!(self.replies.insert(request, result).is_none());
                }
                Effect::Publish(event) => self.published.push(event),
            }
        }
    }

    /// Lets time pass and fires what falls due.
    pub(super) fn advance(&mut self, by: Duration) {
        let end = self.now.mono.after(by);
        while let Some(at) = self.timers.next_deadline().filter(|at| *at <= end) {
            let passed = at.since(self.now.mono);
            self.now.mono = self.now.mono.max(at);
            self.now.wall = self.now.wall.after(passed);
            while let Some(key) = self.timers.pop_due(self.now.mono) {
                self.step(Event::TimerFired(key));
            }
        }
        self.now.wall = self.now.wall.after(end.since(self.now.mono));
        self.now.mono = end;
    }

    /// Enough time for an allocation pass.
    pub(super) fn settle(&mut self) {
        self.advance(Duration::from_millis(20));
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.master.snapshot(self.now)
    }

    // Schedulers.

    pub(super) fn subscribe_on(&mut self, connection: ConnectionId, info: v1::FrameworkInfo) {
        self.step(Event::SchedulerSubscribed {
            connection,
            framework: Box::new(info),
            suppressed_roles: Vec::new(),
            offer_constraints: None,
            principal: None,
        });
    }

    pub(super) fn subscribe(&mut self, info: v1::FrameworkInfo) -> Scheduler {
        let connection = self.connection();
        self.subscribe_on(connection, info);
        let events = self.events(connection);
        let subscribed = events[0].subscribed.as_ref().expect("SUBSCRIBED is first");
        Scheduler {
            id: FrameworkId::new(&*subscribed.framework_id.value),
            connection,
        }
    }

    /// What a stream got since the last look.
    pub(super) fn events(&mut self, connection: ConnectionId) -> Vec<scheduler::Event> {
        self.events.remove(&connection).unwrap_or_default()
    }

    pub(super) fn offers(&mut self, scheduler: &Scheduler) -> Vec<v1::Offer> {
        self.settle();
        let events = self.events(scheduler.connection);
        let offers = events.into_iter().filter_map(|event| event.offers);
        offers.flat_map(|offers| offers.offers).collect()
    }

    /// The states of the updates that a scheduler got since the last look.
    pub(super) fn states(&mut self, scheduler: &Scheduler) -> Vec<TaskState> {
        let events = self.events(scheduler.connection);
        events.iter().filter_map(state_of).collect()
    }

    pub(super) fn statuses(&mut self, scheduler: &Scheduler) -> Vec<v1::TaskStatus> {
        let events = self.events(scheduler.connection);
        let updates = events.into_iter().filter_map(|event| event.update);
        updates.map(|update| update.status).collect()
    }

    pub(super) fn call(
        &mut self,
        scheduler: &Scheduler,
        call: SchedulerCall,
    ) -> Result<Reply, CallError> {
        let request = RequestId(self.number());
        self.step(Event::SchedulerCall {
            request,
            framework_id: scheduler.id.clone(),
            connection: Some(scheduler.connection),
            call,
        });
        self.replies
            .remove(&request)
            .expect("every call is answered")
    }

    pub(super) fn operator_call(&mut self, call: OperatorCall) -> Result<Reply, CallError> {
        let request = RequestId(self.number());
        self.step(Event::OperatorCall { request, call });
        self.replies
            .remove(&request)
            .expect("every call is answered")
    }

    pub(super) fn accept(
        &mut self,
        scheduler: &Scheduler,
        offers: &[v1::Offer],
        operations: Vec<v1::offer::Operation>,
    ) {
        let accept = call::Accept {
            offer_ids: offers.iter().map(|offer| offer.id.clone()).collect(),
            operations,
            filters: None,
        };
        self.call(scheduler, SchedulerCall::Accept(accept)).unwrap();
    }

    pub(super) fn acknowledge(&mut self, scheduler: &Scheduler, status: &v1::TaskStatus) {
        let acknowledge = call::Acknowledge {
            agent_id: status.agent_id.clone().unwrap(),
            task_id: status.task_id.clone(),
            uuid: status.uuid.clone().unwrap(),
        };
        self.call(scheduler, SchedulerCall::Acknowledge(acknowledge))
            .unwrap();
    }

    pub(super) fn disconnect(&mut self, scheduler: &Scheduler) {
        let connection = scheduler.connection;
        self.step(Event::SchedulerDisconnected { connection });
    }

    // Agents.

    pub(super) fn open_link(&mut self, host: &str) -> ConnectionId {
        let connection = self.connection();
        let peer = format!("{host}:5051");
        self.step(Event::AgentConnected { connection, peer });
        connection
    }

    pub(super) fn say(&mut self, connection: ConnectionId, message: FromAgent) {
        self.step(Event::AgentMessage {
            connection,
            message: Box::new(message),
        });
    }

    /// What a link got since the last look.
    pub(super) fn messages(&mut self, connection: ConnectionId) -> Vec<FromMaster> {
        self.messages.remove(&connection).unwrap_or_default()
    }

    pub(super) fn register_on(&mut self, connection: ConnectionId, host: &str, total: &str) {
        let register = link::Register {
            agent: agent_info(host),
            total: resources(total),
            version: "0.1.0".to_owned(),
        };
        self.say(connection, FromAgent::Register(register));
    }

    pub(super) fn agent(&mut self, host: &str, total: &str) -> AgentPeer {
        let connection = self.open_link(host);
        self.register_on(connection, host, total);
        let messages = self.messages(connection);
        let FromMaster::Registered(registered) = &messages[0] else {
            panic!("Registered is first, not {messages:?}");
        };
        let mut info = agent_info(host);
        info.id = Some(registered.agent_id.clone());
        info.resources = resources(total);
        AgentPeer {
            id: registered.agent_id.clone(),
            info,
            connection,
        }
    }

    pub(super) fn disconnect_agent(&mut self, agent: &AgentPeer) {
        let connection = agent.connection;
        self.step(Event::AgentDisconnected { connection });
    }

    /// The agent opens another link and says what it runs; gives the answer.
    pub(super) fn return_agent(
        &mut self,
        agent: &mut AgentPeer,
        tasks: Vec<v1::Task>,
        frameworks: Vec<v1::FrameworkInfo>,
    ) -> Vec<FromMaster> {
        agent.connection = self.open_link(&agent.info.hostname);
        let message = link::Reregister {
            agent: agent.info.clone(),
            tasks,
            frameworks,
            version: "0.1.0".to_owned(),
            ..link::Reregister::default()
        };
        self.say(agent.connection, FromAgent::Reregister(message));
        self.messages(agent.connection)
    }

    pub(super) fn update(
        &mut self,
        agent: &AgentPeer,
        scheduler: &Scheduler,
        task: &str,
        state: TaskState,
        number: u8,
    ) {
        self.update_ahead(agent, scheduler, task, (state, state), number);
    }

    /// An update of the first state while the task is in the second one already.
    pub(super) fn update_ahead(
        &mut self,
        agent: &AgentPeer,
        scheduler: &Scheduler,
        task: &str,
        (state, newest): (TaskState, TaskState),
        number: u8,
    ) {
        let update = link::StatusUpdate {
            framework_id: (&scheduler.id).into(),
            executor_id: None,
            status: v1::TaskStatus {
                task_id: v1::TaskId {
                    value: task.to_owned(),
                },
                state: state.into(),
                uuid: Some(uuid(number)),
                agent_id: Some(agent.id.clone()),
                ..v1::TaskStatus::default()
            },
            latest_state: newest.into(),
        };
        self.say(agent.connection, FromAgent::StatusUpdate(update));
    }

    /// A framework with one task that runs on one agent.
    pub(super) fn running(&mut self, info: v1::FrameworkInfo) -> (Scheduler, AgentPeer) {
        let agent = self.agent("a", "cpus:4;mem:1024");
        let scheduler = self.subscribe(info);
        let offers = self.offers(&scheduler);
        let tasks = vec![task("t", &agent, "cpus:1;mem:64")];
        self.accept(&scheduler, &offers, vec![launch(tasks)]);
        self.update(&agent, &scheduler, "t", TaskState::TaskRunning, 1);
        let statuses = self.statuses(&scheduler);
        assert_eq!(statuses.len(), 1);
        self.acknowledge(&scheduler, &statuses[0]);
        self.messages(agent.connection);
        (scheduler, agent)
    }

    /// The task `t` of [`Self::running`], as its agent reports it.
    pub(super) fn report(&self, scheduler: &Scheduler) -> v1::Task {
        let snapshot = self.snapshot();
        let task = snapshot.task(&scheduler.id, &crate::base::TaskId::new("t"));
        task.unwrap().to_proto()
    }
}

pub(super) fn agent_info(host: &str) -> v1::AgentInfo {
    v1::AgentInfo {
        hostname: host.to_owned(),
        ..v1::AgentInfo::default()
    }
}
