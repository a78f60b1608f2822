//! `filesystem/linux`: a mount namespace, so that nothing the task mounts reaches the host, and a /tmp
//! of its own, kept in the sandbox: bounded, listed and collected with it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

use super::isolator::{Isolator, IsolatorError};
use crate::agent::ContainerConfig;
use crate::containerizer::plan::{LaunchPlan, PlannedMount};

/// As `/tmp` has it: everybody writes, only owners remove.
pub(in crate::containerizer) const TMP_MODE: u32 = 0o1777;

/// The isolator.
#[derive(Debug)]
pub(super) struct FilesystemLinux;

impl Isolator for FilesystemLinux {
    fn name(&self) -> &'static str {
        "filesystem/linux"
    }

    fn prepare(
        &self,
        config: &ContainerConfig,
        plan: &mut LaunchPlan,
    ) -> Result<(), IsolatorError> {
        let source = config.sandbox.join("tmp");
        let made = match DirBuilder::new().mode(TMP_MODE).create(&source) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // The mode again: the mask took its share of the first.
            other => {
                other.and_then(|()| fs::set_permissions(&source, Permissions::from_mode(TMP_MODE)))
            }
        };
        made.map_err(|cause| IsolatorError::Prepare {
            path: source.clone(),
            cause,
        })?;
        plan.namespaces.mount = true;
        plan.mounts.push(PlannedMount {
            source,
            target: "/tmp".into(),
            read_only: false,
        });
        Ok(())
    }
}
