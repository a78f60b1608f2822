//! Frameworks that outlive the master, agents that are given up one by one, and forgotten in time.

use super::*;
use crate::base::AgentId;
use crate::master::framework::FrameworkStatus;

fn id(agent: &AgentPeer) -> AgentId {
    AgentId::new(&*agent.id.value)
}

#[test]
fn a_framework_has_its_failover_timeout_after_a_change_of_master_too() {
    let mut bench = Bench::new();
    let mut short = framework("short");
    short.failover_timeout = None;
    let mut long = framework("long");
    long.failover_timeout = Some(3600.0);
    let ended = bench.subscribe(framework("ended"));
    let (short, long) = (bench.subscribe(short), bench.subscribe(long));
    bench.call(&ended, SchedulerCall::Teardown).unwrap();
    let mut bench = Bench::with(MasterConfig::new("n"), bench.registry.clone());
    let status = |bench: &Bench, scheduler: &Scheduler| {
        let snapshot = bench.snapshot();
        snapshot
            .frameworks
            .get(&scheduler.id)
            .map(|framework| framework.status)
    };
    assert_eq!(status(&bench, &ended), None);
    for scheduler in [&short, &long] {
        assert_eq!(status(&bench, scheduler), Some(FrameworkStatus::Recovered));
    }
    bench.advance(Duration::from_secs(599));
    assert!(
        status(&bench, &short).is_some(),
        "not before the agents' time is over"
    );
    bench.advance(Duration::from_secs(2));
    assert_eq!(status(&bench, &short), None);
    assert!(!bench.registry.frameworks.contains_key(&short.id));
    bench.advance(Duration::from_secs(2900));
    assert!(status(&bench, &long).is_some());
    let mut info = framework("long");
    info.id = Some((&long.id).into());
    let back = bench.subscribe(info);
    assert_eq!(back.id, long.id);
    bench.advance(Duration::from_secs(3600));
    assert!(status(&bench, &long).is_some(), "it is there");
    assert_eq!(bench.registry.frameworks.len(), 1);
}

#[test]
fn a_description_is_stored_when_it_changes() {
    let mut bench = Bench::new();
    let scheduler = bench.subscribe(framework("f"));
    let mut info = framework("renamed");
    info.id = Some((&scheduler.id).into());
    bench.answers = false;
    let again = bench.subscribe(info.clone());
    assert_eq!(bench.unanswered.len(), 1);
    bench.subscribe(info);
    assert_eq!(bench.unanswered.len(), 1, "nothing has changed");
    bench.answers = true;
    bench.answer_all();
    assert_eq!(bench.registry.frameworks[&again.id].name, "renamed");
}

#[test]
fn silent_agents_are_marked_one_after_the_other() {
    let mut config = MasterConfig::new("m");
    config.agent_removal_interval = Some(Duration::from_secs(300));
    let mut bench = Bench::with(config, Registry::default());
    let agents: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|host| bench.agent(host, "cpus:4;mem:1024"))
        .collect();
    bench.advance(Duration::from_secs(120));
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.unreachable_agents.len(), 1);
    assert_eq!(snapshot.metrics.slave_unreachable_scheduled, 3);
    // One of the others answers in time.
    let late = agents
        .iter()
        .rev()
        .find(|agent| snapshot.agents.contains_key(&id(agent)));
    let late = late.unwrap();
    for message in bench.messages(late.connection) {
        if let FromMaster::Ping(link::Ping { sequence }) = message {
            bench.say(late.connection, FromAgent::Pong(link::Pong { sequence }));
        }
    }
    assert_eq!(bench.snapshot().metrics.slave_unreachable_canceled, 1);
    bench.advance(Duration::from_secs(270));
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.unreachable_agents.len(), 2);
    assert!(
        snapshot.agents.contains_key(&id(late)),
        "silent again, but it has to wait"
    );
    bench.advance(Duration::from_secs(300));
    assert_eq!(bench.snapshot().unreachable_agents.len(), 3);
}

#[test]
fn the_registry_forgets_agents_in_their_time() {
    let mut registry = Registry::default();
    let day = Duration::from_secs(24 * 3600);
    let start = Timestamp(1_700_000_000_000_000_000);
    for number in 0..5_u32 {
        let at = Timestamp(start.0 - u64::try_from((day * number).as_nanos()).unwrap());
        registry
            .unreachable
            .insert(AgentId::new(format!("u-S{number}")), at);
        registry
            .gone
            .insert(AgentId::new(format!("g-S{number}")), at);
    }
    let mut config = MasterConfig::new("m");
    config.registry_agent_age_max = day * 3;
    config.registry_agents_max = 2;
    let mut bench = Bench::with(config, registry);
    assert_eq!(bench.snapshot().gone_agents.len(), 5);
    bench.advance(Duration::from_secs(15 * 60 + 1));
    let snapshot = bench.snapshot();
    let left: Vec<_> = snapshot
        .gone_agents
        .keys()
        .map(ToString::to_string)
        .collect();
    assert_eq!(left, ["g-S0", "g-S1"]);
    assert_eq!(snapshot.unreachable_agents.len(), 2);
    assert_eq!(
        (bench.registry.gone.len(), bench.registry.unreachable.len()),
        (2, 2)
    );
    let mut later = MasterConfig::new("n");
    later.registry_agent_age_max = Duration::from_secs(1);
    let mut bench = Bench::with(later, bench.registry.clone());
    bench.advance(Duration::from_secs(15 * 60 + 1));
    assert!(bench.registry.gone.is_empty() && bench.registry.unreachable.is_empty());
}
