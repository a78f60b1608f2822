//! Replies: whole messages, and streams of records in which each record is one HTTP chunk.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::Stream;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::Message;

use super::media::{Media, accepts_gzip};
use crate::api::http::gzip;
use crate::api::http::parts::Segments;
use crate::api::http::shared::{Encoded, GZIP_MIN, Outgoing};
use crate::api::service::aside;
use crate::proto::json::Json;

/// A reply without content.
pub(super) fn empty(status: StatusCode) -> Response {
    status.into_response()
}

/// A whole message, compressed if it is worth it. Encoding a large one takes its time, so it is done
/// where it delays nobody.
pub(super) async fn whole<M>(media: Media, headers: &HeaderMap, message: M) -> Response
where
    M: Message + Json + 'static,
{
    let gzip = accepts_gzip(headers);
    let encoded = aside(move || {
        let plain = Segments::from(media.encode(&message));
        if gzip && plain.len() >= GZIP_MIN {
            return Encoded::packed(Segments::from_iter(gzip::compress(plain.pieces())));
        }
        Encoded::alone(plain)
    });
    shared(media, encoded.await)
}

/// A whole message that others get too.
pub(super) fn shared(media: Media, reply: Arc<Encoded>) -> Response {
    let gzip = reply.gzip;
    let mut response = Body::new(Outgoing::new(reply)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media.header());
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// A stream of records, never compressed.
pub(super) fn stream(
    media: Media,
    records: impl Stream<Item = Bytes> + Send + 'static,
) -> Response {
    let records = futures_util::StreamExt::map(records, Ok::<_, Infallible>);
    let mut response = Body::from_stream(records).into_response();
    response.headers_mut().insert(CONTENT_TYPE, media.header());
    response
}

/// One message as a record: its length in decimal digits, a line feed, the message.
pub(super) fn record<M: Message + Json>(media: Media, message: &M) -> Bytes {
    let content = media.encode(message);
    let mut record = format!("{}\n", content.len()).into_bytes();
    record.extend_from_slice(&content);
    record.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::scheduler::Event;
    use crate::proto::v1::scheduler::event::Type;

    #[test]
    fn a_record_begins_with_its_length() {
        let event = Event {
            r#type: Some(Type::Heartbeat.into()),
            ..Event::default()
        };
        let text = record(Media::Json, &event);
        assert_eq!(text, b"20\n{\"type\":\"HEARTBEAT\"}".as_slice());
        assert_eq!(record(Media::Protobuf, &event), b"2\n\x08\x08".as_slice());
    }
}
