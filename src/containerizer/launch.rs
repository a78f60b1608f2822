//! The steps of a launch that block, and their undoing: user, sandbox, runtime directory, plan, control
//! groups, limits, supervisor.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::cgroups::{Host, Level, Tree};
use super::config::ContainerizerConfig;
use super::error::LaunchError;
use super::isolators::{Isolated, Isolator, Requests};
use super::launcher::{Spawned, Spawner};
use super::plan::{LaunchPlan, LauncherKind};
use super::sandbox::{self, Output};
use super::status::{self, ProcessRecord};
use super::{planning, user, volumes};
use crate::agent::{ContainerConfig, ContainerKind};

/// What all launches share.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) config: ContainerizerConfig,
    pub(super) launcher: LauncherKind,
    /// `None` with the posix launcher.
    pub(super) host: Option<Host>,
    pub(super) isolators: Vec<Box<dyn Isolator>>,
    pub(super) spawner: Spawner,
}

/// A container that is ready to run.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) plan: LaunchPlan,
    pub(super) isolated: Isolated,
    pub(super) output: Output,
}

impl Engine {
    /// `<runtime_dir>/containers`.
    pub(super) fn containers(&self) -> PathBuf {
        self.config.runtime_dir.join("containers")
    }

    /// Everything before the first process. On failure nothing but the sandbox is left.
    pub(super) fn prepare(&self, config: &ContainerConfig) -> Result<Prepared, LaunchError> {
        let planned_user = match &config.user {
            Some(name) => user::look_up(name)?,
            None => None,
        };
        let runtime = self.containers().join(config.container_id.as_str());
        let plan = planning::plan(config, &self.config, self.launcher, &runtime, planned_user)?;
        let output = match config.kind {
            // Its tasks have sandboxes of their own below this one, where nobody else may write.
            ContainerKind::TaskGroups(_) => sandbox::create_shared(&config.sandbox)?,
            _ => sandbox::create(&config.sandbox, plan.user.as_ref())?,
        };
        if !matches!(config.kind, ContainerKind::Standalone) {
            sandbox::link_latest(&config.sandbox)?;
        }
        // The record of the container comes before what it would be needed for.
        if let Err(cause) = DirBuilder::new().mode(0o700).create(&runtime) {
            return Err(LaunchError::Runtime {
                path: runtime,
                cause,
            });
        }
        let prepared = self.isolate(config, plan, output);
        if prepared.is_err() {
            self.clean(config, None, Duration::ZERO);
        }
        prepared
    }

    fn isolate(
        &self,
        config: &ContainerConfig,
        mut plan: LaunchPlan,
        output: Output,
    ) -> Result<Prepared, LaunchError> {
        let failed = |isolator: &dyn Isolator, cause| LaunchError::Isolator {
            name: isolator.name(),
            cause,
        };
        for isolator in &self.isolators {
            let contributed = isolator.prepare(config, &mut plan);
            contributed.map_err(|cause| failed(isolator.as_ref(), cause))?;
        }
        // Tasks of groups have sandboxes of their own, where each gets its mounts.
        let mounted = plan.namespaces.mount && !matches!(config.kind, ContainerKind::TaskGroups(_));
        let user = plan.user.as_ref();
        plan.volumes = volumes::appear(&config.sandbox, user, &config.volumes, mounted)?;
        let tree = match &self.host {
            Some(host) => Some(Tree::create(host, config.container_id.as_str())?),
            None => None,
        };
        if let Some(tree) = &tree {
            plan.cgroups = tree.leaves(Level::Task);
        }
        let isolated = Isolated {
            tree,
            requests: Requests::new(&config.resources, &config.limits),
            supervisor: 0,
        };
        for isolator in &self.isolators {
            let limited = isolator.isolate(&isolated);
            if let Err(cause) = limited {
                self.clean(config, isolated.tree.as_ref(), self.config.destroy_timeout);
                return Err(failed(isolator.as_ref(), cause));
            }
        }
        Ok(Prepared {
            plan,
            isolated,
            output,
        })
    }

    /// Starts the supervisor and records it.
    pub(super) fn start(&self, prepared: &mut Prepared) -> Result<Spawned, LaunchError> {
        let leaves = prepared
            .isolated
            .tree
            .as_ref()
            .map(|tree| tree.leaves(Level::Supervisor))
            .unwrap_or_default();
        let Output { stdout, stderr } = &prepared.output;
        let spawned = self.spawner.spawn(&prepared.plan, &leaves, stdout, stderr);
        let spawned = spawned.map_err(LaunchError::Spawn)?;
        prepared.isolated.supervisor = spawned.pid;
        // Our own unreaped child: its record is there even if it has ended already.
        if let Some(record) = ProcessRecord::of(spawned.pid) {
            let recorded = status::write_process(&prepared.plan.runtime, &record);
            if let Err(error) = recorded {
                let container = &prepared.plan.container_id;
                tracing::error!(%container, %error, "the supervisor is not recorded");
            }
        }
        Ok(spawned)
    }

    /// Removes everything of a container but its sandbox, killing what still runs in its groups.
    /// The record stays if something else does, so that the next agent tries again.
    pub(super) fn clean(&self, config: &ContainerConfig, tree: Option<&Tree>, timeout: Duration) {
        let container = &config.container_id;
        for isolator in self.isolators.iter().rev() {
            if let Err(error) = isolator.cleanup(config) {
                tracing::error!(%container, %error, isolator = isolator.name(), "cleanup failed");
            }
        }
        if let Some(Err(error)) = tree.map(|tree| tree.destroy(timeout)) {
            tracing::error!(%container, %error, "control groups remain");
            self.config.destroy_errors.increment();
            return;
        }
        let runtime = self.containers().join(container.as_str());
        if let Err(error) = fs::remove_dir_all(&runtime) {
            tracing::error!(%container, %error, path = %runtime.display(), "cannot remove");
            self.config.destroy_errors.increment();
        }
    }
}
