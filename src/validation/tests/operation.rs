//! Operations that convert resources: who may do what, and what is refused by name.

use crate::proto::v1::offer::{Operation, operation};
use crate::resources::{ReservationForm, Resources};
use crate::roles::Role;
use crate::validation::operation::{OperationContext, Requester, check, conversion};

const FREE: &str = r#"[
    {"name":"cpus","type":"SCALAR","scalar":{"value":4}},
    {"name":"disk","type":"SCALAR","scalar":{"value":100}},
    {"name":"cpus","type":"SCALAR","scalar":{"value":2},
     "reservations":[{"type":"STATIC","role":"ads"}]},
    {"name":"disk","type":"SCALAR","scalar":{"value":50},
     "reservations":[{"type":"DYNAMIC","role":"ads"}]},
    {"name":"disk","type":"SCALAR","scalar":{"value":70},
     "reservations":[{"type":"DYNAMIC","role":"ads"}],
     "disk":{"source":{"type":"MOUNT","mount":{"root":"/m"}},
             "persistence":{"id":"m"},"volume":{"container_path":"m","mode":"RW"}}}]"#;

fn bag(json: &str) -> Resources {
    Resources::from_json(json).unwrap()
}

/// One resource with a reservation and perhaps more.
fn item(name: &str, value: u32, reservations: &str, more: &str) -> String {
    format!(
        r#"[{{"name":"{name}","type":"SCALAR","scalar":{{"value":{value}}},
             "reservations":[{reservations}]{more}}}]"#
    )
}

const DYNAMIC: &str = r#"{"type":"DYNAMIC","role":"ads"}"#;
const STATIC: &str = r#"{"type":"STATIC","role":"ads"}"#;
const REFINED: &str = r#"{"type":"STATIC","role":"ads"},{"type":"DYNAMIC","role":"ads/a"}"#;
const OWNED: &str = r#"{"type":"DYNAMIC","role":"ads","principal":"p"}"#;

fn volume(mode: &str, more: &str) -> String {
    let disk = format!(
        r#","disk":{{"persistence":{{"id":"v"{more}}},
                     "volume":{{"container_path":"d","mode":"{mode}"}}}}"#
    );
    item("disk", 50, DYNAMIC, &disk)
}

fn of(kind: operation::Type, json: &str) -> Operation {
    let resources = bag(json).to_proto(ReservationForm::Stack);
    let mut info = Operation {
        r#type: Some(kind.into()),
        ..Operation::default()
    };
    match kind {
        operation::Type::Reserve => {
            info.reserve = Some(operation::Reserve {
                source: Vec::new(),
                resources,
            });
        }
        operation::Type::Unreserve => {
            info.unreserve = Some(operation::Unreserve { resources });
        }
        operation::Type::Create => info.create = Some(operation::Create { volumes: resources }),
        _ => info.destroy = Some(operation::Destroy { volumes: resources }),
    }
    info
}

/// The refusal of an operation, or what it consumes.
fn tried(operation: &Operation, role: &str, able: bool, principal: Option<&str>) -> String {
    let (total, role) = (bag(FREE), Role::parse(role).unwrap());
    let context = OperationContext {
        framework: Some(Requester {
            role: &role,
            refines: able,
            shares: able,
        }),
        principal,
        total: &total,
        used: &Resources::new(),
    };
    match check(operation, &context, &total.allocate(&role)) {
        Ok(valid) => {
            assert_eq!(
                conversion(&valid.info),
                Ok(valid.conversion.of_total()),
                "the agent reads what the master has checked"
            );
            valid.conversion.consumed.unallocated().to_string()
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_frameworks_may_and_may_not() {
    use operation::Type::{Create, Reserve, Unreserve};
    let shared = volume("RW", "").replace("}}}]", r#"}},"shared":{}}]"#);
    let owned_volume = volume("RW", r#","principal":"p""#);
    let cases = [
        (
            of(Reserve, &item("cpus", 3, DYNAMIC, "")),
            "ads",
            false,
            None,
            "cpus:3",
        ),
        (
            of(Reserve, &item("cpus", 5, DYNAMIC, "")),
            "ads",
            false,
            None,
            "asked for",
        ),
        (
            of(Reserve, &item("cpus", 1, STATIC, "")),
            "ads",
            true,
            None,
            "DYNAMIC",
        ),
        (
            of(Reserve, &item("cpus", 1, DYNAMIC, "")),
            "eng",
            true,
            None,
            "role of the offers",
        ),
        (
            of(Reserve, &item("cpus", 1, REFINED, "")),
            "ads/a",
            true,
            None,
            "cpus(ads):1",
        ),
        (
            of(Reserve, &item("cpus", 1, REFINED, "")),
            "ads/a",
            false,
            None,
            "REFINEMENT",
        ),
        (
            of(Reserve, &item("cpus", 1, OWNED, "")),
            "ads",
            true,
            Some("p"),
            "cpus:1",
        ),
        (
            of(Reserve, &item("cpus", 1, OWNED, "")),
            "ads",
            true,
            Some("q"),
            "'q', who asks",
        ),
        (
            of(Reserve, &item("cpus", 1, DYNAMIC, "")),
            "ads",
            true,
            Some("q"),
            "not unset",
        ),
        (
            of(Unreserve, &item("cpus", 1, STATIC, "")),
            "ads",
            true,
            None,
            "static",
        ),
        (
            of(Unreserve, &volume("RW", "")),
            "ads",
            true,
            None,
            "destroy it first",
        ),
        (of(Create, &volume("RO", "")), "ads", true, None, "mode RW"),
        (of(Create, &shared), "ads", false, None, "SHARED_RESOURCES"),
        (
            of(Create, &owned_volume),
            "ads",
            true,
            Some("q"),
            "'q', who asks",
        ),
    ];
    for (operation, role, able, principal, expected) in cases {
        let found = tried(&operation, role, able, principal);
        assert!(found.contains(expected), "{operation:?}: {found}");
    }
    for able in [of(Create, &volume("RW", "")), of(Create, &shared)] {
        let found = tried(&able, "ads", true, None);
        assert!(found.starts_with("disk"), "{found}");
    }
}

#[test]
fn whole_disks_are_not_resized_and_sources_are_for_operators() {
    let mount = bag(FREE).filter(|item| item.is_persistent_volume());
    let shrink = Operation {
        r#type: Some(operation::Type::ShrinkVolume.into()),
        shrink_volume: Some(operation::ShrinkVolume {
            volume: mount.to_proto(ReservationForm::Stack).remove(0),
            subtract: crate::proto::v1::value::Scalar { value: 1.0 },
        }),
        ..Operation::default()
    };
    let found = tried(&shrink, "ads", true, None);
    assert!(found.contains("ROOT or PATH"), "{found}");
    let mut moves = of(operation::Type::Reserve, &item("disk", 50, OWNED, ""));
    if let Some(body) = &mut moves.reserve {
        body.source = bag(&item("disk", 50, DYNAMIC, "")).to_proto(ReservationForm::Stack);
    }
    let found = tried(&moves, "ads", true, None);
    assert!(found.contains("operators can move"), "{found}");
    let none = Operation {
        r#type: Some(operation::Type::Reserve.into()),
        ..Operation::default()
    };
    assert!(tried(&none, "ads", true, None).contains("reserve.resources: must be set"));
    assert!(conversion(&Operation::default()).is_err());
}
