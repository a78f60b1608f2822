//! The link to the master: register and re-register with back-off, pings, reconnection.
//!
//! ```text
//! Down --> Waiting --> Sent --> Recording --> Up          (Down again from any of them)
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{ConnectionId, Now, Rng, TaskId};
use crate::proto::{link, v1};
use crate::resources::ReservationForm;

use super::checkpoint::Record;
use super::config::AgentConfig;
use super::core::{Agent, Pending};
use super::effect::{Effect, Effects};
use super::executor::ExecutorStatus;
use super::timer::TimerKey;
use super::update_stream::UpdateStream;

/// Longest bound of the random registration back-off.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Least bound after a failed attempt.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// Longest wait on an open link: the master lets go whoever says nothing for five seconds.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// How long a master may take to answer a registration: it writes its registry first.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Messages that may come while the agent's id is being written down.
const BACKLOG_MAX: usize = 4096;

/// The state of the link.
#[derive(Debug)]
enum Link {
    Down,
    /// Waits for the back-off to pass.
    Waiting(ConnectionId),
    /// Waits for the master's answer.
    Sent(ConnectionId),
    /// The answer is being written down; what the master says meanwhile waits.
    Recording {
        connection: ConnectionId,
        reconciliations: Vec<link::ReconcileTasks>,
        operations: Vec<link::MissingOperation>,
        backlog: VecDeque<link::from_master::Message>,
    },
    Up(ConnectionId),
}

/// Everything that concerns the link.
#[derive(Debug)]
pub(super) struct Registration {
    link: Link,
    backoff: Duration,
    backoff_factor: Duration,
    ping_timeout: Duration,
    rng: Rng,
    /// The highest leadership number seen.
    pub(super) epoch: u64,
    pub(super) master: Option<Arc<v1::MasterInfo>>,
    /// What is written down of the agent.
    pub(super) recorded: Option<Record>,
}

/// The longest first wait. Mesos' agents wait up to the whole factor; masters here admit a bounded
/// number at a time, so half of it keeps the crowd apart and the cluster usable a moment earlier.
fn first_bound(factor: Duration) -> Duration {
    factor / 2
}

/// The fields that Registered and Reregistered share.
struct Answer {
    agent_id: v1::AgentId,
    master: v1::MasterInfo,
    epoch: u64,
    ping_timeout_secs: f64,
    reconciliations: Vec<link::ReconcileTasks>,
    operations: Vec<link::MissingOperation>,
}

impl Registration {
    pub(super) fn new(config: &AgentConfig) -> Self {
        Self {
            link: Link::Down,
            backoff: first_bound(config.timing.registration_backoff_factor),
            backoff_factor: config.timing.registration_backoff_factor,
            ping_timeout: config.timing.ping_timeout,
            rng: Rng::seeded(config.seed, "agent registration"),
            epoch: 0,
            master: None,
            recorded: None,
        }
    }

    fn connection(&self) -> Option<ConnectionId> {
        match &self.link {
            Link::Down => None,
            Link::Waiting(connection)
            | Link::Sent(connection)
            | Link::Recording { connection, .. }
            | Link::Up(connection) => Some(*connection),
        }
    }

    /// The link, once the master has admitted the agent on it.
    pub(super) fn registered_connection(&self) -> Option<ConnectionId> {
        match &self.link {
            Link::Up(connection) => Some(*connection),
            Link::Down | Link::Waiting(_) | Link::Sent(_) | Link::Recording { .. } => None,
        }
    }

    /// Gives the link up; an attempt that did not succeed makes the next one wait longer.
    fn down(&mut self, effects: &mut Effects) {
        if !matches!(self.link, Link::Up(_) | Link::Down) {
            self.backoff = (self.backoff * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
        }
        self.link = Link::Down;
        effects.cancel_timer(TimerKey::Register);
        effects.cancel_timer(TimerKey::PingTimeout);
    }

    fn close(&mut self, effects: &mut Effects) {
        if let Some(connection) = self.connection() {
            effects.push(Effect::CloseMaster { connection });
        }
        self.down(effects);
    }

    fn await_ping(&self, now: Now, effects: &mut Effects) {
        effects.set_timer(TimerKey::PingTimeout, now.mono.after(self.ping_timeout));
    }
}

impl Agent {
    pub(super) fn master_connected(
        &mut self,
        now: Now,
        connection: ConnectionId,
        effects: &mut Effects,
    ) {
        self.registration.down(effects);
        self.registration.link = Link::Waiting(connection);
        if !self.recovering {
            self.register_soon(now, effects);
        }
    }

    /// After a random pause.
    fn register_soon(&mut self, now: Now, effects: &mut Effects) {
        let registration = &mut self.registration;
        let longest = registration.backoff.min(SILENCE_MAX);
        let wait = registration.rng.up_to(longest);
        if wait.is_zero() {
            self.register(now, effects);
        } else {
            effects.set_timer(TimerKey::Register, now.mono.after(wait));
        }
    }

    /// A master that connected during the recovery is waiting.
    pub(super) fn register_after_recovery(&mut self, now: Now, effects: &mut Effects) {
        if matches!(self.registration.link, Link::Waiting(_)) {
            self.register_soon(now, effects);
        }
    }

    pub(super) fn master_disconnected(&mut self, connection: ConnectionId, effects: &mut Effects) {
        if self.registration.connection() == Some(connection) {
            self.registration.down(effects);
        }
    }

    pub(super) fn ping_timed_out(&mut self, effects: &mut Effects) {
        tracing::info!("no ping from the master for too long, connecting again");
        self.registration.close(effects);
    }

    /// The back-off has passed, or the master did not answer.
    pub(super) fn register(&mut self, now: Now, effects: &mut Effects) {
        match self.registration.link {
            Link::Waiting(connection) => {
                self.registration.link = Link::Sent(connection);
                let message = Box::new(self.registration_message());
                effects.push(Effect::ToMaster {
                    connection,
                    message,
                });
                effects.set_timer(TimerKey::Register, now.mono.after(ANSWER_MAX));
            }
            Link::Sent(_) => {
                tracing::info!("the master did not answer the registration, connecting again");
                self.registration.close(effects);
            }
            Link::Down | Link::Recording { .. } | Link::Up(_) => {}
        }
    }

    fn registration_message(&self) -> link::from_agent::Message {
        let agent = (*self.info).clone();
        let total = self.total.to_proto(ReservationForm::Stack);
        let version = self.config.version.clone();
        if agent.id.is_none() {
            return link::from_agent::Message::Register(link::Register {
                agent,
                total,
                version,
            });
        }
        let mut message = link::Reregister {
            agent,
            total,
            version,
            operations: self.operations_to_proto(),
            ..Default::default()
        };
        for framework in self.frameworks.values() {
            message.frameworks.push((*framework.info).clone());
            for executor in framework.executors.values() {
                // One that is about to be launched counts: its tasks are on their way to it.
                let over = executor.status == ExecutorStatus::Terminated;
                if !over && !executor.command_executor {
                    message.executors.push((*executor.info).clone());
                }
                for (task_id, task) in &executor.tasks {
                    let key = (executor.framework_id.clone(), task_id.clone());
                    let mut task = executor.task_to_proto(task);
                    let oldest = self.streams.get(&key).and_then(UpdateStream::oldest);
                    if let (None, Some(update)) = (task.status_update_state, oldest) {
                        // No master was sent anything yet: its answers begin where the updates will.
                        task.status_update_state = Some(update.status.state);
                        task.status_update_uuid = Some(update.uuid.0.to_vec());
                    }
                    message.tasks.push(task);
                }
            }
        }
        for (key, (framework, task)) in &self.over {
            let Some(update) = self.streams.get(key).and_then(UpdateStream::to_send) else {
                continue;
            };
            if !message
                .frameworks
                .iter()
                .any(|known| known.id == framework.id)
            {
                message.frameworks.push((**framework).clone());
            }
            let executor = task.info.executor.as_ref();
            let executor_id = executor.map(|executor| executor.executor_id.clone());
            let mut task = task.to_proto(&key.0, executor_id);
            task.status_update_state = Some(update.status.state);
            task.status_update_uuid = Some(update.uuid.0.to_vec());
            message.tasks.push(task);
        }
        link::from_agent::Message::Reregister(message)
    }

    pub(super) fn master_message(
        &mut self,
        now: Now,
        connection: ConnectionId,
        message: link::from_master::Message,
        effects: &mut Effects,
    ) {
        use link::from_master::Message;
        if self.registration.connection() != Some(connection) {
            return;
        }
        match message {
            Message::Ping(ping) => self.ping(now, connection, &ping, effects),
            Message::Shutdown(shutdown) => self.removed(&shutdown, effects),
            Message::Registered(answer) => self.answered(
                now,
                Answer {
                    agent_id: answer.agent_id,
                    master: answer.master,
                    epoch: answer.epoch,
                    ping_timeout_secs: answer.total_ping_timeout_seconds,
                    reconciliations: Vec::new(),
                    operations: Vec::new(),
                },
                effects,
            ),
            Message::Reregistered(answer) => self.answered(
                now,
                Answer {
                    agent_id: answer.agent_id,
                    master: answer.master,
                    epoch: answer.epoch,
                    ping_timeout_secs: answer.total_ping_timeout_seconds,
                    reconciliations: answer.reconciliations,
                    operations: answer.operations,
                },
                effects,
            ),
            other => match &mut self.registration.link {
                Link::Up(_) => self.dispatch(now, other, effects),
                Link::Recording { backlog, .. } if backlog.len() < BACKLOG_MAX => {
                    backlog.push_back(other);
                }
                Link::Recording { .. } => {
                    tracing::info!("the master sends faster than the agent's id is written");
                    self.registration.close(effects);
                }
                Link::Down | Link::Waiting(_) | Link::Sent(_) => {
                    tracing::debug!("dropped a message that came before the registration");
                }
            },
        }
    }

    fn ping(
        &mut self,
        now: Now,
        connection: ConnectionId,
        ping: &link::Ping,
        effects: &mut Effects,
    ) {
        let pong = link::Pong {
            sequence: ping.sequence,
        };
        effects.push(Effect::ToMaster {
            connection,
            message: Box::new(link::from_agent::Message::Pong(pong)),
        });
        self.registration.await_ping(now, effects);
    }

    /// Registered or Reregistered: written down first, believed then.
    fn answered(&mut self, now: Now, answer: Answer, effects: &mut Effects) {
        let Link::Sent(connection) = self.registration.link else {
            return;
        };
        if answer.epoch < self.registration.epoch && !planted!(self, StaleLeaderAccepted) {
            tracing::info!(
                epoch = answer.epoch,
                seen = self.registration.epoch,
                "refused a master that is no longer the leader"
            );
            self.registration.close(effects);
            return;
        }
        if let Some(own) = &self.info.id
            && *own != answer.agent_id
        {
            tracing::info!(agent_id = %own.value, "the master answered for another agent");
            self.registration.close(effects);
            return;
        }
        effects.cancel_timer(TimerKey::Register);
        if answer.ping_timeout_secs.is_finite() && answer.ping_timeout_secs > 0.0 {
            let secs = answer.ping_timeout_secs.min(24.0 * 3600.0);
            self.registration.ping_timeout = Duration::from_secs_f64(secs);
        }
        self.registration.epoch = answer.epoch;
        self.registration.master = Some(Arc::new(answer.master));
        self.registration.link = Link::Recording {
            connection,
            reconciliations: answer.reconciliations,
            operations: answer.operations,
            backlog: VecDeque::new(),
        };
        Arc::make_mut(&mut self.info).id = Some(answer.agent_id);
        self.registration.await_ping(now, effects);
        let record = self.agent_record();
        if self.registration.recorded.as_ref() == Some(&record) {
            self.registered(now, effects);
        } else {
            self.registration.recorded = Some(record.clone());
            self.checkpoint(record, Pending::Registered, effects);
        }
    }

    fn agent_record(&self) -> Record {
        Record::Agent {
            info: Arc::clone(&self.info),
            boot_id: self.config.boot_id.clone(),
            epoch: self.registration.epoch,
        }
    }

    /// The id is written down: the agent is registered.
    pub(super) fn registered(&mut self, now: Now, effects: &mut Effects) {
        // The link may have changed while the record was written; the next answer will do.
        if !matches!(self.registration.link, Link::Recording { .. }) {
            return;
        }
        let Link::Recording {
            connection,
            reconciliations,
            operations,
            backlog,
        } = std::mem::replace(&mut self.registration.link, Link::Down)
        else {
            unreachable!("checked above");
        };
        self.registration.link = Link::Up(connection);
        self.registration.backoff = first_bound(self.registration.backoff_factor);
        if let Some(id) = self.agent_id() {
            tracing::info!(agent_id = %id, "registered with the master");
        }
        self.resume_updates(now, effects);
        self.resume_operations(now, effects);
        for missing in operations {
            self.operation_missing(missing, effects);
        }
        for reconciliation in reconciliations {
            self.reconcile(now, reconciliation, effects);
        }
        for message in backlog {
            self.dispatch(now, message, effects);
        }
    }

    /// Tasks that the master expects here: those that never came are reported as such.
    fn reconcile(&mut self, now: Now, wanted: link::ReconcileTasks, effects: &mut Effects) {
        let Some(framework_id) = self.note_framework(&wanted.framework) else {
            return;
        };
        for id in wanted.tasks {
            let Ok(task_id) = TaskId::parse(&id.value) else {
                continue;
            };
            let key = (framework_id.clone(), task_id);
            self.report_unknown(
                now,
                &key,
                v1::task_status::Reason::Reconciliation,
                "the task never reached the agent",
                effects,
            );
        }
        self.forget_idle_framework(&framework_id, effects);
    }
}
