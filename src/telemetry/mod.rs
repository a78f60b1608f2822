//! Shell: logging, metrics, and the host.

mod error;
mod host;
mod logging;
mod metrics;
mod snapshot;

pub use error::chain;
pub use host::HostStats;
pub use logging::{LogConfig, LogError, LogFormat, LogHandle, LogLevel, start};
pub use metrics::{Counter, Gauge, Metrics, Timer, as_f64};
pub use snapshot::{Sample, prometheus};
