//! A bag of resources: amounts of the same thing are one entry.

use super::Resource;

/// Resources in canonical order: sorted, equal things summed, nothing empty. Sums of ranges and
/// sets are unions. Meant for the handful of entries that an agent, offer or task has.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Resources {
    items: Vec<Resource>,
}

impl Resources {
    /// No resources.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: Vec::new() }
    }

    /// The entries in canonical order.
    pub fn iter(&self) -> std::slice::Iter<'_, Resource> {
        self.items.iter()
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True when there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The entries that have the same key as `item`.
    fn same_key(&self, item: &Resource) -> std::ops::Range<usize> {
        let from = self
            .items
            .partition_point(|have| have.cmp_key(item).is_lt());
        let same = self.items[from..]
            .iter()
            .take_while(|have| have.cmp_key(item).is_eq())
            .count();
        from..from + same
    }

    /// The entry that `item` adds to or takes from: same key and, if indivisible, same value.
    fn matching(&self, item: &Resource) -> Option<usize> {
        self.same_key(item)
            .find(|at| item.is_divisible() || self.items[*at].value == item.value)
    }

    /// Adds one resource.
    pub fn add(&mut self, item: Resource) {
        if item.value.is_empty() {
            return;
        }
        let same = self.same_key(&item);
        if item.is_divisible() {
            match self.items.get_mut(same.start) {
                Some(have) if !same.is_empty() => have.value.add(&item.value),
                _ => self.items.insert(same.start, item),
            }
            return;
        }
        let at = same
            .clone()
            .find(|at| self.items[*at].value >= item.value)
            .unwrap_or(same.end);
        match self.items.get_mut(at) {
            Some(have) if item.is_shared() && at < same.end && have.value == item.value => {
                have.copies = have.copies.saturating_add(item.copies);
            }
            _ => self.items.insert(at, item),
        }
    }

    /// Adds all of `other`.
    pub fn add_all(&mut self, other: &Self) {
        if self.items.is_empty() {
            self.items.clone_from(&other.items);
            return;
        }
        for item in &other.items {
            self.add(item.clone());
        }
    }

    /// Takes one resource away, down to nothing. What is not there changes nothing.
    pub fn subtract(&mut self, item: &Resource) {
        let Some(at) = self.matching(item) else {
            return;
        };
        let have = &mut self.items[at];
        if item.is_divisible() {
            have.value.subtract(&item.value);
            if have.value.is_empty() {
                self.items.remove(at);
            }
        } else if have.copies > item.copies {
            have.copies -= item.copies;
        } else {
            self.items.remove(at);
        }
    }

    /// Takes all of `other` away, each down to nothing.
    pub fn subtract_all(&mut self, other: &Self) {
        for item in &other.items {
            self.subtract(item);
        }
    }

    /// True when all of `other` is here.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        let mut previous: Option<(usize, &Resource)> = None;
        other.items.iter().all(|item| {
            let Some(mut at) = self.matching(item) else {
                return false;
            };
            if item.is_divisible() {
                return self.items[at].value.contains(&item.value);
            }
            // Equal indivisible pieces that are not shared are entries of their own.
            if let Some((last, twin)) = previous
                && last >= at
                && twin == item
            {
                at = last + 1;
            }
            previous = Some((at, item));
            self.items.get(at).is_some_and(|have| {
                have.cmp_key(item).is_eq() && have.value == item.value && have.copies >= item.copies
            })
        })
    }

    /// True when all of `item` is here.
    #[must_use]
    pub fn contains_one(&self, item: &Resource) -> bool {
        item.value.is_empty()
            || self.matching(item).is_some_and(|at| {
                let have = &self.items[at];
                have.value.contains(&item.value) && have.copies >= item.copies
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
        Self {
            items: self.iter().filter(|item| keep(item)).cloned().collect(),
        }
    }

    /// Every entry changed by `change`, sorted and summed again.
    #[must_use]
    pub fn map(&self, change: impl Fn(Resource) -> Resource) -> Self {
        self.iter().cloned().map(change).collect()
    }
}

impl FromIterator<Resource> for Resources {
    fn from_iter<I: IntoIterator<Item = Resource>>(items: I) -> Self {
        let mut bag = Self::new();
        for item in items {
            bag.add(item);
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
        self.items.into_iter()
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
