//! Offers: from the allocator's decisions to schedulers, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::allocator::{Allocation, Filter};
use crate::base::{FrameworkId, Instant, OfferId};
use crate::proto::v1;
use crate::validation::offer::refusal;

use super::core::{Master, Minted, Step};
use super::effect::Effect;
use super::offer::Offer;
use super::timer::TimerKey;

impl Master {
    /// Sets the allocation timer to when the allocator wants to be run.
    pub(super) fn plan_allocation(&mut self, step: &mut Step<'_>) {
        let wanted = if self.draining || self.is_held(step) {
            None
        } else {
            self.allocator.next_wake().map(|at| at.max(step.now.mono))
        };
        let stands = match (self.allocation_at, wanted) {
            (Some(set), Some(wanted)) => set == wanted || (set < wanted && set <= step.now.mono),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if stands {
            return;
        }
        self.allocation_at = wanted;
        match wanted {
            Some(at) => self.set_timer(step, TimerKey::Allocation, at),
            None => self.cancel_timer(step, TimerKey::Allocation),
        }
    }

    /// Runs a slice of an allocation pass and offers what it gives.
    pub(super) fn allocate(&mut self, step: &mut Step<'_>) {
        let mut allocations = Vec::new();
        self.allocator.run(step.now.mono, &mut allocations);
        let mut batches: BTreeMap<FrameworkId, Vec<v1::Offer>> = BTreeMap::new();
        for allocation in allocations {
            let framework_id = allocation.framework.clone();
            if let Some(offer) = self.mint_offer(step, allocation) {
                batches.entry(framework_id).or_default().push(offer);
            }
        }
        for (framework_id, offers) in batches {
            let Some(framework) = self.frameworks.get(&framework_id) else {
                continue;
            };
            self.watch.offered(&framework_id, step.now.mono);
            if let Some(connection) = framework.status.connection() {
                step.send_offers(connection, offers);
            }
        }
    }

    fn mint_offer(&mut self, step: &mut Step<'_>, allocation: Allocation) -> Option<v1::Offer> {
        let Allocation {
            framework,
            role,
            agent,
            resources,
        } = allocation;
        let offered_to = self.frameworks.get_mut(&framework).map(Arc::make_mut);
        let (Some(offered_to), Some(offered_from)) = (
            offered_to.filter(|framework| framework.is_connected()),
            self.agents
                .get_mut(&agent)
                .map(Arc::make_mut)
                .filter(|agent| agent.is_active()),
        ) else {
            // The allocator knows who is active, so this does not happen; if it did, nothing is lost.
            self.allocator
                .recover(&framework, &agent, &resources, None, step.now.mono);
            return None;
        };
        let id = self.minted.offer(&self.config.uuid);
        let offer = Offer {
            id: id.clone(),
            framework_id: framework,
            agent_id: agent,
            role,
            resources,
            since: step.now.mono,
        };
        offered_to.offers.insert(id.clone());
        offered_from.offers.insert(id.clone());
        let mut message = offer.to_proto(offered_from, offered_to.reservation_form());
        if !offered_to.capabilities.multi_role {
            // It has one role; its library may know no such field, or compare resources with it.
            message.allocation_info = None;
            for resource in &mut message.resources {
                resource.allocation_info = None;
            }
        }
        self.offers.insert(id.clone(), Arc::new(offer));
        self.metrics.offers_sent += 1;
        if let Some(timeout) = self.config.offer_timeout {
            let deadline = step.now.mono.after(timeout);
            self.set_timer(step, TimerKey::OfferExpired(id), deadline);
        }
        Some(message)
    }

    /// Takes an offer out of all indexes; its resources are still allocated.
    pub(super) fn take_offer(
        &mut self,
        step: &mut Step<'_>,
        offer_id: &OfferId,
    ) -> Option<Arc<Offer>> {
        let offer = self.offers.remove(offer_id)?;
        if let Some(framework) = self.framework_mut(&offer.framework_id) {
            framework.offers.remove(offer_id);
        }
        if let Some(agent) = self.agent_mut(&offer.agent_id) {
            agent.offers.remove(offer_id);
        }
        self.cancel_timer(step, TimerKey::OfferExpired(offer_id.clone()));
        Some(offer)
    }

    /// Ends an offer and frees its resources; its scheduler is not told.
    pub(super) fn discard_offer(
        &mut self,
        step: &mut Step<'_>,
        offer_id: &OfferId,
        filter: Option<Filter>,
    ) -> Option<Arc<Offer>> {
        let offer = self.take_offer(step, offer_id)?;
        self.recover_offer(&offer, filter, step.now.mono);
        Some(offer)
    }

    /// Ends an offer of which its framework wants nothing.
    fn decline_offer(&mut self, step: &mut Step<'_>, offer_id: &OfferId, filter: Filter) {
        if let Some(offer) = self.take_offer(step, offer_id) {
            self.allocator.decline(
                &offer.framework_id,
                &offer.agent_id,
                &offer.resources,
                Some(filter),
                step.now.mono,
            );
        }
    }

    fn recover_offer(&mut self, offer: &Offer, filter: Option<Filter>, now: Instant) {
        self.allocator.recover(
            &offer.framework_id,
            &offer.agent_id,
            &offer.resources,
            filter,
            now,
        );
    }

    /// Takes an offer back and tells its scheduler.
    pub(super) fn rescind(&mut self, step: &mut Step<'_>, offer_id: &OfferId) {
        if let Some(offer) = self.discard_offer(step, offer_id, None) {
            self.tell_rescinded(step, &offer);
        }
    }

    /// Takes an offer back that its framework does not use, and tells its scheduler.
    pub(super) fn take_back(&mut self, step: &mut Step<'_>, offer_id: &OfferId, filter: Filter) {
        let Some(offer) = self.offers.get(offer_id).cloned() else {
            return;
        };
        self.decline_offer(step, offer_id, filter);
        self.tell_rescinded(step, &offer);
    }

    fn tell_rescinded(&mut self, step: &mut Step<'_>, offer: &Offer) {
        self.metrics.offers_rescinded += 1;
        let framework = self.frameworks.get(&offer.framework_id);
        if let Some(connection) = framework.and_then(|framework| framework.status.connection()) {
            step.send_rescind(connection, &offer.id);
        }
    }

    /// Ends all offers of a framework whose scheduler is gone.
    pub(super) fn discard_offers_of(&mut self, step: &mut Step<'_>, framework_id: &FrameworkId) {
        let Some(framework) = self.frameworks.get(framework_id) else {
            return;
        };
        let offers: Vec<OfferId> = framework.offers.iter().cloned().collect();
        for offer_id in offers {
            self.discard_offer(step, &offer_id, None);
        }
    }

    /// DECLINE: offers that the framework does not want; those that are gone are skipped.
    pub(super) fn decline(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        call: &v1::scheduler::call::Decline,
    ) {
        for offer_id in &call.offer_ids {
            let offer_id = OfferId::new(offer_id.value.as_str());
            let filter = filter(call.filters.as_ref(), &offer_id);
            let own = self
                .offers
                .get(&offer_id)
                .is_some_and(|offer| offer.framework_id == *framework_id);
            if own {
                self.decline_offer(step, &offer_id, filter);
                self.metrics.offers_declined += 1;
            } else {
                self.metrics.dropped_messages += 1;
            }
        }
    }

    /// The scheduler's stream, if it is subscribed.
    pub(super) fn connection_of(
        &self,
        framework_id: &FrameworkId,
    ) -> Option<crate::base::ConnectionId> {
        self.frameworks.get(framework_id)?.status.connection()
    }

    /// Publishes that a task was added.
    pub(super) fn publish_task(step: &mut Step<'_>, task: &Arc<super::task::Task>) {
        let added = super::effect::OperatorEvent::TaskAdded(Arc::clone(task));
        step.push(Effect::Publish(added));
    }
}

/// How long what is given back of an offer is not wanted.
pub(super) fn filter(filters: Option<&v1::Filters>, offer_id: &OfferId) -> Filter {
    Filter {
        refuse_for: refusal(filters).unwrap_or_default(),
        offer: Minted::offer_number(offer_id),
    }
}
