//! Every kind of malformed call gets the code, the text and the field's name that help its author.

use mesosd::proto::v1::scheduler::{Call, call};
use mesosd::proto::v1::{self, master};
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::raw::{Master, call};

const SCHEDULER: &str = "/mesos.v1.scheduler.SchedulerService/Call";
const SUBSCRIBE: &str = "/mesos.v1.scheduler.SchedulerService/Subscribe";
const OPERATOR: &str = "/mesos.v1.master.OperatorService/Call";
const LINK: &str = "/mesosd.v1.AgentLink/Connect";

struct Case {
    what: &'static str,
    path: &'static str,
    message: Vec<u8>,
    code: Code,
    text: &'static str,
    field: Option<&'static str>,
}

/// One length-delimited field.
fn field(number: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[number << 3 | 2, length], payload].concat()
}

fn of_type(kind: call::Type) -> Vec<u8> {
    let call = Call {
        framework_id: Some("F".into()),
        r#type: Some(kind.into()),
        ..Call::default()
    };
    call.encode_to_vec()
}

fn scheduler_cases() -> Vec<Case> {
    let case = |what, message, code, text, field| Case {
        what,
        path: SCHEDULER,
        message,
        code,
        text,
        field,
    };
    let invalid = Code::InvalidArgument;
    vec![
        case(
            "nothing",
            Vec::new(),
            invalid,
            "field 'type' is required",
            Some("type"),
        ),
        case(
            "no framework",
            vec![0x10, 2],
            invalid,
            "field 'framework_id' is required",
            Some("framework_id"),
        ),
        case(
            "a framework id without value",
            [field(1, b""), vec![0x10, 2]].concat(),
            invalid,
            "mesos.v1.scheduler.Call: field 'framework_id.value' is required",
            Some("framework_id.value"),
        ),
        case(
            "an accepted task without agent",
            {
                let task = [field(1, b"t"), field(2, &field(1, b"T"))].concat();
                let launch = field(1, &task);
                let accept = field(2, &field(2, &launch));
                [of_type(call::Type::Accept), field(4, &accept)].concat()
            },
            invalid,
            "mesos.v1.scheduler.Call: \
             field 'accept.operations[0].launch.task_infos[0].agent_id' is required",
            Some("accept.operations[0].launch.task_infos[0].agent_id"),
        ),
        case(
            "no body for the type",
            of_type(call::Type::Kill),
            invalid,
            "field 'kill' is required",
            Some("kill"),
        ),
        case(
            "garbage",
            b"\xff\xff\xff\xff\xff\xff".to_vec(),
            invalid,
            "mesos.v1.scheduler.Call: malformed protobuf: \
             a number is cut off or longer than 64 bits",
            None,
        ),
        case(
            "text that is not UTF-8",
            field(1, &field(1, b"\xff\xfe")),
            invalid,
            "mesos.v1.scheduler.Call: malformed protobuf: failed to decode Protobuf message",
            None,
        ),
        case(
            "an unknown type",
            [of_type(call::Type::Kill), vec![0x10, 99]].concat(),
            Code::Unimplemented,
            "type: there is no call with number 99",
            None,
        ),
        case(
            "a subscription in the wrong place",
            of_type(call::Type::Subscribe),
            invalid,
            "type: SUBSCRIBE opens a stream",
            Some("type"),
        ),
        case(
            "no stream id",
            of_type(call::Type::Teardown),
            invalid,
            "'mesos-stream-id' is missing",
            None,
        ),
        case(
            "17 MiB",
            vec![0; 17 * 1024 * 1024],
            Code::OutOfRange,
            "Error, decoded message length too large",
            None,
        ),
    ]
}

fn other_cases() -> Vec<Case> {
    let framework = v1::FrameworkInfo {
        user: "root".to_owned(),
        name: "test".to_owned(),
        id: Some("F".into()),
        ..v1::FrameworkInfo::default()
    };
    let subscribe = Call {
        r#type: Some(call::Type::Subscribe.into()),
        subscribe: Some(call::Subscribe {
            framework_info: framework,
            ..call::Subscribe::default()
        }),
        ..Call::default()
    };
    let operator = |kind: master::call::Type| {
        let call = master::Call {
            r#type: Some(kind.into()),
            ..master::Call::default()
        };
        call.encode_to_vec()
    };
    let case = |what, path, message, code, text, field| Case {
        what,
        path,
        message,
        code,
        text,
        field,
    };
    let invalid = Code::InvalidArgument;
    vec![
        case(
            "ids that differ",
            SUBSCRIBE,
            subscribe.encode_to_vec(),
            invalid,
            "framework_id is not set, subscribe.framework_info.id is 'F': they must be equal",
            Some("framework_id"),
        ),
        case(
            "a call that opens no stream",
            SUBSCRIBE,
            of_type(call::Type::Kill),
            invalid,
            "type: KILL is not for Subscribe",
            Some("type"),
        ),
        case(
            "a framework without name",
            SUBSCRIBE,
            [vec![0x10, 1], field(3, &field(1, &field(1, b"root")))].concat(),
            invalid,
            "mesos.v1.scheduler.Call: field 'subscribe.framework_info.name' is required",
            Some("subscribe.framework_info.name"),
        ),
        case(
            "nothing",
            OPERATOR,
            Vec::new(),
            invalid,
            "field 'type' is required",
            Some("type"),
        ),
        case(
            "no body",
            OPERATOR,
            operator(master::call::Type::Teardown),
            invalid,
            "field 'teardown' is required",
            Some("teardown"),
        ),
        case(
            "a stream that is not asked for as one",
            OPERATOR,
            operator(master::call::Type::Subscribe),
            invalid,
            "type: SUBSCRIBE opens a stream; send it with Subscribe",
            Some("type"),
        ),
        case(
            "no such method",
            "/mesos.v1.master.OperatorService/Nothing",
            Vec::new(),
            Code::Unimplemented,
            "",
            None,
        ),
        case(
            "no such service",
            "/mesos.v1.Nothing/Call",
            Vec::new(),
            Code::Unimplemented,
            "'/mesos.v1.Nothing/Call' is no method of this daemon",
            None,
        ),
        case(
            "no registration",
            LINK,
            field(7, b"\x08\x01"),
            Code::FailedPrecondition,
            "the first message of a link must be Register or Reregister",
            None,
        ),
        case(
            "a registration without version",
            LINK,
            field(1, &field(1, &field(1, b"host"))),
            invalid,
            "mesosd.v1.FromAgent: field 'register.version' is required",
            Some("register.version"),
        ),
    ]
}

fn violated(status: &Status) -> Option<String> {
    let details = status.get_details_bad_request()?;
    details
        .field_violations
        .first()
        .map(|violation| violation.field.clone())
}

#[tokio::test]
async fn malformed_calls_are_explained() {
    let master = Master::start().await;
    let channel = master.server.channel().await;
    for case in scheduler_cases().into_iter().chain(other_cases()) {
        let answer = call(&channel, case.path, case.message, MetadataMap::new()).await;
        let status = answer.expect_err(case.what);
        assert_eq!(status.code(), case.code, "{}: {status:?}", case.what);
        assert!(
            status.message().starts_with(case.text),
            "{}: {status:?}",
            case.what
        );
        assert_eq!(
            violated(&status).as_deref(),
            case.field,
            "{}: {status:?}",
            case.what
        );
    }
    // The daemon is unharmed.
    let health = master::Call {
        r#type: Some(master::call::Type::GetHealth.into()),
        ..master::Call::default()
    };
    let answer = call(
        &channel,
        OPERATOR,
        health.encode_to_vec(),
        MetadataMap::new(),
    )
    .await;
    assert!(answer.unwrap().into_inner().is_some());
}

#[tokio::test]
async fn a_stream_id_that_was_never_given_is_refused() {
    let master = Master::start().await;
    let channel = master.server.channel().await;
    let mut metadata = MetadataMap::new();
    metadata.insert(
        "mesos-stream-id",
        "5f9e1c1e-9e2b-4f7e-8a49-000000000000".parse().unwrap(),
    );
    let teardown = of_type(call::Type::Teardown);
    let status = call(&channel, SCHEDULER, teardown, metadata)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(
        status
            .message()
            .starts_with("'mesos-stream-id' names no open subscription")
    );
}
