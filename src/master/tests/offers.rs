//! Offers: who gets them, how they end.

use super::*;

fn decline(offers: &[v1::Offer], refuse_seconds: f64) -> SchedulerCall {
    SchedulerCall::Decline(call::Decline {
        offer_ids: offers.iter().map(|offer| offer.id.clone()).collect(),
        filters: Some(v1::Filters {
            refuse_seconds: Some(refuse_seconds),
        }),
    })
}

#[test]
fn an_offer_shows_all_of_the_agent() {
    let mut bench = Bench::new();
    let agent = bench.agent("a", "cpus:4;mem:1024;ports:[31000-32000]");
    let scheduler = bench.subscribe(framework("f"));
    let offers = bench.offers(&scheduler);
    assert_eq!(offers.len(), 1);
    let offer = &offers[0];
    assert_eq!(offer.id.value, "m-O0");
    assert_eq!(offer.agent_id, agent.id);
    assert_eq!(offer.framework_id, (&scheduler.id).into());
    assert_eq!(offer.hostname, "a");
    assert_eq!(offer.resources.len(), 3);
    assert_eq!(offer.allocation_info.as_ref().unwrap().role(), "dev");
    assert!(bench.offers(&scheduler).is_empty(), "there is nothing more");
}

#[test]
#[expect(deprecated, reason = "what such frameworks use")]
fn an_offer_names_no_role_to_a_framework_that_has_but_one() {
    for capability in [None, Some(Capability::ReservationRefinement)] {
        let mut bench = Bench::new();
        bench.agent("a", "cpus:4;mem:1024;ports:[31000-32000]");
        let mut info = framework("f");
        info.roles.clear();
        info.role = Some("dev".to_owned());
        info.capabilities = capability
            .map(|kind| v1::framework_info::Capability {
                r#type: Some(kind.into()),
            })
            .into_iter()
            .collect();
        let scheduler = bench.subscribe(info);
        let offers = bench.offers(&scheduler);
        assert_eq!(offers[0].allocation_info, None);
        assert_eq!(offers[0].resources.len(), 3);
        for resource in &offers[0].resources {
            assert_eq!(resource.allocation_info, None, "{capability:?}");
            let flat = resource.role.as_deref() == Some("*");
            assert_eq!(flat, capability.is_none(), "{resource:?}");
        }
        bench.call(&scheduler, decline(&offers, 0.0)).unwrap();
    }
}

#[test]
fn a_declined_offer_goes_to_others_and_comes_back_after_its_filter() {
    let mut bench = Bench::new();
    bench.agent("a", "cpus:4;mem:1024");
    let first = bench.subscribe(framework("first"));
    let offers = bench.offers(&first);
    let second = bench.subscribe(framework("second"));
    bench.call(&first, decline(&offers, 30.0)).unwrap();
    let moved = bench.offers(&second);
    assert_eq!(moved.len(), 1);
    bench.call(&second, decline(&moved, 1000.0)).unwrap();
    bench.advance(Duration::from_secs(20));
    assert!(bench.offers(&first).is_empty());
    bench.advance(Duration::from_secs(15));
    assert_eq!(bench.offers(&first).len(), 1);
    assert_eq!(bench.snapshot().metrics.offers_declined, 2);
}

#[test]
fn a_refusal_outlasts_the_agents_broken_link() {
    let mut bench = Bench::new();
    let mut agent = bench.agent("a", "cpus:4;mem:1024");
    let scheduler = bench.subscribe(framework("f"));
    let offers = bench.offers(&scheduler);
    bench.call(&scheduler, decline(&offers, 40.0)).unwrap();
    bench.disconnect_agent(&agent);
    bench.return_agent(&mut agent, Vec::new(), Vec::new());
    bench.advance(Duration::from_secs(20));
    assert!(bench.offers(&scheduler).is_empty());
    bench.advance(Duration::from_secs(25));
    assert_eq!(bench.offers(&scheduler).len(), 1);
}

#[test]
fn declining_what_is_not_there_does_nothing() {
    let mut bench = Bench::new();
    bench.agent("a", "cpus:4;mem:1024");
    let first = bench.subscribe(framework("first"));
    let offers = bench.offers(&first);
    let second = bench.subscribe(framework("second"));
    bench.call(&second, decline(&offers, 1.0)).unwrap();
    assert_eq!(bench.snapshot().offers.len(), 1);
}

#[test]
fn suppress_and_revive() {
    let mut bench = Bench::new();
    let scheduler = bench.subscribe(framework("f"));
    let roles = vec!["dev".to_owned()];
    bench
        .call(
            &scheduler,
            SchedulerCall::Suppress {
                roles: roles.clone(),
            },
        )
        .unwrap();
    bench.agent("a", "cpus:4;mem:1024");
    assert!(bench.offers(&scheduler).is_empty());
    bench
        .call(&scheduler, SchedulerCall::Revive { roles: vec![] })
        .unwrap();
    let offers = bench.offers(&scheduler);
    assert_eq!(offers.len(), 1);
    bench.call(&scheduler, decline(&offers, 3600.0)).unwrap();
    assert!(bench.offers(&scheduler).is_empty());
    bench
        .call(&scheduler, SchedulerCall::Revive { roles })
        .unwrap();
    assert_eq!(bench.offers(&scheduler).len(), 1, "revive clears filters");
    let foreign = vec!["prod".to_owned()];
    for call in [
        SchedulerCall::Revive {
            roles: foreign.clone(),
        },
        SchedulerCall::Suppress { roles: foreign },
    ] {
        let error = bench.call(&scheduler, call).unwrap_err();
        assert!(error.message.contains("prod"), "{error}");
    }
}

#[test]
fn an_offer_times_out_where_asked_for() {
    let mut config = MasterConfig::new("m");
    config.offer_timeout = Some(Duration::from_secs(30));
    let mut bench = Bench::with(config, Registry::default());
    bench.agent("a", "cpus:4;mem:1024");
    let scheduler = bench.subscribe(framework("f"));
    let offers = bench.offers(&scheduler);
    bench.advance(Duration::from_secs(31));
    let events = bench.events(scheduler.connection);
    let rescinded = events.iter().find_map(|event| event.rescind.as_ref());
    assert_eq!(rescinded.unwrap().offer_id, offers[0].id);
    assert!(
        events.iter().any(|event| event.offers.is_some()),
        "offered again"
    );
}

#[test]
fn a_shrunken_agent_takes_its_offers_back() {
    let mut bench = Bench::new();
    let agent = bench.agent("a", "cpus:4;mem:1024");
    let scheduler = bench.subscribe(framework("f"));
    assert_eq!(bench.offers(&scheduler).len(), 1);
    let total = resources("cpus:2;mem:512");
    let changed = link::ResourcesChanged {
        total,
        ..link::ResourcesChanged::default()
    };
    bench.say(agent.connection, FromAgent::ResourcesChanged(changed));
    assert!(bench.snapshot().offers.is_empty());
    let offers = bench.offers(&scheduler);
    assert_eq!(offers[0].resources[0].scalar.unwrap().value, 2.0);
}

/// Constraints that want agents of this host name, for the role of the tests' frameworks.
fn wants_host(hostname: &str) -> scheduler::OfferConstraints {
    use scheduler::attribute_constraint::predicate::{Predicate, TextEquals};
    use scheduler::attribute_constraint::selector::{PseudoattributeType, Selector};
    use scheduler::offer_constraints::{RoleConstraints, role_constraints::Group};

    let value = hostname.to_owned();
    let constraint = scheduler::AttributeConstraint {
        selector: scheduler::attribute_constraint::Selector {
            selector: Some(Selector::PseudoattributeType(
                PseudoattributeType::Hostname.into(),
            )),
        },
        predicate: scheduler::attribute_constraint::Predicate {
            predicate: Some(Predicate::TextEquals(TextEquals { value })),
        },
    };
    let group = Group {
        attribute_constraints: vec![constraint],
    };
    let constraints = RoleConstraints {
        groups: vec![group],
    };
    scheduler::OfferConstraints {
        role_constraints: [("dev".to_owned(), constraints)].into(),
    }
}

#[test]
fn offer_constraints_come_with_subscribe_and_change_with_update_framework() {
    let mut bench = Bench::new();
    bench.agent("a", "cpus:4;mem:1024");
    bench.agent("b", "cpus:4;mem:1024");
    let connection = bench.connection();
    bench.step(Event::SchedulerSubscribed {
        connection,
        framework: Box::new(framework("f")),
        suppressed_roles: Vec::new(),
        offer_constraints: Some(Box::new(wants_host("b"))),
        principal: None,
    });
    let events = bench.events(connection);
    let subscribed = events[0].subscribed.as_ref().unwrap();
    let scheduler = Scheduler {
        id: FrameworkId::new(&*subscribed.framework_id.value),
        connection,
    };
    let hosts = |offers: Vec<v1::Offer>| -> Vec<String> {
        offers.into_iter().map(|offer| offer.hostname).collect()
    };
    let mut offers = bench.offers(&scheduler);
    let early = events.into_iter().filter_map(|event| event.offers);
    offers.extend(early.flat_map(|event| event.offers));
    assert_eq!(hosts(offers), ["b"]);

    let mut info = framework("f");
    info.id = Some((&scheduler.id).into());
    let update = |constraints: Option<scheduler::OfferConstraints>| {
        SchedulerCall::UpdateFramework(Box::new(call::UpdateFramework {
            framework_info: info.clone(),
            offer_constraints: constraints,
            ..call::UpdateFramework::default()
        }))
    };
    let mut foreign = wants_host("b");
    let constraints = foreign.role_constraints.remove("dev").unwrap();
    foreign
        .role_constraints
        .insert("ops".to_owned(), constraints);
    let refused = bench.call(&scheduler, update(Some(foreign))).unwrap_err();
    assert!(
        refused.message.contains("not subscribed to role 'ops'"),
        "{refused:?}"
    );
    assert!(bench.offers(&scheduler).is_empty());
    bench.call(&scheduler, update(None)).unwrap();
    assert_eq!(hosts(bench.offers(&scheduler)), ["a"]);
}
