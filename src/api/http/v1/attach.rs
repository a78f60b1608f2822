//! Streams of attached containers: records of `ProcessIO` in both directions.

use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::media::{Media, accepts};
use super::refusal::Refusal;
use super::reply;
use crate::api::error::ApiError;
use crate::api::service::guests::{GuestCalls, Session};
use crate::containerizer::guests::{Said, Stream as Output};
use crate::proto::decode;
use crate::proto::json::from_json;
use crate::proto::v1;
use crate::proto::v1::agent::{Call, ProcessIo, call, process_io};

/// Content type of streams of records.
const RECORDIO: &str = "application/recordio";
/// Says what the records of a request are written in.
pub(super) const MESSAGE_CONTENT_TYPE: &str = "message-content-type";
/// Says what the records of a reply are to be written in.
const MESSAGE_ACCEPT: &str = "message-accept";
/// A sign of life goes into every output that often.
const HEARTBEAT: Duration = Duration::from_secs(30);
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
    said: impl Stream<Item = Said> + Send + 'static,
) -> Result<Response, Refusal> {
    let media = match headers.get(MESSAGE_ACCEPT) {
        None => Media::Json,
        Some(named) => {
            Media::named(named).ok_or_else(|| Refusal::UnsupportedMedia(shown(named)))?
        }
    };
    let beats = beating(said).map(move |message| reply::record(media, &message));
    let mut response = reply::stream(media, beats);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(RECORDIO));
    headers.insert(MESSAGE_CONTENT_TYPE, media.header());
    Ok(response)
}

/// The words of a session; the session ends with this stream.
pub(super) fn of_session(session: Session) -> impl Stream<Item = Said> + Send {
    stream::unfold(session, |mut session| async move {
        let said = session.said.recv().await?;
        Some((said, session))
    })
}

/// The words of a container that others have started.
pub(super) fn of_reader(reader: mpsc::Receiver<Said>) -> impl Stream<Item = Said> + Send {
    stream::unfold(reader, |mut reader| async move {
        let said = reader.recv().await?;
        Some((said, reader))
    })
}

/// Messages with signs of life between them.
fn beating(said: impl Stream<Item = Said> + Send + 'static) -> impl Stream<Item = ProcessIo> {
    let next = Instant::now() + HEARTBEAT;
    stream::unfold((Box::pin(said), next), |(mut said, next)| async move {
        match timeout_at(next, said.next()).await {
            Ok(Some(chunk)) => Some((data(chunk), (said, next))),
            Ok(None) => None,
            Err(_) => Some((heartbeat(), (said, next + HEARTBEAT))),
        }
    })
}

fn data(said: Said) -> ProcessIo {
    let stream = match said.stream {
        Output::Stdout => process_io::data::Type::Stdout,
        Output::Stderr => process_io::data::Type::Stderr,
    };
    ProcessIo {
        r#type: Some(process_io::Type::Data.into()),
        data: Some(process_io::Data {
            r#type: Some(stream.into()),
            data: Some(said.data.to_vec()),
        }),
        control: None,
    }
}

fn heartbeat() -> ProcessIo {
    ProcessIo {
        r#type: Some(process_io::Type::Control.into()),
        data: None,
        control: Some(process_io::Control {
            r#type: Some(process_io::control::Type::Heartbeat.into()),
            tty_info: None,
            heartbeat: Some(process_io::control::Heartbeat {
                interval: Some(HEARTBEAT.into()),
            }),
        }),
    }
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
    let first = records.next().await?;
    let first = first.ok_or_else(|| Refusal::bad("the stream has no record"))?;
    let id = match (first.r#type(), first.container_id) {
        (call::attach_container_input::Type::ContainerId, Some(id)) => id,
        _ => return Err(Refusal::bad("the first record must be a CONTAINER_ID")),
    };
    let mut input = guests.input(&id)?;
    while let Some(record) = records.next().await? {
        let message = record
            .process_io
            .ok_or_else(|| Refusal::bad("every record after the first must be a PROCESS_IO"))?;
        match message.r#type() {
            process_io::Type::Data => {
                let part = message.data.unwrap_or_default();
                if part.r#type() != process_io::data::Type::Stdin {
                    return Err(Refusal::bad("data must be for STDIN"));
                }
                let written = input.write(part.data()).await;
                written.map_err(|error| {
                    Refusal::bad(format!("the container does not read: {error}"))
                })?;
            }
            process_io::Type::Control => {
                let tty = message.control.and_then(|control| control.tty_info);
                let size = tty.and_then(|tty: v1::TtyInfo| tty.window_size);
                if let Some(size) = size {
                    let small = |number| u16::try_from(number).unwrap_or(u16::MAX);
                    input.resize(small(size.rows), small(size.columns));
                }
            }
            process_io::Type::Unknown => return Err(Refusal::bad("a PROCESS_IO without type")),
        }
    }
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
