//! The agent's state and its `step`, which only routes; behaviour is in one file per topic.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use imbl::{OrdMap, Vector};

use crate::base::{
    AgentId, ConnectionId, ContainerId, ExecutorId, FrameworkId, Now, Rng, TaskId, Timestamp, Uuid,
};
use crate::proto::{link, v1};
use crate::resources::Resources;

use super::checkpoint::{CheckpointToken, Checkpointed, Paths, Record};
use super::config::AgentConfig;
use super::effect::{Effect, Effects, Reply};
use super::event::Event;
use super::executor::Executor;
use super::framework::Framework;
use super::gc::GarbageCollector;
use super::metrics::Counters;
use super::operation::Operation;
use super::registration::Registration;
use super::snapshot::Snapshot;
use super::task::Task;
use super::timer::TimerKey;
use super::update_stream::UpdateStream;

/// A task, named by its framework and itself.
pub(super) type TaskKey = (FrameworkId, TaskId);

/// The agent: every executor, task and update of one host.
#[derive(Debug)]
pub struct Agent {
    pub(super) config: AgentConfig,
    pub(super) paths: Paths,
    pub(super) started: Timestamp,
    /// With id once the master has given one.
    pub(super) info: Arc<v1::AgentInfo>,
    pub(super) total: Resources,
    /// `total` as far as operations are written down.
    pub(super) recorded_total: Resources,
    /// Operations that count and are not being written down yet, in the order in which they came.
    pub(super) unrecorded: VecDeque<Uuid>,
    /// Operations whose end the master has not acknowledged.
    pub(super) operations: OrdMap<Uuid, Arc<Operation>>,
    pub(super) registration: Registration,
    pub(super) frameworks: OrdMap<FrameworkId, Arc<Framework>>,
    pub(super) completed_frameworks: Vector<Arc<Framework>>,
    /// Executor streams.
    pub(super) connections: BTreeMap<ConnectionId, (FrameworkId, ExecutorId)>,
    /// Containers that were asked for and have not ended.
    pub(super) containers: BTreeMap<ContainerId, (FrameworkId, ExecutorId)>,
    /// Updates that schedulers have not acknowledged.
    pub(super) streams: BTreeMap<TaskKey, UpdateStream>,
    /// Tasks whose executors ended in an earlier life, with their frameworks: the master must know of
    /// them while their updates are under way.
    pub(super) over: BTreeMap<TaskKey, (Arc<v1::FrameworkInfo>, Task)>,
    /// What goes on when a record is written.
    pub(super) pending: BTreeMap<CheckpointToken, Pending>,
    /// What must be written before anything else: how this life treats the earlier one's records.
    pub(super) first_record: Option<Record>,
    pub(super) gc: GarbageCollector,
    pub(super) counters: Counters,
    /// What an operator wants: how, and since when.
    pub(super) drain: Option<(v1::DrainConfig, Timestamp)>,
    pub(super) exit: Option<Exit>,
    /// Containers of earlier lives are being taken back; the master waits.
    pub(super) recovering: bool,
    /// When that was done.
    pub(super) recovered_at: Option<Timestamp>,
    /// `exit` waits only for containers.
    pub(super) ending_now: bool,
    next_token: u64,
    next_group: u64,
    pub(super) container_rng: Rng,
    pub(super) update_rng: Rng,
}

/// What goes on when a record is written.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    /// Nothing waits for it.
    Nothing,
    /// The agent may use the id that the master gave.
    Registered,
    /// Tasks may go to their executor, which is launched if it was not.
    Run {
        framework_id: FrameworkId,
        executor_id: ExecutorId,
        container_id: ContainerId,
        tasks: Vec<TaskId>,
    },
    /// An update may be acknowledged to its executor and sent to the master.
    Update { key: TaskKey, uuid: Uuid },
    /// The next update of the task may be sent.
    Acknowledged { key: TaskKey, uuid: Uuid },
    /// An operation counts: the master may hear of it.
    Operation { uuid: Uuid },
    /// An operation is over.
    OperationAcknowledged { uuid: Uuid },
    /// Tasks may be ended: a restarted agent would go on with it.
    Draining,
    /// The agent may end: its id is forgotten.
    Removed,
}

/// Why the whole agent is ending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    pub(super) reason: String,
    pub(super) failed: bool,
    /// Executors of checkpointing frameworks stay.
    pub(super) leaves_executors: bool,
}

impl Agent {
    /// An agent that goes on from what an earlier one has written down (nothing, at the first start).
    /// The id is kept when the description is still compatible with it.
    #[must_use]
    pub fn new(config: AgentConfig, checkpointed: Checkpointed, now: Now) -> Self {
        let seed = config.seed;
        let mut agent = Self {
            paths: Paths::new(config.work_dir.clone()),
            started: now.wall,
            info: Arc::new(config.agent_info()),
            total: Resources::default(),
            recorded_total: Resources::default(),
            unrecorded: VecDeque::new(),
            operations: OrdMap::new(),
            registration: Registration::new(&config),
            frameworks: OrdMap::new(),
            completed_frameworks: Vector::new(),
            connections: BTreeMap::new(),
            containers: BTreeMap::new(),
            streams: BTreeMap::new(),
            over: BTreeMap::new(),
            pending: BTreeMap::new(),
            first_record: None,
            gc: GarbageCollector::new(&config),
            counters: Counters::default(),
            drain: None,
            exit: None,
            recovering: false,
            recovered_at: None,
            ending_now: false,
            next_token: 0,
            next_group: 0,
            container_rng: Rng::seeded(seed, "agent containers"),
            update_rng: Rng::seeded(seed, "agent updates"),
            config,
        };
        agent.recover_operations(&checkpointed);
        agent.recover(checkpointed, now);
        agent
    }

    /// Effects that start the agent's own clockwork; performed before the first event.
    pub fn start(&mut self, now: Now, effects: &mut Effects) {
        self.take_back(effects);
        self.gc.start(now, effects);
        self.start_volumes(effects);
    }

    /// Takes one event. Never fails, never waits.
    pub fn step(&mut self, now: Now, event: Event, effects: &mut Effects) {
        match event {
            Event::MasterConnected { connection } => {
                self.master_connected(now, connection, effects)
            }
            Event::MasterMessage {
                connection,
                message,
            } => self.master_message(now, connection, *message, effects),
            Event::FrameworkMessage { message } => self.framework_message(*message, effects),
            Event::MasterDisconnected { connection } => {
                self.master_disconnected(connection, effects);
            }
            Event::ExecutorSubscribed { .. }
            | Event::ExecutorDriver { .. }
            | Event::ExecutorCall { .. }
            | Event::ExecutorDisconnected { .. } => self.executor_event(now, event, effects),
            Event::ContainerLaunched { container_id, pid } => {
                self.container_launched(&container_id, pid, effects);
            }
            Event::Recovered => self.recovered(now, effects),
            Event::ContainerEnded {
                container_id,
                ended,
            } => self.container_ended(now, &container_id, *ended, effects),
            Event::Checkpointed { token, result } => self.checkpointed(now, token, result, effects),
            Event::VolumesMade { operation, result } => {
                self.volumes_made(now, operation, result, effects);
            }
            Event::TimerFired(key) => self.timer_fired(now, key, effects),
            Event::DiskUsage { permille } => self.gc.disk_usage(now, permille, effects),
            Event::SandboxesFound { sandboxes } => self.sandboxes_found(now, sandboxes),
            Event::PathRemoved { path, result } => {
                self.gc.removed(&path, result.is_ok(), &mut self.counters);
            }
            Event::SnapshotRequested { request } => effects.push(Effect::Reply {
                request,
                result: Ok(Reply::Snapshot(Box::new(self.snapshot(now)))),
            }),
            Event::Shutdown { destroy } => self.shutdown(destroy, effects),
        }
        self.finish_drain(now, effects);
        self.end_if_empty(effects);
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
    }

    fn executor_event(&mut self, now: Now, event: Event, effects: &mut Effects) {
        match event {
            Event::ExecutorSubscribed {
                connection,
                framework_id,
                executor_id,
                unacknowledged_tasks,
                unacknowledged_updates,
                container,
            } => {
                let key = (framework_id, executor_id);
                if self.executor_subscribed(connection, &key, container.as_ref(), effects) {
                    self.executor_replays(
                        now,
                        &key,
                        &unacknowledged_tasks,
                        unacknowledged_updates,
                        effects,
                    );
                }
            }
            Event::ExecutorDriver {
                framework_id,
                executor_id,
                driver,
            } => self.executor_driver(&(framework_id, executor_id), driver, effects),
            Event::ExecutorCall {
                request,
                framework_id,
                executor_id,
                connection,
                call,
            } => {
                let key = (framework_id, executor_id);
                let result = self.executor_call(now, &key, connection, *call, effects);
                if let Some(request) = request {
                    let result = result.map(|()| Reply::Accepted);
                    effects.push(Effect::Reply { request, result });
                }
            }
            Event::ExecutorDisconnected { connection } => self.executor_disconnected(connection),
            other => unreachable!("not an executor's event: {other:?}"),
        }
    }

    fn timer_fired(&mut self, now: Now, key: TimerKey, effects: &mut Effects) {
        match key {
            TimerKey::Register => self.register(now, effects),
            TimerKey::PingTimeout => self.ping_timed_out(effects),
            TimerKey::ExecutorRegistration(container_id) => {
                self.registration_timed_out(now, &container_id, effects);
            }
            TimerKey::ExecutorShutdown(container_id) => {
                self.grace_over(&container_id, effects);
            }
            TimerKey::LimitationGrace(container_id) => {
                self.release_held(now, &container_id, effects);
            }
            TimerKey::UpdateRetry(framework_id, task_id) => {
                self.send_update(now, &(framework_id, task_id), effects);
            }
            TimerKey::OperationRetry(uuid) => self.send_operation(now, uuid, effects),
            TimerKey::GarbageCollection => effects.push(Effect::MeasureDisk),
        }
    }

    fn checkpointed(
        &mut self,
        now: Now,
        token: CheckpointToken,
        result: Result<(), String>,
        effects: &mut Effects,
    ) {
        let Some(pending) = self.pending.remove(&token) else {
            return;
        };
        if let Err(error) = result
            && !planted!(self, IgnoreFullDisk)
        {
            // Going on would promise what a restart cannot keep.
            effects.push(Effect::Exit {
                reason: format!("the agent's state cannot be written: {error}"),
                failed: true,
            });
            return;
        }
        match pending {
            Pending::Nothing => {}
            Pending::Draining => self.end_tasks_for_drain(now, effects),
            Pending::Registered => self.registered(now, effects),
            Pending::Run {
                framework_id,
                executor_id,
                container_id,
                tasks,
            } => {
                let key = (framework_id, executor_id);
                self.run_recorded(now, &key, &container_id, &tasks, effects);
            }
            Pending::Update { key, uuid } => self.update_recorded(now, &key, uuid, effects),
            Pending::Acknowledged { key, uuid } => {
                self.acknowledgement_recorded(now, &key, uuid, effects);
            }
            Pending::Operation { uuid } => self.operation_recorded(now, uuid, effects),
            Pending::OperationAcknowledged { uuid } => self.forget_operation(uuid),
            Pending::Removed => self.end_when_empty(effects),
        }
    }

    /// Asks for a durable write.
    pub(super) fn checkpoint(&mut self, record: Record, then: Pending, effects: &mut Effects) {
        if let Some(first) = self.first_record.take() {
            self.checkpoint(first, Pending::Nothing, effects);
        }
        self.next_token += 1;
        let token = CheckpointToken(self.next_token);
        self.pending.insert(token, then);
        effects.push(Effect::Checkpoint {
            token,
            record: Box::new(record),
        });
    }

    pub(super) fn next_group(&mut self) -> u64 {
        self.next_group += 1;
        self.next_group
    }

    /// The id that the master has given.
    pub(super) fn agent_id(&self) -> Option<AgentId> {
        self.info
            .id
            .as_ref()
            .map(|id| AgentId::new(id.value.as_str()))
    }

    pub(super) fn executor(&self, key: &(FrameworkId, ExecutorId)) -> Option<&Arc<Executor>> {
        self.frameworks.get(&key.0)?.executors.get(&key.1)
    }

    pub(super) fn executor_mut(
        &mut self,
        key: &(FrameworkId, ExecutorId),
    ) -> Option<&mut Executor> {
        let framework = self.framework_mut(&key.0)?;
        framework.executors.get_mut(&key.1).map(Arc::make_mut)
    }

    pub(super) fn framework_mut(&mut self, id: &FrameworkId) -> Option<&mut Framework> {
        self.frameworks.get_mut(id).map(Arc::make_mut)
    }

    /// Sends to the master if the agent is registered; gives whether it was.
    pub(super) fn to_master(
        &self,
        message: link::from_agent::Message,
        effects: &mut Effects,
    ) -> bool {
        let Some(connection) = self.registration.registered_connection() else {
            return false;
        };
        effects.push(Effect::ToMaster {
            connection,
            message: Box::new(message),
        });
        true
    }

    /// What readers get.
    #[must_use]
    pub fn snapshot(&self, now: Now) -> Snapshot {
        Snapshot {
            now,
            started: self.started,
            recovered_at: self.recovered_at,
            endpoint: self.config.endpoint(),
            info: Arc::clone(&self.info),
            registered: self.registration.registered_connection().is_some(),
            total: self.total.clone(),
            operations: self.operations.clone(),
            master: self.registration.master.clone(),
            frameworks: self.frameworks.clone(),
            completed_frameworks: self.completed_frameworks.clone(),
            counters: self.counters.clone(),
            gc_age_secs: self.gc.age_max().as_secs(),
            gc_pending: self.gc.pending(),
            drain: self.drain,
        }
    }
}
