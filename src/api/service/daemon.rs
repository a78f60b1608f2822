//! What every daemon answers for itself: version, flags, metrics, log level.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use crate::api::error::ApiError;
use crate::proto::{MESOS_VERSION, v1};
use crate::telemetry::{HostStats, LogHandle, LogLevel, Metrics};

/// Longest time for which the log level can be changed by a call.
const LEVEL_TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// One daemon of this process; clones share it.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// What was built, when, from what.
    pub version: v1::VersionInfo,
    /// Every flag with its value as text; secrets are not in it.
    pub flags: Arc<[v1::Flag]>,
    /// What is measured.
    pub metrics: Metrics,
    /// The switch of the log level; none in a process that logs by other means.
    pub log: Option<LogHandle>,
    /// The file that it logs to, if any.
    pub log_file: Option<PathBuf>,
    /// The way to make it hand its leadership over; none in a daemon that is not elected.
    pub handover: Option<Handover>,
}

/// The wish that a master hands its leadership over; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Handover(Arc<tokio::sync::Notify>);

impl Handover {
    /// Asks for it.
    pub fn ask(&self) {
        self.0.notify_waiters();
    }

    /// Returns when somebody asks. Cancel safe.
    pub async fn asked(&self) {
        self.0.notified().await;
    }
}

impl Daemon {
    /// A daemon of this build, without flags and without a switch for the log level. The host's
    /// metrics are added to its own.
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        HostStats::define(&metrics);
        Self {
            version: version(),
            flags: Arc::new([]),
            metrics,
            log: None,
            handover: None,
            log_file: None,
        }
    }

    /// Verbosity as Mesos counts it: 0 is INFO and less, 1 DEBUG, 2 TRACE.
    #[must_use]
    pub fn logging_level(&self) -> u32 {
        let level = self.log.as_ref().and_then(LogHandle::level);
        match level {
            Some(LevelFilter::DEBUG) => 1,
            Some(LevelFilter::TRACE) => 2,
            _ => 0,
        }
    }

    /// Changes the verbosity for some time.
    ///
    /// # Errors
    ///
    /// A level above 3 (Mesos' highest), a time that is not positive or longer than a day, or a process
    /// whose level cannot be switched.
    pub fn set_logging_level(&self, level: u32, time: v1::DurationInfo) -> Result<(), ApiError> {
        let field = "set_logging_level.level";
        let wanted = match level {
            0 => LogLevel::Info,
            1 => LogLevel::Debug,
            2 | 3 => LogLevel::Trace,
            _ => {
                let message = format!("{field}: {level} is not a level; 0 to 3 are");
                return Err(ApiError::field(field, message));
            }
        };
        let duration = time.to_duration();
        if duration.is_zero() || duration > LEVEL_TIME_MAX {
            let field = "set_logging_level.duration";
            let message = format!("{field}: must be longer than nothing and at most a day");
            return Err(ApiError::field(field, message));
        }
        let log = self.log.as_ref().ok_or_else(|| {
            ApiError::Unavailable("the log level of this process cannot be changed".to_owned())
        })?;
        log.set(wanted, duration);
        Ok(())
    }

    /// Every metric of the process, and those of `core`, by name.
    #[must_use]
    pub fn all_metrics(&self, core: BTreeMap<String, f64>) -> BTreeMap<String, f64> {
        let mut all = self.metrics.snapshot();
        all.extend(core);
        all
    }
}

/// Metrics as GET_METRICS gives them.
pub(super) fn metrics_to_proto(all: BTreeMap<String, f64>) -> Vec<v1::Metric> {
    let metric = |(name, value)| v1::Metric {
        name,
        value: Some(value),
    };
    all.into_iter().map(metric).collect()
}

/// What this binary was built from: the version is that of Mesos' APIs, the tag names mesosd's own.
#[must_use]
pub fn version() -> v1::VersionInfo {
    let built: Option<f64> = option_env!("MESOSD_BUILD_TIME").and_then(|text| text.parse().ok());
    v1::VersionInfo {
        version: MESOS_VERSION.to_owned(),
        git_sha: option_env!("MESOSD_COMMIT").map(str::to_owned),
        git_tag: Some(concat!("mesosd-", env!("CARGO_PKG_VERSION")).to_owned()),
        build_date: option_env!("MESOSD_BUILD_DATE").map(str::to_owned),
        build_time: built,
        build_user: Some(String::new()),
        ..v1::VersionInfo::default()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn levels_and_times_have_bounds() {
        let daemon = Daemon::new(Metrics::new());
        let second = v1::DurationInfo {
            nanoseconds: 1_000_000_000,
        };
        let refused = |level, time| {
            let error = daemon.set_logging_level(level, time).unwrap_err();
            error.to_string()
        };
        let error = refused(4, second);
        assert_eq!(
            error,
            "set_logging_level.level: 4 is not a level; 0 to 3 are"
        );
        for nanoseconds in [0, -1, i64::MAX] {
            let error = refused(1, v1::DurationInfo { nanoseconds });
            assert!(error.starts_with("set_logging_level.duration: "), "{error}");
        }
        let error = refused(1, second);
        assert_eq!(error, "the log level of this process cannot be changed");
    }
}
