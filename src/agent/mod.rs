//! Core: the agent's machine; `handle` (later `driver`) is its shell.
//!
//! One agent owns every executor, task and status update of one host. `step` takes what happened
//! ([`Event`]) and appends what must be done ([`Effects`]).
//!
//! | file | duty |
//! | --- | --- |
//! | `event` `effect` `call` `timer` `config` `container` | the vocabulary |
//! | `framework` `executor` `task` | the records and their transition tables |
//! | `checkpoint/` | durable records, paths of `work_dir` |
//! | `snapshot` `metrics` | what readers get |
//! | `handle` | shell: how the API reaches the loop |

mod call;
pub mod checkpoint;
mod config;
mod container;
mod effect;
mod event;
mod executor;
mod framework;
mod handle;
mod metrics;
mod snapshot;
mod task;
mod timer;

pub use call::{CallRefused, ExecutorCall, ParsedCall, Subscription};
pub use config::{AgentConfig, Timing};
pub use container::{ContainerConfig, ContainerKind, Ended, Limitation};
pub use effect::{Effect, Effects, Reply};
pub use event::Event;
pub use executor::{Ending, Executor, ExecutorStatus};
pub use framework::{Framework, FrameworkStatus};
pub use handle::Handle;
pub use metrics::Counters;
pub use snapshot::Snapshot;
pub use task::{Stage, Task, is_terminal};
pub use timer::TimerKey;
