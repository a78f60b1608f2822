//! `POST /api/v1/executor` of an agent.

use axum::extract::Request;
use axum::response::Response;
use futures_util::StreamExt;
use http::StatusCode;

use super::media::Media;
use super::refusal::Refusal;
use super::{reply, request};
use crate::api::error::ApiError;
use crate::api::service::executor::ExecutorCalls;
use crate::proto::v1::executor::{Call, Event, call, event};

/// Answers one call, or opens the stream of events.
pub(super) async fn answer(calls: &ExecutorCalls, request: Request) -> Result<Response, Refusal> {
    let (headers, mut call) = request::message::<Call>(request).await?;
    call.r#type = request::known::<call::Type>(call.r#type);
    if call.r#type.is_none() {
        return Err(ApiError::missing("type").into());
    }
    calls.check(&call)?;
    match call.r#type() {
        // At any time, whether the executor is known or not.
        call::Type::Heartbeat => return Ok(reply::empty(StatusCode::ACCEPTED)),
        call::Type::Subscribe => {}
        _ => {
            calls.check_known(&call).await?;
            calls.call(call).await?;
            return Ok(reply::empty(StatusCode::ACCEPTED));
        }
    }
    let media = Media::of_reply(&headers)?;
    calls.check_known(&call).await?;
    let events = calls.subscribe(call).await?;
    let records = events.map(move |event| match event {
        Ok(event) => reply::record(media, &event),
        Err(error) => reply::record(media, &last_words(&error)),
    });
    Ok(reply::stream(media, records))
}

/// The event that says why a stream ends.
fn last_words(error: &ApiError) -> Event {
    Event {
        r#type: Some(event::Type::Error.into()),
        error: Some(event::Error {
            message: error.to_string(),
        }),
        ..Event::default()
    }
}
