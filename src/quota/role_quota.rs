//! The quota of one role.

use crate::resources::{Quantities, ResourceName, Scalar};
use crate::roles::Role;

use super::{Limits, Part, QuotaError};

/// Most of any resource but mem and disk, in units (Mesos' quota documentation). Of those two an
/// exabyte can be given, which is the largest scalar there is.
const MOST: i64 = 1_000_000_000_000;

/// What a role, with all roles below it, is sure to get and may not exceed. The default is neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    guarantees: Quantities,
    limits: Limits,
}

impl Quota {
    /// Checks both halves on their own and against each other. The role is named in errors only.
    pub fn new(role: &Role, guarantees: Quantities, limits: Limits) -> Result<Self, QuotaError> {
        for (name, amount) in guarantees.iter() {
            check(role, Part::Guarantee, name, amount)?;
        }
        for (name, limit) in limits.iter() {
            check(role, Part::Limit, name, limit)?;
        }
        let passed = limits.first_passed(&guarantees);
        if let Some((name, limit, guarantee)) = passed {
            return Err(QuotaError::LimitBelowGuarantee {
                role: role.clone(),
                name: name.clone(),
                limit,
                guarantee,
            });
        }
        Ok(Self { guarantees, limits })
    }

    /// What the role is sure to get.
    #[must_use]
    pub const fn guarantees(&self) -> &Quantities {
        &self.guarantees
    }

    /// What the role may not exceed.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// True for a quota that says nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.guarantees.is_empty() && self.limits.is_empty()
    }
}

fn check(role: &Role, part: Part, name: &ResourceName, amount: Scalar) -> Result<(), QuotaError> {
    let role = || role.clone();
    if *name == ResourceName::PORTS {
        let (role, name) = (role(), name.clone());
        return Err(QuotaError::NotScalar { role, part, name });
    }
    let most = Scalar::from_thousandths(MOST * 1000);
    let in_megabytes = [ResourceName::MEM, ResourceName::DISK].contains(name);
    if !in_megabytes && amount > most {
        return Err(QuotaError::TooLarge {
            role: role(),
            part,
            name: name.clone(),
            amount,
            most,
        });
    }
    Ok(())
}
