//! Messages as they arrive: `POST /<process>/<message>` with the sender's process in a header.

use axum::extract::Request;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};

use super::pid::Pid;
use crate::api::grpc::CALL_MAX;

/// The header with the sender's process; older libprocess has it only in `User-Agent`.
const FROM: &str = "libprocess-from";
/// What comes before the sender's process in `User-Agent`.
const AGENT: &str = "libprocess/";

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Incoming {
    /// Whom it is for: `master`, `slave(1)`.
    pub(super) to: String,
    /// What it is: `mesos.internal.RegisterFrameworkMessage`.
    pub(super) name: String,
    /// Who says to have sent it.
    pub(super) from: Pid,
    /// The encoded message.
    pub(super) body: Bytes,
}

/// Status and one line for a peer whose message cannot be taken.
pub(super) type Refused = (StatusCode, String);

/// Whether a request carries a message, as libprocess tells it from others.
pub(super) fn is_message(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::POST && sender(headers).is_some()
}

/// The sender's process as the headers have it.
fn sender(headers: &HeaderMap) -> Option<&[u8]> {
    let from = headers.get(FROM).map(http::HeaderValue::as_bytes);
    from.or_else(|| {
        headers
            .get(USER_AGENT)?
            .as_bytes()
            .strip_prefix(AGENT.as_bytes())
    })
}

/// Reads the message of a request.
pub(super) async fn read(request: Request) -> Result<Incoming, Refused> {
    let (Parts { uri, headers, .. }, body) = request.into_parts();
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let from = sender(&headers).unwrap_or_default();
    let from = String::from_utf8_lossy(from)
        .trim()
        .parse()
        .map_err(|error| bad(format!("Libprocess-From: {error}")))?;
    let (to, name) = target(uri.path()).ok_or_else(|| {
        let path = uri.path();
        bad(format!("'{path}' is not /PROCESS/MESSAGE"))
    })?;
    let too_long = || {
        let text = format!("{name}: longer than {CALL_MAX} bytes, or cut off");
        (StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    // Not waited for when it is announced.
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > CALL_MAX) {
        return Err(too_long());
    }
    let body = axum::body::to_bytes(body, CALL_MAX)
        .await
        .map_err(|_| too_long())?;
    Ok(Incoming {
        to,
        name,
        from,
        body,
    })
}

/// Process and message of a path. Some HTTP libraries write the parentheses of `slave(1)` as `%28`, `%29`.
fn target(path: &str) -> Option<(String, String)> {
    let (to, name) = path.strip_prefix('/')?.split_once('/')?;
    let plain = |text: &str| {
        let text = text.replace("%28", "(").replace("%29", ")");
        let usable = !text.is_empty() && !text.contains(['/', '%']);
        usable.then_some(text)
    };
    Some((plain(to)?, plain(name)?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(path: &str, headers: &[(&str, &str)], body: &'static [u8]) -> Request {
        let mut builder = http::Request::post(path);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(Body::from(body)).unwrap()
    }

    #[tokio::test]
    async fn both_ways_to_name_the_sender_are_read() {
        for headers in [
            &[("Libprocess-From", "scheduler(1)@127.0.0.1:7")][..],
            &[("User-Agent", "libprocess/scheduler(1)@127.0.0.1:7")],
            &[
                ("User-Agent", "Go-http-client/1.1"),
                ("Libprocess-From", "scheduler(1)@127.0.0.1:7"),
            ],
        ] {
            for path in ["/slave(1)/m.M", "/slave%281%29/m.M"] {
                let request = request(path, headers, b"abc");
                assert!(is_message(request.method(), request.headers()));
                let message = read(request).await.unwrap();
                assert_eq!(message.to, "slave(1)");
                assert_eq!(message.name, "m.M");
                assert_eq!(message.from.to_string(), "scheduler(1)@127.0.0.1:7");
                assert_eq!(&message.body[..], b"abc");
            }
        }
    }

    #[tokio::test]
    async fn other_requests_are_left_alone_and_wrong_ones_refused() {
        let other = request("/master/state", &[("User-Agent", "curl/8")], b"");
        assert!(!is_message(other.method(), other.headers()));
        let get = http::Request::get("/master/state")
            .header("Libprocess-From", "a@127.0.0.1:1")
            .body(())
            .unwrap();
        assert!(!is_message(get.method(), get.headers()));
        let from = [("Libprocess-From", "a@127.0.0.1:1")];
        for (path, headers) in [
            ("/master/m.M", [("Libprocess-From", "nobody")]),
            ("/master/m.M", [("User-Agent", "libprocess/@:")]),
            ("/master", from),
            ("/", from),
            ("//m.M", from),
            ("/master/", from),
            ("/master/a/b", from),
            ("/master/%2e%2e", from),
        ] {
            let (status, text) = read(request(path, &headers, b"")).await.unwrap_err();
            assert_eq!(
                status,
                StatusCode::BAD_REQUEST,
                "{path} {headers:?}: {text}"
            );
        }
    }
}
