//! Identifiers: one macro, one validation rule, cheap to clone.

use std::fmt;
use std::sync::Arc;

/// Longest id that a framework may choose, in bytes (Mesos' `common/validation`).
const ID_BYTES_MAX: usize = 255;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("id must not be empty")]
    Empty,
    /// The text is longer than 255 bytes.
    #[error("id has {0} bytes, at most {ID_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// The text is `.` or `..`, which are no file names.
    #[error("id must not be '.' or '..'")]
    Dots,
    /// The text holds a slash, a backslash or a control character.
    #[error("id {0:?} must not hold '/', '\\' or control characters")]
    BadCharacter(String),
}

/// Checks Mesos' rule for ids that become file names.
fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_BYTES_MAX {
        return Err(IdError::TooLong(text.len()));
    }
    if text == "." || text == ".." {
        return Err(IdError::Dots);
    }
    if text
        .chars()
        .any(|c| c == '/' || c == '\\' || c.is_control())
    {
        return Err(IdError::BadCharacter(text.to_owned()));
    }
    Ok(())
}

macro_rules! text_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// An id made by mesosd itself, or one that was checked before (a checkpoint).
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// An id from outside: not empty, at most 255 bytes, usable as a file name.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The id's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

text_ids! {
    /// `<master uuid>-NNNN`.
    FrameworkId;
    /// `<master uuid>-S<n>`.
    AgentId;
    /// `<master uuid>-O<n>`.
    OfferId;
    /// Chosen by the framework, unique within it while the task lives.
    TaskId;
    /// Chosen by the framework; equals the task id for the built-in command executor.
    ExecutorId;
    /// Drawn by the agent for each run of an executor.
    ContainerId;
    /// Chosen by the framework for an operation that it wants to hear of.
    OperationId;
}

/// One open connection of a peer (scheduler stream, agent link, executor stream), numbered by the
/// shell that accepted it and never used twice by a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One request that waits for a reply, numbered by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// The 16 bytes that name a status update.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// A version 4 uuid from 16 random bytes.
    #[must_use]
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// The uuid of 16 raw bytes; `None` for any other length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_mesos_rule() {
        assert_eq!(TaskId::parse(""), Err(IdError::Empty));
        assert_eq!(TaskId::parse(".."), Err(IdError::Dots));
        assert!(matches!(
            TaskId::parse("a/b"),
            Err(IdError::BadCharacter(_))
        ));
        assert!(matches!(
            TaskId::parse("a\u{7}b"),
            Err(IdError::BadCharacter(_))
        ));
        assert_eq!(TaskId::parse(&"x".repeat(256)), Err(IdError::TooLong(256)));
        assert!(TaskId::parse(&"x".repeat(255)).is_ok());
    }

    #[test]
    fn uuid_prints_in_groups() {
        let uuid = Uuid::from_random([0xff; 16]);
        assert_eq!(uuid.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
