//! Scalar amounts by position: resource names are numbered once, then sums are plain loops.

use crate::quota::Limits;
use crate::resources::{Quantities, Resource, ResourceName, Resources, Scalar};

/// The number of every scalar resource name that was ever seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kinds {
    names: Vec<ResourceName>,
}

impl Kinds {
    /// The number of a name; a new one gets the next.
    pub(crate) fn number(&mut self, name: &ResourceName) -> usize {
        if let Some(at) = self.names.iter().position(|known| known == name) {
            return at;
        }
        self.names.push(name.clone());
        self.names.len() - 1
    }

    /// The name of a number.
    pub(crate) fn name(&self, number: usize) -> &ResourceName {
        &self.names[number]
    }

    /// Limits by number.
    pub(crate) fn limits(&mut self, limits: &Limits) -> Vec<(usize, u128)> {
        let limits = limits.iter();
        limits
            .map(|(name, limit)| (self.number(name), thousandths(limit)))
            .collect()
    }

    /// The same amounts by name.
    pub(crate) fn quantities(&self, amounts: &Amounts) -> Quantities {
        let named = amounts.iter().filter(|(_, amount)| *amount > 0);
        named
            .map(|(number, amount)| (self.name(number).clone(), scalar(amount)))
            .collect()
    }

    /// What quota counts of a bag: scalars that are neither reserved nor revocable.
    pub(crate) fn quota_amounts(&mut self, resources: &Resources) -> Amounts {
        let mut amounts = Amounts::default();
        for item in resources {
            if let Some(scalar) = counts_for_quota(item) {
                amounts.increase(self.number(item.name()), thousandths(scalar));
            }
        }
        amounts
    }

    /// Scalar amounts of a bag, reserved or not. Ports and sets do not count.
    pub(crate) fn amounts(&mut self, resources: &Resources) -> Amounts {
        let mut amounts = Amounts::default();
        for item in resources {
            if let Some(scalar) = item.scalar() {
                amounts.increase(self.number(item.name()), thousandths(scalar));
            }
        }
        amounts
    }

    /// The same amounts by number.
    pub(crate) fn of_quantities(&mut self, quantities: &Quantities) -> Amounts {
        let mut amounts = Amounts::default();
        for (name, scalar) in quantities.iter() {
            amounts.increase(self.number(name), thousandths(scalar));
        }
        amounts
    }
}

/// How much of its role's quota a resource takes when it is allocated: nothing if it is reserved,
/// as reservations count whether they are used or not, or revocable.
pub(crate) fn counts_for_quota(item: &Resource) -> Option<Scalar> {
    if item.is_reserved() || item.is_revocable() {
        return None;
    }
    item.scalar()
}

/// An amount as a scalar, which stops at the largest.
pub(crate) fn scalar(amount: u128) -> Scalar {
    Scalar::from_thousandths(i64::try_from(amount).unwrap_or(i64::MAX))
}

fn thousandths(scalar: Scalar) -> u128 {
    u128::try_from(scalar.thousandths()).expect("scalars are not negative")
}

/// Amounts in thousandths by resource number; what is beyond the end is zero. Wide enough that no
/// sum over agents overflows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Amounts(Vec<u128>);

impl Amounts {
    /// Nothing at all.
    pub(crate) const fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn increase(&mut self, number: usize, by: u128) {
        if number >= self.0.len() {
            self.0.resize(number + 1, 0);
        }
        self.0[number] += by;
    }

    /// There is nothing of this resource any more.
    pub(crate) fn clear(&mut self, number: usize) {
        if let Some(amount) = self.0.get_mut(number) {
            *amount = 0;
        }
    }

    /// The amount of one resource.
    pub(crate) fn get(&self, number: usize) -> u128 {
        self.0.get(number).copied().unwrap_or(0)
    }

    /// Adds all of `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        if other.0.len() > self.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (have, more) in self.0.iter_mut().zip(&other.0) {
            *have += more;
        }
    }

    /// Takes away what was added before.
    pub(crate) fn subtract(&mut self, other: &Self) {
        for (number, less) in other.0.iter().enumerate() {
            if *less > 0 {
                self.0[number] = self.0[number]
                    .checked_sub(*less)
                    .expect("only what was added is taken away");
            }
        }
    }

    /// What is here without `other`, each amount down to zero.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        let less = self
            .iter()
            .map(|(number, have)| have.saturating_sub(other.get(number)));
        Self(less.collect())
    }

    /// The larger of both amounts, by number.
    pub(crate) fn larger(&self, other: &Self) -> Self {
        let (long, short) = if self.0.len() < other.0.len() {
            (other, self)
        } else {
            (self, other)
        };
        let largest = long
            .iter()
            .map(|(number, have)| have.max(short.get(number)));
        Self(largest.collect())
    }

    /// True when all amounts are zero.
    pub(crate) fn is_zero(&self) -> bool {
        self.0.iter().all(|amount| *amount == 0)
    }

    /// True when no amount of `other` is above the one here.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        (0..other.0.len()).all(|number| self.get(number) >= other.0[number])
    }

    /// The amounts with their resource numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, u128)> + '_ {
        self.0.iter().copied().enumerate()
    }
}

/// Trailing zeroes make no difference.
impl PartialEq for Amounts {
    fn eq(&self, other: &Self) -> bool {
        self.contains(other) && other.contains(self)
    }
}
