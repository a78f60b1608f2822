//! Checks of an agent's description (registration).

use crate::attributes::Attributes;
use crate::base::AgentId;
use crate::proto::v1;
use crate::resources::Resources;

use super::context::Checked;
use super::{Invalid, Reason};

/// An agent whose description was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidAgent {
    /// The id that a master gave it before.
    pub id: Option<AgentId>,
    /// All that it has.
    pub total: Resources,
    /// What its operator says about it.
    pub attributes: Attributes,
    checked: Checked,
}

/// Checks a description. `total` is all that the agent has, with what operations have made of it;
/// none for an agent that says so in the description only.
///
/// # Errors
///
/// The first problem found.
pub fn check(info: &v1::AgentInfo, total: &[v1::Resource]) -> Result<ValidAgent, Invalid> {
    let id = info.id.as_ref().map(AgentId::try_from).transpose();
    let id = id.map_err(|error| Invalid::new("agent_info.id", error))?;
    if info.hostname.is_empty() {
        return Err(Invalid::new("agent_info.hostname", Reason::Empty));
    }
    if u16::try_from(info.port()).is_err() {
        return Err(Invalid::new(
            "agent_info.port",
            Reason::NotAPort(info.port().into()),
        ));
    }
    let said = if total.is_empty() {
        &info.resources
    } else {
        total
    };
    let total =
        Resources::from_proto(said).map_err(|error| Invalid::new("agent_info.resources", error))?;
    if total.iter().any(|item| item.allocated_role().is_some()) {
        return Err(Invalid::new(
            "agent_info.resources.allocation_info",
            Reason::Unexpected(" in an agent's total"),
        ));
    }
    let attributes = Attributes::from_proto(&info.attributes)
        .map_err(|error| Invalid::new("agent_info.attributes", error))?;
    Ok(ValidAgent {
        id,
        total,
        attributes,
        checked: Checked,
    })
}
