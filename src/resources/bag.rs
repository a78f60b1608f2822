//! A bag of resources: amounts of the same thing are one entry.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{Resource, Value};

/// Resources in canonical order: sorted, equal things summed, nothing empty. Sums of ranges and
/// sets are unions. Meant for the handful of entries that an agent, offer or task has. Cloning costs
/// a reference count; what is shared is copied when it is changed.
#[derive(Clone, Default)]
pub struct Resources {
    /// `None` when there is nothing, so that nothing needs no memory; may be empty, too.
    shared: Option<Arc<Vec<Resource>>>,
}

impl PartialEq for Resources {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self.items() == other.items()
    }
}

impl Eq for Resources {}

impl Hash for Resources {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.items().hash(state);
    }
}

impl Resources {
    /// No resources.
    #[must_use]
    pub const fn new() -> Self {
        Self { shared: None }
    }

    fn of(items: Vec<Resource>) -> Self {
        Self {
            shared: (!items.is_empty()).then(|| Arc::new(items)),
        }
    }

    fn items(&self) -> &[Resource] {
        self.shared.as_deref().map_or(&[], Vec::as_slice)
    }

    fn items_mut(&mut self) -> &mut Vec<Resource> {
        Arc::make_mut(self.shared.get_or_insert_default())
    }

    /// True when both are one and the same in memory; equal ones need not be.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.shared, &other.shared) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        }
    }

    /// The entries in canonical order.
    pub fn iter(&self) -> std::slice::Iter<'_, Resource> {
        self.items().iter()
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items().len()
    }

    /// True when there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items().is_empty()
    }

    /// The first entry that `item` adds to or takes from, or where it would be put.
    fn find(&self, item: &Resource) -> Result<usize, usize> {
        let items = self.items();
        let at = items.partition_point(|have| have.cmp_slot(item).is_lt());
        match items.get(at) {
            Some(have) if have.cmp_slot(item).is_eq() => Ok(at),
            _ => Err(at),
        }
    }

    /// Adds one resource.
    pub fn add(&mut self, item: Resource) {
        if item.value.is_empty() {
            return;
        }
        // Mostly they come in order.
        let last = self.items().last();
        if last.is_none_or(|last| last.cmp_slot(&item).is_lt()) {
            self.items_mut().push(item);
            return;
        }
        let found = self.find(&item);
        let items = self.items_mut();
        match found {
            Ok(at) if item.is_divisible() => items[at].value.add(&item.value),
            Ok(at) if item.is_shared() => {
                let have = &mut items[at];
                have.copies = have.copies.saturating_add(item.copies);
            }
            Ok(at) | Err(at) => items.insert(at, item),
        }
    }

    /// Adds all of `other`.
    pub fn add_all(&mut self, other: &Self) {
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        for item in other {
            // A clone would count references that all processors share.
            match self.find(item) {
                Ok(at) if item.is_divisible() => self.items_mut()[at].value.add(&item.value),
                _ => self.add(item.clone()),
            }
        }
    }

    /// Takes one resource away, down to nothing. What is not there changes nothing.
    pub fn subtract(&mut self, item: &Resource) {
        let Ok(at) = self.find(item) else {
            return;
        };
        let items = self.items_mut();
        let have = &mut items[at];
        if item.is_divisible() {
            have.value.subtract(&item.value);
            if have.value.is_empty() {
                items.remove(at);
            }
        } else if have.copies > item.copies {
            have.copies -= item.copies;
        } else {
            items.remove(at);
        }
    }

    /// Takes all of `other` away, each down to nothing.
    pub fn subtract_all(&mut self, other: &Self) {
        if self.is_same(other) {
            *self = Self::new();
            return;
        }
        for item in other {
            self.subtract(item);
        }
    }

    /// True when all of `other` is here.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        if self.is_same(other) {
            return true;
        }
        // Equal pieces that cannot be divided nor shared are entries of their own: the second one
        // needs a second entry here.
        let mut twins = 0;
        let mut previous: Option<&Resource> = None;
        other.iter().all(|item| {
            twins = match previous {
                Some(last) if last.cmp_slot(item).is_eq() => twins + 1,
                _ => 0,
            };
            previous = Some(item);
            self.find(item)
                .is_ok_and(|at| self.covers_at(at + twins, item))
        })
    }

    /// True when all of `item` is here.
    #[must_use]
    pub fn contains_one(&self, item: &Resource) -> bool {
        item.value.is_empty() || self.find(item).is_ok_and(|at| self.covers_at(at, item))
    }

    /// True when the entry at this place is the same thing as `item` and not less.
    fn covers_at(&self, at: usize, item: &Resource) -> bool {
        self.items().get(at).is_some_and(|have| {
            have.cmp_slot(item).is_eq()
                && have.value.contains(&item.value)
                && have.copies >= item.copies
        })
    }

    /// `self - other`, when `self` contains it.
    #[must_use]
    pub fn checked_sub(&self, other: &Self) -> Option<Self> {
        self.contains(other).then(|| self - other)
    }

    /// The entries for which `keep` says so.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&Resource) -> bool) -> Self {
        if self.iter().all(&keep) {
            return self.clone();
        }
        Self::of(self.iter().filter(|item| keep(item)).cloned().collect())
    }

    /// Every entry changed by `change`, sorted and summed again.
    #[must_use]
    pub fn map(&self, change: impl Fn(Resource) -> Resource) -> Self {
        self.iter().cloned().map(change).collect()
    }
}

impl FromIterator<Resource> for Resources {
    fn from_iter<I: IntoIterator<Item = Resource>>(items: I) -> Self {
        let mut items: Vec<Resource> = items.into_iter().collect();
        items.retain(|item| !item.value.is_empty());
        let in_order = |items: &[Resource]| items.is_sorted_by(|a, b| a.cmp_slot(b).is_lt());
        // Mostly they are in order already.
        if in_order(&items) {
            return Self::of(items);
        }
        items.sort_by(Resource::cmp_slot);
        if in_order(&items) {
            return Self::of(items);
        }
        // Equal things are summed all at once, so that long lists cost no time that matters.
        let mut bag = Self::new();
        for same in items.chunk_by(|a, b| a.cmp_slot(b).is_eq()) {
            let first = same[0].clone();
            if first.is_divisible() {
                let sum = Value::sum(first.value.kind(), same.iter().map(|item| &item.value));
                bag.items_mut().push(first.with_value(sum));
            } else {
                for item in same {
                    bag.add(item.clone());
                }
            }
        }
        bag
    }
}

impl From<Resource> for Resources {
    fn from(item: Resource) -> Self {
        Self::from_iter([item])
    }
}

impl<'a> IntoIterator for &'a Resources {
    type Item = &'a Resource;
    type IntoIter = std::slice::Iter<'a, Resource>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Resources {
    type Item = Resource;
    type IntoIter = std::vec::IntoIter<Resource>;

    fn into_iter(self) -> Self::IntoIter {
        self.shared
            .map(Arc::unwrap_or_clone)
            .unwrap_or_default()
            .into_iter()
    }
}

impl std::ops::AddAssign<&Resources> for Resources {
    fn add_assign(&mut self, other: &Self) {
        self.add_all(other);
    }
}

impl std::ops::SubAssign<&Resources> for Resources {
    fn sub_assign(&mut self, other: &Self) {
        self.subtract_all(other);
    }
}

impl std::ops::Add<&Resources> for &Resources {
    type Output = Resources;

    fn add(self, other: &Resources) -> Resources {
        let mut sum = self.clone();
        sum.add_all(other);
        sum
    }
}

impl std::ops::Sub<&Resources> for &Resources {
    type Output = Resources;

    fn sub(self, other: &Resources) -> Resources {
        let mut rest = self.clone();
        rest.subtract_all(other);
        rest
    }
}

impl<'a> std::iter::Sum<&'a Resources> for Resources {
    fn sum<I: Iterator<Item = &'a Resources>>(bags: I) -> Self {
        let mut sum = Self::new();
        for bag in bags {
            sum.add_all(bag);
        }
        sum
    }
}
