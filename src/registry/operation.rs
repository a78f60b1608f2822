//! The changes a registry knows, and what each does.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{MachineId, MaintenanceRefused, Registry, Standing, Subject, Window};
use crate::base::{AgentId, FrameworkId, Timestamp};
use crate::proto::v1;
use crate::quota::Quota;
use crate::roles::{Role, Weight};

/// One change of the registry.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// A new agent joins.
    AdmitAgent {
        /// The id it was given.
        agent_id: AgentId,
        /// How it describes itself.
        info: Arc<v1::AgentInfo>,
    },
    /// An admitted agent describes itself anew.
    UpdateAgent {
        /// Which agent.
        agent_id: AgentId,
        /// The new description.
        info: Arc<v1::AgentInfo>,
    },
    /// An admitted agent went silent.
    MarkUnreachable {
        /// Which agent.
        agent_id: AgentId,
        /// When the master gave up on it.
        at: Timestamp,
    },
    /// An agent came back: unreachable, forgotten or still admitted, it is admitted now.
    MarkReachable {
        /// Which agent.
        agent_id: AgentId,
        /// How it describes itself now.
        info: Arc<v1::AgentInfo>,
    },
    /// An agent left for good.
    RemoveAgent {
        /// Which agent.
        agent_id: AgentId,
    },
    /// An operator gave an agent up for good; its id is never taken again.
    MarkGone {
        /// Which agent, admitted or unreachable.
        agent_id: AgentId,
        /// When.
        at: Timestamp,
    },
    /// An operator drains, deactivates or reactivates an agent, or a drain has ended.
    SetStanding {
        /// Which agent, admitted or unreachable.
        agent_id: AgentId,
        /// Where it stands from now on.
        standing: Standing,
    },
    /// Unreachable and gone agents are forgotten.
    Prune {
        /// Their ids; what is not there, or came back, stays as it is.
        agents: Vec<AgentId>,
    },
    /// A framework is there, or describes itself anew.
    KeepFramework {
        /// Its id.
        framework_id: FrameworkId,
        /// How it describes itself, with id.
        info: Arc<v1::FrameworkInfo>,
    },
    /// A framework ended.
    ForgetFramework {
        /// Which framework.
        framework_id: FrameworkId,
    },
    /// Roles weigh more or less from now on.
    SetWeights {
        /// Their weights.
        weights: BTreeMap<Role, Weight>,
    },
    /// Roles have other quotas from now on, all of them or none.
    SetQuotas {
        /// Their quotas; the default takes a role's quota away.
        quotas: BTreeMap<Role, Quota>,
    },
    /// Machines are announced for maintenance; replaces what was announced before.
    SetSchedule {
        /// The windows.
        windows: Vec<Window>,
    },
    /// Machines go down.
    StartMaintenance {
        /// Which machines of the schedule.
        machines: Vec<MachineId>,
    },
    /// Machines are up again.
    StopMaintenance {
        /// Which machines of those that are down.
        machines: Vec<MachineId>,
    },
}

/// Whether an operation changed anything; if not, nothing has to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutated {
    /// The registry is different now.
    Yes,
    /// The registry had the operation's effect before.
    No,
}

/// Why an operation cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryRefused {
    /// `AdmitAgent` with an id that is taken.
    #[error("agent {0} is admitted already")]
    AlreadyAdmitted(AgentId),
    /// The operation needs an admitted agent.
    #[error("agent {0} is not admitted")]
    NotAdmitted(AgentId),
    /// The agent was given up for good.
    #[error("agent {0} was marked gone")]
    Gone(AgentId),
    /// The schedule or the machines are wrong.
    #[error(transparent)]
    Maintenance(#[from] MaintenanceRefused),
    /// Where the registry is kept there is no room for the record.
    #[error(
        "the record of {subject} would have {bytes} bytes, the registry takes {bytes_max} of one record"
    )]
    TooLarge {
        /// What the record is about.
        subject: Subject,
        /// Its size.
        bytes: usize,
        /// What fits.
        bytes_max: usize,
    },
}

impl Mutated {
    fn when(changed: bool) -> Self {
        if changed { Self::Yes } else { Self::No }
    }
}

impl Operation {
    /// What it is about: the records that it may change.
    #[must_use]
    pub fn subjects(&self) -> Vec<Subject> {
        match self {
            Self::AdmitAgent { agent_id, .. }
            | Self::UpdateAgent { agent_id, .. }
            | Self::MarkUnreachable { agent_id, .. }
            | Self::MarkReachable { agent_id, .. }
            | Self::RemoveAgent { agent_id }
            | Self::MarkGone { agent_id, .. }
            | Self::SetStanding { agent_id, .. } => vec![Subject::Agent(agent_id.clone())],
            Self::Prune { agents } => agents.iter().cloned().map(Subject::Agent).collect(),
            Self::KeepFramework { framework_id, .. } | Self::ForgetFramework { framework_id } => {
                vec![Subject::Framework(framework_id.clone())]
            }
            Self::SetWeights { weights } => weights.keys().cloned().map(Subject::Weight).collect(),
            Self::SetQuotas { quotas } => quotas.keys().cloned().map(Subject::Quota).collect(),
            Self::SetSchedule { .. }
            | Self::StartMaintenance { .. }
            | Self::StopMaintenance { .. } => vec![Subject::Maintenance],
        }
    }

    /// Applies the operation.
    pub fn apply(&self, registry: &mut Registry) -> Result<Mutated, RegistryRefused> {
        match self {
            Self::AdmitAgent { agent_id, info } => {
                if !registry.is_unknown(agent_id) {
                    return Err(RegistryRefused::AlreadyAdmitted(agent_id.clone()));
                }
                registry.agents.insert(agent_id.clone(), Arc::clone(info));
                Ok(Mutated::Yes)
            }
            Self::UpdateAgent { agent_id, info } => match registry.agents.get_mut(agent_id) {
                None => Err(RegistryRefused::NotAdmitted(agent_id.clone())),
                Some(known) if known == info => Ok(Mutated::No),
                Some(known) => {
                    *known = Arc::clone(info);
                    Ok(Mutated::Yes)
                }
            },
            Self::MarkUnreachable { agent_id, at } => {
                if registry.agents.remove(agent_id).is_none() {
                    return Err(RegistryRefused::NotAdmitted(agent_id.clone()));
                }
                registry.unreachable.insert(agent_id.clone(), *at);
                Ok(Mutated::Yes)
            }
            Self::MarkReachable { agent_id, info } => {
                if registry.gone.contains_key(agent_id) {
                    return Err(RegistryRefused::Gone(agent_id.clone()));
                }
                let returned = registry.unreachable.remove(agent_id).is_some();
                let known = registry.agents.insert(agent_id.clone(), Arc::clone(info));
                let changed = returned || known.as_ref() != Some(info);
                Ok(Mutated::when(changed))
            }
            Self::RemoveAgent { agent_id } => {
                take_agent(registry, agent_id)?;
                Ok(Mutated::Yes)
            }
            Self::MarkGone { agent_id, at } => {
                if registry.gone.contains_key(agent_id) {
                    return Ok(Mutated::No);
                }
                take_agent(registry, agent_id)?;
                registry.gone.insert(agent_id.clone(), *at);
                Ok(Mutated::Yes)
            }
            Self::SetStanding { agent_id, standing } => {
                let unreachable = registry.unreachable.contains_key(agent_id);
                if !unreachable && !registry.agents.contains_key(agent_id) {
                    return Err(RegistryRefused::NotAdmitted(agent_id.clone()));
                }
                let before = if *standing == Standing::default() {
                    registry.standings.remove(agent_id)
                } else {
                    registry.standings.insert(agent_id.clone(), *standing)
                };
                Ok(Mutated::when(before.unwrap_or_default() != *standing))
            }
            Self::Prune { agents } => {
                let mut changed = false;
                for agent_id in agents {
                    if registry.unreachable.remove(agent_id).is_some() {
                        registry.standings.remove(agent_id);
                        changed = true;
                    }
                    changed |= registry.gone.remove(agent_id).is_some();
                }
                Ok(Mutated::when(changed))
            }
            _ => self.apply_policy(registry),
        }
    }

    /// Applies an operation that is not about agents.
    fn apply_policy(&self, registry: &mut Registry) -> Result<Mutated, RegistryRefused> {
        let maintenance = &registry.maintenance;
        let maintenance = match self {
            Self::KeepFramework { framework_id, info } => {
                let info = Arc::clone(info);
                let known = registry
                    .frameworks
                    .insert(framework_id.clone(), info.clone());
                return Ok(Mutated::when(known.as_ref() != Some(&info)));
            }
            Self::ForgetFramework { framework_id } => {
                let known = registry.frameworks.remove(framework_id).is_some();
                return Ok(Mutated::when(known));
            }
            Self::SetWeights { weights } => {
                let mut changed = false;
                for (role, weight) in weights {
                    changed |= registry.weights.insert(role.clone(), *weight) != Some(*weight);
                }
                return Ok(Mutated::when(changed));
            }
            Self::SetQuotas { quotas } => {
                let mut changed = false;
                for (role, quota) in quotas {
                    let before = if quota.is_default() {
                        registry.quotas.remove(role)
                    } else {
                        registry.quotas.insert(role.clone(), quota.clone())
                    };
                    changed |= before.unwrap_or_default() != *quota;
                }
                return Ok(Mutated::when(changed));
            }
            Self::SetSchedule { windows } => maintenance.rescheduled(windows.clone())?,
            Self::StartMaintenance { machines } => maintenance.started(machines)?,
            Self::StopMaintenance { machines } => maintenance.stopped(machines)?,
            _ => return Ok(Mutated::No),
        };
        let changed = *registry.maintenance != maintenance;
        registry.maintenance = Arc::new(maintenance);
        Ok(Mutated::when(changed))
    }
}

/// Takes an agent out, with where it stands.
fn take_agent(registry: &mut Registry, agent_id: &AgentId) -> Result<(), RegistryRefused> {
    let admitted = registry.agents.remove(agent_id).is_some();
    let unreachable = registry.unreachable.remove(agent_id).is_some();
    if !admitted && !unreachable {
        return Err(RegistryRefused::NotAdmitted(agent_id.clone()));
    }
    registry.standings.remove(agent_id);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{Quantities, ResourceName, Scalar};

    fn info(hostname: &str) -> Arc<v1::AgentInfo> {
        Arc::new(v1::AgentInfo {
            hostname: hostname.to_owned(),
            ..v1::AgentInfo::default()
        })
    }

    fn id(text: &str) -> AgentId {
        AgentId::new(text)
    }

    #[test]
    fn an_agent_lives_through_all_operations() {
        let mut registry = Registry::default();
        let (agent_id, first, second) = (id("m-S0"), info("a"), info("b"));
        let admit = Operation::AdmitAgent {
            agent_id: agent_id.clone(),
            info: Arc::clone(&first),
        };
        assert_eq!(admit.apply(&mut registry), Ok(Mutated::Yes));
        assert_eq!(
            admit.apply(&mut registry),
            Err(RegistryRefused::AlreadyAdmitted(agent_id.clone()))
        );
        let update = Operation::UpdateAgent {
            agent_id: agent_id.clone(),
            info: Arc::clone(&second),
        };
        assert_eq!(update.apply(&mut registry), Ok(Mutated::Yes));
        assert_eq!(update.apply(&mut registry), Ok(Mutated::No));
        let lose = Operation::MarkUnreachable {
            agent_id: agent_id.clone(),
            at: Timestamp(7),
        };
        assert_eq!(lose.apply(&mut registry), Ok(Mutated::Yes));
        assert_eq!(
            lose.apply(&mut registry),
            Err(RegistryRefused::NotAdmitted(agent_id.clone()))
        );
        assert_eq!(registry.unreachable.get(&agent_id), Some(&Timestamp(7)));
        assert_eq!(
            admit.apply(&mut registry),
            Err(RegistryRefused::AlreadyAdmitted(agent_id.clone())),
            "the id of an unreachable agent stays taken"
        );
        let back = Operation::MarkReachable {
            agent_id: agent_id.clone(),
            info: second,
        };
        assert_eq!(back.apply(&mut registry), Ok(Mutated::Yes));
        assert_eq!(back.apply(&mut registry), Ok(Mutated::No));
        assert!(registry.unreachable.is_empty());
        let remove = Operation::RemoveAgent {
            agent_id: agent_id.clone(),
        };
        assert_eq!(remove.apply(&mut registry), Ok(Mutated::Yes));
        assert_eq!(
            remove.apply(&mut registry),
            Err(RegistryRefused::NotAdmitted(agent_id.clone()))
        );
        assert!(registry.is_unknown(&agent_id));
    }

    #[test]
    fn a_forgotten_agent_may_return() {
        let mut registry = Registry::default();
        let back = Operation::MarkReachable {
            agent_id: id("old-S3"),
            info: info("a"),
        };
        assert_eq!(back.apply(&mut registry), Ok(Mutated::Yes));
        assert!(registry.agents.contains_key(&id("old-S3")));
    }

    #[test]
    fn an_update_needs_an_admitted_agent() {
        let update = Operation::UpdateAgent {
            agent_id: id("m-S0"),
            info: info("a"),
        };
        assert_eq!(
            update.apply(&mut Registry::default()),
            Err(RegistryRefused::NotAdmitted(id("m-S0")))
        );
    }

    #[test]
    fn a_gone_agent_never_comes_back() {
        let mut registry = Registry::default();
        let agent_id = id("m-S0");
        let gone = Operation::MarkGone {
            agent_id: agent_id.clone(),
            at: Timestamp(9),
        };
        let unknown = gone.apply(&mut registry);
        assert_eq!(unknown, Err(RegistryRefused::NotAdmitted(agent_id.clone())));
        registry.unreachable.insert(agent_id.clone(), Timestamp(1));
        let drained = Operation::SetStanding {
            agent_id: agent_id.clone(),
            standing: Standing {
                deactivated: true,
                drain: None,
            },
        };
        assert_eq!(drained.apply(&mut registry), Ok(Mutated::Yes));
        assert_eq!(drained.apply(&mut registry), Ok(Mutated::No));
        assert_eq!(gone.apply(&mut registry), Ok(Mutated::Yes));
        assert_eq!(gone.apply(&mut registry), Ok(Mutated::No));
        assert!(registry.unreachable.is_empty() && registry.standings.is_empty());
        let back = Operation::MarkReachable {
            agent_id: agent_id.clone(),
            info: info("a"),
        };
        let refused = back.apply(&mut registry);
        assert_eq!(refused, Err(RegistryRefused::Gone(agent_id.clone())));
        let refused = drained.apply(&mut registry);
        assert_eq!(refused, Err(RegistryRefused::NotAdmitted(agent_id.clone())));
        let prune = Operation::Prune {
            agents: vec![agent_id.clone()],
        };
        assert_eq!(prune.apply(&mut registry), Ok(Mutated::Yes));
        assert_eq!(prune.apply(&mut registry), Ok(Mutated::No));
        assert_eq!(back.apply(&mut registry), Ok(Mutated::Yes));
    }

    #[test]
    fn quotas_and_weights_are_set_together() {
        let mut registry = Registry::default();
        let role = |name| Role::parse(name).expect("a role");
        let limit = (ResourceName::CPUS, Scalar::whole(2));
        let quota = Quota::new(&role("a"), Quantities::new(), [limit].into_iter().collect());
        let quota = quota.expect("a quota");
        let set = Operation::SetQuotas {
            quotas: [(role("a"), quota), (role("b"), Quota::default())].into(),
        };
        assert_eq!(set.apply(&mut registry), Ok(Mutated::Yes));
        assert_eq!(set.apply(&mut registry), Ok(Mutated::No));
        assert_eq!(
            set.subjects(),
            [Subject::Quota(role("a")), Subject::Quota(role("b"))]
        );
        let unset = Operation::SetQuotas {
            quotas: [(role("a"), Quota::default())].into(),
        };
        assert_eq!(unset.apply(&mut registry), Ok(Mutated::Yes));
        assert!(registry.quotas.is_empty());
        let weigh = Operation::SetWeights {
            weights: [(role("a"), Weight::default())].into(),
        };
        assert_eq!(
            weigh.apply(&mut registry),
            Ok(Mutated::Yes),
            "a weight of 1 counts as set"
        );
        assert_eq!(weigh.apply(&mut registry), Ok(Mutated::No));
    }
}
