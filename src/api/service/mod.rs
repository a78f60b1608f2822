//! Shell: the service layer: typed calls in, typed answers out, the same for every front end.

pub mod agent;
pub mod agent_metrics;
mod agent_views;
pub(in crate::api) mod attach;
pub mod daemon;
pub mod executor;
pub mod files;
mod framework_metrics;
pub mod guests;
pub mod leadership;
mod measure;
pub mod operations;
pub mod operator;
pub mod operator_metrics;
mod operator_views;
mod orders;
mod role_metrics;
mod sandboxes;
pub mod scheduler;
mod stream_ids;

pub(super) use operator::aside;
