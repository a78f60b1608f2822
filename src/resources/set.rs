//! Resources that are named one by one: devices, licences.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::ValueError;

/// Most items that one value from outside may have.
const ITEMS_MAX: usize = 65_536;

/// A set of names. Cloning is cheap.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set(Arc<BTreeSet<String>>);

impl Set {
    /// Items from outside: none may be empty or given twice.
    pub fn checked(items: Vec<String>) -> Result<Self, ValueError> {
        if items.len() > ITEMS_MAX {
            return Err(ValueError::TooManyItems(items.len(), ITEMS_MAX));
        }
        let mut set = BTreeSet::new();
        for item in items {
            if item.is_empty() {
                return Err(ValueError::EmptyItem);
            }
            if set.contains(&item) {
                return Err(ValueError::RepeatedItem(item));
            }
            set.insert(item);
        }
        Ok(Self(Arc::new(set)))
    }

    /// Reads `{a,b}`.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let inner = text
            .trim()
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .filter(|inner| !inner.contains(['{', '}']))
            .ok_or_else(|| ValueError::NotASet(text.trim().to_owned()))?;
        if inner.trim().is_empty() {
            return Ok(Self::default());
        }
        Self::checked(
            inner
                .split(',')
                .map(|item| item.trim().to_owned())
                .collect(),
        )
    }

    /// The items, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when every item of `other` is in this set.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.0.is_superset(&other.0)
    }

    /// The items in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        Self(Arc::new(self.0.union(&other.0).cloned().collect()))
    }

    /// The items of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self(Arc::new(self.0.difference(&other.0).cloned().collect()))
    }
}

impl FromIterator<String> for Set {
    fn from_iter<I: IntoIterator<Item = String>>(items: I) -> Self {
        Self(Arc::new(items.into_iter().collect()))
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, item) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(item)?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
