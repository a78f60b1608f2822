//! RECONCILE: every case of the table in Mesos' reconciliation documentation.

use super::*;
use crate::base::AgentId;
use crate::proto::v1::task_status::{Reason, Source};

fn ask(bench: &mut Bench, scheduler: &Scheduler, tasks: &[(&str, Option<&v1::AgentId>)]) {
    let tasks = tasks.iter().map(|(task, agent)| call::reconcile::Task {
        task_id: (*task).into(),
        agent_id: agent.cloned(),
    });
    let reconcile = call::Reconcile {
        tasks: tasks.collect(),
    };
    bench
        .call(scheduler, SchedulerCall::Reconcile(reconcile))
        .unwrap();
}

#[test]
fn known_tasks_are_answered_with_what_was_last_forwarded() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    let states = (TaskState::TaskKilling, TaskState::TaskKilled);
    bench.update_ahead(&agent, &scheduler, "t", states, 2);
    bench.events(scheduler.connection);
    for tasks in [&[][..], &[("t", None)][..]] {
        ask(&mut bench, &scheduler, tasks);
        let statuses = bench.statuses(&scheduler);
        assert_eq!(statuses.len(), 1);
        let status = &statuses[0];
        assert_eq!(status.state(), TaskState::TaskKilling);
        assert_eq!(status.reason(), Reason::Reconciliation);
        assert_eq!(status.source(), Source::Master);
        assert!(status.uuid.is_none());
        assert_eq!(status.agent_id, Some(agent.id.clone()));
    }
}

#[test]
fn answers_are_never_ahead_of_updates_that_are_still_to_come() {
    let mut old = Bench::new();
    let (scheduler, mut agent) = old.running(framework("f"));
    let info = v1::FrameworkInfo::clone(&old.snapshot().frameworks[&scheduler.id].info);
    old.disconnect(&scheduler);
    let states = (TaskState::TaskKilling, TaskState::TaskKilled);
    // Nobody is there who could acknowledge it.
    old.update_ahead(&agent, &scheduler, "t", states, 2);
    let scheduler = old.subscribe(info.clone());
    ask(&mut old, &scheduler, &[("t", None)]);
    assert_eq!(old.states(&scheduler), [TaskState::TaskKilling]);

    let mut report = old.report(&scheduler);
    assert_eq!(report.state(), TaskState::TaskKilled);
    assert_eq!(report.status_update_state(), TaskState::TaskKilling);
    report.statuses.clear();
    let mut bench = Bench::with(MasterConfig::new("n"), old.registry.clone());
    bench.return_agent(&mut agent, vec![report], vec![info.clone()]);
    let scheduler = bench.subscribe(info);
    ask(&mut bench, &scheduler, &[("t", None)]);
    assert_eq!(bench.states(&scheduler), [TaskState::TaskKilling]);
    // What an earlier master has sent is not acknowledged to this one.
    bench.update_ahead(&agent, &scheduler, "t", states, 2);
    assert_eq!(bench.states(&scheduler), [TaskState::TaskKilling]);
}

#[test]
fn a_task_that_was_just_accepted_is_staging() {
    let mut bench = Bench::new();
    let agent = bench.agent("a", "cpus:4;mem:1024");
    let scheduler = bench.subscribe(framework("f"));
    let offers = bench.offers(&scheduler);
    bench.accept(
        &scheduler,
        &offers,
        vec![launch(vec![task("t", &agent, "cpus:1;mem:64")])],
    );
    ask(&mut bench, &scheduler, &[("t", None)]);
    assert_eq!(bench.states(&scheduler), [TaskState::TaskStaging]);
}

#[test]
fn unknown_tasks_are_answered_by_where_they_should_be() {
    for (info, gone, unknown) in [
        (
            framework("new"),
            TaskState::TaskGone,
            TaskState::TaskUnknown,
        ),
        (
            old_framework("old"),
            TaskState::TaskLost,
            TaskState::TaskLost,
        ),
    ] {
        let mut bench = Bench::new();
        let (scheduler, agent) = bench.running(info);
        ask(&mut bench, &scheduler, &[("x", Some(&agent.id))]);
        ask(&mut bench, &scheduler, &[("x", Some(&"m-S99".into()))]);
        ask(&mut bench, &scheduler, &[("x", None)]);
        assert_eq!(bench.states(&scheduler), [gone, unknown, unknown]);
    }
}

#[test]
fn tasks_of_unreachable_agents() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    bench.disconnect_agent(&agent);
    bench.advance(Duration::from_secs(601));
    bench.events(scheduler.connection);
    for named in [Some(&agent.id), None] {
        ask(&mut bench, &scheduler, &[("t", named)]);
        let statuses = bench.statuses(&scheduler);
        assert_eq!(statuses[0].state(), TaskState::TaskUnreachable);
        assert!(statuses[0].unreachable_time.is_some());
    }
    ask(&mut bench, &scheduler, &[]);
    assert!(
        bench.states(&scheduler).is_empty(),
        "implicit reconciliation leaves them out"
    );
}

#[test]
fn there_is_no_answer_while_agents_are_recovering() {
    let mut registry = Registry::default();
    let agent_id = AgentId::new("old-S1");
    let operation = Operation::AdmitAgent {
        agent_id: agent_id.clone(),
        info: std::sync::Arc::new(agent_info("a")),
    };
    operation.apply(&mut registry).unwrap();
    let mut bench = Bench::with(MasterConfig::new("m"), registry);
    let scheduler = bench.subscribe(framework("f"));
    ask(&mut bench, &scheduler, &[("t", Some(&(&agent_id).into()))]);
    ask(&mut bench, &scheduler, &[("t", None)]);
    assert!(bench.states(&scheduler).is_empty());
    ask(&mut bench, &scheduler, &[("t", Some(&"old-S2".into()))]);
    assert_eq!(bench.states(&scheduler), [TaskState::TaskUnknown]);
    bench.advance(Duration::from_secs(601));
    ask(&mut bench, &scheduler, &[("t", Some(&(&agent_id).into()))]);
    assert_eq!(bench.states(&scheduler), [TaskState::TaskUnreachable]);
}
