//! Shell: front ends (gRPC, HTTP) over one typed service layer.
//!
//! | what | where |
//! | --- | --- |
//! | typed calls and answers | [`service`] |
//! | what failed calls answer | [`ApiError`] |
//! | whose routes answer, a leader's or a standby's | [`Switch`] |
//! | event streams with heartbeats | [`EventStream`] |
//! | gRPC services | [`grpc`] |
//! | messages of v0 drivers | `libprocess` |
//! | plain HTTP endpoints, and all routes of a daemon | [`http`] |
//! | the listener and its bounds | [`server`] |

mod error;
mod events;
pub mod grpc;
pub mod http;
mod libprocess;
pub mod server;
pub mod service;
mod switch;

pub use error::{ApiError, LEADER};
pub use events::{Beating, EventStream, HEARTBEAT_INTERVAL, Queue};
pub use switch::Switch;
