//! `mesosd agents`.

use serde_json::{Value, json};

use super::connect::Session;
use super::error::ClientError;
use super::output::{Format, Output};
use super::quantities::Quantities;
use super::table::{Cell, Table, ago, megabytes};
use crate::proto::v1;
use crate::proto::v1::master::response::get_agents::Agent;

/// Lists the agents.
pub(super) async fn list(session: &mut Session, output: &mut Output) -> Result<(), ClientError> {
    let answer = session.ask(v1::master::call::Type::GetAgents).await?;
    let agents = answer.get_agents.ok_or(ClientError::Incomplete {
        what: "master",
        field: "get_agents",
    })?;
    match output.format() {
        Format::Json => output.json(&agents.agents.iter().map(json).collect()),
        Format::Text => output.table(&table(&agents.agents)),
    }
}

/// The one agent that `name` means: its id, else the beginning of one id, else its host.
pub(super) async fn find(session: &mut Session, name: &str) -> Result<v1::AgentId, ClientError> {
    let answer = session.ask(v1::master::call::Type::GetAgents).await?;
    let agents = answer.get_agents.unwrap_or_default().agents;
    let known = agents.iter().filter_map(|agent| {
        let info = &agent.agent_info;
        Some((info.id.as_ref()?, info.hostname.as_str()))
    });
    let known: Vec<(&v1::AgentId, &str)> = known.collect();
    type Fits<'a> = &'a dyn Fn(&v1::AgentId, &str) -> bool;
    let tests: [Fits<'_>; 3] = [
        &|id, _| id.value == name,
        &|id, _| id.value.starts_with(name),
        &|_, host| host == name,
    ];
    for fits in tests {
        let found: Vec<_> = known.iter().filter(|(id, host)| fits(id, host)).collect();
        match found.as_slice() {
            [] => {}
            [(id, _)] => return Ok(v1::AgentId::clone(id)),
            several => {
                let ids = several.iter().take(5).map(|(id, _)| id.value.as_str());
                return Err(ClientError::Ambiguous {
                    kind: "agent",
                    name: name.to_owned(),
                    found: ids.collect::<Vec<_>>().join(", "),
                    hint: "",
                });
            }
        }
    }
    Err(ClientError::NotFound {
        kind: "agent",
        name: name.to_owned(),
        hint: ": 'mesosd agents' lists those that there are",
    })
}

/// Where the agent's API is: the address that the master sees, with the port that the agent listens on.
pub(super) fn address(agent: &Agent) -> String {
    let info = &agent.agent_info;
    let port = info.port();
    let seen = agent
        .pid
        .as_deref()
        .and_then(|pid| pid.rsplit_once('@'))
        .and_then(|(_, address)| address.rsplit_once(':'))
        .map_or(info.hostname.as_str(), |(host, _)| host);
    format!("{seen}:{port}")
}

/// Where an agent stands, in one word.
fn state(agent: &Agent) -> &'static str {
    let drain = agent.drain_info.as_ref().map(v1::DrainInfo::state);
    match drain {
        Some(v1::DrainState::Draining) => "draining",
        Some(v1::DrainState::Drained) => "drained",
        _ if agent.active => "active",
        _ if agent.deactivated() => "deactivated",
        _ => "inactive",
    }
}

/// Stable keys for scripts.
pub(super) fn json(agent: &Agent) -> Value {
    let info = &agent.agent_info;
    let attributes: serde_json::Map<String, Value> = info
        .attributes
        .iter()
        .map(|attribute| (attribute.name.clone(), attribute_json(attribute)))
        .collect();
    json!({
        "id": info.id.as_ref().map(|id| &id.value),
        "hostname": info.hostname,
        "address": address(agent),
        "active": agent.active,
        "deactivated": agent.deactivated(),
        "state": state(agent),
        "version": agent.version,
        "registered": seconds(agent.registered_time.as_ref()),
        "reregistered": seconds(agent.reregistered_time.as_ref()),
        "total": Quantities::of(&agent.total_resources).json(),
        "allocated": Quantities::of(&agent.allocated_resources).json(),
        "offered": Quantities::of(&agent.offered_resources).json(),
        "attributes": attributes,
    })
}

fn attribute_json(attribute: &v1::Attribute) -> Value {
    if let Some(text) = &attribute.text {
        return json!(text.value);
    }
    if let Some(scalar) = &attribute.scalar {
        return json!(scalar.value);
    }
    let ranges = attribute.ranges.as_ref();
    let ranges = ranges.map(|ranges| {
        let texts = ranges.range.iter();
        let texts: Vec<_> = texts
            .map(|range| format!("{}-{}", range.begin, range.end))
            .collect();
        texts.join(",")
    });
    json!(ranges)
}

/// A time in seconds since 1970.
pub(super) fn seconds(time: Option<&v1::TimeInfo>) -> Option<f64> {
    time.map(|time| time.nanoseconds as f64 / 1e9)
}

fn table(agents: &[Agent]) -> Table {
    let mut table = Table::new(&[
        "ID", "HOST", "STATE", "CPUS", "MEM", "DISK", "PORTS", "VERSION", "UP",
    ]);
    for agent in agents {
        let info = &agent.agent_info;
        let total = Quantities::of(&agent.total_resources);
        let used = Quantities::of(&agent.allocated_resources);
        let state = match state(agent) {
            "active" => Cell::text("active").good(),
            other => Cell::text(other).bad(),
        };
        let of = |name: &str| {
            let (used, total) = (used.scalar(name), total.scalar(name));
            format!("{} of {}", megabytes(used), megabytes(total))
        };
        let since = agent.reregistered_time.as_ref();
        let since = seconds(since.or(agent.registered_time.as_ref()));
        table.row(vec![
            Cell::text(info.id.as_ref().map_or("", |id| &id.value)),
            Cell::text(&info.hostname),
            state,
            Cell::number(format!("{} of {}", used.cpus(), total.cpus())),
            Cell::number(of("mem")),
            Cell::number(of("disk")),
            Cell::text(total.range("ports")),
            Cell::text(&agent.version),
            Cell::number(ago(since)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_reached_where_the_master_sees_it() {
        let mut agent = Agent {
            agent_info: v1::AgentInfo {
                hostname: "node-1".to_owned(),
                port: Some(5051),
                ..v1::AgentInfo::default()
            },
            ..Agent::default()
        };
        assert_eq!(address(&agent), "node-1:5051");
        agent.pid = Some("slave(1)@10.0.0.7:40312".to_owned());
        assert_eq!(address(&agent), "10.0.0.7:5051");
        agent.pid = Some("slave(1)@[fd00::7]:40312".to_owned());
        assert_eq!(address(&agent), "[fd00::7]:5051");
    }
}
