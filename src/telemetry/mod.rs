//! Shell: logging and metrics.

mod error;
mod logging;
mod metrics;
mod snapshot;

pub use error::chain;
pub use logging::{LogConfig, LogError, LogFormat, LogHandle, LogLevel, start};
pub use metrics::{Counter, Gauge, Metrics, Timer, as_f64};
