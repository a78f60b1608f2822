//! What the slow, obvious allocator knows of demand: everything that clients returned unused, and
//! who was asked again when, as the rule in `demand.rs` is written.
//!
//! Not modelled: that a client is forgotten on all but 16 kinds of agents (`memory_is_bounded`), and
//! that a slice with too many comparisons goes on in strict order.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::{FrameworkId, Instant};
use crate::resources::Resources;
use crate::roles::Role;

type ClientKey = (FrameworkId, Role);

/// How a client stands to what it sees of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has returned nothing like it.
    First,
    /// It has: whoever has not comes first.
    Behind,
    /// It has, but since then it is due to be asked again.
    Due(Instant),
}

/// What one client returned on agents of one kind.
#[derive(Debug, Default)]
struct Returned {
    /// Each with the time until which it counts.
    bundles: Vec<(Resources, Instant)>,
    doublings: u32,
    /// True when a probe is not answered yet.
    asked: bool,
}

impl Returned {
    /// Eight bundles are remembered; of more, those that count longest. What another one says
    /// already, for as long, is not remembered besides.
    fn remember(&mut self, bundle: &Resources, until: Instant) {
        let before = self.bundles.clone();
        self.bundles.push((bundle.clone(), until));
        if before
            .iter()
            .any(|(known, long)| *long >= until && known.contains(bundle))
        {
            self.bundles = before;
            return;
        }
        let others = before.into_iter();
        let told = |(known, long): &(Resources, Instant)| *long <= until && bundle.contains(known);
        self.bundles = others.filter(|one| !told(one)).collect();
        if self.bundles.len() == 8 {
            let soonest = self.bundles.iter().map(|(_, until)| *until).min();
            let at = self
                .bundles
                .iter()
                .position(|(_, until)| Some(*until) == soonest);
            self.bundles.remove(at.unwrap());
        }
        self.bundles.push((bundle.clone(), until));
    }

    fn wait(&self, interval: Duration) -> Duration {
        interval * 2_u32.pow(self.doublings)
    }
}

/// By client and kind of agent.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    returned: BTreeMap<(ClientKey, String), Returned>,
    /// How many turns for which somebody was due have gone by since the last that a probe preceded, for
    /// each kind that has had one.
    unprobed: BTreeMap<String, u32>,
}

impl Evidence {
    pub(super) fn returned(
        &mut self,
        client: &ClientKey,
        kind: &str,
        bundle: &Resources,
        (now, interval): (Instant, Duration),
    ) {
        let key = (client.clone(), kind.to_owned());
        let known = self.returned.entry(key).or_default();
        if known.asked {
            known.doublings = (known.doublings + 1).min(4);
            known.asked = false;
        }
        known.remember(bundle, now.after(known.wait(interval)));
    }

    /// A client is offered this to see whether it wants it by now: it is the last of those that are
    /// due, and behind for the like of this.
    pub(super) fn probed(
        &mut self,
        client: &ClientKey,
        kind: &str,
        bundle: &Resources,
        (now, interval): (Instant, Duration),
    ) {
        let key = (client.clone(), kind.to_owned());
        let known = self.returned.get_mut(&key).unwrap();
        known.asked = true;
        for (_, until) in &mut known.bundles {
            *until = (*until).max(now);
        }
        known.remember(bundle, now.after(known.wait(interval)));
    }

    /// These clients have shown demand, or are gone.
    pub(super) fn forget(&mut self, which: impl Fn(&ClientKey) -> bool) {
        self.returned.retain(|(client, _), _| !which(client));
    }

    /// Nothing is known of kinds that have no agent.
    pub(super) fn keep_kinds(&mut self, kinds: &[String]) {
        self.returned.retain(|(_, kind), _| kinds.contains(kind));
        self.unprobed.retain(|kind, _| kinds.contains(kind));
    }

    pub(super) fn standing(
        &self,
        client: &ClientKey,
        kind: &str,
        seen: &Resources,
        now: Instant,
    ) -> Standing {
        let known = self.returned.get(&(client.clone(), kind.to_owned()));
        let bundles = known.into_iter().flat_map(|known| &known.bundles);
        let against = bundles.filter(|(bundle, _)| bundle.contains(seen));
        match against.map(|(_, until)| *until).max() {
            None => Standing::First,
            Some(until) if until > now => Standing::Behind,
            Some(since) => Standing::Due(since),
        }
    }

    /// Somebody is due ahead of the one whose turn it is: every fourth time it goes before.
    pub(super) fn is_probe(&mut self, kind: &str) -> bool {
        let unprobed = self.unprobed.entry(kind.to_owned()).or_insert(3);
        *unprobed = if *unprobed == 3 { 0 } else { *unprobed + 1 };
        *unprobed == 0
    }
}
