//! Replies of the unversioned endpoints.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::request::Request;
use crate::api::error::ApiError;
use crate::api::http::gzip;
use crate::api::http::parts::{Parts, Segments};
use crate::api::http::shared::{Encoded, GZIP_MIN, Key, Outgoing, Shared};
use crate::api::http::v1::accepts_gzip;
use crate::api::service::aside;
use crate::api::service::operator::OperatorCalls;
use crate::master::Snapshot;
use crate::proto::json::writer::Writer;

/// What an endpoint answers.
#[derive(Debug)]
pub(in crate::api::http) enum Reply {
    /// A code and nothing else.
    Empty(StatusCode),
    /// JSON.
    Json(Segments),
    /// JSON that others get too; compressed if this client can unpack it.
    Shared(Arc<Encoded>),
    /// Plain text.
    Text(String),
    /// A page.
    Html(String),
    /// Anything else.
    Other(Box<Response>),
}

impl Reply {
    /// JSON that is written in no time.
    pub(super) fn json(write: impl FnOnce(&mut Writer)) -> Self {
        let mut writer = Writer::default();
        write(&mut writer);
        Self::Json(Segments::from(writer.finish()))
    }

    /// JSON that may be large: written, by several threads, where it delays nobody.
    pub(super) async fn large<T: Send + Sync + 'static>(
        of: T,
        write: impl for<'a> FnOnce(&'a T, &mut Parts<'a>) + Send + 'static,
    ) -> Self {
        let segments = aside(move || {
            let mut parts = Parts::default();
            write(&of, &mut parts);
            parts.finish()
        });
        Self::Json(segments.await)
    }

    /// JSON of the cluster's state, which may be large: written by several threads, shared with all
    /// that ask for the same. `name` and `parameters` say what is asked for.
    ///
    /// # Errors
    ///
    /// The master is shutting down, or `jsonp` is no name.
    pub(super) async fn of_state(
        shared: &Shared,
        request: &Request,
        name: &'static str,
        parameters: String,
        write: impl for<'a> FnOnce(&mut Parts<'a>, &'a Snapshot, &OperatorCalls) + Send + 'static,
    ) -> Result<Self, ApiError> {
        let key = Key {
            name,
            parameters,
            gzip: accepts_gzip(&request.headers) && request.callback()?.is_none(),
        };
        let reply = shared.reply(key, |snapshot, calls| {
            let mut parts = Parts::default();
            write(&mut parts, snapshot, calls);
            parts.finish()
        });
        Ok(Self::Shared(reply.await?))
    }

    /// The reply to a client with these headers; `callback` is the function to be called with JSON.
    pub(super) async fn respond(self, headers: &HeaderMap, callback: Option<String>) -> Response {
        let encoded = match self {
            Self::Empty(code) => return code.into_response(),
            Self::Text(text) => return text.into_response(),
            Self::Html(text) => return Html(text).into_response(),
            Self::Other(response) => return *response,
            Self::Shared(encoded) => encoded,
            Self::Json(segments) => {
                let packs = callback.is_none() && accepts_gzip(headers);
                if packs && segments.len() >= GZIP_MIN {
                    let packed = aside(move || gzip::compress(segments.pieces())).await;
                    Encoded::packed(Segments::from_iter(packed))
                } else {
                    Encoded::alone(segments)
                }
            }
        };
        if let Some(callback) = callback {
            let kind = HeaderValue::from_static("text/javascript");
            let body = Outgoing::between(encoded, format!("{callback}("), ")".to_owned());
            return ([(CONTENT_TYPE, kind)], Body::new(body)).into_response();
        }
        let kind = HeaderValue::from_static("application/json");
        let gzip = encoded.gzip;
        let body = Body::new(Outgoing::new(encoded));
        let mut response = ([(CONTENT_TYPE, kind)], body).into_response();
        if gzip {
            let coding = HeaderValue::from_static("gzip");
            response.headers_mut().insert(CONTENT_ENCODING, coding);
        }
        response
    }
}

impl From<Bytes> for Reply {
    fn from(json: Bytes) -> Self {
        Self::Json(Segments::from_iter([json]))
    }
}
