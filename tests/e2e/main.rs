//! The product as its users run it: the real binary, real sockets, real cgroups.
#![expect(clippy::unwrap_used, reason = "tests")]

mod agent_api;
mod agent_recovery;
mod calls;
mod client;
mod clients;
mod cluster;
mod compile;
mod drivers;
mod endpoints;
mod executors;
mod foreign;
mod golden;
mod golden_differences;
mod golden_streams;
mod groups;
mod hostile;
mod leftovers;
mod limits;
mod losses;
mod master_failover;
mod metrics;
mod nested;
mod operators;
mod outline;
mod partitions;
mod reboots;
mod sandboxes;
mod scheduler;
mod service;
mod shape;
mod standalone;
mod tasks;
mod upgrade;
mod volumes;
