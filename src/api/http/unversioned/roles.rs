//! `/roles`: who shares the cluster, and how.

use std::collections::BTreeMap;

use super::pieces::{double, text, texts};
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use super::resources::quantities;
use crate::api::http::shared::Shared;
use crate::base::FrameworkId;
use crate::master::Snapshot;
use crate::proto::json::writer::Writer;
use crate::resources::{Quantities, Resources};
use crate::roles::Role;

/// One role's share.
#[derive(Default)]
struct Share<'a> {
    frameworks: Vec<&'a FrameworkId>,
    allocated: Quantities,
    offered: Quantities,
    reserved: Quantities,
}

fn shares(snapshot: &Snapshot) -> BTreeMap<Role, Share<'_>> {
    let mut all: BTreeMap<Role, Share<'_>> = BTreeMap::new();
    for framework in snapshot.frameworks.values() {
        for role in &framework.roles {
            let share = all.entry(role.clone()).or_default();
            share.frameworks.push(&framework.id);
        }
        let held = snapshot.framework_allocated(framework);
        for (role, held) in held.allocations() {
            let share = all.entry(role).or_default();
            share.allocated.add(&held.quantities());
        }
        let offered = snapshot.framework_offered(framework);
        for (role, offered) in offered.allocations() {
            let share = all.entry(role).or_default();
            share.offered.add(&offered.quantities());
        }
    }
    for role in snapshot.weights.keys().chain(snapshot.quotas.keys()) {
        all.entry(role.clone()).or_default();
    }
    for agent in snapshot.agents.values() {
        for (role, reserved) in Resources::reservations(&agent.total) {
            all.entry(role)
                .or_default()
                .reserved
                .add(&reserved.quantities());
        }
    }
    all
}

fn role(
    w: &mut Writer,
    snapshot: &Snapshot,
    (role, share): (&Role, &Share<'_>),
    consumed: Option<&Quantities>,
) {
    let none = Quantities::new();
    let weight = snapshot.weights.get(role).copied().unwrap_or_default();
    let quota = snapshot.quotas.get(role).cloned().unwrap_or_default();
    let mut resources = share.allocated.clone();
    resources.add(&share.offered);
    w.open();
    text(w, "\"name\":", role.as_str());
    double(w, "\"weight\":", weight.as_f64());
    w.key("\"quota\":");
    w.open();
    text(w, "\"role\":", role.as_str());
    quantities(w, "\"guarantee\":", quota.guarantees());
    w.key("\"limit\":");
    w.open();
    for (name, limit) in quota.limits().iter() {
        w.name(name.as_str());
        w.double(limit.as_f64());
    }
    w.close();
    quantities(w, "\"consumed\":", consumed.unwrap_or(&none));
    w.close();
    quantities(w, "\"resources\":", &resources);
    quantities(w, "\"allocated\":", &share.allocated);
    quantities(w, "\"offered\":", &share.offered);
    quantities(w, "\"reserved\":", &share.reserved);
    let frameworks = share.frameworks.iter().map(|id| id.as_str());
    texts(w, "\"frameworks\":", frameworks);
    w.close();
}

/// `/roles`.
pub(super) async fn answer(shared: Shared, request: Request) -> Result<Reply, Refusal> {
    let parameters = String::new();
    let reply = Reply::of_state(
        &shared,
        &request,
        "/roles",
        parameters,
        move |parts, snapshot, _| {
            let w = parts.text();
            w.open();
            w.key("\"roles\":");
            w.open_list();
            let consumed = snapshot.quota_consumption();
            for (name, share) in &shares(snapshot) {
                w.item();
                role(w, snapshot, (name, share), consumed.get(name));
            }
            w.close_list();
            w.close();
        },
    );
    Ok(reply.await?)
}
