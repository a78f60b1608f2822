//! `mesosd drain`, `deactivate`, `reactivate` and `gone`: where an agent stands.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::connect::Session;
use super::error::ClientError;
use super::output::{Format, Output};
use crate::base::parse_duration;
use crate::proto::v1;
use crate::proto::v1::master::response::get_agents::Agent;
use crate::proto::v1::master::{Call, call};

/// Which agent.
#[derive(Args, Clone, Debug)]
pub(in crate::commands) struct AgentArgs {
    /// The agent's id, the beginning of it, or its host name.
    agent: String,
}

/// Which agent to drain, and how.
#[derive(Args, Clone, Debug)]
pub(in crate::commands) struct DrainArgs {
    #[command(flatten)]
    agent: AgentArgs,
    /// Longest time between SIGTERM and SIGKILL; without it what each task says.
    #[arg(long, alias = "max_grace_period", value_name = "DURATION", value_parser = parse_duration)]
    max_grace_period: Option<Duration>,
    /// Give the agent up for good once it is drained: it will not come back under its id.
    #[arg(long, alias = "mark_gone")]
    mark_gone: bool,
}

/// Ends all tasks of an agent and offers nothing more of it.
pub(super) async fn drain(
    session: &mut Session,
    output: &mut Output,
    arguments: &DrainArgs,
) -> Result<(), ClientError> {
    let id = resolve(session, &arguments.agent).await?;
    let max_grace_period = arguments
        .max_grace_period
        .map(|grace| prost_types::Duration {
            seconds: i64::try_from(grace.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(grace.subsec_nanos()).unwrap_or(0),
        });
    let order = Call {
        drain_agent: Some(call::DrainAgent {
            agent_id: v1::AgentId::from(id.as_str()),
            max_grace_period,
            mark_gone: Some(arguments.mark_gone),
        }),
        ..Call::default()
    };
    let said = "its tasks are being ended; 'mesosd agents' shows when it is drained";
    give(session, output, call::Type::DrainAgent, order, &id, said).await
}

/// Offers nothing more of an agent.
pub(super) async fn deactivate(
    session: &mut Session,
    output: &mut Output,
    arguments: &AgentArgs,
) -> Result<(), ClientError> {
    let id = resolve(session, arguments).await?;
    let order = Call {
        deactivate_agent: Some(call::DeactivateAgent {
            agent_id: v1::AgentId::from(id.as_str()),
        }),
        ..Call::default()
    };
    let kind = call::Type::DeactivateAgent;
    give(session, output, kind, order, &id, "is not offered any more").await
}

/// Offers an agent again.
pub(super) async fn reactivate(
    session: &mut Session,
    output: &mut Output,
    arguments: &AgentArgs,
) -> Result<(), ClientError> {
    let id = resolve(session, arguments).await?;
    let order = Call {
        reactivate_agent: Some(call::ReactivateAgent {
            agent_id: v1::AgentId::from(id.as_str()),
        }),
        ..Call::default()
    };
    let kind = call::Type::ReactivateAgent;
    give(session, output, kind, order, &id, "is offered again").await
}

/// Gives an agent up for good.
pub(super) async fn gone(
    session: &mut Session,
    output: &mut Output,
    arguments: &AgentArgs,
) -> Result<(), ClientError> {
    let id = resolve(session, arguments).await?;
    let order = Call {
        mark_agent_gone: Some(call::MarkAgentGone {
            agent_id: v1::AgentId::from(id.as_str()),
        }),
        ..Call::default()
    };
    let kind = call::Type::MarkAgentGone;
    let said = "is given up for good, and so are its tasks";
    give(session, output, kind, order, &id, said).await
}

async fn give(
    session: &mut Session,
    output: &mut Output,
    kind: call::Type,
    mut order: Call,
    id: &str,
    said: &str,
) -> Result<(), ClientError> {
    order.r#type = Some(kind.into());
    session.call(order).await?;
    match output.format() {
        Format::Json => output.json(&json!({ "agent_id": id })),
        Format::Text => output.line(&format!("{id}: {said}")),
    }
}

/// The id of the agent that is meant. An agent that the master does not list may be away: then the name
/// has to be its whole id, and the master says whether it knows it.
async fn resolve(session: &mut Session, named: &AgentArgs) -> Result<String, ClientError> {
    let answer = session.ask(call::Type::GetAgents).await?;
    let agents = answer.get_agents.ok_or(ClientError::Incomplete {
        what: "master",
        field: "get_agents",
    })?;
    find(&agents.agents, &named.agent)
}

fn id(agent: &Agent) -> &str {
    agent.agent_info.id.as_ref().map_or("", |id| &id.value)
}

fn find(agents: &[Agent], name: &str) -> Result<String, ClientError> {
    let tests: [&dyn Fn(&Agent) -> bool; 3] = [
        &|agent| id(agent) == name,
        &|agent| id(agent).starts_with(name),
        &|agent| agent.agent_info.hostname == name,
    ];
    for fits in tests {
        let found: Vec<&Agent> = agents.iter().filter(|agent| fits(agent)).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(id(one).to_owned()),
            several => {
                let ids: Vec<&str> = several.iter().take(5).map(|one| id(one)).collect();
                return Err(ClientError::Ambiguous {
                    kind: "agent",
                    name: name.to_owned(),
                    found: ids.join(", "),
                    hint: "",
                });
            }
        }
    }
    if name.contains("-S") {
        return Ok(name.to_owned());
    }
    Err(ClientError::NotFound {
        kind: "agent",
        name: name.to_owned(),
        hint: ": 'mesosd agents' lists those that there are",
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_found_by_id_beginning_or_host() {
        let agent = |id: &str, host: &str| Agent {
            agent_info: v1::AgentInfo {
                id: Some(id.into()),
                hostname: host.to_owned(),
                ..v1::AgentInfo::default()
            },
            ..Agent::default()
        };
        let agents = [
            agent("ab-S1", "one"),
            agent("ab-S10", "two"),
            agent("cd-S2", "two"),
        ];
        assert_eq!(find(&agents, "ab-S1").unwrap(), "ab-S1");
        assert_eq!(find(&agents, "cd").unwrap(), "cd-S2");
        assert_eq!(find(&agents, "one").unwrap(), "ab-S1");
        assert_eq!(
            find(&agents, "ef-S9").unwrap(),
            "ef-S9",
            "it may be unreachable"
        );
        let error = find(&agents, "two").unwrap_err().to_string();
        assert!(error.contains("ab-S10, cd-S2"), "{error}");
        let error = find(&agents, "three").unwrap_err().to_string();
        assert!(error.starts_with("no agent 'three'"), "{error}");
    }
}
