//! Operators' orders about roles, machines and agents: from the wire's message to the master's typed
//! call; and what GET_WEIGHTS, GET_QUOTA and the maintenance calls show.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::error::ApiError;
use crate::base::AgentId;
use crate::master::{OperatorCall, Snapshot};
use crate::proto::v1;
use crate::proto::v1::master::{Call, Response, call, response};
use crate::proto::v1::quota::QuotaStatus;
use crate::quota;
use crate::registry::{MachineId, Maintenance};
use crate::roles::{Role, Weight};

/// Most roles or machines of one call: what cannot be meant is refused before it costs anything.
const LIST_MAX: usize = 100_000;

/// The order of a call; none for calls that are none of these.
#[expect(deprecated, reason = "older clients use SET_QUOTA and REMOVE_QUOTA")]
pub(super) fn order(kind: call::Type, call: &mut Call) -> Result<Option<OperatorCall>, ApiError> {
    let order = match kind {
        call::Type::UpdateWeights => {
            let part = needed(call.update_weights.take(), "update_weights")?;
            OperatorCall::UpdateWeights {
                weights: weights(&part.weight_infos)?,
            }
        }
        call::Type::UpdateQuota => {
            let part = needed(call.update_quota.take(), "update_quota")?;
            let quotas = quota::from_configs(&part.quota_configs);
            OperatorCall::UpdateQuota {
                quotas: quotas.map_err(|error| wrong("update_quota.quota_configs", &error))?,
                force: part.force(),
            }
        }
        call::Type::SetQuota => {
            let request = needed(call.set_quota.take(), "set_quota")?.quota_request;
            let (role, quota) = quota::from_request(&request)
                .map_err(|error| wrong("set_quota.quota_request", &error))?;
            let force = request.force();
            OperatorCall::SetQuota { role, quota, force }
        }
        call::Type::RemoveQuota => {
            let part = needed(call.remove_quota.take(), "remove_quota")?;
            OperatorCall::RemoveQuota {
                role: Role::parse(&part.role)
                    .map_err(|error| wrong("remove_quota.role", &error))?,
            }
        }
        call::Type::UpdateMaintenanceSchedule => {
            let field = "update_maintenance_schedule";
            let part = needed(call.update_maintenance_schedule.take(), field)?;
            let machines = part.schedule.windows.iter();
            bounded(machines.map(|window| window.machine_ids.len()).sum(), field)?;
            let windows = Maintenance::read_schedule(&part.schedule);
            OperatorCall::UpdateMaintenanceSchedule {
                windows: windows.map_err(|error| wrong("schedule", &error))?,
            }
        }
        call::Type::StartMaintenance => {
            let part = needed(call.start_maintenance.take(), "start_maintenance")?;
            OperatorCall::StartMaintenance {
                machines: machines(&part.machines)?,
            }
        }
        call::Type::StopMaintenance => {
            let part = needed(call.stop_maintenance.take(), "stop_maintenance")?;
            OperatorCall::StopMaintenance {
                machines: machines(&part.machines)?,
            }
        }
        _ => return agent_order(kind, call),
    };
    Ok(Some(order))
}

/// The order of a call about one agent.
fn agent_order(kind: call::Type, call: &mut Call) -> Result<Option<OperatorCall>, ApiError> {
    let order = match kind {
        call::Type::MarkAgentGone => {
            let part = needed(call.mark_agent_gone.take(), "mark_agent_gone")?;
            let agent_id = agent_id(&part.agent_id)?;
            OperatorCall::MarkAgentGone { agent_id }
        }
        call::Type::DrainAgent => {
            let part = needed(call.drain_agent.take(), "drain_agent")?;
            OperatorCall::DrainAgent {
                agent_id: agent_id(&part.agent_id)?,
                grace_max: part.max_grace_period.map(grace).transpose()?,
                mark_gone: part.mark_gone(),
            }
        }
        call::Type::DeactivateAgent => {
            let part = needed(call.deactivate_agent.take(), "deactivate_agent")?;
            let agent_id = agent_id(&part.agent_id)?;
            OperatorCall::DeactivateAgent { agent_id }
        }
        call::Type::ReactivateAgent => {
            let part = needed(call.reactivate_agent.take(), "reactivate_agent")?;
            let agent_id = agent_id(&part.agent_id)?;
            OperatorCall::ReactivateAgent { agent_id }
        }
        _ => return Ok(None),
    };
    Ok(Some(order))
}

/// What a call reads of weights, quota and maintenance; none for calls that read something else.
#[expect(deprecated, reason = "older clients read `infos`")]
pub(super) fn shown(kind: call::Type, snapshot: &Snapshot) -> Option<Response> {
    let mut answer = Response::default();
    let kind = match kind {
        call::Type::GetWeights => {
            let weight = |(role, weight): (&Role, &Weight)| v1::WeightInfo {
                weight: weight.as_f64(),
                role: Some(role.to_string()),
            };
            let weight_infos = snapshot.weights.iter().map(weight).collect();
            answer.get_weights = Some(response::GetWeights { weight_infos });
            response::Type::GetWeights
        }
        call::Type::GetQuota => {
            let quotas = || snapshot.quotas.iter();
            let status = QuotaStatus {
                infos: quotas()
                    .filter_map(|(role, quota)| quota.to_info(role))
                    .collect(),
                configs: quotas()
                    .map(|(role, quota)| quota.to_config(role))
                    .collect(),
            };
            answer.get_quota = Some(response::GetQuota { status });
            response::Type::GetQuota
        }
        call::Type::GetMaintenanceSchedule => {
            let schedule = snapshot.maintenance.schedule();
            answer.get_maintenance_schedule = Some(response::GetMaintenanceSchedule { schedule });
            response::Type::GetMaintenanceSchedule
        }
        call::Type::GetMaintenanceStatus => {
            let status = snapshot.maintenance_status();
            answer.get_maintenance_status = Some(response::GetMaintenanceStatus { status });
            response::Type::GetMaintenanceStatus
        }
        _ => return None,
    };
    answer.r#type = Some(kind.into());
    Some(answer)
}

fn needed<T>(part: Option<T>, field: &str) -> Result<T, ApiError> {
    part.ok_or_else(|| ApiError::missing(field))
}

fn wrong(field: &str, error: &impl std::fmt::Display) -> ApiError {
    ApiError::field(field, error.to_string())
}

fn bounded(length: usize, field: &str) -> Result<(), ApiError> {
    if length <= LIST_MAX {
        return Ok(());
    }
    let message = format!("{field}: {length} entries, at most {LIST_MAX} are allowed");
    Err(ApiError::field(field, message))
}

fn weights(infos: &[v1::WeightInfo]) -> Result<BTreeMap<Role, Weight>, ApiError> {
    let field = "update_weights.weight_infos";
    bounded(infos.len(), field)?;
    if infos.is_empty() {
        return Err(wrong(field, &"no weight is given"));
    }
    let mut weights = BTreeMap::new();
    for info in infos {
        let role = Role::parse(info.role()).map_err(|error| wrong(field, &error))?;
        let weight = Weight::new(info.weight)
            .map_err(|error| wrong(field, &format!("role '{role}': {error}")))?;
        if weights.insert(role.clone(), weight).is_some() {
            return Err(wrong(field, &format!("role '{role}' is given twice")));
        }
    }
    Ok(weights)
}

fn machines(ids: &[v1::MachineId]) -> Result<Vec<MachineId>, ApiError> {
    bounded(ids.len(), "machines")?;
    Maintenance::read_machines(ids).map_err(|error| wrong("machines", &error))
}

fn agent_id(id: &v1::AgentId) -> Result<AgentId, ApiError> {
    AgentId::parse(&id.value)
        .map_err(|error| ApiError::field("agent_id", format!("agent_id: {error}")))
}

fn grace(given: prost_types::Duration) -> Result<Duration, ApiError> {
    Duration::try_from(given).map_err(|_| {
        let seconds = given.seconds as f64 + f64::from(given.nanos) / 1e9;
        wrong(
            "drain_agent.max_grace_period",
            &format!("max_grace_period of {seconds} s: must not be negative; without it tasks have their own"),
        )
    })
}
