//! One task of a default executor: its nested container, files, process, timers and probes.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use super::fetch::Fetching;
use super::poll::readable;
use super::probe::Probes;
use super::timers::Timers;
use super::{SupervisorError, chain, start};
use crate::base::{ContainerId, Instant};
use crate::containerizer::Output;
use crate::containerizer::init::Started;
use crate::containerizer::nested::{self, Nested};
use crate::containerizer::plan::{GroupsPlan, LaunchPlan};
use crate::containerizer::status::{self, ProcessRecord};
use crate::executor::core::{Effect, Event, Signal};
use crate::proto::v1;

/// One task.
#[derive(Debug)]
pub(super) struct Member {
    container_id: ContainerId,
    nested: Option<Nested>,
    fetching: Option<Fetching>,
    started: Option<Started>,
    pub(super) timers: Timers,
    probes: Probes,
}

impl Member {
    pub(super) fn new(container_id: ContainerId) -> Self {
        Self {
            container_id,
            nested: None,
            fetching: None,
            started: None,
            timers: Timers::default(),
            probes: Probes::default(),
        }
    }

    /// True while a process of the task may be there.
    pub(super) fn is_running(&self) -> bool {
        self.started.is_some() || self.fetching.is_some()
    }

    /// What tells of the task's end.
    pub(super) fn poll_fd(&self) -> Option<(RawFd, bool)> {
        let started = self.started.as_ref()?;
        readable(started.poll_fd())
    }

    /// Does what the task's machine wants; what comes of it at once is in `events`.
    pub(super) fn perform(
        &mut self,
        effect: Effect,
        executor: &LaunchPlan,
        groups: &GroupsPlan,
        events: &mut VecDeque<Event>,
    ) -> Result<(), SupervisorError> {
        match effect {
            Effect::Start(task) => self.begin(&task, executor, groups, events)?,
            Effect::CancelStart => {
                if let Some(fetching) = self.fetching.take() {
                    fetching.stop();
                    let message = "Task was not started: killed before".to_owned();
                    events.push_back(Event::StartFailed { message });
                }
            }
            Effect::SignalTask(signal) => self.signal(signal),
            Effect::RunProbe { kind, probe } => {
                if let Some(nested) = &self.nested {
                    let pid = self.started.as_ref().map(Started::pid);
                    events.extend(self.probes.start(kind, &probe, &nested.plan, pid));
                }
            }
            Effect::StopProbe(kind) => self.probes.stop(kind),
            Effect::SetTimer { key, at } => self.timers.set(key, at),
            Effect::CancelTimer(key) => self.timers.cancel(key),
            Effect::ToAgent(_) | Effect::Exit => {}
        }
        Ok(())
    }

    /// From the task to its files; without files to its process.
    fn begin(
        &mut self,
        task: &v1::TaskInfo,
        executor: &LaunchPlan,
        groups: &GroupsPlan,
        events: &mut VecDeque<Event>,
    ) -> Result<(), SupervisorError> {
        let nested = match nested::prepare(executor, task, &self.container_id) {
            Ok(nested) => nested,
            Err(error) => {
                events.push_back(not_started(&chain(&error)));
                return Ok(());
            }
        };
        let uris = task.command.iter().flat_map(|command| &command.uris);
        let uris: Vec<_> = uris.cloned().collect();
        if uris.is_empty() {
            self.nested = Some(nested);
            return self.execute(events);
        }
        match Fetching::start(&nested.plan, groups, &uris, &nested.output.stderr) {
            Ok(fetching) => self.fetching = Some(fetching),
            Err(error) => {
                let why = format!("cannot run the fetcher: {error}");
                events.push_back(not_started(&why));
            }
        }
        self.nested = Some(nested);
        Ok(())
    }

    /// A child of the supervisor has ended, perhaps one of this task's.
    pub(super) fn child_ended(
        &mut self,
        events: &mut VecDeque<Event>,
    ) -> Result<(), SupervisorError> {
        self.probes.reap(events);
        match self.fetching.as_mut().and_then(Fetching::try_wait) {
            None => {}
            Some(Ok(())) => {
                self.fetching = None;
                self.execute(events)?;
            }
            Some(Err(why)) => {
                self.fetching = None;
                events.push_back(not_started(&why));
            }
        }
        Ok(())
    }

    fn execute(&mut self, events: &mut VecDeque<Event>) -> Result<(), SupervisorError> {
        let Some(nested) = &self.nested else {
            return Ok(());
        };
        let started = with_output(&nested.output, || start(&nested.plan)).map_err(|cause| {
            SupervisorError::System {
                what: "direct a task's output",
                cause,
            }
        })??;
        events.push_back(match started {
            Ok(started) => {
                let pid = started.pid();
                self.started = Some(started);
                if let Some(record) = ProcessRecord::of(pid) {
                    // Only for those who want to look into the container.
                    let _unknown = status::write_process(&nested.plan.runtime, &record);
                }
                Event::Started { pid }
            }
            Err(error) => not_started(&chain(&error)),
        });
        Ok(())
    }

    /// Records the end of the task, then ends what it left behind, then tells the machine.
    pub(super) fn reap(&mut self, events: &mut VecDeque<Event>) -> Result<(), SupervisorError> {
        let Some(wait_status) = self.started.as_mut().and_then(Started::try_wait) else {
            return Ok(());
        };
        self.record(wait_status)?;
        self.probes.stop_all();
        if let Some(started) = self.started.take() {
            started.finish_alone();
        }
        events.push_back(Event::Ended { wait_status });
        Ok(())
    }

    fn record(&self, wait_status: i32) -> Result<(), SupervisorError> {
        if let Some(nested) = &self.nested {
            status::write(&nested.plan.runtime, wait_status)?;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        let number = match signal {
            Signal::Terminate => libc::SIGTERM,
            Signal::Kill => libc::SIGKILL,
        };
        if let Some(started) = &self.started {
            // It fails only when the first process is gone, and then all is being killed anyway.
            let _gone = started.signal(number);
        }
    }

    /// Takes a timer that is due.
    pub(super) fn timer_due(&mut self, now: Instant) -> Option<Event> {
        self.timers.take_due(now).map(Event::TimerFired)
    }

    /// Ends whatever is left of the task.
    pub(super) fn end(mut self) -> Result<(), SupervisorError> {
        self.probes.stop_all();
        if let Some(fetching) = self.fetching.take() {
            fetching.stop();
        }
        if let Some(started) = self.started.take() {
            self.record(libc::SIGKILL)?;
            started.finish_alone();
        }
        Ok(())
    }
}

fn not_started(why: &str) -> Event {
    Event::StartFailed {
        message: format!("Task was not started: {why}"),
    }
}

/// Does `work` while this process' own output goes to a task's files, which its children inherit.
fn with_output<T>(output: &Output, work: impl FnOnce() -> T) -> io::Result<T> {
    let before = [kept(1)?, kept(2)?];
    redirect([output.stdout.as_raw_fd(), output.stderr.as_raw_fd()])?;
    let done = work();
    redirect(before.each_ref().map(|fd| fd.as_raw_fd()))?;
    Ok(done)
}

/// A copy of a descriptor that nothing inherits.
fn kept(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers; the new descriptor is owned at once.
    unsafe {
        let copy = libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 16);
        if copy < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(File::from_raw_fd(copy).into())
    }
}

fn redirect(to: [RawFd; 2]) -> io::Result<()> {
    for (from, fixed) in to.into_iter().zip([1, 2]) {
        // SAFETY: plain numbers of open descriptors.
        if unsafe { libc::dup2(from, fixed) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
