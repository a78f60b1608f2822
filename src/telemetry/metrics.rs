//! Metrics by name: counters, gauges and timers, each defined once, read as one snapshot.
//!
//! Names are Mesos' own where Mesos has the metric (`master/tasks_running`), lower case words joined
//! by `_` and `/` otherwise.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many of the latest samples a timer keeps for its percentiles.
const SAMPLES_MAX: usize = 1_000;

/// All metrics of one daemon. Clones share them.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<BTreeMap<String, Defined>>>);

/// One metric and the sentence that explains it.
#[derive(Clone)]
pub(super) struct Defined {
    pub(super) help: String,
    pub(super) metric: Metric,
}

/// The kinds of metrics.
#[derive(Clone)]
pub(super) enum Metric {
    Counter(Counter),
    Gauge(Gauge),
    GaugeFrom(Arc<dyn Fn() -> f64 + Send + Sync>),
    Timer(Timer),
}

/// A number that only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

/// A number that is set.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

/// Durations, with percentiles over the latest 1000.
#[derive(Clone, Debug, Default)]
pub struct Timer(Arc<Mutex<Samples>>);

#[derive(Debug, Default)]
struct Samples {
    count: u64,
    total: Duration,
    latest: VecDeque<Duration>,
}

/// What a timer has seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TimerShown {
    pub(super) count: u64,
    pub(super) total: Duration,
    /// The latest sample.
    pub(super) last: Option<Duration>,
    /// The latest samples, smallest first.
    pub(super) sorted: Vec<Duration>,
}

/// A count as metrics show it: exact up to 2^53.
#[must_use]
pub fn as_f64(count: usize) -> f64 {
    count as f64
}

impl Metrics {
    /// No metric is defined.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Defines the counter `name`.
    ///
    /// # Panics
    /// If the name is taken: a metric is defined once.
    #[must_use]
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.define(name, help, Metric::Counter(counter.clone()));
        counter
    }

    /// Defines the gauge `name`, which starts at zero.
    ///
    /// # Panics
    /// If the name is taken.
    #[must_use]
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.define(name, help, Metric::Gauge(gauge.clone()));
        gauge
    }

    /// Defines the gauge `name`, read from `value` when a snapshot is taken. `value` must not wait.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn gauge_from(
        &self,
        name: &str,
        help: &str,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.define(name, help, Metric::GaugeFrom(Arc::new(value)));
    }

    /// Defines the timer `name`; Mesos' convention lets the name end with its unit, `_ms`.
    ///
    /// # Panics
    /// If the name is taken.
    #[must_use]
    pub fn timer(&self, name: &str, help: &str) -> Timer {
        let timer = Timer::default();
        self.define(name, help, Metric::Timer(timer.clone()));
        timer
    }

    /// The same metrics, to which more can be added: those end with the returned value.
    #[must_use]
    pub fn extended(&self) -> Self {
        Self(Arc::new(Mutex::new(self.defined())))
    }

    /// Forgets all metrics whose name starts with `prefix`, when what they speak of is gone.
    pub fn remove(&self, prefix: &str) {
        self.lock().retain(|name, _| !name.starts_with(prefix));
    }

    /// Everything that is defined, by name; taken out of the lock, so that no reader holds it.
    pub(super) fn defined(&self) -> BTreeMap<String, Defined> {
        self.lock().clone()
    }

    fn define(&self, name: &str, help: &str, metric: Metric) {
        let help = help.to_owned();
        let before = self
            .lock()
            .insert(name.to_owned(), Defined { help, metric });
        assert!(before.is_none(), "metric {name} is defined twice");
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Defined>> {
        // Every change is one call on the map, so a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().keys()).finish()
    }
}

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How many so far.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// The value set last.
    #[must_use]
    pub fn value(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

impl Timer {
    /// Adds one duration.
    pub fn record(&self, took: Duration) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.count += 1;
        samples.total = samples.total.saturating_add(took);
        if samples.latest.len() == SAMPLES_MAX {
            samples.latest.pop_front();
        }
        samples.latest.push_back(took);
    }

    pub(super) fn shown(&self) -> TimerShown {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sorted: Vec<_> = samples.latest.iter().copied().collect();
        let (count, total) = (samples.count, samples.total);
        let last = samples.latest.back().copied();
        drop(samples);
        sorted.sort_unstable();
        TimerShown {
            count,
            total,
            last,
            sorted,
        }
    }
}

impl TimerShown {
    /// The smallest sample that is not smaller than the given part of all samples, in thousandths.
    pub(super) fn percentile(&self, per_ten_thousand: usize) -> Option<Duration> {
        let last = self.sorted.len().checked_sub(1)?;
        let rank = (self.sorted.len() * per_ten_thousand).div_ceil(10_000);
        self.sorted.get(rank.saturating_sub(1).min(last)).copied()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "metric a/b is defined twice")]
    fn a_metric_is_defined_once() {
        let metrics = Metrics::new();
        let _first = metrics.counter("a/b", "first");
        let _second = metrics.gauge("a/b", "second");
    }

    #[test]
    fn a_removed_name_can_be_defined_again() {
        let metrics = Metrics::new();
        let _first = metrics.counter("frameworks/f1/calls", "calls");
        let _other = metrics.counter("frameworks/f2/calls", "calls");
        metrics.remove("frameworks/f1/");
        let _again = metrics.counter("frameworks/f1/calls", "calls");
        assert_eq!(metrics.defined().len(), 2);
    }

    #[test]
    fn percentiles_are_samples() {
        let timer = Timer::default();
        assert_eq!(timer.shown().percentile(5_000), None);
        for millis in (1..=100).rev() {
            timer.record(Duration::from_millis(millis));
        }
        let shown = timer.shown();
        assert_eq!(shown.percentile(5_000).unwrap().as_millis(), 50);
        assert_eq!(shown.percentile(9_900).unwrap().as_millis(), 99);
        assert_eq!(shown.percentile(9_999).unwrap().as_millis(), 100);
        assert_eq!(shown.percentile(0).unwrap().as_millis(), 1);
    }

    #[test]
    fn a_timer_keeps_a_bounded_number_of_samples() {
        let timer = Timer::default();
        for _ in 0..SAMPLES_MAX + 10 {
            timer.record(Duration::from_millis(2));
        }
        let shown = timer.shown();
        assert_eq!(shown.sorted.len(), SAMPLES_MAX);
        assert_eq!(shown.count, 1_010);
    }
}
