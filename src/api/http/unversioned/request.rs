//! A request to an unversioned endpoint: what its path, query and body say.

use axum::body::HttpBody as _;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method};

use super::fields::{Fields, decode};
use super::refusal::Refusal;
use crate::api::error::ApiError;
use crate::api::grpc::CALL_MAX;

/// Longest name of a function that `jsonp=` may give, in bytes.
const CALLBACK_MAX: usize = 128;

/// One request, read whole.
#[derive(Debug)]
pub(in crate::api::http) struct Request {
    /// Its method, one that the endpoint serves.
    pub(super) method: Method,
    /// What follows the endpoint's name in the path, decoded, without slashes at its ends:
    /// `/quota/a/b` gives `a/b`.
    pub(super) rest: String,
    /// The query.
    pub(super) query: Fields,
    /// All headers.
    pub(super) headers: HeaderMap,
    /// The body, bounded.
    pub(super) body: Bytes,
}

impl Request {
    /// Reads the request for the endpoint whose path has `base` bytes.
    ///
    /// # Errors
    ///
    /// A malformed query, or a body that is too long or breaks off.
    pub(super) async fn read(
        request: axum::extract::Request,
        base: usize,
    ) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let Parts {
            method,
            uri,
            headers,
            ..
        } = parts;
        let rest = uri.path().get(base..).unwrap_or_default();
        let rest = decode(rest.trim_matches('/'), false)?;
        let query = Fields::parse(uri.query().unwrap_or_default())?;
        let too_large = || ApiError::TooLarge(format!("the body is longer than {CALL_MAX} bytes"));
        if body.size_hint().lower() > CALL_MAX as u64 {
            return Err(too_large().into());
        }
        let body = axum::body::to_bytes(body, CALL_MAX).await;
        let body = body.map_err(|error| {
            let source = std::error::Error::source(&error);
            if source.is_some_and(|source| source.is::<http_body_util::LengthLimitError>()) {
                return too_large();
            }
            ApiError::invalid(format!("the body could not be read: {error}"))
        })?;
        Ok(Self {
            method,
            rest,
            query,
            headers,
            body,
        })
    }

    /// The body as a form.
    ///
    /// # Errors
    ///
    /// It is none.
    pub(super) fn form(&self) -> Result<Fields, ApiError> {
        let text = std::str::from_utf8(&self.body);
        let text = text.map_err(|_| ApiError::invalid("the body is no form: it is not UTF-8"))?;
        Fields::parse(text)
    }

    /// The function that is to be called with the reply.
    ///
    /// # Errors
    ///
    /// A name that no function can have: it would be a way to have others run a script.
    pub(super) fn callback(&self) -> Result<Option<String>, ApiError> {
        // A page can have others' scripts loaded by GET only.
        if self.method != Method::GET {
            return Ok(None);
        }
        let Some(name) = self.query.get("jsonp").filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let proper = |c: char| c.is_ascii_alphanumeric() || "_$.[]".contains(c);
        if name.len() > CALLBACK_MAX || !name.chars().all(proper) {
            let message = "jsonp: must be the name of a function, of letters, digits, '_', '$', '.' \
                           and '[]'";
            return Err(ApiError::field("jsonp", message));
        }
        Ok(Some(name.to_owned()))
    }
}
