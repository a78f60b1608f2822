//! The host's load and memory, under Mesos' names: `system/*` among the metrics, and what
//! `/system/stats.json` shows.

use super::metrics::{Metrics, as_f64};

/// The host at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HostStats {
    /// Average number of runnable processes over 1, 5 and 15 minutes; none where the kernel does not
    /// say.
    pub load: Option<[f64; 3]>,
    /// Processors that may be used.
    pub cpus: usize,
    /// Memory in bytes.
    pub mem_total: u64,
    /// Memory that nothing uses, not even as a cache, in bytes.
    pub mem_free: u64,
}

impl HostStats {
    /// Asks the kernel; does not wait.
    #[must_use]
    pub fn now() -> Self {
        let mut stats = Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            ..Self::default()
        };
        if let Ok(info) = nix::sys::sysinfo::sysinfo() {
            let (one, five, fifteen) = info.load_average();
            stats.load = Some([one, five, fifteen]);
            stats.mem_total = info.ram_total();
            stats.mem_free = info.ram_unused();
        }
        stats
    }

    /// Defines the metrics `system/*`.
    pub fn define(metrics: &Metrics) {
        let loads = [
            ("system/load_1min", "load of the host over one minute"),
            ("system/load_5min", "load of the host over five minutes"),
            ("system/load_15min", "load of the host over fifteen minutes"),
        ];
        for (at, (name, help)) in loads.into_iter().enumerate() {
            metrics.gauge_from(name, help, move || {
                Self::now().load.map_or(0.0, |load| load[at])
            });
        }
        metrics.gauge_from("system/cpus_total", "processors of the host", || {
            as_f64(Self::now().cpus)
        });
        metrics.gauge_from(
            "system/mem_total_bytes",
            "memory of the host in bytes",
            || Self::now().mem_total as f64,
        );
        metrics.gauge_from(
            "system/mem_free_bytes",
            "unused memory of the host in bytes",
            || Self::now().mem_free as f64,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_processors_memory_and_a_load() {
        let stats = HostStats::now();
        assert!(stats.cpus > 0 && stats.load.is_some(), "{stats:?}");
        assert!(
            stats.mem_total > stats.mem_free && stats.mem_free > 0,
            "{stats:?}"
        );
        let metrics = Metrics::new();
        HostStats::define(&metrics);
        let names: Vec<String> = metrics.snapshot().into_keys().collect();
        assert_eq!(names.len(), 6, "{names:?}");
    }
}
