//! Mesos' unversioned endpoints of a master: paths, methods, forms, replies.

use std::io::Read as _;

use serde_json::{Value, json};

use crate::http::subscribed;
use crate::raw::Master;
use crate::wire::{Answer, send};

async fn get(master: &Master, path: &str) -> Answer {
    send(master.server.address, &format!("GET {path}"), &[], b"").await
}

async fn read(master: &Master, path: &str) -> Value {
    let mut answer = get(master, path).await;
    assert_eq!(answer.status, 200, "{path}");
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    serde_json::from_slice(&answer.body().await).unwrap()
}

#[tokio::test]
async fn every_read_has_all_its_names() {
    let master = Master::start().await;
    let (_stream, _, id) = subscribed(&master).await;
    for path in [
        "/state",
        "/state-summary",
        "/slaves",
        "/frameworks",
        "/tasks",
        "/roles",
        "/offer_constraints_debug",
        "/weights",
        "/quota",
        "/maintenance/schedule",
        "/maintenance/status",
        "/version",
        "/flags",
    ] {
        let plain = read(&master, path).await;
        for alias in [
            format!("/master{path}"),
            format!("{path}.json"),
            format!("/master{path}.json"),
            format!("{path}/"),
            format!("{path}/more/below"),
        ] {
            assert_eq!(read(&master, &alias).await, plain, "{alias}");
        }
        let mut posted = send(master.server.address, &format!("POST {path}"), &[], b"").await;
        let (status, allowed) = match path {
            "/weights" => (405, Some("GET, PUT")),
            "/flags" | "/maintenance/status" => (405, Some("GET")),
            "/quota" | "/maintenance/schedule" => (400, None),
            _ => (200, None),
        };
        assert_eq!(
            (posted.status, posted.header("Allow")),
            (status, allowed),
            "{path}"
        );
        if allowed == Some("GET") {
            let text = "405 Method Not Allowed. Expecting one of { 'GET' }, but received 'POST'.";
            assert_eq!(posted.text().await, text);
        }
    }
    let state = read(&master, "/state").await;
    assert_eq!(state["frameworks"][0]["id"], id.as_str());
    let frameworks = read(&master, &format!("/frameworks?framework_id={id}")).await;
    assert_eq!(frameworks["frameworks"].as_array().unwrap().len(), 1);
    let frameworks = read(&master, "/frameworks?framework_id=other").await;
    assert_eq!(frameworks["frameworks"], json!([]));
    let roles = read(&master, "/roles").await;
    assert_eq!(roles["roles"][0]["frameworks"][0], id.as_str());
    assert_eq!(read(&master, "/weights").await, json!([]));
    assert_eq!(read(&master, "/quota").await, json!({}));
}

#[tokio::test]
async fn scripts_and_compression() {
    let master = Master::start().await;
    let mut answer = get(&master, "/state-summary?jsonp=my.call").await;
    assert_eq!(answer.header("Content-Type"), Some("text/javascript"));
    let text = answer.text().await;
    assert!(
        text.starts_with("my.call({\"hostname\":") && text.ends_with("})"),
        "{text}"
    );
    let answer = get(&master, "/state?jsonp=alert(1)//").await;
    assert_eq!(answer.status, 400);
    let answer = get(&master, "/state?jsonp=%zz").await;
    assert_eq!(answer.status, 400);

    // A reply of any size comes as one stream.
    let mut plain = get(&master, "/metrics/snapshot").await;
    assert_eq!(plain.header("Content-Encoding"), None);
    let plain: Value = serde_json::from_slice(&plain.body().await).unwrap();
    let gzip = [("Accept-Encoding", "gzip")];
    let mut packed = send(master.server.address, "GET /metrics/snapshot", &gzip, b"").await;
    assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
    let mut text = String::new();
    let body = packed.body().await;
    let mut unpacked = flate2::read::GzDecoder::new(body.as_slice());
    unpacked.read_to_string(&mut text).unwrap();
    let packed: Value = serde_json::from_str(&text).unwrap();
    let keys = |all: &Value| -> Vec<String> { all.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(&packed), keys(&plain));
    let answer = send(master.server.address, "GET /health", &gzip, b"").await;
    assert_eq!(
        (answer.status, answer.header("Content-Length")),
        (200, Some("0"))
    );
}

#[tokio::test]
async fn a_form_ends_a_framework() {
    let master = Master::start().await;
    let (_stream, _, id) = subscribed(&master).await;
    let address = master.server.address;
    for (form, said) in [
        (String::new(), "parameter 'frameworkId' is missing"),
        ("frameworkId=".to_owned(), "teardown.framework_id: "),
        (
            "frameworkId=other".to_owned(),
            "framework other is not known",
        ),
        (
            "frameworkId=%f".to_owned(),
            "'%f' has a malformed '%' escape",
        ),
    ] {
        let mut answer = send(address, "POST /teardown", &[], form.as_bytes()).await;
        assert_eq!(answer.status, 400, "{form}");
        let text = answer.text().await;
        assert!(text.starts_with(said), "{form}: {text}");
    }
    let mut answer = get(&master, "/teardown").await;
    assert_eq!((answer.status, answer.header("Allow")), (405, Some("POST")));
    let text = "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'GET'.";
    assert_eq!(answer.text().await, text);
    let form = format!("frameworkId={id}");
    let mut answer = send(address, "POST /master/teardown", &[], form.as_bytes()).await;
    assert_eq!((answer.status, answer.text().await), (200, String::new()));
    let frameworks = read(&master, "/frameworks").await;
    assert_eq!(frameworks["frameworks"], json!([]));
    assert_eq!(frameworks["completed_frameworks"][0]["id"], id.as_str());
    let mut answer = send(address, "POST /teardown", &[], form.as_bytes()).await;
    let text = answer.text().await;
    assert_eq!(answer.status, 400);
    assert!(text.ends_with("has ended already"), "{text}");
}

#[tokio::test]
async fn what_every_daemon_says() {
    let master = Master::start().await;
    let version = read(&master, "/version").await;
    let text = |key: &str| version[key].as_str().unwrap().to_owned();
    assert_eq!(text("version"), "1.12.0");
    assert_eq!(text("build_date").len(), "2026-11-20 18:02:57".len());
    assert_eq!(
        text("git_tag"),
        concat!("mesosd-", env!("CARGO_PKG_VERSION"))
    );
    assert!(version["build_time"].as_f64().unwrap() > 1e9);
    let host = read(&master, "/system/stats.json").await;
    for key in ["avg_load_15min", "avg_load_1min", "avg_load_5min"] {
        assert!(host[key].is_f64(), "{host}");
    }
    for key in ["cpus_total", "mem_free_bytes", "mem_total_bytes"] {
        assert!(host[key].is_u64(), "{host}");
    }
    assert_eq!(get(&master, "/monitor/statistics").await.status, 404);

    for (query, code) in [
        ("timeout=2secs", 200),
        ("timeout=soon", 400),
        ("timeout=-1secs", 400),
    ] {
        let answer = get(&master, &format!("/metrics/snapshot?{query}")).await;
        assert_eq!(answer.status, code, "{query}");
    }
    let mut answer = get(&master, "/logging/toggle").await;
    assert_eq!(
        (answer.status, answer.text().await),
        (200, "0\n".to_owned())
    );
    for query in [
        "level=1",
        "duration=1secs",
        "level=x&duration=1secs",
        "level=1&duration=x",
    ] {
        let answer = get(&master, &format!("/logging/toggle?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
    }
    for (path, code) in [
        ("/help", 200),
        ("/help/master/state", 200),
        ("/help/nothing", 404),
    ] {
        assert_eq!(get(&master, path).await.status, code, "{path}");
    }
    // What the help lists is there.
    let mut help = get(&master, "/help").await;
    let help = help.text().await;
    let listed: Vec<&str> = help.split("href=\"").skip(1).collect();
    assert!(listed.len() > 15, "{help}");
    for path in listed {
        let (path, _) = path.split_once('"').unwrap();
        let answer = get(&master, path).await;
        assert!(
            ![404, 500, 501].contains(&answer.status),
            "{path}: {}",
            answer.status
        );
    }
    let mut answer = get(&master, "/redirect/state").await;
    assert_eq!(
        (answer.status, answer.text().await),
        (404, "404 Not Found.".to_owned())
    );
    let answer = get(&master, "/redirect").await;
    assert_eq!(answer.status, 307);
    assert_eq!(answer.header("Location"), Some("//127.0.0.1:5050"));
}
