//! `POST /api/v1` of master and agent.

use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use prost::Message;
use tokio_stream::StreamExt;

use super::large::Large;
use super::media::{Media, accepts_gzip};
use super::refusal::Refusal;
use super::{attach, reply, request};
use crate::api::error::ApiError;
use crate::api::http::shared::{Key, Shared};
use crate::api::service::agent::AgentCalls;
use crate::api::service::attach::{of_reader, of_session};
use crate::api::service::operations::is_accepted_only;
use crate::proto::json::Json;
use crate::proto::v1::{agent, master};

/// Answers one call to a master, or opens the stream of its events.
pub(super) async fn answer_master(shared: &Shared, request: Request) -> Result<Response, Refusal> {
    let calls = shared.calls();
    let (headers, mut call) = request::message::<master::Call>(request).await?;
    call.r#type = request::known::<master::call::Type>(call.r#type);
    if call.r#type.is_none() {
        return Err(ApiError::missing("type").into());
    }
    let media = Media::of_reply(&headers)?;
    if call.r#type() == master::call::Type::Subscribe {
        let events = calls.subscribe(&call).await?;
        // A subscriber that was too slow sees its stream end: there is no event that says why.
        let records = events.map_while(move |event| {
            let event = event.ok()?;
            Some(reply::record(media, event.as_ref()))
        });
        return Ok(reply::stream(media, records));
    }
    if let Some(large) = Large::of(call.r#type()) {
        let key = Key {
            name: media.name(),
            parameters: call.r#type().as_str_name().to_owned(),
            gzip: accepts_gzip(&headers),
        };
        let reply = shared.reply(key, move |snapshot, _| large.encode(media, snapshot));
        return Ok(reply::shared(media, reply.await?));
    }
    let accepted_only = is_accepted_only(call.r#type());
    let ends_framework = call.r#type() == master::call::Type::Teardown;
    let answer = match calls.call(call).await {
        // There, a framework that is not known makes the request a bad one.
        Err(ApiError::NotFound(message)) if ends_framework => {
            return Err(Refusal::bad(message));
        }
        answer => answer?,
    };
    if accepted_only {
        return Ok(reply::empty(StatusCode::ACCEPTED));
    }
    Ok(given(media, &headers, answer.r#type, answer).await)
}

/// Answers one call to an agent.
pub(super) async fn answer_agent(
    calls: &AgentCalls,
    request: Request,
) -> Result<Response, Refusal> {
    calls.check_recovered().await?;
    if attach::is_stream(request.headers()) {
        return attach::input(calls.guests(), request).await;
    }
    let (headers, mut call) = request::message::<agent::Call>(request).await?;
    if headers.contains_key(attach::MESSAGE_CONTENT_TYPE) {
        let message = "'Message-Content-Type' is for streams of records";
        return Err(Refusal::UnsupportedMedia(message.to_owned()));
    }
    call.r#type = request::known::<agent::call::Type>(call.r#type);
    if call.r#type.is_none() {
        return Err(ApiError::missing("type").into());
    }
    let guests = calls.guests();
    match call.r#type() {
        agent::call::Type::LaunchNestedContainerSession => {
            attach::check_accept(&headers)?;
            let session = guests.session(call).await?;
            return attach::output(&headers, of_session(session));
        }
        agent::call::Type::AttachContainerOutput => {
            attach::check_accept(&headers)?;
            let reader = guests.output(call)?;
            return attach::output(&headers, of_reader(reader));
        }
        agent::call::Type::LaunchContainer | agent::call::Type::LaunchNestedContainer => {
            let new = guests.launch(call).await?;
            let code = if new {
                StatusCode::OK
            } else {
                StatusCode::ACCEPTED
            };
            return Ok(reply::empty(code));
        }
        _ => {}
    }
    let media = Media::of_reply(&headers)?;
    let answer = calls.call(call).await?;
    Ok(given(media, &headers, answer.r#type, answer).await)
}

/// Orders are answered without content: their answer has no type.
async fn given<M>(media: Media, headers: &HeaderMap, kind: Option<i32>, answer: M) -> Response
where
    M: Message + Json + 'static,
{
    match kind {
        Some(_) => reply::whole(media, headers, answer).await,
        None => reply::empty(StatusCode::OK),
    }
}
