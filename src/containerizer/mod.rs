//! Shell: containers: launchers, isolators, the container-side process.

pub mod init;
pub mod launcher;
pub mod plan;
pub mod status;
