//! What an ACCEPT has left: launches take from it in the order of the call.

use crate::base::{AgentId, ConnectionId, FrameworkId};
use crate::resources::Resources;
use crate::roles::Role;

/// The resources of the accepted offers, as far as no launch has taken them.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) framework_id: FrameworkId,
    pub(super) agent_id: AgentId,
    /// The agent's link.
    pub(super) link: ConnectionId,
    /// The role that all offers were made to.
    pub(super) role: Role,
    /// What is left, allocated to the role.
    pub(super) left: Resources,
}

impl Draft {
    /// Takes what a checked launch consumes.
    pub(super) fn take(&mut self, consumed: &Resources) {
        assert!(
            self.left.contains(consumed),
            "a checked launch consumes {consumed} of {}",
            self.left
        );
        self.left.subtract_all(consumed);
    }
}
