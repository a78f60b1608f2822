//! From a request to its message.

use axum::body::HttpBody as _;
use axum::extract::Request;
use http::request::Parts;
use http::{HeaderMap, Method};
use prost::{Message, Name};

use super::media::Media;
use super::refusal::Refusal;
use crate::api::error::ApiError;
use crate::api::grpc::CALL_MAX;
use crate::proto::decode;
use crate::proto::json::{Json, from_json};

/// The message of a POST, and the request's headers. The checks come in Mesos' order: method, content
/// type, content.
pub(super) async fn message<M>(request: Request) -> Result<(HeaderMap, M), Refusal>
where
    M: Message + Name + Json + Default,
{
    let (
        Parts {
            method, headers, ..
        },
        body,
    ) = request.into_parts();
    if method != Method::POST {
        return Err(Refusal::Method(method));
    }
    let media = Media::of_body(&headers)?;
    let too_large = || {
        let message = format!("the body is longer than {CALL_MAX} bytes");
        Refusal::Call(ApiError::TooLarge(message))
    };
    if body.size_hint().lower() > CALL_MAX as u64 {
        return Err(too_large());
    }
    let body = axum::body::to_bytes(body, CALL_MAX)
        .await
        .map_err(|error| {
            let source = std::error::Error::source(&error);
            if source.is_some_and(|source| source.is::<http_body_util::LengthLimitError>()) {
                return too_large();
            }
            Refusal::bad(format!("the body could not be read: {error}"))
        })?;
    let message = match media {
        Media::Json => from_json(&body)?,
        Media::Protobuf => decode(&body)?,
    };
    Ok((headers, message))
}

/// The type of a call as a proto2 reader sees it: a number that the enum lacks is no type at all.
pub(super) fn known<E: TryFrom<i32>>(number: Option<i32>) -> Option<i32> {
    number.filter(|number| E::try_from(*number).is_ok())
}
