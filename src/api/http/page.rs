//! The status page: what runs here, in a few lines of HTML.

use std::fmt::Write as _;

use crate::api::service::daemon::Daemon;
use crate::resources::{Quantities, ResourceName};
use crate::{agent, master};

/// A master's page.
pub(super) fn master(snapshot: &master::Snapshot, daemon: &Daemon) -> String {
    let tasks = snapshot.tasks().count();
    let cluster = daemon.flags.iter().find(|flag| flag.name == "cluster");
    let cluster = cluster.and_then(|flag| flag.value.clone());
    let rows = [
        ("cluster", cluster.unwrap_or_default()),
        ("master", snapshot.master.id.clone()),
        (
            "up since",
            format!(
                "{:.0} s",
                snapshot.taken.since(snapshot.started).as_secs_f64()
            ),
        ),
        ("agents", snapshot.agents.len().to_string()),
        ("frameworks", snapshot.frameworks.len().to_string()),
        ("tasks", tasks.to_string()),
        ("offers", snapshot.offers.len().to_string()),
        ("in use", in_use(snapshot)),
    ];
    page("master", daemon, &rows)
}

/// What tasks and executors hold of all that agents have.
fn in_use(snapshot: &master::Snapshot) -> String {
    let (mut total, mut used) = (Quantities::new(), Quantities::new());
    for agent in snapshot.agents.values() {
        total.add(&agent.total.quantities());
        used.add(&snapshot.agent_allocated(agent).quantities());
    }
    let share = |(name, unit): (&str, &str)| {
        let key = ResourceName::parse(name).ok()?;
        let (of, is) = (total.get(&key).as_f64(), used.get(&key).as_f64());
        (of > 0.0).then(|| format!("{is} of {of} {name}{unit}"))
    };
    let all = [
        ("cpus", ""),
        ("gpus", ""),
        ("mem", " (MB)"),
        ("disk", " (MB)"),
    ];
    let all: Vec<String> = all.into_iter().filter_map(share).collect();
    all.join(", ")
}

/// The page of a master that does not lead.
pub(super) fn standby(leader: Option<String>, daemon: &Daemon) -> String {
    let rows = [(
        "leader",
        leader.unwrap_or_else(|| "none is known".to_owned()),
    )];
    page("standby master", daemon, &rows)
}

/// An agent's page.
pub(super) fn agent(snapshot: &agent::Snapshot, daemon: &Daemon) -> String {
    let id = snapshot
        .info
        .id
        .as_ref()
        .map_or("not registered", |id| id.value.as_str());
    let master = match &snapshot.master {
        Some(master) if snapshot.registered => master.id.clone(),
        _ => "none".to_owned(),
    };
    let tasks: usize = snapshot
        .executors()
        .map(|executor| executor.tasks.len())
        .sum();
    let rows = [
        ("agent", id.to_owned()),
        ("host", snapshot.info.hostname.clone()),
        ("master", master),
        (
            "up since",
            format!(
                "{:.0} s",
                snapshot.now.wall.since(snapshot.started).as_secs_f64()
            ),
        ),
        ("resources", snapshot.total.to_string()),
        ("frameworks", snapshot.frameworks.len().to_string()),
        ("executors", snapshot.executors().count().to_string()),
        ("tasks", tasks.to_string()),
    ];
    page("agent", daemon, &rows)
}

fn page(role: &str, daemon: &Daemon, rows: &[(&str, String)]) -> String {
    let mut text = format!(
        "<!doctype html><meta charset=utf-8><title>mesosd {role}</title>\
         <style>body{{font:1em sans-serif;margin:2em}}td{{padding:.2em 1em .2em 0}}</style>\
         <h1>mesosd {role}</h1><table>\n"
    );
    let version = ("version", daemon.version.version.clone());
    let told = |row: &&(&str, String)| !row.1.is_empty();
    for (name, value) in rows.iter().chain([&version]).filter(told) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "<tr><td>{name}<td>{}", escaped(value));
    }
    text.push_str(
        "</table><p><a href=health>health</a> <a href=version>version</a> \
         <a href=metrics/snapshot>metrics</a> <a href=help>all endpoints</a>\n",
    );
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn names_chosen_by_others_are_no_markup() {
        let rows = [("host", "<script>&".to_owned())];
        let text = page("agent", &Daemon::new(Metrics::new()), &rows);
        assert!(text.contains("<td>&lt;script&gt;&amp;"), "{text}");
    }
}
