//! Maintenance: what the schedule means for agents and their offers.

use std::net::IpAddr;
use std::sync::Arc;

use crate::base::AgentId;
use crate::proto::v1;
use crate::registry::{MachineId, Maintenance, MaintenanceRefused};

use super::agent::Agent;
use super::core::{Master, Step};
use super::pending::Departure;

/// The maintenance that an agent's machine waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Maintained {
    /// The machine, as the schedule names it.
    pub machine: MachineId,
    /// When it will not be there.
    pub unavailability: v1::Unavailability,
}

/// The address in a peer's `host:port`.
pub(super) fn ip_of(peer: &str) -> Option<IpAddr> {
    let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
    host.trim_matches(['[', ']']).parse().ok()
}

impl Master {
    /// Whether the machine of an agent that speaks over a link from `peer` is down.
    pub(super) fn is_machine_down(&self, info: &v1::AgentInfo, peer: &str) -> bool {
        self.policy.maintenance.is_down(&info.hostname, ip_of(peer))
    }

    /// The maintenance that the machine of this agent waits for.
    pub(super) fn maintained(&self, info: &v1::AgentInfo, peer: &str) -> Option<Maintained> {
        let maintenance = &self.policy.maintenance;
        let machine = maintenance.machine_of(&info.hostname, ip_of(peer))?;
        let window = maintenance.window_of(machine)?;
        Some(Maintained {
            machine: machine.clone(),
            unavailability: window.unavailability(),
        })
    }

    /// Another schedule is in force, or machines went down or came up. Offers of agents whose
    /// maintenance has changed go back and come again with what holds now.
    pub(super) fn enforce_maintenance(
        &mut self,
        step: &mut Step<'_>,
        next: Result<Maintenance, MaintenanceRefused>,
    ) {
        match next {
            Ok(next) => self.policy.maintenance = Arc::new(next),
            // Decisions are made one after the other, and the registry has taken this one.
            Err(error) => {
                tracing::warn!(%error, "the registry knows another maintenance than this master");
                return;
            }
        }
        let agents: Vec<Arc<Agent>> = self.agents.values().cloned().collect();
        for agent in agents {
            let next = self.maintained(&agent.info, &agent.peer);
            if next != agent.maintained {
                self.rescind_offers_of(step, &agent.id);
                self.forget_inverse_offers_of(step, &agent.id);
                self.set_maintained(&agent.id, next);
            }
            if self.is_machine_down(&agent.info, &agent.peer) {
                self.leave_machine(step, &agent.id);
            }
        }
        self.plan_inverse_offers(step, true);
    }

    pub(super) fn set_maintained(&mut self, agent_id: &AgentId, next: Option<Maintained>) {
        if next.is_some() {
            self.inverse.agents.insert(agent_id.clone());
        } else {
            self.inverse.agents.remove(agent_id);
        }
        if let Some(agent) = self.agent_mut(agent_id) {
            agent.maintained = next;
        }
    }

    /// Has an agent end whose machine is down. While the registry is being told of it otherwise, the
    /// next ping comes back to it.
    pub(super) fn leave_machine(&mut self, step: &mut Step<'_>, agent_id: &AgentId) {
        if !self.writing.contains(agent_id) {
            self.leave(step, agent_id, Departure::MachineDown, None);
        }
    }
}
