//! The API over real sockets: what strangers may send, and what it costs.

mod malformed;
mod plain;
mod raw;
mod slow;
