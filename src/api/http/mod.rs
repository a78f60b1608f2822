//! Shell: plain HTTP: Mesos' v1 API, health, version, metrics, a status page; and the routes of each daemon.

mod page;
mod routes;
mod v1;

pub use routes::{agent_routes, master_routes};
