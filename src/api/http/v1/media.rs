//! Content types: what a request is written in, what its author reads.

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use prost::Message;

use super::refusal::Refusal;
use crate::proto::json::{Json, to_json};

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    Protobuf,
}

impl Media {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }

    pub(super) fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// What the body of a request is written in.
    pub(super) fn of_body(headers: &HeaderMap) -> Result<Self, Refusal> {
        let Some(value) = headers.get(CONTENT_TYPE) else {
            return Err(Refusal::bad("a 'Content-Type' header is required"));
        };
        let named = value.to_str().unwrap_or_default();
        Self::named(value)
            .ok_or_else(|| Refusal::UnsupportedMedia(named.chars().take(100).collect()))
    }

    /// The kind that a header names.
    pub(super) fn named(value: &HeaderValue) -> Option<Self> {
        let named = value.to_str().unwrap_or_default();
        let kind = named.split(';').next().unwrap_or_default().trim();
        let mut all = [Self::Json, Self::Protobuf].into_iter();
        all.find(|media| kind.eq_ignore_ascii_case(media.name()))
    }

    /// What the reply is to be written in: JSON if the client reads both or says nothing.
    pub(super) fn of_reply(headers: &HeaderMap) -> Result<Self, Refusal> {
        let choices = [Self::Json, Self::Protobuf];
        let accepted = |media: &Self| accepts(headers, media.name());
        choices
            .into_iter()
            .find(accepted)
            .ok_or(Refusal::NotAcceptable)
    }

    pub(super) fn encode<M: Message + Json>(self, message: &M) -> Vec<u8> {
        match self {
            Self::Json => to_json(message),
            Self::Protobuf => message.encode_to_vec(),
        }
    }
}

/// The client reads this kind of content.
pub(super) fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let mut named = false;
    for value in headers.get_all(ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let (kind, refused) = weighed(range);
            if kind.is_empty() {
                continue;
            }
            named = true;
            let (group, name) = kind.split_once('/').unwrap_or((kind, "*"));
            let (wanted_group, wanted_name) = wanted.split_once('/').unwrap_or((wanted, ""));
            let matches = (group == "*" || group.eq_ignore_ascii_case(wanted_group))
                && (name == "*" || name.eq_ignore_ascii_case(wanted_name));
            if matches {
                return !refused;
            }
        }
    }
    !named
}

/// The client can unpack gzip.
pub(in crate::api::http) fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT_ENCODING).iter().any(|value| {
        let codings = value.to_str().unwrap_or_default().split(',');
        codings
            .map(weighed)
            .any(|(coding, refused)| coding.eq_ignore_ascii_case("gzip") && !refused)
    })
}

/// One entry of a list with weights, and whether its weight is zero.
fn weighed(entry: &str) -> (&str, bool) {
    let mut parts = entry.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
    (name, weight == Some(0.0))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn reply(accept: Option<&str>) -> Option<Media> {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, accept.parse().unwrap());
        }
        Media::of_reply(&headers).ok()
    }

    #[test]
    fn json_is_preferred() {
        for (accept, media) in [
            (None, Some(Media::Json)),
            (Some(""), Some(Media::Json)),
            (Some("*/*"), Some(Media::Json)),
            (Some("application/*"), Some(Media::Json)),
            (
                Some("application/x-protobuf, application/json"),
                Some(Media::Json),
            ),
            (Some("application/x-protobuf"), Some(Media::Protobuf)),
            (
                Some("text/html, application/x-protobuf"),
                Some(Media::Protobuf),
            ),
            (
                Some("application/json;q=0, application/x-protobuf;q=0.5"),
                Some(Media::Protobuf),
            ),
            (Some("text/plain"), None),
            (Some("application/recordio"), None),
            (Some("application/json;q=0"), None),
        ] {
            assert_eq!(reply(accept), media, "{accept:?}");
        }
    }

    #[test]
    fn gzip_only_for_those_who_say_so() {
        for (coding, accepted) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
        ] {
            let headers = [(ACCEPT_ENCODING, coding.parse().unwrap())];
            assert_eq!(
                accepts_gzip(&headers.into_iter().collect()),
                accepted,
                "{coding}"
            );
        }
    }
}
