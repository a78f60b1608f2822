//! What a request gets that is not served: Mesos' codes, and one line that says why.

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, StatusCode};

use crate::api::error::ApiError;
use crate::proto::WireError;
use crate::proto::json::JsonError;

/// Why a request is not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Only POST is served.
    #[error("405 Method Not Allowed. Expecting one of {{ 'POST' }}, but received '{0}'.")]
    Method(Method),
    /// The body is of another kind.
    #[error("'Content-Type: {0}' is not served; use application/json or application/x-protobuf")]
    UnsupportedMedia(String),
    /// The client reads neither kind of reply.
    #[error("'Accept' allows neither application/json nor application/x-protobuf")]
    NotAcceptable,
    /// The service layer refused.
    #[error(transparent)]
    Call(#[from] ApiError),
    /// This master does not lead; the reply names the same path of the one that does.
    #[error("{error}")]
    Elsewhere {
        /// Says who leads.
        error: ApiError,
        /// Where to.
        location: Option<String>,
    },
}

impl Refusal {
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::Call(ApiError::invalid(message))
    }

    /// The refusal of a request for this path: a standby sends the client on.
    pub(super) fn at(self, path: &str) -> Self {
        match self {
            Self::Call(error @ ApiError::NotLeading { .. }) => {
                let location = match &error {
                    ApiError::NotLeading {
                        leader: Some(leader),
                    } => Some(format!("//{leader}{path}")),
                    _ => None,
                };
                Self::Elsewhere { error, location }
            }
            other => other,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnsupportedMedia(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::Call(error) | Self::Elsewhere { error, .. } => error.http_status(),
        }
    }
}

impl From<WireError> for Refusal {
    fn from(error: WireError) -> Self {
        Self::Call(error.into())
    }
}

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        Self::bad(error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        match &self {
            Self::Method(_) => {
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
            }
            Self::Elsewhere {
                location: Some(location),
                ..
            } => {
                if let Ok(location) = HeaderValue::from_str(location) {
                    headers.insert(LOCATION, location);
                }
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_sends_on_to_the_same_path() {
        let leader = Some("10.0.0.1:5050".to_owned());
        let refusal = Refusal::from(ApiError::NotLeading { leader });
        let response = refusal.at("/api/v1/scheduler").into_response();
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(
            response.headers()[LOCATION],
            "//10.0.0.1:5050/api/v1/scheduler"
        );

        let refusal = Refusal::from(ApiError::NotLeading { leader: None });
        let response = refusal.at("/api/v1").into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!response.headers().contains_key(LOCATION));
    }
}
