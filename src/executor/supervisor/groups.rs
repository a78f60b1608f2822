//! The built-in default executor's driver: feeds the machine of task groups with what happens and
//! performs what it decides, for any number of tasks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::link::{Incoming, Link};
use super::member::Member;
use super::poll::{Signals, Waiting};
use super::{SupervisorError, now, random_seed};
use crate::base::{ExecutorId, FrameworkId, Instant, TaskId};
use crate::containerizer::launcher::posix;
use crate::containerizer::plan::{ExecutorPlan, GroupsPlan, LaunchPlan};
use crate::containerizer::status;
use crate::executor::core::{self, Config};
use crate::executor::group::{Effect, Event, Groups};

/// Everything of one default executor.
#[derive(Debug)]
struct Driver<'a> {
    plan: &'a LaunchPlan,
    groups: &'a GroupsPlan,
    link: Link,
    members: BTreeMap<TaskId, Member>,
    recovery: Option<Instant>,
    /// What happened and has not been fed to the machine yet.
    events: VecDeque<Event>,
    exit: bool,
}

/// Runs the default executor of `plan` until the machine says that all is done.
pub(super) fn run(
    plan: &LaunchPlan,
    executor: &ExecutorPlan,
    groups: &GroupsPlan,
    signals: &Signals,
) -> Result<(), SupervisorError> {
    let seed = random_seed();
    let config = Config {
        framework_id: FrameworkId::new(executor.framework_id.as_str()),
        executor_id: ExecutorId::new(executor.executor_id.as_str()),
        checkpoint: executor.checkpoint,
        recovery_timeout: Duration::from_millis(executor.recovery_timeout_ms),
        shutdown_grace: Duration::from_millis(executor.shutdown_grace_ms),
        seed,
    };
    let mut effects = Vec::new();
    let mut machine = Groups::new(config, now(), &mut effects);
    let mut driver = Driver {
        plan,
        groups,
        link: Link::new(executor.socket.clone(), seed),
        members: BTreeMap::new(),
        recovery: None,
        events: VecDeque::new(),
        exit: false,
    };
    driver.perform(&mut effects)?;
    while !driver.exit {
        driver.wait(signals)?;
        while !driver.exit
            && let Some(event) = driver.events.pop_front()
        {
            machine.step(now(), event, &mut effects);
            driver.perform(&mut effects)?;
        }
    }
    driver.clear_away()
}

impl Driver<'_> {
    /// Sleeps until something happens and turns it into events.
    fn wait(&mut self, signals: &Signals) -> Result<(), SupervisorError> {
        let mono = now().mono;
        let timers = self.members.values();
        let limit = timers
            .filter_map(|member| member.timers.next_in(mono))
            .chain(self.recovery.map(|at| at.since(mono)))
            .chain(self.link.next_in(mono))
            .min();
        let fixed = [Some((signals.as_raw_fd(), false)), self.link.poll_fd()];
        let tasks = self.members.values().map(Member::poll_fd);
        let mut waiting = Waiting::new(fixed.into_iter().chain(tasks));
        waiting.wait(limit)?;
        let ended: Vec<TaskId> = self
            .members
            .keys()
            .enumerate()
            .filter(|(index, _)| waiting.is_ready(2 + index))
            .map(|(_, task_id)| task_id.clone())
            .collect();
        if waiting.is_ready(0) {
            let arrived = signals.take();
            if arrived.terminate {
                self.events.push_back(Event::TerminationRequested);
            }
            if arrived.child {
                self.of_each(|member, events| member.child_ended(events))?;
            }
        }
        for task_id in ended {
            self.of(&task_id, |member, events| member.reap(events))?;
        }
        self.note_idle()?;
        self.take_timers()?;
        self.talk(waiting.is_ready(1));
        Ok(())
    }

    fn take_timers(&mut self) -> Result<(), SupervisorError> {
        let mono = now().mono;
        if self.recovery.is_some_and(|at| at <= mono) {
            self.recovery = None;
            self.events.push_back(Event::RecoveryOver);
        }
        self.of_each(|member, events| {
            while let Some(event) = member.timer_due(mono) {
                events.push_back(event);
            }
            Ok(())
        })
    }

    /// Reads from the agent, or tries to reach it.
    fn talk(&mut self, readable: bool) {
        let mono = now().mono;
        let mut incoming = Vec::new();
        if readable {
            self.link.exchange(mono, &mut incoming);
        }
        incoming.extend(self.link.try_connect(mono));
        let events = incoming.into_iter().map(|what| match what {
            Incoming::Connected => Event::AgentConnected,
            Incoming::Event(event) => Event::Agent(event),
            Incoming::Disconnected => Event::AgentDisconnected,
        });
        self.events.extend(events);
    }

    /// Lets one task do something and passes its events on.
    fn of(
        &mut self,
        task_id: &TaskId,
        work: impl FnOnce(&mut Member, &mut VecDeque<core::Event>) -> Result<(), SupervisorError>,
    ) -> Result<(), SupervisorError> {
        let Some(member) = self.members.get_mut(task_id) else {
            return Ok(());
        };
        let mut own = VecDeque::new();
        work(member, &mut own)?;
        self.events.extend(own.into_iter().map(|event| Event::Task {
            task_id: task_id.clone(),
            event,
        }));
        Ok(())
    }

    fn of_each(
        &mut self,
        work: impl Fn(&mut Member, &mut VecDeque<core::Event>) -> Result<(), SupervisorError>,
    ) -> Result<(), SupervisorError> {
        let all: Vec<TaskId> = self.members.keys().cloned().collect();
        all.iter().try_for_each(|task_id| self.of(task_id, &work))
    }

    fn perform(&mut self, effects: &mut Vec<Effect>) -> Result<(), SupervisorError> {
        for effect in effects.drain(..) {
            match effect {
                Effect::ToAgent(call) => self.link.send(&call),
                Effect::Add {
                    task_id,
                    container_id,
                } => {
                    status::forget(&self.plan.runtime)?;
                    self.members.insert(task_id, Member::new(container_id));
                }
                Effect::Task {
                    task_id,
                    effect: core::Effect::Exit,
                } => {
                    if let Some(member) = self.members.remove(&task_id) {
                        member.end()?;
                    }
                }
                Effect::Task { task_id, effect } => {
                    // The agent hears TASK_STARTING while the task is being started.
                    self.link.flush();
                    let (plan, groups) = (self.plan, self.groups);
                    self.of(&task_id, |member, events| {
                        member.perform(effect, plan, groups, events)
                    })?;
                }
                Effect::SetRecovery(at) => self.recovery = Some(at),
                Effect::CancelRecovery => self.recovery = None,
                Effect::Exit => self.exit = true,
            }
        }
        // A lost connection shows up in the next wait.
        self.link.flush();
        Ok(())
    }

    /// As long as nothing runs, the record says that all has ended: whoever destroys the container
    /// waits for it. The tasks tell themselves how they ended.
    fn note_idle(&self) -> Result<(), SupervisorError> {
        let idle = !self.members.values().any(Member::is_running);
        if idle && !self.members.is_empty() && status::read(&self.plan.runtime)?.is_none() {
            status::write(&self.plan.runtime, 0)?;
        }
        Ok(())
    }

    /// Ends tasks that are still there, and everything below this process.
    fn clear_away(self) -> Result<(), SupervisorError> {
        let running = self.members.values().any(Member::is_running);
        if status::read(&self.plan.runtime)?.is_none() {
            status::write(&self.plan.runtime, if running { libc::SIGKILL } else { 0 })?;
        }
        self.members.into_values().try_for_each(Member::end)?;
        posix::kill_own_descendants();
        Ok(())
    }
}
