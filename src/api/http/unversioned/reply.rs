//! Replies of the unversioned endpoints.

use axum::body::Body;
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::gzip;
use super::parts::{Parts, Segments};
use crate::api::http::v1::accepts_gzip;
use crate::api::service::aside;
use crate::proto::json::writer::Writer;

/// Replies from this size on are compressed for clients that can unpack them, as in Mesos.
const GZIP_MIN: usize = 1024;

/// What an endpoint answers.
#[derive(Debug)]
pub(in crate::api::http) enum Reply {
    /// A code and nothing else.
    Empty(StatusCode),
    /// JSON.
    Json(Segments),
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

    /// JSON that may be large: written and, for clients that can unpack it, compressed by several
    /// threads, none of which serves connections.
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

    /// The reply to a client with these headers; `callback` is the function to be called with JSON.
    pub(super) async fn respond(self, headers: &HeaderMap, callback: Option<String>) -> Response {
        match self {
            Self::Empty(code) => code.into_response(),
            Self::Text(text) => text.into_response(),
            Self::Html(text) => Html(text).into_response(),
            Self::Other(response) => *response,
            Self::Json(segments) => match callback {
                Some(callback) => script(&callback, segments),
                None => json(headers, segments).await,
            },
        }
    }
}

/// A call of the client's function.
fn script(callback: &str, mut segments: Segments) -> Response {
    segments.wrap(format!("{callback}("), ");".to_owned());
    let kind = HeaderValue::from_static("text/javascript");
    ([(CONTENT_TYPE, kind)], Body::new(segments)).into_response()
}

async fn json(headers: &HeaderMap, segments: Segments) -> Response {
    let kind = HeaderValue::from_static("application/json");
    if segments.len() < GZIP_MIN || !accepts_gzip(headers) {
        return ([(CONTENT_TYPE, kind)], Body::new(segments)).into_response();
    }
    let packed = aside(move || gzip::compress(&segments.into_inner())).await;
    let coding = HeaderValue::from_static("gzip");
    let headers = [(CONTENT_TYPE, kind), (CONTENT_ENCODING, coding)];
    (headers, Body::new(Segments::from_iter(packed))).into_response()
}

impl From<Bytes> for Reply {
    fn from(json: Bytes) -> Self {
        Self::Json(Segments::from_iter([json]))
    }
}
