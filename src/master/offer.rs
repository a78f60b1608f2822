//! One outstanding offer.

use crate::base::{AgentId, FrameworkId, Instant, OfferId};
use crate::proto::v1;
use crate::resources::{ReservationForm, Resources};
use crate::roles::Role;

use super::agent::Agent;

/// Resources of one agent that one framework may use in one role, until it answers.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Its name.
    pub id: OfferId,
    /// Who may use it.
    pub framework_id: FrameworkId,
    /// Where the resources are.
    pub agent_id: AgentId,
    /// In which role.
    pub role: Role,
    /// What is offered, allocated to the role.
    pub resources: Resources,
    /// Since when the framework has held it.
    pub since: Instant,
}

impl Offer {
    /// The offer as its scheduler sees it; `agent` is the offer's, `form` the framework's.
    #[must_use]
    pub fn to_proto(&self, agent: &Agent, form: ReservationForm) -> v1::Offer {
        let hostname = agent.info.hostname.clone();
        let (ip, _) = agent.peer.rsplit_once(':').unwrap_or((&agent.peer, ""));
        v1::Offer {
            id: (&self.id).into(),
            framework_id: (&self.framework_id).into(),
            agent_id: (&self.agent_id).into(),
            hostname: hostname.clone(),
            url: Some(v1::Url {
                scheme: "http".to_owned(),
                address: v1::Address {
                    hostname: Some(hostname),
                    ip: Some(ip.trim_matches(['[', ']']).to_owned()),
                    port: agent.info.port(),
                },
                path: Some("/slave(1)".to_owned()),
                ..v1::Url::default()
            }),
            domain: agent.info.domain.clone(),
            resources: self.resources.to_proto(form),
            attributes: agent.info.attributes.clone(),
            executor_ids: agent
                .executors
                .keys()
                .filter(|(framework_id, _)| *framework_id == self.framework_id)
                .map(|(_, executor_id)| executor_id.into())
                .collect(),
            unavailability: agent
                .maintained
                .as_ref()
                .map(|maintained| maintained.unavailability),
            allocation_info: Some(v1::resource::AllocationInfo {
                role: Some(self.role.as_str().to_owned()),
            }),
        }
    }
}
