//! Shell: plain HTTP: Mesos' v1 API and its unversioned endpoints, health, version, metrics, a status
//! page; and the routes of each daemon.

mod ahead;
mod gzip;
mod page;
mod parts;
mod routes;
mod shared;
mod unversioned;
mod v1;

pub use routes::{agent_routes, master_routes, standby_routes};
