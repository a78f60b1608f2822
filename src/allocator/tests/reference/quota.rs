//! Quota for the slow, obvious allocator: what roles consume, are owed and may have.

use std::collections::{BTreeMap, BTreeSet};

use crate::resources::{Resource, ResourceName, Resources, Scalar, Value};
use crate::roles::Role;

use super::Reference;

/// True for what takes of its role's quota when it is allocated.
fn counts(item: &Resource) -> bool {
    !item.is_reserved() && !item.is_revocable() && item.scalar().is_some()
}

/// In thousandths.
fn amount(item: &Resource, name: &ResourceName) -> i128 {
    let scalar = item.scalar().filter(|_| item.name() == name);
    scalar.map_or(0, |scalar| scalar.thousandths().into())
}

impl Reference {
    /// What is reserved to a role or below, and what they hold besides.
    pub(in super::super) fn consumed(&self, role: &Role, name: &ResourceName) -> i128 {
        let totals = self.agents.values().flat_map(|agent| &agent.spec.total);
        let reserved = totals.filter(|item| item.reserved_role().is_some_and(|r| role.covers(r)));
        let held = self
            .held
            .iter()
            .filter(|((client, _), _)| role.covers(&client.1));
        let held = held.flat_map(|(_, held)| held).filter(|item| counts(item));
        reserved.chain(held).map(|item| amount(item, name)).sum()
    }

    /// What a role is still to get: its own guarantee, or those below it if they are more.
    fn owed(&self, role: &Role, name: &ResourceName) -> i128 {
        let own = self.quotas.get(role).map_or(0, |quota| {
            let guarantee = i128::from(quota.guarantees().get(name).thousandths());
            (guarantee - self.consumed(role, name)).max(0)
        });
        let below: i128 = self
            .roles_below(role)
            .iter()
            .map(|r| self.owed(r, name))
            .sum();
        own.max(below)
    }

    /// The roles one level below that have quota or are above one that has.
    fn roles_below(&self, role: &Role) -> BTreeSet<Role> {
        let all = self
            .quotas
            .keys()
            .flat_map(|r| r.ancestors().chain([r.clone()]));
        all.filter(|r| r.parent().as_ref() == Some(role)).collect()
    }

    /// What all top-level roles are still to get.
    fn owed_in_all(&self, name: &ResourceName) -> i128 {
        let tops: BTreeSet<Role> = self.quotas.keys().map(Role::top_level).collect();
        tops.iter().map(|role| self.owed(role, name)).sum()
    }

    fn free(&self, name: &ResourceName) -> i128 {
        let active = self.agents.iter().filter(|(_, agent)| agent.active);
        let free = active.flat_map(|(id, _)| self.available(id));
        free.filter(counts).map(|item| amount(&item, name)).sum()
    }

    /// For the role and each above it: what its limit leaves, and what is due to it by its
    /// guarantee, without what roles beside the path are owed.
    fn room_and_due(&self, role: &Role, name: &ResourceName) -> (i128, i128) {
        let (mut room, mut due) = (i128::MAX, 0);
        let mut on_path = None;
        for at in std::iter::once(role.clone()).chain(role.ancestors()) {
            let beside = self
                .roles_below(&at)
                .into_iter()
                .filter(|r| Some(r) != on_path.as_ref());
            let others: i128 = beside.map(|r| self.owed(&r, name)).sum();
            let used = self.consumed(&at, name);
            if let Some(quota) = self.quotas.get(&at) {
                if let Some(limit) = quota.limits().get(name) {
                    room = room.min((i128::from(limit.thousandths()) - used - others).max(0));
                }
                let guarantee = i128::from(quota.guarantees().get(name).thousandths());
                due = due.max((guarantee - used).max(0) - others);
            }
            on_path = Some(at);
        }
        (room, due)
    }

    /// What quota leaves of what a client sees, in the stage of guarantees or after it.
    pub(super) fn within_quota(
        &self,
        role: &Role,
        visible: &Resources,
        guarantees: bool,
    ) -> Resources {
        let mut left: BTreeMap<ResourceName, i128> = BTreeMap::new();
        let mut owed = false;
        for item in visible.iter().filter(|item| counts(item)) {
            let name = item.name();
            let (room, due) = self.room_and_due(role, name);
            let due = if guarantees { due } else { 0 };
            owed |= due > 0 && room > 0;
            let held = self.owed_in_all(name);
            let surplus = match held {
                0 => i128::MAX,
                held => (self.free(name) - held).max(0) + due,
            };
            left.insert(name.clone(), room.min(surplus));
        }
        if guarantees && !owed {
            return Resources::new();
        }
        let mut portion = Resources::new();
        for item in visible {
            let left = left.get_mut(item.name()).filter(|_| counts(item));
            let Some(left) = left else {
                portion.add(item.clone());
                continue;
            };
            let mut taken = amount(item, item.name()).min(*left);
            if *item.name() == ResourceName::GPUS {
                taken -= taken % 1000;
            }
            *left -= taken;
            let taken = Scalar::from_thousandths(i64::try_from(taken).unwrap());
            portion.add(item.clone().with_value(Value::Scalar(taken)));
        }
        portion
    }
}
