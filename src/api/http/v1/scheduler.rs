//! `POST /api/v1/scheduler`.

use axum::extract::Request;
use axum::response::Response;
use futures_util::StreamExt;
use http::{HeaderName, HeaderValue, StatusCode};

use super::media::Media;
use super::refusal::Refusal;
use super::{reply, request};
use crate::api::error::ApiError;
use crate::api::service::scheduler::{STREAM_ID, SchedulerCalls};
use crate::proto::v1::scheduler::{Call, Event, call, event};

/// Longest stream id that is looked at, in bytes.
const STREAM_ID_MAX: usize = 128;

/// Answers one call, or opens the stream of events.
pub(super) async fn answer(calls: &SchedulerCalls, request: Request) -> Result<Response, Refusal> {
    let (headers, mut call) = request::message::<Call>(request).await?;
    call.r#type = request::known::<call::Type>(call.r#type);
    let given = headers.get(STREAM_ID);
    if call.r#type() != call::Type::Subscribe || call.r#type.is_none() {
        let stream_id = given.map(|id| id.to_str().unwrap_or_default());
        if stream_id.is_some_and(|id| id.len() > STREAM_ID_MAX) {
            return Err(Refusal::bad("'Mesos-Stream-Id' is longer than 128 bytes"));
        }
        if call.r#type() == call::Type::ReconcileOperations {
            // It once had a reply of its own, and Mesos still wants it to be acceptable.
            calls.check(&call)?;
            Media::of_reply(&headers)?;
        }
        let updates = call.r#type() == call::Type::UpdateFramework;
        calls.call(call, stream_id).await?;
        return Ok(reply::empty(if updates {
            StatusCode::OK
        } else {
            StatusCode::ACCEPTED
        }));
    }
    calls.check_subscribe(&call)?;
    let media = Media::of_reply(&headers)?;
    if given.is_some() {
        return Err(Refusal::bad(
            "'Mesos-Stream-Id' is not for SUBSCRIBE: the reply gives a new one",
        ));
    }
    let events = calls.subscribe(call, None).await?;
    let id = HeaderValue::from_str(events.id.as_str())
        .map_err(|_| ApiError::Internal("a stream id is not printable".to_owned()))?;
    let records = events.map(move |event| match event {
        Ok(event) => reply::record(media, &event),
        Err(error) => reply::record(media, &last_words(&error)),
    });
    let mut response = reply::stream(media, records);
    response
        .headers_mut()
        .insert(HeaderName::from_static(STREAM_ID), id);
    Ok(response)
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
