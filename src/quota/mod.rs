//! Core: quota: what roles are sure to get, what they may not exceed, and whether all quotas fit
//! each other and the cluster.
//!
//! | file | duty |
//! | --- | --- |
//! | `limits.rs`, `role_quota.rs` | the quota of one role, checked |
//! | `tree.rs` | the quotas of all roles against each other and against the cluster |
//! | `wire.rs` | Mesos' messages: `QuotaConfig`, and the older `QuotaRequest` and `QuotaInfo` |
//! | `error.rs` | everything that can be wrong, by name |

mod error;
mod limits;
mod role_quota;
mod tree;
mod wire;

pub use error::{Part, QuotaError};
pub use limits::Limits;
pub use role_quota::Quota;
pub use tree::{check_capacity, check_consumption, check_tree, guaranteed};
pub use wire::{from_configs, from_request};
