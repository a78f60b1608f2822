//! Agents: registration, silence, return.

use super::*;
use crate::base::{AgentId, TaskId};
use crate::proto::v1::task_status::Reason;

fn reregistered(messages: &[FromMaster]) -> &link::Reregistered {
    match &messages[0] {
        FromMaster::Reregistered(answer) => answer,
        other => panic!("Reregistered is first, not {other:?}"),
    }
}

#[test]
fn an_agent_is_told_its_id_when_the_registry_knows_it() {
    let mut bench = Bench::new();
    bench.answers = false;
    let connection = bench.open_link("a");
    bench.register_on(connection, "a", "cpus:4;mem:1024");
    assert!(bench.messages(connection).is_empty());
    assert!(bench.snapshot().agents.is_empty());
    bench.register_on(connection, "a", "cpus:4;mem:1024");
    assert_eq!(bench.unanswered.len(), 1, "a repeated registration waits");
    bench.answer_all();
    let messages = bench.messages(connection);
    assert!(matches!(&messages[0], FromMaster::Registered(answer)
        if answer.agent_id.value == "m-S0" && answer.total_ping_timeout_seconds == 75.0));
    bench.register_on(connection, "a", "cpus:4;mem:1024");
    assert_eq!(bench.snapshot().agents.len(), 1);
    assert!(matches!(
        &bench.messages(connection)[..],
        [FromMaster::Registered(_)]
    ));
}

#[test]
fn an_agent_that_left_before_its_admission_is_forgotten() {
    let mut bench = Bench::new();
    bench.answers = false;
    let connection = bench.open_link("a");
    bench.register_on(connection, "a", "cpus:4;mem:1024");
    bench.step(Event::AgentDisconnected { connection });
    bench.answer_all();
    assert!(bench.registry.agents.is_empty());
    assert!(bench.snapshot().agents.is_empty());
}

#[test]
fn a_bad_description_closes_the_link() {
    let mut bench = Bench::new();
    let connection = bench.open_link("");
    bench.register_on(connection, "", "cpus:4");
    assert!(bench.closed.contains(&connection));
    assert!(bench.registry.agents.is_empty());
}

#[test]
fn a_silent_agent_is_unreachable_after_75_seconds() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    bench.advance(Duration::from_secs(74));
    assert_eq!(bench.snapshot().agents.len(), 1);
    bench.events(scheduler.connection);
    bench.advance(Duration::from_secs(2));
    let snapshot = bench.snapshot();
    assert!(snapshot.agents.is_empty());
    assert_eq!(snapshot.unreachable_agents.len(), 1);
    assert!(snapshot.offers.is_empty());
    assert!(bench.closed.contains(&agent.connection));
    let events = bench.events(scheduler.connection);
    let status = events
        .iter()
        .find_map(|event| event.update.as_ref())
        .unwrap();
    assert_eq!(status.status.state(), TaskState::TaskUnreachable);
    assert_eq!(status.status.reason(), Reason::AgentRemoved);
    assert!(status.status.unreachable_time.is_some());
    let failure = events
        .iter()
        .find_map(|event| event.failure.as_ref())
        .unwrap();
    assert_eq!(failure.agent_id, Some(agent.id));
    assert!(failure.executor_id.is_none());
}

#[test]
fn an_agent_that_answers_stays() {
    let mut bench = Bench::new();
    let agent = bench.agent("a", "cpus:4;mem:1024");
    for _ in 0..20 {
        for message in bench.messages(agent.connection) {
            if let FromMaster::Ping(ping) = message {
                let sequence = ping.sequence;
                bench.say(agent.connection, FromAgent::Pong(link::Pong { sequence }));
            }
        }
        bench.advance(Duration::from_secs(15));
    }
    assert_eq!(bench.snapshot().agents.len(), 1);
}

#[test]
fn a_broken_link_takes_offers_back_but_keeps_tasks() {
    let mut bench = Bench::new();
    let (scheduler, mut agent) = bench.running(framework("f"));
    bench.advance(Duration::from_secs(6));
    assert_eq!(bench.snapshot().offers.len(), 1);
    let report = bench.report(&scheduler);
    bench.disconnect_agent(&agent);
    let events = bench.events(scheduler.connection);
    assert!(events.last().unwrap().rescind.is_some());
    assert!(
        bench.offers(&scheduler).is_empty(),
        "nothing is offered of it"
    );
    assert!(
        bench
            .snapshot()
            .task(&scheduler.id, &TaskId::new("t"))
            .is_some()
    );
    let messages = bench.return_agent(&mut agent, vec![report], vec![]);
    assert!(reregistered(&messages).reconciliations.is_empty());
    assert!(bench.states(&scheduler).is_empty());
    assert_eq!(bench.offers(&scheduler).len(), 1);
}

#[test]
fn tasks_without_checkpoint_are_lost_with_the_link() {
    let mut bench = Bench::new();
    let mut info = framework("f");
    info.checkpoint = None;
    let (scheduler, mut agent) = bench.running(info);
    let report = bench.report(&scheduler);
    bench.disconnect_agent(&agent);
    let statuses = bench.statuses(&scheduler);
    assert_eq!(statuses.len(), 1);
    assert_eq!(statuses[0].state(), TaskState::TaskLost);
    assert_eq!(statuses[0].reason(), Reason::AgentDisconnected);
    assert!(
        bench
            .snapshot()
            .task(&scheduler.id, &TaskId::new("t"))
            .is_none()
    );
    bench.return_agent(&mut agent, vec![report], vec![]);
    assert_eq!(
        bench.states(&scheduler),
        [TaskState::TaskRunning],
        "it ran on after all, and the scheduler is told"
    );
}

#[test]
fn an_unreachable_agent_brings_its_tasks_back() {
    for (info, lost) in [
        (framework("new"), TaskState::TaskUnreachable),
        (old_framework("old"), TaskState::TaskLost),
    ] {
        let mut bench = Bench::new();
        let (scheduler, mut agent) = bench.running(info);
        let report = bench.report(&scheduler);
        bench.advance(Duration::from_secs(80));
        assert_eq!(bench.states(&scheduler), [lost]);
        assert_eq!(bench.registry.unreachable.len(), 1);
        bench.return_agent(&mut agent, vec![report], vec![]);
        assert!(bench.registry.unreachable.is_empty());
        let statuses = bench.statuses(&scheduler);
        assert_eq!(statuses.len(), 1);
        assert_eq!(statuses[0].state(), TaskState::TaskRunning);
        assert_eq!(statuses[0].reason(), Reason::AgentReregistered);
        let snapshot = bench.snapshot();
        assert!(snapshot.task(&scheduler.id, &TaskId::new("t")).is_some());
        assert!(
            snapshot.frameworks[&scheduler.id]
                .unreachable_tasks
                .is_empty()
        );
    }
}

#[test]
fn an_unreachable_agent_that_comes_back_empty() {
    let mut bench = Bench::new();
    let (scheduler, mut agent) = bench.running(framework("f"));
    bench.advance(Duration::from_secs(80));
    assert_eq!(bench.states(&scheduler), [TaskState::TaskUnreachable]);
    bench.return_agent(&mut agent, vec![], vec![]);
    assert_eq!(bench.states(&scheduler), [TaskState::TaskGone]);
    assert_eq!(bench.offers(&scheduler).len(), 1);
}

#[test]
fn a_task_that_the_agent_never_got_is_named_in_the_answer() {
    let mut bench = Bench::new();
    let (scheduler, mut agent) = bench.running(framework("f"));
    bench.disconnect_agent(&agent);
    let messages = bench.return_agent(&mut agent, vec![], vec![]);
    let missing = &reregistered(&messages).reconciliations;
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].framework.id, Some((&scheduler.id).into()));
    assert_eq!(missing[0].tasks, ["t".into()]);
    bench.update(&agent, &scheduler, "t", TaskState::TaskDropped, 9);
    assert_eq!(bench.states(&scheduler), [TaskState::TaskDropped]);
}

#[test]
fn a_new_master_learns_from_agents() {
    let mut old = Bench::new();
    let (scheduler, mut agent) = old.running(framework("f"));
    let (report, info) = (
        old.report(&scheduler),
        v1::FrameworkInfo::clone(&old.snapshot().frameworks[&scheduler.id].info),
    );
    let mut bench = Bench::with(MasterConfig::new("n"), old.registry.clone());
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.recovered_agents.len(), 1);
    let messages = bench.return_agent(&mut agent, vec![report], vec![info.clone()]);
    assert!(reregistered(&messages).reconciliations.is_empty());
    let snapshot = bench.snapshot();
    assert!(snapshot.recovered_agents.is_empty());
    let record = &snapshot.frameworks[&scheduler.id];
    assert_eq!(
        record.status,
        crate::master::framework::FrameworkStatus::Recovered
    );
    assert_eq!(record.tasks.len(), 1);
    let again = bench.subscribe(info);
    assert_eq!(again.id, scheduler.id);
    let offers = bench.offers(&again);
    let cpus = offers[0].resources.iter().find(|item| item.name == "cpus");
    assert!((cpus.unwrap().scalar.unwrap().value - 3.0).abs() < 1e-9);
}

#[test]
fn recovered_agents_have_ten_minutes() {
    let mut old = Bench::new();
    old.agent("a", "cpus:4");
    let mut bench = Bench::with(MasterConfig::new("n"), old.registry.clone());
    bench.advance(Duration::from_secs(599));
    assert_eq!(bench.snapshot().recovered_agents.len(), 1);
    bench.advance(Duration::from_secs(2));
    assert!(bench.snapshot().recovered_agents.is_empty());
    assert_eq!(bench.registry.unreachable.len(), 1);
}

#[test]
fn too_many_missing_agents_are_not_given_up() {
    let mut old = Bench::new();
    let mut agents: Vec<_> = ["a", "b", "c", "d"]
        .iter()
        .map(|host| old.agent(host, "cpus:4"))
        .collect();
    let mut config = MasterConfig::new("n");
    config.recovery_removals_per_mille = 500;
    // Nobody answers here.
    config.agent_ping_timeout = Duration::from_secs(10_000);
    let mut bench = Bench::with(config, old.registry.clone());
    bench.return_agent(&mut agents[0], Vec::new(), Vec::new());
    bench.advance(Duration::from_secs(700));
    assert_eq!(bench.snapshot().recovered_agents.len(), 3, "three of four");
    assert!(bench.registry.unreachable.is_empty());
    // With one more that is back, half of them are missing: they are given up when their time has come
    // again, both, although the share of those that are left falls meanwhile.
    bench.return_agent(&mut agents[1], Vec::new(), Vec::new());
    bench.advance(Duration::from_secs(700));
    assert!(bench.snapshot().recovered_agents.is_empty());
    assert_eq!(bench.registry.unreachable.len(), 2);
    bench.return_agent(&mut agents[2], Vec::new(), Vec::new());
    assert_eq!(bench.registry.unreachable.len(), 1);
}

#[test]
fn a_removed_framework_is_shut_down_on_a_returning_agent() {
    let mut bench = Bench::new();
    let (scheduler, mut agent) = bench.running(framework("f"));
    let report = bench.report(&scheduler);
    let info = v1::FrameworkInfo::clone(&bench.snapshot().frameworks[&scheduler.id].info);
    bench.disconnect_agent(&agent);
    bench.call(&scheduler, SchedulerCall::Teardown).unwrap();
    let messages = bench.return_agent(&mut agent, vec![report], vec![info]);
    assert!(
        messages
            .iter()
            .any(|message| matches!(message, FromMaster::ShutdownFramework(_))),
        "{messages:?}"
    );
    assert!(bench.snapshot().frameworks.is_empty());
}

#[test]
fn a_fresh_agent_replaces_a_disconnected_one_of_the_same_address() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    let twin = bench.open_link("a");
    bench.register_on(twin, "a", "cpus:4;mem:1024");
    assert!(
        bench.closed.contains(&twin),
        "the first one is still connected"
    );
    bench.disconnect_agent(&agent);
    let fresh = bench.agent("a", "cpus:4;mem:1024");
    assert_ne!(fresh.id, agent.id);
    assert_eq!(bench.states(&scheduler), [TaskState::TaskGone]);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.agents.len(), 1);
    assert_eq!(snapshot.metrics.slave_removals_registered, 1);
}

#[test]
fn an_agent_says_good_bye() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    bench.say(agent.connection, FromAgent::Unregister(link::Unregister {}));
    assert!(bench.snapshot().agents.is_empty());
    assert!(bench.registry.agents.is_empty() && bench.registry.unreachable.is_empty());
    assert_eq!(bench.states(&scheduler), [TaskState::TaskGone]);
}

#[test]
fn a_newer_link_of_the_same_agent_replaces_the_older() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    let report = bench.report(&scheduler);
    let mut again = agent.clone();
    let messages = bench.return_agent(&mut again, vec![report], vec![]);
    reregistered(&messages);
    assert!(bench.closed.contains(&agent.connection));
    bench.disconnect_agent(&agent);
    assert!(bench.snapshot().agents[&AgentId::new(&*agent.id.value)].is_active());
}

#[test]
fn an_id_from_another_host_is_shut_down() {
    let mut bench = Bench::new();
    let agent = bench.agent("a", "cpus:4");
    let mut impostor = agent.clone();
    impostor.info.hostname = "b".to_owned();
    let messages = bench.return_agent(&mut impostor, vec![], vec![]);
    assert!(
        matches!(&messages[..], [FromMaster::Shutdown(_)]),
        "{messages:?}"
    );
    assert!(bench.closed.contains(&impostor.connection));
    assert!(!bench.closed.contains(&agent.connection));
}

#[test]
fn an_id_used_again_elsewhere_is_killed_on_the_returning_agent() {
    let mut bench = Bench::new();
    let mut info = framework("f");
    info.checkpoint = None;
    let (scheduler, mut agent) = bench.running(info);
    let other = bench.agent("b", "cpus:4;mem:1024");
    let report = bench.report(&scheduler);
    bench.disconnect_agent(&agent);
    bench.events(scheduler.connection);
    bench.advance(Duration::from_secs(6));
    bench
        .call(&scheduler, SchedulerCall::Revive { roles: vec![] })
        .unwrap();
    let offers: Vec<_> = bench
        .snapshot()
        .offers
        .values()
        .map(|offer| v1::Offer {
            id: (&offer.id).into(),
            ..v1::Offer::default()
        })
        .collect();
    bench.accept(
        &scheduler,
        &offers,
        vec![launch(vec![task("t", &other, "cpus:1;mem:64")])],
    );
    let messages = bench.return_agent(&mut agent, vec![report], vec![]);
    assert!(
        messages
            .iter()
            .any(|message| matches!(message, FromMaster::KillTask(_))),
        "{messages:?}"
    );
    bench.events(scheduler.connection);
    bench.update(&agent, &scheduler, "t", TaskState::TaskKilled, 5);
    assert!(
        bench.states(&scheduler).is_empty(),
        "nobody waits for the old one's end"
    );
    assert!(matches!(
        &bench.messages(agent.connection)[..],
        [FromMaster::Acknowledge(_)]
    ));
}

/// Region and zone.
fn domain(region: &str) -> v1::DomainInfo {
    use v1::domain_info::fault_domain::{RegionInfo, ZoneInfo};
    let name = region.to_owned();
    let fault = v1::domain_info::FaultDomain {
        region: RegionInfo { name: name.clone() },
        zone: ZoneInfo { name },
    };
    v1::DomainInfo {
        fault_domain: Some(fault),
    }
}

#[test]
fn an_agents_domain_goes_with_the_masters() {
    for (own, required, given, taken) in [
        (None, false, None, true),
        (None, false, Some("eu"), false),
        (Some("eu"), false, None, true),
        (Some("eu"), true, None, false),
        (Some("eu"), true, Some("us"), true),
    ] {
        let mut config = MasterConfig::new("m");
        config.info.domain = own.map(domain);
        config.agent_domain_required = required;
        let mut bench = Bench::with(config, Registry::default());
        let connection = bench.open_link("a");
        let mut info = agent_info("a");
        info.domain = given.map(domain);
        let register = link::Register {
            agent: info.clone(),
            total: resources("cpus:4"),
            version: "0.1.0".to_owned(),
        };
        bench.say(connection, FromAgent::Register(register));
        let case = format!("{own:?} {required} {given:?}");
        assert_eq!(bench.closed.contains(&connection), !taken, "{case}");
        assert_eq!(bench.snapshot().agents.len(), usize::from(taken), "{case}");
        // One that comes back is asked the same.
        let connection = bench.open_link("b");
        info.id = Some("m-S77".into());
        let reregister = link::Reregister {
            agent: info,
            total: resources("cpus:4"),
            version: "0.1.0".to_owned(),
            ..link::Reregister::default()
        };
        bench.say(connection, FromAgent::Reregister(reregister));
        assert_eq!(bench.closed.contains(&connection), !taken, "{case}");
    }
}

/// The region of the master's own flag decides, and offers tell where an agent stands.
#[test]
fn agents_of_another_region_are_for_region_aware_frameworks() {
    let mut config = MasterConfig::new("m");
    config.info.domain = Some(domain("eu"));
    config.allocator.region = Some("eu".into());
    let mut bench = Bench::with(config, Registry::default());
    let connection = bench.open_link("far");
    let register = link::Register {
        agent: v1::AgentInfo {
            domain: Some(domain("us")),
            ..agent_info("far")
        },
        total: resources("cpus:4"),
        version: "0.1.0".to_owned(),
    };
    bench.say(connection, FromAgent::Register(register));
    let plain = bench.subscribe(framework("plain"));
    assert_eq!(bench.offers(&plain), []);
    let mut info = framework("aware");
    info.capabilities.push(v1::framework_info::Capability {
        r#type: Some(Capability::RegionAware.into()),
    });
    let aware = bench.subscribe(info);
    assert_eq!(bench.offers(&aware)[0].domain, Some(domain("us")));
}
