//! Core: what everything stands on: ids, time as plain values, seeded randomness.

mod clock;
mod ids;
mod rng;

pub use clock::{Instant, Now, Timestamp};
pub use ids::{
    AgentId, ConnectionId, ContainerId, ExecutorId, FrameworkId, IdError, OfferId, RequestId,
    TaskId, Uuid,
};
pub use rng::Rng;
