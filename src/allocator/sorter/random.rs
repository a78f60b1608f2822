//! The other order: siblings in random order, each as likely to be next as its weight is of the
//! weights of those that are left (`--role_sorter=random`, `--framework_sorter=random`).

use std::fmt;
use std::str::FromStr;

use crate::base::Rng;

/// How siblings are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sorter {
    /// By their shares: least first.
    #[default]
    Drf,
    /// By chance, anew on each visit of an agent.
    Random,
}

/// A word that is no sorter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no sorter: must be drf or random")]
pub struct SorterError(String);

impl FromStr for Sorter {
    type Err = SorterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "drf" => Ok(Self::Drf),
            "random" => Ok(Self::Random),
            other => Err(SorterError(other.to_owned())),
        }
    }
}

impl fmt::Display for Sorter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drf => "drf",
            Self::Random => "random",
        })
    }
}

/// Siblings that are drawn one after the other.
#[derive(Clone, Debug)]
pub(super) struct Draw {
    left: Vec<u32>,
    /// Of those that are left, in thousandths; none when all are equal.
    weights: Option<Vec<u32>>,
}

impl Draw {
    /// Nobody is drawn yet.
    pub(super) fn new(siblings: &[u32], weight: impl Fn(u32) -> u32) -> Self {
        let weights: Vec<u32> = siblings.iter().map(|one| weight(*one)).collect();
        let equal = weights.windows(2).all(|pair| pair[0] == pair[1]);
        Self {
            left: siblings.to_vec(),
            weights: (!equal).then_some(weights),
        }
    }

    /// The next one.
    pub(super) fn next(&mut self, rng: &mut Rng) -> Option<u32> {
        if self.left.is_empty() {
            return None;
        }
        let at = match &mut self.weights {
            None => usize::try_from(rng.below(self.left.len() as u64)).expect("an index"),
            Some(weights) => {
                let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
                let mut drawn = rng.below(sum);
                let mine = |weight: &u32| {
                    let weight = u64::from(*weight);
                    let found = drawn < weight;
                    drawn = drawn.saturating_sub(weight);
                    found
                };
                let at = weights.iter().position(mine).unwrap_or(0);
                weights.swap_remove(at);
                at
            }
        };
        Some(self.left.swap_remove(at))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::{Draw, Sorter};
    use crate::base::Rng;

    fn order(weights: &[u32], rng: &mut Rng) -> Vec<u32> {
        let siblings: Vec<u32> = (0..).take(weights.len()).collect();
        let mut draw = Draw::new(&siblings, |one| weights[one as usize]);
        std::iter::from_fn(|| draw.next(rng)).collect()
    }

    #[test]
    fn the_first_is_drawn_by_weight() {
        let mut rng = Rng::seeded(7, "test");
        let mut first = [0_u32; 3];
        for _ in 0..6000 {
            first[order(&[1000, 2000, 3000], &mut rng)[0] as usize] += 1;
        }
        for (times, expected) in first.into_iter().zip([1000, 2000, 3000]) {
            assert!(times.abs_diff(expected) < 200, "{first:?}");
        }
        let mut second = 0;
        for _ in 0..6000 {
            let drawn = order(&[1, 1000, 3000], &mut rng);
            second += u32::from(drawn[..2] == [2, 1]);
        }
        assert!(second.abs_diff(4500) < 200, "{second}");
    }

    #[test]
    fn words() {
        assert_eq!("random".parse(), Ok(Sorter::Random));
        assert_eq!(Sorter::default().to_string().parse(), Ok(Sorter::Drf));
        let error = "fair".parse::<Sorter>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "'fair' is no sorter: must be drf or random"
        );
    }

    proptest! {
        #[test]
        fn everybody_is_drawn_once(weights in proptest::collection::vec(1_u32..5000, 0..20), seed: u64) {
            let mut drawn = order(&weights, &mut Rng::seeded(seed, "test"));
            drawn.sort_unstable();
            prop_assert!(drawn.into_iter().eq((0..).take(weights.len())));
        }
    }
}
