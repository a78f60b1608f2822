//! Core: what everything stands on: ids, time as plain values, seeded randomness, texts of
//! sizes and durations.

mod clock;
mod ids;
mod rng;
mod size;

pub use clock::{Instant, Now, Timestamp};
pub use ids::{
    AgentId, ConnectionId, ContainerId, ExecutorId, FrameworkId, IdError, OfferId, OperationId,
    RequestId, TaskId, Uuid,
};
pub use rng::Rng;
pub use size::{ByteSize, SizeError, format_duration, parse_duration};
