//! The order of the checks of a master's v1 APIs: a request that is wrong in every way is mended in one way
//! after the other, and each time the next check speaks.

use crate::http::subscribed;
use crate::raw::Master;
use crate::wire::send;

const JSON: (&str, &str) = ("Content-Type", "application/json");
const XML: (&str, &str) = ("Content-Type", "text/xml");
const NOT_READ: (&str, &str) = ("Accept", "text/plain");
const STREAM: (&str, &str) = ("Mesos-Stream-Id", "x");
const SUBSCRIBE: &str =
    r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"}}}"#;

/// Method, headers, body; code and beginning of the text.
type Step<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str, u16, &'a str);

async fn climb(master: &Master, path: &str, steps: Vec<Step<'_>>) {
    for (method, headers, body, code, text) in steps {
        let request = format!("{method} {path}");
        let address = master.server.address;
        let mut answer = send(address, &request, &headers, body.as_bytes()).await;
        assert_eq!(answer.status, code, "{request} {headers:?} {body}");
        assert_eq!(answer.header("Allow"), (code == 405).then_some("POST"));
        if code != 200 {
            let said = answer.text().await;
            assert!(said.starts_with(text), "{request} {headers:?}: {said}");
        }
    }
}

#[tokio::test]
async fn schedulers_are_checked_in_mesos_order() {
    let master = Master::start().await;
    let garbage = "{";
    let without = r#"{"type":"SUBSCRIBE"}"#;
    climb(
        &master,
        "/api/v1/scheduler",
        vec![
            ("PUT", vec![XML, NOT_READ, STREAM], garbage, 405, "405"),
            (
                "POST",
                vec![NOT_READ, STREAM],
                garbage,
                400,
                "a 'Content-Type' header is required",
            ),
            (
                "POST",
                vec![XML, NOT_READ, STREAM],
                garbage,
                415,
                "'Content-Type: text/xml'",
            ),
            (
                "POST",
                vec![JSON, NOT_READ, STREAM],
                garbage,
                400,
                "mesos.v1.scheduler.Call: malformed JSON",
            ),
            (
                "POST",
                vec![JSON, NOT_READ, STREAM],
                without,
                400,
                "field 'subscribe' is required",
            ),
            (
                "POST",
                vec![JSON, NOT_READ, STREAM],
                SUBSCRIBE,
                406,
                "'Accept' allows neither",
            ),
            (
                "POST",
                vec![JSON, STREAM],
                SUBSCRIBE,
                400,
                "'Mesos-Stream-Id' is not for SUBSCRIBE",
            ),
            ("POST", vec![JSON], SUBSCRIBE, 200, ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn calls_of_schedulers_are_checked_in_mesos_order() {
    let master = Master::start().await;
    let (stream, stream_id, id) = subscribed(&master).await;
    let call = |kind: &str, id: &str, more: &str| {
        format!(r#"{{"type":"{kind}","framework_id":{{"value":"{id}"}}{more}}}"#)
    };
    let nobody = call("RECONCILE_OPERATIONS", "F", r#","reconcile_operations":{}"#);
    let (without, ours) = (
        call("RECONCILE_OPERATIONS", "F", ""),
        call("RECONCILE_OPERATIONS", &id, r#","reconcile_operations":{}"#),
    );
    let own = ("Mesos-Stream-Id", stream_id.as_str());
    let revive = call("REVIVE", &id, "");
    let stranger = call("REVIVE", "F", "");
    let unknown = call("UNKNOWN", &id, "");
    let unstreamed = "'mesos-stream-id' is missing";
    let wrong = "'mesos-stream-id' names no open";
    climb(
        &master,
        "/api/v1/scheduler",
        vec![
            (
                "POST",
                vec![JSON, NOT_READ],
                &without,
                400,
                "field 'reconcile_operations' is required",
            ),
            (
                "POST",
                vec![JSON, NOT_READ],
                &nobody,
                406,
                "'Accept' allows neither",
            ),
            ("POST", vec![JSON, STREAM], &nobody, 400, ""),
            ("POST", vec![JSON], &ours, 400, unstreamed),
            ("POST", vec![JSON, STREAM], &ours, 400, wrong),
            ("POST", vec![JSON, own, NOT_READ], &ours, 406, "'Accept'"),
            ("POST", vec![JSON, own], &ours, 202, ""),
            // Calls without a reply do not ask what would be read.
            ("POST", vec![JSON, STREAM], &stranger, 400, ""),
            ("POST", vec![JSON, NOT_READ], &revive, 400, unstreamed),
            ("POST", vec![JSON, NOT_READ, STREAM], &revive, 400, wrong),
            ("POST", vec![JSON, NOT_READ, own], &revive, 202, ""),
            ("POST", vec![JSON, own], &unknown, 501, ""),
        ],
    )
    .await;
    drop(stream);
}

#[tokio::test]
async fn operators_are_checked_in_mesos_order() {
    let master = Master::start().await;
    let health = r#"{"type":"GET_HEALTH"}"#;
    let remove = r#"{"type":"REMOVE_QUOTA"}"#;
    climb(
        &master,
        "/api/v1",
        vec![
            ("GET", vec![XML, NOT_READ], "{", 405, "405"),
            ("POST", vec![NOT_READ], "{", 400, "a 'Content-Type' header"),
            (
                "POST",
                vec![XML, NOT_READ],
                "{",
                415,
                "'Content-Type: text/xml'",
            ),
            (
                "POST",
                vec![JSON, NOT_READ],
                "{",
                400,
                "mesos.v1.master.Call: malformed JSON",
            ),
            ("POST", vec![JSON, NOT_READ], "{}", 400, "field 'type'"),
            ("POST", vec![JSON, NOT_READ], health, 406, "'Accept' allows"),
            (
                "POST",
                vec![JSON],
                remove,
                400,
                "field 'remove_quota' is required",
            ),
            ("POST", vec![JSON], r#"{"type":"UNKNOWN"}"#, 501, ""),
            ("POST", vec![JSON], health, 200, ""),
        ],
    )
    .await;
}
