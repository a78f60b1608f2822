//! Checks of a framework's description (SUBSCRIBE, UPDATE_FRAMEWORK).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::attributes::{OfferConstraints, PatternLimits};
use crate::base::FrameworkId;
use crate::proto::v1::{self, framework_info::capability::Type as Capability};
use crate::resources::Quantities;
use crate::roles::Role;

use super::context::Checked;
use super::{Invalid, Reason};

/// Longest `failover_timeout`, in seconds: what Mesos' durations can hold.
const FAILOVER_SECONDS_MAX: f64 = 9_223_372_036.0;

/// A framework whose description was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidFramework {
    /// The id that it had before, if it says one.
    pub id: Option<FrameworkId>,
    /// Its roles; none is allowed with MULTI_ROLE.
    pub roles: BTreeSet<Role>,
    /// Those of its roles that want no offers now.
    pub suppressed_roles: BTreeSet<Role>,
    /// How long its tasks outlive its scheduler's stream.
    pub failover_timeout: Duration,
    /// Per role, the quantities of which one must be in an offer; absent means the master's.
    pub min_allocatable: BTreeMap<Role, Vec<Quantities>>,
    /// Which agents it wants offers of.
    pub constraints: OfferConstraints,
    checked: Checked,
}

/// Checks a description, and the suppressed roles and offer constraints that come with it.
///
/// # Errors
///
/// The first problem found, in the order of Mesos' own checks.
pub fn check(
    info: &v1::FrameworkInfo,
    suppressed_roles: &[String],
    constraints: Option<(&v1::scheduler::OfferConstraints, PatternLimits)>,
) -> Result<ValidFramework, Invalid> {
    let roles = check_roles(info)?;
    let id = match &info.id {
        // The old driver sends an empty id for a new framework.
        Some(id) if !id.value.is_empty() => {
            let parsed = FrameworkId::try_from(id);
            Some(parsed.map_err(|error| Invalid::new("framework_info.id", error))?)
        }
        _ => None,
    };
    Ok(ValidFramework {
        id,
        suppressed_roles: subset("suppressed_roles", suppressed_roles, &roles)?,
        failover_timeout: failover_timeout(info)?,
        min_allocatable: min_allocatable(info, &roles)?,
        constraints: constraints
            .map(|(message, limits)| OfferConstraints::from_proto(message, &roles, limits))
            .transpose()
            .map_err(|error| Invalid::new("offer_constraints", error))?
            .unwrap_or_default(),
        roles,
        checked: Checked,
    })
}

/// Checks that a framework keeps what must not change while it lives: user, principal and
/// checkpointing.
///
/// # Errors
///
/// The first field that differs.
pub fn check_change(old: &v1::FrameworkInfo, new: &v1::FrameworkInfo) -> Result<(), Invalid> {
    let frozen = |field: &str, from: &str, to: &str| {
        if from == to {
            return Ok(());
        }
        let (from, to) = (from.to_owned(), to.to_owned());
        Err(Invalid::new(
            format!("framework_info.{field}"),
            Reason::Frozen { from, to },
        ))
    };
    frozen("principal", old.principal(), new.principal())?;
    frozen("user", &old.user, &new.user)?;
    let text = |info: &v1::FrameworkInfo| info.checkpoint().to_string();
    frozen("checkpoint", &text(old), &text(new))
}

/// Checks role names of a call (REVIVE, SUPPRESS) against the framework's own.
///
/// # Errors
///
/// The first name that is no role or not one of the framework's.
pub fn check_own_roles(
    names: &[String],
    roles: &BTreeSet<Role>,
) -> Result<BTreeSet<Role>, Invalid> {
    subset("roles", names, roles)
}

fn subset(
    field: &str,
    names: &[String],
    roles: &BTreeSet<Role>,
) -> Result<BTreeSet<Role>, Invalid> {
    names
        .iter()
        .map(|name| {
            let role = Role::parse(name).map_err(|error| Invalid::new(field, error))?;
            if !roles.contains(&role) {
                return Err(Invalid::new(field, Reason::ForeignRole(role)));
            }
            Ok(role)
        })
        .collect()
}

#[expect(
    deprecated,
    reason = "the field `role` is what single-role frameworks set"
)]
fn check_roles(info: &v1::FrameworkInfo) -> Result<BTreeSet<Role>, Invalid> {
    let announced = |wanted: Capability| {
        let mut all = info.capabilities.iter();
        all.any(|capability| capability.r#type() == wanted)
    };
    if !announced(Capability::MultiRole) {
        if !info.roles.is_empty() {
            let hint = Reason::Unexpected(" without the capability MULTI_ROLE; set `role`");
            return Err(Invalid::new("framework_info.roles", hint));
        }
        let role = Role::parse(info.role());
        let role = role.map_err(|error| Invalid::new("framework_info.role", error))?;
        return Ok(BTreeSet::from([role]));
    }
    if info.role.is_some() {
        let hint = Reason::Unexpected(" with the capability MULTI_ROLE; set `roles`");
        return Err(Invalid::new("framework_info.role", hint));
    }
    let mut roles = BTreeSet::new();
    for name in &info.roles {
        let role = Role::parse(name);
        let role = role.map_err(|error| Invalid::new("framework_info.roles", error))?;
        if !roles.insert(role) {
            return Err(Invalid::new(
                "framework_info.roles",
                Reason::Twice(name.clone()),
            ));
        }
    }
    Ok(roles)
}

fn failover_timeout(info: &v1::FrameworkInfo) -> Result<Duration, Invalid> {
    let seconds = info.failover_timeout();
    let field = "framework_info.failover_timeout";
    if !seconds.is_finite() || seconds < 0.0 {
        return Err(Invalid::new(
            field,
            Reason::NotAnAmount(seconds.to_string()),
        ));
    }
    if seconds > FAILOVER_SECONDS_MAX {
        return Err(Invalid::new(field, Reason::TooLong(seconds.to_string())));
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn min_allocatable(
    info: &v1::FrameworkInfo,
    roles: &BTreeSet<Role>,
) -> Result<BTreeMap<Role, Vec<Quantities>>, Invalid> {
    let field = "framework_info.offer_filters";
    let mut filters = BTreeMap::new();
    for (name, filter) in &info.offer_filters {
        let role = Role::parse(name).map_err(|error| Invalid::new(field, error))?;
        if !roles.contains(&role) {
            return Err(Invalid::new(field, Reason::ForeignRole(role)));
        }
        let Some(least) = &filter.min_allocatable_resources else {
            continue;
        };
        let alternatives: Result<Vec<Quantities>, _> = least
            .quantities
            .iter()
            .map(|quantities| Quantities::from_proto(&quantities.quantities))
            .collect();
        let alternatives = alternatives.map_err(|error| Invalid::new(field, error))?;
        filters.insert(role, alternatives);
    }
    Ok(filters)
}
