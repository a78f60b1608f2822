//! Limits by resource name. Unlike with amounts, zero is something: nothing at all is allowed.

use std::collections::BTreeMap;
use std::fmt;

use crate::resources::{Quantities, ResourceName, Scalar};

/// Upper bounds by resource name; what has none is unlimited.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Limits(BTreeMap<ResourceName, Scalar>);

impl Limits {
    /// The limit of one name; none is no limit.
    #[must_use]
    pub fn get(&self, name: &ResourceName) -> Option<Scalar> {
        self.0.get(name).copied()
    }

    /// True when nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The limits, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourceName, Scalar)> {
        self.0.iter().map(|(name, limit)| (name, *limit))
    }

    /// The first name of which there is more than the limit, with the limit and the amount.
    #[must_use]
    pub fn first_passed(&self, amounts: &Quantities) -> Option<(&ResourceName, Scalar, Scalar)> {
        self.iter()
            .map(|(name, limit)| (name, limit, amounts.get(name)))
            .find(|(_, limit, amount)| amount > limit)
    }
}

impl FromIterator<(ResourceName, Scalar)> for Limits {
    fn from_iter<I: IntoIterator<Item = (ResourceName, Scalar)>>(limits: I) -> Self {
        Self(limits.into_iter().collect())
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, limit)) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(";")?;
            }
            write!(f, "{name}:{limit}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
