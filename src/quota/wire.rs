//! Quota in Mesos' messages.

use std::collections::BTreeMap;

use crate::proto::v1;
use crate::resources::{
    Quantities, ReservationForm, Resource, ResourceError, ResourceName, Scalar, Value,
};
use crate::roles::Role;

use super::{Limits, Part, Quota, QuotaError};

/// Most quotas that one call can set.
const CONFIGS_MAX: usize = 100_000;
/// Most resource names in one half of a quota.
const NAMES_MAX: usize = 100;

/// The quotas that an UPDATE_QUOTA asks for, all or none: each role once, top-level roles only. An
/// empty quota resets its role.
pub fn from_configs(
    configs: &[v1::quota::QuotaConfig],
) -> Result<BTreeMap<Role, Quota>, QuotaError> {
    if configs.len() > CONFIGS_MAX {
        return Err(QuotaError::TooMany(configs.len(), CONFIGS_MAX));
    }
    let mut quotas = BTreeMap::new();
    for config in configs {
        let (role, quota) = Quota::from_config(config)?;
        check_top_level(&role)?;
        if quotas.insert(role.clone(), quota).is_some() {
            return Err(QuotaError::RepeatedRole(role));
        }
    }
    Ok(quotas)
}

/// The quota that the older SET_QUOTA asks for: what it guarantees is the limit too.
pub fn from_request(request: &v1::quota::QuotaRequest) -> Result<(Role, Quota), QuotaError> {
    let role = Role::parse(request.role())?;
    check_top_level(&role)?;
    if request.guarantee.is_empty() {
        return Err(QuotaError::NoGuarantee(role));
    }
    check_names(&role, request.guarantee.len())?;
    let mut amounts = BTreeMap::new();
    for message in &request.guarantee {
        let (name, amount) = guarantee_item(&role, message)?;
        if amounts.insert(name.clone(), amount).is_some() {
            return Err(QuotaError::RepeatedName { role, name });
        }
    }
    let limits: Limits = amounts.clone().into_iter().collect();
    let quota = Quota::new(&role, amounts.into_iter().collect(), limits)?;
    Ok((role, quota))
}

fn check_top_level(role: &Role) -> Result<(), QuotaError> {
    if role.is_top_level() {
        Ok(())
    } else {
        Err(QuotaError::NestedRole(role.clone()))
    }
}

fn check_names(role: &Role, count: usize) -> Result<(), QuotaError> {
    if count <= NAMES_MAX {
        return Ok(());
    }
    Err(QuotaError::TooManyNames {
        role: role.clone(),
        count,
        most: NAMES_MAX,
    })
}

/// A resource of an older guarantee: a name and an amount, nothing else.
fn guarantee_item(
    role: &Role,
    message: &v1::Resource,
) -> Result<(ResourceName, Scalar), QuotaError> {
    let wrong = |cause| QuotaError::Amount {
        role: role.clone(),
        part: Part::Guarantee,
        cause,
    };
    let item =
        Resource::from_proto(message).map_err(|error| wrong(error.of_item(&message.name)))?;
    let name = item.name().clone();
    let Some(amount) = item.scalar() else {
        return Err(QuotaError::NotScalar {
            role: role.clone(),
            part: Part::Guarantee,
            name,
        });
    };
    let qualities = [
        (item.is_reserved(), "reserved"),
        (item.is_revocable(), "revocable"),
        (item.disk().is_some(), "a volume or a disk of a kind"),
        (item.is_shared(), "shared"),
        (item.allocated_role().is_some(), "allocated to a role"),
    ];
    match qualities.into_iter().find(|(is, _)| *is) {
        None => Ok((name, amount)),
        Some((_, what)) => Err(QuotaError::Qualified {
            role: role.clone(),
            name,
            what,
        }),
    }
}

fn scalars(
    role: &Role,
    part: Part,
    amounts: &BTreeMap<String, v1::value::Scalar>,
) -> Result<BTreeMap<ResourceName, Scalar>, QuotaError> {
    check_names(role, amounts.len())?;
    let read = |(name, amount): (&String, &v1::value::Scalar)| {
        let read = || Ok((ResourceName::parse(name)?, Scalar::from_f64(amount.value)?));
        read().map_err(|error: ResourceError| QuotaError::Amount {
            role: role.clone(),
            part,
            cause: error.of_item(name),
        })
    };
    amounts.iter().map(read).collect()
}

fn message(amount: Scalar) -> v1::value::Scalar {
    v1::value::Scalar {
        value: amount.as_f64(),
    }
}

impl Quota {
    /// Reads the quota of one role, which may be any.
    pub fn from_config(config: &v1::quota::QuotaConfig) -> Result<(Role, Self), QuotaError> {
        let role = Role::parse(&config.role)?;
        let guarantees = scalars(&role, Part::Guarantee, &config.guarantees)?;
        let limits = scalars(&role, Part::Limit, &config.limits)?;
        let quota = Self::new(
            &role,
            guarantees.into_iter().collect::<Quantities>(),
            limits.into_iter().collect(),
        )?;
        Ok((role, quota))
    }

    /// As GET_QUOTA and the registry tell it.
    #[must_use]
    pub fn to_config(&self, role: &Role) -> v1::quota::QuotaConfig {
        let entry = |(name, amount): (&ResourceName, Scalar)| (name.to_string(), message(amount));
        v1::quota::QuotaConfig {
            role: role.to_string(),
            guarantees: self.guarantees().iter().map(entry).collect(),
            limits: self.limits().iter().map(entry).collect(),
        }
    }

    /// The guarantee as older clients of GET_QUOTA read it; none when nothing is guaranteed.
    #[must_use]
    pub fn to_info(&self, role: &Role) -> Option<v1::quota::QuotaInfo> {
        // What cannot be a resource, like a part of a gpu, older clients do not see.
        let known = |(name, amount): (&ResourceName, Scalar)| {
            let item = Resource::new(name.clone(), Value::Scalar(amount));
            Some(item.ok()?.to_proto(ReservationForm::Flat))
        };
        let guarantee: Vec<v1::Resource> = self.guarantees().iter().filter_map(known).collect();
        (!guarantee.is_empty()).then(|| v1::quota::QuotaInfo {
            role: Some(role.to_string()),
            principal: None,
            guarantee,
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::resources::parse;

    fn amounts(list: &[(&str, f64)]) -> BTreeMap<String, v1::value::Scalar> {
        list.iter()
            .map(|(name, value)| ((*name).to_owned(), v1::value::Scalar { value: *value }))
            .collect()
    }

    fn config(
        role: &str,
        guarantees: &[(&str, f64)],
        limits: &[(&str, f64)],
    ) -> v1::quota::QuotaConfig {
        v1::quota::QuotaConfig {
            role: role.to_owned(),
            guarantees: amounts(guarantees),
            limits: amounts(limits),
        }
    }

    fn refusal(configs: &[v1::quota::QuotaConfig]) -> String {
        from_configs(configs).unwrap_err().to_string()
    }

    #[test]
    fn good_configs() {
        let configs = [
            config("a", &[("cpus", 1.5)], &[("cpus", 1.5), ("foo", 0.0)]),
            config("*", &[], &[("mem", (1_u64 << 40) as f64)]),
            config("b", &[("foo", 1e12)], &[]),
            config("c", &[], &[]),
        ];
        let quotas = from_configs(&configs).unwrap();
        let shown: Vec<String> = quotas
            .iter()
            .map(|(role, quota)| format!("{role} {} {}", quota.guarantees(), quota.limits()))
            .collect();
        assert_eq!(
            shown,
            [
                "*  mem:1099511627776",
                "a cpus:1.5 cpus:1.5;foo:0",
                "b foo:1000000000000 ",
                "c  "
            ]
        );
        assert!(quotas[&Role::parse("c").unwrap()].is_default());
        for config in &configs {
            let (role, quota) = Quota::from_config(config).unwrap();
            assert_eq!(quota.to_config(&role), *config);
        }
    }

    #[test]
    fn bad_configs_are_refused_by_name() {
        let cases = [
            (config("", &[], &[]), "quota: a role name must not be empty"),
            (
                config("a/b", &[], &[]),
                "quota for role 'a/b': only top-level roles can have quota; set it for 'a'",
            ),
            (
                config("a", &[("cpus", -1.0)], &[]),
                "quota for role 'a': guarantee of resource 'cpus': -1 is negative",
            ),
            (
                config("a", &[], &[("mem", f64::NAN)]),
                "quota for role 'a': limit of resource 'mem': NaN is not a finite number",
            ),
            (
                config("a", &[], &[("mem", f64::INFINITY)]),
                "quota for role 'a': limit of resource 'mem': inf is not a finite number",
            ),
            (
                config("a", &[], &[("disk", 1.2e12)]),
                "quota for role 'a': limit of resource 'disk': 1200000000000 is too large: at \
                 most 1099511627776 can be given",
            ),
            (
                config("a", &[], &[("cpus", 1.05e12)]),
                "quota for role 'a': limit of cpus is 1050000000000: at most 1000000000000 can be \
                 given",
            ),
            (
                config("a", &[("ports", 1.0)], &[]),
                "quota for role 'a': ports is not a scalar, so it can have no guarantee",
            ),
            (
                config("a", &[("cpus", 2.0)], &[("cpus", 1.999)]),
                "quota for role 'a': limit of cpus is 1.999, below its guarantee of 2",
            ),
            (
                config("a", &[("a b", 2.0)], &[]),
                "quota for role 'a': guarantee of resource 'a b': the name \"a b\" must not hold \
                 white space or any of :;()[]{}",
            ),
        ];
        for (config, said) in cases {
            assert_eq!(refusal(&[config]), said);
        }
        let twice = [config("a", &[], &[]), config("a", &[("cpus", 1.0)], &[])];
        assert_eq!(refusal(&twice), "quota for role 'a' is given twice");
    }

    fn request(role: &str, guarantee: &str) -> Result<(Role, Quota), QuotaError> {
        let guarantee = parse(guarantee, &Role::DEFAULT).unwrap();
        from_request(&v1::quota::QuotaRequest {
            force: None,
            role: Some(role.to_owned()),
            guarantee: guarantee.to_proto(ReservationForm::Flat),
        })
    }

    #[test]
    fn the_older_request_limits_what_it_guarantees() {
        let (role, quota) = request("a", "cpus:2;mem:100").unwrap();
        assert_eq!(quota.guarantees().to_string(), "cpus:2;mem:100");
        assert_eq!(quota.limits().to_string(), "cpus:2;mem:100");
        let info = quota.to_info(&role).unwrap();
        assert_eq!(info.role(), "a");
        let back = from_request(&v1::quota::QuotaRequest {
            force: None,
            role: info.role,
            guarantee: info.guarantee,
        });
        assert_eq!(back, Ok((role, quota)));
        assert_eq!(Quota::default().to_info(&Role::DEFAULT), None);
    }

    #[test]
    fn bad_requests_are_refused_by_name() {
        let cases = [
            ("", "cpus:1", "quota: a role name must not be empty"),
            (
                "a",
                "",
                "quota for role 'a': a guarantee must be set; to remove quota use REMOVE_QUOTA",
            ),
            (
                "a",
                "ports:[1-2]",
                "quota for role 'a': ports is not a scalar, so it can have no guarantee",
            ),
            (
                "a",
                "cpus(a):1",
                "quota for role 'a': guarantee of cpus must not be reserved",
            ),
        ];
        for (role, guarantee, said) in cases {
            assert_eq!(request(role, guarantee).unwrap_err().to_string(), said);
        }
        let item = Resource::cpus(Scalar::whole(1)).to_proto(ReservationForm::Flat);
        let revocable = v1::Resource {
            revocable: Some(v1::resource::RevocableInfo::default()),
            ..item.clone()
        };
        let said = |guarantee: Vec<v1::Resource>| {
            let role = Some("a".to_owned());
            let request = v1::quota::QuotaRequest {
                force: None,
                role,
                guarantee,
            };
            from_request(&request).unwrap_err().to_string()
        };
        assert_eq!(
            said(vec![revocable]),
            "quota for role 'a': guarantee of cpus must not be revocable"
        );
        assert_eq!(
            said(vec![item.clone(), item]),
            "quota for role 'a': cpus is given twice"
        );
    }

    proptest! {
        #[test]
        fn configs_come_back(
            names in proptest::collection::btree_map("[a-z]{1,4}", (0_u32..9000, 0_u32..9), 0..4)
        ) {
            let scalar = |steps: u32| Scalar::from_thousandths(steps.into());
            let named = |name: &str| ResourceName::parse(name).unwrap();
            let role = Role::parse("a").unwrap();
            let guarantees = names.iter().map(|(name, (low, _))| (named(name), scalar(*low)));
            let limits = names.iter().map(|(name, (low, more))| (named(name), scalar(low + more)));
            let quota = Quota::new(&role, guarantees.collect(), limits.collect()).unwrap();
            let sent = quota.to_config(&role);
            prop_assert_eq!(from_configs(&[sent]).unwrap(), BTreeMap::from([(role, quota)]));
        }
    }
}
