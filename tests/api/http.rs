//! Mesos' v1 HTTP API of a master: the order and the codes of its checks, streams, both encodings.

use mesosd::proto::v1::{master, scheduler};
use prost::Message;

use crate::raw::Master;
use crate::wire::{Answer, send, send_raw};

const SCHEDULER: &str = "POST /api/v1/scheduler";
const OPERATOR: &str = "POST /api/v1";
const JSON: (&str, &str) = ("Content-Type", "application/json");
const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");
const SUBSCRIBE: &str = r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n","failover_timeout":60}}}"#;

pub(crate) async fn subscribed(master: &Master) -> (Answer, String, String) {
    let mut stream = send(
        master.server.address,
        SCHEDULER,
        &[JSON],
        SUBSCRIBE.as_bytes(),
    )
    .await;
    assert_eq!(stream.status, 200);
    let stream_id = stream.header("Mesos-Stream-Id").unwrap().to_owned();
    let event = stream.event().await;
    assert_eq!(event["type"], "SUBSCRIBED");
    let id = event["subscribed"]["framework_id"]["value"]
        .as_str()
        .unwrap();
    let id = id.to_owned();
    (stream, stream_id, id)
}

#[tokio::test]
async fn a_subscription_streams_records() {
    let master = Master::start().await;
    let body = SUBSCRIBE.as_bytes();
    // Never compressed, whatever the client can unpack; kept open, whatever it says of the connection.
    let headers = [JSON, ("Accept-Encoding", "gzip"), ("Connection", "close")];
    let mut stream = send(master.server.address, SCHEDULER, &headers, body).await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.header("Content-Type"), Some("application/json"));
    assert_eq!(stream.header("Content-Encoding"), None);
    assert!(stream.header("Date").is_some());
    let event = stream.event().await;
    assert_eq!(event["type"], "SUBSCRIBED");
    assert_eq!(event["subscribed"]["heartbeat_interval_seconds"], 15.0);
    assert_eq!(
        stream.event().await,
        serde_json::json!({"type": "HEARTBEAT"})
    );

    let call = scheduler::Call {
        r#type: Some(scheduler::call::Type::Subscribe.into()),
        subscribe: Some(scheduler::call::Subscribe::default()),
        ..Default::default()
    };
    let headers = [PROTOBUF, ("Accept", "text/html, application/x-protobuf")];
    let body = call.encode_to_vec();
    let mut stream = send(master.server.address, SCHEDULER, &headers, &body).await;
    assert_eq!(stream.status, 200);
    assert_eq!(
        stream.header("Content-Type"),
        Some("application/x-protobuf")
    );
    let event = scheduler::Event::decode(stream.record().await.as_slice()).unwrap();
    assert_eq!(event.r#type(), scheduler::event::Type::Subscribed);

    // What the master refuses comes on the stream, which then ends.
    let body = SUBSCRIBE.replace(r#""user""#, r#""role":"a b","user""#);
    let mut stream = send(master.server.address, SCHEDULER, &[JSON], body.as_bytes()).await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.event().await["type"], "ERROR");
    while !stream.chunk().await.is_empty() {}
}

#[tokio::test]
async fn calls_are_accepted_on_their_stream_only() {
    let master = Master::start().await;
    let (mut stream, stream_id, id) = subscribed(&master).await;
    let address = master.server.address;
    let revive = format!(r#"{{"type":"REVIVE","framework_id":{{"value":"{id}"}}}}"#);
    let ours = ("Mesos-Stream-Id", stream_id.as_str());
    let mut answer = send(address, SCHEDULER, &[JSON, ours], revive.as_bytes()).await;
    assert_eq!((answer.status, answer.text().await), (202, String::new()));

    // As node's client sends: chunked, with nulls.
    let body = format!(
        r#"{{"type":"SUPPRESS","accept":null,"suppress":null,"framework_id":{{"value":"{id}"}}}}"#
    );
    let text = format!(
        "{SCHEDULER} HTTP/1.1\r\nContent-Type: application/json\r\nmesos-stream-id: {stream_id}\r\n\
         Host: x\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    assert_eq!(send_raw(address, text.as_bytes()).await.status, 202);

    let update = format!(
        r#"{{"type":"UPDATE_FRAMEWORK","framework_id":{{"value":"{id}"}},"update_framework":{{"framework_info":
        {{"id":{{"value":"{id}"}},"user":"u","name":"m","failover_timeout":60}}}}}}"#
    );
    let mut answer = send(address, SCHEDULER, &[JSON, ours], update.as_bytes()).await;
    assert_eq!((answer.status, answer.text().await), (200, String::new()));

    for (headers, code, text) in [
        (vec![JSON], 400, "'mesos-stream-id' is missing"),
        (
            vec![JSON, ("Mesos-Stream-Id", "other")],
            400,
            "'mesos-stream-id' names no open",
        ),
    ] {
        let mut answer = send(address, SCHEDULER, &headers, revive.as_bytes()).await;
        let said = answer.text().await;
        assert_eq!(answer.status, code, "{said}");
        assert!(said.starts_with(text), "{said}");
    }

    // Subscribing again closes the older stream, with a reason.
    let again = SUBSCRIBE
        .replace(r#""user""#, &format!(r#""id":{{"value":"{id}"}},"user""#))
        .replace(
            r#"{"type""#,
            &format!(r#"{{"framework_id":{{"value":"{id}"}},"type""#),
        );
    let mut newer = send(address, SCHEDULER, &[JSON], again.as_bytes()).await;
    assert_eq!(
        newer.event().await["subscribed"]["framework_id"]["value"],
        id.as_str()
    );
    let mut last = stream.event().await;
    while last["type"] != "ERROR" {
        last = stream.event().await;
    }
    assert_eq!(last["error"]["message"], "Framework failed over");
    assert!(stream.chunk().await.is_empty());
    let answer = send(address, SCHEDULER, &[JSON, ours], revive.as_bytes()).await;
    assert_eq!(answer.status, 400, "the older stream's id");

    // A framework whose scheduler went away is known but not subscribed.
    drop(newer);
    let mut status = 400;
    for _ in 0..100 {
        let answer = send(address, SCHEDULER, &[JSON, ours], revive.as_bytes()).await;
        status = answer.status;
        if status == 403 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(status, 403);
}

/// Request line, headers, body; code and beginning of the text of the answer.
type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str, u16, &'a str);

#[tokio::test]
async fn each_check_has_its_code() {
    let master = Master::start().await;
    let accepts_text = ("Accept", "text/plain");
    let stream_id = ("Mesos-Stream-Id", "x");
    let xml = ("Content-Type", "text/xml");
    let get = "GET /api/v1/scheduler";
    let teardown = r#"{"type":"TEARDOWN","framework_id":{"value":"F"}}"#;
    let cases: Vec<Case<'_>> = vec![
        (get, vec![], "", 405, "405 Method Not Allowed"),
        ("PUT /api/v1", vec![xml], "x", 405, "405 Method Not Allowed"),
        (
            SCHEDULER,
            vec![],
            SUBSCRIBE,
            400,
            "a 'Content-Type' header is required",
        ),
        (
            SCHEDULER,
            vec![xml],
            SUBSCRIBE,
            415,
            "'Content-Type: text/xml' is not served",
        ),
        (
            SCHEDULER,
            vec![JSON],
            "",
            400,
            "mesos.v1.scheduler.Call: malformed JSON",
        ),
        (SCHEDULER, vec![JSON], "{}", 400, "field 'type' is required"),
        (
            SCHEDULER,
            vec![JSON, accepts_text],
            "{",
            400,
            "mesos.v1.scheduler.Call: malformed JSON",
        ),
        (
            SCHEDULER,
            vec![JSON],
            r#"{"type":"DANCE"}"#,
            400,
            "field 'type' is required",
        ),
        (
            SCHEDULER,
            vec![PROTOBUF],
            "\u{10}\u{63}",
            400,
            "field 'type' is required",
        ),
        (
            SCHEDULER,
            vec![PROTOBUF],
            "\u{7f}",
            400,
            "mesos.v1.scheduler.Call: malformed protobuf",
        ),
        (
            SCHEDULER,
            vec![JSON],
            r#"{"type":"SUBSCRIBE"}"#,
            400,
            "field 'subscribe' is required",
        ),
        (
            SCHEDULER,
            vec![JSON],
            r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u"}}}"#,
            400,
            "mesos.v1.scheduler.Call: field 'subscribe.framework_info.name' is required",
        ),
        (
            SCHEDULER,
            vec![JSON, accepts_text, stream_id],
            SUBSCRIBE,
            406,
            "'Accept' allows neither",
        ),
        (
            SCHEDULER,
            vec![JSON, stream_id],
            SUBSCRIBE,
            400,
            "'Mesos-Stream-Id' is not for SUBSCRIBE",
        ),
        (
            SCHEDULER,
            vec![JSON, stream_id],
            teardown,
            400,
            "'mesos-stream-id' names no open",
        ),
        (OPERATOR, vec![JSON], "{}", 400, "field 'type' is required"),
        (
            OPERATOR,
            vec![JSON],
            r#"{"type":"NO_SUCH_CALL"}"#,
            400,
            "field 'type' is required",
        ),
        (
            OPERATOR,
            vec![JSON, accepts_text],
            r#"{"type":"GET_HEALTH"}"#,
            406,
            "'Accept' allows",
        ),
        (
            OPERATOR,
            vec![JSON],
            r#"{"type":"TEARDOWN"}"#,
            400,
            "field 'teardown' is required",
        ),
        (
            OPERATOR,
            vec![JSON],
            r#"{"type":"READ_FILE","read_file":{"path":"/x","offset":0}}"#,
            404,
            "'/x' does not exist",
        ),
        ("POST /api/v2", vec![JSON], "{}", 404, "404 Not Found."),
    ];
    for (request, headers, body, code, text) in cases {
        let mut answer = send(master.server.address, request, &headers, body.as_bytes()).await;
        let said = answer.text().await;
        assert_eq!(answer.status, code, "{request} {headers:?} {body}: {said}");
        assert!(
            said.starts_with(text),
            "{request} {headers:?} {body}: {said}"
        );
        assert_eq!(answer.header("Allow").is_some(), code == 405);
    }
    let large = vec![b' '; 16 * 1024 * 1024 + 1];
    let answer = send(master.server.address, SCHEDULER, &[JSON], &large).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn operators_ask_in_both_encodings() {
    let master = Master::start().await;
    let address = master.server.address;
    for path in [
        "/api/v1",
        "/api/v1/",
        "/api/v1/operator",
        "/master/api/v1",
        "/master/api/v1/scheduler/../",
    ] {
        let request = format!("POST {path}");
        let mut answer = send(address, &request, &[JSON], br#"{"type":"GET_HEALTH"}"#).await;
        if path.contains("scheduler") {
            assert_eq!(answer.status, 400, "{path} is the scheduler's");
            continue;
        }
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        let said: serde_json::Value = serde_json::from_slice(&answer.body().await).unwrap();
        let expected = serde_json::json!({"type": "GET_HEALTH", "get_health": {"healthy": true}});
        assert_eq!(said, expected);
    }

    let headers = [JSON, ("Accept", "application/x-protobuf")];
    let mut answer = send(address, OPERATOR, &headers, br#"{"type":"GET_MASTER"}"#).await;
    let said = master::Response::decode(answer.body().await.as_slice()).unwrap();
    assert!(said.get_master.unwrap().master_info.is_some());

    // Compressed from 1024 bytes on, for those who can unpack it.
    let headers = [JSON, ("Accept-Encoding", "gzip")];
    let mut answer = send(address, OPERATOR, &headers, br#"{"type":"GET_METRICS"}"#).await;
    assert_eq!(answer.header("Content-Encoding"), Some("gzip"));
    let body = answer.body().await;
    let said: serde_json::Value =
        serde_json::from_reader(flate2::read::GzDecoder::new(body.as_slice())).unwrap();
    assert_eq!(said["type"], "GET_METRICS");
    let answer = send(address, OPERATOR, &headers, br#"{"type":"GET_HEALTH"}"#).await;
    assert_eq!(answer.header("Content-Encoding"), None);
}

#[tokio::test]
async fn operators_follow_what_happens() {
    let master = Master::start().await;
    let address = master.server.address;
    let mut stream = send(address, OPERATOR, &[JSON], br#"{"type":"SUBSCRIBE"}"#).await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.header("Mesos-Stream-Id"), None);
    let event = stream.event().await;
    assert_eq!(event["type"], "SUBSCRIBED");
    let agents = &event["subscribed"]["get_state"]["get_agents"]["agents"];
    assert_eq!(agents, &serde_json::json!([]));
    assert_eq!(stream.event().await["type"], "HEARTBEAT");

    let (_scheduler, _, id) = subscribed(&master).await;
    let event = stream.event().await;
    assert_eq!(event["type"], "FRAMEWORK_ADDED");
    let info = &event["framework_added"]["framework"]["framework_info"];
    assert_eq!(info["id"]["value"], id.as_str());

    let teardown =
        format!(r#"{{"type":"TEARDOWN","teardown":{{"framework_id":{{"value":"{id}"}}}}}}"#);
    let mut answer = send(address, OPERATOR, &[JSON], teardown.as_bytes()).await;
    assert_eq!((answer.status, answer.text().await), (200, String::new()));
    assert_eq!(stream.event().await["type"], "FRAMEWORK_REMOVED");
}
