//! `cgroups/cpu`: shares in proportion to the request, and a quota when asked.

use super::isolator::{Isolated, Isolator, IsolatorError};
use crate::containerizer::cgroups::cpu;
use crate::proto::v1;

/// The isolator.
#[derive(Debug)]
pub(super) struct CgroupsCpu {
    /// `--cgroups_enable_cfs`: the request is a quota too.
    pub(super) cfs: bool,
}

impl CgroupsCpu {
    fn limit(&self, container: &Isolated) -> Result<(), IsolatorError> {
        let Some(tree) = &container.tree else {
            return Ok(());
        };
        let requests = &container.requests;
        Ok(cpu::limit(tree, requests.cpus, requests.quota(self.cfs))?)
    }
}

impl Isolator for CgroupsCpu {
    fn name(&self) -> &'static str {
        "cgroups/cpu"
    }

    fn isolate(&self, container: &Isolated) -> Result<(), IsolatorError> {
        self.limit(container)
    }

    fn update(&self, container: &Isolated) -> Result<(), IsolatorError> {
        self.limit(container)
    }

    fn usage(
        &self,
        container: &Isolated,
        statistics: &mut v1::ResourceStatistics,
    ) -> Result<(), IsolatorError> {
        let Some(tree) = &container.tree else {
            return Ok(());
        };
        let used = cpu::usage(tree)?;
        statistics.cpus_user_time_secs = Some(used.user.as_secs_f64());
        statistics.cpus_system_time_secs = Some(used.system.as_secs_f64());
        statistics.cpus_soft_limit = Some(container.requests.cpus.as_f64());
        if let Some(quota) = container.requests.quota(self.cfs) {
            let (periods, throttled, time) = used.throttling;
            statistics.cpus_limit = Some(quota.as_f64());
            statistics.cpus_nr_periods = Some(u32::try_from(periods).unwrap_or(u32::MAX));
            statistics.cpus_nr_throttled = Some(u32::try_from(throttled).unwrap_or(u32::MAX));
            statistics.cpus_throttled_time_secs = Some(time.as_secs_f64());
        }
        Ok(())
    }
}
