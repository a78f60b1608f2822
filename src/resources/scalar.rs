//! An amount that can be divided: cpus, megabytes, or anything an operator counts.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};

use super::ValueError;

/// Steps per unit: Mesos keeps three decimals.
const STEPS: i64 = 1000;
/// Largest amount taken from outside, in units: an exabyte in megabytes. Thousands of agents of
/// that size can be added up before the sum stops growing.
const UNITS_MAX: f64 = (1_u64 << 40) as f64;

/// A non-negative amount in thousandths. Sums stop at the largest value, differences at zero.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scalar(i64);

impl Scalar {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many whole units.
    #[must_use]
    pub const fn whole(units: u32) -> Self {
        Self(units as i64 * STEPS)
    }

    /// So many thousandths; a negative number gives zero.
    #[must_use]
    pub const fn from_thousandths(steps: i64) -> Self {
        Self(if steps < 0 { 0 } else { steps })
    }

    /// Rounds to the nearest thousandth, halves away from zero, as Mesos does. Refuses what is
    /// negative, not finite or above 2^40.
    pub fn from_f64(value: f64) -> Result<Self, ValueError> {
        if !value.is_finite() {
            return Err(ValueError::NotFinite(value.to_string()));
        }
        if value < 0.0 {
            return Err(ValueError::Negative(value.to_string()));
        }
        if value > UNITS_MAX {
            return Err(ValueError::TooLarge(value.to_string()));
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 2^40 * 1000")]
        Ok(Self((value * STEPS as f64).round() as i64))
    }

    /// Reads a decimal number.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        let number: f64 = text
            .parse()
            .map_err(|_| ValueError::NotANumber(text.to_owned()))?;
        Self::from_f64(number)
    }

    /// The amount in thousandths.
    #[must_use]
    pub const fn thousandths(self) -> i64 {
        self.0
    }

    /// The amount in units, as protocol messages carry it.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / STEPS as f64
    }

    /// True for nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// True for a number of whole units.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.0 % STEPS == 0
    }
}

impl Add for Scalar {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Scalar {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self((self.0 - other.0).max(0))
    }
}

impl AddAssign for Scalar {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Scalar {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Scalar {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / STEPS, self.0 % STEPS);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let decimals = format!("{rest:03}");
        write!(f, "{whole}.{}", decimals.trim_end_matches('0'))
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
