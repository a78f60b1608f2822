//! Agents that operators drain, deactivate, take back and give up.

use super::*;
use crate::base::AgentId;
use crate::master::call::CallErrorKind;
use crate::proto::v1::task_status::Reason;

fn id(agent: &AgentPeer) -> AgentId {
    AgentId::new(&*agent.id.value)
}

pub(super) fn drain(agent: &AgentPeer, mark_gone: bool) -> OperatorCall {
    OperatorCall::DrainAgent {
        agent_id: id(agent),
        grace_max: Some(Duration::from_secs(5)),
        mark_gone,
    }
}

pub(super) fn deactivate(agent: &AgentPeer) -> OperatorCall {
    OperatorCall::DeactivateAgent {
        agent_id: id(agent),
    }
}

pub(super) fn reactivate(agent: &AgentPeer) -> OperatorCall {
    OperatorCall::ReactivateAgent {
        agent_id: id(agent),
    }
}

fn gone(agent: &AgentPeer) -> OperatorCall {
    OperatorCall::MarkAgentGone {
        agent_id: id(agent),
    }
}

fn was_told_to_drain(messages: &[FromMaster]) -> bool {
    messages
        .iter()
        .any(|message| matches!(message, FromMaster::DrainAgent(_)))
}

fn was_shut_down(messages: &[FromMaster]) -> bool {
    messages
        .iter()
        .any(|message| matches!(message, FromMaster::Shutdown(_)))
}

fn drain_state(bench: &Bench, agent: &AgentPeer) -> Option<v1::DrainState> {
    let snapshot = bench.snapshot();
    let shown = snapshot.agent_to_proto(snapshot.agents.get(&id(agent))?);
    assert_eq!(shown.deactivated, Some(true));
    assert!(!shown.active && shown.estimated_drain_start_time.is_some());
    Some(shown.drain_info?.state())
}

#[test]
fn a_deactivated_agent_is_not_offered_until_it_is_taken_back() {
    let mut bench = Bench::new();
    let agent = bench.agent("a", "cpus:4;mem:1024");
    let scheduler = bench.subscribe(framework("f"));
    assert_eq!(bench.offers(&scheduler).len(), 1);
    let error = bench.operator_call(reactivate(&agent)).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Invalid);
    bench.operator_call(deactivate(&agent)).unwrap();
    assert!(bench.events(scheduler.connection)[0].rescind.is_some());
    bench.advance(Duration::from_secs(60));
    assert!(bench.offers(&scheduler).is_empty());
    // It stays so through a broken link and a change of master.
    let mut agent = agent;
    bench.disconnect_agent(&agent);
    bench.return_agent(&mut agent, Vec::new(), Vec::new());
    assert!(bench.offers(&scheduler).is_empty());
    let mut bench = Bench::with(MasterConfig::new("n"), bench.registry.clone());
    let scheduler = bench.subscribe(framework("f"));
    bench.return_agent(&mut agent, Vec::new(), Vec::new());
    assert!(bench.offers(&scheduler).is_empty());
    bench.operator_call(reactivate(&agent)).unwrap();
    assert_eq!(bench.offers(&scheduler).len(), 1);
    assert!(bench.registry.standings.is_empty());
}

#[test]
fn a_drain_lasts_until_the_last_update_is_acknowledged() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    bench.operator_call(drain(&agent, false)).unwrap();
    assert!(was_told_to_drain(&bench.messages(agent.connection)));
    assert_eq!(drain_state(&bench, &agent), Some(v1::DrainState::Draining));
    let error = bench.operator_call(reactivate(&agent)).unwrap_err();
    assert!(error.message.contains("is being drained"), "{error}");
    bench.update(&agent, &scheduler, "t", TaskState::TaskKilled, 2);
    assert_eq!(drain_state(&bench, &agent), Some(v1::DrainState::Draining));
    let status = bench.statuses(&scheduler).pop().unwrap();
    bench.acknowledge(&scheduler, &status);
    assert_eq!(drain_state(&bench, &agent), Some(v1::DrainState::Drained));
    assert!(bench.offers(&scheduler).is_empty());
    bench.operator_call(reactivate(&agent)).unwrap();
    assert_eq!(bench.offers(&scheduler).len(), 1);
}

#[test]
fn a_drain_is_told_again_and_finished_by_the_next_master() {
    let mut bench = Bench::new();
    let (scheduler, mut agent) = bench.running(framework("f"));
    let report = bench.report(&scheduler);
    bench.operator_call(drain(&agent, true)).unwrap();
    bench.disconnect_agent(&agent);
    let mut bench = Bench::with(MasterConfig::new("n"), bench.registry.clone());
    let mut info = framework("f");
    info.id = Some((&scheduler.id).into());
    let scheduler = bench.subscribe(info.clone());
    let messages = bench.return_agent(&mut agent, vec![report], vec![info]);
    assert!(was_told_to_drain(&messages), "{messages:?}");
    bench.update(&agent, &scheduler, "t", TaskState::TaskKilled, 2);
    let status = bench.statuses(&scheduler).pop().unwrap();
    bench.acknowledge(&scheduler, &status);
    assert!(
        was_shut_down(&bench.messages(agent.connection)),
        "drained, then gone"
    );
    assert!(bench.closed.contains(&agent.connection));
    assert!(bench.registry.gone.contains_key(&id(&agent)));
    assert!(bench.registry.agents.is_empty() && bench.registry.standings.is_empty());
}

#[test]
fn a_gone_agent_is_told_to_end_and_never_comes_back() {
    let mut bench = Bench::new();
    let (scheduler, mut agent) = bench.running(framework("f"));
    bench.answers = false;
    let request = RequestId(bench.number());
    let call = gone(&agent);
    bench.step(Event::OperatorCall { request, call });
    assert!(
        bench.messages(agent.connection).is_empty(),
        "the registry first"
    );
    assert!(bench.replies.is_empty() && bench.statuses(&scheduler).is_empty());
    bench.answers = true;
    bench.answer_all();
    assert!(bench.replies.remove(&request).unwrap().is_ok());
    assert!(was_shut_down(&bench.messages(agent.connection)));
    let status = bench.statuses(&scheduler).pop().unwrap();
    assert_eq!(status.state(), TaskState::TaskGoneByOperator);
    assert_eq!(status.reason(), Reason::AgentRemovedByOperator);
    assert!(
        bench.operator_call(gone(&agent)).is_ok(),
        "it is gone already"
    );
    let messages = bench.return_agent(&mut agent, Vec::new(), Vec::new());
    assert!(was_shut_down(&messages), "{messages:?}");
    assert!(bench.snapshot().agents.is_empty());
    let mut later = Bench::with(MasterConfig::new("n"), bench.registry.clone());
    assert!(was_shut_down(&later.return_agent(
        &mut agent,
        Vec::new(),
        Vec::new()
    )));
}

#[test]
fn an_unreachable_agent_can_be_gone() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(old_framework("f"));
    bench.advance(Duration::from_secs(90));
    assert_eq!(bench.states(&scheduler), [TaskState::TaskLost]);
    bench.operator_call(gone(&agent)).unwrap();
    assert!(
        bench.states(&scheduler).is_empty(),
        "it was told to be lost"
    );
    let snapshot = bench.snapshot();
    assert!(snapshot.unreachable_agents.is_empty());
    assert!(snapshot.gone_agents.contains_key(&id(&agent)));

    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    bench.advance(Duration::from_secs(90));
    assert_eq!(bench.states(&scheduler), [TaskState::TaskUnreachable]);
    bench.operator_call(gone(&agent)).unwrap();
    assert_eq!(bench.states(&scheduler), [TaskState::TaskGoneByOperator]);
}

#[test]
fn agents_that_are_not_there_are_named() {
    let mut bench = Bench::new();
    let mut agent = bench.agent("a", "cpus:4;mem:1024");
    agent.id.value = "x-S9".to_owned();
    for (call, kind) in [
        (gone(&agent), CallErrorKind::NotFound),
        (drain(&agent, false), CallErrorKind::Invalid),
        (deactivate(&agent), CallErrorKind::Invalid),
        (reactivate(&agent), CallErrorKind::Invalid),
    ] {
        let error = bench.operator_call(call).unwrap_err();
        assert_eq!(error.kind, kind);
        assert!(
            error.message.starts_with("agent x-S9 is not known"),
            "{error}"
        );
    }
}

#[test]
fn an_agent_in_transition_is_to_be_asked_for_again() {
    let mut bench = Bench::new();
    let agent = bench.agent("a", "cpus:4;mem:1024");
    bench.answers = false;
    let first = RequestId(bench.number());
    let second = RequestId(bench.number());
    let call = drain(&agent, false);
    bench.step(Event::OperatorCall {
        request: first,
        call,
    });
    let call = deactivate(&agent);
    bench.step(Event::OperatorCall {
        request: second,
        call,
    });
    let error = bench.replies.remove(&second).unwrap().unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unavailable);
}
