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
    let changed = link::ResourcesChanged { total };
    bench.say(agent.connection, FromAgent::ResourcesChanged(changed));
    assert!(bench.snapshot().offers.is_empty());
    let offers = bench.offers(&scheduler);
    assert_eq!(offers[0].resources[0].scalar.unwrap().value, 2.0);
}
