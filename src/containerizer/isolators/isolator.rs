//! What an isolator is.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::requests::Requests;
use crate::agent::ContainerConfig;
use crate::containerizer::cgroups::{CgroupError, Tree};
use crate::containerizer::plan::LaunchPlan;
use crate::proto::v1;

/// Why an isolator refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum IsolatorError {
    /// A control group did not do what was asked.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// A file or directory could not be made ready.
    #[error("cannot prepare {path}: {cause}")]
    Prepare {
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The container asks for something that makes no sense.
    #[error("{0}")]
    Refused(String),
}

/// A container as its isolators see it.
#[derive(Debug)]
pub struct Isolated {
    /// Its control groups; `None` with the posix launcher.
    pub tree: Option<Tree>,
    /// What it was promised and what it may not pass.
    pub requests: Requests,
    /// The supervisor's process id; zero before it runs.
    pub supervisor: u32,
}

/// One kind of isolation. Every call has a default that does nothing, so that an isolator says only
/// what it does.
pub trait Isolator: fmt::Debug + Send + Sync {
    /// Mesos' name: `cgroups/cpu`.
    fn name(&self) -> &'static str;

    /// Contributes to the plan; the sandbox exists, nothing else does.
    fn prepare(
        &self,
        _config: &ContainerConfig,
        _plan: &mut LaunchPlan,
    ) -> Result<(), IsolatorError> {
        Ok(())
    }

    /// Sets limits; the control groups exist, no process runs yet.
    fn isolate(&self, _container: &Isolated) -> Result<(), IsolatorError> {
        Ok(())
    }

    /// Changes limits of a running container.
    fn update(&self, _container: &Isolated) -> Result<(), IsolatorError> {
        Ok(())
    }

    /// Adds what it knows to the statistics.
    fn usage(
        &self,
        _container: &Isolated,
        _statistics: &mut v1::ResourceStatistics,
    ) -> Result<(), IsolatorError> {
        Ok(())
    }

    /// Undoes `prepare` and `isolate` when the container has ended or could not be launched, where
    /// that takes more than removing groups and runtime directory.
    fn cleanup(&self, _config: &ContainerConfig) -> Result<(), IsolatorError> {
        Ok(())
    }
}
