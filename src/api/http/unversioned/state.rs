//! `/state`: everything.

use std::sync::Arc;

use super::agents;
use super::frameworks;
use super::pieces::{double, message, optional, text, texts, time};
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use crate::api::http::shared::Shared;
use crate::api::service::daemon::Daemon;
use crate::master::Snapshot;
use crate::proto::json::writer::Writer;
use crate::proto::v1;

/// The value of a flag, if it is set.
pub(super) fn flag<'a>(daemon: &'a Daemon, name: &str) -> Option<&'a str> {
    let flag = daemon.flags.iter().find(|flag| flag.name == name);
    let value = flag.and_then(|flag| flag.value.as_deref());
    value.filter(|value| !value.is_empty())
}

/// The members that say what was built, when, from what.
pub(super) fn version(w: &mut Writer, info: &v1::VersionInfo) {
    text(w, "\"version\":", &info.version);
    optional(w, "\"git_sha\":", info.git_sha.as_deref());
    optional(w, "\"git_branch\":", info.git_branch.as_deref());
    optional(w, "\"git_tag\":", info.git_tag.as_deref());
    optional(w, "\"build_date\":", info.build_date.as_deref());
    if let Some(at) = info.build_time {
        double(w, "\"build_time\":", at);
    }
    optional(w, "\"build_user\":", info.build_user.as_deref());
}

/// The member `flags`.
pub(super) fn flags(w: &mut Writer, daemon: &Daemon) {
    w.key("\"flags\":");
    w.open();
    for flag in daemon.flags.iter() {
        w.name(&flag.name);
        w.string(flag.value.as_deref().unwrap_or_default());
    }
    w.close();
}

/// The members that describe the master itself.
fn head(w: &mut Writer, snapshot: &Snapshot, daemon: &Daemon) {
    let master = &*snapshot.master;
    version(w, &daemon.version);
    time(w, "\"start_time\":", snapshot.started);
    time(w, "\"elected_time\":", snapshot.elected());
    text(w, "\"id\":", &master.id);
    text(w, "\"pid\":", master.pid());
    text(w, "\"hostname\":", master.hostname());
    let capabilities = master.capabilities.iter();
    let capabilities = capabilities.map(|one| one.r#type().as_str_name());
    texts(w, "\"capabilities\":", capabilities);
    let agents = snapshot.agents.len();
    let active = snapshot.agents.values().filter(|agent| agent.is_active());
    let active = active.count();
    let unreachable = snapshot.unreachable_agents.len();
    double(w, "\"activated_slaves\":", active as f64);
    double(w, "\"deactivated_slaves\":", (agents - active) as f64);
    double(w, "\"unreachable_slaves\":", unreachable as f64);
    message(w, "\"domain\":", master.domain.as_ref());
    text(w, "\"leader\":", master.pid());
    w.key("\"leader_info\":");
    w.open();
    text(w, "\"id\":", &master.id);
    text(w, "\"pid\":", master.pid());
    w.key("\"port\":");
    w.uint32(master.port);
    text(w, "\"hostname\":", master.hostname());
    message(w, "\"domain\":", master.domain.as_ref());
    w.close();
    optional(w, "\"cluster\":", flag(daemon, "cluster"));
    optional(w, "\"log_dir\":", flag(daemon, "log_dir"));
    let log = flag(daemon, "external_log_file");
    optional(w, "\"external_log_file\":", log);
    flags(w, daemon);
}

/// `/state`.
pub(super) async fn answer(shared: Shared, request: Request) -> Result<Reply, Refusal> {
    let parameters = String::new();
    let reply = Reply::of_state(
        &shared,
        &request,
        "/state",
        parameters,
        move |parts, snapshot, calls| {
            parts.text().open();
            head(parts.text(), snapshot, calls.daemon());
            parts.text().key("\"slaves\":");
            let all = snapshot.agents.values().map(Arc::as_ref);
            parts.list(all.collect(), |w, agent| agents::agent(w, snapshot, agent));
            parts.text().key("\"recovered_slaves\":");
            let lost = snapshot.recovered_agents.values().map(Arc::as_ref);
            parts.list(lost.collect(), agents::recovered);
            frameworks::lists(parts, snapshot, None);
            for key in ["\"orphan_tasks\":", "\"unregistered_frameworks\":"] {
                parts.text().key(key);
                parts.text().raw("[]");
            }
            parts.text().close();
        },
    );
    Ok(reply.await?)
}
