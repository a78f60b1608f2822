//! `posix/cpu`: no limit, only what the processes have used.

use super::isolator::{Isolated, Isolator, IsolatorError};
use super::process_usage::ProcessUsage;
use crate::proto::v1;

/// The isolator.
#[derive(Debug)]
pub(super) struct PosixCpu;

impl Isolator for PosixCpu {
    fn name(&self) -> &'static str {
        "posix/cpu"
    }

    fn usage(
        &self,
        container: &Isolated,
        statistics: &mut v1::ResourceStatistics,
    ) -> Result<(), IsolatorError> {
        let used = ProcessUsage::of_tree(container.supervisor);
        statistics.cpus_user_time_secs = Some(used.user.as_secs_f64());
        statistics.cpus_system_time_secs = Some(used.system.as_secs_f64());
        statistics.cpus_soft_limit = Some(container.requests.cpus.as_f64());
        statistics.processes = Some(used.processes);
        statistics.threads = Some(used.threads);
        Ok(())
    }
}
