//! The API over real sockets: what strangers may send, and what it costs.
#![expect(clippy::unwrap_used, reason = "tests")]

mod amounts;
mod checks;
mod golden;
mod http;
mod libprocess;
mod malformed;
mod operators;
mod plain;
mod raw;
mod recovering;
mod silence;
mod slow;
mod standby;
mod unversioned;
mod wire;
