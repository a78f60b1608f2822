//! Replies: whole messages, and streams of records in which each record is one HTTP chunk.

use std::convert::Infallible;
use std::io::Write as _;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::Stream;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::Message;

use super::media::{Media, accepts_gzip};
use crate::proto::json::Json;

/// Replies from this size on are compressed for clients that can unpack them, as in Mesos.
const GZIP_MIN: usize = 1024;

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
    let encoding = tokio::task::spawn_blocking(move || {
        let plain = media.encode(&message);
        if gzip && plain.len() >= GZIP_MIN {
            return (compressed(&plain), true);
        }
        (plain, false)
    });
    let encoded = encoding.await;
    let (body, gzip) =
        encoded.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media.header());
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn compressed(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    encoder
        .write_all(plain)
        .and_then(|()| encoder.finish())
        .expect("writing to memory does not fail")
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
