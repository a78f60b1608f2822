//! The order among siblings: least dominant share first, then least history, then the label.
//!
//! *History* is how often something was allocated below a node. It only decides between equal
//! shares, so that among equals nobody gets offers for ever while a twin gets none. When a sibling
//! joins, histories are levelled: the others keep their order but lose the gaps (1, 7, 7, 900
//! become 0, 1, 1, 2), and the newcomer starts at their average, rounded up. So a newcomer among n
//! siblings waits for at most n * n ties, and a veteran loses at most n ties to each newcomer, even
//! if newcomers never stop to arrive.

use std::cmp::Ordering;

use super::Share;

/// What a node's place among its siblings is decided by.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// The weighted dominant share.
    pub(crate) share: Share,
    /// How often something was allocated here, levelled.
    pub(crate) history: u64,
    /// The position by label among all siblings.
    pub(super) ordinal: u32,
    /// True until the first levelling.
    pub(super) newcomer: bool,
}

impl Standing {
    /// The standing of a node that joins.
    pub(super) const fn newcomer() -> Self {
        Self {
            share: Share::ZERO,
            history: 0,
            ordinal: 0,
            newcomer: true,
        }
    }

    /// True when this comes before the other in the DRF order.
    pub(crate) fn precedes(&self, other: &Self) -> bool {
        self.compare(other).is_lt()
    }

    /// The DRF order.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        self.share
            .cmp(&other.share)
            .then_with(|| self.history.cmp(&other.history))
            .then_with(|| self.ordinal.cmp(&other.ordinal))
    }
}

/// The history of each sibling after newcomers have joined; `None` stands for a newcomer.
pub(super) fn level(histories: &[Option<u64>]) -> Vec<u64> {
    let mut steps: Vec<u64> = histories.iter().flatten().copied().collect();
    let veterans = steps.len() as u64;
    steps.sort_unstable();
    steps.dedup();
    let rank = |history: &u64| steps.partition_point(|step| step < history) as u64;
    let sum: u64 = histories.iter().flatten().map(rank).sum();
    let average = if veterans == 0 {
        0
    } else {
        sum.div_ceil(veterans)
    };
    histories
        .iter()
        .map(|history| history.as_ref().map_or(average, rank))
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gaps_go_and_order_stays() {
        assert_eq!(
            level(&[Some(1), Some(7), None, Some(7), Some(900)]),
            [0, 1, 1, 1, 2]
        );
        assert_eq!(level(&[None, None]), [0, 0]);
        assert_eq!(level(&[Some(5), None]), [0, 0]);
    }

    #[test]
    fn an_endless_stream_of_newcomers_starves_no_veteran() {
        // Every round one newcomer joins and one sibling is allocated to; all have share zero.
        let mut histories = vec![0, 50, 900];
        let mut served = vec![0; histories.len()];
        for _ in 0..200 {
            let known: Vec<Option<u64>> = histories.iter().map(|have| Some(*have)).collect();
            histories = level(&[known, vec![None]].concat());
            served.push(0);
            let first = (0..histories.len())
                .min_by_key(|at| (histories[*at], *at))
                .unwrap();
            histories[first] += 1;
            served[first] += 1;
        }
        assert!(
            served[..3].iter().all(|times| *times > 0),
            "{:?}",
            &served[..3]
        );
    }

    proptest! {
        #[test]
        fn levelling_keeps_the_order_and_bounds_the_gap(
            histories in proptest::collection::vec(any::<u64>(), 1..20)
        ) {
            let known: Vec<Option<u64>> = histories.iter().map(|have| Some(*have)).collect();
            let levelled = level(&known);
            for a in 0..histories.len() {
                for b in 0..histories.len() {
                    prop_assert_eq!(histories[a].cmp(&histories[b]), levelled[a].cmp(&levelled[b]));
                }
                prop_assert!(levelled[a] < histories.len() as u64);
            }
        }
    }
}
