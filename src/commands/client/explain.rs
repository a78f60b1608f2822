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

/// Most agents, or frameworks, of a group that are named to people.
const NAMED_MAX: usize = 5;

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
        output.table(&order(answer, role))?;
        if let Some(demand) = role.demand.as_ref().and_then(demand) {
            output.line("")?;
            output.line(&demand)?;
        }
        for group in &role.groups {
            output.line("")?;
            for line in reason(group) {
                output.line(&line)?;
            }
        }
    }
    Ok(())
}

/// The places on the way down to the framework; where there is nothing to be first of, none.
fn order(answer: &Explanation, role: &explanation::Role) -> Table {
    let mut table = Table::new(&["ORDER", "PLACE", "OF", "SHARE", "HISTORY", "WEIGHT"]);
    for level in &role.position {
        let own = level.label == ".";
        if own && level.siblings < 2 {
            continue;
        }
        let label = match &*level.label {
            "." => format!("{} itself", role.role),
            label if label == answer.framework_id.value => answer.name.clone(),
            label => label.to_owned(),
        };
        let place = level
            .place
            .map_or_else(String::new, |place| place.to_string());
        table.row(vec![
            Cell::text(label),
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
        "It has returned the like unused: it stands behind those who use it on {}, and is due to be \
         asked again on {due}{}.",
        count(usize::try_from(behind).unwrap_or(usize::MAX)),
        next.unwrap_or_default()
    ))
}

/// One reason, whom it is about, and what would change it.
fn reason(group: &explanation::Group) -> Vec<String> {
    let agents = count(group.agents.len());
    let mut lines = vec![format!("{agents}: {}  ({})", group.message, group.reason)];
    let mut line = |what: &str, text: String| {
        if !text.is_empty() {
            lines.push(format!("  {what:<21}{text}"));
        }
    };
    let rivals = rivals(group);
    line("by", first_of(&rivals));
    line(
        "would be offered if",
        group.would_be_offered_if().to_owned(),
    );
    let hosts = group.agents.iter().map(|agent| agent.hostname.clone());
    line("agents", first_of(&hosts.collect::<Vec<String>>()));
    lines
}

/// Who has what is asked about, each once, the longest first.
fn rivals(group: &explanation::Group) -> Vec<String> {
    let mut known: Vec<&explanation::Rival> = Vec::new();
    for rival in group.agents.iter().flat_map(|agent| &agent.rivals) {
        let same = |one: &&mut &explanation::Rival| one.framework_id == rival.framework_id;
        match known.iter_mut().find(same) {
            Some(one) if one.held_seconds < rival.held_seconds => *one = rival,
            Some(_) => {}
            None => known.push(rival),
        }
    }
    known.sort_by(|a, b| b.held_seconds().total_cmp(&a.held_seconds()));
    let shown = known.into_iter().map(|rival| {
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
    shown.collect()
}

/// The first few, and how many there are besides.
fn first_of(names: &[String]) -> String {
    let (named, hidden) = names.split_at(names.len().min(NAMED_MAX));
    let mut text = named.join(", ");
    if !hidden.is_empty() {
        text.push_str(&format!(", and {} more", hidden.len()));
    }
    text
}

fn count(agents: usize) -> String {
    match agents {
        1 => "1 agent".to_owned(),
        _ => format!("{agents} agents"),
    }
}

fn percent(share: f64) -> String {
    format!("{:.3}%", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(number: u32, rivals: &[(&str, f64)]) -> explanation::Agent {
        let rivals = rivals.iter().map(|(name, held)| explanation::Rival {
            framework_id: v1::FrameworkId {
                value: (*name).to_owned(),
            },
            name: (*name).to_owned(),
            role: "services".to_owned(),
            role_share: 0.5,
            framework_share: 0.5,
            held_seconds: Some(*held),
        });
        explanation::Agent {
            hostname: format!("h{number}"),
            rivals: rivals.collect(),
            ..explanation::Agent::default()
        }
    }

    #[test]
    fn a_reason_names_agents_rivals_and_the_remedy_in_short() {
        let mut agents: Vec<_> = (1..=6)
            .map(|number| agent(number, &[("web", 1.0)]))
            .collect();
        agents.push(agent(7, &[("web", 9.0), ("db", 4.0)]));
        let mut group = explanation::Group {
            reason: "outranked".to_owned(),
            message: "offered to others".to_owned(),
            would_be_offered_if: Some("web returns it".to_owned()),
            agents,
        };
        let expected = [
            "7 agents: offered to others  (outranked)",
            "  by                   web (role services has 50.000%, held for 9.0 s), \
             db (role services has 50.000%, held for 4.0 s)",
            "  would be offered if  web returns it",
            "  agents               h1, h2, h3, h4, h5, and 2 more",
        ];
        assert_eq!(reason(&group), expected);
        group.agents = vec![agent(1, &[])];
        group.would_be_offered_if = None;
        let expected = [
            "1 agent: offered to others  (outranked)",
            "  agents               h1",
        ];
        assert_eq!(reason(&group), expected);
    }

    #[test]
    fn the_order_calls_the_framework_by_its_name() {
        let level = |label: &str, siblings| explanation::Level {
            label: label.to_owned(),
            place: Some(1),
            siblings,
            share: 0.25,
            history: 3,
            weight: 2.0,
        };
        let mut answer = Explanation {
            framework_id: v1::FrameworkId {
                value: "m-0001".to_owned(),
            },
            name: "web".to_owned(),
            roles: Vec::new(),
        };
        answer.roles.push(explanation::Role {
            role: "ci".to_owned(),
            position: vec![level("ci", 2), level(".", 1), level("m-0001", 4)],
            ..explanation::Role::default()
        });
        let shown = |answer: &Explanation| order(answer, &answer.roles[0]).render(false);
        let text = shown(&answer);
        let firsts: Vec<_> = text
            .lines()
            .map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(firsts, [Some("ORDER"), Some("ci"), Some("web")], "{text}");
        answer.roles[0].position[1].siblings = 2;
        assert!(shown(&answer).contains("ci itself"), "{}", shown(&answer));
    }
}
