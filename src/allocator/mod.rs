//! Core: who is offered what: hierarchical DRF over roles and frameworks.
//!
//! [`Allocator`] is a plain struct that the master calls inside its own step. It keeps these
//! invariants, which [`Allocator::check_invariants`] asserts:
//!
//! - on every agent, available = max(0, total - allocated), where allocated counts what is offered
//!   too;
//! - what is reserved to a role goes to that role and to roles below it only;
//! - no pass gives a role, or all roles below it together, more than its quota's limit; what it
//!   consumes is what a sum over all agents says;
//! - the same calls with the same seed give the same allocations.
//!
//! Whoever does not use what it is offered stands behind those who do: the rule, why, and its
//! bounds are in `demand.rs`.
//!
//! | file | duty |
//! | --- | --- |
//! | `core.rs`, `subscriptions.rs`, `filtering.rs` | the calls that the master makes: agents, frameworks, refusals |
//! | `cycle.rs` | one pass in slices; `candidates.rs` which agents, `stage.rs` in which stages |
//! | `consider.rs` | who is next on an agent; `eligibility.rs` may it be offered, `view.rs` what it sees |
//! | `sorter/` | shares, the order of roles and frameworks, or a random one; `role_tree.rs` which roles there are |
//! | `demand.rs`, `returns.rs`, `judged.rs`, `behind.rs` | who does not use what it is offered, and stands behind |
//! | `agent.rs`, `framework.rs`, `filters.rs` | the records |
//! | `quotas.rs`, `ledger.rs` | quota: what roles consume, are owed and may not exceed |
//! | `report.rs`, `explain.rs`, `metrics.rs` | what passes did, and why they did no more |
//! | `conversions.rs` | operations that reserve, unreserve, make and end volumes |
//! | `sharing.rs` | shared volumes in shares: once for every framework and role |
//! | `bits.rs`, `blocks.rs`, `slots.rs`, `bundle.rs` | dense sets, lists and records, bundles that travel unchanged |

mod agent;
mod behind;
mod bits;
mod blocks;
mod bundle;
mod candidates;
mod consider;
mod conversions;
mod core;
mod cycle;
mod demand;
mod eligibility;
mod explain;
mod filtering;
mod filters;
mod framework;
mod judged;
mod ledger;
mod metrics;
mod quotas;
mod report;
mod returns;
mod role_tree;
mod sharing;
mod slots;
mod sorter;
mod stage;
mod subscriptions;
mod view;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

pub use crate::roles::{Weight, WeightError};
pub use agent::AgentSpec;
pub use core::{Allocator, AllocatorConfig};
pub use cycle::{Allocation, PassOutcome};
pub use demand::{AllocationOrder, AllocationOrderError};
pub use eligibility::{HeldBack, LimitReached, REJECTION_KINDS, Rejection};
pub use filtering::Filter;
pub use framework::{Capabilities, Capability, FrameworkSpec};
pub use metrics::AllocatorMetrics;
pub use report::{DemandState, Explanation, Level, PassReport, RoleExplanation};
pub use sorter::{Share, Sorter, SorterError};
