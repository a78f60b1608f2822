//! What readers get: shared records, cheap to take, encoded elsewhere.

use std::sync::Arc;

use imbl::{OrdMap, Vector};

use crate::base::{FrameworkId, Now, Timestamp, Uuid};
use crate::proto::v1;

use crate::resources::Resources;

use super::executor::Executor;
use super::framework::Framework;
use super::metrics::Counters;
use super::operation::Operation;

/// The agent at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it was taken.
    pub now: Now,
    /// When the agent started.
    pub started: Timestamp,
    /// When the containers of earlier lives had been taken back.
    pub recovered_at: Option<Timestamp>,
    /// Where its API listens, `ip:port`.
    pub endpoint: String,
    /// Description, with id once registered.
    pub info: Arc<v1::AgentInfo>,
    /// Everything that the agent has to give.
    pub total: Resources,
    /// Operations whose end the master has not acknowledged.
    pub operations: OrdMap<Uuid, Arc<Operation>>,
    /// The master has admitted the agent and the link is up.
    pub registered: bool,
    /// The master that it is or was registered with.
    pub master: Option<Arc<v1::MasterInfo>>,
    /// Frameworks with work here.
    pub frameworks: OrdMap<FrameworkId, Arc<Framework>>,
    /// Frameworks that had work here, oldest first.
    pub completed_frameworks: Vector<Arc<Framework>>,
    /// What was counted since the start.
    pub counters: Counters,
    /// Age at which abandoned sandboxes are deleted at present, in seconds.
    pub gc_age_secs: u64,
    /// The drain that is under way, and since when.
    pub drain: Option<(v1::DrainConfig, Timestamp)>,
    /// Sandboxes waiting for their deletion.
    pub gc_pending: usize,
}

impl Snapshot {
    /// Every run that is not over.
    pub fn executors(&self) -> impl Iterator<Item = &Arc<Executor>> {
        self.frameworks
            .values()
            .flat_map(|framework| framework.executors.values())
    }
}
