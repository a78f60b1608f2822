//! Core: the master's machine; `driver` and `perform` are its shell.
//!
//! [`Master::step`] takes one [`Event`] and says what is to be done as [`Effect`]s; it never waits
//! and never fails. What a message promises is stored before the message is sent: a step that needs
//! the registry ends with `Effect::Persist`, and the step that sees `Event::Persisted` goes on.
//!
//! | what | where |
//! | --- | --- |
//! | in and out | [`event`], [`call`], [`effect`], [`timer`], [`config`] |
//! | records | [`agent`], [`framework`], [`task`], [`offer`], [`history`] |
//! | the machine | `core` routes; `calls`, `pending`, `records`, `invariants` |
//! | schedulers | `subscribe`, `teardown`, `offers`, `accept`, `kill`, `reconcile`, `messages`, `events`, [`inverse`] |
//! | operations on resources | [`operation`], `operations`, `operator_operations` |
//! | agents | `register`, `reregister`, `liveness`, `removal`, `task_updates` |
//! | operators | `operator`, `policy`, `quota`, [`maintenance`], `standing` |
//! | readers | [`snapshot`], [`metrics`], `views`, `explain` (`reasons`: in words) |
//! | fairness | `watch`: who starves, who hoards |
//! | the shell | [`driver`]; `overdue` |

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

mod accept;
pub mod agent;
pub mod call;
mod calls;
pub mod config;
mod core;
pub mod driver;
pub mod effect;
pub mod event;
mod events;
mod explain;
pub mod framework;
pub mod framework_metrics;
mod framework_records;
pub mod history;
mod invariants;
pub mod inverse;
mod kill;
mod liveness;
pub mod maintenance;
mod messages;
pub mod metrics;
pub mod offer;
mod offers;
pub mod operation;
mod operations;
mod operator;
mod operator_operations;
mod overdue;
mod pending;
mod perform;
mod policy;
mod quota;
mod reasons;
mod reconcile;
mod records;
mod register;
mod removal;
mod reregister;
pub mod snapshot;
mod standing;
mod subscribe;
pub mod task;
mod task_updates;
mod teardown;
pub mod timer;
mod views;
mod waiting;
mod watch;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

pub use self::core::Master;
pub use call::{CallError, CallErrorKind, OperatorCall, Question, Reply, SchedulerCall};
pub use config::MasterConfig;
pub use driver::Handle;
pub use effect::{Effect, Effects, OperatorEvent, Token};
pub use event::Event;
pub use snapshot::Snapshot;
pub use timer::TimerKey;
