//! `posix/mem`: no limit, only what the processes hold.

use super::isolator::{Isolated, Isolator, IsolatorError};
use super::process_usage::ProcessUsage;
use crate::proto::v1;

/// The isolator.
#[derive(Debug)]
pub(super) struct PosixMem;

impl Isolator for PosixMem {
    fn name(&self) -> &'static str {
        "posix/mem"
    }

    fn usage(
        &self,
        container: &Isolated,
        statistics: &mut v1::ResourceStatistics,
    ) -> Result<(), IsolatorError> {
        let used = ProcessUsage::of_tree(container.supervisor);
        statistics.mem_rss_bytes = Some(used.resident);
        statistics.mem_limit_bytes = container.requests.memory_limit;
        statistics.mem_soft_limit_bytes = Some(container.requests.memory);
        Ok(())
    }
}
