//! Dominant shares as exact ratios: no rounding, so equal is equal and nothing is zero.

use std::cmp::Ordering;
use std::fmt;

use super::Amounts;
use crate::roles::Weight;

/// A part of the cluster, divided by a weight.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    numerator: u128,
    denominator: u128,
}

impl Share {
    /// The share of whoever has nothing.
    pub const ZERO: Self = Self {
        numerator: 0,
        denominator: 1,
    };

    /// A ratio; zero when the whole is zero.
    #[must_use]
    pub const fn new(part: u128, whole: u128) -> Self {
        if part == 0 || whole == 0 {
            return Self::ZERO;
        }
        Self {
            numerator: part,
            denominator: whole,
        }
    }

    /// The largest of the parts that `allocated` is of `totals`, by name; names that no agent has
    /// are left out. Then divided by the weight.
    pub(crate) fn dominant(allocated: &Amounts, totals: &Amounts, weight: Weight) -> Self {
        let mut largest = Self::ZERO;
        for (number, part) in allocated.iter() {
            let share = Self::new(part, totals.get(number));
            if part > 0 && share > largest {
                largest = share;
            }
        }
        if weight != Weight::default() {
            largest.numerator *= u128::from(Weight::default().thousandths());
            largest.denominator *= u128::from(weight.thousandths());
        }
        largest
    }

    /// Part and whole.
    #[must_use]
    pub const fn ratio(&self) -> (u128, u128) {
        (self.numerator, self.denominator)
    }
}

/// Compares `a / b` with `c / d` by their continued fractions, which overflows never.
fn compare_wide(mut a: u128, mut b: u128, mut c: u128, mut d: u128) -> Ordering {
    loop {
        let whole = (a / b).cmp(&(c / d));
        if whole.is_ne() {
            return whole;
        }
        (a, c) = (a % b, c % d);
        match (a == 0, c == 0) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            // a/b < c/d exactly when d/c < b/a.
            (false, false) => (a, b, c, d) = (d, c, b, a),
        }
    }
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = self.ratio();
        let (c, d) = other.ratio();
        if b == d {
            return a.cmp(&c);
        }
        if (a | b | c | d) >> 64 == 0 {
            return (a * d).cmp(&(c * b));
        }
        compare_wide(a, b, c, d)
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Share {}

/// As a percentage with three decimals, cut off.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.numerator.saturating_mul(100_000) / self.denominator;
        write!(f, "{}.{:03}%", steps / 1000, steps % 1000)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_exactly_zero() {
        assert_eq!(Share::new(0, 7), Share::ZERO);
        assert_eq!(Share::new(7, 0), Share::ZERO);
        assert!(Share::new(1, u128::MAX) > Share::ZERO);
        assert_eq!(Share::new(1, 3), Share::new(2, 6));
        assert_eq!(Share::new(1, 8).to_string(), "12.500%");
    }

    proptest! {
        #[test]
        fn both_comparisons_agree(a: u64, b in 1_u64.., c: u64, d in 1_u64..) {
            let [a, b, c, d] = [a, b, c, d].map(u128::from);
            prop_assert_eq!(compare_wide(a, b, c, d), (a * d).cmp(&(c * b)));
        }

        #[test]
        fn scaling_changes_nothing(part in 0_u128..1 << 60, whole in 1_u128..1 << 60, by in 1_u128..1 << 60) {
            prop_assert_eq!(Share::new(part, whole), Share::new(part * by, whole * by));
        }

        #[test]
        fn more_weight_is_never_more_share(part in 0_u32.., whole in 1_u32.., light in 1_u32.., heavy in 1_u32..) {
            let (light, heavy) = (light.min(heavy), light.max(heavy));
            let mut amounts = [Amounts::default(), Amounts::default()];
            amounts[0].increase(0, part.into());
            amounts[1].increase(0, whole.into());
            let [allocated, totals] = amounts;
            prop_assert!(
                Share::dominant(&allocated, &totals, Weight::from_thousandths(heavy))
                    <= Share::dominant(&allocated, &totals, Weight::from_thousandths(light))
            );
        }
    }
}
