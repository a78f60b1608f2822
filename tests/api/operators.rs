//! What operators decide, over real HTTP and gRPC: weights, quota, maintenance, agents.

use mesosd::proto::v1;
use mesosd::proto::v1::master::operator_service_client::OperatorServiceClient;
use mesosd::proto::v1::master::{Call, Response, call};
use prost::Message;
use serde_json::{Value, json};

use crate::raw::Master;
use crate::wire::send;

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// One v1 call as JSON: the code and the body, or its text.
async fn ask(master: &Master, call: &Value) -> (u16, Value) {
    let body = call.to_string();
    let headers = [JSON, ("Accept", "application/json")];
    let mut answer = send(
        master.server.address,
        "POST /api/v1",
        &headers,
        body.as_bytes(),
    )
    .await;
    let body = answer.body().await;
    let text = String::from_utf8_lossy(&body).into_owned();
    let body = serde_json::from_slice(&body).unwrap_or(Value::String(text));
    (answer.status, body)
}

/// One request to an unversioned endpoint.
async fn plain(master: &Master, request: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let mut answer = send(master.server.address, request, &[], body.as_bytes()).await;
    let body = answer.body().await;
    let text = String::from_utf8_lossy(&body).into_owned();
    let body = serde_json::from_slice(&body).unwrap_or(Value::String(text));
    (answer.status, body)
}

async fn refused(master: &Master, call: Value, said: &str) {
    let (status, body) = ask(master, &call).await;
    assert_eq!(status, 400, "{call}: {body}");
    let text = body
        .as_str()
        .map_or_else(|| body.to_string(), str::to_owned);
    assert!(text.contains(said), "{call}: {text}");
}

#[tokio::test]
async fn weights_by_every_way() {
    let master = Master::start().await;
    let set = json!({"type": "UPDATE_WEIGHTS", "update_weights": {"weight_infos": [
        {"role": "ads", "weight": 2.5}, {"role": "web/shop", "weight": 0.5}]}});
    assert_eq!(ask(&master, &set).await.0, 200);
    let (status, read) = ask(&master, &json!({"type": "GET_WEIGHTS"})).await;
    assert_eq!(status, 200);
    let expected = json!([{"role": "ads", "weight": 2.5}, {"role": "web/shop", "weight": 0.5}]);
    let sorted = |infos: &Value| -> Vec<(String, f64)> {
        let infos = infos.as_array().unwrap().iter();
        infos
            .map(|info| {
                (
                    info["role"].as_str().unwrap().to_owned(),
                    info["weight"].as_f64().unwrap(),
                )
            })
            .collect()
    };
    assert_eq!(
        sorted(&read["get_weights"]["weight_infos"]),
        sorted(&expected)
    );
    let one = json!([{"role": "ads", "weight": 4.0}]);
    assert_eq!(plain(&master, "PUT /weights", &one).await, (200, json!("")));
    let (_, read) = plain(&master, "GET /weights", &Value::Null).await;
    assert_eq!(sorted(&read)[0], ("ads".to_owned(), 4.0));
    for (infos, said) in [
        (json!([]), "no weight is given"),
        (
            json!([{"role": "ads", "weight": 0.0}]),
            "role 'ads': weight 0 is below",
        ),
        (json!([{"role": "-a", "weight": 1.0}]), "starts with '-'"),
        (
            json!([{"role": "a", "weight": 1.0}, {"role": "a", "weight": 2.0}]),
            "given twice",
        ),
    ] {
        let call = json!({"type": "UPDATE_WEIGHTS", "update_weights": {"weight_infos": infos}});
        refused(&master, call, said).await;
        let (status, _) = plain(&master, "PUT /weights", &infos).await;
        assert_eq!(status, 400);
    }
    refused(&master, json!({"type": "UPDATE_WEIGHTS"}), "update_weights").await;
    assert_eq!(
        plain(&master, "PUT /weights", &json!({"role": "a"}))
            .await
            .0,
        400
    );

    // The same in protobuf, and over gRPC.
    let call = Call {
        r#type: Some(call::Type::GetWeights.into()),
        ..Call::default()
    };
    let protobuf = "application/x-protobuf";
    let headers = [("Content-Type", protobuf), ("Accept", protobuf)];
    let body = call.encode_to_vec();
    let mut answer = send(master.server.address, "POST /api/v1", &headers, &body).await;
    let read = Response::decode(answer.body().await.as_slice()).unwrap();
    assert_eq!(read.get_weights.unwrap().weight_infos.len(), 2);
    let mut grpc = OperatorServiceClient::new(master.server.channel().await);
    let set = Call {
        r#type: Some(call::Type::UpdateWeights.into()),
        update_weights: Some(call::UpdateWeights {
            weight_infos: vec![v1::WeightInfo {
                role: Some("ops".to_owned()),
                weight: 3.0,
            }],
        }),
        ..Call::default()
    };
    grpc.call(set).await.unwrap();
    let read = grpc.call(call).await.unwrap().into_inner();
    assert_eq!(read.get_weights.unwrap().weight_infos.len(), 3);
}

#[tokio::test]
async fn quota_by_every_way() {
    let master = Master::start().await;
    let config = |role: &str, guarantee: f64, limit: f64| {
        json!({"role": role, "guarantees": {"cpus": {"value": guarantee}},
               "limits": {"cpus": {"value": limit}}})
    };
    let update = |config: Value, force: bool| json!({"type": "UPDATE_QUOTA", "update_quota": {"force": force, "quota_configs": [config]}});
    refused(
        &master,
        update(config("ads", 2.0, 4.0), false),
        "the cluster has 0",
    )
    .await;
    assert_eq!(
        ask(&master, &update(config("ads", 2.0, 4.0), true)).await.0,
        200
    );
    refused(
        &master,
        update(config("ads", 4.0, 2.0), true),
        "below its guarantee",
    )
    .await;
    refused(
        &master,
        update(config("a/b", 1.0, 2.0), true),
        "only top-level roles",
    )
    .await;
    let (_, read) = ask(&master, &json!({"type": "GET_QUOTA"})).await;
    let status = &read["get_quota"]["status"];
    assert_eq!(status["configs"][0]["limits"]["cpus"]["value"], 4.0);
    assert_eq!(status["infos"][0]["role"], "ads");
    let (_, roles) = plain(&master, "GET /roles", &Value::Null).await;
    assert_eq!(roles["roles"][0]["quota"]["limit"]["cpus"], 4.0);
    assert_eq!(roles["roles"][0]["quota"]["guarantee"]["cpus"], 2.0);

    let remove = json!({"type": "REMOVE_QUOTA", "remove_quota": {"role": "other"}});
    refused(&master, remove, "role 'other' has no quota").await;
    let request = json!({"role": "web", "force": true, "guarantee": [
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}}]});
    assert_eq!(plain(&master, "POST /quota", &request).await.0, 200);
    let (status, text) = plain(&master, "POST /quota", &request).await;
    assert_eq!(status, 400, "{text}");
    let mut unforced = request.clone();
    unforced["force"] = json!(false);
    unforced["role"] = json!("ops");
    assert_eq!(plain(&master, "POST /quota", &unforced).await.0, 409);
    assert_eq!(
        plain(&master, "DELETE /quota/web", &Value::Null).await.0,
        200
    );
    assert_eq!(
        plain(&master, "DELETE /quota/web", &Value::Null).await.0,
        400
    );
    assert_eq!(plain(&master, "DELETE /quota", &Value::Null).await.0, 400);
    let remove = json!({"type": "REMOVE_QUOTA", "remove_quota": {"role": "ads"}});
    assert_eq!(ask(&master, &remove).await.0, 200);
    assert_eq!(
        plain(&master, "GET /quota", &Value::Null).await.1,
        json!({})
    );
}

#[tokio::test]
async fn maintenance_by_every_way() {
    let master = Master::start().await;
    let machine = json!({"hostname": "node1", "ip": "10.0.0.1"});
    let window = |machines: Value| {
        json!({"windows": [{"machine_ids": machines,
            "unavailability": {"start": {"nanoseconds": 7}, "duration": {"nanoseconds": 8}}}]})
    };
    let schedule = window(json!([machine]));
    assert_eq!(
        plain(&master, "POST /maintenance/schedule", &schedule)
            .await
            .0,
        200
    );
    let (_, read) = plain(&master, "GET /maintenance/schedule", &Value::Null).await;
    assert_eq!(read, schedule);
    let (_, read) = ask(&master, &json!({"type": "GET_MAINTENANCE_SCHEDULE"})).await;
    assert_eq!(read["get_maintenance_schedule"]["schedule"], schedule);
    let (_, read) = ask(&master, &json!({"type": "GET_MAINTENANCE_STATUS"})).await;
    let status = &read["get_maintenance_status"]["status"];
    assert_eq!(status["draining_machines"][0]["id"], machine);

    assert_eq!(
        plain(&master, "POST /machine/up", &json!([machine]))
            .await
            .0,
        400
    );
    assert_eq!(
        plain(&master, "POST /machine/down", &json!([machine]))
            .await
            .0,
        200
    );
    let (_, read) = plain(&master, "GET /maintenance/status", &Value::Null).await;
    assert_eq!(read["down_machines"], json!([machine]));
    let update = |schedule: Value| {
        json!({"type": "UPDATE_MAINTENANCE_SCHEDULE",
               "update_maintenance_schedule": {"schedule": schedule}})
    };
    refused(
        &master,
        update(json!({"windows": []})),
        "node1 (10.0.0.1) is down",
    )
    .await;
    refused(
        &master,
        update(window(json!([]))),
        "window 0 names no machine",
    )
    .await;
    refused(
        &master,
        update(window(json!([{"ip": "x"}]))),
        "'x' is not an IP address",
    )
    .await;
    let start = json!({"type": "START_MAINTENANCE",
                       "start_maintenance": {"machines": [{"hostname": "other"}]}});
    refused(
        &master,
        start,
        "machine other is not in the maintenance schedule",
    )
    .await;
    let stop = json!({"type": "STOP_MAINTENANCE", "stop_maintenance": {"machines": [machine]}});
    assert_eq!(ask(&master, &stop).await.0, 200);
    let (_, read) = plain(&master, "GET /maintenance/schedule", &Value::Null).await;
    assert_eq!(read, json!({}));
}

#[tokio::test]
async fn orders_about_agents_that_are_not_there() {
    let master = Master::start().await;
    let of = |kind: &str, status: u16| {
        let body = json!({"agent_id": {"value": "x-S1"}});
        (json!({"type": kind, kind.to_lowercase(): body}), status)
    };
    for (call, status) in [
        of("MARK_AGENT_GONE", 404),
        of("DRAIN_AGENT", 400),
        of("DEACTIVATE_AGENT", 400),
        of("REACTIVATE_AGENT", 400),
    ] {
        let (given, text) = ask(&master, &call).await;
        assert_eq!(given, status, "{call}");
        assert!(
            text.as_str().unwrap().contains("agent x-S1 is not known"),
            "{text}"
        );
    }
    let call = json!({"type": "DRAIN_AGENT", "drain_agent":
        {"agent_id": {"value": "x-S1"}, "max_grace_period": {"seconds": -1}}});
    refused(&master, call, "must not be negative").await;
    let call = json!({"type": "MARK_AGENT_GONE", "mark_agent_gone": {"agent_id": {"value": ""}}});
    refused(&master, call, "agent_id").await;
}
