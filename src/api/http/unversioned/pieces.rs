//! Small JSON pieces that several endpoints share.

use crate::base::Timestamp;
use crate::proto::json::Json;
use crate::proto::json::writer::Writer;
use crate::proto::v1;
use crate::resources::Ranges;

/// A member that is a text.
pub(super) fn text(w: &mut Writer, key: &'static str, value: &str) {
    w.key(key);
    w.string(value);
}

/// A member that is a text, if there is one.
pub(super) fn optional(w: &mut Writer, key: &'static str, value: Option<&str>) {
    if let Some(value) = value {
        text(w, key, value);
    }
}

/// A member that is a truth value.
pub(super) fn truth(w: &mut Writer, key: &'static str, value: bool) {
    w.key(key);
    w.bool(value);
}

/// A member that is a number with fraction.
pub(super) fn double(w: &mut Writer, key: &'static str, value: f64) {
    w.key(key);
    w.double(value);
}

/// A member that is a count.
pub(super) fn count(w: &mut Writer, key: &'static str, value: usize) {
    w.key(key);
    w.uint64(value as u64);
}

/// A member that is a point in time: seconds since 1970.
pub(super) fn time(w: &mut Writer, key: &'static str, value: Timestamp) {
    double(w, key, seconds(value));
}

/// Seconds since 1970, to the microsecond: Mesos' own clock has no more.
pub(super) fn seconds(value: Timestamp) -> f64 {
    (value.0 / 1_000) as f64 / 1e6
}

/// A member that is a message, if there is one.
pub(super) fn message<M: Json>(w: &mut Writer, key: &'static str, value: Option<&M>) {
    if let Some(value) = value {
        w.key(key);
        value.write(w);
    }
}

/// A member that is a list of texts.
pub(super) fn texts<'a>(
    w: &mut Writer,
    key: &'static str,
    values: impl IntoIterator<Item = &'a str>,
) {
    w.key(key);
    w.open_list();
    for value in values {
        w.item();
        w.string(value);
    }
    w.close_list();
}

/// A member that is a list of messages.
pub(super) fn messages<M: Json>(w: &mut Writer, key: &'static str, values: &[M]) {
    w.key(key);
    w.open_list();
    for value in values {
        w.item();
        value.write(w);
    }
    w.close_list();
}

/// Labels as a list of keys and values, if there are any.
pub(super) fn labels(w: &mut Writer, labels: Option<&v1::Labels>) {
    if let Some(labels) = labels {
        messages(w, "\"labels\":", &labels.labels);
    }
}

/// The member `attributes`: numbers as numbers, the rest as texts. Of several with one name the last
/// counts.
pub(super) fn attributes(w: &mut Writer, messages: &[v1::Attribute]) {
    w.key("\"attributes\":");
    w.open();
    for (at, attribute) in messages.iter().enumerate() {
        let mut later = messages[at + 1..].iter();
        if later.any(|other| other.name == attribute.name) {
            continue;
        }
        w.name(&attribute.name);
        if let Some(scalar) = &attribute.scalar {
            w.double(scalar.value);
        } else if let Some(ranges) = &attribute.ranges {
            let ranges = Ranges::from_proto(ranges).unwrap_or_default();
            w.string(&ranges.to_string());
        } else {
            let text = attribute.text.as_ref();
            w.string(text.map_or("", |text| text.value.as_str()));
        }
    }
    w.close();
}
