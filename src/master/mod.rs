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
//! | the machine | `core` |
//! | readers | [`snapshot`], [`metrics`] |
//! | the shell | [`driver`] |

/// True when a test has planted this bug into the core; always false without `testing`.
#[cfg(feature = "testing")]
#[expect(unused_macros, reason = "first use follows")]
macro_rules! planted {
    ($core:expr, $bug:ident) => {
        $core.config.planted.has(crate::testing::planted::Bug::$bug)
    };
}
/// No bug can be planted without `testing`.
#[cfg(not(feature = "testing"))]
#[expect(unused_macros, reason = "first use follows")]
macro_rules! planted {
    ($core:expr, $bug:ident) => {
        false
    };
}

pub mod agent;
pub mod call;
pub mod config;
mod core;
pub mod driver;
pub mod effect;
pub mod event;
pub mod framework;
pub mod history;
pub mod metrics;
pub mod offer;
mod perform;
pub mod snapshot;
pub mod task;
pub mod timer;
mod views;

pub use self::core::Master;
pub use call::{CallError, CallErrorKind, OperatorCall, Reply, SchedulerCall};
pub use config::MasterConfig;
pub use driver::Handle;
pub use effect::{Effect, Effects, OperatorEvent, Token};
pub use event::Event;
pub use snapshot::Snapshot;
pub use timer::TimerKey;
