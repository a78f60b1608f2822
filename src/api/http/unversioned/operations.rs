//! `/reserve`, `/unreserve`, `/create-volumes` and `/destroy-volumes`: forms that name the agent as
//! `slaveId` and hold the resources as a JSON list.

use http::StatusCode;

use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use crate::api::error::ApiError;
use crate::api::service::operator::OperatorCalls;
use crate::proto::json::list_from_json;
use crate::proto::v1;
use crate::proto::v1::master::{Call, call};

/// The agent, and the resources in the field of this name.
fn read(request: &Request, field: &str) -> Result<(v1::AgentId, Vec<v1::Resource>), ApiError> {
    let form = request.form()?;
    let agent_id = v1::AgentId::from(form.require("slaveId")?);
    let resources = list_from_json(form.require(field)?.as_bytes());
    let resources =
        resources.map_err(|error| ApiError::field(field, format!("{field}: {error}")))?;
    Ok((agent_id, resources))
}

async fn order(calls: &OperatorCalls, kind: call::Type, call: Call) -> Result<Reply, Refusal> {
    let call = Call {
        r#type: Some(kind.into()),
        ..call
    };
    calls.call(call).await?;
    Ok(Reply::Empty(StatusCode::ACCEPTED))
}

/// `/reserve`.
pub(super) async fn reserve(calls: OperatorCalls, request: Request) -> Result<Reply, Refusal> {
    let (agent_id, resources) = read(&request, "resources")?;
    let call = Call {
        reserve_resources: Some(call::ReserveResources {
            agent_id,
            resources,
            source: Vec::new(),
        }),
        ..Call::default()
    };
    order(&calls, call::Type::ReserveResources, call).await
}

/// `/unreserve`.
pub(super) async fn unreserve(calls: OperatorCalls, request: Request) -> Result<Reply, Refusal> {
    let (agent_id, resources) = read(&request, "resources")?;
    let call = Call {
        unreserve_resources: Some(call::UnreserveResources {
            agent_id,
            resources,
        }),
        ..Call::default()
    };
    order(&calls, call::Type::UnreserveResources, call).await
}

/// `/create-volumes`.
pub(super) async fn create_volumes(
    calls: OperatorCalls,
    request: Request,
) -> Result<Reply, Refusal> {
    let (agent_id, volumes) = read(&request, "volumes")?;
    let call = Call {
        create_volumes: Some(call::CreateVolumes { agent_id, volumes }),
        ..Call::default()
    };
    order(&calls, call::Type::CreateVolumes, call).await
}

/// `/destroy-volumes`.
pub(super) async fn destroy_volumes(
    calls: OperatorCalls,
    request: Request,
) -> Result<Reply, Refusal> {
    let (agent_id, volumes) = read(&request, "volumes")?;
    let call = Call {
        destroy_volumes: Some(call::DestroyVolumes { agent_id, volumes }),
        ..Call::default()
    };
    order(&calls, call::Type::DestroyVolumes, call).await
}
