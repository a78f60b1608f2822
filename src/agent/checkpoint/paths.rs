//! Every path below `work_dir`, drawn once (Mesos' `slave/paths`).
//!
//! ```text
//! meta/journal                                                  the agent's durable records
//! slaves/<aid>/frameworks/<fid>/executors/<eid>/runs/<cid>/     sandbox of one run
//!                                                    /latest -> <cid>
//! containers/<cid>/                                             sandbox of a standalone container
//! volumes/roles/<role>/<persistence id>/                         persistent volume, '/' of roles as ' '
//! volumes/destroyed/                                            volumes that are being deleted
//! ```

use std::path::{Path, PathBuf};

use crate::base::{AgentId, ContainerId, ExecutorId, FrameworkId};
use crate::resources::{Resource, SourceKind};

/// The tree below one `work_dir`.
#[derive(Clone, Debug)]
pub struct Paths {
    work_dir: PathBuf,
}

impl Paths {
    /// The tree below `work_dir`.
    #[must_use]
    pub fn new(work_dir: impl Into<PathBuf>) -> Self {
        Self {
            work_dir: work_dir.into(),
        }
    }

    /// The root of the tree.
    #[must_use]
    pub fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    /// The folder of durable records.
    #[must_use]
    pub fn meta(&self) -> PathBuf {
        self.work_dir.join("meta")
    }

    /// The agent's journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.meta().join("journal")
    }

    /// Root of all sandboxes.
    #[must_use]
    pub fn agents(&self) -> PathBuf {
        self.work_dir.join("slaves")
    }

    /// Root of the sandboxes of standalone containers.
    #[must_use]
    pub fn standalone_sandboxes(&self) -> PathBuf {
        self.work_dir.join("containers")
    }

    /// All runs of one executor.
    #[must_use]
    pub fn runs(
        &self,
        agent_id: &AgentId,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
    ) -> PathBuf {
        self.agents()
            .join(agent_id.as_str())
            .join("frameworks")
            .join(framework_id.as_str())
            .join("executors")
            .join(executor_id.as_str())
            .join("runs")
    }

    /// The sandbox of one run.
    #[must_use]
    pub fn sandbox(
        &self,
        agent_id: &AgentId,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
        container_id: &ContainerId,
    ) -> PathBuf {
        self.runs(agent_id, framework_id, executor_id)
            .join(container_id.as_str())
    }

    /// Where a persistent volume is; none for what is no volume, or one that the agent cannot place.
    #[must_use]
    pub fn volume(&self, volume: &Resource) -> Option<VolumePath> {
        let disk = volume.disk()?;
        let (persistence, role) = (disk.persistence.as_ref()?, volume.reserved_role()?);
        let folder = role.as_str().replace('/', " ");
        let below = |root: &Path| VolumePath {
            path: root
                .join("volumes/roles")
                .join(&folder)
                .join(&persistence.id),
            trash: root.join("volumes/destroyed"),
            is_mount: false,
        };
        let Some(source) = &disk.source else {
            return Some(below(&self.work_dir));
        };
        let root = self.work_dir.join(source.root.as_deref()?);
        match source.kind {
            SourceKind::Path => Some(below(&root)),
            SourceKind::Mount => Some(VolumePath {
                trash: root.join(".destroyed"),
                path: root,
                is_mount: true,
            }),
            SourceKind::Block | SourceKind::Raw => None,
        }
    }

    /// Where volumes of `work_dir` go to be deleted.
    #[must_use]
    pub fn destroyed_volumes(&self) -> PathBuf {
        self.work_dir.join("volumes/destroyed")
    }

    /// The link to the newest run.
    #[must_use]
    pub fn latest(
        &self,
        agent_id: &AgentId,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
    ) -> PathBuf {
        self.runs(agent_id, framework_id, executor_id)
            .join("latest")
    }
}

/// The place of a persistent volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VolumePath {
    /// The volume's folder.
    pub path: PathBuf,
    /// Where it goes to be deleted, on the same file system.
    pub trash: PathBuf,
    /// The folder is a file system of its own and stays when the volume goes.
    pub is_mount: bool,
}
