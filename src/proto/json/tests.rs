//! What texts are read, what is refused and why, and how values look.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::{Json, from_json, to_json};
use crate::proto::v1::scheduler::{Call, Event, call, event};
use crate::proto::v1::{self, executor, master};

fn call(text: &str) -> Result<Call, String> {
    from_json(text.as_bytes()).map_err(|error| error.to_string())
}

fn text(message: &impl Json) -> String {
    String::from_utf8(to_json(message)).unwrap()
}

#[test]
fn events_look_like_those_of_mesos() {
    let event = Event {
        r#type: Some(event::Type::Heartbeat.into()),
        ..Event::default()
    };
    assert_eq!(text(&event), r#"{"type":"HEARTBEAT"}"#);

    let event = Event {
        r#type: Some(event::Type::Subscribed.into()),
        subscribed: Some(event::Subscribed {
            framework_id: "F".into(),
            heartbeat_interval_seconds: Some(15.0),
            master_info: None,
        }),
        ..Event::default()
    };
    assert_eq!(
        text(&event),
        r#"{"type":"SUBSCRIBED","subscribed":{"framework_id":{"value":"F"},"heartbeat_interval_seconds":15.0}}"#
    );
}

#[test]
fn defaults_are_written_but_not_deprecated_ones() {
    let command = v1::CommandInfo::default();
    assert_eq!(text(&command), r#"{"shell":true}"#);
    let resource = v1::Resource::default();
    assert_eq!(text(&resource), r#"{"name":"","type":"SCALAR"}"#);
    assert_eq!(text(&v1::Filters::default()), r#"{"refuse_seconds":5.0}"#);
    let state = master::response::GetTasks::default();
    assert_eq!(
        text(&state),
        r#"{"tasks":[],"completed_tasks":[],"unreachable_tasks":[]}"#
    );
}

#[test]
fn texts_are_ascii_on_one_line() {
    let label = v1::Label {
        key: "a\"\\\n\u{1}/".to_owned(),
        value: Some("é😀".to_owned()),
    };
    let expected = r#"{"key":"a\"\\\n\u0001/","value":"\u00e9\ud83d\ude00"}"#;
    assert_eq!(text(&label), expected);
    assert_eq!(from_json::<v1::Label>(expected.as_bytes()), Ok(label));
}

#[test]
fn infinite_limits_are_texts() {
    let limits = [(
        "mem".to_owned(),
        v1::value::Scalar {
            value: f64::INFINITY,
        },
    )];
    let task = v1::TaskInfo {
        name: "t".to_owned(),
        task_id: "t".into(),
        agent_id: "S".into(),
        limits: limits.into(),
        ..v1::TaskInfo::default()
    };
    let json = text(&task);
    assert!(
        json.contains(r#""limits":{"mem":{"value":"Infinity"}}"#),
        "{json}"
    );
    assert_eq!(from_json::<v1::TaskInfo>(json.as_bytes()), Ok(task));
}

#[test]
fn reading_is_as_lenient_as_mesos() {
    // Unknown names, null, one element for a list, numbers in texts, whole numbers with a fraction.
    let lenient = r#" { "type" : "DECLINE", "subscribe": null, "x": [1, {"y": [true, -1.5e3]}],
        "framework_id": {"value": "F", "more": null},
        "decline": {"offer_ids": {"value": "O"}, "filters": {"refuse_seconds": "2.5"}} } "#;
    let read = call(lenient).unwrap();
    assert_eq!(read.r#type(), call::Type::Decline);
    let decline = read.decline.unwrap();
    assert_eq!(decline.offer_ids, vec!["O".into()]);
    assert_eq!(decline.filters.unwrap().refuse_seconds, Some(2.5));

    let duration = from_json::<v1::DurationInfo>(br#"{"nanoseconds": 5e9}"#);
    assert_eq!(duration.unwrap().nanoseconds, 5_000_000_000);
    let time = from_json::<v1::TimeInfo>(br#"{"nanoseconds": 9223372036854775807}"#);
    assert_eq!(time.unwrap().nanoseconds, i64::MAX);

    let drain = |time: &str| {
        let text = format!(r#"{{"agent_id":{{"value":"S"}},"max_grace_period":{time}}}"#);
        let drain = from_json::<master::call::DrainAgent>(text.as_bytes());
        drain.map(|drain| drain.max_grace_period.unwrap())
    };
    let (seconds, nanos) = (1, 500_000_000);
    let expected = Ok(prost_types::Duration { seconds, nanos });
    assert_eq!(drain(r#""1.5s""#), expected);
    assert_eq!(drain(r#"{"seconds": 1, "nanos": 500000000}"#), expected);
    assert!(drain(r#""soon""#).is_err());
}

#[test]
fn an_unknown_enum_value_is_no_value_where_none_is_needed() {
    assert_eq!(call(r#"{"type":"DANCE"}"#).unwrap().r#type, None);
    let error = from_json::<v1::Resource>(br#"{"name":"cpus","type":"DANCE"}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "mesos.v1.Resource: field 'type': 'DANCE' is no value of the enum"
    );
}

#[test]
fn malformed_texts_are_refused() {
    let syntax = "mesos.v1.scheduler.Call: malformed JSON at byte";
    let cases = [
        ("", "malformed JSON at byte 0: the text ends too early"),
        ("   ", "malformed JSON at byte 3: the text ends too early"),
        ("[]", "malformed JSON at byte 0: a JSON object is expected"),
        ("nothing", "a JSON object is expected"),
        ("{", "the name of a member is expected"),
        ("{,}", "the name of a member is expected"),
        (r#"{"type":"KILL",}"#, "the name of a member is expected"),
        (r#"{"type" "KILL"}"#, "':' is expected"),
        (
            r#"{"x":1 "y":2}"#,
            "',' or the end of the object or list is expected",
        ),
        (
            r#"{"x":[1 2]}"#,
            "',' or the end of the object or list is expected",
        ),
        (
            r#"{"x":nulls}"#,
            "',' or the end of the object or list is expected",
        ),
        (r#"{"x":}"#, "a value is expected"),
        (r#"{"x":01}"#, "a value is expected"),
        (r#"{"x":tru}"#, "a value is expected"),
        (r#"{"x":"#, "a value is expected"),
        (r#"{"x":"a"#, "a text does not end"),
        ("{\"x\":\"a\nb\"}", "a control character is in a text"),
        (r#"{"x":"\q"}"#, "an escape is unknown"),
        (r#"{"x":"\u12g4"}"#, "an escape has four hexadecimal digits"),
        (r#"{"x":"\u12"#, "an escape has four hexadecimal digits"),
        (r#"{"x":"\ud800x"}"#, "half of a surrogate pair"),
        (r#"{"type":"KILL"} x"#, "something follows the document"),
    ];
    for (text, expected) in cases {
        let error = call(text).unwrap_err();
        assert!(error.starts_with(syntax), "{text}: {error}");
        assert!(error.ends_with(expected), "{text}: {error}");
    }
    let error = from_json::<Call>(b"{\"x\":\"\xff\"}").unwrap_err();
    assert!(
        error.to_string().ends_with("a text is not UTF-8"),
        "{error}"
    );
}

#[test]
fn wrong_values_are_named_by_their_path() {
    let cases = [
        (
            r#"{"kill":{"task_id":{}}}"#,
            "field 'kill.task_id.value' is required",
        ),
        (
            r#"{"kill":{"task_id":null}}"#,
            "field 'kill.task_id' is required",
        ),
        (
            r#"{"kill":[]}"#,
            "field 'kill': an object is expected, not a list",
        ),
        (
            r#"{"type":{}}"#,
            "field 'type': the name of an enum value is expected, not an object",
        ),
        (
            r#"{"decline":{"offer_ids":[{"value":"O"},{"value":1}]}}"#,
            "field 'decline.offer_ids[1].value': a text is expected, not a number",
        ),
        (
            r#"{"acknowledge":{"uuid":"*"}}"#,
            "field 'acknowledge.uuid': no base64: Invalid symbol 42, offset 0.",
        ),
        (
            r#"{"kill":{"kill_policy":{"grace_period":{"nanoseconds":1e30}}}}"#,
            "field 'kill.kill_policy.grace_period.nanoseconds': '1e30' does not fit into i64",
        ),
        (
            r#"{"subscribe":{"framework_info":{"checkpoint":"yes"}}}"#,
            "field 'subscribe.framework_info.checkpoint': true or false is expected, not a text",
        ),
    ];
    for (text, expected) in cases {
        let error = call(text).unwrap_err();
        assert_eq!(
            error,
            format!("mesos.v1.scheduler.Call: {expected}"),
            "{text}"
        );
    }
    let error = from_json::<executor::Call>(br#"{"type":"MESSAGE"}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "mesos.v1.executor.Call: field 'executor_id' is required"
    );
}

#[test]
fn depth_and_memory_are_bounded() {
    let deep = |depth: usize, open: &str| format!(r#"{{"x":{}"#, open.repeat(depth));
    for open in ["[", r#"{"a":"#] {
        let error = call(&deep(1_000_000, open)).unwrap_err();
        assert!(error.ends_with("nested too deeply"), "{error}");
    }
    let parents = format!("{}1", r#"{"parent":"#.repeat(200_000));
    let error = from_json::<v1::ContainerId>(parents.as_bytes()).unwrap_err();
    assert!(error.to_string().ends_with("nested too deeply"), "{error}");

    let sparse = format!(
        r#"{{"accept":{{"operations":[{}{{}}]}}}}"#,
        "{},".repeat(100_000)
    );
    let error = call(&sparse).unwrap_err();
    assert!(
        error.ends_with("too many entries without content"),
        "{error}"
    );
    let dense = format!(
        r#"{{"revive":{{"roles":[{}""]}}}}"#,
        r#""","#.repeat(100_000)
    );
    assert_eq!(call(&dense).unwrap().revive.unwrap().roles.len(), 100_001);
}

proptest! {
    #[test]
    fn numbers_and_texts_come_back(value: f64, number: i64, word: String, bytes: Vec<u8>) {
        let scalar = v1::value::Scalar { value };
        let back: v1::value::Scalar = from_json(&to_json(&scalar)).unwrap();
        prop_assert_eq!(back.value.to_bits(), value.to_bits());
        let time = v1::TimeInfo { nanoseconds: number };
        prop_assert_eq!(from_json(&to_json(&time)), Ok(time));
        let label = v1::Label { key: word.clone(), value: Some(word) };
        let json = to_json(&label);
        let other: serde_json::Value = serde_json::from_slice(&json).unwrap();
        prop_assert_eq!(other["key"].as_str(), Some(label.key.as_str()));
        prop_assert_eq!(from_json(&json), Ok(label));
        let uuid = v1::Uuid { value: bytes };
        prop_assert_eq!(from_json(&to_json(&uuid)), Ok(uuid));
    }

    #[test]
    fn any_bytes_are_answered(bytes: Vec<u8>) {
        let _ = from_json::<Call>(&bytes);
    }

    /// What is JSON, and what is none, is the same as for another parser; values aside.
    #[test]
    fn syntax_is_json(text in r#"\{"x":[\[\]{}",:0-9a-f.eE+\\ -]{0,12}\}"#) {
        // One that is not UTF-8 or has lone surrogates never comes from this pattern.
        let other = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text);
        let deep_or_large = matches!(&other, Err(error) if error.to_string().contains("number out of range"));
        if !deep_or_large {
            prop_assert_eq!(call(&text).is_ok(), other.is_ok(), "{}", text);
        }
    }

    /// A byte changed anywhere in a good call never does harm.
    #[test]
    fn changed_bytes_are_answered(at in 0_usize..200, byte: u8) {
        let mut text = br#"{"type":"ACCEPT","framework_id":{"value":"F"},"accept":{"offer_ids":[{"value":"O"}],"operations":[{"type":"LAUNCH","launch":{"task_infos":[{"name":"t","task_id":{"value":"T"},"agent_id":{"value":"S"}}]}}]}}"#.to_vec();
        let at = at % text.len();
        text[at] = byte;
        let _ = from_json::<Call>(&text);
    }
}

#[test]
fn numbers_are_the_shortest_texts_that_mean_them() {
    let mut numbers = vec![
        0.0,
        -0.0,
        -1.5,
        0.001,
        0.0001,
        1e-7,
        0.1,
        1.0 / 3.0,
        16.0,
        65_536.0,
        4_294_967_295.999_999,
        4_294_967_296.0,
        1e15,
        1e16,
        1e300,
        1_795_200_522.25,
        1_795_200_493.903_906,
        f64::MAX,
        f64::MIN_POSITIVE,
    ];
    // Times to the microsecond, amounts to the thousandth, and what is none of them.
    let mut draw = 88_172_645_463_325_252_u64;
    for _ in 0..20_000 {
        draw ^= draw << 13;
        draw ^= draw >> 7;
        draw ^= draw << 17;
        numbers.push((draw % 4_000_000_000_000_000) as f64 / 1e6);
        numbers.push((draw % 100_000_000) as f64 / 1e3);
        numbers.push((draw % 1000) as f64);
        numbers.push(f64::from_bits(draw >> 2));
    }
    for number in numbers.into_iter().filter(|number| number.is_finite()) {
        let mut w = super::writer::Writer::default();
        w.double(number);
        let text = String::from_utf8_lossy(&w.finish()).into_owned();
        assert_eq!(text, format!("{number:?}"));
    }
    for number in [0, 9, 10, 42, -1, i64::MIN, i64::MAX] {
        let mut w = super::writer::Writer::default();
        w.int64(number);
        assert_eq!(String::from_utf8_lossy(&w.finish()), number.to_string());
    }
    let mut w = super::writer::Writer::default();
    w.uint64(u64::MAX);
    assert_eq!(String::from_utf8_lossy(&w.finish()), u64::MAX.to_string());
}
