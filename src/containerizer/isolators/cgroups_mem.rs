//! `cgroups/mem`: soft limit at the request, hard limit at the limit, and a task that may burst above
//! its request is the first that the kernel kills when the machine runs out.

use std::fs;

use super::isolator::{Isolated, Isolator, IsolatorError};
use super::requests::Requests;
use crate::agent::ContainerConfig;
use crate::containerizer::cgroups::memory::{self, MemoryLimits};
use crate::containerizer::plan::LaunchPlan;
use crate::proto::v1;

/// The isolator.
#[derive(Debug)]
pub(super) struct CgroupsMem {
    /// `--cgroups_limit_swap`.
    pub(super) swap: bool,
}

impl CgroupsMem {
    fn limits(&self, requests: &Requests) -> MemoryLimits {
        MemoryLimits {
            soft: requests.memory,
            hard: requests.memory_limit,
            swap: self.swap,
        }
    }
}

impl Isolator for CgroupsMem {
    fn name(&self) -> &'static str {
        "cgroups/mem"
    }

    fn prepare(
        &self,
        config: &ContainerConfig,
        plan: &mut LaunchPlan,
    ) -> Result<(), IsolatorError> {
        let requests = Requests::new(&config.resources, &config.limits);
        plan.memory_limit = requests.memory_limit;
        let bursts = requests
            .memory_limit
            .is_none_or(|limit| limit > requests.memory);
        if bursts && let Some(total) = total_memory() {
            plan.oom_score_adj = Some(burst_score(requests.memory, total));
        }
        Ok(())
    }

    fn isolate(&self, container: &Isolated) -> Result<(), IsolatorError> {
        let Some(tree) = &container.tree else {
            return Ok(());
        };
        Ok(memory::limit(tree, &self.limits(&container.requests))?)
    }

    fn update(&self, container: &Isolated) -> Result<(), IsolatorError> {
        let Some(tree) = &container.tree else {
            return Ok(());
        };
        Ok(memory::update(tree, &self.limits(&container.requests))?)
    }

    fn usage(
        &self,
        container: &Isolated,
        statistics: &mut v1::ResourceStatistics,
    ) -> Result<(), IsolatorError> {
        let Some(tree) = &container.tree else {
            return Ok(());
        };
        let used = memory::usage(tree)?;
        statistics.mem_total_bytes = Some(used.total);
        statistics.mem_rss_bytes = Some(used.anon);
        statistics.mem_anon_bytes = Some(used.anon);
        statistics.mem_file_bytes = Some(used.file);
        statistics.mem_cache_bytes = Some(used.file);
        statistics.mem_mapped_file_bytes = Some(used.mapped);
        statistics.mem_swap_bytes = Some(used.swap);
        statistics.mem_limit_bytes = used.limit;
        statistics.mem_soft_limit_bytes = Some(container.requests.memory);
        Ok(())
    }
}

/// The machine's memory in bytes.
fn total_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes << 10)
}

/// The smaller the promise, the earlier the kernel may take it: 1000 for nothing, 0 for everything.
fn burst_score(memory: u64, total: u64) -> i32 {
    let promised = u128::from(memory) * 1000 / u128::from(total.max(1));
    1000 - i32::try_from(promised.min(1000)).unwrap_or(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaller_promises_go_first() {
        assert_eq!(burst_score(0, 100), 1000);
        assert_eq!(burst_score(25, 100), 750);
        assert_eq!(burst_score(200, 100), 0);
    }
}
