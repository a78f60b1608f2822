//! What a caller is told when a call fails: one enum, with the HTTP status and the gRPC code of each
//! kind in one table.

use http::StatusCode;
use http::header::HeaderValue;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::proto::WireError;

/// Response metadata and HTTP header that name the leading master, `host:port`.
pub const LEADER: &str = "mesos-leader";

/// Why a call failed. The texts are for the caller: one line that names the thing, the value and the
/// way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The request breaks a rule of the API.
    #[error("{message}")]
    Invalid {
        /// Path of the field that is wrong, `accept.offer_ids[0].value`, where it is one field.
        field: Option<String>,
        /// What is wrong with it.
        message: String,
    },
    /// Who the caller is could not be established.
    #[error("{0}")]
    Unauthenticated(String),
    /// The caller may not do that.
    #[error("{0}")]
    Forbidden(String),
    /// The thing that is spoken of does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The caller has no subscription, which this call needs.
    #[error("{0}")]
    NotSubscribed(String),
    /// The stream id is not that of the framework's present subscription.
    #[error("{0}")]
    WrongStream(String),
    /// The present state contradicts the request; it can be right later.
    #[error("{0}")]
    Conflict(String),
    /// The request is larger than it may be.
    #[error("{0}")]
    TooLarge(String),
    /// The caller has used up its rate, or reads too slowly.
    #[error("{0}")]
    Exhausted(String),
    /// This master does not lead.
    #[error("this master is not the leader{}", leader.as_ref().map_or_else(
        || ", and none is known at present; try again".to_owned(),
        |leader| format!(": ask {leader}"),
    ))]
    NotLeading {
        /// The leader's `host:port`, while one is known.
        leader: Option<String>,
    },
    /// Starting, ending, or overloaded: try again.
    #[error("{0}")]
    Unavailable(String),
    /// The request took longer than it may.
    #[error("{0}")]
    TimedOut(String),
    /// A call of the protocol that this version does not serve.
    #[error("{0}")]
    Unimplemented(String),
    /// A bug in mesosd; the log says more.
    #[error("{0}")]
    Internal(String),
}

impl ApiError {
    /// A rule broken by one field.
    #[must_use]
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid {
            field: Some(field.into()),
            message: message.into(),
        }
    }

    /// A rule broken by the request as a whole.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid {
            field: None,
            message: message.into(),
        }
    }

    /// A field that this type of call needs is not there.
    #[must_use]
    pub fn missing(field: &str) -> Self {
        Self::field(field, format!("field '{field}' is required"))
    }

    /// The codes of this kind. HTTP: facts section 4.1, with 307 and 503 for standbys.
    fn codes(&self) -> (StatusCode, Code) {
        match self {
            Self::Invalid { .. } => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
            Self::Unauthenticated(_) => (StatusCode::UNAUTHORIZED, Code::Unauthenticated),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, Code::PermissionDenied),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, Code::NotFound),
            Self::NotSubscribed(_) => (StatusCode::FORBIDDEN, Code::FailedPrecondition),
            Self::WrongStream(_) => (StatusCode::BAD_REQUEST, Code::FailedPrecondition),
            Self::Conflict(_) => (StatusCode::CONFLICT, Code::Aborted),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
            Self::Exhausted(_) => (StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted),
            Self::NotLeading { leader: Some(_) } => {
                (StatusCode::TEMPORARY_REDIRECT, Code::Unavailable)
            }
            Self::NotLeading { leader: None } | Self::Unavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable)
            }
            Self::TimedOut(_) => (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded),
            Self::Unimplemented(_) => (StatusCode::NOT_IMPLEMENTED, Code::Unimplemented),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal),
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn http_status(&self) -> StatusCode {
        self.codes().0
    }

    /// The gRPC code.
    #[must_use]
    pub fn grpc_code(&self) -> Code {
        self.codes().1
    }

    /// The same call can succeed later without being changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotLeading { .. }
            | Self::Unavailable(_)
            | Self::TimedOut(_)
            | Self::Exhausted(_)
            | Self::Conflict(_) => true,
            Self::Invalid { .. }
            | Self::Unauthenticated(_)
            | Self::Forbidden(_)
            | Self::NotFound(_)
            | Self::NotSubscribed(_)
            | Self::WrongStream(_)
            | Self::TooLarge(_)
            | Self::Unimplemented(_)
            | Self::Internal(_) => false,
        }
    }

    /// The answer to an HTTP/1.1 or plain HTTP/2 request: status, text, and where the leader is.
    #[must_use]
    pub fn into_http<B: From<String>>(self) -> http::Response<B> {
        let mut response = http::Response::new(B::from(format!("{self}\n")));
        *response.status_mut() = self.http_status();
        let headers = response.headers_mut();
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(http::header::CONTENT_TYPE, text);
        if let Self::NotLeading {
            leader: Some(leader),
        } = &self
            && let Ok(value) = HeaderValue::from_str(leader)
        {
            headers.insert(LEADER, value);
        }
        response
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let message = error.to_string();
        match &error {
            ApiError::Invalid {
                field: Some(field),
                message: description,
            } => {
                let details = ErrorDetails::with_bad_request_violation(field, description);
                Self::with_error_details(error.grpc_code(), message, details)
            }
            ApiError::NotLeading {
                leader: Some(leader),
            } => {
                let mut status = Self::new(error.grpc_code(), message);
                if let Ok(value) = MetadataValue::try_from(leader.as_str()) {
                    status.metadata_mut().insert(LEADER, value);
                }
                status
            }
            _ => Self::new(error.grpc_code(), message),
        }
    }
}

impl From<WireError> for ApiError {
    fn from(error: WireError) -> Self {
        let message = error.to_string();
        match error {
            WireError::MissingField { path, .. } => Self::field(path, message),
            WireError::Malformed { .. } => Self::invalid(message),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_field_is_named_in_the_details() {
        let status = Status::from(ApiError::missing("kill.task_id"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "field 'kill.task_id' is required");
        let details = status.get_details_bad_request().unwrap();
        assert_eq!(details.field_violations[0].field, "kill.task_id");
    }

    #[test]
    fn a_standby_names_the_leader() {
        let leader = Some("10.0.0.1:5050".to_owned());
        let error = ApiError::NotLeading { leader };
        assert_eq!(
            error.to_string(),
            "this master is not the leader: ask 10.0.0.1:5050"
        );
        let status = Status::from(error.clone());
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.metadata().get(LEADER).unwrap(), "10.0.0.1:5050");
        let response = error.into_http::<String>();
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(response.headers()[LEADER], "10.0.0.1:5050");
    }
}
