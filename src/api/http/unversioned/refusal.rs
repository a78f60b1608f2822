//! What a request gets that is not served: Mesos' codes and texts.

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, StatusCode};

use crate::api::error::ApiError;

/// Why a request is not served.
#[derive(Debug)]
pub(in crate::api::http) enum Refusal {
    /// Another method is needed.
    Method {
        /// The methods that are served.
        allowed: &'static [Method],
        /// The request's.
        received: Method,
    },
    /// There is nothing at this path.
    NotFound,
    /// The leader has it, at this address.
    Elsewhere(String),
    /// The service layer refused.
    Call(ApiError),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Call(error)
    }
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Method { allowed, received } => method(allowed, &received),
            Self::NotFound => not_found(),
            Self::Elsewhere(location) => match HeaderValue::from_str(&location) {
                Ok(location) => {
                    let headers = [(LOCATION, location)];
                    (StatusCode::TEMPORARY_REDIRECT, headers).into_response()
                }
                Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            },
            Self::Call(error) => {
                let text = error.to_string();
                (error.http_status(), [(CONTENT_TYPE, TEXT)], text).into_response()
            }
        }
    }
}

/// 404 as Mesos says it.
pub(in crate::api::http) fn not_found() -> Response {
    let headers = [(CONTENT_TYPE, TEXT)];
    (StatusCode::NOT_FOUND, headers, "404 Not Found.").into_response()
}

/// 405 as Mesos says it.
pub(in crate::api::http) fn method(allowed: &[Method], received: &Method) -> Response {
    let quoted: Vec<String> = allowed.iter().map(|known| format!("'{known}'")).collect();
    let text = format!(
        "405 Method Not Allowed. Expecting one of {{ {} }}, but received '{received}'.",
        quoted.join(", ")
    );
    let mut response =
        (StatusCode::METHOD_NOT_ALLOWED, [(CONTENT_TYPE, TEXT)], text).into_response();
    let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    if let Ok(names) = HeaderValue::from_str(&names.join(", ")) {
        response.headers_mut().insert(ALLOW, names);
    }
    response
}
