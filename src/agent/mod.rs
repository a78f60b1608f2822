//! Core: the agent's machine; `driver`, `perform`, `handle`, `link`, `socket`, `fingerprint`,
//! `sandboxes` and `volume_folders` are its shell.
//!
//! One [`Agent`] owns every executor, task and status update of one host. `step` takes what happened
//! ([`Event`]) and appends what must be done ([`Effects`]).
//!
//! | file | duty |
//! | --- | --- |
//! | `event` `effect` `call` `timer` `config` `container` | the vocabulary |
//! | `framework` `executor` `task` | the records and their transition tables |
//! | `core` | the state, and `step`, which only routes |
//! | `registration` `dispatch` | the link to the master |
//! | `drain` | an operator wants the agent empty |
//! | `launch` `command_executor` `environment` | from RunTask to the executor's LAUNCH |
//! | `executors` `kill` | subscription, calls, ends |
//! | `status_updates` `update_stream` | from the executor to the scheduler and back |
//! | `operation` `operations` `volumes` | reservations and volumes: applied, written down, reported |
//! | `gc` `recovery` `invariants` | sandboxes' ends, restarts, what always holds |
//! | `checkpoint/` | durable records, paths of `work_dir` |
//! | `snapshot` `metrics` | what readers get |
//! | `handle` `driver` `perform` | shell: the loop, what reaches it, its deeds |
//! | `link` `socket` `fingerprint` `sandboxes` `volume_folders` | shell: the master, built-in executors, the host |

/// True when a test has planted this bug into the core; always false without `testing`.
#[cfg(feature = "testing")]
macro_rules! planted {
    ($core:expr, $bug:ident) => {
        $core.config.planted.has(crate::testing::planted::Bug::$bug)
    };
}

/// No bug can be planted without `testing`.
#[cfg(not(feature = "testing"))]
macro_rules! planted {
    ($core:expr, $bug:ident) => {
        false
    };
}

mod call;
pub mod checkpoint;
mod command_executor;
mod config;
mod container;
mod core;
mod dispatch;
mod drain;
mod driver;
mod effect;
mod environment;
mod event;
mod executor;
mod executors;
pub mod fingerprint;
mod framework;
mod gc;
mod handle;
mod invariants;
mod kill;
mod launch;
mod link;
mod metrics;
mod operation;
mod operations;
mod perform;
mod recovery;
mod registration;
mod sandboxes;
mod snapshot;
mod socket;
mod status_updates;
mod task;
mod timer;
mod update_stream;
mod volume_folders;
mod volumes;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

pub use self::core::Agent;
pub use call::{CallRefused, ExecutorCall, ParsedCall, Subscription};
pub use config::{AgentConfig, Reconfiguration, Timing};
pub use container::{
    ContainerConfig, ContainerEvent, ContainerKind, ContainerVolume, Containers, Ended, Limitation,
};
pub use driver::{AgentError, AgentParts, Running, start};
pub use effect::{Effect, Effects, Reply};
pub use event::Event;
pub use executor::{Ending, Executor, ExecutorStatus, Held};
pub use framework::{Framework, FrameworkStatus};
pub use handle::Handle;
pub use metrics::Counters;
pub use operation::{Operation, OperationStage};
pub use perform::Exit;
pub use snapshot::Snapshot;
pub use socket::SocketError;
pub use task::{Stage, Task};
pub use timer::TimerKey;
