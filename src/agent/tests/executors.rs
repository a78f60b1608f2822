//! The ends of executors, and what their tasks hear.

use super::*;
use v1::TaskState;
use v1::executor::event::Type;
use v1::task_status::Reason;

const SECOND: ConnectionId = ConnectionId(101);

fn closes(effects: &[Effect], wanted: ConnectionId) -> bool {
    effects.iter().any(
        |effect| matches!(effect, Effect::CloseExecutor { connection } if *connection == wanted),
    )
}

fn killed(task: &str) -> v1::TaskStatus {
    v1::TaskStatus {
        message: Some("Command terminated with signal Killed".into()),
        ..status(task, TaskState::TaskFailed, 2)
    }
}

#[test]
fn an_executor_that_ends_takes_its_live_tasks_with_it() {
    let mut rig = Rig::registered();
    rig.run(framework(), custom_task("a", "E"));
    rig.run(framework(), custom_task("b", "E"));
    let container = launched(&rig.take()).container_id.clone();
    rig.subscribe("E");
    rig.update("E", status("a", TaskState::TaskFinished, 1));
    rig.take();
    let ended = Ended {
        wait_status: Some(9),
        ..Ended::default()
    };
    rig.ended(&container, ended);
    let effects = rig.take();
    let update = update_sent(&effects);
    assert_eq!(update.status.task_id.value, "b");
    assert_eq!(update.status.state(), TaskState::TaskFailed);
    assert_eq!(update.status.reason(), Reason::ExecutorTerminated);
    let Some(link::from_agent::Message::ExitedExecutor(exited)) = sent(&effects).pop() else {
        panic!("the master hears of the executor's end last: {effects:?}");
    };
    assert_eq!(exited.wait_status, 9);
}

#[test]
fn a_passed_limit_is_preferred_to_the_executors_word() {
    let mut rig = Rig::registered();
    let container = rig.running(framework(), "t");
    rig.update("t", killed("t"));
    assert!(updates(&rig.take()).is_empty(), "it waits to be explained");
    let limitation = Limitation {
        reason: Reason::ContainerLimitationMemory,
        message: "Memory limit exceeded: 160 MB".into(),
        resources: resources(0.0, 160.0),
    };
    let ended = Ended {
        reason: Some(limitation),
        ..Ended::default()
    };
    rig.ended(&container, ended);
    let update = update_sent(&rig.take());
    assert_eq!(update.status.state(), TaskState::TaskFailed);
    assert_eq!(update.status.reason(), Reason::ContainerLimitationMemory);
    assert!(update.status.message().contains("160 MB"));
    assert_eq!(update.status.limitation.unwrap().resources.len(), 2);
}

#[test]
fn a_passed_limit_explains_the_ends_of_a_whole_group() {
    for explained in [true, false] {
        let mut rig = Rig::registered();
        let executor = v1::ExecutorInfo {
            r#type: Some(v1::executor_info::Type::Default as i32),
            command: None,
            ..custom_executor("E")
        };
        rig.run_group(executor, vec![task("a"), task("b")]);
        let container = launched(&rig.take()).container_id.clone();
        rig.subscribe("E");
        rig.take();
        // The executor sees one of them fail, and takes the other's end for what it has asked for.
        rig.update("E", killed("a"));
        let mut second = killed("b");
        second.set_state(TaskState::TaskKilled);
        second.uuid = Some(vec![3; 16]);
        rig.update("E", second);
        assert!(updates(&rig.take()).is_empty(), "they wait to be explained");
        let reason = explained.then(|| Limitation {
            reason: Reason::ContainerLimitationMemory,
            message: "Memory limit exceeded: 160 MB".into(),
            resources: resources(0.0, 160.0),
        });
        let ended = Ended {
            reason,
            ..Ended::default()
        };
        rig.ended(&container, ended);
        let told: Vec<_> = updates(&rig.take())
            .into_iter()
            .map(|update| (update.status.state(), update.status.reason))
            .collect();
        let limit = Some(Reason::ContainerLimitationMemory as i32);
        let expected = if explained {
            [
                (TaskState::TaskFailed, limit),
                (TaskState::TaskFailed, limit),
            ]
        } else {
            [(TaskState::TaskFailed, None), (TaskState::TaskKilled, None)]
        };
        assert_eq!(told, expected);
    }
}

#[test]
fn without_a_limit_the_executors_word_stands() {
    for by_timer in [true, false] {
        let mut rig = Rig::registered();
        let container = rig.running(framework(), "t");
        rig.update("t", killed("t"));
        rig.take();
        if by_timer {
            rig.step(Event::TimerFired(TimerKey::LimitationGrace(container)));
        } else {
            rig.ended(&container, Ended::default());
        }
        let update = update_sent(&rig.take());
        assert_eq!(update.status.uuid(), [2; 16]);
        assert_eq!(update.status.reason, None);
    }
}

#[test]
fn a_container_that_never_started_fails_its_task() {
    let mut rig = Rig::registered();
    rig.run(framework(), command_task("t"));
    let container = launched(&rig.take()).container_id.clone();
    let ended = Ended {
        message: "cannot fetch http://x/y: 404".into(),
        ..Ended::default()
    };
    rig.ended(&container, ended);
    let update = update_sent(&rig.take());
    assert_eq!(update.status.reason(), Reason::ContainerLaunchFailed);
    assert!(update.status.message().contains("404"));
    assert_eq!(rig.snapshot().counters.container_launch_errors, 1);
    rig.acknowledge(&update);
    assert!(rig.snapshot().frameworks.is_empty());
    assert_eq!(rig.snapshot().completed_frameworks.len(), 1);
}

#[test]
fn an_executor_must_register_in_time() {
    let mut rig = Rig::registered();
    rig.run(framework(), command_task("t"));
    let effects = rig.take();
    let container = launched(&effects).container_id.clone();
    let timer = TimerKey::ExecutorRegistration(container.clone());
    let wait = timer_at(&effects, &timer).unwrap().since(rig.now.mono);
    assert_eq!(wait, Duration::from_secs(60));
    rig.step(Event::TimerFired(timer));
    assert_eq!(destroyed(&rig.take()), std::slice::from_ref(&container));
    rig.ended(&container, Ended::default());
    let update = update_sent(&rig.take());
    assert_eq!(update.status.state(), TaskState::TaskFailed);
    assert_eq!(update.status.reason(), Reason::ExecutorRegistrationTimeout);
}

#[test]
fn a_shutdown_gives_grace_and_then_destroys() {
    let mut rig = Rig::registered();
    rig.run(framework(), custom_task("a", "E"));
    let container = launched(&rig.take()).container_id.clone();
    rig.subscribe("E");
    rig.take();
    rig.shutdown_executor("E");
    let effects = rig.take();
    assert_eq!(told_types(&effects), [Type::Shutdown]);
    assert!(destroyed(&effects).is_empty());
    let timer = TimerKey::ExecutorShutdown(container.clone());
    let wait = timer_at(&effects, &timer).unwrap().since(rig.now.mono);
    assert_eq!(wait, Duration::from_secs(5));
    rig.step(Event::TimerFired(timer));
    assert_eq!(destroyed(&rig.take()), [container]);
}

#[test]
fn a_removed_framework_ends_in_silence() {
    let mut rig = Rig::registered();
    let container = rig.running(framework(), "t");
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    rig.take();
    let framework_id = "F".into();
    let message = link::ShutdownFramework { framework_id };
    rig.master(link::from_master::Message::ShutdownFramework(message));
    assert_eq!(told_types(&rig.take()), [Type::Shutdown]);
    rig.run(framework(), command_task("late"));
    assert!(rig.take().is_empty(), "no new tasks");
    rig.ended(&container, Ended::default());
    assert!(updates(&rig.take()).is_empty());
    assert!(rig.snapshot().frameworks.is_empty());
    let retry = TimerKey::UpdateRetry(FrameworkId::new("F"), TaskId::new("t"));
    rig.step(Event::TimerFired(retry));
    assert!(updates(&rig.take()).is_empty(), "no stream is left");
}

#[test]
fn strangers_are_sent_away() {
    let mut rig = Rig::registered();
    rig.subscribe("nobody");
    let effects = rig.take();
    assert_eq!(told_types(&effects), [Type::Shutdown]);
    assert!(closes(&effects, EXECUTOR));
}

#[test]
fn a_second_stream_replaces_the_first_and_lost_launches_are_reported() {
    let mut rig = Rig::registered();
    rig.run(framework(), custom_task("arrived", "E"));
    rig.run(framework(), custom_task("lost", "E"));
    rig.subscribe("E");
    rig.take();
    rig.subscribe_with(SECOND, "E", vec![custom_task("arrived", "E")], Vec::new());
    let effects = rig.take();
    assert!(closes(&effects, EXECUTOR));
    let update = update_sent(&effects);
    assert_eq!(update.status.task_id.value, "lost");
    assert_eq!(update.status.reason(), Reason::AgentRestarted);
    // The end of the replaced stream means nothing.
    rig.step(Event::ExecutorDisconnected {
        connection: EXECUTOR,
    });
    rig.run(framework(), custom_task("next", "E"));
    assert_eq!(told_types(&rig.take()), [Type::Launch]);
}

#[test]
fn replayed_updates_count_once() {
    let mut rig = Rig::registered();
    rig.running(framework(), "t");
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    rig.take();
    let replayed = vec![
        status("t", TaskState::TaskRunning, 1),
        status("t", TaskState::TaskFinished, 2),
    ];
    rig.subscribe_with(SECOND, "t", Vec::new(), replayed);
    let effects = rig.take();
    assert_eq!(
        told_types(&effects),
        [Type::Subscribed, Type::Acknowledged, Type::Acknowledged]
    );
    assert!(updates(&effects).is_empty(), "the first is under way");
}

#[test]
fn messages_pass_both_ways() {
    let mut rig = Rig::registered();
    rig.run(framework(), custom_task("a", "E"));
    rig.subscribe("E");
    rig.take();
    let message = link::FrameworkMessage {
        framework_id: "F".into(),
        executor_id: "E".into(),
        data: b"down".to_vec(),
    };
    let wrap = link::from_master::Message::FrameworkMessage;
    rig.master(wrap(message.clone()));
    let down = told(&rig.take())[0].message.clone().unwrap();
    assert_eq!(down.data, b"down");
    let data = b"up".to_vec();
    rig.call("E", ExecutorCall::Message { data });
    let effects = rig.take();
    let [link::from_agent::Message::ExecutorMessage(up)] = sent(&effects)[..] else {
        panic!("passed on: {effects:?}");
    };
    assert_eq!(up.data, b"up");
    rig.master(wrap(link::FrameworkMessage {
        executor_id: "X".into(),
        ..message
    }));
    let counters = rig.snapshot().counters;
    assert_eq!(counters.valid_framework_messages, 2);
    assert_eq!(counters.invalid_framework_messages, 1);
}

#[test]
fn a_local_agent_ends_with_its_last_container() {
    let mut rig = Rig::registered();
    let container = rig.running(framework(), "t");
    rig.step(Event::Shutdown { destroy: true });
    let effects = rig.take();
    assert_eq!(destroyed(&effects), std::slice::from_ref(&container));
    assert_eq!(exits(&effects), None);
    rig.ended(&container, Ended::default());
    assert_eq!(exits(&rig.take()), Some(false));
}

#[test]
fn metrics_have_mesos_names_and_count_what_is_used() {
    let mut rig = Rig::registered();
    rig.running(framework(), "t");
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    let metrics = rig.snapshot().metrics();
    for (name, value) in [
        ("slave/registered", 1.0),
        ("slave/tasks_running", 1.0),
        ("slave/executors_running", 1.0),
        ("slave/cpus_total", 4.0),
        ("slave/cpus_used", 1.1),
        ("slave/tasks_finished", 0.0),
        ("slave/executor_directory_max_allowed_age_secs", 544_320.0),
    ] {
        assert!((metrics[name] - value).abs() < 1e-6, "{name}");
    }
}

#[test]
fn transition_tables_go_forward_only() {
    let all = [
        ExecutorStatus::Preparing,
        ExecutorStatus::Registering,
        ExecutorStatus::Running,
        ExecutorStatus::Terminating,
        ExecutorStatus::Terminated,
    ];
    for from in all {
        for to in all {
            assert!(!from.may_become(to) || from < to, "{from:?} to {to:?}");
        }
    }
    let all = [Stage::Checkpointing, Stage::Queued, Stage::Sent];
    for from in all {
        for to in all {
            assert!(!from.may_become(to) || from < to, "{from:?} to {to:?}");
        }
    }
}

#[test]
fn a_drain_ends_executors_that_only_wait() {
    let mut rig = Rig::registered();
    rig.run(durable(), custom_task("t", "E"));
    let container = launched(&rig.take()).container_id.clone();
    rig.step(Event::ContainerLaunched {
        container_id: container.clone(),
        pid: 42,
    });
    rig.subscribe("E");
    rig.take();
    let config = v1::DrainConfig::default();
    rig.master(link::from_master::Message::DrainAgent(link::DrainAgent {
        config,
    }));
    assert_eq!(
        told_types(&rig.take()),
        [Type::Kill],
        "its task comes first"
    );
    rig.update("E", status("t", TaskState::TaskKilled, 1));
    let effects = rig.take();
    assert!(!told_types(&effects).contains(&Type::Shutdown));
    rig.acknowledge(&update_sent(&effects));
    assert_eq!(told_types(&rig.take()), [Type::Shutdown]);
    assert!(rig.snapshot().drain.is_some(), "it is still there");
    rig.ended(&container, Ended::default());
    assert!(rig.snapshot().drain.is_none());
    assert_eq!(rig.disk.drain, None);
}
