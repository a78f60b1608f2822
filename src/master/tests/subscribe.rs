//! SUBSCRIBE and calls: who is let in.

use super::*;
use crate::master::call::CallErrorKind;

fn error_of(bench: &mut Bench, info: v1::FrameworkInfo) -> String {
    let connection = bench.connection();
    bench.subscribe_on(connection, info);
    let events = bench.events(connection);
    assert!(bench.closed.contains(&connection), "the stream ends");
    assert_eq!(events.len(), 1, "{events:?}");
    events[0].error.as_ref().unwrap().message.clone()
}

#[test]
fn ids_are_minted_in_order() {
    let mut bench = Bench::new();
    let first = bench.subscribe(framework("f"));
    let second = bench.subscribe(framework("f"));
    assert_eq!(first.id.as_str(), "m-0000");
    assert_eq!(second.id.as_str(), "m-0001");
}

#[test]
fn subscribed_names_no_capability_that_old_decoders_refuse() {
    use v1::master_info::{Capability, capability::Type};
    let all = [Type::AgentUpdate, Type::AgentDraining, Type::QuotaV2];
    let mut config = MasterConfig::new("m");
    config.info.capabilities = all
        .map(|kind| Capability {
            r#type: Some(kind.into()),
        })
        .into();
    let mut bench = Bench::with(config, Registry::default());
    let connection = bench.connection();
    bench.subscribe_on(connection, framework("f"));
    let events = bench.events(connection);
    let told = events[0].subscribed.as_ref().unwrap().master_info.as_ref();
    let told = told.unwrap().capabilities.iter().map(Capability::r#type);
    assert_eq!(told.collect::<Vec<_>>(), [Type::AgentUpdate]);
    assert_eq!(bench.snapshot().master.capabilities.len(), all.len());
}

#[test]
fn an_unknown_id_is_taken_as_it_is() {
    let mut bench = Bench::new();
    let mut info = framework("f");
    info.id = Some("old-0007".into());
    assert_eq!(bench.subscribe(info).id.as_str(), "old-0007");
}

#[test]
fn a_bad_description_is_refused_with_one_line() {
    let mut bench = Bench::new();
    let mut info = framework("f");
    info.roles = vec!["/dev".to_owned()];
    let message = error_of(&mut bench, info);
    assert!(
        message.contains("roles") && message.contains("/dev"),
        "{message}"
    );
    assert!(!message.contains('\n'));
    let mut info = framework("f");
    info.id = Some("a/b".into());
    assert!(error_of(&mut bench, info).contains("id"));
    assert!(bench.snapshot().frameworks.is_empty());
}

#[test]
fn a_principal_must_be_the_authenticated_one() {
    let mut bench = Bench::new();
    let mut info = framework("f");
    info.principal = Some("alice".to_owned());
    for (principal, welcome) in [(Some("alice"), true), (Some("bob"), false), (None, true)] {
        let connection = bench.connection();
        bench.step(Event::SchedulerSubscribed {
            connection,
            framework: Box::new(info.clone()),
            suppressed_roles: Vec::new(),
            offer_constraints: None,
            principal: principal.map(str::to_owned),
        });
        let events = bench.events(connection);
        assert_eq!(events[0].subscribed.is_some(), welcome, "{principal:?}");
    }
}

#[test]
fn calls_need_the_current_stream() {
    let mut bench = Bench::new();
    let scheduler = bench.subscribe(framework("f"));
    let stranger = Scheduler {
        id: FrameworkId::new("m-0099"),
        connection: scheduler.connection,
    };
    let error = bench.call(&stranger, SchedulerCall::Request).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Invalid);
    let stale = Scheduler {
        id: scheduler.id.clone(),
        connection: ConnectionId(9999),
    };
    let error = bench.call(&stale, SchedulerCall::Request).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Invalid);
    assert!(bench.call(&scheduler, SchedulerCall::Request).is_ok());
    bench.disconnect(&scheduler);
    let error = bench.call(&scheduler, SchedulerCall::Request).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Forbidden);
}

#[test]
fn root_is_refused_where_that_is_switched_off() {
    let mut config = MasterConfig::new("m");
    config.root_submissions = false;
    let mut bench = Bench::with(config, Registry::default());
    let mut info = framework("f");
    info.user = "root".to_owned();
    assert!(error_of(&mut bench, info).contains("root"));
}

#[test]
fn a_draining_master_lets_everybody_go() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    bench.step(Event::Shutdown);
    assert!(bench.closed.contains(&scheduler.connection));
    assert!(bench.closed.contains(&agent.connection));
    assert!(error_of(&mut bench, framework("late")).contains("shutting down"));
}

#[test]
fn update_framework_changes_roles_but_not_the_user() {
    let mut bench = Bench::new();
    bench.agent("a", "cpus:4;mem:1024");
    let scheduler = bench.subscribe(framework("f"));
    assert_eq!(bench.offers(&scheduler).len(), 1);
    let mut info = framework("f");
    info.id = Some((&scheduler.id).into());
    info.roles = vec!["prod".to_owned()];
    let update = |info: v1::FrameworkInfo| {
        SchedulerCall::UpdateFramework(Box::new(call::UpdateFramework {
            framework_info: info,
            ..call::UpdateFramework::default()
        }))
    };
    bench.call(&scheduler, update(info.clone())).unwrap();
    let events = bench.events(scheduler.connection);
    assert!(
        events.iter().any(|event| event.rescind.is_some()),
        "offers of a lost role end"
    );
    let offers = bench.offers(&scheduler);
    assert_eq!(offers[0].allocation_info.as_ref().unwrap().role(), "prod");
    info.user = "somebody".to_owned();
    let error = bench.call(&scheduler, update(info)).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Conflict);
}
