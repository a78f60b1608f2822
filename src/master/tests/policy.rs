//! Weights and quota: checked, stored, then in force.

use super::*;
use crate::master::call::CallErrorKind;
use crate::quota::from_configs;
use crate::resources::Scalar;
use crate::roles::Weight;

fn role(text: &str) -> Role {
    Role::parse(text).unwrap()
}

fn weigh(list: &[(&str, f64)]) -> OperatorCall {
    let weights = list.iter();
    OperatorCall::UpdateWeights {
        weights: weights
            .map(|(name, weight)| (role(name), Weight::new(*weight).unwrap()))
            .collect(),
    }
}

pub(super) fn config(name: &str, guarantee: f64, limit: Option<f64>) -> v1::quota::QuotaConfig {
    let cpus = |value| ("cpus".to_owned(), v1::value::Scalar { value });
    v1::quota::QuotaConfig {
        role: name.to_owned(),
        guarantees: (guarantee > 0.0)
            .then(|| cpus(guarantee))
            .into_iter()
            .collect(),
        limits: limit.map(cpus).into_iter().collect(),
    }
}

pub(super) fn quota(configs: &[v1::quota::QuotaConfig], force: bool) -> OperatorCall {
    OperatorCall::UpdateQuota {
        quotas: from_configs(configs).unwrap(),
        force,
    }
}

fn refused(result: Result<Reply, CallError>) -> (CallErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind, error.message)
}

#[test]
fn weights_are_stored_and_outlive_the_master() {
    let mut config = MasterConfig::new("m");
    config.weights = [(role("dev"), Weight::new(3.0).unwrap())].into();
    let mut bench = Bench::with(config.clone(), Registry::default());
    assert_eq!(bench.snapshot().weights[&role("dev")].as_f64(), 3.0);
    bench.operator_call(weigh(&[("ops", 2.5)])).unwrap();
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.weights[&role("ops")].as_f64(), 2.5);
    assert_eq!(
        bench.registry.weights.len(),
        2,
        "the initial ones do not vanish with the next master"
    );
    config.weights = [(role("dev"), Weight::new(9.0).unwrap())].into();
    let later = Bench::with(config, bench.registry.clone());
    assert_eq!(
        later.snapshot().weights,
        snapshot.weights,
        "the registry wins"
    );
}

#[test]
fn a_weight_of_a_role_in_use_takes_all_offers_back() {
    let mut bench = Bench::new();
    bench.agent("a", "cpus:4;mem:1024");
    let scheduler = bench.subscribe(framework("f"));
    assert_eq!(bench.offers(&scheduler).len(), 1);
    bench.operator_call(weigh(&[("elsewhere", 2.0)])).unwrap();
    assert!(bench.events(scheduler.connection).is_empty());
    bench.operator_call(weigh(&[("dev", 2.0)])).unwrap();
    let events = bench.events(scheduler.connection);
    assert!(events[0].rescind.is_some(), "{events:?}");
    assert_eq!(bench.offers(&scheduler).len(), 1, "and offers anew");
}

#[test]
fn nothing_is_answered_before_it_is_stored_and_decisions_wait_for_each_other() {
    let mut bench = Bench::new();
    bench.agent("a", "cpus:4;mem:1024");
    bench.answers = false;
    let first = RequestId(bench.number());
    let second = RequestId(bench.number());
    for (request, name) in [(first, "a"), (second, "b")] {
        let call = quota(&[config(name, 3.0, None)], false);
        bench.step(Event::OperatorCall { request, call });
    }
    assert_eq!(bench.unanswered.len(), 1, "one at a time");
    assert!(bench.replies.is_empty() && bench.snapshot().quotas.is_empty());
    bench.answers = true;
    bench.answer_all();
    assert!(bench.replies.remove(&first).unwrap().is_ok());
    let (kind, message) = refused(bench.replies.remove(&second).unwrap());
    assert_eq!(kind, CallErrorKind::Invalid);
    assert!(message.contains("guarantee 6 cpus"), "{message}");
    assert_eq!(bench.snapshot().quotas.len(), 1);
}

#[test]
fn quota_is_checked_against_the_cluster_unless_it_is_forced() {
    let mut bench = Bench::new();
    let (_, _) = bench.running(framework("f"));
    let too_much = [config("ops", 5.0, None)];
    let (kind, message) = refused(bench.operator_call(quota(&too_much, false)));
    assert_eq!(kind, CallErrorKind::Invalid);
    assert!(message.contains("the cluster has 4"), "{message}");
    bench.operator_call(quota(&too_much, true)).unwrap();
    let too_little = [config("ops", 0.0, None), config("dev", 0.0, Some(0.5))];
    let (_, message) = refused(bench.operator_call(quota(&too_little, false)));
    assert!(
        message.contains("role 'dev'") && message.contains("1 are consumed"),
        "{message}"
    );
    assert_eq!(bench.snapshot().quotas.len(), 1, "all or nothing");
    bench.operator_call(quota(&too_little, true)).unwrap();
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.quotas.keys().collect::<Vec<_>>(), [&role("dev")]);
    let consumed = &snapshot.quota_consumption()[&role("dev")];
    assert_eq!(
        consumed.get(&crate::resources::ResourceName::CPUS),
        Scalar::whole(1)
    );
}

#[test]
fn the_older_calls_set_quota_once_and_remove_what_is_there() {
    let mut bench = Bench::new();
    bench.agent("a", "cpus:4;mem:1024");
    let set = |name: &str, cpus: f64| {
        let quotas = from_configs(&[config(name, cpus, Some(cpus))]).unwrap();
        let (role, quota) = quotas.into_iter().next().unwrap();
        OperatorCall::SetQuota {
            role,
            quota,
            force: false,
        }
    };
    let remove = || OperatorCall::RemoveQuota { role: role("a") };
    let (kind, message) = refused(bench.operator_call(remove()));
    assert_eq!(
        (kind, &*message),
        (
            CallErrorKind::Invalid,
            "role 'a' has no quota; GET_QUOTA lists the roles that have"
        )
    );
    assert_eq!(
        refused(bench.operator_call(set("a", 9.0))).0,
        CallErrorKind::Conflict
    );
    bench.operator_call(set("a", 3.0)).unwrap();
    assert_eq!(
        refused(bench.operator_call(set("a", 2.0))).0,
        CallErrorKind::Invalid
    );
    assert_eq!(bench.registry.quotas.len(), 1);
    bench.operator_call(remove()).unwrap();
    assert!(bench.registry.quotas.is_empty() && bench.snapshot().quotas.is_empty());
}

#[test]
fn offers_make_room_for_limits_and_guarantees() {
    let mut bench = Bench::new();
    bench.agent("a", "cpus:4;mem:1024");
    bench.agent("b", "cpus:4;mem:1024");
    let holder = bench.subscribe(framework("f"));
    assert_eq!(bench.offers(&holder).len(), 2);
    bench
        .operator_call(quota(&[config("ops", 3.0, None)], false))
        .unwrap();
    let events = bench.events(holder.connection);
    let taken = events
        .iter()
        .filter(|event| event.rescind.is_some())
        .count();
    assert_eq!(taken, 1, "as many as are needed: {events:?}");
    bench
        .operator_call(quota(&[config("dev", 0.0, Some(0.0))], false))
        .unwrap();
    assert!(
        bench
            .snapshot()
            .offers
            .values()
            .all(|offer| offer.role != role("dev")),
        "nothing may stay that passes the limit"
    );
}

#[test]
fn with_quota_offers_wait_for_most_agents_after_a_change_of_master() {
    let mut bench = Bench::new();
    let mut agents: Vec<_> = (0..5)
        .map(|number| bench.agent(&format!("host{number}"), "cpus:4;mem:1024"))
        .collect();
    bench
        .operator_call(quota(&[config("ops", 1.0, None)], false))
        .unwrap();
    let registry = bench.registry.clone();
    let mut bench = Bench::with(MasterConfig::new("n"), registry.clone());
    let scheduler = bench.subscribe(framework("f"));
    for agent in &mut agents[..3] {
        bench.return_agent(agent, Vec::new(), Vec::new());
    }
    bench.advance(Duration::from_secs(60));
    assert!(bench.offers(&scheduler).is_empty());
    bench.return_agent(&mut agents[3], Vec::new(), Vec::new());
    assert!(
        !bench.offers(&scheduler).is_empty(),
        "four of five are enough"
    );

    let mut bench = Bench::with(MasterConfig::new("n"), registry);
    let scheduler = bench.subscribe(framework("f"));
    bench.advance(Duration::from_secs(590));
    bench.return_agent(&mut agents[0], Vec::new(), Vec::new());
    bench.advance(Duration::from_secs(9));
    assert!(bench.offers(&scheduler).is_empty());
    bench.advance(Duration::from_secs(2));
    assert!(
        !bench.offers(&scheduler).is_empty(),
        "it does not last for ever"
    );
}
