//! Why a message is refused.

use std::fmt;

use crate::attributes::{AttributeError, OfferConstraintError};
use crate::base::IdError;
use crate::resources::{ResourceError, Resources};
use crate::roles::{Role, RoleError};

/// The first thing that is wrong with a message. Its text is one line: path, then reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The field's path in the message, `health_check.http.path`.
    pub field: String,
    /// What is wrong with it.
    pub reason: Reason,
}

impl Invalid {
    pub(super) fn new(field: impl Into<String>, reason: impl Into<Reason>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// The same problem, seen from the message that holds the field's message in `outer`.
    pub(super) fn within(mut self, outer: &str) -> Self {
        self.field = format!("{outer}.{}", self.field);
        self
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

impl std::error::Error for Invalid {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.reason)
    }
}

/// What can be wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Not an id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// Not a role.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// Not a resource.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// Not an attribute.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// Not constraints on agents.
    #[error(transparent)]
    OfferConstraint(#[from] OfferConstraintError),
    /// Needed and not there.
    #[error("must be set")]
    Missing,
    /// There and not allowed.
    #[error("must not be set{0}")]
    Unexpected(&'static str),
    /// Without content.
    #[error("must not be empty")]
    Empty,
    /// A time or an amount below zero, infinite or no number.
    #[error("must be a finite number, not negative, but is {0}")]
    NotAnAmount(String),
    /// A time that no clock can count.
    #[error("{0} seconds are too long")]
    TooLong(String),
    /// An enum value that nobody knows.
    #[error("has the unknown value {0}")]
    UnknownEnum(i32),
    /// A value that is known but not allowed here.
    #[error("must be {expected}, not {found}")]
    Expected {
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The same thing more than once.
    #[error("'{0}' is given twice")]
    Twice(String),
    /// A character that cannot be passed on.
    #[error("{0:?} must hold neither NUL nor, in names, '='")]
    BadCharacter(String),
    /// Not one of the values that a peer announced.
    #[error("'{0}' is not one of the framework's roles")]
    ForeignRole(Role),
    /// A number beyond 65535.
    #[error("{0} is not a port number")]
    NotAPort(i64),
    /// Something that is already there under this name.
    #[error("task '{0}' is already running; use another id, or wait for its end")]
    TaskExists(String),
    /// Something that may come back under this name.
    #[error("task '{0}' is unreachable and may come back; use another id")]
    TaskUnreachable(String),
    /// An executor with this id runs there, but was described differently.
    #[error("executor '{0}' already runs on this agent with another description")]
    ExecutorDiffers(String),
    /// Root where that is switched off.
    #[error("tasks may not run as root (--root_submissions=false)")]
    Root,
    /// The framework's frozen properties.
    #[error("cannot be changed from '{from}' to '{to}'")]
    Frozen {
        /// The value at subscription.
        from: String,
        /// The new value.
        to: String,
    },
    /// A name both revocable and not.
    #[error("{0} is used both revocable and non-revocable")]
    RevocableMixed(String),
    /// Resources allocated to more than one role, or to another than the offers.
    #[error("allocated to role '{found}', but the offers are for '{expected}'")]
    OtherRole {
        /// The offers' role.
        expected: Role,
        /// The resource's role.
        found: Role,
    },
    /// More than there is.
    #[error("{wanted} asked for, but the offers have only {left} left")]
    NotOffered {
        /// What is asked for.
        wanted: Resources,
        /// What is left of the offers.
        left: Resources,
    },
    /// Less than the minimum.
    #[error("at least {least} is needed, but it has {found}")]
    TooLittle {
        /// The minimum.
        least: &'static str,
        /// What it has.
        found: String,
    },
    /// A limit below the request.
    #[error("the limit {limit} is below the requested {request}")]
    LimitBelowRequest {
        /// The limit.
        limit: String,
        /// The request.
        request: String,
    },
    /// A limit on a resource that cannot be limited or is not requested.
    #[error("{0}")]
    Limit(&'static str),
    /// The parts of a message do not fit each other.
    #[error("{0}")]
    Conflict(&'static str),
    /// A persistence id that is taken.
    #[error("a volume '{id}' of role '{role}' exists on the agent already; use another id")]
    VolumeExists {
        /// The persistence id.
        id: String,
        /// The role that its disk is reserved to.
        role: Role,
    },
    /// A volume that the agent does not have.
    #[error("the agent has no volume '{0}' of this description")]
    NoVolume(String),
    /// A volume that tasks hold.
    #[error("volume '{0}' is in use; end its tasks first")]
    VolumeInUse(String),
    /// An offer that is gone, or was never there.
    #[error("offer '{0}' is no longer valid")]
    OfferGone(String),
    /// Offers that cannot be used together.
    #[error("offer '{offer}' is for another {what} than the first one")]
    OffersDiffer {
        /// The first offer that differs.
        offer: String,
        /// Agent or role.
        what: &'static str,
    },
}
