//! The built-in command executor's driver: feeds the machine with what happens and performs what it
//! decides. The order of a task's end: its status is on disk, everything that it left running is gone,
//! the agent is told.

use std::collections::VecDeque;
use std::time::Duration;

use super::link::{Incoming, Link};
use super::poll::{Signals, Waiting, readable};
use super::probe::Probes;
use super::timers::Timers;
use super::{SupervisorError, chain, now, random_seed, start};
use crate::base::{ExecutorId, FrameworkId};
use crate::containerizer::init::Started;
use crate::containerizer::plan::{ExecutorPlan, LaunchPlan};
use crate::containerizer::status;
use crate::executor::core::{Config, Effect, Event, Executor, Signal};

/// Everything of one command executor.
#[derive(Debug)]
struct Driver<'a> {
    plan: &'a LaunchPlan,
    link: Link,
    timers: Timers,
    probes: Probes,
    task: Option<Started>,
    /// A wait status is on disk; the first one stands.
    recorded: bool,
    /// What happened and has not been fed to the machine yet.
    events: VecDeque<Event>,
    exit: bool,
}

/// Runs the command executor of `plan` until the machine says that all is done.
pub(super) fn run(
    plan: &LaunchPlan,
    executor: &ExecutorPlan,
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
    let mut machine = Executor::new(config, now(), &mut effects);
    let mut driver = Driver {
        plan,
        link: Link::new(executor.socket.clone(), seed),
        timers: Timers::default(),
        probes: Probes::default(),
        task: None,
        recorded: false,
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
        let limit = [self.timers.next_in(mono), self.link.next_in(mono)]
            .into_iter()
            .flatten()
            .min();
        let mut waiting = Waiting::new([
            Some((signals.as_raw_fd(), false)),
            self.link.poll_fd(),
            self.task.as_ref().and_then(|task| readable(task.poll_fd())),
        ]);
        waiting.wait(limit)?;
        if waiting.is_ready(0) {
            let arrived = signals.take();
            if arrived.terminate {
                self.events.push_back(Event::TerminationRequested);
            }
            if arrived.child {
                self.probes.reap(&mut self.events);
            }
        }
        if waiting.is_ready(2) {
            self.reap_task()?;
        }
        let mono = now().mono;
        while let Some(key) = self.timers.take_due(mono) {
            self.events.push_back(Event::TimerFired(key));
        }
        let mut incoming = Vec::new();
        if waiting.is_ready(1) {
            self.link.exchange(mono, &mut incoming);
        }
        incoming.extend(self.link.try_connect(mono));
        self.events
            .extend(incoming.into_iter().map(|what| match what {
                Incoming::Connected => Event::AgentConnected,
                Incoming::Event(event) => Event::Agent(event),
                Incoming::Disconnected => Event::AgentDisconnected,
            }));
        Ok(())
    }

    /// Records the end of the task, then ends what it left behind, then tells the machine.
    fn reap_task(&mut self) -> Result<(), SupervisorError> {
        let Some(wait_status) = self.task.as_mut().and_then(Started::try_wait) else {
            return Ok(());
        };
        self.record(wait_status)?;
        self.probes.stop_all();
        if let Some(task) = self.task.take() {
            task.finish();
        }
        self.events.push_back(Event::Ended { wait_status });
        Ok(())
    }

    fn record(&mut self, wait_status: i32) -> Result<(), SupervisorError> {
        if !std::mem::replace(&mut self.recorded, true) {
            status::write(&self.plan.runtime, wait_status)?;
        }
        Ok(())
    }

    fn perform(&mut self, effects: &mut Vec<Effect>) -> Result<(), SupervisorError> {
        for effect in effects.drain(..) {
            match effect {
                Effect::ToAgent(call) => self.link.send(&call),
                Effect::Start(_) => {
                    // The agent hears TASK_STARTING while the task is being started.
                    self.link.flush();
                    let event = self.start()?;
                    self.events.push_back(event);
                }
                // A start here is over when it returns.
                Effect::CancelStart => {}
                Effect::SignalTask(signal) => self.signal(signal),
                Effect::RunProbe { kind, probe } => {
                    let pid = self.task.as_ref().map(Started::pid);
                    let failed = self.probes.start(kind, &probe, self.plan, pid);
                    self.events.extend(failed);
                }
                Effect::StopProbe(kind) => self.probes.stop(kind),
                Effect::SetTimer { key, at } => self.timers.set(key, at),
                Effect::CancelTimer(key) => self.timers.cancel(key),
                Effect::Exit => self.exit = true,
            }
        }
        // A lost connection shows up in the next wait.
        self.link.flush();
        Ok(())
    }

    fn start(&mut self) -> Result<Event, SupervisorError> {
        Ok(match start(self.plan)? {
            Ok(task) => {
                let pid = task.pid();
                self.task = Some(task);
                Event::Started { pid }
            }
            Err(error) => {
                self.recorded = true;
                Event::StartFailed {
                    message: format!("Task was not started: {}", chain(&error)),
                }
            }
        })
    }

    fn signal(&self, signal: Signal) {
        let number = match signal {
            Signal::Terminate => libc::SIGTERM,
            Signal::Kill => libc::SIGKILL,
        };
        if let Some(task) = &self.task {
            // It fails only when the first process is gone, and then all is being killed anyway.
            let _gone = task.signal(number);
        }
    }

    /// Ends a task that is still there, and everything below this process.
    fn clear_away(mut self) -> Result<(), SupervisorError> {
        self.probes.stop_all();
        if let Some(task) = self.task.take() {
            self.record(libc::SIGKILL)?;
            task.finish();
        }
        Ok(())
    }
}
