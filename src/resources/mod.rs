//! Core: the resource algebra: scalars in thousandths, ranges, sets, bags of resources,
//! reservations, text forms.

mod bag;
mod conversion;
mod disk;
mod json;
mod name;
mod parse;
mod quantities;
mod ranges;
mod reservation;
mod resource;
mod scalar;
mod set;
mod show;
mod value;
mod views;
mod wire;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod laws;

pub use bag::Resources;
pub use conversion::Conversion;
pub use disk::{Disk, DiskSource, Persistence, SourceKind, Volume};
pub use name::ResourceName;
pub use parse::parse;
pub use quantities::Quantities;
pub use ranges::{Range, Ranges};
pub use reservation::{Label, Labels, Reservation, ReservationKind};
pub use resource::{Resource, ResourceError};
pub use scalar::Scalar;
pub use set::Set;
pub use value::{Kind, Value, ValueError};
pub use wire::ReservationForm;
