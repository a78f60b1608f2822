//! Ids, uuids and times between the types of `base` and their messages.

use std::time::Duration;

use super::v1;
use crate::base::{
    AgentId, ContainerId, ExecutorId, FrameworkId, IdError, OfferId, OperationId, TaskId,
    Timestamp, Uuid,
};

macro_rules! ids {
    ($($name:ident)*) => {$(
        impl From<&$name> for v1::$name {
            fn from(id: &$name) -> Self {
                Self::from(id.as_str())
            }
        }

        impl From<$name> for v1::$name {
            fn from(id: $name) -> Self {
                Self::from(id.as_str())
            }
        }

        /// Checks the rule for ids: not empty, at most 255 bytes, usable as a file name.
        impl TryFrom<&v1::$name> for $name {
            type Error = IdError;

            fn try_from(message: &v1::$name) -> Result<Self, IdError> {
                Self::parse(&message.value)
            }
        }
    )*};
}

macro_rules! texts {
    ($($name:ident)*) => {$(
        impl From<&str> for v1::$name {
            fn from(value: &str) -> Self {
                Self { value: value.to_owned() }
            }
        }

        impl std::fmt::Display for v1::$name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.value)
            }
        }
    )*};
}

ids!(FrameworkId AgentId OfferId TaskId ExecutorId OperationId);
texts!(FrameworkId AgentId OfferId TaskId ExecutorId OperationId ResourceProviderId);

impl From<&str> for v1::ContainerId {
    /// The container of an executor, which has no parent.
    fn from(value: &str) -> Self {
        Self {
            value: value.to_owned(),
            parent: None,
        }
    }
}

impl From<&ContainerId> for v1::ContainerId {
    fn from(id: &ContainerId) -> Self {
        Self::from(id.as_str())
    }
}

impl From<&Uuid> for v1::Uuid {
    fn from(uuid: &Uuid) -> Self {
        Self {
            value: uuid.0.to_vec(),
        }
    }
}

impl From<Timestamp> for v1::TimeInfo {
    fn from(time: Timestamp) -> Self {
        Self {
            nanoseconds: i64::try_from(time.0).unwrap_or(i64::MAX),
        }
    }
}

impl From<v1::TimeInfo> for Timestamp {
    /// Times before 1970 become 1970.
    fn from(time: v1::TimeInfo) -> Self {
        Self(u64::try_from(time.nanoseconds).unwrap_or(0))
    }
}

impl From<Duration> for v1::DurationInfo {
    /// Durations beyond 292 years become 292 years.
    fn from(duration: Duration) -> Self {
        Self {
            nanoseconds: i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX),
        }
    }
}

impl v1::DurationInfo {
    /// The duration, zero when it is negative.
    #[must_use]
    pub fn to_duration(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.nanoseconds).unwrap_or(0))
    }
}
