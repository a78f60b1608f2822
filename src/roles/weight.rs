//! How much more than its siblings a role may have.

use std::fmt;

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

    /// A weight that was checked before; nothing counts as the smallest weight.
    #[must_use]
    pub const fn from_thousandths(thousandths: u32) -> Self {
        Self(if thousandths == 0 { 1 } else { thousandths })
    }

    /// As `WeightInfo.weight` has it.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(Self::UNIT)
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

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(Weight::new(2.5).map(Weight::as_f64), Ok(2.5));
        assert_eq!(Weight::new(4e6).map(Weight::thousandths), Ok(4_000_000_000));
    }
}
