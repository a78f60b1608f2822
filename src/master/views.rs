//! Agents, frameworks and published events as Mesos' operator API shows them.

use crate::base::Timestamp;
use crate::proto::v1;
use crate::proto::v1::master::response::{get_agents, get_frameworks};
use crate::resources::ReservationForm;

use super::agent::{Agent, CAPABILITIES};
use super::effect::OperatorEvent;
use super::framework::Framework;
use super::snapshot::Snapshot;

fn time(at: Timestamp) -> v1::TimeInfo {
    v1::TimeInfo {
        nanoseconds: i64::try_from(at.0).unwrap_or(i64::MAX),
    }
}

impl Snapshot {
    /// An agent as GET_AGENTS shows it.
    #[must_use]
    pub fn agent_to_proto(&self, agent: &Agent) -> get_agents::Agent {
        let standing = self.standing(&agent.id);
        get_agents::Agent {
            agent_info: v1::AgentInfo {
                checkpoint: Some(true),
                ..v1::AgentInfo::clone(&agent.info)
            },
            active: agent.is_active() && !standing.deactivated,
            deactivated: Some(standing.deactivated),
            drain_info: standing.drain.map(|drain| drain.to_proto()),
            estimated_drain_start_time: agent.drain_started.map(time),
            version: agent.version.clone(),
            pid: Some(agent.pid()),
            registered_time: Some(time(agent.registered)),
            reregistered_time: agent.reregistered.map(time),
            total_resources: agent.total.to_proto(ReservationForm::Both),
            allocated_resources: self.agent_allocated(agent).to_proto(ReservationForm::Both),
            offered_resources: self.agent_offered(agent).to_proto(ReservationForm::Both),
            capabilities: CAPABILITIES
                .into_iter()
                .map(|kind| v1::agent_info::Capability {
                    r#type: Some(kind.into()),
                })
                .collect(),
            ..get_agents::Agent::default()
        }
    }

    /// A framework as GET_FRAMEWORKS shows it.
    #[must_use]
    pub fn framework_to_proto(&self, framework: &Framework) -> get_frameworks::Framework {
        let connected = framework.is_connected();
        let offers = framework.offers.iter().filter_map(|offer_id| {
            let offer = self.offers.get(offer_id)?;
            Some(offer.to_proto(self.agents.get(&offer.agent_id)?, ReservationForm::Both))
        });
        let inverse_offers = self.inverse_offers.iter();
        let inverse_offers = inverse_offers.filter(|((to, _), _)| *to == framework.id);
        let inverse_offers = inverse_offers.map(|((to, about), offer)| offer.to_proto(to, about));
        get_frameworks::Framework {
            framework_info: v1::FrameworkInfo::clone(&framework.info),
            active: connected,
            connected,
            recovered: framework.is_recovered(),
            registered_time: Some(time(framework.registered)),
            reregistered_time: Some(time(framework.reregistered.unwrap_or(framework.registered))),
            unregistered_time: framework.unregistered.map(time),
            offers: offers.collect(),
            inverse_offers: inverse_offers.collect(),
            allocated_resources: self
                .framework_allocated(framework)
                .to_proto(ReservationForm::Both),
            offered_resources: self
                .framework_offered(framework)
                .to_proto(ReservationForm::Both),
            offer_constraints: Some(framework.constraints.to_proto()),
        }
    }

    /// A framework as events show it: with the time at which it went, 0 while it has not, and without its
    /// offer constraints.
    fn framework_of_event(&self, framework: &Framework) -> get_frameworks::Framework {
        let mut shown = self.framework_to_proto(framework);
        shown.unregistered_time.get_or_insert_default();
        shown.offer_constraints = None;
        shown
    }
}

impl OperatorEvent {
    /// The event as operators' streams carry it; `state` is that right after the event's step.
    #[must_use]
    pub fn to_proto(&self, state: &Snapshot) -> v1::master::Event {
        use v1::master::event;
        let mut out = v1::master::Event::default();
        let kind = match self {
            Self::TaskAdded(task) => {
                out.task_added = Some(event::TaskAdded {
                    task: task.to_proto(),
                });
                event::Type::TaskAdded
            }
            Self::TaskUpdated {
                framework_id,
                status,
                state,
            } => {
                out.task_updated = Some(event::TaskUpdated {
                    framework_id: framework_id.into(),
                    status: v1::TaskStatus::clone(status),
                    state: (*state).into(),
                });
                event::Type::TaskUpdated
            }
            Self::AgentAdded(agent) => {
                out.agent_added = Some(event::AgentAdded {
                    agent: state.agent_to_proto(agent),
                });
                event::Type::AgentAdded
            }
            Self::AgentRemoved(agent_id) => {
                out.agent_removed = Some(event::AgentRemoved {
                    agent_id: agent_id.into(),
                });
                event::Type::AgentRemoved
            }
            Self::FrameworkAdded(framework) => {
                out.framework_added = Some(event::FrameworkAdded {
                    framework: state.framework_of_event(framework),
                });
                event::Type::FrameworkAdded
            }
            Self::FrameworkUpdated(framework) => {
                out.framework_updated = Some(event::FrameworkUpdated {
                    framework: state.framework_of_event(framework),
                });
                event::Type::FrameworkUpdated
            }
            Self::FrameworkStarving(starving) => {
                out.framework_starving = Some(v1::master::FrameworkStarving::clone(starving));
                event::Type::FrameworkStarving
            }
            Self::FrameworkRemoved(info) => {
                out.framework_removed = Some(event::FrameworkRemoved {
                    framework_info: v1::FrameworkInfo::clone(info),
                });
                event::Type::FrameworkRemoved
            }
        };
        out.r#type = Some(kind.into());
        out
    }
}
