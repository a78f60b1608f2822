//! Metrics as their readers want them: one sorted map as in `/metrics/snapshot`, and Prometheus text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::metrics::{Metric, Metrics};

/// The percentiles that are shown of a timer, in ten-thousandths, with the names Mesos gives them.
const PERCENTILES: [(&str, &str, usize); 6] = [
    ("p50", "0.5", 5_000),
    ("p90", "0.9", 9_000),
    ("p95", "0.95", 9_500),
    ("p99", "0.99", 9_900),
    ("p999", "0.999", 9_990),
    ("p9999", "0.9999", 9_999),
];

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

impl Metrics {
    /// Every value by name, as Mesos' `/metrics/snapshot` shows them. A timer gives its latest
    /// sample in milliseconds under its name, percentiles under `<name>/p50` and so on, and
    /// `<name>/count`.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::new();
        for (name, defined) in self.defined() {
            match defined.metric {
                Metric::Counter(counter) => {
                    values.insert(name, counter.value() as f64);
                }
                Metric::Gauge(gauge) => {
                    values.insert(name, gauge.value());
                }
                Metric::GaugeFrom(value) => {
                    values.insert(name, value());
                }
                Metric::Timer(timer) => {
                    let shown = timer.shown();
                    if let Some(last) = shown.last {
                        values.insert(name.clone(), millis(last));
                    }
                    if let (Some(min), Some(max)) = (shown.sorted.first(), shown.sorted.last()) {
                        values.insert(format!("{name}/min"), millis(*min));
                        values.insert(format!("{name}/max"), millis(*max));
                    }
                    for (suffix, _, part) in PERCENTILES {
                        if let Some(sample) = shown.percentile(part) {
                            values.insert(format!("{name}/{suffix}"), millis(sample));
                        }
                    }
                    values.insert(format!("{name}/count"), shown.count as f64);
                }
            }
        }
        values
    }

    /// Every metric in Prometheus' text format 0.0.4: names start with `mesosd_`, counters end with
    /// `_total`, timers are summaries in seconds.
    #[must_use]
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        for (name, defined) in self.defined() {
            render(&mut text, &name, &defined.help, &defined.metric)
                .expect("a String takes every text");
        }
        text
    }
}

/// One value of a metric that is counted elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Prometheus' name, with the unit, without the prefix and without `_total`.
    pub name: String,
    /// A sentence about it.
    pub help: String,
    /// It only grows.
    pub counts: bool,
    /// What tells it from others of the same name.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

/// Samples in Prometheus' text format, all of one name together.
#[must_use]
pub fn prometheus(mut samples: Vec<Sample>) -> String {
    samples.sort_by(|one, other| one.name.cmp(&other.name));
    let mut text = String::new();
    let mut last = String::new();
    for sample in samples {
        let suffix = if sample.counts { "_total" } else { "" };
        let name = format!("{}{suffix}", prometheus_name(&sample.name));
        if name != last {
            let help = sample.help.replace('\\', "\\\\").replace('\n', "\\n");
            let kind = if sample.counts { "counter" } else { "gauge" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            last.clone_from(&name);
        }
        let labels: Vec<String> = sample
            .labels
            .iter()
            .map(|(label, value)| {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"");
                format!("{label}=\"{}\"", value.replace('\n', "\\n"))
            })
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(text, "{name}{labels} {}", sample.value);
    }
    text
}

fn render(text: &mut String, name: &str, help: &str, metric: &Metric) -> std::fmt::Result {
    let base = prometheus_name(name);
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    let (kind, value) = match metric {
        Metric::Counter(counter) => ("counter", counter.value() as f64),
        Metric::Gauge(gauge) => ("gauge", gauge.value()),
        Metric::GaugeFrom(value) => ("gauge", value()),
        Metric::Timer(timer) => {
            let shown = timer.shown();
            let base = format!("{}_seconds", base.strip_suffix("_ms").unwrap_or(&base));
            writeln!(text, "# HELP {base} {help}")?;
            writeln!(text, "# TYPE {base} summary")?;
            for (_, quantile, part) in PERCENTILES {
                if let Some(sample) = shown.percentile(part) {
                    let seconds = sample.as_secs_f64();
                    writeln!(text, "{base}{{quantile=\"{quantile}\"}} {seconds}")?;
                }
            }
            writeln!(text, "{base}_sum {}", shown.total.as_secs_f64())?;
            return writeln!(text, "{base}_count {}", shown.count);
        }
    };
    let suffix = if kind == "counter" { "_total" } else { "" };
    writeln!(text, "# HELP {base}{suffix} {help}")?;
    writeln!(text, "# TYPE {base}{suffix} {kind}")?;
    writeln!(text, "{base}{suffix} {value}")
}

fn prometheus_name(name: &str) -> String {
    let plain = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    "mesosd_".chars().chain(plain).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn sample() -> Metrics {
        let metrics = Metrics::new();
        metrics.counter("master/tasks_lost", "tasks lost").add(3);
        metrics.gauge("master/cpus_used", "cpus in use").set(1.5);
        metrics.gauge_from("system/load_1min", "load", || 0.25);
        let timer = metrics.timer("allocator/run_ms", "one allocation pass");
        timer.record(Duration::from_millis(4));
        timer.record(Duration::from_millis(2));
        metrics
    }

    #[test]
    fn a_snapshot_has_mesos_names() {
        let values = sample().snapshot();
        let exact = |name: &str, wanted: f64| {
            let value = values.get(name).unwrap();
            assert!((value - wanted).abs() < 1e-9, "{name}: {value}");
        };
        exact("master/tasks_lost", 3.0);
        exact("master/cpus_used", 1.5);
        exact("system/load_1min", 0.25);
        exact("allocator/run_ms/count", 2.0);
        exact("allocator/run_ms/p50", 2.0);
        exact("allocator/run_ms/p9999", 4.0);
        exact("allocator/run_ms/min", 2.0);
    }

    #[test]
    fn prometheus_text_has_help_type_and_units() {
        let text = sample().prometheus();
        let wanted = [
            "# HELP mesosd_master_tasks_lost_total tasks lost",
            "# TYPE mesosd_master_tasks_lost_total counter",
            "mesosd_master_tasks_lost_total 3",
            "mesosd_master_cpus_used 1.5",
            "# TYPE mesosd_allocator_run_seconds summary",
            "mesosd_allocator_run_seconds{quantile=\"0.5\"} 0.002",
            "mesosd_allocator_run_seconds_sum 0.006",
            "mesosd_allocator_run_seconds_count 2",
        ];
        for line in wanted {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }
}
