//! What the allocator knows of a framework, and of it under one of its roles.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::attributes::{OfferConstraints, RoleConstraints};
use crate::base::FrameworkId;
use crate::proto::v1;
use crate::resources::Quantities;
use crate::roles::Role;

use super::bits::{BitSet, SmallSet};
use super::sorter::Amounts;

/// What a framework can handle, as far as offers depend on it (`FrameworkInfo.Capability`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Agents that have gpus.
    GpuResources,
    /// Agents in another region than the master's.
    RegionAware,
    /// Reservations of more than one level.
    ReservationRefinement,
    /// Resources that may be taken back at any time.
    RevocableResources,
    /// Volumes that several tasks hold at once.
    SharedResources,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::GpuResources,
        Self::RegionAware,
        Self::ReservationRefinement,
        Self::RevocableResources,
        Self::SharedResources,
    ];

    /// The capability that a framework announces; none for those that offers do not depend on.
    #[must_use]
    pub fn from_wire(wire: v1::framework_info::capability::Type) -> Option<Self> {
        use v1::framework_info::capability::Type;
        match wire {
            Type::GpuResources => Some(Self::GpuResources),
            Type::RegionAware => Some(Self::RegionAware),
            Type::ReservationRefinement => Some(Self::ReservationRefinement),
            Type::RevocableResources => Some(Self::RevocableResources),
            Type::SharedResources => Some(Self::SharedResources),
            _ => None,
        }
    }

    /// The name in Mesos' protocol.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GpuResources => "GPU_RESOURCES",
            Self::RegionAware => "REGION_AWARE",
            Self::ReservationRefinement => "RESERVATION_REFINEMENT",
            Self::RevocableResources => "REVOCABLE_RESOURCES",
            Self::SharedResources => "SHARED_RESOURCES",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capabilities(u8);

impl Capabilities {
    /// What a framework announces, without what offers do not depend on.
    #[must_use]
    pub fn from_wire(announced: &[v1::framework_info::Capability]) -> Self {
        announced
            .iter()
            .filter_map(|capability| Capability::from_wire(capability.r#type()))
            .collect()
    }

    /// The set with one more.
    #[must_use]
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | capability.bit())
    }

    /// True when the capability is in the set.
    #[must_use]
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }

    /// True when all of `other` is in the set.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// What is in both.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in one of them.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The first of `wanted` that is not in the set.
    #[must_use]
    pub fn first_missing(self, wanted: Self) -> Option<Capability> {
        Capability::ALL
            .into_iter()
            .find(|capability| wanted.has(*capability) && !self.has(*capability))
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        capabilities.into_iter().fold(Self::default(), Self::with)
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = Capability::ALL.into_iter().filter(|one| self.has(*one));
        f.debug_set().entries(all).finish()
    }
}

/// What the master says of a framework.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameworkSpec {
    /// The roles that it wants offers for.
    pub roles: BTreeSet<Role>,
    /// Those of them that it wants none for at present.
    pub suppressed_roles: BTreeSet<Role>,
    /// What it can handle.
    pub capabilities: Capabilities,
    /// Smallest bundles worth an offer, by role, instead of the cluster's: an offer must contain
    /// one of them. An empty list takes anything.
    pub min_allocatable: BTreeMap<Role, Vec<Quantities>>,
    /// Which agents it wants offers of.
    pub constraints: OfferConstraints,
}

/// A framework.
#[derive(Clone, Debug)]
pub(super) struct Framework {
    pub(super) id: FrameworkId,
    pub(super) capabilities: Capabilities,
    /// False for one that only agents have told of: it is not subscribed yet.
    pub(super) added: bool,
    pub(super) active: bool,
    /// Its clients by role, those included that it only still holds something under.
    pub(super) clients: BTreeMap<Role, u32>,
}

/// A framework under one of its roles: what offers are made to.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) framework: u32,
    pub(super) role: Role,
    /// In the tree of shares.
    pub(super) node: u32,
    /// False when the framework has left the role but still holds something under it.
    pub(super) subscribed: bool,
    pub(super) suppressed: bool,
    pub(super) capabilities: Capabilities,
    /// Instead of the cluster's.
    pub(super) min_allocatable: Option<Vec<Amounts>>,
    /// The account of its role, while any role has quota.
    pub(super) account: u32,
    /// Which agents it wants; all without.
    pub(super) constraints: Option<Arc<RoleConstraints>>,
    /// The agents on which it holds something.
    pub(super) holds_on: SmallSet,
    /// The agents on which it has filters.
    pub(super) filters_on: BitSet,
    /// How many filters it has.
    pub(super) filters: usize,
}
