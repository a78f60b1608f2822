//! Checks of the offers that a call names, and of how long a refusal holds.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::{AgentId, FrameworkId, OfferId};
use crate::proto::v1;
use crate::roles::Role;

use super::context::Checked;
use super::{Invalid, Reason};

/// How long a refusal holds when nothing or nonsense is said (Mesos' `Filters` documentation).
const REFUSAL_DEFAULT: Duration = Duration::from_secs(5);
/// Longest refusal.
const REFUSAL_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a check needs to know about an outstanding offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Whom it was made to.
    pub framework: &'a FrameworkId,
    /// Where the resources are.
    pub agent: &'a AgentId,
    /// The role that they are offered to.
    pub role: &'a Role,
}

/// Offers that can be used together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidOffers {
    /// The offers, in the order of the call; at least one.
    pub ids: Vec<OfferId>,
    /// Where all the resources are.
    pub agent: AgentId,
    /// The role that all of them are offered to.
    pub role: Role,
    checked: Checked,
}

/// Checks the offers of an ACCEPT: outstanding, the framework's own, none twice, all of one agent
/// and one role.
///
/// # Errors
///
/// The first offer that does not fit. An offer of another framework looks as if it did not exist.
pub fn check<'a>(
    ids: &[v1::OfferId],
    framework: &FrameworkId,
    find: impl Fn(&OfferId) -> Option<Facts<'a>>,
) -> Result<ValidOffers, Invalid> {
    let field = "offer_ids";
    let mut seen = BTreeSet::new();
    let mut common: Option<Facts<'a>> = None;
    let mut offers = Vec::with_capacity(ids.len());
    for id in ids {
        let gone = || Invalid::new(field, Reason::OfferGone(id.value.clone()));
        let offer = OfferId::try_from(id).map_err(|_| gone())?;
        if !seen.insert(offer.clone()) {
            return Err(Invalid::new(field, Reason::Twice(id.value.clone())));
        }
        let facts = find(&offer)
            .filter(|facts| facts.framework == framework)
            .ok_or_else(gone)?;
        let differs = |what| {
            let offer = id.value.clone();
            Invalid::new(field, Reason::OffersDiffer { offer, what })
        };
        match &common {
            Some(first) if first.agent != facts.agent => return Err(differs("agent")),
            Some(first) if first.role != facts.role => return Err(differs("role")),
            Some(_) => {}
            None => common = Some(facts),
        }
        offers.push(offer);
    }
    let first = common.ok_or_else(|| Invalid::new(field, Reason::Empty))?;
    Ok(ValidOffers {
        ids: offers,
        agent: first.agent.clone(),
        role: first.role.clone(),
        checked: Checked,
    })
}

/// How long what is declined stays refused: 5 s when unset, negative or no number, a year at most;
/// none when zero is said.
#[must_use]
pub fn refusal(filters: Option<&v1::Filters>) -> Option<Duration> {
    let Some(seconds) = filters.and_then(|filters| filters.refuse_seconds) else {
        return Some(REFUSAL_DEFAULT);
    };
    if seconds == 0.0 {
        return None;
    }
    if seconds.is_nan() || seconds < 0.0 {
        return Some(REFUSAL_DEFAULT);
    }
    let refusal = Duration::try_from_secs_f64(seconds).unwrap_or(REFUSAL_MAX);
    Some(refusal.min(REFUSAL_MAX))
}
