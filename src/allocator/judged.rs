//! What evidence says about one bundle, for all clients at once: everybody sees the same of most
//! agents, and many agents have the same left.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::Instant;

use super::bits::BitSet;
use super::bundle::Bundle;
use super::returns::{Evidence, Returns};
use super::sorter::Standing;

/// Since when clients are due, and where the first of them in an order stands.
pub(super) type FirstDue = (Instant, Standing);

/// The verdict on a bundle at a time.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    bundle: Bundle,
    now: Instant,
    against: BitSet,
    due: BitSet,
    /// Since when they are due.
    since: BTreeMap<u32, Instant>,
    /// The same, longest first.
    longest: BTreeSet<(Instant, u32)>,
    /// In which slice and leaf who came first of those that have been due since when.
    pub(super) first_due: Option<(u64, u32, FirstDue)>,
}

impl Judged {
    /// Looks at the returns of all clients. `effort` goes down by what it took.
    pub(super) fn new(
        bundle: &Bundle,
        returns: &BTreeMap<u32, Returns>,
        now: Instant,
        effort: &mut usize,
    ) -> Self {
        let mut judged = Self {
            bundle: bundle.clone(),
            now,
            against: BitSet::default(),
            due: BitSet::default(),
            since: BTreeMap::new(),
            longest: BTreeSet::new(),
            first_due: None,
        };
        for (client, returns) in returns {
            match returns.evidence(bundle, now, effort) {
                Evidence::None => {}
                Evidence::Against(_) => {
                    judged.against.insert(*client);
                }
                Evidence::Due(since) => {
                    judged.due.insert(*client);
                    judged.since.insert(*client, since);
                    judged.longest.insert((since, *client));
                }
            }
        }
        judged
    }

    /// True when it is about this bundle at this time.
    pub(super) fn is_about(&self, bundle: &Bundle, now: Instant) -> bool {
        self.now == now && self.bundle == *bundle
    }

    /// What there is against a client.
    pub(super) fn verdict(&self, client: u32) -> Evidence {
        if self.against.contains(client) {
            return Evidence::Against(self.now);
        }
        let since = self.since.get(&client);
        since.map_or(Evidence::None, |since| Evidence::Due(*since))
    }

    /// A client that was due is asked.
    pub(super) fn probed(&mut self, client: u32) {
        if let Some(since) = self.since.remove(&client) {
            self.longest.remove(&(since, client));
            self.due.remove(client);
        }
        self.against.insert(client);
    }

    /// The clients from `64 * at` on that have something against them and are not due, as bits.
    pub(super) fn against_word(&self, at: usize) -> u64 {
        self.against.word(at)
    }

    /// The clients from `64 * at` on that have something against them, due or not, as bits.
    pub(super) fn known_word(&self, at: usize) -> u64 {
        self.against.word(at) | self.due.word(at)
    }

    /// Of the clients for which `may` says so, those that have been due longest, all since the same
    /// time; no more than `most` of them.
    pub(super) fn due_longest(
        &self,
        may: impl Fn(u32) -> bool,
        most: usize,
    ) -> Option<(Instant, Vec<u32>)> {
        let mut longest = self.longest.iter().filter(|(_, client)| may(*client));
        let (since, first) = *longest.next()?;
        let others = longest.take_while(|(other, _)| *other == since);
        let all = std::iter::once(first).chain(others.map(|(_, client)| *client));
        Some((since, all.take(most).collect()))
    }

    /// Since when a client is due.
    pub(super) fn due_since(&self, client: u32) -> Option<Instant> {
        self.since.get(&client).copied()
    }
}
