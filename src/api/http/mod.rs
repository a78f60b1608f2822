//! Shell: plain HTTP: health, version, metrics, a status page; and the routes of each daemon.

mod page;
mod routes;

pub use routes::{agent_routes, master_routes};
