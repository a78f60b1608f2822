//! What an ACCEPT has left: operations convert it, and launches take from it, in the order of the call.

use crate::base::{AgentId, ConnectionId, FrameworkId};
use crate::resources::{Conversion, Resources};
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
    /// The part of `left` that operations of this call have made, at most.
    made: Resources,
    /// What operations have made that nothing in this call may use: resized volumes.
    set_aside: Resources,
}

impl Draft {
    /// The draft of offers with these resources.
    pub(super) fn new(
        framework_id: FrameworkId,
        (agent_id, link): (AgentId, ConnectionId),
        role: Role,
        left: Resources,
    ) -> Self {
        Self {
            framework_id,
            agent_id,
            link,
            role,
            left,
            made: Resources::new(),
            set_aside: Resources::new(),
        }
    }

    /// Takes what a checked launch consumes.
    pub(super) fn take(&mut self, consumed: &Resources) {
        assert!(
            self.left.contains(consumed),
            "a checked launch consumes {consumed} of {}",
            self.left
        );
        self.left.subtract_all(consumed);
    }

    /// Makes something else of a part.
    pub(super) fn convert(&mut self, conversion: &Conversion, usable: bool) {
        self.take(&conversion.consumed);
        self.made.subtract_all(&conversion.consumed);
        if usable {
            self.left.add_all(&conversion.converted);
            self.made.add_all(&conversion.converted);
        } else {
            self.set_aside.add_all(&conversion.converted);
        }
    }

    /// What goes back in the end: as it was offered, and as operations have made it.
    pub(super) fn rest(self) -> (Resources, Resources) {
        let as_offered = &self.left - &self.made;
        let mut made = &self.left - &as_offered;
        made.add_all(&self.set_aside);
        (as_offered, made)
    }
}
