//! What the allocator counts over its whole life.

use super::eligibility::{REJECTION_KINDS, Rejection};
use super::report::PassReport;

/// Counters of the allocator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllocatorMetrics {
    /// Passes that were begun and ended.
    pub passes: u64,
    /// Visits of agents by passes.
    pub agents_visited: u64,
    /// Allocations made.
    pub allocations: u64,
    /// Filters set, prolonged ones included.
    pub filters_set: u64,
    /// Filters that ended by time.
    pub filters_expired: u64,
    /// Allocations to see whether somebody wants by now what it returned before.
    pub probes: u64,
    rejections: [u64; Rejection::KINDS],
}

impl AllocatorMetrics {
    pub(super) fn add_pass(&mut self, report: &PassReport) {
        self.passes += 1;
        self.agents_visited += report.agents as u64;
        self.allocations += report.allocations as u64;
        self.probes += report.probes as u64;
        for (sum, (_, times)) in self.rejections.iter_mut().zip(report.rejections()) {
            *sum += times as u64;
        }
    }

    /// How often each reason kept an agent from a framework, over all passes.
    pub fn rejections(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        REJECTION_KINDS.into_iter().zip(self.rejections)
    }
}
