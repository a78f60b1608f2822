//! Schedules of checks and health checks, and what their results mean (`CheckInfo`, `HealthCheck`).
//!
//! A schedule waits `delay` after the start of the task, runs a probe, waits `interval`, runs the next.
//! The probes themselves are run by the shell; a probe that takes longer than `timeout` counts as
//! failed. Tested in `executor::core`.

use std::time::Duration;

use crate::base::Instant;
use crate::proto::v1;

/// Mesos' defaults (proto `HealthCheck`).
const CONSECUTIVE_FAILURES: u32 = 3;

/// Which of a task's two probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeKind {
    /// `TaskInfo.check`: reports, never kills.
    Check,
    /// `TaskInfo.health_check`: kills the task after too many failures.
    Health,
}

/// What to do to find out how a task is.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// Run a command beside the task and look at its exit status.
    Command(Box<v1::CommandInfo>),
    /// GET from the loopback address of the task's network.
    Http {
        /// `http` or `https`.
        https: bool,
        /// `::1` instead of `127.0.0.1`.
        ipv6: bool,
        /// TCP port.
        port: u32,
        /// Starts with a slash.
        path: String,
    },
    /// Connect to the loopback address of the task's network.
    Tcp {
        /// `::1` instead of `127.0.0.1`.
        ipv6: bool,
        /// TCP port.
        port: u32,
    },
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The command's exit status; 128 plus the signal if one ended it.
    Command(i32),
    /// The HTTP status code.
    Http(u32),
    /// Whether the connection came about.
    Tcp(bool),
    /// The probe itself could not be run, or got no answer.
    Failed(String),
}

impl Outcome {
    /// Health in the sense of a health check: exit status 0, HTTP 200 to 399, a TCP connection.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        match self {
            Self::Command(code) => *code == 0,
            Self::Http(code) => (200..400).contains(code),
            Self::Tcp(connected) => *connected,
            Self::Failed(_) => false,
        }
    }
}

/// When to probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// From the start of the task to the first probe.
    pub delay: Duration,
    /// From the end of a probe to the next.
    pub interval: Duration,
    /// Longest time of one probe; `None` for no limit (`timeout_seconds` 0).
    pub timeout: Option<Duration>,
    /// What to run.
    pub probe: Probe,
}

/// Seconds of a message; nothing negative, endless or not a number.
fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value.max(0.0)).unwrap_or(Duration::MAX)
}

fn timeout(value: f64) -> Option<Duration> {
    Some(seconds(value)).filter(|limit| !limit.is_zero())
}

fn path(path: Option<&str>) -> String {
    let path = path.unwrap_or("");
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

fn is_ipv6(protocol: v1::network_info::Protocol) -> bool {
    matches!(protocol, v1::network_info::Protocol::IPv6)
}

/// The schedule of a `CheckInfo`; `None` if it names nothing to run.
#[must_use]
pub fn check_schedule(info: &v1::CheckInfo) -> Option<Schedule> {
    use v1::check_info::Type;
    let probe = match info.r#type() {
        Type::Command => Probe::Command(Box::new(info.command.as_ref()?.command.clone())),
        Type::Http => {
            let http = info.http.as_ref()?;
            Probe::Http {
                https: false,
                ipv6: false,
                port: http.port,
                path: path(http.path.as_deref()),
            }
        }
        Type::Tcp => Probe::Tcp {
            ipv6: false,
            port: info.tcp.as_ref()?.port,
        },
        Type::Unknown => return None,
    };
    Some(Schedule {
        delay: seconds(info.delay_seconds()),
        interval: seconds(info.interval_seconds()),
        timeout: timeout(info.timeout_seconds()),
        probe,
    })
}

/// The schedule of a `HealthCheck`; `None` if it names nothing to run.
#[must_use]
pub fn health_schedule(info: &v1::HealthCheck) -> Option<Schedule> {
    use v1::health_check::Type;
    // Schedulers older than Mesos 1.0 leave the type out.
    let kind = match info.r#type() {
        Type::Unknown if info.command.is_some() => Type::Command,
        Type::Unknown if info.http.is_some() => Type::Http,
        known => known,
    };
    let probe = match kind {
        Type::Command => Probe::Command(Box::new(info.command.clone()?)),
        Type::Http => {
            let http = info.http.as_ref()?;
            Probe::Http {
                https: http.scheme() == "https",
                ipv6: is_ipv6(http.protocol()),
                port: http.port,
                path: path(http.path.as_deref()),
            }
        }
        Type::Tcp => {
            let tcp = info.tcp.as_ref()?;
            Probe::Tcp {
                ipv6: is_ipv6(tcp.protocol()),
                port: tcp.port,
            }
        }
        Type::Unknown => return None,
    };
    Some(Schedule {
        delay: seconds(info.delay_seconds()),
        interval: seconds(info.interval_seconds()),
        timeout: timeout(info.timeout_seconds()),
        probe,
    })
}

/// The `check_status` of a check, empty before its first result and after a failed probe.
#[must_use]
pub fn check_status(info: &v1::CheckInfo, outcome: Option<&Outcome>) -> v1::CheckStatusInfo {
    use v1::check_info::Type;
    let mut status = v1::CheckStatusInfo {
        r#type: info.r#type,
        ..Default::default()
    };
    match info.r#type() {
        Type::Command => {
            status.command = Some(v1::check_status_info::Command {
                exit_code: match outcome {
                    Some(Outcome::Command(code)) => Some(*code),
                    _ => None,
                },
            });
        }
        Type::Http => {
            status.http = Some(v1::check_status_info::Http {
                status_code: match outcome {
                    Some(Outcome::Http(code)) => Some(*code),
                    _ => None,
                },
            });
        }
        Type::Tcp => {
            status.tcp = Some(v1::check_status_info::Tcp {
                succeeded: match outcome {
                    Some(Outcome::Tcp(connected)) => Some(*connected),
                    _ => None,
                },
            });
        }
        Type::Unknown => {}
    }
    status
}

/// What a health check's result leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to tell: still healthy, or still within the grace period.
    Silent,
    /// Tell the scheduler.
    Report {
        /// The task is healthy.
        healthy: bool,
    },
    /// Tell the scheduler and kill the task.
    Kill,
}

/// Counts the results of a health check.
#[derive(Clone, Debug)]
pub struct Health {
    started: Instant,
    grace: Duration,
    failures_max: u32,
    failures: u32,
    was_healthy: bool,
}

impl Health {
    /// For a task that started at `started`.
    #[must_use]
    pub fn new(info: &v1::HealthCheck, started: Instant) -> Self {
        Self {
            started,
            grace: seconds(info.grace_period_seconds()),
            failures_max: info.consecutive_failures.unwrap_or(CONSECUTIVE_FAILURES),
            failures: 0,
            was_healthy: false,
        }
    }

    /// Takes one result in. Failures within the grace period do not count until the first success.
    pub fn record(&mut self, now: Instant, healthy: bool) -> Verdict {
        if healthy {
            let news = !self.was_healthy || self.failures > 0;
            self.was_healthy = true;
            self.failures = 0;
            return if news {
                Verdict::Report { healthy: true }
            } else {
                Verdict::Silent
            };
        }
        if !self.was_healthy && now.since(self.started) < self.grace {
            return Verdict::Silent;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.failures_max {
            Verdict::Kill
        } else {
            Verdict::Report { healthy: false }
        }
    }
}
