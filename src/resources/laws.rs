//! The laws of the algebra, tried on drawn bags and texts.

use proptest::prelude::*;

use crate::roles::Role;

use super::*;

fn role(text: &str) -> Role {
    Role::parse(text).unwrap()
}

fn bag(text: &str) -> Resources {
    parse(text, &Role::DEFAULT).unwrap()
}

fn volume(id: &str, shared: bool, mb: u32) -> Resource {
    Resource::disk_space(Scalar::whole(mb))
        .reserve(Reservation::dynamic(role("ads"), Some("ops".into())))
        .unwrap()
        .with_disk(Some(Disk {
            persistence: Some(Persistence {
                id: id.to_owned(),
                principal: None,
            }),
            volume: Some(Volume {
                container_path: "data".to_owned(),
                read_only: false,
            }),
            source: None,
        }))
        .unwrap()
        .with_shared(shared)
        .unwrap()
}

/// Some labels that differ in keys, values or how many there are.
fn labelled(at: usize) -> Labels {
    let label = |key: &str, value: Option<&str>| Label {
        key: key.to_owned(),
        value: value.map(str::to_owned),
    };
    let all = [
        label("team", Some("a")),
        label("team", Some("b")),
        label("team", None),
    ];
    all.into_iter().take(at).collect()
}

/// Resources of many shapes; ranges and sets come from a place of their own per `slot`, so that
/// bags of different slots are disjoint.
fn resources(slot: u64) -> impl Strategy<Value = Resource> {
    let value = prop_oneof![
        (1..5_000_i64).prop_map(|n| ("cpus", Value::Scalar(Scalar::from_thousandths(n)))),
        (1..5_000_i64).prop_map(|n| ("mem", Value::Scalar(Scalar::from_thousandths(n)))),
        (1..4_u32).prop_map(|n| ("gpus", Value::Scalar(Scalar::whole(n)))),
        (0..40_u64, 0..9_u64).prop_map(move |(begin, more)| {
            let begin = slot * 1000 + begin;
            let end = begin + more;
            (
                "ports",
                Value::Ranges([Range { begin, end }].into_iter().collect()),
            )
        }),
        prop::collection::vec("[a-d]", 1..4).prop_map(move |items| {
            let items = items.iter().map(|item| format!("{item}{slot}"));
            ("things", Value::Set(items.collect()))
        }),
    ];
    let plain = (value, 0..3_usize, 0..3_usize, any::<bool>(), 0..4_usize).prop_map(
        |((name, value), reserved, allocated, revocable, labels)| {
            let name = ResourceName::parse(name).unwrap();
            let mut item = Resource::new(name, value).unwrap();
            for level in &["ads", "ads/batch"][..reserved] {
                let level = if *level == "ads" {
                    Reservation::fixed(role(level))
                } else {
                    Reservation {
                        labels: labelled(labels),
                        ..Reservation::dynamic(role(level), None)
                    }
                };
                item = item.reserve(level).unwrap();
            }
            if revocable && reserved < 2 {
                item = item.with_revocable(true).unwrap();
            }
            item.with_allocated([None, Some("ads/batch"), Some("web")][allocated].map(role))
        },
    );
    prop_oneof![
        8 => plain,
        1 => ("[vw]", 1..3_u32).prop_map(|(id, mb)| volume(&id, true, mb)),
        1 => ("[vw]", 1..3_u32).prop_map(|(id, mb)| volume(&id, false, mb)),
    ]
}

fn bags(slot: u64) -> impl Strategy<Value = Resources> {
    prop::collection::vec(resources(slot), 0..8).prop_map(Resources::from_iter)
}

proptest! {
    #[test]
    fn sum_minus_part_is_the_rest(a in bags(1), b in bags(2)) {
        let sum = &a + &b;
        prop_assert!(sum.contains(&a));
        prop_assert!(sum.contains(&b));
        prop_assert_eq!(&(&sum - &b), &a);
        prop_assert_eq!(sum.checked_sub(&a), Some(b.clone()));
        prop_assert_eq!(&b + &a, sum);
    }

    #[test]
    fn collecting_is_adding_one_by_one(items in prop::collection::vec(resources(1), 0..12)) {
        let mut bag = Resources::new();
        for item in &items {
            bag.add(item.clone());
        }
        prop_assert_eq!(Resources::from_iter(items), bag);
    }

    #[test]
    fn sums_are_associative(a in bags(1), b in bags(1), c in bags(1)) {
        prop_assert_eq!(&(&a + &b) + &c, &a + &(&b + &c));
    }

    #[test]
    fn contains_is_a_partial_order(a in bags(1), b in bags(1), c in bags(1)) {
        let (ab, abc) = (&a + &b, &(&a + &b) + &c);
        prop_assert!(a.contains(&a));
        prop_assert!(abc.contains(&ab) && ab.contains(&a) && abc.contains(&a));
        prop_assert_eq!(a.contains(&b) && b.contains(&a), a == b);
        prop_assert!(a.contains(&Resources::new()));
        for item in &a {
            prop_assert!(a.contains_one(item));
        }
    }

    #[test]
    fn views_split_without_loss(a in bags(1)) {
        prop_assert_eq!(&a.unreserved() + &a.reserved(), a.clone());
        prop_assert_eq!(&a.revocable() + &a.nonrevocable(), a.clone());
        prop_assert_eq!(&a.shared() + &a.nonshared(), a.clone());
        let reserved: Resources = a.reservations().values().sum();
        prop_assert_eq!(reserved, a.reserved());
        let missing = a.filter(|item| item.allocated_role().is_none());
        let allocated: Resources = a.allocations().values().sum();
        prop_assert_eq!(&allocated + &missing, a.clone());
    }

    #[test]
    fn quantities_follow_the_bag(a in bags(1), b in bags(2)) {
        // Volumes may be shared, and then one holder more is no quantity more.
        let (a, b) = (a.nonshared(), b.nonshared());
        let mut sums = a.quantities();
        sums.add(&b.quantities());
        prop_assert_eq!(&(&a + &b).quantities(), &sums);
        prop_assert!(sums.contains(&a.quantities()));
        sums.subtract(&b.quantities());
        prop_assert_eq!(sums, a.quantities());
        prop_assert_eq!(a.unallocated().quantities(), a.quantities());
        prop_assert_eq!(a.quantities().get(&ResourceName::CPUS), a.cpus());
    }

    #[test]
    fn text_round_trips(a in bags(1)) {
        let sayable = a
            .unallocated()
            .filter(|item| !item.is_refined() && !item.is_dynamically_reserved())
            .nonrevocable();
        prop_assert_eq!(parse(&sayable.to_string(), &Role::DEFAULT), Ok(sayable));
    }

    #[test]
    fn messages_round_trip(a in bags(1)) {
        let stack = a.to_proto(ReservationForm::Stack);
        prop_assert_eq!(Resources::from_proto(&stack), Ok(a.clone()));
        let flat = a.to_proto(ReservationForm::Flat);
        prop_assert_eq!(Resources::from_proto(&flat), Ok(a));
    }

    #[test]
    fn json_round_trips(a in bags(1)) {
        prop_assert_eq!(Resources::from_json(&a.to_json()), Ok(a));
    }

    #[test]
    fn any_json_is_answered(text in "\\[\\{[a-z0-9:\",{}\\[\\]]{0,60}") {
        let _ = parse(&text, &Role::DEFAULT);
    }

    #[test]
    fn any_text_is_answered(text in "[a-z0-9:;()\\[\\]{},.*/-]{0,60}|\\PC{0,30}") {
        if let Ok(read) = parse(&text, &Role::DEFAULT) {
            prop_assert_eq!(parse(&read.to_string(), &Role::DEFAULT), Ok(read));
        }
    }

    #[test]
    fn scalars_round_trip(steps in 0..=(1_i64 << 40) * 1000) {
        let scalar = Scalar::from_thousandths(steps);
        prop_assert_eq!(Scalar::parse(&scalar.to_string()), Ok(scalar));
        prop_assert_eq!(Scalar::from_f64(scalar.as_f64()), Ok(scalar));
    }
}

proptest! {
    /// Reservations that differ in labels only are different resources: they stay apart in every
    /// sum, on both ways over the wire, and none can be taken for another.
    #[test]
    fn labels_keep_reservations_apart(amounts in prop::collection::vec((0..4_usize, 1..50_u32), 1..12)) {
        let of = |labels: usize, cpus: u32| {
            let level = Reservation {
                labels: labelled(labels),
                ..Reservation::dynamic(role("ads"), None)
            };
            bag(&format!("cpus:{cpus}")).map(|item| item.reserve(level.clone()).unwrap())
        };
        let (mut sums, mut all) = ([0; 4], Resources::new());
        for (labels, cpus) in &amounts {
            sums[*labels] += cpus;
            all.add_all(&of(*labels, *cpus));
        }
        prop_assert_eq!(all.iter().count(), sums.iter().filter(|sum| **sum > 0).count());
        for (labels, sum) in sums.into_iter().enumerate() {
            prop_assert_eq!(all.contains(&of(labels, sum.max(1))), sum > 0);
            prop_assert!(!all.contains(&of(labels, sum + 1)));
        }
        for form in [ReservationForm::Stack, ReservationForm::Flat] {
            prop_assert_eq!(&Resources::from_proto(&all.to_proto(form)).unwrap(), &all);
        }
        prop_assert_eq!(Resources::from_json(&all.to_json()).unwrap(), all);
    }
}

#[test]
fn text_is_canonical() {
    let text = "set:{b,a};ports:[20-30,1-10]; disk(role):1000 ;mem:8192;cpus:1.5;cpus:2.5;";
    assert_eq!(
        bag(text).to_string(),
        "cpus:4;disk(role):1000;mem:8192;ports:[1-10,20-30];set:{a,b}"
    );
    assert_eq!(bag("cpus:0;ports:[];set:{}").to_string(), "");
    assert_eq!(
        parse("cpus:4;disk(*):10", &role("ads"))
            .unwrap()
            .to_string(),
        "cpus(ads):4;disk:10"
    );
}

#[test]
fn bad_texts_name_the_item() {
    let cases = [
        (
            "cpus",
            "resource 'cpus': write name:value or name(role):value, like cpus:4 or disk(ads):1000",
        ),
        ("mem:1;cpus:x", "resource 'cpus:x': 'x' is not a number"),
        ("cpus:-1", "resource 'cpus:-1': -1 is negative"),
        (
            "cpus:inf",
            "resource 'cpus:inf': inf is not a finite number",
        ),
        ("cpus:1e99", "resource 'cpus:1e99': 1"),
        (
            "cpus:nan",
            "resource 'cpus:nan': NaN is not a finite number",
        ),
        (
            "cpus:[1-2]",
            "resource 'cpus:[1-2]': cpus is of kind SCALAR, not RANGES",
        ),
        (
            "gpus:1.5",
            "resource 'gpus:1.5': gpus must be a whole number, not 1.5",
        ),
        (
            "ports:5",
            "resource 'ports:5': ports is of kind RANGES, not SCALAR",
        ),
        (
            "ports:[1-5,3-9]",
            "resource 'ports:[1-5,3-9]': ranges 1-5 and 3-9 overlap",
        ),
        (
            "set:{a,,b}",
            "resource 'set:{a,,b}': a set must not hold an empty item",
        ),
        (":4", "resource ':4': a resource name must not be empty"),
        ("a b:4", "resource 'a b:4': the name \"a b\" must not"),
        (
            "cpus(a/..):1",
            "resource 'cpus(a/..):1': role 'a/..' must not have the component '..'",
        ),
        ("cpus(a)4", "resource 'cpus(a)4': write name:value"),
    ];
    for (text, message) in cases {
        let error = parse(text, &Role::DEFAULT).unwrap_err().to_string();
        assert!(error.starts_with(message), "{text}: {error}");
    }
    let long = format!("cpus:{}", "9x".repeat(1000));
    let error = parse(&long, &Role::DEFAULT).unwrap_err();
    assert!(matches!(error, ResourceError::Item { item, .. } if item.len() == 203));
}

#[test]
fn scalars_round_as_mesos_does() {
    let thousandths = |value: f64| Scalar::from_f64(value).unwrap().thousandths();
    assert_eq!(thousandths(0.1 + 0.2), 300);
    assert_eq!(thousandths(0.0015), 2);
    assert_eq!(thousandths(0.0004), 0);
    assert_eq!(thousandths(-0.0), 0);
    assert!(Scalar::from_f64(-0.0001).is_err());
    assert_eq!(Scalar::whole(3) - Scalar::whole(5), Scalar::ZERO);
    assert_eq!(Scalar::from_thousandths(1_050).to_string(), "1.05");
}

#[test]
fn reservations_narrow() {
    let cpus = Resource::cpus(Scalar::whole(1));
    let level = |name: &str| Reservation::dynamic(role(name), None);
    let ads = cpus.clone().reserve(level("ads")).unwrap();
    assert!(
        ads.clone()
            .reserve(level("ads/batch"))
            .unwrap()
            .is_refined()
    );
    assert_eq!(
        ads.clone().reserve(level("adsx")),
        Err(ResourceError::NotRefined {
            outer: role("ads"),
            inner: role("adsx")
        })
    );
    assert_eq!(
        ads.clone().reserve(Reservation::fixed(role("ads/batch"))),
        Err(ResourceError::StaticRefinement(role("ads/batch")))
    );
    assert_eq!(
        cpus.clone().reserve(level("*")),
        Err(ResourceError::ReservedToDefault)
    );
    assert_eq!(ads.unreserve(), cpus);
}

#[test]
fn offers_look_upwards() {
    let total = bag("cpus:1;cpus(ads):2;cpus(ads/batch):4;cpus(web):8");
    let cpus = |name: &str| total.allocatable_to(&role(name)).cpus();
    assert_eq!(cpus("ads/batch"), Scalar::whole(7));
    assert_eq!(cpus("ads"), Scalar::whole(3));
    assert_eq!(cpus("adsx"), Scalar::whole(1));
    assert_eq!(cpus("*"), Scalar::whole(1));
    assert_eq!(total.reserved_to(&role("ads")).cpus(), Scalar::whole(2));
}

#[test]
fn allocation_is_injected_and_stripped() {
    let plain = bag("cpus:4;mem(ads):10");
    let given = plain.allocate(&role("ads"));
    assert_eq!(given.allocated_role(), Some(&role("ads")));
    assert_ne!(given, plain);
    assert!(!given.contains(&plain));
    assert_eq!(given.unallocated(), plain);
    let mixed = &given + &bag("cpus:1").allocate(&role("web"));
    assert_eq!(mixed.allocated_role(), None);
    assert_eq!(mixed.unallocated().cpus(), Scalar::whole(5));
    assert_eq!(plain.allocate_missing(&role("ads")), given);
    assert_eq!(mixed.allocate_missing(&role("x")), mixed);
}

#[test]
fn shared_volumes_count_holders_but_amount_once() {
    let once = Resources::from(volume("v", true, 10));
    let twice = &once + &once;
    assert_eq!(twice.len(), 1);
    assert_eq!(twice.iter().next().unwrap().copies(), 2);
    assert_eq!(twice.disk(), Scalar::whole(10));
    assert!(twice.contains(&once) && !once.contains(&twice));
    assert_eq!(&twice - &once, once);
    assert!((&once - &once).is_empty());
}

#[test]
fn volumes_are_taken_whole() {
    let small = Resources::from(volume("v", false, 10));
    let large = Resources::from(volume("v", false, 20));
    assert!(!large.contains(&small));
    assert_eq!(&large - &small, large);
    let both = &small + &small;
    assert_eq!(both.len(), 2, "unshared pieces are never merged");
    assert!(both.contains(&both) && !small.contains(&both));
}

#[test]
fn long_lists_are_read_in_time_and_bounded() {
    let many = |count: u32| -> Vec<_> {
        let pieces = (0..count).rev().map(|n| volume("v", false, n % 5_000 + 1));
        pieces
            .map(|item| item.to_proto(ReservationForm::Stack))
            .collect()
    };
    let ports = |n: u64| {
        let ranges = (0..50).map(|at| Range {
            begin: (n * 50 + at) * 2,
            end: (n * 50 + at) * 2,
        });
        Resource::ports(ranges.collect())
    };
    assert_eq!(
        Resources::from_iter((0..10_000).map(ports)).ports().count(),
        500_000
    );
    let bag = Resources::from_proto(&many(10_000)).unwrap();
    assert_eq!(bag.len(), 10_000);
    assert!(bag.contains(&bag));
    assert_eq!(
        Resources::from_proto(&many(10_001)),
        Err(ResourceError::TooManyItems(10_000))
    );
}

#[test]
fn parts_must_fit_each_other() {
    let disk = Some(Disk::default());
    assert_eq!(
        Resource::cpus(Scalar::whole(1)).with_disk(disk),
        Err(ResourceError::DiskInfoElsewhere)
    );
    assert_eq!(
        Resource::cpus(Scalar::whole(1)).with_shared(true),
        Err(ResourceError::SharedElsewhere)
    );
    assert_eq!(
        volume("v", false, 1).with_revocable(true),
        Err(ResourceError::RevocableReserved)
    );
    let plain = Resource::disk_space(Scalar::whole(1));
    let silent = plain.clone().with_disk(Some(Disk::default()));
    assert_eq!(silent, Ok(plain));
    let free = Disk {
        persistence: volume("v", false, 1).disk().unwrap().persistence.clone(),
        volume: volume("v", false, 1).disk().unwrap().volume.clone(),
        source: None,
    };
    assert_eq!(
        Resource::disk_space(Scalar::whole(1)).with_disk(Some(free)),
        Err(ResourceError::UnreservedVolume)
    );
}

#[test]
fn minimum_worth_offering() {
    assert!(bag("cpus:0.01").is_allocatable());
    assert!(bag("mem:32").is_allocatable());
    assert!(!bag("cpus:0.009;mem:31.999;disk:1000;ports:[1-9]").is_allocatable());
}

#[test]
fn json_of_a_flag() {
    let text = r#" [
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 4}},
        {"name": "mem", "type": "SCALAR", "scalar": {"value": 64.5}, "role": "*"},
        {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 9}]},
         "reservations": [{"type": "STATIC", "role": "web"}]},
        {"name": "disk", "type": "SCALAR", "scalar": {"value": 10}, "role": "web",
         "disk": {"source": {"type": "MOUNT", "mount": {"root": "/mnt/a"}}}},
        {"name": "set", "type": "SET", "set": {"item": ["b", "a"]}}
    ]"#;
    assert_eq!(
        parse(text, &role("ads")).unwrap().to_string(),
        "cpus(ads):4;disk(web)(disk: Mount /mnt/a):10;mem:64.5;ports(web):[1-9];set(ads):{a,b}"
    );
}

#[test]
fn bad_json_names_the_item() {
    let cases = [
        ("[", "not a JSON list of resources: EOF"),
        (r#"[{"name":"cpus"}]"#, "resource 'cpus': type must be set"),
        (
            r#"[{"type":"SCALAR"}]"#,
            "resource 'number 1': name must be set",
        ),
        (
            r#"[{"name":"cpus","type":"SCALAR"}]"#,
            "resource 'cpus': scalar must be set",
        ),
        (
            r#"[{"name":"cpus","type":"FOO"}]"#,
            "resource 'cpus': type has the unknown value FOO",
        ),
        (
            r#"[{"name":"cpus","kind":"SCALAR"}]"#,
            "not a JSON list of resources: unknown field `kind`",
        ),
        (
            r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":-1}}]"#,
            "resource 'cpus': -1 is negative",
        ),
        (
            r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":1},"revocable":{}}]"#,
            "resource 'cpus': revocable must not be set",
        ),
        (
            r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":1},
                "reservations":[{"type":"DYNAMIC","role":"ads"}]}]"#,
            "resource 'cpus': a reservation of type DYNAMIC must not be set",
        ),
        (
            r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":1},"role":"web",
                "reservations":[{"type":"STATIC","role":"ads"}]}]"#,
            "resource 'cpus': role 'web' disagrees with the reservations",
        ),
    ];
    for (text, message) in cases {
        let error = parse(text, &Role::DEFAULT).unwrap_err().to_string();
        assert!(error.starts_with(message), "{text}: {error}");
    }
}

#[test]
#[expect(deprecated, reason = "the old form is what is tested")]
fn old_frameworks_see_the_flat_form() {
    let plain = &bag("cpus:1").to_proto(ReservationForm::Flat)[0];
    assert_eq!(plain.role.as_deref(), Some("*"));
    assert!(plain.reservations.is_empty());
    let fixed = &bag("cpus(ads):1").to_proto(ReservationForm::Flat)[0];
    assert_eq!(fixed.role.as_deref(), Some("ads"));
    assert!(fixed.reservation.is_none());
    let dynamic = &Resources::from(volume("v", false, 1)).to_proto(ReservationForm::Flat)[0];
    let info = dynamic.reservation.as_ref().unwrap();
    assert_eq!(info.principal.as_deref(), Some("ops"));
    assert_eq!((info.role.as_ref(), info.r#type), (None, None));
    let stack = &bag("cpus(ads):1").to_proto(ReservationForm::Stack)[0];
    assert_eq!((stack.role.as_ref(), stack.reservations.len()), (None, 1));
}

#[test]
#[expect(deprecated, reason = "the old form is what is tested")]
fn messages_that_contradict_themselves_are_refused() {
    let good = bag("cpus(ads):1")
        .to_proto(ReservationForm::Stack)
        .remove(0);
    let refused = |change: &dyn Fn(&mut crate::proto::v1::Resource)| {
        let mut message = good.clone();
        change(&mut message);
        Resource::from_proto(&message).unwrap_err().to_string()
    };
    assert!(Resource::from_proto(&good).is_ok());
    let cases = [
        refused(&|message| message.role = Some("web".to_owned())),
        refused(&|message| message.r#type = 99),
        refused(&|message| message.scalar = None),
        refused(&|message| message.set = Some(Default::default())),
        refused(&|message| message.reservations[0].role = None),
        refused(&|message| message.reservations[0].r#type = Some(0)),
        refused(&|message| message.allocation_info = Some(Default::default())),
        refused(&|message| message.shared = Some(Default::default())),
        refused(&|message| message.disk = Some(Default::default())),
    ];
    for case in cases {
        assert!(case.starts_with("resource 'cpus': "), "{case}");
    }
    let mut both = good.clone();
    both.role = Some("ads".to_owned());
    assert!(
        Resource::from_proto(&both).is_ok(),
        "both forms, saying the same"
    );
}
