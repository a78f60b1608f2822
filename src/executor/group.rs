//! The built-in default executor as a machine: task groups, each task run by a machine of its own as
//! the command executor has it ([`super::core`]).
//!
//! What this adds: one subscription for all, routing by task id, and the fate that the tasks of a group
//! share: as soon as one of them ends badly or is killed, the others of its group are killed (Mesos'
//! default executor). It leaves when its last task is over and acknowledged.

use std::collections::BTreeMap;

use super::core::{self, Config};
use crate::base::{ContainerId, Instant, Now, Rng, TaskId};
use crate::proto::v1;
use crate::proto::v1::executor as wire;

/// What can happen to the executor.
#[derive(Clone, Debug)]
pub enum Event {
    /// The socket of the agent is open.
    AgentConnected,
    /// It is closed.
    AgentDisconnected,
    /// The agent said something.
    Agent(Box<wire::Event>),
    /// Something happened to one task.
    Task {
        /// Which.
        task_id: TaskId,
        /// What.
        event: core::Event,
    },
    /// The agent has been away for too long.
    RecoveryOver,
    /// Somebody sent SIGTERM to the executor itself.
    TerminationRequested,
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send to the agent; dropped by the shell if there is no connection.
    ToAgent(Box<wire::Call>),
    /// A task has come; its effects follow.
    Add {
        /// Which.
        task_id: TaskId,
        /// The name of its nested container.
        container_id: ContainerId,
    },
    /// Do this for one task; `ToAgent` is never among these, `Exit` means to forget the task.
    Task {
        /// Which.
        task_id: TaskId,
        /// What.
        effect: core::Effect,
    },
    /// Give `RecoveryOver` at this time, unless it is called off.
    SetRecovery(Instant),
    /// Forget that time.
    CancelRecovery,
    /// Kill whatever is left below this process and end it.
    Exit,
}

/// The effects of steps, in order.
pub type Effects = Vec<Effect>;

/// One task that is not over and acknowledged.
#[derive(Debug)]
struct Member {
    group: u64,
    machine: core::Executor,
    container_id: ContainerId,
    /// It was asked to end, so its end is the end of its group however it takes it.
    killed: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Groups {
    config: Config,
    rng: Rng,
    subscribed: Option<wire::event::Subscribed>,
    members: BTreeMap<TaskId, Member>,
    groups: u64,
    leaving: bool,
    exiting: bool,
}

impl Groups {
    /// A machine that waits for its agent; `effects` gets the timer of that wait.
    #[must_use]
    pub fn new(config: Config, now: Now, effects: &mut Effects) -> Self {
        let until = now.mono.after(config.recovery_timeout);
        effects.push(Effect::SetRecovery(until));
        Self {
            rng: Rng::seeded(config.seed, "task groups"),
            config,
            subscribed: None,
            members: BTreeMap::new(),
            groups: 0,
            leaving: false,
            exiting: false,
        }
    }

    /// Takes one event in.
    pub fn step(&mut self, now: Now, event: Event, effects: &mut Effects) {
        if self.exiting {
            return;
        }
        match event {
            Event::AgentConnected => self.subscribe(now, effects),
            Event::AgentDisconnected => self.disconnected(now, effects),
            Event::Agent(event) => self.agent_event(now, *event, effects),
            Event::Task { task_id, event } => self.feed(now, &task_id, event, effects),
            Event::RecoveryOver if self.subscribed.is_none() => self.leave(now, effects),
            Event::RecoveryOver => {}
            Event::TerminationRequested => self.leave(now, effects),
        }
    }

    /// One SUBSCRIBE with what all tasks have to say.
    fn subscribe(&mut self, now: Now, effects: &mut Effects) {
        let mut all = wire::call::Subscribe::default();
        for member in self.members.values_mut() {
            let mut own = core::Effects::new();
            member
                .machine
                .step(now, core::Event::AgentConnected, &mut own);
            for effect in own {
                if let core::Effect::ToAgent(call) = effect
                    && let Some(subscribe) = call.subscribe
                {
                    all.unacknowledged_tasks
                        .extend(subscribe.unacknowledged_tasks);
                    all.unacknowledged_updates
                        .extend(subscribe.unacknowledged_updates);
                }
            }
        }
        effects.push(Effect::ToAgent(Box::new(wire::Call {
            executor_id: (&self.config.executor_id).into(),
            framework_id: (&self.config.framework_id).into(),
            r#type: Some(wire::call::Type::Subscribe.into()),
            subscribe: Some(all),
            ..Default::default()
        })));
    }

    fn disconnected(&mut self, now: Now, effects: &mut Effects) {
        if self.subscribed.take().is_none() {
            return;
        }
        self.feed_all(now, &core::Event::AgentDisconnected, effects);
        if self.members.is_empty() && (self.leaving || !self.config.checkpoint) {
            self.exit(effects);
        } else {
            let until = now.mono.after(self.config.recovery_timeout);
            effects.push(Effect::SetRecovery(until));
        }
    }

    fn agent_event(&mut self, now: Now, event: wire::Event, effects: &mut Effects) {
        use wire::event::Type;
        match event.r#type() {
            Type::Subscribed => {
                if let Some(subscribed) = event.subscribed {
                    self.subscribed(now, subscribed, effects);
                }
            }
            Type::Launch => {
                let tasks = event.launch.map(|launch| launch.task);
                self.launch(now, tasks.into_iter().collect(), effects);
            }
            Type::LaunchGroup => {
                let tasks = event.launch_group.map(|launch| launch.task_group.tasks);
                self.launch(now, tasks.unwrap_or_default(), effects);
            }
            Type::Kill => {
                if let Some(kill) = &event.kill {
                    let task_id = TaskId::new(kill.task_id.value.as_str());
                    if let Some(member) = self.members.get_mut(&task_id) {
                        member.killed = true;
                    }
                    self.feed(now, &task_id, core::Event::Agent(Box::new(event)), effects);
                }
            }
            Type::Acknowledged => {
                if let Some(acknowledged) = &event.acknowledged {
                    let task_id = TaskId::new(acknowledged.task_id.value.as_str());
                    self.feed(now, &task_id, core::Event::Agent(Box::new(event)), effects);
                }
            }
            Type::Shutdown | Type::Error => self.leave(now, effects),
            Type::Message | Type::Heartbeat | Type::Unknown => {}
        }
    }

    fn subscribed(&mut self, now: Now, subscribed: wire::event::Subscribed, effects: &mut Effects) {
        effects.push(Effect::CancelRecovery);
        self.subscribed = Some(subscribed);
        let tasks: Vec<TaskId> = self.members.keys().cloned().collect();
        for task_id in tasks {
            if let Some(event) = self.subscribed_event(&task_id) {
                self.feed(now, &task_id, event, effects);
            }
        }
    }

    /// SUBSCRIBED as one task hears it: in a container of its own, below the executor's.
    fn subscribed_event(&self, task_id: &TaskId) -> Option<core::Event> {
        let mut subscribed = self.subscribed.clone()?;
        subscribed.container_id = Some(v1::ContainerId {
            value: self.members.get(task_id)?.container_id.to_string(),
            parent: subscribed.container_id.map(Box::new),
        });
        Some(core::Event::Agent(Box::new(wire::Event {
            r#type: Some(wire::event::Type::Subscribed.into()),
            subscribed: Some(subscribed),
            ..Default::default()
        })))
    }

    /// The tasks of one group; those that are here already stay as they are.
    fn launch(&mut self, now: Now, tasks: Vec<v1::TaskInfo>, effects: &mut Effects) {
        if self.leaving {
            return;
        }
        self.groups += 1;
        for task in tasks {
            let task_id = TaskId::new(task.task_id.value.as_str());
            if self.members.contains_key(&task_id) {
                continue;
            }
            let container_id = ContainerId::new(self.rng.uuid().to_string());
            effects.push(Effect::Add {
                task_id: task_id.clone(),
                container_id: container_id.clone(),
            });
            let config = Config {
                seed: self.rng.next_u64(),
                ..self.config.clone()
            };
            let mut own = core::Effects::new();
            let member = Member {
                group: self.groups,
                machine: core::Executor::new(config, now, &mut own),
                container_id,
                killed: false,
            };
            self.members.insert(task_id.clone(), member);
            self.emit(now, &task_id, own, effects);
            if let Some(event) = self.subscribed_event(&task_id) {
                self.feed(now, &task_id, event, effects);
            }
            let launch = core::Event::Agent(Box::new(wire::Event {
                r#type: Some(wire::event::Type::Launch.into()),
                launch: Some(wire::event::Launch { task }),
                ..Default::default()
            }));
            self.feed(now, &task_id, launch, effects);
        }
    }

    /// Asked to go, or given up: every task is asked to end.
    fn leave(&mut self, now: Now, effects: &mut Effects) {
        self.leaving = true;
        self.feed_all(now, &core::Event::TerminationRequested, effects);
        if self.members.is_empty() {
            self.exit(effects);
        }
    }

    fn feed_all(&mut self, now: Now, event: &core::Event, effects: &mut Effects) {
        let tasks: Vec<TaskId> = self.members.keys().cloned().collect();
        for task_id in tasks {
            self.feed(now, &task_id, event.clone(), effects);
        }
    }

    fn feed(&mut self, now: Now, task_id: &TaskId, event: core::Event, effects: &mut Effects) {
        let Some(member) = self.members.get_mut(task_id) else {
            return;
        };
        let mut own = core::Effects::new();
        member.machine.step(now, event, &mut own);
        self.emit(now, task_id, own, effects);
    }

    /// Passes on what a task's machine wants, and draws the consequences for its group.
    fn emit(&mut self, now: Now, task_id: &TaskId, own: core::Effects, effects: &mut Effects) {
        let mut doomed = None;
        for effect in own {
            match effect {
                core::Effect::ToAgent(call) => {
                    let status = call.update.as_ref().map(|update| &update.status);
                    if status.is_some_and(|status| self.dooms(task_id, status)) {
                        doomed = self.members.get(task_id).map(|member| member.group);
                    }
                    effects.push(Effect::ToAgent(call));
                }
                core::Effect::Exit => {
                    // Unacknowledged and given up, killed with a lost agent: a bad end as well.
                    self.members.remove(task_id);
                    effects.push(Effect::Task {
                        task_id: task_id.clone(),
                        effect: core::Effect::Exit,
                    });
                    if self.members.is_empty() {
                        self.exit(effects);
                    }
                }
                effect => effects.push(Effect::Task {
                    task_id: task_id.clone(),
                    effect,
                }),
            }
        }
        if let Some(group) = doomed {
            self.kill_group(now, group, effects);
        }
    }

    /// True if this status is an end of the task that the others of its group do not survive.
    fn dooms(&self, task_id: &TaskId, status: &v1::TaskStatus) -> bool {
        let killed = self
            .members
            .get(task_id)
            .is_some_and(|member| member.killed);
        match status.state() {
            v1::TaskState::TaskFailed | v1::TaskState::TaskKilled => true,
            v1::TaskState::TaskFinished => killed,
            _ => false,
        }
    }

    fn kill_group(&mut self, now: Now, group: u64, effects: &mut Effects) {
        let others: Vec<TaskId> = self
            .members
            .iter()
            .filter(|(_, member)| member.group == group && !member.killed)
            .map(|(task_id, _)| task_id.clone())
            .collect();
        for task_id in others {
            let Some(member) = self.members.get_mut(&task_id) else {
                continue;
            };
            member.killed = true;
            let kill = core::Event::Agent(Box::new(wire::Event {
                r#type: Some(wire::event::Type::Kill.into()),
                kill: Some(wire::event::Kill {
                    task_id: (&task_id).into(),
                    kill_policy: None,
                }),
                ..Default::default()
            }));
            self.feed(now, &task_id, kill, effects);
        }
    }

    fn exit(&mut self, effects: &mut Effects) {
        if !self.exiting {
            self.exiting = true;
            effects.push(Effect::Exit);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
