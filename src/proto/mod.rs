//! Core: the wire types: Mesos' v1 messages and mesosd's own, generated from `proto/`, and their
//! required-field checks.
//!
//! | what | where |
//! | --- | --- |
//! | Mesos' messages | [`v1`], `v1::scheduler`, `v1::executor`, `v1::master`, `v1::agent`, ... |
//! | the agent link | [`link`] |
//! | decoding with the checks | [`decode`], [`codec::CheckedCodec`] |
//! | the checks themselves | [`required`] |
//! | Mesos' JSON of its messages | [`json`] |
//! | ids and times to and from messages | [`convert`] |
//! | which states end a task | [`v1::TaskState::is_terminal`] |

pub mod codec;
pub mod convert;
pub mod json;
pub mod required;
mod task_state;

#[expect(
    unused_qualifications,
    clippy::doc_markdown,
    clippy::large_enum_variant,
    reason = "generated code"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/protocols.rs"));
}

pub use codec::{WireError, decode};
pub use generated::{mesos, mesosd};
pub use mesos::v1;
pub use mesosd::v1 as link;

/// The version of Mesos whose APIs these are: what daemons report where clients look for Mesos'.
pub const MESOS_VERSION: &str = "1.12.0";

/// The encoded `FileDescriptorSet` of everything in `proto/`, for gRPC server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.pb"));
