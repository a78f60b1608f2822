//! What one client returned unused of agents of one kind, and until when that counts against it.

use std::time::Duration;

use crate::base::Instant;

use super::bundle::Bundle;

/// Most bundles that are kept per client and kind.
const BUNDLES_MAX: usize = 8;

/// How often the time until a probe is doubled.
const DOUBLINGS_MAX: u32 = 4;

/// How many simple comparisons one of ports, sets and reservations is worth.
const EXACT_EFFORT: usize = 8;

/// What earlier returns say about offering a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// Nothing.
    None,
    /// It was returned; asking again is due then.
    Against(Instant),
    /// It was returned, but so long ago that asking again has been due since then.
    Due(Instant),
}

/// A returned bundle.
#[derive(Clone, Debug)]
struct Returned {
    bundle: Bundle,
    until: Instant,
}

/// The bundles that a client returned. None of them is contained in one that counts as long.
#[derive(Clone, Debug, Default)]
pub(super) struct Returns {
    list: Vec<Returned>,
    doublings: u32,
    /// True while a probe is not answered.
    probed: bool,
}

impl Returned {
    fn contains(&self, bundle: &Bundle, effort: &mut usize) -> bool {
        *effort = effort.saturating_sub(1);
        if self.bundle.is_same(bundle) {
            return true;
        }
        if !self.bundle.amounts().contains(bundle.amounts()) {
            return false;
        }
        *effort = effort.saturating_sub(EXACT_EFFORT);
        self.bundle.contains(bundle)
    }
}

impl Returns {
    fn wait(&self, interval: Duration) -> Duration {
        interval * (1 << self.doublings)
    }

    /// The client gave this back whole.
    pub(super) fn add_return(&mut self, bundle: &Bundle, now: Instant, interval: Duration) {
        if std::mem::take(&mut self.probed) {
            self.doublings = (self.doublings + 1).min(DOUBLINGS_MAX);
        }
        self.add(bundle, now.after(self.wait(interval)));
    }

    /// The client is offered this to see whether it wants it by now.
    pub(super) fn add_probe(&mut self, bundle: &Bundle, now: Instant, interval: Duration) {
        self.probed = true;
        // The client is the last of those that are due.
        for returned in &mut self.list {
            returned.until = returned.until.max(now);
        }
        self.add(bundle, now.after(self.wait(interval)));
    }

    fn add(&mut self, bundle: &Bundle, until: Instant) {
        let new = Returned {
            bundle: bundle.clone(),
            until,
        };
        let effort = &mut { usize::MAX };
        let is_known = |known: &Returned, effort: &mut usize| {
            known.until >= until && known.contains(bundle, effort)
        };
        if self.list.iter().any(|known| is_known(known, effort)) {
            return;
        }
        self.list
            .retain(|known| known.until > until || !new.contains(&known.bundle, effort));
        if self.list.len() == BUNDLES_MAX {
            let soonest = (0..BUNDLES_MAX).min_by_key(|at| self.list[*at].until);
            self.list.remove(soonest.expect("there are some"));
        }
        self.list.push(new);
    }

    /// What the returned bundles say about this one. `effort` goes down by what it took.
    pub(super) fn evidence(&self, bundle: &Bundle, now: Instant, effort: &mut usize) -> Evidence {
        let latest = self
            .list
            .iter()
            .filter(|returned| returned.contains(bundle, effort))
            .map(|returned| returned.until)
            .max();
        match latest {
            None => Evidence::None,
            Some(until) if until > now => Evidence::Against(until),
            Some(since) => Evidence::Due(since),
        }
    }

    /// Panics when a bound is passed or a bundle is superfluous.
    pub(super) fn check_invariants(&self) {
        assert!(!self.list.is_empty() && self.list.len() <= BUNDLES_MAX);
        assert!(self.doublings <= DOUBLINGS_MAX);
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

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Instant {
        Instant(0).after(SECOND * u32::try_from(seconds).unwrap())
    }

    struct Client(Returns, Kinds);

    impl Client {
        fn new() -> Self {
            Self(Returns::default(), Kinds::default())
        }

        fn bundle(&mut self, text: &str) -> Bundle {
            Bundle::of(parse(text, &Role::DEFAULT).unwrap(), &mut self.1)
        }

        fn returns(&mut self, text: &str, seconds: u64) {
            let bundle = self.bundle(text);
            self.0.add_return(&bundle, at(seconds), SECOND);
            self.0.check_invariants();
        }

        fn is_probed(&mut self, text: &str, seconds: u64) {
            let bundle = self.bundle(text);
            self.0.add_probe(&bundle, at(seconds), SECOND);
            self.0.check_invariants();
        }

        fn evidence(&mut self, text: &str, seconds: u64) -> Evidence {
            let bundle = self.bundle(text);
            let effort = &mut { usize::MAX };
            self.0.evidence(&bundle, at(seconds), effort)
        }
    }

    #[test]
    fn speaks_against_what_is_contained() {
        let mut client = Client::new();
        client.returns("cpus:2;mem:100;ports:[1-5]", 0);
        let against = Evidence::Against(at(1));
        assert_eq!(client.evidence("cpus:2;mem:100;ports:[1-5]", 0), against);
        assert_eq!(client.evidence("cpus:1;ports:[2-3]", 0), against);
        assert_eq!(client.evidence("cpus:3", 0), Evidence::None);
        assert_eq!(client.evidence("cpus:1;disk:1", 0), Evidence::None);
        assert_eq!(client.evidence("cpus:1;ports:[5-6]", 0), Evidence::None);
        assert_eq!(client.evidence("cpus:1", 1), Evidence::Due(at(1)));
    }

    #[test]
    fn probes_that_are_returned_double_the_time_until_the_next() {
        let mut client = Client::new();
        client.returns("cpus:2", 0);
        client.returns("cpus:2", 0);
        let mut now = 0;
        for wait in [1, 2, 4, 8, 16, 16] {
            now += wait;
            assert_eq!(
                client.evidence("cpus:2", now - 1),
                Evidence::Against(at(now))
            );
            assert_eq!(client.evidence("cpus:2", now), Evidence::Due(at(now)));
            client.is_probed("cpus:2", now);
            assert!(matches!(
                client.evidence("cpus:2", now),
                Evidence::Against(_)
            ));
            client.returns("cpus:2", now);
        }
    }

    #[test]
    fn a_probe_with_little_leaves_more_due() {
        let mut client = Client::new();
        client.returns("cpus:8", 0);
        client.is_probed("cpus:1", 5);
        client.returns("cpus:1", 5);
        assert_eq!(client.evidence("cpus:1", 6), Evidence::Against(at(7)));
        assert_eq!(client.evidence("cpus:2", 6), Evidence::Due(at(5)));
    }

    proptest! {
        /// Whatever is forgotten, evidence is never made up: something that contains the bundle
        /// was returned, and not longer ago than counts.
        #[test]
        fn says_no_more_than_was_returned(
            steps in proptest::collection::vec((1_u64..9, 1_u64..9, 0_u64..3, any::<bool>()), 1..60)
        ) {
            let mut client = Client::new();
            let (mut now, mut returned) = (0, Vec::new());
            for (cpus, mem, later, probe) in steps {
                now += later;
                let text = format!("cpus:{cpus};mem:{mem}");
                if probe && !returned.is_empty() {
                    client.is_probed(&text, now);
                } else {
                    client.returns(&text, now);
                }
                returned.push((cpus, mem, now));
                for cpus in 1..10 {
                    for mem in 1..10 {
                        let found = client.evidence(&format!("cpus:{cpus};mem:{mem}"), now);
                        let covering = returned.iter().filter(|(c, m, _)| *c >= cpus && *m >= mem);
                        let latest = covering.map(|(_, _, when)| *when).max();
                        prop_assert!(latest.is_some() || found == Evidence::None);
                        if let (Evidence::Against(until), Some(latest)) = (found, latest) {
                            prop_assert!(until <= at(latest + 16));
                        }
                    }
                }
                let new = client.evidence(&text, now);
                prop_assert!(matches!(new, Evidence::Against(_)), "{new:?}");
            }
        }
    }
}
