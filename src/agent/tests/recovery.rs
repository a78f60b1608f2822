//! What an agent keeps across a restart.

use super::*;
use v1::TaskState;

#[test]
fn the_id_and_open_updates_survive() {
    let mut rig = Rig::registered();
    rig.running(durable(), "t");
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    rig.update("t", status("t", TaskState::TaskFinished, 2));
    let mut next = Rig::with(config(), rig.disk.clone());
    next.step(Event::MasterConnected { connection: MASTER });
    let effects = next.take();
    let [link::from_agent::Message::Reregister(message)] = sent(&effects)[..] else {
        panic!("re-registers: {effects:?}");
    };
    assert_eq!(message.agent.id, Some("S0".into()));
    next.master(registered(1));
    let update = update_sent(&next.take());
    assert_eq!(update.status.state(), TaskState::TaskRunning);
    next.acknowledge(&update);
    let update = update_sent(&next.take());
    assert_eq!(update.status.state(), TaskState::TaskFinished);
}

#[test]
fn the_master_hears_of_ended_tasks_until_their_updates_have_arrived() {
    let mut rig = Rig::registered();
    let container = rig.running(durable(), "t");
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    rig.update("t", status("t", TaskState::TaskFinished, 2));
    rig.ended(&container, Ended::default());
    let mut next = next_life(&rig);
    let effects = next.take();
    let [link::from_agent::Message::Reregister(message)] = sent(&effects)[..] else {
        panic!("re-registers: {effects:?}");
    };
    // A master that does not know of it would tell the scheduler that it is gone.
    assert_eq!(message.tasks.len(), 1);
    assert_eq!(message.tasks[0].state(), TaskState::TaskFinished);
    assert_eq!(
        message.tasks[0].status_update_state(),
        TaskState::TaskRunning
    );
    assert_eq!(message.frameworks.len(), 1);
    next.master(registered(1));
    for state in [TaskState::TaskRunning, TaskState::TaskFinished] {
        let update = update_sent(&next.take());
        assert_eq!(update.status.state(), state);
        next.acknowledge(&update);
    }
    // Another master: there is nothing left to know.
    next.step(Event::MasterDisconnected { connection: MASTER });
    next.step(Event::MasterConnected { connection: MASTER });
    let effects = next.take();
    let [link::from_agent::Message::Reregister(message)] = sent(&effects)[..] else {
        panic!("re-registers: {effects:?}");
    };
    assert!(message.tasks.is_empty());
}

/// A life after `rig`'s, its containers taken back, its master answering.
fn next_life(rig: &Rig) -> Rig {
    let mut next = Rig::with(config(), rig.disk.clone());
    next.start();
    next.step(Event::MasterConnected { connection: MASTER });
    assert!(sent(&next.take()).is_empty(), "containers come first");
    next.step(Event::Recovered);
    next
}

fn known(effects: &[Effect]) -> Vec<&ContainerConfig> {
    let mut all = Vec::new();
    for effect in effects {
        if let Effect::Recover(known) = effect {
            all.extend(known);
        }
    }
    all
}

#[test]
fn an_executor_comes_back_with_its_task() {
    let mut rig = Rig::registered();
    let container = rig.running(durable(), "t");
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    let update = update_sent(&rig.take());
    rig.acknowledge(&update);
    rig.run(durable(), custom_task("u", "E"));
    let mut next = Rig::with(config(), rig.disk.clone());
    next.start();
    let effects = next.take();
    let ids: Vec<_> = known(&effects)
        .iter()
        .map(|one| &one.container_id)
        .collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&&container));

    let mut next = next_life(&rig);
    let effects = next.take();
    let [link::from_agent::Message::Reregister(message)] = sent(&effects)[..] else {
        panic!("re-registers: {effects:?}");
    };
    let states: Vec<_> = message.tasks.iter().map(v1::Task::state).collect();
    assert_eq!(states, [TaskState::TaskStaging, TaskState::TaskRunning]);
    assert_eq!(message.tasks[1].status_update_uuid(), [1; 16]);
    assert_eq!(message.executors.len(), 1);
    assert_eq!(message.frameworks.len(), 1);
    next.master(registered(1));
    assert!(
        sent(&next.take()).is_empty(),
        "what is acknowledged is not sent again"
    );

    next.subscribe("t");
    assert_eq!(
        told_types(&next.take()),
        [v1::executor::event::Type::Subscribed]
    );
    // It did not hear that its update was taken.
    next.update("t", status("t", TaskState::TaskRunning, 1));
    let effects = next.take();
    assert!(updates(&effects).is_empty());
    assert_eq!(
        told_types(&effects),
        [v1::executor::event::Type::Acknowledged]
    );
    next.update("t", status("t", TaskState::TaskFinished, 2));
    let update = update_sent(&next.take());
    assert_eq!(update.status.state(), TaskState::TaskFinished);
    next.ended(&container, Ended::default());
    next.acknowledge(&update);
    let left: Vec<_> = next.disk.tasks.keys().map(|key| key.1.as_str()).collect();
    assert_eq!(left, ["u"]);
}

#[test]
fn an_executor_that_stays_away_ends_and_a_task_that_never_arrived_is_lost() {
    let mut rig = Rig::registered();
    let away = rig.running(durable(), "away");
    rig.running(durable(), "early");
    let mut next = next_life(&rig);
    next.master(registered(1));
    // It was launched, and its task was not handed over before the agent ended.
    next.subscribe("early");
    let effects = next.take();
    let update = update_sent(&effects);
    assert_eq!(update.status.state(), TaskState::TaskLost);
    assert_eq!(
        update.status.reason(),
        v1::task_status::Reason::AgentRestarted
    );
    assert!(told_types(&effects).contains(&v1::executor::event::Type::Shutdown));
    next.step(Event::TimerFired(TimerKey::ExecutorRegistration(
        away.clone(),
    )));
    assert_eq!(destroyed(&next.take()), std::slice::from_ref(&away));
    next.ended(&away, Ended::default());
    let update = update_sent(&next.take());
    assert_eq!(update.status.state(), TaskState::TaskLost);
    assert_eq!(
        update.status.reason(),
        v1::task_status::Reason::ExecutorReregistrationTimeout
    );
}

#[test]
fn a_command_executor_whose_task_is_over_is_not_kept() {
    let mut rig = Rig::registered();
    let container = rig.running(durable(), "t");
    rig.update("t", status("t", TaskState::TaskFinished, 1));
    let update = update_sent(&rig.take());
    rig.acknowledge(&update);
    let mut next = next_life(&rig);
    assert_eq!(destroyed(&next.take()), std::slice::from_ref(&container));
    next.ended(&container, Ended::default());
    assert!(next.disk.executors.is_empty() && next.disk.frameworks.is_empty());
}

#[test]
fn a_third_life_knows_what_the_first_has_done() {
    let mut first = Rig::registered();
    first.running(durable(), "t");
    first.update("t", status("t", TaskState::TaskStarting, 1));
    let update = update_sent(&first.take());
    first.acknowledge(&update);
    first.update("t", status("t", TaskState::TaskRunning, 2));
    let second = next_life(&first);
    let mut folded = Checkpointed::default();
    for record in second.disk.records() {
        folded.apply(&record);
    }
    assert_eq!(folded, second.disk);
    let third = next_life(&second);
    let snapshot = third.snapshot();
    let executor = snapshot.executors().next().unwrap();
    let task = executor.tasks.values().next().unwrap();
    let states: Vec<_> = task.statuses.iter().map(v1::TaskStatus::state).collect();
    assert_eq!(states, [TaskState::TaskStarting, TaskState::TaskRunning]);
}

#[test]
fn cleanup_ends_everything_and_forgets_the_id() {
    let mut rig = Rig::registered();
    rig.running(durable(), "t");
    let mut config = config();
    config.cleanup = true;
    let mut next = Rig::with(config, rig.disk.clone());
    next.start();
    assert!(known(&next.take()).is_empty());
    next.step(Event::Recovered);
    assert_eq!(exits(&next.take()), Some(false));
    assert_eq!(next.disk, Checkpointed::default());
}

#[test]
fn the_policy_says_what_may_change_under_executors() {
    use super::super::recovery::refused;
    let mut rig = Rig::registered();
    let mut larger = config();
    larger.resources = resources(8.0, 8192.0);
    let mut smaller = config();
    smaller.resources = resources(1.0, 128.0);
    for changed in [&larger, &smaller] {
        assert_eq!(refused(changed, &rig.disk), None, "nothing is taken back");
    }
    rig.running(durable(), "t");
    assert_eq!(refused(&config(), &rig.disk), None);
    let reason = refused(&larger, &rig.disk).unwrap();
    assert!(
        reason.starts_with("--reconfiguration_policy=equal: "),
        "{reason}"
    );
    larger.reconfiguration = Reconfiguration::Additive;
    smaller.reconfiguration = Reconfiguration::Additive;
    assert_eq!(refused(&larger, &rig.disk), None);
    assert!(refused(&smaller, &rig.disk).is_some());
    smaller.cleanup = true;
    assert_eq!(refused(&smaller, &rig.disk), None);
    // After a boot nothing runs that would miss what is gone.
    smaller.cleanup = false;
    smaller.boot_id = "another boot".into();
    assert_eq!(refused(&smaller, &rig.disk), None);
}

#[test]
fn after_a_boot_the_agent_is_the_same_and_its_tasks_are_over() {
    let mut rig = Rig::registered();
    let container = rig.running(durable(), "t");
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    let update = update_sent(&rig.take());
    rig.acknowledge(&update);
    let mut config = config();
    config.boot_id = "another boot".into();
    let mut next = Rig::with(config, rig.disk.clone());
    next.start();
    let found: Vec<_> = known(&next.take())
        .iter()
        .map(|config| config.container_id.clone())
        .collect();
    assert_eq!(found, std::slice::from_ref(&container));
    assert_eq!(next.snapshot().info.id, rig.snapshot().info.id);
    // The containerizer finds no trace of it.
    next.ended(&container, Ended::default());
    next.step(Event::Recovered);
    let effects = next.take();
    assert!(destroyed(&effects).is_empty(), "{effects:?}");
    let folded = next.disk.updates.values().next().unwrap();
    let told = folded.queue.last().unwrap();
    assert!(told.state().is_terminal(), "{told:?}");
}

#[test]
fn an_agent_that_ends_leaves_executors_of_checkpointing_frameworks_alone() {
    let mut rig = Rig::registered();
    rig.running(durable(), "stays");
    rig.step(Event::Shutdown { destroy: false });
    assert_eq!(exits(&rig.take()), Some(false));

    let mut rig = Rig::registered();
    let goes = rig.running(framework(), "goes");
    rig.step(Event::Shutdown { destroy: false });
    let effects = rig.take();
    assert_eq!(
        (exits(&effects), destroyed(&effects)),
        (None, vec![goes.clone()])
    );
    rig.ended(&goes, Ended::default());
    let effects = rig.take();
    assert_eq!(exits(&effects), Some(false));
    assert!(
        sent(&effects).is_empty(),
        "it does not unregister: {effects:?}"
    );
}

#[test]
fn another_host_name_or_less_memory_is_another_agent() {
    let rig = Rig::registered();
    let mut renamed = config();
    renamed.hostname = "other".into();
    let mut smaller = config();
    smaller.resources = resources(4.0, 1024.0);
    let mut larger = config();
    larger.resources = resources(8.0, 8192.0);
    for (config, kept) in [(renamed, false), (smaller, false), (larger, true)] {
        let next = Rig::with(config, rig.disk.clone());
        assert_eq!(next.snapshot().info.id.is_some(), kept);
    }
}

#[test]
fn the_fewest_records_say_the_same() {
    let mut rig = Rig::registered();
    rig.running(durable(), "a");
    rig.update("a", status("a", TaskState::TaskRunning, 1));
    rig.run(durable(), custom_task("b", "E"));
    let mut again = Checkpointed::default();
    for record in rig.disk.records() {
        again.apply(&record);
    }
    assert_eq!(again, rig.disk);
    assert_eq!(again.tasks.len(), 2);
    assert_eq!(again.executors.len(), 2);
}

#[test]
fn an_ended_task_leaves_nothing_behind() {
    let mut rig = Rig::registered();
    let container = rig.running(durable(), "t");
    rig.update("t", status("t", TaskState::TaskFinished, 1));
    let update = update_sent(&rig.take());
    rig.ended(&container, Ended::default());
    rig.acknowledge(&update);
    let empty = Checkpointed {
        agent: rig.disk.agent.clone(),
        history: rig.disk.history.clone(),
        ..Checkpointed::default()
    };
    assert_eq!(rig.disk, empty);
}

#[test]
fn what_has_ended_is_shown_by_the_next_life() {
    let mut rig = Rig::registered();
    let container = rig.running(durable(), "t");
    rig.update("t", status("t", TaskState::TaskFinished, 1));
    let update = update_sent(&rig.take());
    rig.acknowledge(&update);
    rig.ended(&container, Ended::default());
    assert!(rig.disk.executors.is_empty() && rig.disk.frameworks.is_empty());
    let folded = |disk: &Checkpointed| {
        let mut again = Checkpointed::default();
        for record in disk.records() {
            again.apply(&record);
        }
        again
    };
    assert_eq!(folded(&rig.disk), rig.disk);
    let mut next = next_life(&rig);
    for _ in 0..2 {
        let snapshot = next.snapshot();
        assert!(snapshot.frameworks.is_empty());
        let [framework] = &snapshot.completed_frameworks.iter().collect::<Vec<_>>()[..] else {
            panic!("the framework is shown");
        };
        let executor = framework.completed_executors.front().unwrap();
        assert_eq!(executor.container_id, container);
        let task = executor.completed_tasks.front().unwrap();
        assert_eq!(task.state, TaskState::TaskFinished);
        next = next_life(&next);
    }
}

#[test]
fn the_history_is_bounded() {
    let mut disk = Rig::registered().disk;
    let info = std::sync::Arc::new(durable());
    disk.apply(&Record::Framework { info });
    for number in 0..2_000 {
        let container_id = ContainerId::new(format!("c{number}"));
        let framework_id = FrameworkId::new("F");
        let info = v1::ExecutorInfo {
            executor_id: format!("e{number}").as_str().into(),
            ..v1::ExecutorInfo::default()
        };
        let executor_id = ExecutorId::new(info.executor_id.value.as_str());
        for record in [
            Record::Executor {
                framework_id: framework_id.clone(),
                info: info.into(),
                container_id: container_id.clone(),
                command_executor: true,
            },
            Record::Launched {
                container_id: container_id.clone(),
                pid: 1,
            },
            Record::ExecutorEnded {
                framework_id,
                executor_id,
                container_id,
            },
        ] {
            disk.apply(&record);
        }
    }
    assert_eq!(disk.history.runs().count(), 500);
    let newest = disk.history.runs().last().unwrap();
    assert_eq!(newest.executor_id.as_str(), "e1999");
}

#[test]
fn the_process_of_a_driver_is_known_to_the_next_life() {
    let mut rig = Rig::registered();
    rig.running(durable(), "t");
    let executor_id = rig.disk.executors.keys().next().unwrap().1.clone();
    rig.step(Event::ExecutorDriver {
        framework_id: FrameworkId::new("F"),
        executor_id,
        driver: "executor(1)@127.0.0.1:1".to_owned(),
    });
    let next = next_life(&rig);
    let snapshot = next.snapshot();
    let executor = snapshot.executors().next().unwrap();
    assert_eq!(executor.driver.as_deref(), Some("executor(1)@127.0.0.1:1"));
    assert!(executor.recovered);
}

#[test]
fn what_a_removed_framework_did_not_end_is_not_told_by_the_next_life() {
    let mut rig = Rig::registered();
    let container = rig.running(durable(), "t");
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    rig.master(link::from_master::Message::ShutdownFramework(
        link::ShutdownFramework {
            framework_id: "F".into(),
        },
    ));
    rig.ended(&container, Ended::default());
    assert!(rig.disk.updates.is_empty(), "{:?}", rig.disk.updates);
    assert!(rig.disk.tasks.is_empty(), "{:?}", rig.disk.tasks);
}
