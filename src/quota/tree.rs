//! All quotas together: a role is above others, and the cluster above all.
//!
//! A role without quota of its own is guaranteed what the roles below it are guaranteed in sum; it
//! has no limit but those above it.

use std::collections::BTreeMap;

use crate::resources::Quantities;
use crate::roles::Role;

use super::{Quota, QuotaError};

/// Checks all quotas against each other: what the roles below a role are guaranteed must be within
/// its own guarantee, and no limit may be above the nearest limit further up.
pub fn check_tree(quotas: &BTreeMap<Role, Quota>) -> Result<(), QuotaError> {
    for (role, quota) in quotas {
        let below = guaranteed_below(quotas, Some(role));
        if let Some((name, children)) = below
            .iter()
            .find(|(name, amount)| *amount > quota.guarantees().get(name))
        {
            return Err(QuotaError::ChildrenAboveParent {
                parent: role.clone(),
                name: name.clone(),
                guarantee: quota.guarantees().get(name),
                children,
            });
        }
        check_limits(quotas, role, quota)?;
    }
    Ok(())
}

fn check_limits(
    quotas: &BTreeMap<Role, Quota>,
    role: &Role,
    quota: &Quota,
) -> Result<(), QuotaError> {
    for (name, limit) in quota.limits().iter() {
        let nearest = role
            .ancestors()
            .find_map(|above| Some((quotas.get(&above)?.limits().get(name)?, above)));
        if let Some((above, parent)) = nearest.filter(|(above, _)| limit > *above) {
            return Err(QuotaError::LimitAboveParent {
                child: role.clone(),
                parent,
                name: name.clone(),
                limit,
                above,
            });
        }
    }
    Ok(())
}

/// What the roles strictly below `top` are guaranteed, all roles if there is none: whoever has
/// quota speaks for everything below it.
fn guaranteed_below(quotas: &BTreeMap<Role, Quota>, top: Option<&Role>) -> Quantities {
    let mut sum = Quantities::new();
    for (role, quota) in quotas {
        let inside = |above: &Role| top.is_none_or(|top| top.is_strict_ancestor_of(above));
        let spoken_for = role
            .ancestors()
            .any(|above| inside(&above) && quotas.contains_key(&above));
        if inside(role) && !spoken_for {
            sum.add(quota.guarantees());
        }
    }
    sum
}

/// What all roles together are guaranteed.
#[must_use]
pub fn guaranteed(quotas: &BTreeMap<Role, Quota>) -> Quantities {
    guaranteed_below(quotas, None)
}

/// Checks that no more is guaranteed than there is: `capacity` is what the registered agents have
/// that is not revocable.
pub fn check_capacity(
    quotas: &BTreeMap<Role, Quota>,
    capacity: &Quantities,
) -> Result<(), QuotaError> {
    let sum = guaranteed(quotas);
    match sum.iter().find(|(name, all)| *all > capacity.get(name)) {
        None => Ok(()),
        Some((name, guaranteed)) => Err(QuotaError::Overcommitted {
            name: name.clone(),
            guaranteed,
            capacity: capacity.get(name),
        }),
    }
}

/// Checks that a role has no more than the limits it is to get.
pub fn check_consumption(
    role: &Role,
    quota: &Quota,
    consumed: &Quantities,
) -> Result<(), QuotaError> {
    match quota.limits().first_passed(consumed) {
        None => Ok(()),
        Some((name, limit, consumed)) => Err(QuotaError::LimitBelowConsumed {
            role: role.clone(),
            name: name.clone(),
            limit,
            consumed,
        }),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quota::Limits;
    use crate::resources::{ResourceName, Scalar};

    fn role(text: &str) -> Role {
        Role::parse(text).unwrap()
    }

    fn cpus(guarantee: u32, limit: Option<u32>) -> Quota {
        let amount = |units| (ResourceName::CPUS, Scalar::whole(units));
        let guarantees = [amount(guarantee)].into_iter().collect();
        let limits: Limits = limit.map(amount).into_iter().collect();
        Quota::new(&role("x"), guarantees, limits).unwrap()
    }

    fn quotas(list: &[(&str, u32, Option<u32>)]) -> BTreeMap<Role, Quota> {
        list.iter()
            .map(|(name, guarantee, limit)| (role(name), cpus(*guarantee, *limit)))
            .collect()
    }

    fn said(result: Result<(), QuotaError>) -> String {
        result.map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn what_is_below_must_fit() {
        let check = |list: &[(&str, u32, Option<u32>)]| said(check_tree(&quotas(list)));
        assert_eq!(
            check(&[("a", 3, None), ("a/b", 1, None), ("a/c", 2, None)]),
            "fine"
        );
        assert_eq!(
            check(&[("a", 3, None), ("a/b", 2, None), ("a/c/d", 2, None)]),
            "quota for role 'a': guarantee of cpus is 3, but the roles below it are guaranteed 4"
        );
        // What is below a/c is spoken for by a/c.
        let nested = [
            ("a", 3, None),
            ("a/b", 1, None),
            ("a/c", 2, None),
            ("a/c/d", 2, None),
        ];
        assert_eq!(check(&nested), "fine");
        assert_eq!(check(&[("a/b", 7, None), ("ab", 1, None)]), "fine");
    }

    #[test]
    fn limits_must_not_pass_those_above() {
        let check = |list: &[(&str, u32, Option<u32>)]| said(check_tree(&quotas(list)));
        assert_eq!(check(&[("a", 0, Some(4)), ("a/b/c", 0, Some(4))]), "fine");
        assert_eq!(
            check(&[("a", 0, Some(4)), ("a/b", 0, None), ("a/b/c", 0, Some(5))]),
            "quota for role 'a/b/c': limit of cpus is 5, above the limit of 4 of role 'a'"
        );
    }

    #[test]
    fn the_cluster_must_have_what_is_guaranteed() {
        let all = quotas(&[("a", 3, None), ("a/b", 1, None), ("c/d", 2, None)]);
        let have = |units| {
            [(ResourceName::CPUS, Scalar::whole(units))]
                .into_iter()
                .collect()
        };
        assert_eq!(said(check_capacity(&all, &have(5))), "fine");
        assert_eq!(
            said(check_capacity(&all, &have(4))),
            "quota would guarantee 5 cpus in all, but the cluster has 4; set 'force' to do it \
             anyway"
        );
        let consumed = |units| check_consumption(&role("a"), &cpus(0, Some(2)), &have(units));
        assert_eq!(said(consumed(2)), "fine");
        assert_eq!(
            said(consumed(3)),
            "quota for role 'a': limit of cpus is 2, but 3 are consumed; set 'force' to do it \
             anyway"
        );
    }

    proptest! {
        /// In a tree that is fine, no role is guaranteed more than any role above it, nor than the
        /// limit of any role above it.
        #[test]
        fn a_good_tree_keeps_promises(
            list in proptest::collection::btree_map("[ab](/[ab]){0,2}", (0_u32..6, 0_u32..8), 0..8)
        ) {
            let all: BTreeMap<Role, Quota> = list
                .iter()
                .map(|(name, (guarantee, more))| {
                    let limit = (more % 2 == 0).then_some(guarantee + more);
                    (role(name), cpus(*guarantee, limit))
                })
                .collect();
            let fine = check_tree(&all).is_ok();
            let mut broken = false;
            for (above, upper) in &all {
                let have = upper.guarantees().get(&ResourceName::CPUS);
                for (below, lower) in all.iter().filter(|(r, _)| above.is_strict_ancestor_of(r)) {
                    let wants = lower.guarantees().get(&ResourceName::CPUS);
                    broken |= wants > have;
                    let limits = [upper, lower].map(|q| q.limits().get(&ResourceName::CPUS));
                    if let [Some(upper), Some(lower)] = limits {
                        broken |= lower > upper;
                    }
                    let direct = below.parent().as_ref() == Some(above);
                    prop_assert!(!fine || !direct || wants <= have);
                }
            }
            prop_assert!(!fine || !broken);
        }
    }
}
