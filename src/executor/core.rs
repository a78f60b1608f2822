//! The built-in command executor as a machine: one task, from SUBSCRIBE to the acknowledgement of its
//! terminal update.
//!
//! Invariants: at most one task is ever started; at most one terminal update is made; an update is kept
//! until the agent acknowledges it and sent again with every SUBSCRIBE; a terminal update is made only
//! after the shell has reported the end of the task (and so has written its wait status down).
//!
//! ```text
//! Idle --LAUNCH--> Starting --Started--> Running --Ended--> Ended --ACKNOWLEDGED--> Exit
//!                     |                     |  KILL, SHUTDOWN, health, max_completion_time
//!                     |                     v
//!                     +--StartFailed-->   Killing --Ended--> Ended
//! ```

mod event;
mod probes;

use std::sync::Arc;
use std::time::Duration;

pub use event::{Config, Effect, Effects, Event, Signal, TimerKey};

use probes::schedule;

use super::checks::{self, Health, Outcome, ProbeKind};
use super::exit::Exit;
use crate::base::{Instant, Now, Rng, Uuid};
use crate::proto::v1;
use crate::proto::v1::executor as wire;
use crate::proto::v1::task_status::Reason;

/// Between SIGTERM and SIGKILL unless the task or the call says otherwise (Mesos' default).
const KILL_GRACE: Duration = Duration::from_secs(3);

/// How long an ended executor waits for the acknowledgement of its last update (Mesos' default).
const FINAL_ACKNOWLEDGEMENT: Duration = Duration::from_secs(60);

/// Left of the shutdown grace for the forced kill and the last update, before the agent destroys
/// the container.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(1);

/// Updates kept for an agent that is away. Check results beyond it are dropped, state changes never.
const UNACKNOWLEDGED_MAX: usize = 128;

/// Why a task is being killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// KILL, SHUTDOWN, or the loss of the agent.
    Request,
    /// Too many failed health checks.
    Unhealthy,
    /// It ran for too long.
    MaxCompletion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for `Started` or `StartFailed`; a kill that came meanwhile is remembered.
    Starting {
        kill: Option<(Cause, Duration)>,
    },
    Running,
    /// SIGTERM was sent at `since`, SIGKILL follows at `until`.
    Killing {
        cause: Cause,
        since: Instant,
        until: Instant,
    },
    Ended,
}

struct Task {
    info: Arc<v1::TaskInfo>,
    phase: Phase,
    /// The agent has acknowledged an update, so it knows that the task arrived.
    acknowledged: bool,
    health: Option<Health>,
    healthy: Option<bool>,
    check_status: Option<v1::CheckStatusInfo>,
}

/// The machine.
pub struct Executor {
    config: Config,
    rng: Rng,
    subscribed: bool,
    /// The agent will not come back, or the executor has been told to go.
    leaving: bool,
    exiting: bool,
    reports_killing: bool,
    container_id: Option<v1::ContainerId>,
    task: Option<Task>,
    unacknowledged: Vec<(Uuid, wire::call::Update)>,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor")
            .field("executor_id", &self.config.executor_id)
            .field("subscribed", &self.subscribed)
            .field("phase", &self.task.as_ref().map(|task| task.phase))
            .field("unacknowledged", &self.unacknowledged.len())
            .finish_non_exhaustive()
    }
}

impl Executor {
    /// A machine that waits for its agent; `effects` gets the timer of that wait.
    #[must_use]
    pub fn new(config: Config, now: Now, effects: &mut Effects) -> Self {
        effects.push(Effect::SetTimer {
            key: TimerKey::Recovery,
            at: now.mono.after(config.recovery_timeout),
        });
        Self {
            rng: Rng::seeded(config.seed, "executor"),
            config,
            subscribed: false,
            leaving: false,
            exiting: false,
            reports_killing: false,
            container_id: None,
            task: None,
            unacknowledged: Vec::new(),
        }
    }

    /// Takes one event in.
    pub fn step(&mut self, now: Now, event: Event, effects: &mut Effects) {
        if self.exiting {
            return;
        }
        match event {
            Event::AgentConnected => self.subscribe(effects),
            Event::AgentDisconnected => self.disconnected(now, effects),
            Event::Agent(event) => self.agent_event(now, *event, effects),
            Event::Started { .. } => self.started(now, effects),
            Event::StartFailed { message } => self.start_failed(now, message, effects),
            Event::Ended { wait_status } => self.ended(now, wait_status, effects),
            Event::ProbeEnded { kind, outcome } => self.probed(now, kind, &outcome, effects),
            Event::TimerFired(key) => self.timer_fired(now, key, effects),
            Event::TerminationRequested => self.shutdown(now, effects),
        }
    }

    // --- the agent ---

    fn call(&self, kind: wire::call::Type) -> wire::Call {
        wire::Call {
            executor_id: v1::ExecutorId {
                value: self.config.executor_id.as_str().to_owned(),
            },
            framework_id: v1::FrameworkId {
                value: self.config.framework_id.as_str().to_owned(),
            },
            r#type: Some(kind.into()),
            ..Default::default()
        }
    }

    fn subscribe(&mut self, effects: &mut Effects) {
        let mut call = self.call(wire::call::Type::Subscribe);
        call.subscribe = Some(wire::call::Subscribe {
            unacknowledged_tasks: self
                .task
                .iter()
                .filter(|task| !task.acknowledged)
                .map(|task| (*task.info).clone())
                .collect(),
            unacknowledged_updates: self
                .unacknowledged
                .iter()
                .map(|(_, update)| update.clone())
                .collect(),
        });
        effects.push(Effect::ToAgent(Box::new(call)));
    }

    fn disconnected(&mut self, now: Now, effects: &mut Effects) {
        let was_subscribed = std::mem::replace(&mut self.subscribed, false);
        if !was_subscribed {
            return;
        }
        if self.leaving || !self.config.checkpoint {
            // Nobody is left who wants to know how the task ends.
            effects.push(Effect::SignalTask(Signal::Kill));
            self.exit(effects);
            return;
        }
        effects.push(Effect::CancelTimer(TimerKey::FinalAcknowledgement));
        effects.push(Effect::SetTimer {
            key: TimerKey::Recovery,
            at: now.mono.after(self.config.recovery_timeout),
        });
    }

    fn agent_event(&mut self, now: Now, event: wire::Event, effects: &mut Effects) {
        use wire::event::Type;
        match event.r#type() {
            Type::Subscribed => {
                if let Some(subscribed) = event.subscribed {
                    self.subscribed(now, &subscribed, effects);
                }
            }
            Type::Launch => {
                if let Some(launch) = event.launch {
                    self.launch(now, launch.task, effects);
                }
            }
            Type::LaunchGroup => {
                for task in event
                    .launch_group
                    .into_iter()
                    .flat_map(|g| g.task_group.tasks)
                {
                    self.refuse(
                        now,
                        &task,
                        "the command executor runs no task groups",
                        effects,
                    );
                }
            }
            Type::Kill => {
                if let Some(kill) = event.kill {
                    self.kill_requested(now, &kill, effects);
                }
            }
            Type::Acknowledged => {
                if let Some(acknowledged) = event.acknowledged {
                    self.acknowledged(&acknowledged, effects);
                }
            }
            Type::Shutdown | Type::Error => self.shutdown(now, effects),
            Type::Message | Type::Heartbeat | Type::Unknown => {}
        }
    }

    fn subscribed(
        &mut self,
        now: Now,
        subscribed: &wire::event::Subscribed,
        effects: &mut Effects,
    ) {
        self.subscribed = true;
        effects.push(Effect::CancelTimer(TimerKey::Recovery));
        self.reports_killing = subscribed
            .framework_info
            .capabilities
            .iter()
            .any(|capability| {
                capability.r#type() == v1::framework_info::capability::Type::TaskKillingState
            });
        if subscribed.container_id.is_some() {
            self.container_id.clone_from(&subscribed.container_id);
        }
        if self.has_ended() {
            self.await_last_acknowledgement(now, effects);
        }
    }

    fn acknowledged(&mut self, event: &wire::event::Acknowledged, effects: &mut Effects) {
        let Some(uuid) = Uuid::from_slice(&event.uuid) else {
            return;
        };
        self.unacknowledged.retain(|(known, _)| *known != uuid);
        if let Some(task) = &mut self.task
            && task.info.task_id == event.task_id
        {
            task.acknowledged = true;
        }
        if self.has_ended() && self.unacknowledged.is_empty() {
            self.exit(effects);
        }
    }

    fn await_last_acknowledgement(&mut self, now: Now, effects: &mut Effects) {
        if self.unacknowledged.is_empty() || self.leaving && !self.subscribed {
            self.exit(effects);
        } else if self.subscribed {
            effects.push(Effect::SetTimer {
                key: TimerKey::FinalAcknowledgement,
                at: now.mono.after(FINAL_ACKNOWLEDGEMENT),
            });
        }
    }

    fn has_ended(&self) -> bool {
        matches!(&self.task, Some(task) if task.phase == Phase::Ended)
    }

    fn exit(&mut self, effects: &mut Effects) {
        self.exiting = true;
        effects.push(Effect::Exit);
    }

    // --- the task ---

    fn launch(&mut self, now: Now, task: v1::TaskInfo, effects: &mut Effects) {
        if let Some(present) = &self.task {
            if present.info.task_id != task.task_id {
                self.refuse(
                    now,
                    &task,
                    "the command executor runs one task only",
                    effects,
                );
            }
            return;
        }
        if self.leaving {
            return;
        }
        let info = Arc::new(task);
        self.task = Some(Task {
            check_status: info
                .check
                .as_ref()
                .map(|check| checks::check_status(check, None)),
            info: Arc::clone(&info),
            phase: Phase::Starting { kill: None },
            acknowledged: false,
            health: None,
            healthy: None,
        });
        self.update(now, v1::TaskState::TaskStarting, None, None, effects);
        effects.push(Effect::Start(info));
    }

    /// Fails a task that is not the one this executor runs.
    fn refuse(&mut self, now: Now, task: &v1::TaskInfo, why: &str, effects: &mut Effects) {
        let mut status = self.status(now, task.task_id.clone(), v1::TaskState::TaskFailed);
        status.message = Some(format!(
            "Task '{}' was not started: {why}",
            task.task_id.value
        ));
        self.send(status, effects);
    }

    fn started(&mut self, now: Now, effects: &mut Effects) {
        let Some(task) = &mut self.task else { return };
        let Phase::Starting { kill } = task.phase else {
            return;
        };
        task.phase = Phase::Running;
        task.health = task
            .info
            .health_check
            .as_ref()
            .map(|info| Health::new(info, now.mono));
        if let Some(limit) = duration(task.info.max_completion_time.as_ref()) {
            effects.push(Effect::SetTimer {
                key: TimerKey::MaxCompletion,
                at: now.mono.after(limit),
            });
        }
        for kind in [ProbeKind::Check, ProbeKind::Health] {
            if let Some(schedule) = schedule(&task.info, kind) {
                effects.push(Effect::SetTimer {
                    key: TimerKey::Probe(kind),
                    at: now.mono.after(schedule.delay),
                });
            }
        }
        self.update(now, v1::TaskState::TaskRunning, None, None, effects);
        if let Some((cause, grace)) = kill {
            self.kill(now, cause, grace, effects);
        }
    }

    fn start_failed(&mut self, now: Now, message: String, effects: &mut Effects) {
        let Some(task) = &mut self.task else { return };
        let Phase::Starting { kill } = task.phase else {
            return;
        };
        task.phase = Phase::Ended;
        let (state, reason) = match kill {
            Some(_) => (v1::TaskState::TaskKilled, Reason::TaskKilledDuringLaunch),
            None => (v1::TaskState::TaskFailed, Reason::ContainerLaunchFailed),
        };
        self.update(now, state, Some(message), Some(reason), effects);
        self.await_last_acknowledgement(now, effects);
    }

    fn ended(&mut self, now: Now, wait_status: i32, effects: &mut Effects) {
        let Some(task) = &mut self.task else { return };
        let cause = match task.phase {
            Phase::Killing { cause, .. } => Some(cause),
            Phase::Running => None,
            Phase::Starting { .. } | Phase::Ended => return,
        };
        task.phase = Phase::Ended;
        let exit = Exit::from_wait_status(wait_status);
        let (state, reason) = match cause {
            Some(Cause::MaxCompletion) => (
                v1::TaskState::TaskFailed,
                Some(Reason::MaxCompletionTimeReached),
            ),
            _ if exit.is_success() => (v1::TaskState::TaskFinished, None),
            Some(Cause::Request | Cause::Unhealthy) => (v1::TaskState::TaskKilled, None),
            None => (v1::TaskState::TaskFailed, None),
        };
        if cause == Some(Cause::Unhealthy) {
            task.healthy = Some(false);
        }
        self.stop_checks(effects);
        for key in [TimerKey::Escalation, TimerKey::MaxCompletion] {
            effects.push(Effect::CancelTimer(key));
        }
        let message = format!("Command {exit}");
        self.update(now, state, Some(message), reason, effects);
        self.await_last_acknowledgement(now, effects);
    }

    // --- killing ---

    fn kill_requested(&mut self, now: Now, kill: &wire::event::Kill, effects: &mut Effects) {
        let Some(task) = &self.task else { return };
        if task.info.task_id != kill.task_id {
            return;
        }
        let grace = grace(kill.kill_policy.as_ref())
            .or_else(|| grace(task.info.kill_policy.as_ref()))
            .unwrap_or(KILL_GRACE);
        self.kill(now, Cause::Request, grace, effects);
    }

    fn shutdown(&mut self, now: Now, effects: &mut Effects) {
        self.leaving = true;
        let Some(task) = &self.task else {
            self.exit(effects);
            return;
        };
        if task.phase == Phase::Ended {
            self.await_last_acknowledgement(now, effects);
            return;
        }
        let grace = grace(task.info.kill_policy.as_ref()).unwrap_or(KILL_GRACE);
        let left = self.config.shutdown_grace.saturating_sub(SHUTDOWN_MARGIN);
        self.kill(now, Cause::Request, grace.min(left), effects);
    }

    /// Begins a kill, or shortens the grace of one that has begun; it is never lengthened.
    fn kill(&mut self, now: Now, cause: Cause, grace: Duration, effects: &mut Effects) {
        let Some(task) = &mut self.task else { return };
        match &mut task.phase {
            Phase::Starting { kill } => {
                *kill = Some((cause, grace));
                effects.push(Effect::CancelStart);
            }
            Phase::Running => {
                let until = now.mono.after(grace);
                task.phase = Phase::Killing {
                    cause,
                    since: now.mono,
                    until,
                };
                self.stop_checks(effects);
                if self.reports_killing {
                    self.update(now, v1::TaskState::TaskKilling, None, None, effects);
                }
                if grace.is_zero() {
                    effects.push(Effect::SignalTask(Signal::Kill));
                } else {
                    effects.push(Effect::SignalTask(Signal::Terminate));
                    effects.push(Effect::SetTimer {
                        key: TimerKey::Escalation,
                        at: until,
                    });
                }
            }
            Phase::Killing { since, until, .. } => {
                let sooner = since.after(grace);
                if sooner < *until {
                    *until = sooner;
                    effects.push(Effect::SetTimer {
                        key: TimerKey::Escalation,
                        at: sooner.max(now.mono),
                    });
                }
            }
            Phase::Ended => {}
        }
    }

    fn timer_fired(&mut self, now: Now, key: TimerKey, effects: &mut Effects) {
        let killing =
            matches!(&self.task, Some(task) if matches!(task.phase, Phase::Killing { .. }));
        match key {
            TimerKey::Escalation if killing => effects.push(Effect::SignalTask(Signal::Kill)),
            TimerKey::MaxCompletion => self.out_of_time(now, effects),
            TimerKey::Recovery if !self.subscribed => self.shutdown(now, effects),
            TimerKey::FinalAcknowledgement if self.has_ended() => self.exit(effects),
            TimerKey::Probe(kind) => self.start_probe(now, kind, effects),
            TimerKey::ProbeTimeout(kind) => {
                effects.push(Effect::StopProbe(kind));
                let outcome = Outcome::Failed("the probe timed out".to_owned());
                self.probed(now, kind, &outcome, effects);
            }
            TimerKey::Escalation | TimerKey::Recovery | TimerKey::FinalAcknowledgement => {}
        }
    }

    /// `max_completion_time` is over: no grace, and FAILED whatever the exit status.
    fn out_of_time(&mut self, now: Now, effects: &mut Effects) {
        self.kill(now, Cause::MaxCompletion, Duration::ZERO, effects);
    }

    // --- updates ---

    fn status(&mut self, now: Now, task_id: v1::TaskId, state: v1::TaskState) -> v1::TaskStatus {
        v1::TaskStatus {
            task_id,
            state: state.into(),
            source: Some(v1::task_status::Source::Executor.into()),
            executor_id: Some(v1::ExecutorId {
                value: self.config.executor_id.as_str().to_owned(),
            }),
            timestamp: Some(now.wall.as_secs_f64()),
            uuid: Some(self.rng.uuid().0.to_vec()),
            container_status: self.container_id.clone().map(|id| v1::ContainerStatus {
                container_id: Some(id),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn update(
        &mut self,
        now: Now,
        state: v1::TaskState,
        message: Option<String>,
        reason: Option<Reason>,
        effects: &mut Effects,
    ) {
        let Some(task) = &self.task else { return };
        let is_check_result = state == v1::TaskState::TaskRunning && reason.is_some();
        if is_check_result && self.unacknowledged.len() >= UNACKNOWLEDGED_MAX {
            return;
        }
        let (healthy, check_status) = (task.healthy, task.check_status);
        let task_id = task.info.task_id.clone();
        let mut status = self.status(now, task_id, state);
        status.message = message;
        status.reason = reason.map(Into::into);
        status.healthy = healthy;
        status.check_status = check_status;
        self.send(status, effects);
    }

    fn send(&mut self, status: v1::TaskStatus, effects: &mut Effects) {
        let uuid = status
            .uuid
            .as_deref()
            .and_then(Uuid::from_slice)
            .expect("every status is made with a uuid");
        let update = wire::call::Update { status };
        self.unacknowledged.push((uuid, update.clone()));
        if self.subscribed {
            let mut call = self.call(wire::call::Type::Update);
            call.update = Some(update);
            effects.push(Effect::ToAgent(Box::new(call)));
        }
    }

    /// Panics with a message if the machine contradicts itself.
    pub fn check_invariants(&self) {
        let terminal = self
            .unacknowledged
            .iter()
            .filter(|(_, update)| {
                let own = self
                    .task
                    .as_ref()
                    .is_some_and(|task| task.info.task_id == update.status.task_id);
                own && matches!(
                    update.status.state(),
                    v1::TaskState::TaskFinished
                        | v1::TaskState::TaskFailed
                        | v1::TaskState::TaskKilled
                )
            })
            .count();
        assert!(terminal <= 1, "{terminal} terminal updates for one task");
        assert!(
            terminal == 0 || self.has_ended(),
            "a terminal update for a task that has not ended"
        );
    }
}

fn duration(info: Option<&v1::DurationInfo>) -> Option<Duration> {
    info.map(|info| Duration::from_nanos(u64::try_from(info.nanoseconds).unwrap_or(0)))
}

fn grace(policy: Option<&v1::KillPolicy>) -> Option<Duration> {
    duration(policy?.grace_period.as_ref())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
