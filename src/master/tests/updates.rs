//! Status updates, acknowledgements, kills and messages.

use super::*;
use crate::base::TaskId;

#[test]
fn resources_are_free_as_soon_as_the_newest_state_is_terminal() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    let states = (TaskState::TaskKilling, TaskState::TaskKilled);
    bench.update_ahead(&agent, &scheduler, "t", states, 2);
    let snapshot = bench.snapshot();
    let task = snapshot.task(&scheduler.id, &TaskId::new("t")).unwrap();
    assert_eq!(task.state, TaskState::TaskKilled);
    assert_eq!(task.reported_state(), TaskState::TaskKilling);
    let record = snapshot.agents.values().next().unwrap();
    assert!(snapshot.agent_allocated(record).is_empty());
    let statuses = bench.statuses(&scheduler);
    bench.acknowledge(&scheduler, &statuses[0]);
    assert!(
        bench
            .snapshot()
            .task(&scheduler.id, &TaskId::new("t"))
            .is_some()
    );
    bench.update(&agent, &scheduler, "t", TaskState::TaskKilled, 3);
    let statuses = bench.statuses(&scheduler);
    bench.acknowledge(&scheduler, &statuses[0]);
    assert!(
        bench
            .snapshot()
            .task(&scheduler.id, &TaskId::new("t"))
            .is_none()
    );
}

#[test]
fn a_terminal_state_is_recorded_once() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    bench.update(&agent, &scheduler, "t", TaskState::TaskFailed, 2);
    bench.update(&agent, &scheduler, "t", TaskState::TaskFinished, 3);
    assert_eq!(
        bench.states(&scheduler),
        [TaskState::TaskFailed, TaskState::TaskFinished],
        "both are forwarded"
    );
    let snapshot = bench.snapshot();
    let task = snapshot.task(&scheduler.id, &TaskId::new("t")).unwrap();
    assert_eq!(task.state, TaskState::TaskFailed);
    assert_eq!(snapshot.metrics.tasks_failed, 1);
    assert_eq!(snapshot.metrics.tasks_finished, 0);
}

#[test]
fn updates_without_uuid_or_sense_are_dropped() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    let mut update = link::StatusUpdate {
        framework_id: (&scheduler.id).into(),
        status: v1::TaskStatus {
            task_id: "t".into(),
            state: TaskState::TaskFinished.into(),
            ..v1::TaskStatus::default()
        },
        latest_state: TaskState::TaskFinished.into(),
        ..link::StatusUpdate::default()
    };
    bench.say(agent.connection, FromAgent::StatusUpdate(update.clone()));
    update.status.uuid = Some(vec![1, 2, 3]);
    bench.say(agent.connection, FromAgent::StatusUpdate(update.clone()));
    update.status.uuid = Some(uuid(1));
    update.latest_state = 999;
    bench.say(agent.connection, FromAgent::StatusUpdate(update));
    assert!(bench.states(&scheduler).is_empty());
    assert_eq!(bench.snapshot().metrics.invalid_status_updates, 3);
}

#[test]
fn a_scheduler_that_is_away_gets_the_update_when_the_agent_repeats_it() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    bench.disconnect(&scheduler);
    bench.update(&agent, &scheduler, "t", TaskState::TaskFinished, 2);
    let mut info = framework("f");
    info.id = Some((&scheduler.id).into());
    let scheduler = bench.subscribe(info);
    let early = v1::TaskStatus {
        task_id: "t".into(),
        agent_id: Some(agent.id.clone()),
        uuid: Some(uuid(2)),
        ..v1::TaskStatus::default()
    };
    bench.messages(agent.connection);
    bench.update(&agent, &scheduler, "t", TaskState::TaskFinished, 2);
    assert_eq!(bench.states(&scheduler), [TaskState::TaskFinished]);
    bench.acknowledge(&scheduler, &early);
    assert_eq!(bench.messages(agent.connection).len(), 1);
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_is_dropped() {
    let mut bench = Bench::new();
    let agent = bench.agent("a", "cpus:4;mem:1024");
    let scheduler = bench.subscribe(framework("f"));
    let offers = bench.offers(&scheduler);
    let tasks = vec![task("t", &agent, "cpus:1;mem:64")];
    bench.accept(&scheduler, &offers, vec![launch(tasks)]);
    bench.messages(agent.connection);
    let status = v1::TaskStatus {
        task_id: "t".into(),
        agent_id: Some(agent.id.clone()),
        uuid: Some(uuid(1)),
        ..v1::TaskStatus::default()
    };
    bench.acknowledge(&scheduler, &status);
    assert!(bench.messages(agent.connection).is_empty());
    let bad = call::Acknowledge {
        agent_id: agent.id.clone(),
        task_id: "t".into(),
        uuid: vec![1],
    };
    let error = bench
        .call(&scheduler, SchedulerCall::Acknowledge(bad))
        .unwrap_err();
    assert!(error.message.contains("16 bytes"), "{error}");
}

fn kill(task: &str, agent: Option<&v1::AgentId>) -> SchedulerCall {
    SchedulerCall::Kill(call::Kill {
        task_id: task.into(),
        agent_id: agent.cloned(),
        kill_policy: Some(v1::KillPolicy {
            grace_period: Some(Duration::from_secs(7).into()),
        }),
    })
}

#[test]
fn a_kill_reaches_the_agent_with_its_policy() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    bench.call(&scheduler, kill("t", Some(&agent.id))).unwrap();
    let messages = bench.messages(agent.connection);
    let [FromMaster::KillTask(sent)] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(
        sent.kill_policy.as_ref().unwrap().grace_period,
        Some(Duration::from_secs(7).into())
    );
    bench
        .call(&scheduler, kill("t", Some(&"elsewhere".into())))
        .unwrap();
    assert!(
        bench.messages(agent.connection).is_empty(),
        "another agent is named"
    );
}

#[test]
fn a_kill_waits_for_the_agent() {
    let mut bench = Bench::new();
    let (scheduler, mut agent) = bench.running(framework("f"));
    let report = bench.report(&scheduler);
    bench.disconnect_agent(&agent);
    bench.call(&scheduler, kill("t", None)).unwrap();
    let messages = bench.return_agent(&mut agent, vec![report], vec![]);
    assert!(
        matches!(messages[0], FromMaster::Reregistered(_)),
        "{messages:?}"
    );
    assert!(
        messages
            .iter()
            .any(|message| matches!(message, FromMaster::KillTask(_))),
        "{messages:?}"
    );
}

#[test]
fn killing_what_is_not_there_is_answered() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    bench
        .call(&scheduler, kill("nothing", Some(&agent.id)))
        .unwrap();
    assert_eq!(bench.states(&scheduler), [TaskState::TaskGone]);
}

#[test]
fn messages_go_both_ways_and_nowhere_else() {
    let mut bench = Bench::new();
    let (scheduler, agent) = bench.running(framework("f"));
    let message = |agent_id: v1::AgentId| {
        SchedulerCall::Message(call::Message {
            agent_id,
            executor_id: "e".into(),
            data: b"ping".to_vec(),
        })
    };
    bench.call(&scheduler, message(agent.id.clone())).unwrap();
    bench.call(&scheduler, message("m-S99".into())).unwrap();
    let messages = bench.messages(agent.connection);
    assert!(
        matches!(&messages[..], [FromMaster::FrameworkMessage(_)]),
        "{messages:?}"
    );
    let answer = link::ExecutorMessage {
        framework_id: (&scheduler.id).into(),
        executor_id: "e".into(),
        data: b"pong".to_vec(),
    };
    bench.say(agent.connection, FromAgent::ExecutorMessage(answer));
    let events = bench.events(scheduler.connection);
    assert_eq!(events[0].message.as_ref().unwrap().data, b"pong");
    let metrics = bench.snapshot().metrics;
    assert_eq!(metrics.valid_framework_to_executor_messages, 1);
    assert_eq!(metrics.invalid_framework_to_executor_messages, 1);
}
