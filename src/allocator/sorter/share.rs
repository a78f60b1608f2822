//! Dominant shares as exact ratios: no rounding, so equal is equal and nothing is zero.

use std::cmp::Ordering;
use std::fmt;

use super::Amounts;

/// Why a number is no weight.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum WeightError {
    /// Too small, negative or no number at all.
    #[error("weight {0} is below 0.001, the smallest weight")]
    TooSmall(f64),
    /// Shares would no longer be exact.
    #[error("weight {0} is above 4000000, the largest weight")]
    TooLarge(f64),
}

/// How much more than its siblings a role may have, in thousandths; 1 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight(u32);

impl Weight {
    const UNIT: u32 = 1000;
    const MAX: f64 = 4e6;

    /// A weight from outside (`WeightInfo.weight`), rounded to thousandths.
    pub fn new(weight: f64) -> Result<Self, WeightError> {
        if weight > Self::MAX {
            return Err(WeightError::TooLarge(weight));
        }
        // What is no number becomes zero here.
        let thousandths = (weight * f64::from(Self::UNIT)).round() as u32;
        if thousandths == 0 {
            return Err(WeightError::TooSmall(weight));
        }
        Ok(Self(thousandths))
    }

    /// In thousandths.
    #[must_use]
    pub const fn thousandths(self) -> u32 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(Self::UNIT)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / Self::UNIT, self.0 % Self::UNIT)
    }
}

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
        if weight.0 != Weight::UNIT {
            largest.numerator *= u128::from(Weight::UNIT);
            largest.denominator *= u128::from(weight.0);
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

    #[test]
    fn weights_are_positive_and_bounded() {
        for weight in [0.0, -1.0, 0.0004, f64::NAN, f64::NEG_INFINITY] {
            assert!(
                matches!(Weight::new(weight), Err(WeightError::TooSmall(_))),
                "{weight}"
            );
        }
        for weight in [4_000_000.1, f64::INFINITY] {
            assert_eq!(Weight::new(weight), Err(WeightError::TooLarge(weight)));
        }
        assert_eq!(Weight::new(1.0), Ok(Weight::default()));
        assert_eq!(Weight::new(2.5).map(Weight::thousandths), Ok(2500));
        assert_eq!(Weight::new(4e6).map(Weight::thousandths), Ok(4_000_000_000));
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
                Share::dominant(&allocated, &totals, Weight(heavy))
                    <= Share::dominant(&allocated, &totals, Weight(light))
            );
        }
    }
}
