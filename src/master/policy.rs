//! What operators decide about roles and machines: weights, quota and maintenance. A decision is
//! checked, stored in the registry, and only then in force and answered; one at a time, so that each is
//! checked against what the one before it has made.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use imbl::OrdMap;

use crate::base::RequestId;
use crate::quota::Quota;
use crate::registry::{Maintenance, Operation, Registry, RegistryRefused};
use crate::roles::{Role, Weight};

use super::call::{CallError, CallErrorKind, OperatorCall, Reply};
use super::core::{Master, Step};
use super::pending::Pending;

/// Decisions that wait for the one that is being stored.
const WAITING_MAX: usize = 1000;

/// The decisions in force, and those to come.
#[derive(Debug)]
pub(super) struct Policy {
    /// Weights that are set.
    pub(super) weights: OrdMap<Role, Weight>,
    /// True while the weights are those of `--weights`: the registry has none.
    initial: bool,
    /// Quotas that are not the default.
    pub(super) quotas: OrdMap<Role, Quota>,
    /// Which machines are maintained.
    pub(super) maintenance: Arc<Maintenance>,
    /// True while the registry is being told of a decision.
    deciding: bool,
    waiting: VecDeque<(RequestId, OperatorCall)>,
}

impl Policy {
    /// What the registry holds; weights that were set there win over the initial ones.
    pub(super) fn new(registry: &Registry, initial: &BTreeMap<Role, Weight>) -> Self {
        let own = registry.weights.is_empty();
        if !own && !initial.is_empty() {
            tracing::warn!(
                "--weights is not followed: the registry has weights that were set later"
            );
        }
        Self {
            weights: if own {
                initial
                    .iter()
                    .map(|(role, weight)| (role.clone(), *weight))
                    .collect()
            } else {
                registry.weights.clone()
            },
            initial: own,
            quotas: registry.quotas.clone(),
            maintenance: Arc::clone(&registry.maintenance),
            deciding: false,
            waiting: VecDeque::new(),
        }
    }
}

impl Master {
    /// Tells the allocator what is in force when the master starts.
    pub(super) fn enforce_policy(&mut self) {
        let weights = self.policy.weights.iter();
        let weights = weights
            .map(|(role, weight)| (role.clone(), *weight))
            .collect();
        self.allocator.set_weights(&weights);
        for (role, quota) in &self.policy.quotas {
            self.allocator.set_quota(role, quota);
        }
    }

    /// A decision: stored before it is answered, after those that came before it.
    pub(super) fn decide(&mut self, step: &mut Step<'_>, request: RequestId, call: OperatorCall) {
        if self.policy.deciding {
            if self.policy.waiting.len() < WAITING_MAX {
                self.policy.waiting.push_back((request, call));
            } else {
                let full = format!("{WAITING_MAX} calls of operators wait already; try again");
                step.reply(request, Err(CallError::unavailable(full)));
            }
            return;
        }
        match self.decision(call) {
            Err(error) => step.reply(request, Err(error)),
            Ok(operation) => {
                if planted!(self, DecideBeforePersisted) {
                    step.reply(request, Ok(Reply::Accepted));
                }
                self.policy.deciding = true;
                let pending = Pending::Decide {
                    request,
                    operation: operation.clone(),
                };
                self.persist(step, operation, pending);
            }
        }
    }

    /// What a call asks the registry for, if it may.
    fn decision(&self, call: OperatorCall) -> Result<Operation, CallError> {
        match call {
            OperatorCall::UpdateWeights { weights } => Ok(self.weigh(weights)),
            OperatorCall::UpdateQuota { quotas, force } => {
                self.check_quotas(&quotas, force, CallErrorKind::Invalid)?;
                Ok(Operation::SetQuotas { quotas })
            }
            OperatorCall::SetQuota { role, quota, force } => {
                if self.policy.quotas.contains_key(&role) {
                    return Err(CallError::invalid(format!(
                        "role '{role}' has quota already; change it with UPDATE_QUOTA, or remove it first"
                    )));
                }
                let quotas = BTreeMap::from([(role, quota)]);
                self.check_quotas(&quotas, force, CallErrorKind::Conflict)?;
                Ok(Operation::SetQuotas { quotas })
            }
            OperatorCall::RemoveQuota { role } => {
                if !self.policy.quotas.contains_key(&role) {
                    return Err(CallError::invalid(format!(
                        "role '{role}' has no quota; GET_QUOTA lists the roles that have"
                    )));
                }
                let quotas = BTreeMap::from([(role, Quota::default())]);
                Ok(Operation::SetQuotas { quotas })
            }
            OperatorCall::UpdateMaintenanceSchedule { windows } => {
                let next = self.policy.maintenance.rescheduled(windows.clone());
                next.map_err(invalid)?;
                Ok(Operation::SetSchedule { windows })
            }
            OperatorCall::StartMaintenance { machines } => {
                self.policy
                    .maintenance
                    .started(&machines)
                    .map_err(invalid)?;
                Ok(Operation::StartMaintenance { machines })
            }
            OperatorCall::StopMaintenance { machines } => {
                self.policy
                    .maintenance
                    .stopped(&machines)
                    .map_err(invalid)?;
                Ok(Operation::StopMaintenance { machines })
            }
            other => Err(CallError::new(
                CallErrorKind::Unimplemented,
                format!("{} is no decision", other.name()),
            )),
        }
    }

    /// The first weights that are set take the initial ones with them, so that these do not vanish
    /// with the next master.
    fn weigh(&self, weights: BTreeMap<Role, Weight>) -> Operation {
        let mut all = BTreeMap::new();
        if self.policy.initial {
            let initial = self.policy.weights.iter();
            all.extend(initial.map(|(role, weight)| (role.clone(), *weight)));
        }
        all.extend(weights);
        Operation::SetWeights { weights: all }
    }

    /// The registry knows of a decision, or refused it.
    pub(super) fn decided(
        &mut self,
        step: &mut Step<'_>,
        request: RequestId,
        operation: Operation,
        result: Result<(), RegistryRefused>,
    ) {
        self.policy.deciding = false;
        let result = match result {
            Ok(()) => {
                self.enforce(step, operation);
                Ok(Reply::Accepted)
            }
            Err(refused) => Err(CallError::new(CallErrorKind::Conflict, refused.to_string())),
        };
        if !planted!(self, DecideBeforePersisted) {
            step.reply(request, result);
        }
        while !self.policy.deciding {
            let Some((request, call)) = self.policy.waiting.pop_front() else {
                return;
            };
            self.decide(step, request, call);
        }
    }

    /// Does what a decision means.
    fn enforce(&mut self, step: &mut Step<'_>, operation: Operation) {
        match operation {
            Operation::SetWeights { weights } => {
                self.policy.initial = false;
                self.allocator.set_weights(&weights);
                let used = self.is_any_used(weights.keys());
                self.policy.weights.extend(weights);
                if used {
                    // Who is to have what is another question now: everything is offered anew.
                    self.rescind_all(step);
                }
            }
            Operation::SetQuotas { quotas } => {
                for (role, quota) in &quotas {
                    self.allocator.set_quota(role, quota);
                    if quota.is_default() {
                        self.policy.quotas.remove(role);
                    } else {
                        self.policy.quotas.insert(role.clone(), quota.clone());
                    }
                }
                for (role, quota) in &quotas {
                    self.make_room(step, role, quota);
                }
            }
            Operation::SetSchedule { windows } => {
                let next = self.policy.maintenance.rescheduled(windows);
                self.enforce_maintenance(step, next);
            }
            Operation::StartMaintenance { machines } => {
                let next = self.policy.maintenance.started(&machines);
                self.enforce_maintenance(step, next);
            }
            Operation::StopMaintenance { machines } => {
                let next = self.policy.maintenance.stopped(&machines);
                self.enforce_maintenance(step, next);
            }
            _ => {}
        }
    }

    /// Whether a framework is in one of these roles, or in one below them.
    fn is_any_used<'a>(&self, mut roles: impl Iterator<Item = &'a Role>) -> bool {
        roles.any(|role| {
            let mut frameworks = self.frameworks.values();
            frameworks.any(|framework| {
                let mut own = framework.roles.iter();
                own.any(|own| own == role || role.is_strict_ancestor_of(own))
            })
        })
    }

    fn rescind_all(&mut self, step: &mut Step<'_>) {
        let offers: Vec<_> = self.offers.keys().cloned().collect();
        for offer_id in offers {
            self.rescind(step, &offer_id);
        }
    }
}

/// The caller's mistake.
fn invalid(error: impl std::fmt::Display) -> CallError {
    CallError::invalid(error.to_string())
}
