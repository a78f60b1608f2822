//! Questions to a bag of resources: by reservation, by allocation, by name.

use std::collections::BTreeMap;

use crate::roles::Role;

use super::{Kind, Quantities, Ranges, Resource, ResourceName, Resources, Scalar};

/// Least cpus that make an offer worth having (Mesos' `MIN_CPUS`).
const CPUS_MIN: Scalar = Scalar::from_thousandths(10);
/// Least memory that makes an offer worth having, in megabytes (Mesos' `MIN_MEM`).
const MEM_MIN: Scalar = Scalar::whole(32);

impl Resources {
    /// What is reserved to nobody.
    #[must_use]
    pub fn unreserved(&self) -> Self {
        self.filter(|item| !item.is_reserved())
    }

    /// What is reserved to any role.
    #[must_use]
    pub fn reserved(&self) -> Self {
        self.filter(Resource::is_reserved)
    }

    /// What is reserved to exactly this role.
    #[must_use]
    pub fn reserved_to(&self, role: &Role) -> Self {
        self.filter(|item| item.reserved_role() == Some(role))
    }

    /// What frameworks of `role` may be offered: unreserved, or reserved to the role or one above.
    #[must_use]
    pub fn allocatable_to(&self, role: &Role) -> Self {
        self.filter(|item| item.is_allocatable_to(role))
    }

    /// Everything reserved, by the role that it is reserved to.
    #[must_use]
    pub fn reservations(&self) -> BTreeMap<Role, Self> {
        let mut by_role: BTreeMap<Role, Self> = BTreeMap::new();
        for item in self {
            if let Some(role) = item.reserved_role() {
                by_role.entry(role.clone()).or_default().add(item.clone());
            }
        }
        by_role
    }

    /// Everything, as if reserved to nobody.
    #[must_use]
    pub fn to_unreserved(&self) -> Self {
        self.map(Resource::unreserved)
    }

    /// What may be taken back at any time.
    #[must_use]
    pub fn revocable(&self) -> Self {
        self.filter(Resource::is_revocable)
    }

    /// What may not be taken back.
    #[must_use]
    pub fn nonrevocable(&self) -> Self {
        self.filter(|item| !item.is_revocable())
    }

    /// What several holders can have at once.
    #[must_use]
    pub fn shared(&self) -> Self {
        self.filter(Resource::is_shared)
    }

    /// What only one holder can have.
    #[must_use]
    pub fn nonshared(&self) -> Self {
        self.filter(|item| !item.is_shared())
    }

    /// The entries that are amounts.
    #[must_use]
    pub fn scalars(&self) -> Self {
        self.filter(|item| item.value().kind() == Kind::Scalar)
    }

    /// The entries of one name.
    #[must_use]
    pub fn named(&self, name: &ResourceName) -> Self {
        self.filter(|item| item.name() == name)
    }

    /// The same resources, allocated to `role`.
    #[must_use]
    pub fn allocate(&self, role: &Role) -> Self {
        self.map(|item| item.with_allocated(Some(role.clone())))
    }

    /// The same resources, with `role` where no allocation is named: what the master does for
    /// frameworks of a single role.
    #[must_use]
    pub fn allocate_missing(&self, role: &Role) -> Self {
        self.map(|item| {
            let known = item.allocated_role().cloned();
            item.with_allocated(Some(known.unwrap_or_else(|| role.clone())))
        })
    }

    /// The same resources, allocated to nobody.
    #[must_use]
    pub fn unallocated(&self) -> Self {
        if self.iter().all(|item| item.allocated_role().is_none()) {
            return self.clone();
        }
        self.map(|item| item.with_allocated(None))
    }

    /// Everything allocated, by role; what is allocated to nobody is left out.
    #[must_use]
    pub fn allocations(&self) -> BTreeMap<Role, Self> {
        let mut by_role: BTreeMap<Role, Self> = BTreeMap::new();
        for item in self {
            if let Some(role) = item.allocated_role() {
                by_role.entry(role.clone()).or_default().add(item.clone());
            }
        }
        by_role
    }

    /// The one role that everything here is allocated to; none when there are several or none.
    #[must_use]
    pub fn allocated_role(&self) -> Option<&Role> {
        let role = self.iter().next()?.allocated_role()?;
        self.iter()
            .all(|item| item.allocated_role() == Some(role))
            .then_some(role)
    }

    /// Scalar amounts by name. A shared resource counts once, however many hold it.
    #[must_use]
    pub fn quantities(&self) -> Quantities {
        let mut sums = Quantities::new();
        for item in self {
            if let Some(amount) = item.scalar() {
                sums.add_one(item.name(), amount);
            }
        }
        sums
    }

    /// The amount of one scalar resource, reserved or not.
    #[must_use]
    pub fn scalar(&self, name: &ResourceName) -> Scalar {
        self.iter()
            .filter(|item| item.name() == name)
            .filter_map(Resource::scalar)
            .sum()
    }

    /// Processor cores.
    #[must_use]
    pub fn cpus(&self) -> Scalar {
        self.scalar(&ResourceName::CPUS)
    }

    /// Memory in megabytes.
    #[must_use]
    pub fn mem(&self) -> Scalar {
        self.scalar(&ResourceName::MEM)
    }

    /// Disk in megabytes.
    #[must_use]
    pub fn disk(&self) -> Scalar {
        self.scalar(&ResourceName::DISK)
    }

    /// Graphics processors.
    #[must_use]
    pub fn gpus(&self) -> Scalar {
        self.scalar(&ResourceName::GPUS)
    }

    /// All ports, reserved or not.
    #[must_use]
    pub fn ports(&self) -> Ranges {
        self.iter()
            .filter(|item| *item.name() == ResourceName::PORTS)
            .filter_map(|item| item.value().as_ranges())
            .fold(Ranges::default(), |all, ranges| all.union(ranges))
    }

    /// True when there is enough for an offer to be worth making: 0.01 cpus or 32 MB of memory
    /// (`--min_allocatable_resources` by default).
    #[must_use]
    pub fn is_allocatable(&self) -> bool {
        self.cpus() >= CPUS_MIN || self.mem() >= MEM_MIN
    }
}
