//! What frameworks refused: per agent, client (framework under a role) and bundle, until a time.
//!
//! A filter blocks an offer that is contained in what was refused; a larger or different bundle
//! passes. Nearly all clients refuse the same bundle of an agent, so an agent keeps each bundle
//! once with a bit per client: whether a bundle blocks is found out once per visit, and whether it
//! blocks a client is one bit. A filter costs that bit and 16 bytes, with the number of the offer
//! that was given back, for explanations; whose it is follows from its place among the bits.
//! [`Expiries`] knows agents only.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::base::Instant;

use super::bits::BitSet;
use super::blocks::Blocks;
use super::bundle::Bundle;

/// One client's refusal of one bundle.
#[derive(Clone, Copy, Debug)]
struct Entry {
    until: Instant,
    /// The number of the offer that was given back.
    offer: u64,
}

/// A bundle that clients refused.
#[derive(Clone, Debug)]
struct Refused {
    resources: Bundle,
    clients: BitSet,
    /// In the order of the clients, one for each.
    entries: Blocks<Entry>,
}

impl Refused {
    /// Adds a client's filter or prolongs the one there is, and says whether it is a new one.
    fn add(&mut self, client: u32, new: Entry) -> bool {
        let at = self.clients.rank(client);
        if self.clients.insert(client) {
            self.entries.insert(at, new);
            return true;
        }
        let entry = self.entries.at_mut(at);
        if new.until >= entry.until {
            *entry = new;
        }
        false
    }

    /// The filter of a client.
    fn of(&self, client: u32) -> Option<&Entry> {
        let refused = self.clients.contains(client);
        refused.then(|| self.entries.at(self.clients.rank(client)))
    }

    /// Removes the filter of a client, if there is one.
    fn remove(&mut self, client: u32) -> bool {
        let removed = self.clients.remove(client);
        if removed {
            self.entries.remove(self.clients.rank(client));
        }
        removed
    }

    /// Removes the filters that have ended, and adds whose they were to `ended`.
    fn expire(&mut self, now: Instant, ended: &mut Vec<u32>) {
        let first = ended.len();
        let mut clients = self.clients.iter();
        self.entries.retain(|entry| {
            let client = clients.next().expect("each filter has a bit");
            let lasts = entry.until > now;
            if !lasts {
                ended.push(client);
            }
            lasts
        });
        drop(clients);
        for client in &ended[first..] {
            self.clients.remove(*client);
        }
    }
}

/// Which refused bundles contain something: mostly none or one.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocking {
    first: Option<u32>,
    more: Vec<u32>,
}

impl Blocking {
    fn iter(&self) -> impl Iterator<Item = usize> {
        let all = self.first.iter().chain(&self.more);
        all.map(|at| *at as usize)
    }
}

/// All filters on one agent.
#[derive(Clone, Debug, Default)]
pub(super) struct AgentFilters {
    /// None without filters.
    bundles: Vec<Refused>,
    /// No filter ends before; one may end later, if the one that did was removed.
    earliest: Option<Instant>,
}

impl AgentFilters {
    /// How many filters there are.
    pub(super) fn len(&self) -> usize {
        self.bundles.iter().map(|b| b.entries.len()).sum()
    }

    /// Adds a filter, set by giving back the offer with this number. Refusing the same again
    /// prolongs it; false when that is all that happened.
    pub(super) fn add(
        &mut self,
        client: u32,
        refused: &Bundle,
        (until, offer): (Instant, u64),
    ) -> bool {
        let known = self.bundles.iter().position(|b| b.resources == *refused);
        let at = known.unwrap_or_else(|| {
            // Mostly there is one.
            self.bundles.reserve_exact(1);
            self.bundles.push(Refused {
                resources: refused.clone(),
                clients: BitSet::default(),
                entries: Blocks::default(),
            });
            self.bundles.len() - 1
        });
        // Equal all the same, but what comes next is known by its address.
        self.bundles[at].resources.clone_from(refused);
        let is_new = self.bundles[at].add(client, Entry { until, offer });
        if is_new {
            self.earliest = Some(self.earliest.map_or(until, |earliest| earliest.min(until)));
        }
        is_new
    }

    /// When to look for filters that have ended.
    pub(super) const fn earliest(&self) -> Option<Instant> {
        self.earliest
    }

    /// Which bundles contain `offered`, so that their clients must not be offered it.
    pub(super) fn blocking(&self, offered: &Bundle) -> Blocking {
        let mut containing = (0_u32..).zip(&self.bundles).filter(|(_, refused)| {
            // Mostly it is the very bundle that comes back.
            refused.resources.is_same(offered)
                || (refused.resources.amounts().contains(offered.amounts())
                    && refused.resources.contains(offered))
        });
        Blocking {
            first: containing.next().map(|(at, _)| at),
            more: containing.map(|(at, _)| at).collect(),
        }
    }

    /// Reads a word of everything that a visit reads, and mixes them.
    pub(super) fn touch(&self) -> u64 {
        /// Words that come from memory together.
        const LINE: usize = 8;
        let bundles = self.bundles.iter().take(2);
        bundles.fold(0, |seen, refused| {
            // Where few have not refused, they are looked for among all; else the first is near.
            let (all, refusals) = (refused.clients.word_count(), refused.entries.len());
            let read = if refusals > 32 * all { all } else { 1 };
            let words = (0..read).step_by(LINE);
            words.fold(seen, |seen, at| seen ^ refused.clients.word(at))
        })
    }

    /// True when one of these bundles was refused by the client.
    pub(super) fn is_blocked(&self, blocking: &Blocking, client: u32) -> bool {
        blocking
            .iter()
            .any(|at| self.bundles[at].clients.contains(client))
    }

    /// The clients from `64 * word` on that refused one of these bundles, as bits.
    pub(super) fn blocked_word(&self, blocking: &Blocking, word: usize) -> u64 {
        let of = |at: &u32| self.bundles[*at as usize].clients.word(word);
        let first = blocking.first.as_ref().map_or(0, of);
        blocking.more.iter().fold(first, |bits, at| bits | of(at))
    }

    /// When the last filter of a client ends among these bundles, and the number of the offer that
    /// set it.
    pub(super) fn blocked_until(&self, blocking: &Blocking, client: u32) -> Option<(Instant, u64)> {
        let own = blocking.iter().filter_map(|at| self.bundles[at].of(client));
        own.map(|entry| (entry.until, entry.offer)).max()
    }

    /// How many filters a client has.
    pub(super) fn count_of(&self, client: u32) -> usize {
        let own = self.bundles.iter().filter(|b| b.clients.contains(client));
        own.count()
    }

    /// Removes all filters of a client, and tells how many.
    pub(super) fn remove_client(&mut self, client: u32) -> usize {
        let bundles = self.bundles.iter_mut();
        let removed = bundles.map(|bundle| usize::from(bundle.remove(client)));
        let removed = removed.sum();
        self.drop_unused_bundles();
        removed
    }

    /// Removes the filters that have ended, and tells whose they were, one by one.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<u32> {
        let mut ended = Vec::new();
        for bundle in &mut self.bundles {
            bundle.expire(now, &mut ended);
        }
        self.drop_unused_bundles();
        self.earliest = self.ends().min();
        ended
    }

    fn ends(&self) -> impl Iterator<Item = Instant> {
        let entries = self.bundles.iter().flat_map(|bundle| bundle.entries.iter());
        entries.map(|entry| entry.until)
    }

    /// True when the client has a filter here.
    pub(super) fn has_client(&self, client: u32) -> bool {
        self.bundles.iter().any(|b| b.clients.contains(client))
    }

    /// The clients that have filters here.
    pub(super) fn clients(&self) -> BitSet {
        let mut all = BitSet::default();
        for bundle in &self.bundles {
            all.union_with(&bundle.clients);
        }
        all
    }

    fn drop_unused_bundles(&mut self) {
        self.bundles.retain(|bundle| !bundle.entries.is_empty());
        if self.bundles.is_empty() {
            (self.bundles, self.earliest) = (Vec::new(), None);
        }
    }

    /// Panics when bits and filters disagree.
    pub(super) fn check_invariants(&self) {
        for bundle in &self.bundles {
            assert!(!bundle.entries.is_empty(), "unused bundles are dropped");
            assert_eq!(bundle.clients.len(), bundle.entries.len());
        }
        assert_eq!(self.earliest.is_none(), self.bundles.is_empty());
        assert!(
            self.earliest <= self.ends().min(),
            "no filter ends unnoticed"
        );
    }
}

/// When to look at which agent's filters. Every agent that has any is here with its
/// [`earliest`](AgentFilters::earliest); other times are left from before and mean nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Expiries {
    heap: BinaryHeap<Reverse<(Instant, u32)>>,
}

impl Expiries {
    /// Notes when to look at an agent.
    pub(super) fn push(&mut self, earliest: Instant, agent: u32) {
        self.heap.push(Reverse((earliest, agent)));
    }

    /// Takes out the next time and agent, if the time has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, u32)> {
        let Reverse(next) = *self.heap.peek()?;
        if next.0 > now {
            return None;
        }
        self.heap.pop();
        Some(next)
    }

    /// The earliest time.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((earliest, _))| *earliest)
    }

    /// True when most of the times mean nothing.
    pub(super) fn is_stale(&self, agents: usize) -> bool {
        self.heap.len() > 2 * agents + 1024
    }

    /// Starts again with the times that mean something.
    pub(super) fn rebuild(&mut self, times: impl Iterator<Item = (Instant, u32)>) {
        self.heap = times.map(Reverse).collect();
    }

    /// True when an agent will be looked at then.
    pub(super) fn contains(&self, earliest: Instant, agent: u32) -> bool {
        let wanted = Reverse((earliest, agent));
        self.heap.iter().any(|noted| *noted == wanted)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::allocator::sorter::Kinds;
    use crate::resources::parse;
    use crate::roles::Role;

    fn bag(text: &str) -> Bundle {
        let resources = parse(text, &Role::DEFAULT).unwrap();
        Bundle::of(resources, &mut Kinds::default())
    }

    #[test]
    fn a_filter_is_small() {
        assert!(size_of::<Entry>() <= 16);
    }

    #[test]
    fn blocks_what_is_contained_in_the_refused() {
        let mut filters = AgentFilters::default();
        filters.add(3, &bag("cpus:2;mem:100;ports:[1-5]"), (Instant(10), 1));
        let blocking = |offered: &str| filters.blocking(&bag(offered));
        let blocked = |offered: &str| filters.is_blocked(&blocking(offered), 3);
        assert!(blocked("cpus:2;mem:100;ports:[1-5]"));
        assert!(blocked("cpus:1;ports:[2-3]"));
        assert!(!blocked("cpus:2.001;mem:100"));
        assert!(!blocked("cpus:1;disk:1"));
        assert!(!blocked("ports:[5-6]"));
        assert!(!filters.is_blocked(&blocking("cpus:1"), 4));
    }

    proptest! {
        #[test]
        fn behaves_like_a_list(
            steps in proptest::collection::vec((0_u32..6, 1_u64..5, 0_u64..40, 0_u8..4), 0..60)
        ) {
            let mut filters = AgentFilters::default();
            let mut list: Vec<(u32, Bundle, Instant)> = Vec::new();
            for (offer, (client, cpus, time, step)) in (0_u64..).zip(steps) {
                match step {
                    0 | 1 => {
                        let refused = bag(&format!("cpus:{cpus}"));
                        filters.add(client, &refused, (Instant(time), offer));
                        list.push((client, refused, Instant(time)));
                    }
                    2 => {
                        filters.expire(Instant(time));
                        list.retain(|(_, _, until)| *until > Instant(time));
                    }
                    _ => {
                        filters.remove_client(client);
                        list.retain(|(c, _, _)| *c != client);
                    }
                }
                filters.check_invariants();
                for cpus in 1..5 {
                    let offered = bag(&format!("cpus:{cpus}"));
                    let blocking = filters.blocking(&offered);
                    for client in 0..6 {
                        let until = list
                            .iter()
                            .filter(|(c, refused, _)| *c == client && refused.contains(&offered))
                            .map(|(_, _, until)| *until)
                            .max();
                        let found = filters.blocked_until(&blocking, client);
                        prop_assert_eq!(found.map(|(until, _)| until), until);
                        prop_assert_eq!(filters.is_blocked(&blocking, client), until.is_some());
                        let bit = filters.blocked_word(&blocking, 0) >> client & 1;
                        prop_assert_eq!(bit == 1, until.is_some());
                    }
                }
            }
        }
    }
}
