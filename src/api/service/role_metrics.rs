//! Gauges of roles: quota and what it leaves, shares, filters. All but the filters follow from the
//! snapshot, so that the master's loop does not count them.

use std::collections::BTreeMap;

use crate::master::Snapshot;
use crate::resources::{Quantities, Resources};
use crate::roles::Role;
use crate::telemetry::Sample;

/// One gauge of a role.
struct Gauge<'a> {
    role: &'a Role,
    /// The resource that it is about, if it is about one.
    resource: Option<&'a str>,
    kind: Kind,
    value: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Guarantee,
    Limit,
    Consumed,
    OfferedOrAllocated,
    Share,
    Filters,
}

impl Kind {
    /// The last part of the name under Mesos' names.
    const fn path(self) -> &'static str {
        match self {
            Self::Guarantee => "guarantee",
            Self::Limit => "limit",
            Self::Consumed => "consumed",
            Self::OfferedOrAllocated => "offered_or_allocated",
            Self::Share => "shares/dominant",
            Self::Filters => "active",
        }
    }

    /// Name and explanation for Prometheus.
    const fn described(self) -> (&'static str, &'static str) {
        match self {
            Self::Guarantee => (
                "allocator/role_quota_guarantee",
                "What a role is guaranteed of a resource (megabytes of mem and disk).",
            ),
            Self::Limit => (
                "allocator/role_quota_limit",
                "What a role may have of a resource (megabytes of mem and disk).",
            ),
            Self::Consumed => (
                "allocator/role_quota_consumed",
                "What a role has of a resource: reservations, and what its tasks hold besides.",
            ),
            Self::OfferedOrAllocated => (
                "allocator/role_quota_offered_or_allocated",
                "What a role with quota is offered or holds of a resource.",
            ),
            Self::Share => (
                "allocator/role_dominant_share",
                "Dominant share of the cluster that a role holds or is offered, by its weight.",
            ),
            Self::Filters => (
                "allocator/role_offer_filters",
                "Filters of declined offers that are in force, by role.",
            ),
        }
    }
}

impl Gauge<'_> {
    fn name(&self) -> String {
        let (role, path) = (self.role, self.kind.path());
        match (self.kind, self.resource) {
            (Kind::Share, _) => format!("allocator/mesos/roles/{role}/{path}"),
            (Kind::Filters, _) => format!("allocator/mesos/offer_filters/roles/{role}/{path}"),
            (_, resource) => {
                let resource = resource.unwrap_or_default();
                format!("allocator/mesos/quota/roles/{role}/resources/{resource}/{path}")
            }
        }
    }
}

/// Under Mesos' names.
pub(super) fn by_name(
    snapshot: &Snapshot,
    filters: &BTreeMap<Role, usize>,
    all: &mut BTreeMap<String, f64>,
) {
    let figures = Figures::of(snapshot);
    all.extend((figures.gauges(snapshot, filters)).map(|gauge| (gauge.name(), gauge.value)));
}

/// For Prometheus.
pub(super) fn samples(snapshot: &Snapshot, filters: &BTreeMap<Role, usize>, all: &mut Vec<Sample>) {
    let figures = Figures::of(snapshot);
    all.extend(figures.gauges(snapshot, filters).map(|gauge| {
        let (name, help) = gauge.kind.described();
        let mut labels = vec![("role", gauge.role.to_string())];
        labels.extend(gauge.resource.map(|name| ("resource", name.to_owned())));
        Sample {
            name: name.to_owned(),
            help: help.to_owned(),
            counts: false,
            labels,
            value: gauge.value,
        }
    }));
}

/// What roles have, with all roles below them.
struct Figures {
    /// Reservations, and what is held besides.
    consumed: BTreeMap<Role, Quantities>,
    /// Everything that is held or offered.
    having: BTreeMap<Role, Quantities>,
    /// The part of it that quota counts.
    counted: BTreeMap<Role, Quantities>,
    total: Quantities,
}

impl Figures {
    fn of(snapshot: &Snapshot) -> Self {
        let mut figures = Self {
            consumed: snapshot.quota_consumption(),
            having: BTreeMap::new(),
            counted: BTreeMap::new(),
            total: Quantities::new(),
        };
        for framework in snapshot.frameworks.values() {
            // Roles without anything have a share, too: none.
            for role in &framework.roles {
                figures.having.entry(role.clone()).or_default();
            }
        }
        for agent in snapshot.agents.values() {
            figures.total.add(&agent.total.quantities());
            figures.hold(&snapshot.agent_allocated(agent));
        }
        for offer in snapshot.offers.values() {
            figures.hold(&offer.resources);
        }
        figures
    }

    fn hold(&mut self, resources: &Resources) {
        for (role, held) in resources.allocations() {
            let counted = held.nonrevocable().quantities();
            for role in std::iter::once(role.clone()).chain(role.ancestors()) {
                self.counted.entry(role.clone()).or_default().add(&counted);
                self.having.entry(role).or_default().add(&held.quantities());
            }
        }
    }

    /// The largest part that a role has of anything.
    fn share(&self, held: &Quantities) -> f64 {
        let parts = held.iter().map(|(name, amount)| {
            let total = self.total.get(name);
            match total.is_zero() {
                true => 0.0,
                false => amount.as_f64() / total.as_f64(),
            }
        });
        parts.fold(0.0, f64::max)
    }

    fn gauges<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        filters: &'a BTreeMap<Role, usize>,
    ) -> impl Iterator<Item = Gauge<'a>> {
        let mut all: Vec<Gauge<'a>> = Vec::new();
        let mut put = |role: &'a Role, resource: Option<&'a str>, kind: Kind, value: f64| {
            all.push(Gauge {
                role,
                resource,
                kind,
                value,
            });
        };
        for (role, quota) in &snapshot.quotas {
            let counted = self.counted.get(role);
            for (name, amount) in quota.guarantees().iter() {
                put(role, Some(name.as_str()), Kind::Guarantee, amount.as_f64());
                let having = counted.map_or(0.0, |counted| counted.get(name).as_f64());
                put(role, Some(name.as_str()), Kind::OfferedOrAllocated, having);
            }
            for (name, amount) in quota.limits().iter() {
                put(role, Some(name.as_str()), Kind::Limit, amount.as_f64());
                if quota.guarantees().get(name).is_zero() {
                    let having = counted.map_or(0.0, |counted| counted.get(name).as_f64());
                    put(role, Some(name.as_str()), Kind::OfferedOrAllocated, having);
                }
            }
        }
        for (role, consumed) in &self.consumed {
            for (name, amount) in consumed.iter() {
                put(role, Some(name.as_str()), Kind::Consumed, amount.as_f64());
            }
        }
        for (role, held) in &self.having {
            let weight = snapshot.weights.get(role).copied().unwrap_or_default();
            put(role, None, Kind::Share, self.share(held) / weight.as_f64());
            let filters = filters.get(role).copied().unwrap_or(0);
            put(role, None, Kind::Filters, filters as f64);
        }
        all.into_iter()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_mesos() {
        let role = Role::parse("eng/web").unwrap();
        let name = |kind, resource| {
            let gauge = Gauge {
                role: &role,
                resource,
                kind,
                value: 1.0,
            };
            gauge.name()
        };
        assert_eq!(
            name(Kind::Consumed, Some("cpus")),
            "allocator/mesos/quota/roles/eng/web/resources/cpus/consumed"
        );
        assert_eq!(
            name(Kind::Filters, None),
            "allocator/mesos/offer_filters/roles/eng/web/active"
        );
        assert_eq!(
            name(Kind::Share, None),
            "allocator/mesos/roles/eng/web/shares/dominant"
        );
    }
}
