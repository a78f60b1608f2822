//! Frameworks that lose their scheduler, get another one, or end.

use super::*;
use crate::base::TaskId;
use crate::master::framework::FrameworkStatus;
use crate::proto::v1::task_status::Reason;

fn with_id(mut info: v1::FrameworkInfo, scheduler: &Scheduler) -> v1::FrameworkInfo {
    info.id = Some((&scheduler.id).into());
    info
}

#[test]
fn a_second_scheduler_takes_over() {
    let mut bench = Bench::new();
    let (first, agent) = bench.running(framework("f"));
    bench.advance(Duration::from_secs(6));
    assert_eq!(bench.offers(&first).len(), 1);
    let second = bench.subscribe(with_id(framework("f"), &first));
    assert_eq!(second.id, first.id);
    let events = bench.events(first.connection);
    let error = events.last().unwrap().error.as_ref().unwrap();
    assert_eq!(error.message, "Framework failed over");
    assert!(bench.closed.contains(&first.connection));
    assert!(events.iter().all(|event| event.rescind.is_none()));
    assert_eq!(
        bench.offers(&second).len(),
        1,
        "offers go to the new scheduler"
    );
    bench.disconnect(&first);
    assert!(
        bench.call(&second, SchedulerCall::Request).is_ok(),
        "the old stream's end is nothing"
    );
    bench.update(&agent, &second, "t", TaskState::TaskFinished, 2);
    assert_eq!(bench.states(&second), [TaskState::TaskFinished]);
}

#[test]
fn tasks_outlive_the_scheduler_for_the_failover_timeout() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    bench.disconnect(&scheduler);
    assert!(bench.snapshot().offers.is_empty());
    bench.advance(Duration::from_secs(59));
    let snapshot = bench.snapshot();
    let record = &snapshot.frameworks[&scheduler.id];
    assert_eq!(record.status, FrameworkStatus::Disconnected);
    bench.messages(agent.connection);
    bench.advance(Duration::from_secs(2));
    let snapshot = bench.snapshot();
    assert!(snapshot.frameworks.is_empty());
    let record = snapshot.completed_frameworks.get(&scheduler.id).unwrap();
    let (_, task) = record.completed_tasks.iter().next().unwrap();
    assert_eq!(task.state, TaskState::TaskKilled);
    assert_eq!(
        task.statuses.last().unwrap().reason(),
        Reason::FrameworkRemoved
    );
    let messages = bench.messages(agent.connection);
    assert!(
        messages
            .iter()
            .any(|message| matches!(message, FromMaster::ShutdownFramework(_))),
        "{messages:?}"
    );
}

#[test]
fn without_failover_timeout_the_framework_ends_with_its_stream() {
    let mut bench = Bench::new();
    let mut info = framework("f");
    info.failover_timeout = None;
    let (scheduler, _) = bench.running(info);
    bench.disconnect(&scheduler);
    assert!(bench.snapshot().frameworks.is_empty());
}

#[test]
fn resubscribing_in_time_stops_the_clock() {
    let mut bench = Bench::new();
    let (scheduler, _) = bench.running(framework("f"));
    bench.disconnect(&scheduler);
    bench.advance(Duration::from_secs(50));
    let again = bench.subscribe(with_id(framework("f"), &scheduler));
    bench.advance(Duration::from_secs(20));
    assert!(
        bench
            .snapshot()
            .task(&again.id, &TaskId::new("t"))
            .is_some()
    );
}

#[test]
fn the_id_of_a_removed_framework_is_refused() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    bench.call(&scheduler, SchedulerCall::Teardown).unwrap();
    assert!(bench.closed.contains(&scheduler.connection));
    let connection = bench.connection();
    bench.subscribe_on(connection, with_id(framework("f"), &scheduler));
    let events = bench.events(connection);
    assert_eq!(
        events[0].error.as_ref().unwrap().message,
        "Framework has been removed"
    );
    let other = bench.subscribe(framework("other"));
    assert_eq!(bench.offers(&other).len(), 1, "all of the agent is free");
    bench.messages(agent.connection);
    bench.update(&agent, &scheduler, "t", TaskState::TaskKilled, 7);
    let messages = bench.messages(agent.connection);
    assert!(
        matches!(&messages[..], [FromMaster::Acknowledge(_)]),
        "the master acknowledges for the framework that is gone: {messages:?}"
    );
}

#[test]
fn an_operator_tears_down() {
    let mut bench = Bench::new();
    let (scheduler, _) = bench.running(framework("f"));
    let teardown = OperatorCall::Teardown {
        framework_id: scheduler.id.clone(),
    };
    bench.operator_call(teardown.clone()).unwrap();
    assert!(bench.snapshot().frameworks.is_empty());
    let error = bench.operator_call(teardown).unwrap_err();
    assert!(error.message.contains("ended"), "{error}");
    assert!(
        bench
            .published
            .iter()
            .any(|event| matches!(event, OperatorEvent::FrameworkRemoved(_)))
    );
}

#[test]
fn another_principal_cannot_take_over() {
    let mut bench = Bench::new();
    let mut info = framework("f");
    info.principal = Some("alice".to_owned());
    let scheduler = bench.subscribe(info.clone());
    info.principal = Some("bob".to_owned());
    let connection = bench.connection();
    bench.subscribe_on(connection, with_id(info, &scheduler));
    assert!(bench.events(connection)[0].error.is_some());
    assert!(!bench.closed.contains(&scheduler.connection));
}

#[test]
fn the_history_of_frameworks_is_bounded() {
    let mut config = MasterConfig::new("m");
    config.completed_frameworks_max = 3;
    let mut bench = Bench::with(config, Registry::default());
    for _ in 0..5 {
        let scheduler = bench.subscribe(framework("f"));
        bench.call(&scheduler, SchedulerCall::Teardown).unwrap();
    }
    let snapshot = bench.snapshot();
    let kept: Vec<_> = snapshot
        .completed_frameworks
        .iter()
        .map(|(id, _)| id.as_str())
        .collect();
    assert_eq!(kept, ["m-0002", "m-0003", "m-0004"]);
}
