//! One operation on an agent's resources, from ACCEPT or an operator's call until its end is
//! acknowledged.

use std::sync::Arc;

use crate::base::{AgentId, FrameworkId, OperationId, Uuid};
use crate::proto::v1;
use crate::proto::v1::OperationState;

/// An operation that was sent to an agent.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its name between master and agent.
    pub uuid: Uuid,
    /// Whose it is; none for an operator's.
    pub framework_id: Option<FrameworkId>,
    /// The agent.
    pub agent_id: AgentId,
    /// What is to be done.
    pub info: Arc<v1::offer::Operation>,
    /// The newest that the agent has said of it; pending before.
    pub status: v1::OperationStatus,
}

impl Operation {
    /// The name that its framework gave it, if it wants to hear of it.
    #[must_use]
    pub fn id(&self) -> Option<OperationId> {
        let id = self.info.id.as_ref()?;
        Some(OperationId::new(id.value.as_str()))
    }

    /// True when nothing more will happen to it.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        is_terminal(self.status.state())
    }

    /// The uuid that an acknowledgement of its status must name.
    #[must_use]
    pub fn status_uuid(&self) -> Option<&[u8]> {
        Some(&self.status.uuid.as_ref()?.value)
    }

    /// The operation as GET_OPERATIONS shows it.
    #[must_use]
    pub fn to_proto(&self) -> v1::Operation {
        v1::Operation {
            framework_id: self.framework_id.as_ref().map(Into::into),
            agent_id: Some((&self.agent_id).into()),
            info: (*self.info).clone(),
            latest_status: self.status.clone(),
            statuses: vec![self.status.clone()],
            uuid: (&self.uuid).into(),
        }
    }
}

/// True for the states that are the last of an operation.
#[must_use]
pub fn is_terminal(state: OperationState) -> bool {
    match state {
        OperationState::OperationFinished
        | OperationState::OperationFailed
        | OperationState::OperationError
        | OperationState::OperationDropped
        | OperationState::OperationGoneByOperator => true,
        OperationState::OperationUnsupported
        | OperationState::OperationPending
        | OperationState::OperationUnreachable
        | OperationState::OperationRecovering
        | OperationState::OperationUnknown => false,
    }
}

/// A status that the master makes up: without uuid, not to be acknowledged.
pub(super) fn master_status(
    operation_id: Option<v1::OperationId>,
    agent_id: Option<&AgentId>,
    state: OperationState,
    message: Option<&str>,
) -> v1::OperationStatus {
    v1::OperationStatus {
        operation_id,
        state: state.into(),
        message: message.map(str::to_owned),
        agent_id: agent_id.map(Into::into),
        ..v1::OperationStatus::default()
    }
}
