//! Resources to and from their protobuf messages (Mesos' `Resource` message documentation).

use std::collections::BTreeMap;

use crate::proto::v1;
use crate::proto::v1::resource::disk_info::source::Type as SourceType;
use crate::proto::v1::resource::reservation_info::Type as ReservationType;
use crate::proto::v1::resource::{DiskInfo, ReservationInfo, disk_info};
use crate::proto::v1::value::Type as ValueType;
use crate::roles::Role;

use super::{
    Disk, DiskSource, Label, Labels, Persistence, Quantities, Range, Ranges, Reservation,
    ReservationKind, Resource, ResourceError, ResourceName, Resources, Scalar, Set, SourceKind,
    Value, Volume,
};

/// Most resources of one message's list.
const MESSAGES_MAX: usize = 10_000;

/// How reservations are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservationForm {
    /// The field `reservations`: for agents, checkpoints, and frameworks with the capability
    /// RESERVATION_REFINEMENT.
    Stack,
    /// The fields `role` and `reservation`: for other frameworks. It cannot say a refinement;
    /// such resources are written as a stack, and are never offered to them.
    Flat,
    /// Both, as replies to operators have it; a refinement only as a stack.
    Both,
}

impl Resources {
    /// Reads a message's list; an error names the resource. Empty values are dropped.
    pub fn from_proto(messages: &[v1::Resource]) -> Result<Self, ResourceError> {
        if messages.len() > MESSAGES_MAX {
            return Err(ResourceError::TooManyItems(MESSAGES_MAX));
        }
        messages.iter().map(Resource::from_proto).collect()
    }

    /// Writes a message's list, in canonical order. A shared resource is repeated once per holder.
    #[must_use]
    pub fn to_proto(&self, form: ReservationForm) -> Vec<v1::Resource> {
        let mut messages = Vec::with_capacity(self.len());
        for item in self {
            let message = item.to_proto(form);
            for _ in 1..item.copies() {
                messages.push(message.clone());
            }
            messages.push(message);
        }
        messages
    }
}

impl Resource {
    /// Reads a message in either form of reservations; an error names the resource.
    pub fn from_proto(message: &v1::Resource) -> Result<Self, ResourceError> {
        Self::read_message(message).map_err(|error| error.of_item(&message.name))
    }

    /// As [`Self::from_proto`], without the name in the error.
    pub(super) fn read_message(message: &v1::Resource) -> Result<Self, ResourceError> {
        read(message)
    }

    /// Writes a message.
    #[must_use]
    pub fn to_proto(&self, form: ReservationForm) -> v1::Resource {
        let mut message = v1::Resource {
            name: self.name().as_str().to_owned(),
            disk: self.disk().map(write_disk),
            revocable: self.is_revocable().then(Default::default),
            shared: self.is_shared().then(Default::default),
            provider_id: self.provider().map(v1::ResourceProviderId::from),
            allocation_info: self
                .allocated_role()
                .map(|role| v1::resource::AllocationInfo {
                    role: Some(role.to_string()),
                }),
            ..v1::Resource::default()
        };
        match self.value() {
            Value::Scalar(scalar) => {
                message.set_type(ValueType::Scalar);
                message.scalar = Some(v1::value::Scalar {
                    value: scalar.as_f64(),
                });
            }
            Value::Ranges(ranges) => {
                message.set_type(ValueType::Ranges);
                message.ranges = Some(v1::value::Ranges::from(ranges));
            }
            Value::Set(set) => {
                message.set_type(ValueType::Set);
                message.set = Some(v1::value::Set {
                    item: set.iter().map(str::to_owned).collect(),
                });
            }
        }
        write_reservations(self.reservations(), form, &mut message);
        message
    }
}

impl Quantities {
    /// Reads scalars by name, as quota and offer filters carry them.
    pub fn from_proto(
        amounts: &BTreeMap<String, v1::value::Scalar>,
    ) -> Result<Self, ResourceError> {
        amounts
            .iter()
            .map(|(name, amount)| {
                let read = || Ok((ResourceName::parse(name)?, Scalar::from_f64(amount.value)?));
                read().map_err(|error: ResourceError| error.of_item(name))
            })
            .collect()
    }
}

impl From<&Ranges> for v1::value::Ranges {
    fn from(ranges: &Ranges) -> Self {
        let message = |range: Range| v1::value::Range {
            begin: range.begin,
            end: range.end,
        };
        Self {
            range: ranges.iter().map(message).collect(),
        }
    }
}

impl Ranges {
    /// Reads a message: intervals in any order, none overlapping another.
    pub fn from_proto(message: &v1::value::Ranges) -> Result<Self, super::ValueError> {
        let ranges: Result<Vec<Range>, _> = message
            .range
            .iter()
            .map(|range| Range::new(range.begin, range.end))
            .collect();
        Self::checked(ranges?)
    }
}

fn read(message: &v1::Resource) -> Result<Resource, ResourceError> {
    let name = ResourceName::parse(&message.name)?;
    let role = message
        .allocation_info
        .as_ref()
        .map(|info| match &info.role {
            Some(role) => Ok(Role::parse(role)?),
            None => Err(ResourceError::Missing("allocation_info.role")),
        })
        .transpose()?;
    let provider = message.provider_id.as_ref();
    Resource::new(name, read_value(message)?)?
        .with_allocated(role)
        .with_provider(provider.map(|id| id.value.as_str().into()))
        .with_reservations(read_reservations(message)?)?
        .with_disk(message.disk.as_ref().map(read_disk).transpose()?)?
        .with_revocable(message.revocable.is_some())?
        .with_shared(message.shared.is_some())
}

fn read_value(message: &v1::Resource) -> Result<Value, ResourceError> {
    let kind = ValueType::try_from(message.r#type).map_err(|_| ResourceError::UnknownEnum {
        field: "type",
        value: message.r#type.to_string(),
    })?;
    let present = [
        ("scalar", message.scalar.is_some(), ValueType::Scalar),
        ("ranges", message.ranges.is_some(), ValueType::Ranges),
        ("set", message.set.is_some(), ValueType::Set),
    ];
    for (field, is_set, of) in present {
        if is_set && kind != of {
            return Err(ResourceError::Unexpected(field));
        }
    }
    Ok(match kind {
        ValueType::Scalar => {
            let scalar = message.scalar.ok_or(ResourceError::Missing("scalar"))?;
            Value::Scalar(Scalar::from_f64(scalar.value)?)
        }
        ValueType::Ranges => {
            let ranges = message.ranges.as_ref();
            let ranges = ranges.ok_or(ResourceError::Missing("ranges"))?;
            Value::Ranges(Ranges::from_proto(ranges)?)
        }
        ValueType::Set => {
            let set = message.set.as_ref().ok_or(ResourceError::Missing("set"))?;
            Value::Set(Set::checked(set.item.clone())?)
        }
        ValueType::Text => {
            return Err(ResourceError::UnknownEnum {
                field: "type",
                value: "TEXT".to_owned(),
            });
        }
    })
}

#[expect(deprecated, reason = "the field `role` is what old frameworks send")]
fn read_reservations(message: &v1::Resource) -> Result<Vec<Reservation>, ResourceError> {
    let stack: Vec<Reservation> = message
        .reservations
        .iter()
        .map(read_level)
        .collect::<Result<_, _>>()?;
    let role = message.role.as_deref().map(Role::parse).transpose()?;
    if let Some(top) = stack.last() {
        // Some clients fill in the old fields too; they must say the same.
        let agrees = role.is_none_or(|role| role.is_default() || role == top.role);
        if !agrees {
            return Err(ResourceError::MixedReservations(
                message.role.clone().unwrap_or_default(),
            ));
        }
        if message.reservation.is_some() && top.kind == ReservationKind::Static {
            return Err(ResourceError::Unexpected("reservation"));
        }
        return Ok(stack);
    }
    let role = role.unwrap_or_default();
    match &message.reservation {
        Some(info) => Ok(vec![Reservation {
            kind: ReservationKind::Dynamic,
            principal: info.principal.as_deref().map(Into::into),
            labels: read_labels(info.labels.as_ref()),
            role,
        }]),
        None if role.is_default() => Ok(Vec::new()),
        None => Ok(vec![Reservation::fixed(role)]),
    }
}

fn read_level(info: &ReservationInfo) -> Result<Reservation, ResourceError> {
    let unknown = || ResourceError::UnknownEnum {
        field: "reservations.type",
        value: info.r#type.unwrap_or_default().to_string(),
    };
    let kind = info
        .r#type
        .ok_or(ResourceError::Missing("reservations.type"))?;
    let role = info.role.as_deref();
    Ok(Reservation {
        role: Role::parse(role.ok_or(ResourceError::Missing("reservations.role"))?)?,
        kind: match ReservationType::try_from(kind) {
            Ok(ReservationType::Static) => ReservationKind::Static,
            Ok(ReservationType::Dynamic) => ReservationKind::Dynamic,
            Ok(ReservationType::Unknown) | Err(_) => return Err(unknown()),
        },
        principal: info.principal.as_deref().map(Into::into),
        labels: read_labels(info.labels.as_ref()),
    })
}

#[expect(deprecated, reason = "the field `role` is what old frameworks read")]
fn write_reservations(stack: &[Reservation], form: ReservationForm, message: &mut v1::Resource) {
    let info = |level: &Reservation| ReservationInfo {
        principal: level.principal.as_deref().map(str::to_owned),
        labels: write_labels(&level.labels),
        ..ReservationInfo::default()
    };
    match (form, stack) {
        (ReservationForm::Both, [only]) => {
            write_reservations(stack, ReservationForm::Stack, message);
            message.role = Some(only.role.to_string());
            message.reservation = (only.kind == ReservationKind::Dynamic).then(|| info(only));
        }
        (ReservationForm::Flat | ReservationForm::Both, []) => {
            message.role = Some(Role::DEFAULT.to_string())
        }
        (ReservationForm::Flat, [only]) => {
            message.role = Some(only.role.to_string());
            message.reservation = (only.kind == ReservationKind::Dynamic).then(|| info(only));
        }
        (_, levels) => {
            message.reservations = levels
                .iter()
                .map(|level| {
                    let mut info = info(level);
                    info.role = Some(level.role.to_string());
                    info.set_type(match level.kind {
                        ReservationKind::Static => ReservationType::Static,
                        ReservationKind::Dynamic => ReservationType::Dynamic,
                    });
                    info
                })
                .collect();
        }
    }
}

fn read_labels(message: Option<&v1::Labels>) -> Labels {
    let labels = message.map_or(&[][..], |labels| &labels.labels);
    let label = |label: &v1::Label| Label {
        key: label.key.clone(),
        value: label.value.clone(),
    };
    labels.iter().map(label).collect()
}

fn write_labels(labels: &Labels) -> Option<v1::Labels> {
    let label = |label: &Label| v1::Label {
        key: label.key.clone(),
        value: label.value.clone(),
    };
    (!labels.is_empty()).then(|| v1::Labels {
        labels: labels.iter().map(label).collect(),
    })
}

fn read_disk(message: &DiskInfo) -> Result<Disk, ResourceError> {
    let persistence = message.persistence.as_ref().map(|persistence| Persistence {
        id: persistence.id.clone(),
        principal: persistence.principal.clone(),
    });
    Ok(Disk {
        persistence,
        volume: message.volume.as_ref().map(read_volume).transpose()?,
        source: message.source.as_ref().map(read_source).transpose()?,
    })
}

fn read_volume(message: &v1::Volume) -> Result<Volume, ResourceError> {
    let elsewhere = [
        ("disk.volume.host_path", message.host_path.is_some()),
        ("disk.volume.image", message.image.is_some()),
        ("disk.volume.source", message.source.is_some()),
    ];
    if let Some((field, _)) = elsewhere.iter().find(|(_, is_set)| *is_set) {
        return Err(ResourceError::Unexpected(field));
    }
    Ok(Volume {
        container_path: message.container_path.clone(),
        read_only: match v1::volume::Mode::try_from(message.mode) {
            Ok(v1::volume::Mode::Rw) => false,
            Ok(v1::volume::Mode::Ro) => true,
            Err(_) => {
                return Err(ResourceError::UnknownEnum {
                    field: "disk.volume.mode",
                    value: message.mode.to_string(),
                });
            }
        },
    })
}

fn read_source(message: &disk_info::Source) -> Result<DiskSource, ResourceError> {
    let path = message.path.as_ref().and_then(|path| path.root.clone());
    let mount = message.mount.as_ref().and_then(|mount| mount.root.clone());
    let (kind, root) = match SourceType::try_from(message.r#type) {
        Ok(SourceType::Path) => (SourceKind::Path, path),
        Ok(SourceType::Mount) => (SourceKind::Mount, mount),
        Ok(SourceType::Block) => (SourceKind::Block, None),
        Ok(SourceType::Raw) => (SourceKind::Raw, None),
        Ok(SourceType::Unknown) | Err(_) => {
            return Err(ResourceError::UnknownEnum {
                field: "disk.source.type",
                value: message.r#type.to_string(),
            });
        }
    };
    Ok(DiskSource {
        kind,
        root,
        vendor: message.vendor.clone(),
        id: message.id.clone(),
        metadata: read_labels(message.metadata.as_ref()),
        profile: message.profile.clone(),
    })
}

fn write_disk(disk: &Disk) -> DiskInfo {
    let persistence = disk
        .persistence
        .as_ref()
        .map(|persistence| disk_info::Persistence {
            id: persistence.id.clone(),
            principal: persistence.principal.clone(),
        });
    let volume = disk.volume.as_ref().map(|volume| {
        let mut message = v1::Volume {
            container_path: volume.container_path.clone(),
            ..v1::Volume::default()
        };
        message.set_mode(if volume.read_only {
            v1::volume::Mode::Ro
        } else {
            v1::volume::Mode::Rw
        });
        message
    });
    DiskInfo {
        persistence,
        volume,
        source: disk.source.as_ref().map(write_source),
    }
}

fn write_source(source: &DiskSource) -> disk_info::Source {
    let root = source.root.clone();
    let mut message = disk_info::Source {
        id: source.id.clone(),
        metadata: write_labels(&source.metadata),
        profile: source.profile.clone(),
        vendor: source.vendor.clone(),
        ..disk_info::Source::default()
    };
    match source.kind {
        SourceKind::Path => {
            message.set_type(SourceType::Path);
            message.path = Some(disk_info::source::Path { root });
        }
        SourceKind::Mount => {
            message.set_type(SourceType::Mount);
            message.mount = Some(disk_info::source::Mount { root });
        }
        SourceKind::Block => message.set_type(SourceType::Block),
        SourceKind::Raw => message.set_type(SourceType::Raw),
    }
    message
}
