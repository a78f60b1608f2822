//! Shell: the listener of a daemon: connections in, requests to one router, bounds on everything
//! that a stranger can do to a connection.

mod connection;
mod guard;
mod head;
mod limits;
mod listener;
mod silence;
mod stall;

pub use connection::Peer;
pub(super) use connection::is_grpc;
pub use limits::Limits;
pub use listener::serve;
pub(super) use silence::end_when_silent;
