//! Maintenance: schedules, unavailability in offers, inverse offers, machines that are down.

use super::*;
use crate::proto::v1::scheduler::call::{AcceptInverseOffers, DeclineInverseOffers};
use crate::registry::{MachineId, Maintenance};

fn machine(host: &str) -> v1::MachineId {
    v1::MachineId {
        hostname: Some(host.to_owned()),
        ip: None,
    }
}

fn schedule(hosts: &[&str], start: i64) -> OperatorCall {
    let window = v1::maintenance::Window {
        machine_ids: hosts.iter().map(|host| machine(host)).collect(),
        unavailability: v1::Unavailability {
            start: v1::TimeInfo { nanoseconds: start },
            duration: None,
        },
    };
    let windows = if hosts.is_empty() {
        vec![]
    } else {
        vec![window]
    };
    OperatorCall::UpdateMaintenanceSchedule {
        windows: Maintenance::read_schedule(&v1::maintenance::Schedule { windows }).unwrap(),
    }
}

fn machines(host: &str) -> Vec<MachineId> {
    Maintenance::read_machines(&[machine(host)]).unwrap()
}

fn start(host: &str) -> OperatorCall {
    OperatorCall::StartMaintenance {
        machines: machines(host),
    }
}

fn stop(host: &str) -> OperatorCall {
    OperatorCall::StopMaintenance {
        machines: machines(host),
    }
}

fn inverse_offers(bench: &mut Bench, scheduler: &Scheduler) -> Vec<v1::InverseOffer> {
    bench.settle();
    let events = bench.events(scheduler.connection);
    let offers = events.into_iter().filter_map(|event| event.inverse_offers);
    offers.flat_map(|offers| offers.inverse_offers).collect()
}

#[test]
fn offers_of_scheduled_machines_come_again_with_their_unavailability() {
    let mut bench = Bench::new();
    bench.agent("a", "cpus:4;mem:1024");
    let scheduler = bench.subscribe(framework("f"));
    assert_eq!(bench.offers(&scheduler)[0].unavailability, None);
    bench.operator_call(schedule(&["A"], 7)).unwrap();
    assert!(bench.events(scheduler.connection)[0].rescind.is_some());
    let offers = bench.offers(&scheduler);
    assert_eq!(offers[0].unavailability.unwrap().start.nanoseconds, 7);
    bench.operator_call(schedule(&["a"], 7)).unwrap();
    let events = bench.events(scheduler.connection);
    assert!(
        events.iter().all(|event| event.rescind.is_none()),
        "nothing has changed"
    );
    bench.operator_call(schedule(&[], 7)).unwrap();
    assert_eq!(bench.offers(&scheduler)[0].unavailability, None);
    assert_eq!(*bench.registry.maintenance, Maintenance::default());
}

#[test]
fn frameworks_are_asked_to_leave_and_their_answers_are_shown() {
    let mut bench = Bench::new();
    let (scheduler, _) = bench.running(framework("f"));
    bench.operator_call(schedule(&["a"], 7)).unwrap();
    let asked = inverse_offers(&mut bench, &scheduler);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].unavailability.start.nanoseconds, 7);
    bench.advance(Duration::from_secs(5));
    assert!(
        inverse_offers(&mut bench, &scheduler).is_empty(),
        "one at a time"
    );
    let snapshot = bench.snapshot();
    let shown = snapshot.framework_to_proto(&snapshot.frameworks[&scheduler.id]);
    assert_eq!(shown.inverse_offers, asked);

    let decline = DeclineInverseOffers {
        inverse_offer_ids: vec![asked[0].id.clone()],
        filters: Some(v1::Filters {
            refuse_seconds: Some(30.0),
        }),
    };
    bench
        .call(&scheduler, SchedulerCall::DeclineInverseOffers(decline))
        .unwrap();
    let status = bench.snapshot().maintenance_status();
    let machine = &status.draining_machines[0];
    assert_eq!(machine.id.hostname(), "a");
    assert_eq!(machine.statuses[0].status().as_str_name(), "DECLINE");
    bench.advance(Duration::from_secs(28));
    assert!(inverse_offers(&mut bench, &scheduler).is_empty());
    bench.advance(Duration::from_secs(4));
    let asked = inverse_offers(&mut bench, &scheduler);
    assert_eq!(asked.len(), 1, "asked again when the filter has ended");
    let accept = AcceptInverseOffers {
        inverse_offer_ids: vec![asked[0].id.clone(), "unknown".into()],
        filters: None,
    };
    bench
        .call(&scheduler, SchedulerCall::AcceptInverseOffers(accept))
        .unwrap();
    let status = bench.snapshot().maintenance_status();
    let statuses = &status.draining_machines[0].statuses;
    assert_eq!(statuses.len(), 1);
    assert_eq!(statuses[0].status().as_str_name(), "ACCEPT");
}

#[test]
fn an_inverse_offer_ends_with_its_reason() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    bench.operator_call(schedule(&["a"], 7)).unwrap();
    let asked = inverse_offers(&mut bench, &scheduler);
    bench.operator_call(schedule(&["a"], 8)).unwrap();
    let events = bench.events(scheduler.connection);
    let rescinded = events
        .iter()
        .find_map(|event| event.rescind_inverse_offer.as_ref());
    assert_eq!(rescinded.unwrap().inverse_offer_id, asked[0].id);
    assert_eq!(inverse_offers(&mut bench, &scheduler).len(), 1);
    bench.say(agent.connection, FromAgent::Unregister(link::Unregister {}));
    let events = bench.events(scheduler.connection);
    assert!(
        events
            .iter()
            .any(|event| event.rescind_inverse_offer.is_some()),
        "{events:?}"
    );
    assert!(bench.snapshot().inverse_offers.is_empty());
}

#[test]
fn an_inverse_offer_ends_with_its_scheduler() {
    let mut bench = Bench::new();
    let (scheduler, _) = bench.running(framework("f"));
    bench.operator_call(schedule(&["a"], 7)).unwrap();
    assert_eq!(inverse_offers(&mut bench, &scheduler).len(), 1);
    bench.disconnect(&scheduler);
    assert!(bench.snapshot().inverse_offers.is_empty());
    let mut info = framework("f");
    info.id = Some((&scheduler.id).into());
    let scheduler = bench.subscribe(info);
    bench.advance(Duration::from_secs(2));
    assert_eq!(inverse_offers(&mut bench, &scheduler).len(), 1);
}

#[test]
fn an_inverse_offer_lives_as_long_as_an_offer() {
    let mut config = MasterConfig::new("m");
    config.offer_timeout = Some(Duration::from_secs(30));
    let mut bench = Bench::with(config, Registry::default());
    let (scheduler, _) = bench.running(framework("f"));
    bench.operator_call(schedule(&["a"], 7)).unwrap();
    assert_eq!(inverse_offers(&mut bench, &scheduler).len(), 1);
    bench.advance(Duration::from_secs(31));
    let events = bench.events(scheduler.connection);
    assert!(
        events
            .iter()
            .any(|event| event.rescind_inverse_offer.is_some())
    );
}

#[test]
fn agents_of_machines_that_are_down_end_and_are_turned_away() {
    let mut bench = Bench::new();
    let (scheduler, mut agent) = bench.running(framework("f"));
    let refused = bench.operator_call(start("a")).unwrap_err();
    assert!(
        refused.message.contains("not in the maintenance schedule"),
        "{refused}"
    );
    bench.operator_call(schedule(&["a"], 7)).unwrap();
    let drain = OperatorCall::DrainAgent {
        agent_id: crate::base::AgentId::new(&*agent.id.value),
        grace_max: None,
        mark_gone: false,
    };
    let refused = bench.operator_call(drain).unwrap_err();
    assert!(
        refused.message.contains("maintenance schedule"),
        "{refused}"
    );
    bench.operator_call(start("a")).unwrap();
    let messages = bench.messages(agent.connection);
    assert!(
        matches!(messages.last(), Some(FromMaster::Shutdown(_))),
        "{messages:?}"
    );
    assert_eq!(bench.states(&scheduler), [TaskState::TaskGone]);
    assert!(bench.snapshot().agents.is_empty());
    let messages = bench.return_agent(&mut agent, Vec::new(), Vec::new());
    assert!(
        matches!(messages[0], FromMaster::Shutdown(_)),
        "{messages:?}"
    );
    let connection = bench.open_link("a");
    bench.register_on(connection, "a", "cpus:4;mem:1024");
    assert!(matches!(
        bench.messages(connection)[0],
        FromMaster::Shutdown(_)
    ));
    let down = bench.snapshot().maintenance_status().down_machines;
    assert_eq!(down[0].hostname(), "a");

    let mut bench = Bench::with(MasterConfig::new("n"), bench.registry.clone());
    let connection = bench.open_link("a");
    bench.register_on(connection, "a", "cpus:4;mem:1024");
    assert!(matches!(
        bench.messages(connection)[0],
        FromMaster::Shutdown(_)
    ));
    bench.operator_call(stop("a")).unwrap();
    bench.agent("a", "cpus:4;mem:1024");
    assert_eq!(*bench.registry.maintenance, Maintenance::default());
}
