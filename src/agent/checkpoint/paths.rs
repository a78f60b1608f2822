//! Every path below `work_dir`, drawn once (Mesos' `slave/paths`).
//!
//! ```text
//! meta/journal                                                  the agent's durable records
//! slaves/<aid>/frameworks/<fid>/executors/<eid>/runs/<cid>/     sandbox of one run
//!                                                    /latest -> <cid>
//! ```

use std::path::{Path, PathBuf};

use crate::base::{AgentId, ContainerId, ExecutorId, FrameworkId};

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
