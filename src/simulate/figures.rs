//! What came of a scenario.

use std::collections::BTreeMap;
use std::time::Duration;

/// Waiting times of the tasks that were launched, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Waits {
    /// Half of all waited no longer.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// All.
    pub max: f64,
}

impl Waits {
    /// The percentiles of these.
    pub(super) fn of(mut waits: Vec<Duration>) -> Self {
        waits.sort_unstable();
        let at = |percent: usize| {
            let last = waits.len().checked_sub(1)?;
            Some(waits[(last * percent).div_ceil(100)].as_secs_f64() * 1e3)
        };
        let at = |percent| at(percent).unwrap_or(0.0);
        Self {
            p50: at(50),
            p90: at(90),
            p99: at(99),
            max: at(100),
        }
    }
}

/// Utilisation and shares at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When, counted from the start.
    pub at: Duration,
    /// The part of all cpus that tasks use.
    pub cpus: f64,
    /// The part of all memory that tasks use.
    pub mem: f64,
    /// The dominant share of each group's tasks, in the order of [`Figures::groups`].
    pub shares: Vec<f64>,
}

/// How fair it was among some frameworks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fairness {
    /// Jain's index; see `jain`.
    pub jain: f64,
    /// How many there are that wanted something. One alone is always fair to itself.
    pub frameworks: usize,
}

/// What came of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// How long it lasted, in virtual time.
    pub lasted: Duration,
    /// Tasks that were wanted.
    pub tasks_wanted: u64,
    /// Tasks that were launched.
    pub tasks_launched: u64,
    /// Tasks that have ended.
    pub tasks_finished: u64,
    /// Allocation passes.
    pub passes: u64,
    /// Offers made.
    pub offers: u64,
    /// Offers given back whole.
    pub offers_declined: u64,
    /// Offers taken back.
    pub offers_rescinded: u64,
    /// Mean over time of the part of all cpus that tasks used.
    pub cpus: f64,
    /// Mean over time of the part of all memory that tasks used.
    pub mem: f64,
    /// Jain's index over all frameworks that wanted something; see `jain`.
    pub jain: f64,
    /// The same over the frameworks of each role.
    pub jain_by_role: BTreeMap<String, Fairness>,
    /// How long tasks waited for their launch.
    pub waits: Waits,
    /// Names of the groups of frameworks.
    pub groups: Vec<String>,
    /// Shares over time.
    pub samples: Vec<Sample>,
}

/// Jain's index of fairness of how satisfied frameworks were: (sum x)^2 / (n * sum x^2), 1 when
/// all are equal, 1/n when one has everything. The satisfaction of a framework is the mean, over
/// the samples since it first wanted something, of launched / wanted so far.
pub(super) fn jain(satisfactions: &[f64]) -> f64 {
    let sum: f64 = satisfactions.iter().sum();
    let squares: f64 = satisfactions.iter().map(|x| x * x).sum();
    if squares == 0.0 {
        return 1.0;
    }
    sum * sum / (satisfactions.len() as f64 * squares)
}
