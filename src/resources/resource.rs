//! One resource: a name, a value, and what sets it apart from others of that name.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::roles::{Role, RoleError};

use super::reservation::check_stack;
use super::{
    Disk, Kind, Ranges, Reservation, ReservationKind, ResourceName, Scalar, Value, ValueError,
};

/// Why something is not a resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// A problem of one item of a list; names the item.
    #[error("resource '{item}': {cause}")]
    Item {
        /// The item's text or name.
        item: String,
        /// What is wrong with it.
        #[source]
        cause: Box<ResourceError>,
    },
    /// The value is wrong.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// The role is wrong.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// Not `name:value`.
    #[error("write name:value or name(role):value, like cpus:4 or disk(ads):1000")]
    NotAnItem,
    /// More items than the bound.
    #[error("more than {0} resources are given")]
    TooManyItems(usize),
    /// The whole text is not a JSON list of resources.
    #[error("not a JSON list of resources: {0}")]
    Json(String),
    /// A name without text.
    #[error("a resource name must not be empty")]
    EmptyName,
    /// A name with a character that the text form needs.
    #[error("the name {0:?} must not hold white space or any of :;()[]{{}}")]
    BadName(String),
    /// A field that must be set is not.
    #[error("{0} must be set")]
    Missing(&'static str),
    /// A field that must not be set is.
    #[error("{0} must not be set")]
    Unexpected(&'static str),
    /// A predefined resource of the wrong kind.
    #[error("{name} is of kind {expected}, not {found}")]
    WrongKind {
        /// The predefined name.
        name: ResourceName,
        /// The kind it always has.
        expected: Kind,
        /// The kind given.
        found: Kind,
    },
    /// An enum value from a newer or broken peer.
    #[error("{field} has the unknown value {value}")]
    UnknownEnum {
        /// The field.
        field: &'static str,
        /// Its number or text.
        value: String,
    },
    /// A part of a graphics processor.
    #[error("gpus must be a whole number, not {0}")]
    FractionalGpus(Scalar),
    /// A reservation for everybody.
    #[error("a reservation for the role '*' is none")]
    ReservedToDefault,
    /// A reservation stack that does not narrow.
    #[error("reservation for '{inner}' does not refine the one for '{outer}'")]
    NotRefined {
        /// The role of the level below.
        outer: Role,
        /// The role of the level above it.
        inner: Role,
    },
    /// A static reservation on top of another reservation.
    #[error("the reservation for '{0}' refines another one, so it cannot be static")]
    StaticRefinement(Role),
    /// The two forms of reservations disagree.
    #[error("role '{0}' disagrees with the reservations: set only one of them")]
    MixedReservations(String),
    /// Disk information on something else.
    #[error("only disk can have disk information")]
    DiskInfoElsewhere,
    /// A persistence id that cannot be a directory name.
    #[error("persistence id {0:?} is not usable as a file name")]
    BadPersistenceId(String),
    /// A persistent volume on disk that is reserved to nobody.
    #[error("a persistent volume needs reserved disk")]
    UnreservedVolume,
    /// Shared, but not a persistent volume.
    #[error("only persistent volumes can be shared")]
    SharedElsewhere,
    /// Revocable and a persistent volume or reserved dynamically.
    #[error("a revocable resource can be neither reserved dynamically nor a persistent volume")]
    RevocableReserved,
}

impl ResourceError {
    /// Names the item that the error is about.
    pub(crate) fn of_item(self, item: &str) -> Self {
        const SHOWN: usize = 200;
        let mut item: String = item.chars().take(SHOWN + 1).collect();
        if item.chars().count() > SHOWN {
            item.pop();
            item.push_str("...");
        }
        Self::Item {
            item,
            cause: Box::new(self),
        }
    }
}

/// What most resources do not have; compared as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Traits {
    pub(super) reservations: Vec<Reservation>,
    pub(super) disk: Option<Disk>,
    pub(super) revocable: bool,
    pub(super) shared: bool,
    pub(super) provider: Option<Arc<str>>,
}

/// One resource. Cloning is cheap: text and rare parts are reference counted.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Resource {
    name: ResourceName,
    pub(super) value: Value,
    /// `None` when all of it is default.
    traits: Option<Arc<Traits>>,
    allocated: Option<Role>,
    /// How many holders a shared resource stands for; 1 for all others.
    pub(super) copies: u32,
}

impl Resource {
    /// A resource of any kind, unreserved. Refuses a predefined name with another kind, and parts
    /// of gpus.
    pub fn new(name: ResourceName, value: Value) -> Result<Self, ResourceError> {
        if let Some(expected) = name.predefined_kind()
            && expected != value.kind()
        {
            return Err(ResourceError::WrongKind {
                name,
                expected,
                found: value.kind(),
            });
        }
        match value.as_scalar() {
            Some(scalar) if name == ResourceName::GPUS && !scalar.is_whole() => {
                return Err(ResourceError::FractionalGpus(scalar));
            }
            _ => {}
        }
        Ok(Self::unchecked(name, value))
    }

    fn unchecked(name: ResourceName, value: Value) -> Self {
        Self {
            name,
            value,
            traits: None,
            allocated: None,
            copies: 1,
        }
    }

    /// Processor cores.
    #[must_use]
    pub fn cpus(amount: Scalar) -> Self {
        Self::unchecked(ResourceName::CPUS, Value::Scalar(amount))
    }

    /// Memory in megabytes.
    #[must_use]
    pub fn mem(megabytes: Scalar) -> Self {
        Self::unchecked(ResourceName::MEM, Value::Scalar(megabytes))
    }

    /// Work directory space in megabytes.
    #[must_use]
    pub fn disk_space(megabytes: Scalar) -> Self {
        Self::unchecked(ResourceName::DISK, Value::Scalar(megabytes))
    }

    /// Whole graphics processors.
    #[must_use]
    pub fn gpus(count: u32) -> Self {
        Self::unchecked(ResourceName::GPUS, Value::Scalar(Scalar::whole(count)))
    }

    /// Network ports.
    #[must_use]
    pub fn ports(ports: Ranges) -> Self {
        Self::unchecked(ResourceName::PORTS, Value::Ranges(ports))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &ResourceName {
        &self.name
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The amount of a scalar resource.
    #[must_use]
    pub fn scalar(&self) -> Option<Scalar> {
        self.value.as_scalar()
    }

    /// The reservation stack, widest role first; empty when unreserved.
    #[must_use]
    pub fn reservations(&self) -> &[Reservation] {
        self.traits
            .as_deref()
            .map_or(&[], |traits| &traits.reservations)
    }

    /// The role that it is reserved to: the narrowest of the stack.
    #[must_use]
    pub fn reserved_role(&self) -> Option<&Role> {
        self.reservations().last().map(|level| &level.role)
    }

    /// True when reserved to some role.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        !self.reservations().is_empty()
    }

    /// True when the innermost reservation was made by a call.
    #[must_use]
    pub fn is_dynamically_reserved(&self) -> bool {
        self.reservations()
            .last()
            .is_some_and(|level| level.kind == ReservationKind::Dynamic)
    }

    /// True when the stack has more than one level.
    #[must_use]
    pub fn is_refined(&self) -> bool {
        self.reservations().len() > 1
    }

    /// True when frameworks of `role` may be offered it: unreserved, or reserved to the role or to
    /// one above it.
    #[must_use]
    pub fn is_allocatable_to(&self, role: &Role) -> bool {
        self.reserved_role()
            .is_none_or(|reserved| reserved.covers(role))
    }

    /// What is special about a disk.
    #[must_use]
    pub fn disk(&self) -> Option<&Disk> {
        self.traits.as_deref()?.disk.as_ref()
    }

    /// True for a persistent volume.
    #[must_use]
    pub fn is_persistent_volume(&self) -> bool {
        self.disk().is_some_and(|disk| disk.persistence.is_some())
    }

    /// True when it may be taken back at any time.
    #[must_use]
    pub fn is_revocable(&self) -> bool {
        self.traits
            .as_deref()
            .is_some_and(|traits| traits.revocable)
    }

    /// True when several tasks can hold it at once.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.traits.as_deref().is_some_and(|traits| traits.shared)
    }

    /// How many holders this shared resource stands for; 1 when it is not shared.
    #[must_use]
    pub fn copies(&self) -> u32 {
        self.copies
    }

    /// The resource provider's id; none for the agent's own resources.
    #[must_use]
    pub fn provider(&self) -> Option<&str> {
        self.traits.as_deref()?.provider.as_deref()
    }

    /// The role that it is offered or allocated to.
    #[must_use]
    pub fn allocated_role(&self) -> Option<&Role> {
        self.allocated.as_ref()
    }

    fn edit(&mut self, change: impl FnOnce(&mut Traits)) {
        let mut traits = self.traits.take().unwrap_or_default();
        change(Arc::make_mut(&mut traits));
        self.traits = (*traits != Traits::default()).then_some(traits);
    }

    /// The same resource, allocated to `role` or to nobody.
    #[must_use]
    pub fn with_allocated(mut self, role: Option<Role>) -> Self {
        self.allocated = role;
        self
    }

    /// The same resource with another amount of the same kind.
    #[must_use]
    pub fn with_value(mut self, value: Value) -> Self {
        debug_assert_eq!(self.value.kind(), value.kind());
        self.value = value;
        self
    }

    /// The same resource with this reservation stack, widest role first.
    pub fn with_reservations(mut self, stack: Vec<Reservation>) -> Result<Self, ResourceError> {
        check_stack(&stack)?;
        self.edit(|traits| traits.reservations = stack);
        self.check()?;
        Ok(self)
    }

    /// The same resource, reserved once more.
    pub fn reserve(self, level: Reservation) -> Result<Self, ResourceError> {
        let mut stack = self.reservations().to_vec();
        stack.push(level);
        self.with_reservations(stack)
    }

    /// The same resource without its innermost reservation.
    #[must_use]
    pub fn unreserve(mut self) -> Self {
        self.edit(|traits| drop(traits.reservations.pop()));
        self
    }

    /// The same resource, reserved to nobody.
    #[must_use]
    pub fn unreserved(mut self) -> Self {
        self.edit(|traits| traits.reservations.clear());
        self
    }

    /// The same disk without the volume on it: not persistent, not shared. Where it comes from stays.
    #[must_use]
    pub fn without_volume(mut self) -> Self {
        self.copies = 1;
        self.edit(|traits| {
            traits.shared = false;
            if let Some(disk) = &mut traits.disk {
                (disk.persistence, disk.volume) = (None, None);
            }
            drop(traits.disk.take_if(|disk| *disk == Disk::default()));
        });
        self
    }

    /// The same resource as the agent's flags speak of it: without volume and dynamic reservations.
    #[must_use]
    pub fn as_configured(self) -> Self {
        let mut plain = self.without_volume();
        plain.edit(|traits| {
            let fixed = |level: &Reservation| level.kind == ReservationKind::Static;
            traits.reservations.retain(fixed);
        });
        plain
    }

    /// True when operations have made it what it is: reserved dynamically, or a persistent volume.
    #[must_use]
    pub fn is_converted(&self) -> bool {
        self.is_dynamically_reserved() || self.is_persistent_volume()
    }

    /// The same resource, held by one.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.copies = 1;
        self
    }

    /// The same resource with this disk information; one that says nothing is as none.
    pub fn with_disk(mut self, disk: Option<Disk>) -> Result<Self, ResourceError> {
        self.edit(|traits| traits.disk = disk);
        self.check()?;
        self.edit(|traits| drop(traits.disk.take_if(|disk| *disk == Disk::default())));
        Ok(self)
    }

    /// The same resource, revocable or not.
    pub fn with_revocable(mut self, revocable: bool) -> Result<Self, ResourceError> {
        self.edit(|traits| traits.revocable = revocable);
        self.check()?;
        Ok(self)
    }

    /// The same resource, shared or not.
    pub fn with_shared(mut self, shared: bool) -> Result<Self, ResourceError> {
        self.edit(|traits| traits.shared = shared);
        self.check()?;
        Ok(self)
    }

    /// The same resource, owned by this resource provider.
    #[must_use]
    pub fn with_provider(mut self, provider: Option<Arc<str>>) -> Self {
        self.edit(|traits| traits.provider = provider);
        self
    }

    /// The rules that hold between parts.
    fn check(&self) -> Result<(), ResourceError> {
        if let Some(disk) = self.disk() {
            if self.name != ResourceName::DISK {
                return Err(ResourceError::DiskInfoElsewhere);
            }
            disk.check()?;
        }
        let volume = self.is_persistent_volume();
        if volume && !self.is_reserved() {
            return Err(ResourceError::UnreservedVolume);
        }
        if self.is_shared() && !volume {
            return Err(ResourceError::SharedElsewhere);
        }
        if self.is_revocable() && (volume || self.is_dynamically_reserved()) {
            return Err(ResourceError::RevocableReserved);
        }
        Ok(())
    }

    /// True when two amounts of this resource can be one: not for volumes and whole disks.
    pub(super) fn is_divisible(&self) -> bool {
        self.disk().is_none_or(|disk| !disk.is_exclusive())
    }

    /// Orders by everything but the amount: name, kind, traits, allocated role. Pieces that cannot
    /// be divided differ by their amount too. Equal means that one adds to the other.
    pub(super) fn cmp_slot(&self, other: &Self) -> Ordering {
        let traits = |a: &Option<Arc<Traits>>, b: &Option<Arc<Traits>>| match (a, b) {
            (Some(a), Some(b)) if Arc::ptr_eq(a, b) => Ordering::Equal,
            (a, b) => a.cmp(b),
        };
        self.name
            .cmp(&other.name)
            .then_with(|| self.value.kind().cmp(&other.value.kind()))
            .then_with(|| traits(&self.traits, &other.traits))
            .then_with(|| self.allocated.cmp(&other.allocated))
            .then_with(|| match self.is_divisible() {
                true => Ordering::Equal,
                false => self.value.cmp(&other.value),
            })
    }
}
