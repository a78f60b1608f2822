//! Quota: whether it fits the cluster, room for it among outstanding offers, and the hold after a
//! change of master.

use std::collections::BTreeMap;

use crate::base::OfferId;
use crate::quota::{Quota, check_capacity, check_consumption, check_tree};
use crate::resources::{Quantities, Resources};
use crate::roles::Role;

use super::call::{CallError, CallErrorKind};
use super::core::{Master, Step};
use super::offer::Offer;
use super::timer::TimerKey;

/// What each role, with all roles below it, has of what quota counts: reservations, used or not, and
/// what it holds of the rest. Offers do not count.
#[derive(Debug, Default)]
pub(super) struct Consumption(BTreeMap<Role, Quantities>);

impl Consumption {
    /// Counts one agent: everything it has, and what tasks and executors hold of it.
    pub(super) fn add(&mut self, total: &Resources, held: &Resources) {
        for (role, reserved) in total.nonrevocable().reservations() {
            self.add_to(&role, &reserved.quantities());
        }
        for (role, held) in held.allocations() {
            self.add_to(&role, &counted(&held));
        }
    }

    fn add_to(&mut self, role: &Role, amounts: &Quantities) {
        for above in role.ancestors() {
            self.0.entry(above).or_default().add(amounts);
        }
        self.0.entry(role.clone()).or_default().add(amounts);
    }

    /// By role; roles that have nothing are absent.
    pub(super) fn into_roles(self) -> BTreeMap<Role, Quantities> {
        self.0
    }
}

/// What quota counts of resources that are not reserved to the role anyway.
fn counted(resources: &Resources) -> Quantities {
    resources.unreserved().nonrevocable().quantities()
}

/// True when what is allocated to `role` counts for `above`.
fn is_within(role: &Role, above: &Role) -> bool {
    role == above || above.is_strict_ancestor_of(role)
}

impl Master {
    fn consumption(&self) -> BTreeMap<Role, Quantities> {
        let mut all = Consumption::default();
        for agent in self.agents.values() {
            let held = self.used_on(agent);
            let held: Resources = held.values().sum();
            all.add(&agent.total, &held);
        }
        all.into_roles()
    }

    /// Checks new quotas against the others and, unless they are forced, against the cluster.
    pub(super) fn check_quotas(
        &self,
        quotas: &BTreeMap<Role, Quota>,
        force: bool,
        overcommitted: CallErrorKind,
    ) -> Result<(), CallError> {
        let standing = self.policy.quotas.iter();
        let mut all: BTreeMap<Role, Quota> = standing
            .map(|(role, quota)| (role.clone(), quota.clone()))
            .collect();
        all.extend(
            quotas
                .iter()
                .map(|(role, quota)| (role.clone(), quota.clone())),
        );
        all.retain(|_, quota| !quota.is_default());
        check_tree(&all).map_err(|error| CallError::invalid(error.to_string()))?;
        if force {
            return Ok(());
        }
        let mut capacity = Quantities::new();
        for agent in self.agents.values() {
            capacity.add(&agent.total.nonrevocable().quantities());
        }
        check_capacity(&all, &capacity)
            .map_err(|error| CallError::new(overcommitted, error.to_string()))?;
        let consumption = self.consumption();
        for (role, quota) in quotas {
            let consumed = consumption.get(role).cloned().unwrap_or_default();
            check_consumption(role, quota, &consumed)
                .map_err(|error| CallError::new(overcommitted, error.to_string()))?;
        }
        Ok(())
    }

    /// Takes offers back: the role's own until it is within its limits, and those of others until
    /// what the role is guaranteed can be offered to it.
    pub(super) fn make_room(&mut self, step: &mut Step<'_>, role: &Role, quota: &Quota) {
        if quota.is_default() || self.offers.is_empty() {
            return;
        }
        let consumed = self.consumption().remove(role).unwrap_or_default();
        let mut having = consumed;
        let (own, others): (Vec<&Offer>, Vec<&Offer>) = self
            .offers
            .values()
            .map(|offer| &**offer)
            .partition(|offer| is_within(&offer.role, role));
        for offer in &own {
            having.add(&counted(&offer.resources));
        }
        let mut taken: Vec<OfferId> = Vec::new();
        for offer in own {
            if quota.limits().first_passed(&having).is_none() {
                break;
            }
            having.subtract(&counted(&offer.resources));
            taken.push(offer.id.clone());
        }
        let mut wanting = quota.guarantees().clone();
        wanting.subtract(&having);
        for agent_id in self.agents.keys() {
            if wanting.is_empty() {
                break;
            }
            if let Some(free) = self.allocator.available(agent_id) {
                wanting.subtract(&counted(free));
            }
        }
        for offer in others {
            if wanting.is_empty() {
                break;
            }
            let guaranteed = self.policy.quotas.get(&offer.role.top_level());
            let spoken_for = guaranteed.is_some_and(|quota| !quota.guarantees().is_empty());
            let amounts = counted(&offer.resources);
            let serves = amounts.iter().any(|(name, _)| !wanting.get(name).is_zero());
            if serves && !spoken_for {
                wanting.subtract(&amounts);
                taken.push(offer.id.clone());
            }
        }
        for offer_id in taken {
            self.rescind(step, &offer_id);
        }
    }

    /// After a change of master nothing is offered before most agents are back, if there is quota:
    /// else the first framework would get what is guaranteed to those whose tasks are not known yet.
    pub(super) fn hold_allocation(&mut self, step: &mut Step<'_>) {
        let expected = self.recovered.len();
        if self.policy.quotas.is_empty() || expected == 0 {
            return;
        }
        let per_mille = self.config.recovery_agents_per_mille.min(1000) as usize;
        self.held_for = Some((expected * per_mille).div_ceil(1000));
        let deadline = step.now.mono.after(self.config.recovery_hold);
        self.set_timer(step, TimerKey::RecoveryHold, deadline);
        tracing::info!(
            expected,
            "there is quota: nothing is offered before most agents are back"
        );
    }

    /// Whether offers have to wait for agents still.
    pub(super) fn is_held(&mut self, step: &mut Step<'_>) -> bool {
        let Some(expected) = self.held_for else {
            return false;
        };
        if self.agents.len() < expected && self.timers.contains(&TimerKey::RecoveryHold) {
            return true;
        }
        self.held_for = None;
        self.cancel_timer(step, TimerKey::RecoveryHold);
        tracing::info!(
            agents = self.agents.len(),
            "enough agents are back: allocation begins"
        );
        false
    }
}
