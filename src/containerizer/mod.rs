//! Shell: containers: launchers, isolators, the container-side process.

pub mod cgroups;
pub mod init;
pub mod launcher;
pub mod plan;
mod ready;
pub mod status;
