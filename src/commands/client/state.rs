//! `mesosd state`: the cluster at a glance, or all of it as JSON.

use std::collections::BTreeMap;

use serde_json::json;

use super::connect::Session;
use super::error::ClientError;
use super::output::{Format, Output};
use super::quantities::Quantities;
use super::table::{ago, megabytes};
use super::{agents, frameworks, tasks};
use crate::proto::v1;
use crate::proto::v1::master::response::{GetMaster, GetState};

/// Shows the state of the cluster.
pub(super) async fn show(session: &mut Session, output: &mut Output) -> Result<(), ClientError> {
    let master = session.ask(v1::master::call::Type::GetMaster).await?;
    let master = master.get_master.ok_or(ClientError::Incomplete {
        what: "master",
        field: "get_master",
    })?;
    let state = tasks::fetch(session).await?;
    let cluster = cluster(session).await?;
    match output.format() {
        Format::Json => output.json(&json(cluster.as_ref(), &master, &state)),
        Format::Text => {
            if let Some(name) = cluster {
                output.line(&format!("cluster     {name}"))?;
            }
            text(output, &master, &state)
        }
    }
}

/// The name that `--cluster` gave to the cluster.
async fn cluster(session: &mut Session) -> Result<Option<String>, ClientError> {
    let answer = session.ask(v1::master::call::Type::GetFlags).await?;
    let flags = answer.get_flags.unwrap_or_default().flags;
    let name = flags.into_iter().find(|flag| flag.name == "cluster");
    Ok(name.and_then(|flag| flag.value))
}

fn json(cluster: Option<&String>, master: &GetMaster, state: &GetState) -> serde_json::Value {
    let info = master.master_info.as_ref();
    let agents: Vec<_> = state
        .get_agents
        .iter()
        .flat_map(|part| &part.agents)
        .collect();
    let mut framework_rows = Vec::new();
    if let Some(part) = &state.get_frameworks {
        framework_rows.extend(
            part.frameworks
                .iter()
                .map(|row| frameworks::json(row, true)),
        );
        let over = part.completed_frameworks.iter();
        framework_rows.extend(over.map(|row| frameworks::json(row, false)));
    }
    let tasks: Vec<_> = tasks::rows(state)
        .iter()
        .map(tasks::TaskRow::json)
        .collect();
    json!({
        "master": {
            "cluster": cluster,
            "id": info.map(|info| &info.id),
            "hostname": info.and_then(|info| info.hostname.as_ref()),
            "address": info.map(address),
            "version": info.and_then(|info| info.version.as_ref()),
            "started": master.start_time,
            "elected": master.elected_time,
        },
        "agents": agents.iter().map(|agent| agents::json(agent)).collect::<Vec<_>>(),
        "frameworks": framework_rows,
        "tasks": tasks,
    })
}

fn address(info: &v1::MasterInfo) -> String {
    let address = info.address.as_ref();
    let host = address.and_then(|address| address.ip.as_deref().or(address.hostname.as_deref()));
    let port = address.map_or(info.port, |address| {
        u32::try_from(address.port).unwrap_or_default()
    });
    let host = host.or(info.hostname.as_deref()).unwrap_or_default();
    format!("{host}:{port}")
}

fn text(output: &mut Output, master: &GetMaster, state: &GetState) -> Result<(), ClientError> {
    if let Some(info) = &master.master_info {
        output.line(&format!(
            "master      {} {}, version {}, up {}",
            info.hostname(),
            address(info),
            info.version(),
            ago(master.start_time)
        ))?;
    }
    let agents: Vec<_> = state
        .get_agents
        .iter()
        .flat_map(|part| &part.agents)
        .collect();
    let active = agents.iter().filter(|agent| agent.active).count();
    output.line(&format!(
        "agents      {} of {} active",
        active,
        agents.len()
    ))?;
    let total = Quantities::of(agents.iter().flat_map(|agent| &agent.total_resources));
    let used = Quantities::of(agents.iter().flat_map(|agent| &agent.allocated_resources));
    let offered = Quantities::of(agents.iter().flat_map(|agent| &agent.offered_resources));
    output.line(&format!(
        "cpus        {} of {} used, {} offered",
        used.cpus(),
        total.cpus(),
        offered.cpus()
    ))?;
    for name in ["mem", "disk"] {
        output.line(&format!(
            "{name:<12}{} of {} used, {} offered",
            megabytes(used.scalar(name)),
            megabytes(total.scalar(name)),
            megabytes(offered.scalar(name))
        ))?;
    }
    let live = state
        .get_frameworks
        .iter()
        .flat_map(|part| &part.frameworks);
    let live: Vec<_> = live.collect();
    let connected = live.iter().filter(|framework| framework.connected).count();
    output.line(&format!(
        "frameworks  {connected} of {} connected",
        live.len()
    ))?;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in tasks::rows(state) {
        let name = row.task.state().as_str_name();
        let name = name.trim_start_matches("TASK_").to_lowercase();
        *counts.entry(name).or_default() += 1;
    }
    let counts: Vec<_> = counts
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    let counts = if counts.is_empty() {
        "none".to_owned()
    } else {
        counts.join(", ")
    };
    output.line(&format!("tasks       {counts}"))
}
