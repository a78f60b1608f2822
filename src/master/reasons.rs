//! The allocator's reasons in words: why an agent is not offered, and what would have to change,
//! with amounts.

use std::collections::BTreeSet;

use crate::allocator::{HeldBack, LimitReached, Rejection};
use crate::base::{AgentId, FrameworkId};
use crate::registry::{DrainState, Standing};
use crate::resources::{Quantities, Resource, ResourceName, Scalar};
use crate::roles::Role;

use super::core::Master;

/// A reason as it is shown, and what would have to change for all agents that it is given for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reason {
    pub(super) word: &'static str,
    pub(super) message: String,
    pub(super) remedy: Option<String>,
}

impl Reason {
    pub(super) fn new(
        word: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            word,
            message: message.into(),
            remedy: Some(remedy.into()),
        }
    }
}

impl Master {
    /// The reason in words, and what would have to change for this very agent, if that is more than
    /// what the reason says for all.
    pub(super) fn in_words(
        &self,
        rejection: &Rejection,
        (framework_id, role): (&FrameworkId, &Role),
        agent_id: &AgentId,
    ) -> (Reason, Option<String>) {
        let word = rejection.name();
        let plain = |remedy: String| Reason::new(word, rejection.to_string(), remedy);
        let revive = format!("REVIVE of role {role}");
        match rejection {
            Rejection::FrameworkInactive => (
                plain(format!("its scheduler subscribes, in role {role}")),
                None,
            ),
            Rejection::Suppressed => (plain(revive), None),
            Rejection::AgentInactive => (self.agent_inactive(agent_id), None),
            Rejection::CapabilityMissing(capability) => (
                plain(format!(
                    "the framework announces the capability {capability}"
                )),
                None,
            ),
            Rejection::ConstraintFailed(_) => (
                plain(
                    "the framework's offer constraints admit the agent (UPDATE_FRAMEWORK)"
                        .to_owned(),
                ),
                None,
            ),
            Rejection::ReservedElsewhere => (self.reserved_elsewhere(role, agent_id), None),
            Rejection::BelowMinimum => self.below_minimum((framework_id, role), agent_id),
            Rejection::Filtered { .. } => (
                Reason::new(
                    word,
                    "the framework refused at least as much; its filter lasts",
                    format!("the filter ends, or {revive}"),
                ),
                None,
            ),
            Rejection::Returned { .. } => (
                Reason::new(
                    word,
                    "the framework returned as much of such an agent unused: those who use it come \
                     first",
                    format!("they leave it, or it is asked again, or {revive}"),
                ),
                None,
            ),
            Rejection::QuotaLimit(Some(reached)) => {
                self.limit_reached(rejection, reached, agent_id)
            }
            Rejection::HeadroomHeld(Some(held)) => self.held_back(rejection, held, agent_id),
            _ => (
                Reason {
                    word,
                    message: rejection.to_string(),
                    remedy: None,
                },
                None,
            ),
        }
    }

    /// Disconnected, deactivated or draining.
    fn agent_inactive(&self, agent_id: &AgentId) -> Reason {
        let Standing { deactivated, drain } = self.standing(agent_id);
        let state = drain.map(|drain| drain.state);
        match state.filter(|_| deactivated) {
            Some(DrainState::Draining) => Reason::new(
                "draining",
                "agent is being drained by an operator",
                "it is drained and REACTIVATE_AGENT is called",
            ),
            Some(DrainState::Drained) => Reason::new(
                "draining",
                "agent was drained by an operator",
                "REACTIVATE_AGENT is called",
            ),
            None if deactivated => Reason::new(
                "deactivated",
                "agent was deactivated by an operator",
                "REACTIVATE_AGENT is called",
            ),
            None if !self.allocator.is_listed(agent_id) => Reason::new(
                "not_whitelisted",
                "agent's host is not in the whitelist",
                "its host name is added to the file of --whitelist",
            ),
            None => Reason::new(
                Rejection::AgentInactive.name(),
                "agent is not connected",
                "the agent is back",
            ),
        }
    }

    /// The roles that have reservations of what an agent has left, which this one cannot use.
    fn reserved_to(&self, role: &Role, agent_id: &AgentId) -> Vec<&str> {
        let left = self.allocator.available(agent_id).into_iter().flatten();
        let others = left.filter(|item| !item.is_allocatable_to(role));
        let others: BTreeSet<&Role> = others.filter_map(Resource::reserved_role).collect();
        others.into_iter().map(Role::as_str).collect()
    }

    fn reserved_elsewhere(&self, role: &Role, agent_id: &AgentId) -> Reason {
        let others = self.reserved_to(role, agent_id);
        let (roles, others) = (plural("role", &others), others.join(", "));
        Reason::new(
            Rejection::ReservedElsewhere.name(),
            format!("what is left is reserved to {roles} {others}"),
            format!(
                "unreserved resources are freed there, or what is reserved to {others} is unreserved"
            ),
        )
    }

    /// The smallest bundles worth an offer, and what is missing to each.
    fn below_minimum(
        &self,
        (framework_id, role): (&FrameworkId, &Role),
        agent_id: &AgentId,
    ) -> (Reason, Option<String>) {
        let framework = self.frameworks.get(framework_id);
        let own = framework.and_then(|framework| framework.min_allocatable.get(role));
        let smallest = own.unwrap_or(&self.config.allocator.min_allocatable);
        let left = self.allocator.available(agent_id).into_iter().flatten();
        let mut visible = Quantities::new();
        for item in left.filter(|item| item.is_allocatable_to(role)) {
            if let Some(amount) = item.scalar() {
                visible.add_one(item.name(), amount);
            }
        }
        let shown = |bundles: Vec<String>| bundles.join(" or ");
        let least = smallest.iter().map(amounts);
        let missing = smallest.iter().map(|least| {
            let mut missing = least.clone();
            missing.subtract(&visible);
            amounts(&missing)
        });
        let (least, missing) = (shown(least.collect()), shown(missing.collect()));
        let others = self.reserved_to(role, agent_id);
        let (besides, unreserved) = match &others[..] {
            [] => (String::new(), String::new()),
            others => {
                let names = others.join(", ");
                let reserved = format!(
                    "; the rest is reserved to {} {names}",
                    plural("role", others)
                );
                (
                    reserved,
                    format!(", or what is reserved to {names} is unreserved"),
                )
            }
        };
        let reason = Reason::new(
            Rejection::BelowMinimum.name(),
            format!("what is left is less than the smallest offer: {least}{besides}"),
            "more is freed there, or the smallest offer is set lower \
             (--min_allocatable_resources, or offer filters of the framework)",
        );
        let here = format!("{missing} more are freed there{unreserved}");
        (reason, Some(here))
    }

    /// By how much the limit must rise for all that the agent has left, and the same in general.
    fn limit_reached(
        &self,
        rejection: &Rejection,
        reached: &LimitReached,
        agent_id: &AgentId,
    ) -> (Reason, Option<String>) {
        let LimitReached { role, name, .. } = reached;
        let left = self.counted_on(agent_id, name);
        let short = left + reached.consumed - reached.limit;
        let general =
            format!("the limit of role {role} is raised, or its tasks or reservations end");
        let here = format!(
            "limit of role {role} raised by {short} {name}, or as much of what it has ends"
        );
        let reason = Reason::new(rejection.name(), rejection.to_string(), general);
        (reason, Some(here))
    }

    /// By how much what is held back must shrink for all that the agent has left.
    fn held_back(
        &self,
        rejection: &Rejection,
        held: &HeldBack,
        agent_id: &AgentId,
    ) -> (Reason, Option<String>) {
        let HeldBack { name, roles, .. } = held;
        let left = self.counted_on(agent_id, name);
        let short = left + held.owed - held.free;
        let names: Vec<&str> = roles.iter().map(Role::as_str).collect();
        let (word, names) = (plural("role", &names), names.join(", "));
        let general =
            format!("the guarantee of {word} {names} is met or lowered, or more {name} are freed");
        let here = format!(
            "guarantee of {word} {names} lowered by {short} {name}, or as much is freed elsewhere"
        );
        let reason = Reason::new(rejection.name(), rejection.to_string(), general);
        (reason, Some(here))
    }

    /// What an agent has left of a resource as far as quota counts it for those that have no
    /// reservation.
    fn counted_on(&self, agent_id: &AgentId, name: &ResourceName) -> Scalar {
        let left = self.allocator.available(agent_id);
        let counted = left.map(|left| left.unreserved().nonrevocable().quantities());
        counted.map_or(Scalar::ZERO, |counted| counted.get(name))
    }
}

fn plural<T>(word: &'static str, list: &[T]) -> String {
    match list {
        [_] => word.to_owned(),
        _ => format!("{word}s"),
    }
}

/// `0.01 cpus and 32 mem`.
fn amounts(quantities: &Quantities) -> String {
    let parts = quantities.iter();
    let parts: Vec<String> = parts
        .map(|(name, amount)| format!("{amount} {name}"))
        .collect();
    parts.join(" and ")
}
