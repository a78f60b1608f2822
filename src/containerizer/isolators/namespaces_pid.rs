//! `namespaces/pid`: the task sees only its own processes, and all of them end with it.

use super::isolator::{Isolator, IsolatorError};
use crate::agent::ContainerConfig;
use crate::containerizer::plan::LaunchPlan;

/// The isolator.
#[derive(Debug)]
pub(super) struct NamespacesPid;

impl Isolator for NamespacesPid {
    fn name(&self) -> &'static str {
        "namespaces/pid"
    }

    fn prepare(
        &self,
        config: &ContainerConfig,
        plan: &mut LaunchPlan,
    ) -> Result<(), IsolatorError> {
        let info = config.container.as_ref();
        let linux = info.and_then(|container| container.linux_info.as_ref());
        plan.namespaces.pid = linux.and_then(|linux| linux.share_pid_namespace) != Some(true);
        Ok(())
    }
}
