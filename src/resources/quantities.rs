//! Amounts by name alone, for shares, quota and minimums.

use std::fmt;

use super::{ResourceName, Scalar};

/// Scalar amounts by resource name; names with nothing are absent.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Quantities(Vec<(ResourceName, Scalar)>);

impl Quantities {
    /// No amounts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn find(&self, name: &ResourceName) -> Result<usize, usize> {
        self.0.binary_search_by(|(have, _)| have.cmp(name))
    }

    /// The amount of one name; zero when absent.
    #[must_use]
    pub fn get(&self, name: &ResourceName) -> Scalar {
        self.find(name).map_or(Scalar::ZERO, |at| self.0[at].1)
    }

    /// Sets the amount of one name.
    pub fn set(&mut self, name: ResourceName, amount: Scalar) {
        match (self.find(&name), amount.is_zero()) {
            (Ok(at), true) => drop(self.0.remove(at)),
            (Ok(at), false) => self.0[at].1 = amount,
            (Err(_), true) => {}
            (Err(at), false) => self.0.insert(at, (name, amount)),
        }
    }

    /// Adds to the amount of one name.
    pub fn add_one(&mut self, name: &ResourceName, amount: Scalar) {
        match self.find(name) {
            Ok(at) => self.0[at].1 += amount,
            Err(_) if amount.is_zero() => {}
            Err(at) => self.0.insert(at, (name.clone(), amount)),
        }
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            self.add_one(name, *amount);
        }
    }

    /// Takes `other` away, each name down to zero.
    pub fn subtract(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            if let Ok(at) = self.find(name) {
                self.0[at].1 -= *amount;
                if self.0[at].1.is_zero() {
                    self.0.remove(at);
                }
            }
        }
    }

    /// True when no amount of `other` is above the one here.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other
            .0
            .iter()
            .all(|(name, amount)| self.get(name) >= *amount)
    }

    /// True when there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The amounts, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourceName, Scalar)> {
        self.0.iter().map(|(name, amount)| (name, *amount))
    }
}

impl FromIterator<(ResourceName, Scalar)> for Quantities {
    fn from_iter<I: IntoIterator<Item = (ResourceName, Scalar)>>(amounts: I) -> Self {
        let mut sums = Self::default();
        for (name, amount) in amounts {
            sums.add_one(&name, amount);
        }
        sums
    }
}

impl fmt::Display for Quantities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, amount)) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(";")?;
            }
            write!(f, "{name}:{amount}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Quantities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
