//! RunTask and RunTaskGroup, up to the LAUNCH event; kills on the way.

use super::*;
use v1::TaskState;
use v1::executor::event::Type;
use v1::task_status::Reason;

#[test]
fn a_command_task_gets_an_executor_of_its_own() {
    let mut rig = Rig::registered();
    rig.run(framework(), command_task("t"));
    let effects = rig.take();
    let config = launched(&effects);
    assert_eq!(config.executor_id.as_str(), "t");
    assert!(matches!(&config.kind, ContainerKind::CommandTask(task) if task.task_id.value == "t"));
    assert_eq!(config.command.value(), "echo hello");
    assert_eq!(config.user.as_deref(), Some("nobody"));
    assert_eq!(config.resources.cpus().to_string(), "1.1");
    assert_eq!(config.resources.mem().to_string(), "160");
    let sandbox = format!(
        "/work/slaves/S0/frameworks/F/executors/t/runs/{}",
        config.container_id
    );
    assert_eq!(config.sandbox.to_str(), Some(sandbox.as_str()));
    let variable = |name: &str| {
        let found = config.environment.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(variable("MESOS_TASK_ID"), Some("t"));
    assert_eq!(variable("MESOS_SANDBOX"), Some(sandbox.as_str()));

    rig.subscribe("t");
    let effects = rig.take();
    assert_eq!(told_types(&effects), [Type::Subscribed, Type::Launch]);
    let launch = told(&effects)[1].launch.clone().unwrap();
    assert_eq!(launch.task.task_id.value, "t");
}

#[test]
fn the_name_of_a_command_executor_shows_the_command() {
    for (text, shown) in [
        ("echo hello", "sh -c 'echo hello'"),
        ("echo hello; sleep 100", "sh -c 'echo hello; ...'"),
    ] {
        let mut task = command_task("t");
        task.command = Some(command(text));
        let mut rig = Rig::registered();
        rig.run(framework(), task);
        let snapshot = rig.snapshot();
        let executor = snapshot.executors().next().unwrap();
        let name = format!("Command Executor (Task: t) (Command: {shown})");
        assert_eq!(executor.info.name(), name);
    }
}

/// What a real agent gave its executor (golden/executor_env.json), variable by variable.
#[test]
fn the_environment_of_a_custom_executor_is_that_of_mesos() {
    let mut rig = Rig::registered();
    rig.run(framework(), custom_task("t", "pyex"));
    let effects = rig.take();
    let config = launched(&effects);
    let sandbox = config.sandbox.to_str().unwrap();
    let mut environment = config.environment.clone();
    environment.sort();
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let expected = [
        ("LIBPROCESS_IP", "127.0.0.1"),
        ("LIBPROCESS_PORT", "0"),
        ("MESOS_AGENT_ENDPOINT", "127.0.0.1:5051"),
        ("MESOS_CHECKPOINT", "0"),
        ("MESOS_DIRECTORY", sandbox),
        ("MESOS_EXECUTOR_ID", "pyex"),
        ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "5secs"),
        ("MESOS_FRAMEWORK_ID", "F"),
        ("MESOS_HTTP_COMMAND_EXECUTOR", "0"),
        ("MESOS_SANDBOX", sandbox),
        ("MESOS_SLAVE_ID", "S0"),
        ("MESOS_SLAVE_PID", "slave(1)@127.0.0.1:5051"),
        ("PATH", path),
    ];
    assert_eq!(
        environment,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[test]
fn a_checkpointing_framework_adds_two_variables() {
    let mut rig = Rig::registered();
    rig.run(durable(), custom_task("t", "E"));
    let effects = rig.take();
    let environment = &launched(&effects).environment;
    for (name, value) in [
        ("MESOS_CHECKPOINT", "1"),
        ("MESOS_RECOVERY_TIMEOUT", "15mins"),
        ("MESOS_SUBSCRIPTION_BACKOFF_MAX", "2secs"),
    ] {
        let variable = (name.to_owned(), value.to_owned());
        assert!(environment.contains(&variable), "{name}");
    }
}

#[test]
fn tasks_are_written_down_before_their_executor_starts() {
    let mut rig = Rig::registered();
    rig.fast_disk = false;
    rig.run(durable(), command_task("t"));
    assert!(launches(&rig.take()).is_empty());
    assert!(matches!(rig.writes[0].1, Record::Framework { .. }));
    assert!(matches!(rig.writes[1].1, Record::Executor { .. }));
    assert!(matches!(rig.writes[2].1, Record::Task { .. }));
    rig.write_all();
    assert_eq!(launches(&rig.take()).len(), 1);
}

/// A group's task that waits for the disk: its executor is not launched yet.
fn preparing() -> Rig {
    let mut rig = Rig::registered();
    rig.fast_disk = false;
    rig.run(durable(), custom_task("t", "E"));
    assert!(launches(&rig.take()).is_empty());
    rig
}

#[test]
fn the_master_hears_of_an_executor_that_is_about_to_be_launched() {
    let mut rig = preparing();
    rig.step(Event::MasterDisconnected { connection: MASTER });
    let connection = ConnectionId(2);
    rig.step(Event::MasterConnected { connection });
    let effects = rig.take();
    let link::from_agent::Message::Reregister(message) = sent(&effects)[0] else {
        panic!("{effects:?}");
    };
    assert_eq!(message.tasks.len(), 1);
    assert_eq!(message.executors.len(), 1, "the task's executor");
}

#[test]
fn the_master_hears_that_an_executor_was_never_launched() {
    let mut rig = preparing();
    rig.kill("t");
    rig.fast_disk = true;
    rig.write_all();
    let update = update_sent(&rig.take());
    assert_eq!(update.status.state(), TaskState::TaskKilled);
    rig.acknowledge(&update);
    let effects = rig.take();
    let told = sent(&effects);
    let exited = told.iter().any(
        |message| matches!(message, link::from_agent::Message::ExitedExecutor(it) if it.executor_id.value == "E"),
    );
    assert!(exited, "{told:?}");
}

#[test]
fn a_duplicate_is_never_started_twice() {
    let mut rig = Rig::registered();
    rig.running(framework(), "t");
    rig.run(framework(), command_task("t"));
    assert!(rig.take().is_empty());
    // Not even while only its last update is left.
    rig.update("t", status("t", TaskState::TaskFinished, 1));
    rig.take();
    rig.run(framework(), command_task("t"));
    assert!(rig.take().is_empty());
    assert_eq!(rig.snapshot().counters.duplicate_tasks, 2);
}

#[test]
fn tasks_of_a_custom_executor_wait_for_it_and_keep_their_order() {
    let mut rig = Rig::registered();
    rig.run(framework(), custom_task("b", "E"));
    rig.run(framework(), custom_task("a", "E"));
    let effects = rig.take();
    let config = launched(&effects);
    assert!(matches!(&config.kind, ContainerKind::Executor(_)));
    assert_eq!(config.command.value(), "./executor");
    rig.subscribe("E");
    let effects = rig.take();
    let tasks: Vec<_> = told(&effects)
        .into_iter()
        .filter_map(|event| Some(event.launch?.task.task_id.value))
        .collect();
    assert_eq!(tasks, ["b", "a"]);
    // The container was launched for one task and runs two.
    assert_eq!(resized(&effects).as_deref(), Some("2.1"));
    rig.run(framework(), custom_task("c", "E"));
    assert_eq!(told_types(&rig.take()), [Type::Launch]);
}

#[test]
fn a_group_is_delivered_as_one() {
    let mut rig = Rig::registered();
    rig.run_group(custom_executor("E"), vec![task("a"), task("b")]);
    rig.run_group(custom_executor("E"), vec![task("c")]);
    rig.subscribe("E");
    let groups: Vec<Vec<String>> = told(&rig.take())
        .into_iter()
        .filter_map(|event| event.launch_group)
        .map(|launch| {
            let tasks = launch.task_group.tasks.into_iter();
            tasks.map(|task| task.task_id.value).collect()
        })
        .collect();
    assert_eq!(groups, [vec!["a".to_owned(), "b".into()], vec!["c".into()]]);
}

fn default_executor(id: &str) -> v1::ExecutorInfo {
    v1::ExecutorInfo {
        r#type: Some(v1::executor_info::Type::Default as i32),
        command: None,
        ..custom_executor(id)
    }
}

#[test]
fn the_default_executor_is_ours_and_its_tasks_keep_their_containers() {
    let mut rig = Rig::registered();
    rig.run_group(default_executor("E"), vec![task("a"), task("b")]);
    let effects = rig.take();
    let config = launched(&effects);
    assert!(matches!(&config.kind, ContainerKind::TaskGroups(_)));
    assert_eq!(config.command, v1::CommandInfo::default());
    let outer = v1::ContainerId::from(&config.container_id);
    rig.subscribe("E");
    assert_eq!(
        told_types(&rig.take()),
        [Type::Subscribed, Type::LaunchGroup]
    );
    let inner = v1::ContainerId {
        value: "inner".into(),
        parent: Some(Box::new(outer.clone())),
    };
    for (task, named, expected) in [
        ("a", inner.clone(), &inner),
        ("b", "elsewhere".into(), &outer),
    ] {
        let mut status = status(task, TaskState::TaskRunning, 1);
        status.container_status = Some(v1::ContainerStatus {
            container_id: Some(named),
            ..Default::default()
        });
        rig.update("E", status);
        let container = update_sent(&rig.take()).status.container_status.unwrap();
        assert_eq!(container.container_id.as_ref(), Some(expected));
    }
}

#[test]
fn a_kill_before_the_executor_drops_the_whole_group() {
    let mut rig = Rig::registered();
    rig.run_group(custom_executor("E"), vec![task("a"), task("b")]);
    let container = launched(&rig.take()).container_id.clone();
    rig.kill("a");
    let effects = rig.take();
    let sent = updates(&effects);
    assert_eq!(sent.len(), 2);
    for update in sent {
        assert_eq!(update.status.state(), TaskState::TaskKilled);
        assert_eq!(update.status.reason(), Reason::TaskKilledDuringLaunch);
    }
    // Nothing was ever delivered: the executor has no reason to live.
    assert_eq!(destroyed(&effects), [container]);
}

#[test]
fn a_kill_of_one_queued_task_spares_the_others() {
    let mut rig = Rig::registered();
    rig.run(framework(), custom_task("a", "E"));
    rig.run(framework(), custom_task("b", "E"));
    rig.kill("a");
    assert!(destroyed(&rig.take()).is_empty());
    rig.subscribe("E");
    assert_eq!(told_types(&rig.take()), [Type::Subscribed, Type::Launch]);
}

#[test]
fn a_kill_while_the_task_is_written_starts_nothing() {
    let mut rig = Rig::registered();
    rig.fast_disk = false;
    rig.run(durable(), command_task("t"));
    rig.kill("t");
    rig.write_all();
    let effects = rig.take();
    assert!(launches(&effects).is_empty());
    let update = update_sent(&effects);
    assert_eq!(update.status.state(), TaskState::TaskKilled);
    rig.acknowledge(&update);
    rig.write_all();
    assert!(rig.snapshot().frameworks.is_empty());
}

#[test]
fn a_kill_reaches_the_executor_and_is_repeated_on_its_next_stream() {
    let mut rig = Rig::registered();
    rig.running(framework(), "t");
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    rig.take();
    rig.kill("t");
    assert_eq!(told_types(&rig.take()), [Type::Kill]);
    rig.step(Event::ExecutorDisconnected {
        connection: EXECUTOR,
    });
    rig.subscribe_with(ConnectionId(101), "t", Vec::new(), Vec::new());
    assert_eq!(told_types(&rig.take()), [Type::Subscribed, Type::Kill]);
}

#[test]
fn a_kill_of_an_unknown_task_is_answered_once() {
    let mut rig = Rig::registered();
    rig.kill("nobody");
    let update = update_sent(&rig.take());
    assert_eq!(update.status.state(), TaskState::TaskLost);
    rig.kill("nobody");
    assert!(updates(&rig.take()).is_empty());
}

#[test]
fn tasks_for_an_ending_executor_are_dropped() {
    let mut rig = Rig::registered();
    rig.run(partition_aware(), custom_task("a", "E"));
    rig.subscribe("E");
    rig.shutdown_executor("E");
    rig.take();
    rig.run(partition_aware(), custom_task("b", "E"));
    let update = update_sent(&rig.take());
    assert_eq!(update.status.state(), TaskState::TaskDropped);
    assert_eq!(update.status.reason(), Reason::ExecutorTerminated);
}

#[test]
fn limits_add_up_over_executor_and_tasks() {
    let mut rig = Rig::registered();
    let mut limited = custom_task("a", "E");
    for (name, value) in [("cpus", f64::INFINITY), ("mem", 256.0)] {
        let limit = v1::value::Scalar { value };
        limited.limits.insert(name.into(), limit);
    }
    rig.run(framework(), limited);
    let effects = rig.take();
    let limits = &launched(&effects).limits;
    assert!(limits["cpus"].is_infinite());
    assert!((limits["mem"] - 288.0).abs() < 1e-6);
}
