//! What flows between a client and a container that it is attached to: `ProcessIO` in both directions.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::time::{Instant, timeout_at};

use super::guests::{GuestCalls, Session};
use crate::api::error::ApiError;
use crate::containerizer::guests::{Input, Said, Stream as Output};
use crate::proto::v1;
use crate::proto::v1::agent::{ProcessIo, call, process_io};

/// A sign of life goes into every output that often.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// What a session says; the session ends with this stream.
pub(in crate::api) fn of_session(session: Session) -> impl Stream<Item = ProcessIo> + Send {
    beating(stream::unfold(session, |mut session| async move {
        let said = session.said.recv().await?;
        Some((said, session))
    }))
}

/// What a container says that others have started.
pub(in crate::api) fn of_reader(
    reader: mpsc::Receiver<Said>,
) -> impl Stream<Item = ProcessIo> + Send {
    beating(stream::unfold(reader, |mut reader| async move {
        let said = reader.recv().await?;
        Some((said, reader))
    }))
}

/// Messages with signs of life between them.
fn beating(said: impl Stream<Item = Said> + Send) -> impl Stream<Item = ProcessIo> + Send {
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

/// One client's ATTACH_CONTAINER_INPUT: the first part names the container, the others are its input.
#[derive(Debug)]
pub(in crate::api) struct Speaker<'a> {
    guests: &'a GuestCalls,
    input: Option<OwnedMutexGuard<Input>>,
}

impl<'a> Speaker<'a> {
    pub(in crate::api) fn new(guests: &'a GuestCalls) -> Self {
        Self {
            guests,
            input: None,
        }
    }

    /// Takes one part.
    ///
    /// # Errors
    ///
    /// It is out of order or malformed, the container is not there, or it does not read.
    pub(in crate::api) async fn take(
        &mut self,
        part: call::AttachContainerInput,
    ) -> Result<(), ApiError> {
        let Some(input) = &mut self.input else {
            let id = match (part.r#type(), part.container_id) {
                (call::attach_container_input::Type::ContainerId, Some(id)) => id,
                _ => return Err(ApiError::invalid("the first record must be a CONTAINER_ID")),
            };
            self.input = Some(self.guests.input(&id)?);
            return Ok(());
        };
        let message = part.process_io;
        let message = message.ok_or_else(|| {
            ApiError::invalid("every record after the first must be a PROCESS_IO")
        })?;
        match message.r#type() {
            process_io::Type::Data => {
                let part = message.data.unwrap_or_default();
                if part.r#type() != process_io::data::Type::Stdin {
                    return Err(ApiError::invalid("data must be for STDIN"));
                }
                let written = input.write(part.data()).await;
                written.map_err(|error| {
                    ApiError::invalid(format!("the container does not read: {error}"))
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
            process_io::Type::Unknown => {
                return Err(ApiError::invalid("a PROCESS_IO without type"));
            }
        }
        Ok(())
    }

    /// The client has said all it had to say.
    ///
    /// # Errors
    ///
    /// It has not said anything.
    pub(in crate::api) fn finish(self) -> Result<(), ApiError> {
        match self.input {
            Some(_) => Ok(()),
            None => Err(ApiError::invalid("the stream has no record")),
        }
    }
}
