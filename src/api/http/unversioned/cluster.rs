//! What operators read and write about the whole cluster: weights, quota, maintenance, frameworks' ends,
//! and where the leader is.

use axum::response::IntoResponse as _;
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};

use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use crate::api::error::ApiError;
use crate::api::service::leadership::{Standing, address};
use crate::api::service::operator::OperatorCalls;
use crate::proto::json::{Json, to_json};
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

/// `/weights`.
pub(super) async fn weights(calls: OperatorCalls, _: Request) -> Result<Reply, Refusal> {
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

/// `/quota`.
pub(super) async fn quota(calls: OperatorCalls, _: Request) -> Result<Reply, Refusal> {
    let answer = read(&calls, call::Type::GetQuota).await?;
    Ok(shown(answer.get_quota.map(|quota| quota.status)))
}

/// `/maintenance/schedule`.
pub(super) async fn schedule(calls: OperatorCalls, _: Request) -> Result<Reply, Refusal> {
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
