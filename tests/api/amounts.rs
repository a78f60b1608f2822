//! Amounts that are none, roles that are not there, constraints: refused by name on every way in.

use mesosd::proto::link::agent_link_client::AgentLinkClient;
use mesosd::proto::link::{self, from_agent, from_master};
use mesosd::proto::v1;
use mesosd::proto::v1::master::operator_service_client::OperatorServiceClient;
use mesosd::proto::v1::master::{Call, call};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::http::subscribed;
use crate::raw::Master;
use crate::wire::{Answer, send};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// An agent that says that it is there.
struct Agent {
    id: String,
    _said: mpsc::Sender<link::FromAgent>,
    _heard: Streaming<link::FromMaster>,
}

fn scalar(name: &str, value: f64) -> v1::Resource {
    v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..v1::Resource::default()
    }
}

impl Agent {
    async fn register(master: &Master) -> Self {
        let mut client = AgentLinkClient::new(master.server.channel().await);
        let (said, outgoing) = mpsc::channel(16);
        let register = link::Register {
            agent: v1::AgentInfo {
                hostname: "by-hand.test".to_owned(),
                attributes: vec![v1::Attribute {
                    name: "rack".to_owned(),
                    r#type: v1::value::Type::Text.into(),
                    text: Some(v1::value::Text {
                        value: "r1".to_owned(),
                    }),
                    ..v1::Attribute::default()
                }],
                ..v1::AgentInfo::default()
            },
            total: vec![scalar("cpus", 4.0), scalar("mem", 1024.0)],
            version: "1.0.0".to_owned(),
        };
        let message = Some(from_agent::Message::Register(register));
        said.send(link::FromAgent { message }).await.unwrap();
        let opened = client.connect(ReceiverStream::new(outgoing)).await.unwrap();
        let mut heard = opened.into_inner();
        loop {
            let message = heard.message().await.unwrap().unwrap().message;
            if let Some(from_master::Message::Registered(registered)) = message {
                return Self {
                    id: registered.agent_id.value,
                    _said: said,
                    _heard: heard,
                };
            }
        }
    }
}

/// Resources in JSON, and what their refusal says.
fn cases() -> Vec<(Value, [&'static str; 2])> {
    let scalar = |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}});
    let ports =
        |ranges: Value| json!({"name": "ports", "type": "RANGES", "ranges": {"range": ranges}});
    vec![
        (scalar("cpus", -1.0), ["cpus", "-1 is negative"]),
        (scalar("mem", 1e300), ["mem", "1"]),
        (scalar("gpus", 0.5), ["gpus", "must be a whole number"]),
        (
            ports(json!([{"begin": 1, "end": 5}, {"begin": 3, "end": 9}])),
            ["ports", "ranges 1-5 and 3-9 overlap"],
        ),
        (ports(json!([{"begin": 9, "end": 3}])), ["ports", "9-3"]),
        (
            json!({"name": "disks", "type": "SET", "set": {"item": ["a", "b", "a"]}}),
            ["disks", "set item 'a' is given twice"],
        ),
    ]
}

/// The same reserved to a role.
fn reserved(mut resource: Value, role: &str) -> Value {
    resource["reservations"] = json!([{"type": "DYNAMIC", "role": role}]);
    resource
}

async fn post(master: &Master, path: &str, body: &Value) -> (u16, String) {
    let request = format!("POST {path}");
    let body = body.to_string();
    let headers = [JSON, ("Accept", "application/json")];
    let mut answer = send(master.server.address, &request, &headers, body.as_bytes()).await;
    (answer.status, answer.text().await)
}

fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[tokio::test]
async fn operators_hear_which_resource_is_wrong() {
    let master = Master::start().await;
    let agent = Agent::register(&master).await;
    let reserve = |resource: &Value| {
        json!({"type": "RESERVE_RESOURCES", "reserve_resources":
               {"agent_id": {"value": agent.id}, "resources": [resource]}})
    };
    let mut all: Vec<(Value, Vec<&str>)> = Vec::new();
    for (resource, said) in cases() {
        all.push((reserved(resource, "dev"), said.to_vec()));
    }
    let fine = json!({"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}});
    all.push((reserved(fine.clone(), "a//b"), vec!["a//b"]));
    all.push((reserved(fine.clone(), "*"), vec!["'*'"]));
    for (resource, said) in all {
        let (status, text) = post(&master, "/api/v1", &reserve(&resource)).await;
        assert_eq!(status, 400, "{resource}: {text}");
        let form = format!(
            "slaveId={}&resources={}",
            agent.id,
            escaped(&format!("[{resource}]"))
        );
        let mut answer = send(master.server.address, "POST /reserve", &[], form.as_bytes()).await;
        let plain = answer.text().await;
        assert_eq!(answer.status, 400, "{resource}: {plain}");
        for part in said {
            assert!(text.contains(part), "{resource}: {text}");
            assert!(plain.contains(part), "{resource}: {plain}");
        }
    }
    // What JSON cannot say, over gRPC.
    let mut grpc = OperatorServiceClient::new(master.server.channel().await);
    for (value, said) in [
        (f64::NAN, "NaN is not a finite number"),
        (f64::INFINITY, "inf is not a finite number"),
        (-0.5, "-0.5 is negative"),
    ] {
        let mut resource = scalar("mem", value);
        resource.reservations = vec![v1::resource::ReservationInfo {
            r#type: Some(v1::resource::reservation_info::Type::Dynamic.into()),
            role: Some("dev".to_owned()),
            ..v1::resource::ReservationInfo::default()
        }];
        let call = Call {
            r#type: Some(call::Type::ReserveResources.into()),
            reserve_resources: Some(call::ReserveResources {
                agent_id: v1::AgentId {
                    value: agent.id.clone(),
                },
                resources: vec![resource],
                ..call::ReserveResources::default()
            }),
            ..Call::default()
        };
        let refused = grpc.call(call).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        let text = refused.message();
        assert!(text.contains("mem") && text.contains(said), "{text}");
    }
    let (status, text) = post(&master, "/api/v1", &reserve(&reserved(fine, "dev"))).await;
    assert!(status < 300, "{text}");
}

#[tokio::test]
async fn weights_and_quota_are_refused_by_role_and_resource() {
    let master = Master::start().await;
    let mut grpc = OperatorServiceClient::new(master.server.channel().await);
    for (role, weight, said) in [
        ("dev", -1.0, "-1"),
        ("dev", f64::NAN, "NaN"),
        ("dev", f64::INFINITY, "inf"),
        ("a//b", 1.0, "a//b"),
    ] {
        let set = Call {
            r#type: Some(call::Type::UpdateWeights.into()),
            update_weights: Some(call::UpdateWeights {
                weight_infos: vec![v1::WeightInfo {
                    role: Some(role.to_owned()),
                    weight,
                }],
            }),
            ..Call::default()
        };
        let refused = grpc.call(set).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        let text = refused.message();
        assert!(text.contains(role) && text.contains(said), "{text}");
    }
    let config = |role: &str, guarantee: f64, limit: f64| {
        let of = |value| [("cpus".to_owned(), v1::value::Scalar { value })].into();
        v1::quota::QuotaConfig {
            role: role.to_owned(),
            guarantees: of(guarantee),
            limits: of(limit),
        }
    };
    for (configs, said) in [
        (vec![config("dev", -1.0, 2.0)], ["dev", "-1 is negative"]),
        (vec![config("dev", f64::NAN, 2.0)], ["dev", "NaN"]),
        (vec![config("dev", 1.0, 1e15)], ["dev", "cpus"]),
        (
            vec![config("dev", 2.0, 1.0)],
            ["dev", "below its guarantee"],
        ),
        (
            vec![config("dev", 1.0, 2.0), config("dev", 1.0, 3.0)],
            ["dev", ""],
        ),
    ] {
        let set = Call {
            r#type: Some(call::Type::UpdateQuota.into()),
            update_quota: Some(call::UpdateQuota {
                force: Some(true),
                quota_configs: configs.clone(),
            }),
            ..Call::default()
        };
        let refused = grpc.call(set).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        for part in said {
            assert!(refused.message().contains(part), "{configs:?}: {refused:?}");
        }
    }
    let guarantee = |value: f64| {
        json!({"role": "dev", "force": true, "guarantee": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": value}}]})
    };
    let (status, text) = post(&master, "/quota", &guarantee(-2.0)).await;
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("cpus") && text.contains("-2"), "{text}");
}

/// Something that a framework says is refused when it subscribes.
async fn refusal(master: &Master, more: Value) -> String {
    let mut subscribe = json!({"framework_info": {"user": "u", "name": "n", "roles": ["dev"],
        "capabilities": [{"type": "MULTI_ROLE"}]}});
    for (key, value) in more.as_object().unwrap() {
        subscribe[key] = value.clone();
    }
    let body = json!({"type": "SUBSCRIBE", "subscribe": subscribe}).to_string();
    let address = master.server.address;
    let mut stream: Answer =
        send(address, "POST /api/v1/scheduler", &[JSON], body.as_bytes()).await;
    if stream.status != 200 {
        return stream.text().await;
    }
    let event = stream.event().await;
    assert_eq!(event["type"], "ERROR", "{event}");
    event["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn unknown_roles_and_bad_constraints_are_named() {
    let master = Master::start().await;
    let said = refusal(&master, json!({"suppressed_roles": ["ops"]})).await;
    assert!(said.contains("ops"), "{said}");
    let rack =
        |predicate: Value| json!({"selector": {"attribute_name": "rack"}, "predicate": predicate});
    let wanted = |role: &str, groups: Value| json!({"offer_constraints": {"role_constraints": {role: {"groups": groups}}}});
    let group = |one: Value| json!([{"attribute_constraints": [one]}]);
    let exists = rack(json!({"exists": {}}));
    let regex = |regex: &str| rack(json!({"text_matches": {"regex": regex}}));
    for (constraints, part) in [
        (wanted("ops", group(exists)), "role 'ops'"),
        (wanted("dev", json!([])), "role 'dev' has no group"),
        (wanted("dev", group(regex("("))), "the pattern '('"),
        (wanted("dev", group(regex("(a{99}){99}"))), "'(a{99}){99}'"),
    ] {
        let said = refusal(&master, constraints.clone()).await;
        assert!(said.contains(part), "{constraints}: {said}");
    }
}

/// The agents that a framework's own constraints keep from it, by role.
#[tokio::test]
async fn what_constraints_exclude_can_be_read() {
    let master = Master::start().await;
    let agent = Agent::register(&master).await;
    let (_stream, stream_id, id) = subscribed(&master).await;
    let constraint = json!({"selector": {"attribute_name": "rack"},
                            "predicate": {"text_equals": {"value": "r2"}}});
    let update = json!({"type": "UPDATE_FRAMEWORK", "framework_id": {"value": id}, "update_framework": {
        "framework_info": {"id": {"value": id}, "user": "u", "name": "n", "failover_timeout": 60,
            "roles": ["dev", "ops"], "capabilities": [{"type": "MULTI_ROLE"}]},
        "offer_constraints": {"role_constraints": {"dev": {"groups": [
            {"attribute_constraints": [constraint]}]}}}}});
    let headers = [JSON, ("Mesos-Stream-Id", stream_id.as_str())];
    let body = update.to_string();
    let address = master.server.address;
    let mut answer = send(address, "POST /api/v1/scheduler", &headers, body.as_bytes()).await;
    assert!(answer.status < 300, "{}", answer.text().await);
    for path in [
        "/offer_constraints_debug",
        "/master/offer_constraints_debug",
        "/hierarchical-allocator(1)/offer_constraints_debug",
    ] {
        let mut answer = send(address, &format!("GET {path}"), &[], b"").await;
        let read: Value = serde_json::from_slice(&answer.body().await).unwrap();
        let roles = &read["frameworks"][&id]["roles"];
        let excluded = |role: &str| roles[role]["excluded_by_attribute_constraints"].clone();
        assert_eq!(excluded("dev"), json!([agent.id]), "{path}: {read}");
        assert_eq!(excluded("ops"), json!([]), "{path}: {read}");
    }
}
