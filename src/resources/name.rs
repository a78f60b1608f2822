//! Names of resources; the predefined ones cost nothing to clone or compare.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::{Kind, ResourceError};

/// Characters that the text form of resources uses for itself.
const RESERVED: [char; 8] = [':', ';', '(', ')', '[', ']', '{', '}'];

/// The predefined ones in the order of their texts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Repr {
    Cpus,
    Disk,
    Gpus,
    Mem,
    Ports,
    /// Never the text of one of the above.
    Other(Arc<str>),
}

/// The name of a resource: predefined or an operator's own. Sorts by text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ResourceName(Repr);

impl ResourceName {
    /// Processor cores.
    pub const CPUS: Self = Self(Repr::Cpus);
    /// Disk space in megabytes.
    pub const DISK: Self = Self(Repr::Disk);
    /// Whole graphics processors.
    pub const GPUS: Self = Self(Repr::Gpus);
    /// Memory in megabytes.
    pub const MEM: Self = Self(Repr::Mem);
    /// Network ports.
    pub const PORTS: Self = Self(Repr::Ports);

    /// A name from outside: not empty, no white space and none of `:;()[]{}`.
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        if text.is_empty() {
            return Err(ResourceError::EmptyName);
        }
        let bad = |c: char| c.is_whitespace() || c.is_control() || RESERVED.contains(&c);
        if text.contains(bad) {
            return Err(ResourceError::BadName(text.to_owned()));
        }
        Ok(Self(match text {
            "cpus" => Repr::Cpus,
            "disk" => Repr::Disk,
            "gpus" => Repr::Gpus,
            "mem" => Repr::Mem,
            "ports" => Repr::Ports,
            other => Repr::Other(other.into()),
        }))
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Cpus => "cpus",
            Repr::Disk => "disk",
            Repr::Gpus => "gpus",
            Repr::Mem => "mem",
            Repr::Ports => "ports",
            Repr::Other(text) => text,
        }
    }

    /// The kind that a predefined resource always has.
    #[must_use]
    pub fn predefined_kind(&self) -> Option<Kind> {
        match self.0 {
            Repr::Cpus | Repr::Disk | Repr::Gpus | Repr::Mem => Some(Kind::Scalar),
            Repr::Ports => Some(Kind::Ranges),
            Repr::Other(_) => None,
        }
    }
}

impl PartialOrd for ResourceName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResourceName {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Repr::Other(_), _) | (_, Repr::Other(_)) => self.as_str().cmp(other.as_str()),
            (one, other) => one.cmp(other),
        }
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
