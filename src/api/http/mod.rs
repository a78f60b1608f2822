//! Shell: plain HTTP: Mesos' v1 API and its unversioned endpoints, health, version, metrics, a status
//! page; and the routes of each daemon.

mod page;
mod routes;
mod unversioned;
mod v1;

pub use routes::{agent_routes, master_routes, standby_routes};
