//! Streams of attached containers, as records.

use std::pin::pin;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, StatusCode};

use super::media::{Media, accepts};
use super::refusal::Refusal;
use super::reply;
use crate::api::error::ApiError;
use crate::api::service::attach::Speaker;
use crate::api::service::guests::GuestCalls;
use crate::proto::decode;
use crate::proto::json::from_json;
use crate::proto::v1::agent::{Call, ProcessIo, call};

/// Content type of streams of records.
const RECORDIO: &str = "application/recordio";
/// Says what the records of a request are written in.
pub(super) const MESSAGE_CONTENT_TYPE: &str = "message-content-type";
/// Says what the records of a reply are to be written in.
const MESSAGE_ACCEPT: &str = "message-accept";
/// Longest record of input, in bytes.
const RECORD_MAX: usize = 1 << 20;
/// Longest line with the length of a record.
const LENGTH_MAX: usize = 20;

/// Whether the client reads streams of records.
pub(super) fn check_accept(headers: &HeaderMap) -> Result<(), Refusal> {
    if accepts(headers, RECORDIO) {
        Ok(())
    } else {
        Err(Refusal::NotAcceptable)
    }
}

/// The output of a container to a client with these headers.
pub(super) fn output(
    headers: &HeaderMap,
    said: impl Stream<Item = ProcessIo> + Send + 'static,
) -> Result<Response, Refusal> {
    let media = match headers.get(MESSAGE_ACCEPT) {
        None => Media::Json,
        Some(named) => {
            Media::named(named).ok_or_else(|| Refusal::UnsupportedMedia(shown(named)))?
        }
    };
    let records = said.map(move |message| reply::record(media, &message));
    let mut response = reply::stream(media, records);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(RECORDIO));
    headers.insert(MESSAGE_CONTENT_TYPE, media.header());
    Ok(response)
}

fn shown(value: &HeaderValue) -> String {
    let text = value.to_str().unwrap_or_default();
    text.chars().take(100).collect()
}

/// True for a request whose body is a stream of records.
pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(RECORDIO))
}

/// ATTACH_CONTAINER_INPUT: the first record names the container, the others are its input.
pub(super) async fn input(guests: &GuestCalls, request: Request) -> Result<Response, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::Method(request.method().clone()));
    }
    let named = request.headers().get(MESSAGE_CONTENT_TYPE);
    let named = named
        .ok_or_else(|| Refusal::bad("a stream of records needs a 'Message-Content-Type' header"))?;
    let media = Media::named(named).ok_or_else(|| Refusal::UnsupportedMedia(shown(named)))?;
    let mut records = Records::new(request.into_body(), media);
    let mut speaker = Speaker::new(guests);
    while let Some(record) = records.next().await? {
        speaker.take(record).await?;
    }
    speaker.finish()?;
    Ok(reply::empty(StatusCode::OK))
}

/// The records of a body, as they arrive.
struct Records {
    body: axum::body::BodyDataStream,
    pending: BytesMut,
    media: Media,
}

impl Records {
    fn new(body: Body, media: Media) -> Self {
        Self {
            body: body.into_data_stream(),
            pending: BytesMut::new(),
            media,
        }
    }

    async fn next(&mut self) -> Result<Option<call::AttachContainerInput>, Refusal> {
        loop {
            if let Some(record) = self.split()? {
                let call: Call = match self.media {
                    Media::Json => from_json(&record)?,
                    Media::Protobuf => decode(&record)?,
                };
                let part = call.attach_container_input;
                let part = part.ok_or_else(|| ApiError::missing("attach_container_input"))?;
                return Ok(Some(part));
            }
            let mut chunk = pin!(self.body.next());
            match chunk.as_mut().await {
                Some(Ok(bytes)) => self.pending.extend_from_slice(&bytes),
                // A client that has gone has said all it had to say.
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }

    /// The next whole record.
    fn split(&mut self) -> Result<Option<Bytes>, Refusal> {
        let line = self
            .pending
            .iter()
            .take(LENGTH_MAX + 1)
            .position(|&byte| byte == b'\n');
        let Some(line) = line else {
            if self.pending.len() > LENGTH_MAX {
                return Err(Refusal::bad(
                    "a record must begin with its length and a line feed",
                ));
            }
            return Ok(None);
        };
        let length = std::str::from_utf8(&self.pending[..line]).ok();
        let length: Option<usize> = length.and_then(|text| text.parse().ok());
        let length = length.ok_or_else(|| Refusal::bad("the length of a record is no number"))?;
        if length > RECORD_MAX {
            let message = format!("a record of {length} bytes is longer than {RECORD_MAX}");
            return Err(ApiError::TooLarge(message).into());
        }
        if self.pending.len() < line + 1 + length {
            return Ok(None);
        }
        self.pending.advance(line + 1);
        Ok(Some(self.pending.split_to(length).freeze()))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::base::Rng;

    async fn read(bytes: Vec<u8>, media: Media) -> Result<usize, Refusal> {
        let mut records = Records::new(Body::from(bytes), media);
        let mut count = 0;
        while records.next().await?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    /// As strangers send them: a fixed number of damaged streams, from one seed.
    #[tokio::test]
    async fn damaged_records_are_refused() {
        let record = br#"{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":{"type":"CONTAINER_ID"}}"#;
        let one = [format!("{}\n", record.len()).as_bytes(), record].concat();
        let whole = [one.clone(), one].concat();
        assert_eq!(read(whole.clone(), Media::Json).await.unwrap(), 2);
        let mut rng = Rng::seeded(1, "records");
        let mut refused = 0;
        for _ in 0..2_000 {
            let mut bytes = whole.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bytes.len() as u64) as usize;
                match rng.below(4) {
                    0 => bytes[at] ^= 1 << rng.below(8),
                    1 => bytes.truncate(at + 1),
                    2 => bytes.insert(at, b"-0\n9"[rng.below(4) as usize]),
                    _ => drop(bytes.drain(..at)),
                }
            }
            for media in [Media::Json, Media::Protobuf] {
                refused += usize::from(read(bytes.clone(), media).await.is_err());
            }
        }
        assert!(refused > 1_000, "{refused}");
    }
}
