//! Resources that come back, and the filters that refusals leave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::{AgentId, FrameworkId, Instant};
use crate::resources::{Resource, Resources};
use crate::roles::Role;

use super::bundle::Bundle;
use super::core::Allocator;

/// Longest time that a filter lasts (Mesos caps `refuse_seconds` at 365 days).
const FILTER_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// After how many ended filters a step leaves the others to the next one.
const EXPIRED_MAX: usize = 10_000;

/// A framework does not want what it gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// How long, counted from now. Raised to the allocation interval, so that who refuses for no
    /// time at all is offered the same again once per interval and not in a loop; at most a year.
    pub refuse_for: Duration,
    /// The number of the offer that it gives back, for explanations.
    pub offer: u64,
}

impl Allocator {
    /// A framework gives resources back: its offer was declined, was used in part or ended, or its
    /// task did. With a filter, they are not offered to it again under that role for a while;
    /// others are offered them at once.
    ///
    /// `resources` must be allocated to the role that they were offered to. What belongs to a
    /// framework or agent that is gone is ignored.
    ///
    /// # Panics
    /// If the framework does not have all of them.
    pub fn recover(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        resources: &Resources,
        filter: Option<Filter>,
        now: Instant,
    ) {
        self.give_back((framework, agent), resources, (filter, false), now);
    }

    /// A framework gives an offer back of which it has used nothing: as [`recover`](Self::recover),
    /// and evidence that it does not want the like (see `demand.rs`).
    pub fn decline(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        resources: &Resources,
        filter: Option<Filter>,
        now: Instant,
    ) {
        self.give_back((framework, agent), resources, (filter, true), now);
    }

    /// The framework has launched something, or is likely to want something that it did not want
    /// before: what it returned under these roles, all if none is named, no longer counts.
    pub fn demand_changed(&mut self, framework: &FrameworkId, roles: &BTreeSet<Role>) {
        for number in self.clients_of(framework, roles) {
            self.demand.forget(number);
        }
    }

    fn give_back(
        &mut self,
        (framework, agent): (&FrameworkId, &AgentId),
        resources: &Resources,
        refusal: (Option<Filter>, bool),
        now: Instant,
    ) {
        let Some(slot) = self.agent_slots.get(agent).copied() else {
            return;
        };
        if !self.framework_slots.contains_key(framework) {
            return;
        }
        let unnamed = |item: &Resource| item.allocated_role().is_none();
        assert!(
            !resources.iter().any(unnamed),
            "recovered resources name their role: {resources}"
        );
        match resources.allocated_role() {
            Some(role) => self.recover_role((framework, role), slot, resources, refusal, now),
            None => {
                for (role, part) in resources.allocations() {
                    self.recover_role((framework, &role), slot, &part, refusal, now);
                }
            }
        }
        self.agent_changed(slot);
    }

    /// The part that comes back from one role.
    fn recover_role(
        &mut self,
        (framework, role): (&FrameworkId, &Role),
        agent: u32,
        resources: &Resources,
        (filter, unused): (Option<Filter>, bool),
        now: Instant,
    ) {
        let number = self.known_client(framework, role).unwrap_or_else(|| {
            panic!("framework {framework} has nothing under role {role} to recover")
        });
        let record = &mut self.agents[agent];
        let whole = record.held_by(number);
        let whole = whole.filter(|held| self.bundles.is_offered(held, role, resources));
        let is_known = whole.is_some();
        let part = match whole {
            Some(held) => (**held).clone(),
            None => resources.unallocated(),
        };
        let counting = record
            .shares
            .then(|| record.counting(number, &part, true))
            .map(|counting| Bundle::of(counting, &mut self.kinds));
        let (back, all) = record.recover(number, &part, &mut self.kinds);
        if !(is_known && record.available.is_same(&back)) {
            self.bundles.share(&mut record.available);
        }
        if let Some(held) = record.held_by_mut(number) {
            self.bundles.share(held);
        }
        if self.is_listening(number) {
            if unused {
                let kind = self.agents[agent].kind;
                self.demand.returned((number, kind), &back, now);
            }
            if let Some(filter) = filter {
                self.add_filter(number, agent, &back, filter, now);
            }
        }
        self.consume_less(number, &back);
        match counting {
            Some(counting) => {
                self.count_still(number, agent, &counting);
                self.release(number, agent, counting.amounts(), all);
            }
            None => self.release(number, agent, back.amounts(), all),
        }
    }

    fn add_filter(
        &mut self,
        number: u32,
        agent: u32,
        refused: &Bundle,
        filter: Filter,
        now: Instant,
    ) {
        let least = self.config.allocation_interval;
        let until = now.after(filter.refuse_for.max(least).min(FILTER_MAX));
        let filters = &mut self.agents[agent].filters;
        let before = filters.earliest();
        let added = usize::from(filters.add(number, refused, (until, filter.offer)));
        let earliest = filters.earliest();
        self.filters += added;
        let client = &mut self.clients[number];
        client.filters += added;
        client.filters_on.insert(agent);
        self.metrics.filters_set += 1;
        if let Some(earliest) = earliest.filter(|_| earliest != before) {
            self.note_expiry(earliest, agent);
        }
    }

    /// Who is not there now has no filters when it comes back.
    fn is_listening(&self, number: u32) -> bool {
        let client = &self.clients[number];
        client.subscribed && self.frameworks[client.framework].active
    }

    /// Notes when to look for ended filters of an agent.
    fn note_expiry(&mut self, earliest: Instant, agent: u32) {
        self.expiries.push(earliest, agent);
        if self.expiries.is_stale(self.agents.len()) {
            let agents = self.agents.iter();
            self.expiries.rebuild(
                agents.filter_map(|(slot, agent)| Some((agent.filters.earliest()?, slot))),
            );
        }
    }

    /// Removes all filters of a client.
    pub(super) fn clear_filters(&mut self, number: u32) {
        let agents = std::mem::take(&mut self.clients[number].filters_on);
        for agent in agents.iter() {
            self.filters -= self.agents[agent].filters.remove_client(number);
        }
        self.clients[number].filters = 0;
    }

    /// How many filters there are in each role that has any.
    #[must_use]
    pub fn filters_by_role(&self) -> BTreeMap<Role, usize> {
        let mut counts: BTreeMap<Role, usize> = BTreeMap::new();
        for (_, client) in self.clients.iter().filter(|(_, client)| client.filters > 0) {
            match counts.get_mut(&client.role) {
                Some(count) => *count += client.filters,
                None => drop(counts.insert(client.role.clone(), client.filters)),
            }
        }
        counts
    }

    /// Removes all filters on an agent.
    pub(super) fn clear_agent_filters(&mut self, agent: u32) {
        let filters = std::mem::take(&mut self.agents[agent].filters);
        self.filters -= filters.len();
        for number in filters.clients().iter() {
            let client = &mut self.clients[number];
            client.filters_on.remove(agent);
            client.filters -= filters.count_of(number);
        }
    }

    /// Removes the filters that have ended; the next pass looks at their agents. Stops when it
    /// has been at it for long: the rest has to wait until the next call.
    pub(super) fn expire_filters(&mut self, now: Instant) {
        let mut removed = 0;
        while removed < EXPIRED_MAX
            && let Some((noted, slot)) = self.expiries.pop(now)
        {
            let Some(agent) = self.agents.get_mut(slot) else {
                continue;
            };
            if agent.filters.earliest() != Some(noted) {
                continue;
            }
            let ended = agent.filters.expire(now);
            let next = agent.filters.earliest();
            for number in &ended {
                self.clients[*number].filters -= 1;
                if !agent.filters.has_client(*number) {
                    self.clients[*number].filters_on.remove(slot);
                }
            }
            if let Some(next) = next {
                self.note_expiry(next, slot);
            }
            if !ended.is_empty() {
                self.agent_changed(slot);
            }
            self.filters -= ended.len();
            self.metrics.filters_expired += ended.len() as u64;
            removed += ended.len();
        }
    }
}
