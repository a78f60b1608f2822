//! `mesosd explain`.

use clap::Args;
use serde_json::{Value, json};

use super::connect::Session;
use super::error::ClientError;
use super::output::{Format, Output};
use super::table::{Cell, Table};
use super::{agents, frameworks};
use crate::proto::v1;
use crate::proto::v1::master::{Explanation, explanation};

/// Most agents of a group that are named to people.
const AGENTS_MAX: usize = 5;

/// Which framework to explain.
#[derive(Args, Clone, Debug)]
pub(in crate::commands) struct ExplainArgs {
    /// The framework's id, the beginning of it, or its name.
    framework: String,
    /// One of its roles; without it all.
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// One agent: its id, the beginning of it, or its host name; without it all.
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
}

/// Says why a framework is offered what it is offered.
pub(super) async fn explain(
    session: &mut Session,
    output: &mut Output,
    arguments: &ExplainArgs,
) -> Result<(), ClientError> {
    let found = frameworks::fetch(session).await?;
    let framework = frameworks::find(&found.frameworks, &arguments.framework)?;
    let id = frameworks::id(framework).to_owned();
    let agent_id = match &arguments.agent {
        Some(name) => Some(agents::find(session, name).await?),
        None => None,
    };
    let call = v1::master::Call {
        r#type: Some(v1::master::call::Type::Explain.into()),
        explain: Some(v1::master::Explain {
            framework_id: v1::FrameworkId { value: id },
            role: arguments.role.clone(),
            agent_id,
        }),
        ..v1::master::Call::default()
    };
    let answer = session.call(call).await?.explain;
    let answer = answer.ok_or(ClientError::Incomplete {
        what: "master",
        field: "explain",
    })?;
    match output.format() {
        Format::Json => output.json(&json(&answer)),
        Format::Text => text(output, &answer),
    }
}

/// Stable keys for scripts.
fn json(answer: &Explanation) -> Value {
    let roles = answer.roles.iter().map(|role| {
        let position: Vec<Value> = role.position.iter().map(level_json).collect();
        let groups: Vec<Value> = role.groups.iter().map(group_json).collect();
        let demand = role.demand.as_ref().map(demand_json);
        json!({"role": role.role, "position": position, "demand": demand, "groups": groups})
    });
    json!({
        "framework_id": answer.framework_id.value,
        "framework": answer.name,
        "roles": roles.collect::<Vec<Value>>(),
    })
}

fn level_json(level: &explanation::Level) -> Value {
    json!({
        "label": level.label,
        "place": level.place,
        "siblings": level.siblings,
        "share": level.share,
        "history": level.history,
        "weight": level.weight,
    })
}

fn demand_json(demand: &explanation::Demand) -> Value {
    json!({
        "order": demand.order,
        "behind_on": demand.behind_on,
        "due_on": demand.due_on,
        "next_due_seconds": demand.next_due_seconds,
    })
}

fn group_json(group: &explanation::Group) -> Value {
    let agents = group.agents.iter().map(|agent| {
        let rivals = agent.rivals.iter().map(|rival| {
            json!({
                "framework_id": rival.framework_id.value,
                "framework": rival.name,
                "role": rival.role,
                "role_share": rival.role_share,
                "framework_share": rival.framework_share,
                "held_seconds": rival.held_seconds,
            })
        });
        json!({
            "agent_id": agent.agent_id.value,
            "agent": agent.hostname,
            "seconds_left": agent.seconds_left,
            "would_be_offered_if": agent.would_be_offered_if,
            "returned_offer_id": agent.returned_offer_id.as_ref().map(|id| &id.value),
            "rivals": rivals.collect::<Vec<Value>>(),
        })
    });
    json!({
        "reason": group.reason,
        "message": group.message,
        "would_be_offered_if": group.would_be_offered_if,
        "agents": agents.collect::<Vec<Value>>(),
    })
}

fn text(output: &mut Output, answer: &Explanation) -> Result<(), ClientError> {
    for (at, role) in answer.roles.iter().enumerate() {
        if at > 0 {
            output.line("")?;
        }
        output.line(&format!("{} in role {}", answer.name, role.role))?;
        output.table(&order(role))?;
        if let Some(demand) = role.demand.as_ref().and_then(demand) {
            output.line("")?;
            output.line(&demand)?;
        }
        output.line("")?;
        output.table(&reasons(role))?;
    }
    Ok(())
}

fn order(role: &explanation::Role) -> Table {
    let mut table = Table::new(&["ORDER", "PLACE", "OF", "SHARE", "HISTORY", "WEIGHT"]);
    for level in &role.position {
        let place = level
            .place
            .map_or_else(String::new, |place| place.to_string());
        table.row(vec![
            Cell::text(&level.label),
            Cell::number(place),
            Cell::number(level.siblings.to_string()),
            Cell::number(percent(level.share)),
            Cell::number(level.history.to_string()),
            Cell::number(super::table::decimal(level.weight)),
        ]);
    }
    table
}

/// What it has shown of its demand, if that has put it behind others.
fn demand(demand: &explanation::Demand) -> Option<String> {
    let (behind, due) = (demand.behind_on, demand.due_on);
    if behind == 0 && due == 0 {
        return None;
    }
    let next = demand
        .next_due_seconds
        .map(|seconds| format!(", the next in {seconds:.1} s"));
    Some(format!(
        "It has returned the like unused: it stands behind those who use it on {behind} agents, \
         and is due to be asked again on {due}{}.",
        next.unwrap_or_default()
    ))
}

fn reasons(role: &explanation::Role) -> Table {
    let mut table = Table::new(&["AGENTS", "REASON", "WOULD BE OFFERED IF", "WHICH", "WHO"]);
    for group in &role.groups {
        let (named, hidden) = group.agents.split_at(group.agents.len().min(AGENTS_MAX));
        let mut which: Vec<&str> = named.iter().map(|agent| agent.hostname.as_str()).collect();
        let more = format!("and {} more", hidden.len());
        if !hidden.is_empty() {
            which.push(&more);
        }
        table.row(vec![
            Cell::number(group.agents.len().to_string()),
            Cell::text(format!("{}: {}", group.reason, group.message)),
            Cell::text(group.would_be_offered_if()),
            Cell::text(which.join(", ")),
            Cell::text(rivals(group)),
        ]);
    }
    table
}

/// Who has what is asked about, each once.
fn rivals(group: &explanation::Group) -> String {
    let mut known: Vec<&explanation::Rival> = Vec::new();
    for rival in group.agents.iter().flat_map(|agent| &agent.rivals) {
        if !known
            .iter()
            .any(|one| one.framework_id == rival.framework_id)
        {
            known.push(rival);
        }
    }
    let shown = known.iter().take(AGENTS_MAX).map(|rival| {
        let held = rival
            .held_seconds
            .map(|held| format!(", held for {held:.1} s"));
        let (name, role) = (&rival.name, &rival.role);
        let share = percent(rival.role_share);
        format!(
            "{name} (role {role} has {share}{})",
            held.unwrap_or_default()
        )
    });
    let shown: Vec<String> = shown.collect();
    shown.join(", ")
}

fn percent(share: f64) -> String {
    format!("{:.3}%", share * 100.0)
}
