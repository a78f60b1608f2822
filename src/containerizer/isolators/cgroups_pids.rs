//! `cgroups/pids`: a bound on a task's processes and threads.

use super::isolator::{Isolated, Isolator, IsolatorError};
use crate::containerizer::cgroups::pids;
use crate::proto::v1;

/// The isolator.
#[derive(Debug)]
pub(super) struct CgroupsPids {
    /// Most processes and threads of a task.
    pub(super) most: u64,
}

impl Isolator for CgroupsPids {
    fn name(&self) -> &'static str {
        "cgroups/pids"
    }

    fn isolate(&self, container: &Isolated) -> Result<(), IsolatorError> {
        let Some(tree) = &container.tree else {
            return Ok(());
        };
        Ok(pids::limit(tree, self.most)?)
    }

    fn usage(
        &self,
        container: &Isolated,
        statistics: &mut v1::ResourceStatistics,
    ) -> Result<(), IsolatorError> {
        let Some(tree) = &container.tree else {
            return Ok(());
        };
        // The controller counts threads.
        statistics.threads =
            pids::usage(tree)?.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        Ok(())
    }
}
