//! What would have to change: said with amounts and times, and true when it is tried.

use super::policy::{config, quota};
use super::standing::{deactivate, drain, reactivate};
use super::watch::{decline, named};
use super::*;
use crate::proto::v1::master::explanation::Group;

impl Bench {
    /// The groups of agents of a framework's first role.
    fn groups(&mut self, scheduler: &Scheduler) -> Vec<Group> {
        self.about(scheduler).roles.remove(0).groups
    }

    /// The only group.
    fn group(&mut self, scheduler: &Scheduler) -> Group {
        let mut groups = self.groups(scheduler);
        assert_eq!(groups.len(), 1, "{groups:?}");
        groups.remove(0)
    }
}

#[test]
fn a_limit_is_to_be_raised_by_what_the_agent_has_left() {
    let mut bench = Bench::new();
    bench.agent("a", "cpus:4");
    let limit = |cpus| quota(&[config("dev", 0.0, Some(cpus))], true);
    bench.operator_call(limit(1.0)).unwrap();
    let scheduler = bench.subscribe(framework("f"));
    assert_eq!(bench.offers(&scheduler).len(), 1);
    let group = bench.group(&scheduler);
    assert_eq!(group.reason, "quota_limit");
    assert!(group.message.contains("role dev is 1 cpus"), "{group:?}");
    let remedy = group.would_be_offered_if();
    assert!(
        remedy.contains("limit of role dev raised by 3 cpus"),
        "{remedy}"
    );
    bench.operator_call(limit(4.0)).unwrap();
    let offers = bench.offers(&scheduler);
    assert_eq!(offers[0].resources[0].scalar.unwrap().value, 3.0);
}

#[test]
fn a_guarantee_is_to_be_lowered_by_what_is_held_back() {
    let mut bench = Bench::new();
    bench.agent("a", "cpus:4");
    let guarantee = |cpus| quota(&[config("ops", cpus, None)], true);
    bench.operator_call(guarantee(3.0)).unwrap();
    let scheduler = bench.subscribe(framework("f"));
    assert_eq!(bench.offers(&scheduler).len(), 1);
    let group = bench.group(&scheduler);
    assert_eq!(group.reason, "headroom_held");
    let remedy = group.would_be_offered_if();
    assert!(
        remedy.contains("guarantee of role ops lowered by 3 cpus"),
        "{remedy}"
    );
    bench.operator_call(guarantee(0.0)).unwrap();
    assert_eq!(bench.offers(&scheduler).len(), 1);
}

#[test]
fn what_is_missing_to_the_smallest_offer_is_named() {
    let mut bench = Bench::new();
    bench.agent("a", "cpus:0.004;mem:1");
    let scheduler = bench.subscribe(framework("f"));
    let group = bench.group(&scheduler);
    assert_eq!(group.reason, "below_minimum");
    assert!(group.message.ends_with("0.01 cpus or 32 mem"), "{group:?}");
    let remedy = group.would_be_offered_if();
    assert_eq!(remedy, "0.006 cpus or 31 mem more are freed there");
}

/// Disk is left, and that alone is no offer: the reservations are what is in the way.
#[test]
fn reservations_beside_too_little_are_named() {
    let mut bench = Bench::new();
    bench.agent("a", "cpus(ops):4;mem(ops):64;disk:100");
    let scheduler = bench.subscribe(framework("f"));
    let group = bench.group(&scheduler);
    assert_eq!(group.reason, "below_minimum");
    let (message, remedy) = (&group.message, group.would_be_offered_if());
    assert!(
        message.ends_with("; the rest is reserved to role ops"),
        "{message}"
    );
    assert!(
        remedy.ends_with(", or what is reserved to ops is unreserved"),
        "{remedy}"
    );
}

#[test]
fn an_offer_that_others_hold_ends_with_its_timeout() {
    let mut config = MasterConfig::new("m");
    config.offer_timeout = Some(Duration::from_secs(30));
    let mut bench = Bench::with(config, Registry::default());
    bench.agent("a", "cpus:4;mem:64");
    let holder = bench.subscribe(named("holder", "a"));
    assert_eq!(bench.offers(&holder).len(), 1);
    let scheduler = bench.subscribe(named("f", "b"));
    bench.advance(Duration::from_secs(10));
    let group = bench.group(&scheduler);
    assert_eq!(group.reason, "outranked");
    let remedy = group.would_be_offered_if();
    let (who, when) = remedy.split_once(" by --offer_timeout in ").unwrap();
    assert_eq!(who, "holder returns its offer, or it is rescinded");
    assert!(
        when.starts_with("19.") || when.starts_with("20.0"),
        "{remedy}"
    );
}

#[test]
fn roles_that_have_reservations_are_named() {
    let mut bench = Bench::new();
    bench.agent("a", "cpus(ops):4;mem(qa):64");
    let scheduler = bench.subscribe(framework("f"));
    let group = bench.group(&scheduler);
    assert_eq!(group.reason, "reserved_elsewhere");
    assert!(
        group.message.ends_with("reserved to roles ops, qa"),
        "{group:?}"
    );
}

#[test]
fn agents_that_operators_took_out_are_told_apart() {
    let mut bench = Bench::new();
    let drained = bench.agent("drained", "cpus:4");
    let deactivated = bench.agent("deactivated", "cpus:4");
    let lost = bench.agent("lost", "cpus:4");
    bench.operator_call(drain(&drained, false)).unwrap();
    bench.operator_call(deactivate(&deactivated)).unwrap();
    bench.disconnect_agent(&lost);
    let scheduler = bench.subscribe(framework("f"));
    let groups = bench.groups(&scheduler);
    let words: BTreeMap<&str, &str> = groups
        .iter()
        .map(|group| (group.reason.as_str(), group.agents[0].hostname.as_str()))
        .collect();
    let expected = [
        ("draining", "drained"),
        ("deactivated", "deactivated"),
        ("agent_inactive", "lost"),
    ];
    assert_eq!(words, expected.into());
    for agent in [&drained, &deactivated] {
        bench.operator_call(reactivate(agent)).unwrap();
    }
    assert_eq!(bench.offers(&scheduler).len(), 2);
}

#[test]
fn a_filter_is_told_with_its_end_and_a_suppression_with_its_remedy() {
    let mut bench = Bench::new();
    bench.agent("a", "cpus:4");
    let scheduler = bench.subscribe(named("f", "dev"));
    let offers = bench.offers(&scheduler);
    bench.call(&scheduler, decline(&offers, 5.0)).unwrap();
    bench.advance(Duration::from_millis(1800));
    let explained = bench.about(&scheduler);
    let role = &explained.roles[0];
    assert_eq!(role.groups[0].reason, "filtered");
    let remedy = role.groups[0].would_be_offered_if();
    let offer = &offers[0].id;
    let expected = format!(
        "filter of offer {} expires in 3.2 s, or REVIVE of role dev",
        offer.value
    );
    assert_eq!(remedy, expected);
    let returned = &role.groups[0].agents[0].returned_offer_id;
    assert_eq!(returned.as_ref(), Some(offer));
    let demand = role.demand.as_ref().unwrap();
    assert_eq!((demand.order.as_str(), demand.due_on), ("demand", 1));
    bench.advance(Duration::from_millis(3300));
    assert_eq!(bench.offers(&scheduler).len(), 1);
    let suppress = SchedulerCall::Suppress { roles: vec![] };
    bench.call(&scheduler, suppress).unwrap();
    let offers: Vec<_> = bench.snapshot().offers.keys().cloned().collect();
    assert_eq!(offers.len(), 1);
    let group = bench.group(&scheduler);
    assert_eq!(group.reason, "suppressed");
    assert_eq!(group.would_be_offered_if(), "REVIVE of role dev");
}
