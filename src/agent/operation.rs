//! One operation on the agent's resources, from its arrival to the master's acknowledgement.
//!
//! ```text
//! (arrives) Waiting -> Making -> Recording -> Reporting -> Acknowledged -> forgotten
//!              |          |          ^
//!              |          +- no folders to make
//!              +- a volume of the same name is going: its end comes first
//! ```

use std::sync::Arc;
use std::time::Duration;

use crate::base::{FrameworkId, Uuid};
use crate::proto::v1;
use crate::resources::Conversion;

use super::update_stream::RETRY_MIN;

/// Longest wait for an acknowledgement.
const RETRY_MAX: Duration = Duration::from_secs(600);

/// How far an operation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationStage {
    /// Volumes of the same names are going; their folders must be out of the way first.
    Waiting,
    /// The folders of its volumes are being made.
    Making,
    /// What it did is being written down.
    Recording,
    /// Written down; the master is told until it acknowledges.
    Reporting,
    /// Acknowledged; that is being written down.
    Acknowledged,
}

/// An operation that the master has sent.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its name between master and agent.
    pub uuid: Uuid,
    /// Whose it is; none for an operator's.
    pub framework_id: Option<FrameworkId>,
    /// What is to be done.
    pub info: Arc<v1::offer::Operation>,
    /// What it does; nothing if it was refused.
    pub(super) conversion: Conversion,
    /// How far it has come.
    pub stage: OperationStage,
    /// How it ended, with uuid; holds from `Reporting` on.
    pub status: v1::OperationStatus,
    /// Until it is told again.
    retry: Duration,
}

impl Operation {
    pub(super) fn new(
        uuid: Uuid,
        framework_id: Option<FrameworkId>,
        info: Arc<v1::offer::Operation>,
        conversion: Conversion,
        status: v1::OperationStatus,
    ) -> Self {
        Self {
            uuid,
            framework_id,
            info,
            conversion,
            stage: OperationStage::Recording,
            status,
            retry: RETRY_MIN,
        }
    }

    /// The wait after a report; doubles each time.
    pub(super) fn next_retry(&mut self) -> Duration {
        let wait = self.retry;
        self.retry = (self.retry * 2).min(RETRY_MAX);
        wait
    }

    /// A new registration starts the waits over.
    pub(super) fn restart(&mut self) {
        self.retry = RETRY_MIN;
    }

    /// The operation as it is written down.
    #[must_use]
    pub(super) fn record(&self) -> v1::Operation {
        v1::Operation {
            framework_id: self.framework_id.as_ref().map(Into::into),
            agent_id: self.status.agent_id.clone(),
            info: (*self.info).clone(),
            latest_status: self.status.clone(),
            statuses: vec![self.status.clone()],
            uuid: (&self.uuid).into(),
        }
    }

    /// The operation as readers and the master see it: pending until it is written down.
    #[must_use]
    pub fn to_proto(&self) -> v1::Operation {
        let mut message = self.record();
        match self.stage {
            OperationStage::Waiting | OperationStage::Making | OperationStage::Recording => {
                message.latest_status = v1::OperationStatus {
                    operation_id: self.info.id.clone(),
                    state: v1::OperationState::OperationPending.into(),
                    agent_id: self.status.agent_id.clone(),
                    ..v1::OperationStatus::default()
                };
                message.statuses = vec![message.latest_status.clone()];
            }
            OperationStage::Reporting | OperationStage::Acknowledged => {}
        }
        message
    }
}
