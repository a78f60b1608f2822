//! The JSON form of resources: a list of Mesos `Resource` messages, as `--resources` takes it.

use serde::{Deserialize, Serialize};

use crate::proto::v1;
use crate::proto::v1::resource::disk_info::source;
use crate::proto::v1::resource::{AllocationInfo, DiskInfo, ReservationInfo, disk_info};
use crate::proto::v1::resource::{RevocableInfo, SharedInfo, reservation_info};
use crate::proto::v1::value;

use super::{ReservationForm, ResourceError, Resources};

/// Reads a JSON list. Unknown keys are errors.
pub(super) fn read(text: &str) -> Result<Vec<v1::Resource>, ResourceError> {
    let items: Vec<Item> =
        serde_json::from_str(text).map_err(|error| ResourceError::Json(error.to_string()))?;
    items
        .into_iter()
        .enumerate()
        .map(|(index, item)| {
            let name = item.name.clone();
            item.into_message()
                .map_err(|error| error.of_item(&name.unwrap_or(format!("number {}", index + 1))))
        })
        .collect()
}

impl Resources {
    /// Reads a JSON list of resources of any shape; see [`super::parse`] for what a flag may say.
    pub fn from_json(text: &str) -> Result<Self, ResourceError> {
        Self::from_proto(&read(text)?)
    }

    /// The JSON list of these resources, in canonical order.
    #[must_use]
    pub fn to_json(&self) -> String {
        let messages = self.to_proto(ReservationForm::Stack);
        let items: Vec<Item> = messages.into_iter().map(Item::of).collect();
        serde_json::to_string(&items).expect("plain structs with text keys always encode")
    }
}

/// Structs whose fields may all be absent, as in a protobuf message.
macro_rules! messages {
    ($(struct $name:ident { $($field:ident: $kind:ty,)* })*) => {$(
        #[derive(Default, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        struct $name {
            $(#[serde(skip_serializing_if = "Option::is_none")] $field: Option<$kind>,)*
        }
    )*};
}

messages! {
    struct Item {
        name: String,
        r#type: String,
        scalar: ScalarValue,
        ranges: RangesValue,
        set: SetValue,
        role: String,
        reservation: ReservationItem,
        reservations: Vec<ReservationItem>,
        disk: DiskItem,
        revocable: Marker,
        shared: Marker,
        allocation_info: Allocation,
        provider_id: Id,
    }
    struct ScalarValue { value: f64, }
    struct RangesValue { range: Vec<RangeValue>, }
    struct RangeValue { begin: u64, end: u64, }
    struct SetValue { item: Vec<String>, }
    struct ReservationItem {
        r#type: String,
        role: String,
        principal: String,
        labels: LabelList,
    }
    struct LabelList { labels: Vec<LabelItem>, }
    struct LabelItem { key: String, value: String, }
    struct DiskItem { persistence: PersistenceItem, volume: VolumeItem, source: SourceItem, }
    struct PersistenceItem { id: String, principal: String, }
    struct VolumeItem { container_path: String, mode: String, host_path: String, }
    struct SourceItem {
        r#type: String,
        path: Root,
        mount: Root,
        vendor: String,
        id: String,
        metadata: LabelList,
        profile: String,
    }
    struct Root { root: String, }
    struct Allocation { role: String, }
    struct Id { value: String, }
    struct Marker {}
}

/// The value of a field that must be there.
fn required<T>(field: Option<T>, name: &'static str) -> Result<T, ResourceError> {
    field.ok_or(ResourceError::Missing(name))
}

/// The number of an enum value's name.
fn number<E: Into<i32>>(
    field: &'static str,
    text: &str,
    read: fn(&str) -> Option<E>,
) -> Result<i32, ResourceError> {
    read(text)
        .map(Into::into)
        .ok_or_else(|| ResourceError::UnknownEnum {
            field,
            value: text.to_owned(),
        })
}

impl Item {
    #[expect(deprecated, reason = "the field `role` is what old files say")]
    fn into_message(self) -> Result<v1::Resource, ResourceError> {
        let kind = required(self.r#type, "type")?;
        let reservations = self.reservations.unwrap_or_default();
        Ok(v1::Resource {
            name: required(self.name, "name")?,
            r#type: number("type", &kind, value::Type::from_str_name)?,
            scalar: self.scalar.map(ScalarValue::into_message).transpose()?,
            ranges: self.ranges.map(RangesValue::into_message).transpose()?,
            set: self.set.map(|set| value::Set {
                item: set.item.unwrap_or_default(),
            }),
            role: self.role,
            reservation: self
                .reservation
                .map(ReservationItem::into_message)
                .transpose()?,
            reservations: reservations
                .into_iter()
                .map(ReservationItem::into_message)
                .collect::<Result<_, _>>()?,
            disk: self.disk.map(DiskItem::into_message).transpose()?,
            revocable: self.revocable.map(|_| RevocableInfo::default()),
            shared: self.shared.map(|_| SharedInfo::default()),
            allocation_info: self
                .allocation_info
                .map(|info| AllocationInfo { role: info.role }),
            provider_id: self.provider_id.map(Id::into_message).transpose()?,
        })
    }

    #[expect(deprecated, reason = "the field `role` is part of the message")]
    fn of(message: v1::Resource) -> Self {
        let kind = message.r#type().as_str_name().to_owned();
        let levels: Vec<ReservationItem> = message
            .reservations
            .into_iter()
            .map(ReservationItem::of)
            .collect();
        Self {
            name: Some(message.name),
            r#type: Some(kind),
            scalar: message.scalar.map(|scalar| ScalarValue {
                value: Some(scalar.value),
            }),
            ranges: message.ranges.map(RangesValue::of),
            set: message.set.map(|set| SetValue {
                item: Some(set.item),
            }),
            role: message.role,
            reservation: message.reservation.map(ReservationItem::of),
            reservations: (!levels.is_empty()).then_some(levels),
            disk: message.disk.map(DiskItem::of),
            revocable: message.revocable.map(|_| Marker {}),
            shared: message.shared.map(|_| Marker {}),
            allocation_info: message
                .allocation_info
                .map(|info| Allocation { role: info.role }),
            provider_id: message.provider_id.map(|id| Id {
                value: Some(id.value),
            }),
        }
    }
}

impl ScalarValue {
    fn into_message(self) -> Result<value::Scalar, ResourceError> {
        Ok(value::Scalar {
            value: required(self.value, "scalar.value")?,
        })
    }
}

impl RangesValue {
    fn into_message(self) -> Result<value::Ranges, ResourceError> {
        let range = |range: RangeValue| {
            Ok(value::Range {
                begin: required(range.begin, "ranges.range.begin")?,
                end: required(range.end, "ranges.range.end")?,
            })
        };
        let ranges = self.range.unwrap_or_default().into_iter().map(range);
        Ok(value::Ranges {
            range: ranges.collect::<Result<_, ResourceError>>()?,
        })
    }

    fn of(message: value::Ranges) -> Self {
        let range = |range: value::Range| RangeValue {
            begin: Some(range.begin),
            end: Some(range.end),
        };
        Self {
            range: Some(message.range.into_iter().map(range).collect()),
        }
    }
}

impl ReservationItem {
    fn into_message(self) -> Result<ReservationInfo, ResourceError> {
        let kind = self
            .r#type
            .map(|text| {
                let read = reservation_info::Type::from_str_name;
                number("reservations.type", &text, read)
            })
            .transpose()?;
        Ok(ReservationInfo {
            principal: self.principal,
            labels: self.labels.map(LabelList::into_message).transpose()?,
            role: self.role,
            r#type: kind,
        })
    }

    fn of(message: ReservationInfo) -> Self {
        Self {
            r#type: message
                .r#type
                .map(|_| message.r#type().as_str_name().to_owned()),
            role: message.role,
            principal: message.principal,
            labels: message.labels.map(LabelList::of),
        }
    }
}

impl LabelList {
    fn into_message(self) -> Result<v1::Labels, ResourceError> {
        let label = |label: LabelItem| {
            Ok(v1::Label {
                key: required(label.key, "labels.key")?,
                value: label.value,
            })
        };
        let labels = self.labels.unwrap_or_default().into_iter().map(label);
        Ok(v1::Labels {
            labels: labels.collect::<Result<_, ResourceError>>()?,
        })
    }

    fn of(message: v1::Labels) -> Self {
        let label = |label: v1::Label| LabelItem {
            key: Some(label.key),
            value: label.value,
        };
        Self {
            labels: Some(message.labels.into_iter().map(label).collect()),
        }
    }
}

impl Id {
    fn into_message(self) -> Result<v1::ResourceProviderId, ResourceError> {
        Ok(v1::ResourceProviderId {
            value: required(self.value, "provider_id.value")?,
        })
    }
}

impl DiskItem {
    fn into_message(self) -> Result<DiskInfo, ResourceError> {
        let persistence = self.persistence.map(|persistence| {
            Ok::<_, ResourceError>(disk_info::Persistence {
                id: required(persistence.id, "disk.persistence.id")?,
                principal: persistence.principal,
            })
        });
        let volume = self.volume.map(|volume| {
            let mode = required(volume.mode, "disk.volume.mode")?;
            Ok::<_, ResourceError>(v1::Volume {
                container_path: required(volume.container_path, "disk.volume.container_path")?,
                host_path: volume.host_path,
                mode: number("disk.volume.mode", &mode, v1::volume::Mode::from_str_name)?,
                ..v1::Volume::default()
            })
        });
        Ok(DiskInfo {
            persistence: persistence.transpose()?,
            volume: volume.transpose()?,
            source: self.source.map(SourceItem::into_message).transpose()?,
        })
    }

    fn of(message: DiskInfo) -> Self {
        Self {
            persistence: message.persistence.map(|persistence| PersistenceItem {
                id: Some(persistence.id),
                principal: persistence.principal,
            }),
            volume: message.volume.map(|volume| VolumeItem {
                mode: Some(volume.mode().as_str_name().to_owned()),
                container_path: Some(volume.container_path),
                host_path: volume.host_path,
            }),
            source: message.source.map(SourceItem::of),
        }
    }
}

impl SourceItem {
    fn into_message(self) -> Result<disk_info::Source, ResourceError> {
        let kind = required(self.r#type, "disk.source.type")?;
        Ok(disk_info::Source {
            r#type: number("disk.source.type", &kind, source::Type::from_str_name)?,
            path: self.path.map(|path| source::Path { root: path.root }),
            mount: self.mount.map(|mount| source::Mount { root: mount.root }),
            vendor: self.vendor,
            id: self.id,
            metadata: self.metadata.map(LabelList::into_message).transpose()?,
            profile: self.profile,
        })
    }

    fn of(message: disk_info::Source) -> Self {
        Self {
            r#type: Some(message.r#type().as_str_name().to_owned()),
            path: message.path.map(|path| Root { root: path.root }),
            mount: message.mount.map(|mount| Root { root: mount.root }),
            vendor: message.vendor,
            id: message.id,
            metadata: message.metadata.map(LabelList::of),
            profile: message.profile,
        }
    }
}
