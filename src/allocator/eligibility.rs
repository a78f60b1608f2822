//! May this framework be offered this view of this agent? A list of checks in a fixed order; the
//! first that objects gives the reason, as data.

use std::fmt;

use crate::base::{Instant, format_duration};
use crate::resources::{Resource, ResourceName, Scalar};
use crate::roles::Role;

use super::agent::Agent;
use super::framework::{Capability, Client, Framework};
use super::ledger::{Cut, Ledger};
use super::sorter::{Amounts, Kinds, scalar};
use super::view::View;

/// Why a framework was not offered an agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rejection {
    /// The framework is disconnected or not subscribed.
    FrameworkInactive,
    /// The framework wants no offers for this role: it called SUPPRESS.
    Suppressed,
    /// The agent is disconnected, deactivated or draining.
    AgentInactive,
    /// Only frameworks with this capability are offered this agent, or what it has left.
    CapabilityMissing(Capability),
    /// The framework wants no offers of such agents: its offer constraints fail. Of each group the
    /// first constraint that does; passes only count this.
    ConstraintFailed(Vec<String>),
    /// Everything on the agent is offered or allocated.
    NothingAvailable,
    /// What the agent has left is reserved to roles that are not above this one.
    ReservedElsewhere,
    /// What the agent has left is less than the smallest bundle worth an offer.
    BelowMinimum,
    /// The framework refused at least this much on this agent; the filter lasts until then.
    Filtered {
        /// The end of the last filter.
        until: Instant,
        /// The number of the offer whose return has set it.
        offer: u64,
    },
    /// The framework returned at least this much of such an agent unused: whoever uses what it is
    /// offered comes first. Only explanations give this reason; a pass offers what nobody else
    /// takes.
    Returned {
        /// When it is due to be asked again.
        until: Instant,
    },
    /// The role, or one above it, may have no more. Passes only count this, without details.
    QuotaLimit(Option<Box<LimitReached>>),
    /// What is left is held back for roles whose guarantee is not met. Passes only count this.
    HeadroomHeld(Option<Box<HeldBack>>),
}

/// A limit that leaves too little for an offer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LimitReached {
    /// The role that has the limit.
    pub role: Role,
    /// The resource that is limited.
    pub name: ResourceName,
    /// The limit.
    pub limit: Scalar,
    /// What the role consumes of it: what is reserved, and what is offered or allocated besides.
    pub consumed: Scalar,
}

/// What is held back for guarantees.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldBack {
    /// The resource that is held back.
    pub name: ResourceName,
    /// How much of it is free on all agents.
    pub free: Scalar,
    /// How much of it is still to be had by the roles.
    pub owed: Scalar,
    /// The top-level roles whose guarantee is not met.
    pub roles: Vec<Role>,
}

impl Rejection {
    /// How many kinds of reasons there are.
    pub const KINDS: usize = 12;

    /// A filter whose end does not matter: for counting.
    pub(super) const FILTERED: Self = Self::Filtered {
        until: Instant(0),
        offer: 0,
    };

    /// The name of the kind.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        REJECTION_KINDS[self.kind()]
    }

    /// The number of the kind, for counting.
    #[must_use]
    pub const fn kind(&self) -> usize {
        match self {
            Self::FrameworkInactive => 0,
            Self::Suppressed => 1,
            Self::AgentInactive => 2,
            Self::CapabilityMissing(_) => 3,
            Self::NothingAvailable => 4,
            Self::ReservedElsewhere => 5,
            Self::BelowMinimum => 6,
            Self::Filtered { .. } => 7,
            Self::Returned { .. } => 8,
            Self::QuotaLimit(_) => 9,
            Self::HeadroomHeld(_) => 10,
            Self::ConstraintFailed(_) => 11,
        }
    }
}

/// Names of the kinds by number, for metrics and reports.
pub const REJECTION_KINDS: [&str; Rejection::KINDS] = [
    "framework_inactive",
    "suppressed",
    "agent_inactive",
    "capability_missing",
    "nothing_available",
    "reserved_elsewhere",
    "below_minimum",
    "filtered",
    "returned",
    "quota_limit",
    "headroom_held",
    "constraint_failed",
];

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameworkInactive => {
                f.write_str("framework is not connected or has left the role")
            }
            Self::Suppressed => f.write_str("role is suppressed"),
            Self::AgentInactive => f.write_str("agent is not connected or takes no tasks"),
            Self::CapabilityMissing(needed) => write!(f, "framework lacks {needed}"),
            Self::ConstraintFailed(failed) if failed.is_empty() => {
                f.write_str("offer constraints fail")
            }
            Self::ConstraintFailed(failed) => {
                write!(f, "offer constraints fail: not {}", failed.join("; not "))
            }
            Self::NothingAvailable => f.write_str("nothing is left on the agent"),
            Self::ReservedElsewhere => f.write_str("what is left is reserved to other roles"),
            Self::BelowMinimum => f.write_str("what is left is too little for an offer"),
            Self::Filtered { until, .. } => {
                let uptime = format_duration(until.since(Instant(0)));
                write!(f, "refused; filter until {uptime} of the master's clock")
            }
            Self::Returned { until } => {
                let uptime = format_duration(until.since(Instant(0)));
                write!(
                    f,
                    "returned the like unused; those who use it come first, next asked at {uptime} \
                     of the master's clock"
                )
            }
            Self::QuotaLimit(None) => f.write_str("quota limit is reached"),
            Self::QuotaLimit(Some(reached)) => {
                let LimitReached {
                    role,
                    name,
                    limit,
                    consumed,
                } = &**reached;
                write!(
                    f,
                    "quota limit of role {role} is {limit} {name}, of which {consumed} are consumed"
                )
            }
            Self::HeadroomHeld(None) => f.write_str("held back for guarantees of other roles"),
            Self::HeadroomHeld(Some(held)) => {
                let HeldBack {
                    name, free, owed, ..
                } = &**held;
                let roles: Vec<&str> = held.roles.iter().map(Role::as_str).collect();
                let roles = roles.join(", ");
                write!(
                    f,
                    "{owed} {name} are held back for role {roles}; {free} are free"
                )
            }
        }
    }
}

/// One client and what it sees of one agent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) framework: &'a Framework,
    pub(super) client: &'a Client,
    pub(super) number: u32,
    pub(super) agent: &'a Agent,
    pub(super) view: &'a View,
    /// The cluster's smallest bundles.
    pub(super) min_allocatable: &'a [Amounts],
    /// For details about quota.
    pub(super) quota: Option<(&'a Ledger, &'a Kinds)>,
    /// True when somebody asks, false when passes count.
    pub(super) details: bool,
}

/// Says nothing when it has no objection.
type Check = fn(&Question<'_>) -> Option<Rejection>;

/// The order in which reasons are given.
const CHECKS: [Check; 9] = [
    framework_is_active,
    role_is_wanted,
    agent_is_active,
    agent_suits_framework,
    agent_is_wanted,
    something_is_available,
    something_is_visible,
    enough_is_visible,
    was_not_refused,
];

/// The first objection, if any.
pub(super) fn first_rejection(question: &Question<'_>) -> Option<Rejection> {
    CHECKS.iter().find_map(|check| check(question))
}

fn framework_is_active(question: &Question<'_>) -> Option<Rejection> {
    let active = question.framework.active && question.client.subscribed;
    (!active).then_some(Rejection::FrameworkInactive)
}

fn role_is_wanted(question: &Question<'_>) -> Option<Rejection> {
    question.client.suppressed.then_some(Rejection::Suppressed)
}

fn agent_is_active(question: &Question<'_>) -> Option<Rejection> {
    (!question.agent.takes_part()).then_some(Rejection::AgentInactive)
}

fn agent_suits_framework(question: &Question<'_>) -> Option<Rejection> {
    let capabilities = question.client.capabilities;
    let missing = capabilities.first_missing(question.agent.required);
    missing.map(Rejection::CapabilityMissing)
}

fn agent_is_wanted(question: &Question<'_>) -> Option<Rejection> {
    let constraints = question.client.constraints.as_ref()?;
    let place = question.agent.place();
    if constraints.admit(&place) {
        return None;
    }
    Some(Rejection::ConstraintFailed(match question.details {
        true => constraints.failed(&place),
        false => Vec::new(),
    }))
}

fn something_is_available(question: &Question<'_>) -> Option<Rejection> {
    let nothing = question.agent.available.is_empty();
    nothing.then_some(Rejection::NothingAvailable)
}

fn something_is_visible(question: &Question<'_>) -> Option<Rejection> {
    if !question.view.resources.is_empty() {
        return None;
    }
    if let Some(cut) = question.view.cut {
        return Some(quota_reason(question, cut));
    }
    let (agent, client) = (question.agent, question.client);
    let allocatable = |item: &Resource| item.is_allocatable_to(&client.role);
    Some(if agent.available.iter().any(allocatable) {
        let missing = client.capabilities.first_missing(agent.available.special());
        Rejection::CapabilityMissing(missing.expect("capabilities alone hide the rest"))
    } else {
        Rejection::ReservedElsewhere
    })
}

fn enough_is_visible(question: &Question<'_>) -> Option<Rejection> {
    let smallest = question.client.min_allocatable.as_deref();
    let smallest = smallest.unwrap_or(question.min_allocatable);
    let enough = |least: &Amounts| question.view.resources.amounts().contains(least);
    if smallest.is_empty() || smallest.iter().any(enough) {
        return None;
    }
    let all = question.agent.available.amounts();
    Some(match question.view.cut {
        Some(cut) if smallest.iter().any(|least| all.contains(least)) => {
            quota_reason(question, cut)
        }
        _ => Rejection::BelowMinimum,
    })
}

/// What quota has cut off, with the numbers when they are asked for.
fn quota_reason(question: &Question<'_>, cut: Cut) -> Rejection {
    match cut {
        Cut::Limit(account, number) => {
            let reached = question.quota.and_then(|(ledger, kinds)| {
                let mut limits = ledger.terms(account).limits.iter();
                let (_, limit) = limits.find(|(of, _)| *of == number)?;
                Some(Box::new(LimitReached {
                    role: ledger.role(account)?.clone(),
                    name: kinds.name(number).clone(),
                    limit: scalar(*limit),
                    consumed: scalar(ledger.consumed(account).get(number)),
                }))
            });
            Rejection::QuotaLimit(reached)
        }
        Cut::Held(number) => {
            let held = question.quota.map(|(ledger, kinds)| {
                Box::new(HeldBack {
                    name: kinds.name(number).clone(),
                    free: scalar(ledger.free().get(number)),
                    owed: scalar(ledger.owed().get(number)),
                    roles: ledger.owed_of(number),
                })
            });
            Rejection::HeadroomHeld(held)
        }
    }
}

fn was_not_refused(question: &Question<'_>) -> Option<Rejection> {
    let filters = &question.agent.filters;
    let blocking = &question.view.blocking;
    if !filters.is_blocked(blocking, question.number) {
        return None;
    }
    let until = filters.blocked_until(blocking, question.number);
    let (until, offer) = until.expect("a blocked client has a filter");
    Some(Rejection::Filtered { until, offer })
}
