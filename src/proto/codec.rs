//! Decoding that refuses messages without their required fields: [`decode`] for whole bodies,
//! [`CheckedCodec`] for gRPC, where the generated services use it on both sides.

use std::marker::PhantomData;

use bytes::Buf;
use prost::{Message, Name};
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic::{Code, Status};
use tonic_prost::ProstEncoder;
use tonic_types::{ErrorDetails, StatusExt};

use super::required::{self, Flaw};

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A required field is not there.
    #[error("{message}: field '{path}' is required")]
    MissingField {
        /// The full name of the message that was expected, `mesos.v1.scheduler.Call`.
        message: String,
        /// Path of the field, `accept.operations[0].launch.task_infos[0].agent_id.value`.
        path: String,
    },
    /// The bytes are no protobuf encoding of the message.
    #[error("{message}: malformed protobuf: {reason}")]
    Malformed {
        /// The full name of the message that was expected.
        message: String,
        /// What is wrong with the bytes.
        reason: String,
    },
}

impl From<WireError> for Status {
    /// With a `google.rpc.BadRequest` that names the field.
    fn from(error: WireError) -> Self {
        let message = error.to_string();
        match error {
            WireError::MissingField { path, .. } => Self::with_error_details(
                Code::InvalidArgument,
                message,
                ErrorDetails::with_bad_request_violation(path, "required, but not there"),
            ),
            WireError::Malformed { .. } => Self::invalid_argument(message),
        }
    }
}

/// Decodes a message after checking that its required fields are there.
///
/// # Errors
///
/// [`WireError`] names the message, and the field or the flaw in the encoding.
pub fn decode<M: Message + Default + Name>(bytes: &[u8]) -> Result<M, WireError> {
    let flaw = match required::check(&M::full_name(), bytes) {
        Ok(()) => match M::decode(bytes) {
            Ok(message) => return Ok(message),
            Err(error) => WireError::Malformed {
                message: M::full_name(),
                reason: error.to_string(),
            },
        },
        Err(Flaw::Missing(path)) => WireError::MissingField {
            message: M::full_name(),
            path,
        },
        Err(Flaw::Malformed(reason)) => WireError::Malformed {
            message: M::full_name(),
            reason: reason.to_owned(),
        },
    };
    Err(flaw)
}

/// Sends `T` and receives `U` as protobuf, with the required fields of `U` checked; a message that
/// fails is answered with INVALID_ARGUMENT and the text of its [`WireError`].
#[derive(Clone, Debug)]
pub struct CheckedCodec<T, U> {
    messages: PhantomData<fn(T) -> U>,
}

impl<T, U> Default for CheckedCodec<T, U> {
    fn default() -> Self {
        Self {
            messages: PhantomData,
        }
    }
}

impl<T, U> Codec for CheckedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Name + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = CheckedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        CheckedDecoder {
            message: PhantomData,
        }
    }
}

/// The receiving half of [`CheckedCodec`].
#[derive(Clone, Debug)]
pub struct CheckedDecoder<U> {
    message: PhantomData<fn() -> U>,
}

impl<U: Message + Default + Name> Decoder for CheckedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        Ok(Some(decode(&bytes)?))
    }
}
