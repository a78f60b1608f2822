//! The API over real sockets: what strangers may send, and what it costs.
#![expect(clippy::unwrap_used, reason = "tests")]

mod amounts;
mod checks;
mod golden;
mod hostile;
mod http;
mod libprocess;
mod malformed;
mod operators;
mod plain;
mod raw;
mod silence;
mod slow;
mod standby;
mod unversioned;
mod wire;
