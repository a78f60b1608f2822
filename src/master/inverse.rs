//! Inverse offers: frameworks are asked to leave agents whose machines will be maintained. Their answer
//! only informs the operator. One inverse offer at a time for each framework on each such agent; an
//! answer keeps the next one back for its filter's time.

use std::collections::{BTreeMap, BTreeSet};

use imbl::OrdMap;

use crate::base::{AgentId, FrameworkId, Instant, OfferId, Timestamp};
use crate::proto::v1;
use crate::proto::v1::allocator::inverse_offer_status::Status;
use crate::registry::MachineId;
use crate::validation::offer::refusal;

use super::core::{Master, Step};
use super::timer::TimerKey;

/// One framework on one agent.
pub type InverseKey = (FrameworkId, AgentId);

/// An outstanding inverse offer.
#[derive(Clone, Debug, PartialEq)]
pub struct InverseOffer {
    /// Its name.
    pub id: OfferId,
    /// When the agent will not be there.
    pub unavailability: v1::Unavailability,
}

/// A framework's last answer for one agent.
#[derive(Clone, Debug, PartialEq)]
pub struct InverseAnswer {
    /// Accepted or declined.
    pub status: Status,
    /// When.
    pub at: Timestamp,
    /// The agent's machine, as the schedule names it.
    pub machine: MachineId,
    /// Until then the framework is not asked again.
    refused_until: Instant,
}

impl InverseAnswer {
    /// The answer as the maintenance status shows it.
    #[must_use]
    pub fn to_proto(&self, framework_id: &FrameworkId) -> v1::allocator::InverseOfferStatus {
        v1::allocator::InverseOfferStatus {
            status: self.status.into(),
            framework_id: framework_id.into(),
            timestamp: self.at.into(),
        }
    }
}

/// Everything that is asked and was answered.
#[derive(Debug, Default)]
pub(super) struct Inverse {
    /// Agents that wait for maintenance.
    pub(super) agents: BTreeSet<AgentId>,
    pub(super) offers: OrdMap<InverseKey, InverseOffer>,
    names: BTreeMap<OfferId, InverseKey>,
    pub(super) answers: OrdMap<InverseKey, InverseAnswer>,
}

impl Inverse {
    /// Whether the offer is outstanding.
    pub(super) fn is_outstanding(&self, offer_id: &OfferId) -> bool {
        self.names.contains_key(offer_id)
    }

    fn forget_answers(&mut self, which: impl Fn(&InverseKey) -> bool) {
        let keys = self.answers.keys();
        let keys: Vec<InverseKey> = keys.filter(|key| which(key)).cloned().collect();
        for key in keys {
            self.answers.remove(&key);
        }
    }

    /// Panics when the names and the offers contradict each other.
    pub(super) fn check_invariants(&self) {
        assert_eq!(
            self.names.len(),
            self.offers.len(),
            "inverse offers have names"
        );
        for (name, key) in &self.names {
            assert_eq!(self.offers[key].id, *name, "inverse offer {name}");
            assert!(
                self.agents.contains(&key.1),
                "inverse offer {name} has a reason"
            );
        }
    }
}

impl InverseOffer {
    /// The offer as its scheduler sees it.
    #[must_use]
    pub fn to_proto(&self, framework_id: &FrameworkId, agent_id: &AgentId) -> v1::InverseOffer {
        v1::InverseOffer {
            id: (&self.id).into(),
            framework_id: framework_id.into(),
            agent_id: Some(agent_id.into()),
            unavailability: self.unavailability,
            ..v1::InverseOffer::default()
        }
    }
}

impl Master {
    /// Lets the next inverse offers come, at once or after the interval between two passes.
    pub(super) fn plan_inverse_offers(&mut self, step: &mut Step<'_>, at_once: bool) {
        if self.inverse.agents.is_empty() {
            self.cancel_timer(step, TimerKey::InverseOffers);
            return;
        }
        let interval = self.config.allocator.allocation_interval;
        let at = if at_once {
            step.now.mono
        } else {
            step.now.mono.after(interval)
        };
        self.set_timer(step, TimerKey::InverseOffers, at);
    }

    /// Asks every framework that has something on an agent that waits for maintenance.
    pub(super) fn make_inverse_offers(&mut self, step: &mut Step<'_>) {
        let agents: Vec<AgentId> = self.inverse.agents.iter().cloned().collect();
        let mut batches: BTreeMap<FrameworkId, Vec<v1::InverseOffer>> = BTreeMap::new();
        for agent_id in agents {
            for framework_id in self.involved_on(&agent_id) {
                if let Some(offer) = self.ask(step, &framework_id, &agent_id) {
                    batches.entry(framework_id).or_default().push(offer);
                }
            }
        }
        for (framework_id, offers) in batches {
            if let Some(connection) = self.connection_of(&framework_id) {
                step.send_inverse_offers(connection, offers);
            }
        }
        self.plan_inverse_offers(step, false);
    }

    /// The frameworks that have or are offered something of an agent.
    fn involved_on(&self, agent_id: &AgentId) -> BTreeSet<FrameworkId> {
        let Some(agent) = self.agents.get(agent_id).filter(|agent| agent.is_active()) else {
            return BTreeSet::new();
        };
        let tasks = agent.tasks.iter().map(|(framework_id, _)| framework_id);
        let executors = agent.executors.keys().map(|(framework_id, _)| framework_id);
        let offers = agent.offers.iter().filter_map(|id| self.offers.get(id));
        let offered = offers.map(|offer| &offer.framework_id);
        tasks.chain(executors).chain(offered).cloned().collect()
    }

    fn ask(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
    ) -> Option<v1::InverseOffer> {
        let key = (framework_id.clone(), agent_id.clone());
        self.connection_of(framework_id)?;
        let answered = self.inverse.answers.get(&key);
        let refused = answered.is_some_and(|answer| answer.refused_until > step.now.mono);
        if refused || self.inverse.offers.contains_key(&key) {
            return None;
        }
        let agent = self.agents.get(agent_id)?;
        let unavailability = agent.maintained.as_ref()?.unavailability;
        let id = self.minted.offer(&self.config.uuid);
        let offer = InverseOffer {
            id: id.clone(),
            unavailability,
        };
        let message = offer.to_proto(framework_id, agent_id);
        self.inverse.offers.insert(key.clone(), offer);
        self.inverse.names.insert(id.clone(), key);
        self.metrics.inverse_offers_sent += 1;
        if let Some(timeout) = self.config.offer_timeout {
            let deadline = step.now.mono.after(timeout);
            self.set_timer(step, TimerKey::OfferExpired(id), deadline);
        }
        Some(message)
    }

    /// ACCEPT_INVERSE_OFFERS and DECLINE_INVERSE_OFFERS: takes note; offers that are gone are skipped.
    pub(super) fn answer_inverse_offers(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        status: Status,
        offer_ids: &[v1::OfferId],
        filters: Option<&v1::Filters>,
    ) {
        let refuse_for = refusal(filters).unwrap_or_default();
        for offer_id in offer_ids {
            let offer_id = OfferId::new(&*offer_id.value);
            let key = self.inverse.names.get(&offer_id);
            let Some(key) = key.filter(|key| key.0 == *framework_id).cloned() else {
                self.metrics.dropped_messages += 1;
                continue;
            };
            self.take_inverse_offer(step, &key);
            let agent = self.agents.get(&key.1);
            let Some(maintained) = agent.and_then(|agent| agent.maintained.as_ref()) else {
                continue;
            };
            let answer = InverseAnswer {
                status,
                at: step.now.wall,
                machine: maintained.machine.clone(),
                refused_until: step.now.mono.after(refuse_for),
            };
            self.inverse.answers.insert(key, answer);
            match status {
                Status::Accept => self.metrics.inverse_offers_accepted += 1,
                Status::Decline | Status::Unknown => self.metrics.inverse_offers_declined += 1,
            }
        }
    }

    fn take_inverse_offer(
        &mut self,
        step: &mut Step<'_>,
        key: &InverseKey,
    ) -> Option<InverseOffer> {
        let offer = self.inverse.offers.remove(key)?;
        self.inverse.names.remove(&offer.id);
        self.cancel_timer(step, TimerKey::OfferExpired(offer.id.clone()));
        Some(offer)
    }

    /// Takes an inverse offer back and tells its scheduler.
    fn rescind_inverse(&mut self, step: &mut Step<'_>, key: &InverseKey) {
        if let Some(offer) = self.take_inverse_offer(step, key) {
            self.metrics.inverse_offers_rescinded += 1;
            if let Some(connection) = self.connection_of(&key.0) {
                step.send_rescind_inverse(connection, &offer.id);
            }
        }
    }

    /// An inverse offer that nobody answered in time.
    pub(super) fn inverse_offer_expired(&mut self, step: &mut Step<'_>, offer_id: &OfferId) {
        if let Some(key) = self.inverse.names.get(offer_id).cloned() {
            self.rescind_inverse(step, &key);
        }
    }

    /// An agent is gone, or waits for another maintenance: what was asked and answered is void.
    pub(super) fn forget_inverse_offers_of(&mut self, step: &mut Step<'_>, agent_id: &AgentId) {
        if !self.inverse.agents.contains(agent_id) {
            return;
        }
        let keys = self.inverse.offers.keys();
        let keys: Vec<InverseKey> = keys.filter(|key| key.1 == *agent_id).cloned().collect();
        for key in keys {
            self.rescind_inverse(step, &key);
        }
        self.inverse.forget_answers(|key| key.1 == *agent_id);
    }

    /// A framework's scheduler is gone: what it was asked is void.
    pub(super) fn drop_inverse_offers_to(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
    ) {
        let keys = self.inverse.offers.keys();
        let keys: Vec<InverseKey> = keys.filter(|key| key.0 == *framework_id).cloned().collect();
        for key in keys {
            self.take_inverse_offer(step, &key);
        }
    }

    /// A framework is gone, with its answers.
    pub(super) fn forget_inverse_answers_of(&mut self, framework_id: &FrameworkId) {
        self.inverse.forget_answers(|key| key.0 == *framework_id);
    }
}
