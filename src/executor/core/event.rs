//! What reaches the machine and what it wants done.

use std::sync::Arc;
use std::time::Duration;

use super::super::checks::{Outcome, Probe, ProbeKind};
use crate::base::{ExecutorId, FrameworkId, Instant};
use crate::proto::v1;
use crate::proto::v1::executor as wire;

/// What the machine needs to know before its first step.
#[derive(Clone, Debug)]
pub struct Config {
    /// The framework that the task belongs to.
    pub framework_id: FrameworkId,
    /// Equals the task's id.
    pub executor_id: ExecutorId,
    /// Outlive the agent (`FrameworkInfo.checkpoint`).
    pub checkpoint: bool,
    /// How long to wait for a lost agent, if `checkpoint`.
    pub recovery_timeout: Duration,
    /// From SHUTDOWN to the agent's destruction of the container.
    pub shutdown_grace: Duration,
    /// Seed of the update uuids.
    pub seed: u64,
}

/// What can happen to an executor.
#[derive(Clone, Debug)]
pub enum Event {
    /// The socket of the agent is open.
    AgentConnected,
    /// It is closed.
    AgentDisconnected,
    /// The agent said something.
    Agent(Box<wire::Event>),
    /// The task's first process exists.
    Started {
        /// In the namespace of the host.
        pid: u32,
    },
    /// It could not be made.
    StartFailed {
        /// One line for people.
        message: String,
    },
    /// The task's first process has ended, and its status is on disk.
    Ended {
        /// As waitpid(2) gives it.
        wait_status: i32,
    },
    /// A probe is through.
    ProbeEnded {
        /// Which one.
        kind: ProbeKind,
        /// What it found.
        outcome: Outcome,
    },
    /// A timer asked for has run out.
    TimerFired(TimerKey),
    /// Somebody sent SIGTERM to the executor itself.
    TerminationRequested,
}

/// The timers of an executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerKey {
    /// SIGTERM was not enough.
    Escalation,
    /// `TaskInfo.max_completion_time`.
    MaxCompletion,
    /// The agent has been away for too long.
    Recovery,
    /// The last acknowledgement does not come.
    FinalAcknowledgement,
    /// The next probe is due.
    Probe(ProbeKind),
    /// A running probe takes too long.
    ProbeTimeout(ProbeKind),
}

/// How to end a process tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send to the agent; dropped by the shell if there is no connection.
    ToAgent(Box<wire::Call>),
    /// Start the task; answered by `Started` or `StartFailed`.
    Start(Arc<v1::TaskInfo>),
    /// Give the start up, if the task does not run yet; answered as a start is.
    CancelStart,
    /// Signal all processes of the task.
    SignalTask(Signal),
    /// Start a probe; answered by `ProbeEnded`.
    RunProbe {
        /// Which one.
        kind: ProbeKind,
        /// What to do.
        probe: Probe,
    },
    /// Kill a running probe; no answer.
    StopProbe(ProbeKind),
    /// Replaces a timer of the same key.
    SetTimer {
        /// Comes back in `TimerFired`.
        key: TimerKey,
        /// When.
        at: Instant,
    },
    /// Forgets a timer; harmless if there is none.
    CancelTimer(TimerKey),
    /// Kill whatever is left below this process and end it.
    Exit,
}

/// The effects of steps, in order.
pub type Effects = Vec<Effect>;
