//! What operators read and write about the whole cluster: weights, quota, maintenance, frameworks' ends,
//! and where the leader is.

use axum::response::IntoResponse as _;
use http::header::{HeaderValue, LOCATION};
use http::{Method, StatusCode};

use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use crate::api::error::ApiError;
use crate::api::service::leadership::{Standing, address};
use crate::api::service::operator::OperatorCalls;
use crate::proto::json::{Json, from_json, to_json};
use crate::proto::v1;
use crate::proto::v1::master::{Call, Response, call};

/// What the operator API answers to a call without parameters.
async fn read(calls: &OperatorCalls, kind: call::Type) -> Result<Response, Refusal> {
    let call = Call {
        r#type: Some(kind.into()),
        ..Call::default()
    };
    Ok(calls.call(call).await?)
}

fn shown<M: Json>(message: Option<M>) -> Reply {
    Reply::from(bytes::Bytes::from(to_json(&message.unwrap_or_default())))
}

/// An order that the operator API takes too.
async fn order(calls: &OperatorCalls, kind: call::Type, mut call: Call) -> Result<Reply, Refusal> {
    call.r#type = Some(kind.into());
    calls.call(call).await?;
    Ok(Reply::Empty(StatusCode::OK))
}

/// A message whose only member is the list that the body is.
fn listed<M: Json + prost::Name>(request: &Request, member: &str) -> Result<M, Refusal> {
    let mut text = format!("{{\"{member}\":").into_bytes();
    text.extend_from_slice(&request.body);
    text.push(b'}');
    let message = from_json(&text).map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok(message)
}

fn body<M: Json + prost::Name>(request: &Request) -> Result<M, Refusal> {
    let message = from_json(&request.body);
    Ok(message.map_err(|error| ApiError::invalid(error.to_string()))?)
}

/// `/weights`: read with GET, set with PUT.
pub(super) async fn weights(calls: OperatorCalls, request: Request) -> Result<Reply, Refusal> {
    if request.method == Method::PUT {
        let call = Call {
            update_weights: Some(listed(&request, "weight_infos")?),
            ..Call::default()
        };
        return order(&calls, call::Type::UpdateWeights, call).await;
    }
    let answer = read(&calls, call::Type::GetWeights).await?;
    let weights = answer.get_weights.unwrap_or_default().weight_infos;
    Ok(Reply::json(|w| {
        w.open_list();
        for weight in &weights {
            w.item();
            weight.write(w);
        }
        w.close_list();
    }))
}

/// `/quota`: read with GET, set with POST, taken away with DELETE of `/quota/{role}`.
#[expect(
    deprecated,
    reason = "the endpoint is that of SET_QUOTA and REMOVE_QUOTA"
)]
pub(super) async fn quota(calls: OperatorCalls, request: Request) -> Result<Reply, Refusal> {
    if request.method == Method::POST {
        let call = Call {
            set_quota: Some(call::SetQuota {
                quota_request: body(&request)?,
            }),
            ..Call::default()
        };
        return order(&calls, call::Type::SetQuota, call).await;
    }
    if request.method == Method::DELETE {
        if request.rest.is_empty() {
            let message = "no role is named; write DELETE /quota/{role}";
            return Err(ApiError::invalid(message).into());
        }
        let call = Call {
            remove_quota: Some(call::RemoveQuota { role: request.rest }),
            ..Call::default()
        };
        return order(&calls, call::Type::RemoveQuota, call).await;
    }
    let answer = read(&calls, call::Type::GetQuota).await?;
    Ok(shown(answer.get_quota.map(|quota| quota.status)))
}

/// `/machine/down`.
pub(super) async fn machine_down(calls: OperatorCalls, request: Request) -> Result<Reply, Refusal> {
    let call = Call {
        start_maintenance: Some(listed(&request, "machines")?),
        ..Call::default()
    };
    order(&calls, call::Type::StartMaintenance, call).await
}

/// `/machine/up`.
pub(super) async fn machine_up(calls: OperatorCalls, request: Request) -> Result<Reply, Refusal> {
    let call = Call {
        stop_maintenance: Some(listed(&request, "machines")?),
        ..Call::default()
    };
    order(&calls, call::Type::StopMaintenance, call).await
}

/// `/maintenance/schedule`: read with GET, replaced with POST.
pub(super) async fn schedule(calls: OperatorCalls, request: Request) -> Result<Reply, Refusal> {
    if request.method == Method::POST {
        let call = Call {
            update_maintenance_schedule: Some(call::UpdateMaintenanceSchedule {
                schedule: body(&request)?,
            }),
            ..Call::default()
        };
        return order(&calls, call::Type::UpdateMaintenanceSchedule, call).await;
    }
    let answer = read(&calls, call::Type::GetMaintenanceSchedule).await?;
    let schedule = answer.get_maintenance_schedule;
    Ok(shown(schedule.map(|schedule| schedule.schedule)))
}

/// `/maintenance/status`.
pub(super) async fn status(calls: OperatorCalls, _: Request) -> Result<Reply, Refusal> {
    let answer = read(&calls, call::Type::GetMaintenanceStatus).await?;
    Ok(shown(
        answer.get_maintenance_status.map(|status| status.status),
    ))
}

/// `/teardown`: the form names the framework as `frameworkId`.
pub(super) async fn teardown(calls: OperatorCalls, request: Request) -> Result<Reply, Refusal> {
    let form = request.form()?;
    let id = form.require("frameworkId")?;
    let call = Call {
        r#type: Some(call::Type::Teardown.into()),
        teardown: Some(call::Teardown {
            framework_id: v1::FrameworkId::from(id),
        }),
        ..Call::default()
    };
    match calls.call(call).await {
        Ok(_) => Ok(Reply::Empty(StatusCode::OK)),
        // There, a framework that is not known makes the request a bad one.
        Err(ApiError::NotFound(message)) => Err(ApiError::invalid(message).into()),
        Err(error) => Err(error.into()),
    }
}

/// `/redirect`: to the leading master, and nowhere below it, or two masters could send a client to and fro.
pub(super) async fn redirect(calls: OperatorCalls, request: Request) -> Result<Reply, Refusal> {
    if !request.rest.is_empty() {
        return Err(Refusal::NotFound);
    }
    let leader = match calls.leadership().now() {
        Standing::Standby { leader } => leader.as_deref().map(address),
        Standing::Leader | Standing::Recovering => Some(address(&calls.snapshot().await?.master)),
    };
    let Some(leader) = leader else {
        return Err(ApiError::NotLeading { leader: None }.into());
    };
    let location = HeaderValue::from_str(&format!("//{leader}"));
    let location = location.map_err(|_| Refusal::NotFound)?;
    let response = (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, location)]).into_response();
    Ok(Reply::Other(Box::new(response)))
}
