//! Everything that can be wrong with quotas; each error names the role and the resource.

use std::fmt;

use crate::resources::{ResourceError, ResourceName, Scalar};
use crate::roles::{Role, RoleError};

/// A half of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What the role is sure to get.
    Guarantee,
    /// What the role may not exceed.
    Limit,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Guarantee => "guarantee",
            Self::Limit => "limit",
        })
    }
}

/// Why a quota is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// The role is missing or its name is wrong.
    #[error("quota: {0}")]
    Role(#[from] RoleError),
    /// The role lies below another one.
    #[error(
        "quota for role '{0}': only top-level roles can have quota; set it for '{top}'",
        top = .0.top_level()
    )]
    NestedRole(Role),
    /// Two quotas for one role in one call.
    #[error("quota for role '{0}' is given twice")]
    RepeatedRole(Role),
    /// More quotas in one call than the bound.
    #[error("{0} quotas are too many for one call: at most {1} can be given")]
    TooMany(usize, usize),
    /// More resource names than the bound.
    #[error("quota for role '{role}': {count} resource names are too many: at most {most}")]
    TooManyNames {
        /// The role.
        role: Role,
        /// How many were given.
        count: usize,
        /// The bound.
        most: usize,
    },
    /// A name or an amount is wrong.
    #[error("quota for role '{role}': {part} of {cause}")]
    Amount {
        /// The role.
        role: Role,
        /// Which half.
        part: Part,
        /// What is wrong, with the name.
        #[source]
        cause: ResourceError,
    },
    /// An amount above what Mesos takes.
    #[error("quota for role '{role}': {part} of {name} is {amount}: at most {most} can be given")]
    TooLarge {
        /// The role.
        role: Role,
        /// Which half.
        part: Part,
        /// The resource.
        name: ResourceName,
        /// What was given.
        amount: Scalar,
        /// The bound.
        most: Scalar,
    },
    /// Ports and sets cannot be counted.
    #[error("quota for role '{role}': {name} is not a scalar, so it can have no {part}")]
    NotScalar {
        /// The role.
        role: Role,
        /// Which half.
        part: Part,
        /// The resource.
        name: ResourceName,
    },
    /// A resource of a guarantee that is not just an amount.
    #[error("quota for role '{role}': guarantee of {name} must not be {what}")]
    Qualified {
        /// The role.
        role: Role,
        /// The resource.
        name: ResourceName,
        /// What it must not be.
        what: &'static str,
    },
    /// The same resource twice in one guarantee.
    #[error("quota for role '{role}': {name} is given twice")]
    RepeatedName {
        /// The role.
        role: Role,
        /// The resource.
        name: ResourceName,
    },
    /// The older call needs something to guarantee.
    #[error("quota for role '{0}': a guarantee must be set; to remove quota use REMOVE_QUOTA")]
    NoGuarantee(Role),
    /// The limit contradicts the guarantee.
    #[error(
        "quota for role '{role}': limit of {name} is {limit}, below its guarantee of {guarantee}"
    )]
    LimitBelowGuarantee {
        /// The role.
        role: Role,
        /// The resource.
        name: ResourceName,
        /// The limit.
        limit: Scalar,
        /// The guarantee.
        guarantee: Scalar,
    },
    /// Roles below a role are guaranteed more than the role itself.
    #[error(
        "quota for role '{parent}': guarantee of {name} is {guarantee}, but the roles below it are \
         guaranteed {children}"
    )]
    ChildrenAboveParent {
        /// The role above.
        parent: Role,
        /// The resource.
        name: ResourceName,
        /// Its guarantee.
        guarantee: Scalar,
        /// The sum of the guarantees below it.
        children: Scalar,
    },
    /// A role may exceed a role above it.
    #[error(
        "quota for role '{child}': limit of {name} is {limit}, above the limit of {above} of role \
         '{parent}'"
    )]
    LimitAboveParent {
        /// The role below.
        child: Role,
        /// The role above.
        parent: Role,
        /// The resource.
        name: ResourceName,
        /// The limit of the role below.
        limit: Scalar,
        /// The limit of the role above.
        above: Scalar,
    },
    /// More is guaranteed than there is.
    #[error(
        "quota would guarantee {guaranteed} {name} in all, but the cluster has {capacity}; set \
         'force' to do it anyway"
    )]
    Overcommitted {
        /// The resource.
        name: ResourceName,
        /// The sum of all guarantees.
        guaranteed: Scalar,
        /// What the cluster has.
        capacity: Scalar,
    },
    /// The role has more already.
    #[error(
        "quota for role '{role}': limit of {name} is {limit}, but {consumed} are consumed; set \
         'force' to do it anyway"
    )]
    LimitBelowConsumed {
        /// The role.
        role: Role,
        /// The resource.
        name: ResourceName,
        /// The limit.
        limit: Scalar,
        /// What the role has.
        consumed: Scalar,
    },
}
