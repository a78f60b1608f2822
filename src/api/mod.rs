//! Shell: front ends (gRPC, HTTP) over one typed service layer.
//!
//! | what | where |
//! | --- | --- |
//! | the listener and its bounds | [`server`] |
//! | what failed calls answer | [`ApiError`] |
//! | event streams with heartbeats | [`EventStream`] |

mod error;
mod events;
pub mod server;

pub use error::{ApiError, LEADER};
pub use events::{Beating, EventStream, HEARTBEAT_INTERVAL};
