//! Who starves and who hoards: now and then the master looks at how long offers are held and how
//! long frameworks have waited for one.
//!
//! - An offer that is held longer than `--offer_hoarding_timeout` while another framework waits for
//!   what it holds is rescinded, and counts as returned unused: it goes to who waits. (Mesos lets it
//!   be held for ever unless `--offer_timeout` is set.)
//! - A framework that wants offers (subscribed, some role not suppressed) and has had none for
//!   `--starvation_warning`, although others hold offers that it could use, is warned about: a
//!   metric, an operator event and a line in the log that names who holds them. Filters of its own,
//!   a cluster full of tasks, or offers that it returns are no starvation.
//!
//! One look costs a visit of every offer and framework, and a bounded number of explanations.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::allocator::Filter;
use crate::base::{FrameworkId, Instant, OfferId};
use crate::proto::v1::master as wire;

use super::call::Question;
use super::core::{Master, Minted, Step};
use super::effect::{Effect, OperatorEvent};
use super::timer::TimerKey;

/// Most offers that are taken back at once.
const TAKEN_BACK_MAX: usize = 100;

/// Most agents that the explanations of one look are about; but one explanation is always made.
const AGENTS_MAX: usize = 20_000;

/// What is remembered between two looks.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// When each framework was offered something last, or began to want something.
    since: BTreeMap<FrameworkId, Instant>,
    /// When it was last found out why it got nothing.
    checked: BTreeMap<FrameworkId, Instant>,
}

impl Watch {
    /// A framework was offered something, or says that it wants something.
    pub(super) fn offered(&mut self, framework_id: &FrameworkId, now: Instant) {
        match self.since.get_mut(framework_id) {
            Some(since) => *since = now,
            None => {
                self.since.insert(framework_id.clone(), now);
            }
        }
    }
}

impl Master {
    /// Sees to it that there is a next look as long as there are frameworks.
    pub(super) fn plan_watch(&mut self, step: &mut Step<'_>) {
        if self.draining || self.frameworks.is_empty() || self.timers.contains(&TimerKey::Watch) {
            return;
        }
        let config = &self.config;
        let shorter = config.offer_hoarding_timeout.min(config.starvation_warning);
        let often = (shorter / 10).clamp(Duration::from_millis(100), Duration::from_secs(60));
        let next = step.now.mono.after(often);
        self.set_timer(step, TimerKey::Watch, next);
    }

    /// One look.
    pub(super) fn look_around(&mut self, step: &mut Step<'_>) {
        self.take_back_hoarded(step);
        self.warn_of_starving(step);
    }

    fn take_back_hoarded(&mut self, step: &mut Step<'_>) {
        let (now, limit) = (step.now.mono, self.config.offer_hoarding_timeout);
        let held = self.offers.values();
        let mut long: Vec<(Instant, OfferId)> = held
            .filter(|offer| now.since(offer.since) >= limit)
            .map(|offer| (offer.since, offer.id.clone()))
            .collect();
        long.sort();
        let mut taken = 0;
        for (since, offer_id) in long {
            let Some(offer) = self.offers.get(&offer_id) else {
                continue;
            };
            let (holder, agent) = (&offer.framework_id, &offer.agent_id);
            let waits = self
                .allocator
                .who_waits_for(holder, agent, &offer.resources);
            let Some(waiting) = waits else {
                continue;
            };
            tracing::warn!(
                offer_id = %offer.id,
                framework_id = %holder,
                agent_id = %agent,
                resources = %offer.resources,
                held_seconds = now.since(since).as_secs(),
                %waiting,
                "offer is hoarded while another framework waits for it: rescinded"
            );
            self.metrics.offers_hoarded += 1;
            // Others first: it comes back to the holder not before they have seen it.
            let filter = Filter {
                refuse_for: Duration::ZERO,
                offer: Minted::offer_number(&offer_id),
            };
            self.take_back(step, &offer_id, filter);
            taken += 1;
            if taken == TAKEN_BACK_MAX {
                break;
            }
        }
    }

    fn warn_of_starving(&mut self, step: &mut Step<'_>) {
        let (now, limit) = (step.now.mono, self.config.starvation_warning);
        for framework in self.frameworks.values() {
            let wants = framework.is_connected()
                && framework
                    .roles
                    .iter()
                    .any(|role| !framework.suppressed_roles.contains(role));
            if wants && framework.offers.is_empty() {
                self.watch.since.entry(framework.id.clone()).or_insert(now);
            } else {
                self.watch.since.remove(&framework.id);
            }
        }
        let known = |id: &FrameworkId| self.frameworks.contains_key(id);
        self.watch.since.retain(|id, _| known(id));
        let waits = &self.watch.since;
        self.watch.checked.retain(|id, _| waits.contains_key(id));
        let mut long: Vec<(Instant, FrameworkId)> = Vec::new();
        for (id, since) in waits {
            let checked = self.watch.checked.get(id).copied().unwrap_or(*since);
            if now.since(*since) >= limit && now.since(checked.max(*since)) >= limit {
                long.push((*since, id.clone()));
            }
        }
        long.sort();
        let most = (AGENTS_MAX / self.agents.len().max(1)).max(1);
        for (since, framework_id) in long.into_iter().take(most) {
            self.watch.checked.insert(framework_id.clone(), now);
            self.warn_if_starving(step, &framework_id, since);
        }
    }

    fn warn_if_starving(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        since: Instant,
    ) {
        let question = Question {
            framework_id: framework_id.clone(),
            role: None,
            agent_id: None,
        };
        let Ok(explained) = self.explain(step.now.mono, &question) else {
            return;
        };
        let groups = explained.roles.into_iter().flat_map(|role| role.groups);
        let outranked = groups.filter(|group| group.reason == "outranked");
        let agents = outranked.flat_map(|group| group.agents);
        // Who holds offers, the longest of each.
        let mut rivals: BTreeMap<String, wire::explanation::Rival> = BTreeMap::new();
        for rival in agents.flat_map(|agent| agent.rivals) {
            let known = rivals.entry(rival.framework_id.value.clone());
            let known = known.or_insert_with(|| rival.clone());
            if rival.held_seconds() > known.held_seconds() {
                *known = rival;
            }
        }
        let mut rivals: Vec<_> = rivals.into_values().collect();
        rivals.sort_by(|a, b| b.held_seconds().total_cmp(&a.held_seconds()));
        let Some(culprit) = rivals.first() else {
            return;
        };
        let waited = step.now.mono.since(since);
        tracing::warn!(
            %framework_id,
            name = explained.name,
            waited_seconds = waited.as_secs(),
            culprit = culprit.framework_id.value,
            culprit_name = culprit.name,
            culprit_held_seconds = culprit.held_seconds(),
            "framework wants offers and has had none for long, although others hold what would fit; \
             see 'mesosd explain'"
        );
        self.metrics.frameworks_starving += 1;
        let starving = Box::new(wire::FrameworkStarving {
            framework_id: framework_id.into(),
            waited_seconds: waited.as_secs_f64(),
            rivals,
        });
        step.push(Effect::Publish(OperatorEvent::FrameworkStarving(starving)));
    }
}
