//! Amounts that are none, on their way to the allocator: each is refused by name, and nothing of it
//! arrives.

use super::*;
use crate::proto::v1::offer::{Operation, operation};
use crate::quota::from_configs;
use crate::resources::Resources;

fn scalar(name: &str, value: f64) -> v1::Resource {
    let mut resource = resources("cpus:1").remove(0);
    resource.name = name.to_owned();
    resource.scalar = Some(v1::value::Scalar { value });
    resource
}

fn ranges(pieces: &[(u64, u64)]) -> v1::Resource {
    let mut resource = resources("ports:[1-2]").remove(0);
    let range = pieces.iter().map(|(begin, end)| v1::value::Range {
        begin: *begin,
        end: *end,
    });
    resource.ranges = Some(v1::value::Ranges {
        range: range.collect(),
    });
    resource
}

fn items(items: &[&str]) -> v1::Resource {
    let mut resource = resources("disks:{a}").remove(0);
    resource.set = Some(v1::value::Set {
        item: items.iter().map(|item| (*item).to_owned()).collect(),
    });
    resource
}

/// What is wrong, and what the error names.
fn cases() -> Vec<(v1::Resource, [&'static str; 2])> {
    vec![
        (scalar("cpus", -1.0), ["cpus", "-1 is negative"]),
        (
            scalar("mem", f64::NAN),
            ["mem", "NaN is not a finite number"],
        ),
        (
            scalar("disk", f64::INFINITY),
            ["disk", "inf is not a finite number"],
        ),
        (scalar("mem", 1e300), ["mem", "1"]),
        (scalar("gpus", 0.5), ["gpus", "must be a whole number"]),
        (scalar("", 1.0), ["name", "empty"]),
        (
            ranges(&[(1, 5), (3, 9)]),
            ["ports", "ranges 1-5 and 3-9 overlap"],
        ),
        (ranges(&[(9, 3)]), ["ports", "9-3"]),
        (
            items(&["a", "b", "a"]),
            ["disks", "set item 'a' is given twice"],
        ),
    ]
}

fn reserved(mut resource: v1::Resource, role: &str) -> v1::Resource {
    resource.reservations = vec![v1::resource::ReservationInfo {
        r#type: Some(v1::resource::reservation_info::Type::Dynamic.into()),
        role: Some(role.to_owned()),
        ..v1::resource::ReservationInfo::default()
    }];
    resource
}

fn reserve(resource: v1::Resource) -> Operation {
    let mut operation = Operation::default();
    operation.set_type(operation::Type::Reserve);
    operation.reserve = Some(operation::Reserve {
        source: Vec::new(),
        resources: vec![resource],
    });
    operation
}

#[test]
fn operators_hear_what_is_wrong_with_what_they_reserve() {
    let mut bench = Bench::new();
    let agent = bench.agent("a", "cpus:4;mem:1024;ports:[1-99];disks:{a,b}");
    let id = crate::base::AgentId::new(&*agent.id.value);
    let before: Resources = bench.snapshot().agents[&id].total.clone();
    let mut try_it = |resource: v1::Resource, said: &[&str]| {
        let call = OperatorCall::Operate {
            agent_id: id.clone(),
            operation: Box::new(reserve(resource.clone())),
        };
        let error = bench.operator_call(call).unwrap_err();
        for part in said {
            assert!(error.message.contains(part), "{resource:?}: {error:?}");
        }
        assert_eq!(bench.snapshot().agents[&id].total, before);
    };
    for (resource, said) in cases() {
        try_it(reserved(resource, "dev"), &said);
    }
    try_it(reserved(scalar("cpus", 1.0), "a//b"), &["a//b"]);
    try_it(reserved(scalar("cpus", 1.0), "*"), &["'*'"]);
}

#[test]
fn frameworks_hear_what_is_wrong_with_what_they_launch() {
    for (resource, said) in cases() {
        let mut bench = Bench::new();
        let agent = bench.agent("a", "cpus:4;mem:1024;ports:[1-99];disks:{a,b}");
        let scheduler = bench.subscribe(framework("f"));
        let offers = bench.offers(&scheduler);
        let mut bad = task("t", &agent, "cpus:1;mem:32");
        bad.resources = vec![resource.clone()];
        bench.accept(&scheduler, &offers, vec![launch(vec![bad])]);
        let statuses = bench.statuses(&scheduler);
        let message = statuses[0].message.clone().unwrap_or_default();
        for part in said {
            assert!(message.contains(part), "{resource:?}: {message}");
        }
    }
}

#[test]
fn quotas_that_are_none_are_refused_by_role_and_resource() {
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
        (vec![config("dev", 1.0, f64::INFINITY)], ["dev", "inf"]),
        (vec![config("dev", 1.0, 1e15)], ["dev", "cpus"]),
        (
            vec![config("dev", 2.0, 1.0)],
            ["dev", "below its guarantee"],
        ),
        (vec![config("a//b", 1.0, 2.0)], ["a//b", ""]),
        (
            vec![config("dev", 1.0, 2.0), config("dev", 1.0, 3.0)],
            ["dev", ""],
        ),
    ] {
        let error = from_configs(&configs).unwrap_err().to_string();
        for part in said {
            assert!(error.contains(part), "{configs:?}: {error}");
        }
    }
}
