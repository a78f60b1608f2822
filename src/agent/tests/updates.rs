//! Status updates: in order, written first, repeated until acknowledged, acknowledged to the executor.

use super::*;
use v1::TaskState;
use v1::executor::event::Type;

fn retry_of(task: &str) -> TimerKey {
    TimerKey::UpdateRetry(FrameworkId::new("F"), TaskId::new(task))
}

#[test]
fn one_update_at_a_time_in_order() {
    let mut rig = Rig::registered();
    rig.running(framework(), "t");
    rig.update("t", status("t", TaskState::TaskStarting, 1));
    rig.update("t", status("t", TaskState::TaskRunning, 2));
    rig.update("t", status("t", TaskState::TaskFinished, 3));
    let effects = rig.take();
    assert_eq!(told_types(&effects), [Type::Acknowledged; 3]);
    let first = update_sent(&effects);
    assert_eq!(first.status.state(), TaskState::TaskStarting);
    rig.acknowledge(&first);
    let second = update_sent(&rig.take());
    assert_eq!(second.status.state(), TaskState::TaskRunning);
    assert_eq!(second.latest_state(), TaskState::TaskFinished);
    rig.acknowledge(&second);
    let third = update_sent(&rig.take());
    assert_eq!(third.status.state(), TaskState::TaskFinished);
    assert_eq!(third.status.agent_id, Some("S0".into()));
    assert_eq!(third.status.executor_id, Some("t".into()));
    rig.acknowledge(&third);
    assert!(updates(&rig.take()).is_empty());
}

#[test]
fn retries_double_up_to_ten_minutes_and_restart_after_registration() {
    let mut rig = Rig::registered();
    rig.running(framework(), "t");
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    let mut waits = Vec::new();
    for _ in 0..8 {
        let effects = rig.take();
        assert_eq!(updates(&effects).len(), 1);
        let at = timer_at(&effects, &retry_of("t")).unwrap();
        let wait = at.since(rig.now.mono);
        waits.push(wait.as_secs());
        rig.pass(wait);
        rig.step(Event::TimerFired(retry_of("t")));
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600]);
    let connection = ConnectionId(2);
    rig.step(Event::MasterConnected { connection });
    rig.take();
    rig.step(Event::TimerFired(retry_of("t")));
    assert!(
        updates(&rig.take()).is_empty(),
        "nothing is sent unregistered"
    );
    rig.master_on(connection, registered(1));
    let effects = rig.take();
    assert_eq!(updates(&effects).len(), 1);
    let at = timer_at(&effects, &retry_of("t")).unwrap();
    assert_eq!(at.since(rig.now.mono).as_secs(), 10);
}

#[test]
fn nobody_hears_of_an_update_before_it_is_written() {
    let mut rig = Rig::registered();
    rig.running(durable(), "t");
    rig.fast_disk = false;
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    assert!(rig.take().is_empty());
    // The same again, still unwritten: no answer yet either.
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    assert!(rig.take().is_empty());
    rig.write_all();
    let effects = rig.take();
    let update = update_sent(&effects);
    assert_eq!(told_types(&effects), [Type::Acknowledged]);
    // The acknowledgement, too, is written before the next update goes.
    rig.update("t", status("t", TaskState::TaskFinished, 2));
    rig.write_all();
    rig.take();
    rig.acknowledge(&update);
    assert!(updates(&rig.take()).is_empty());
    rig.write_all();
    let next = update_sent(&rig.take());
    assert_eq!(next.status.state(), TaskState::TaskFinished);
}

#[test]
fn duplicates_are_acknowledged_again_and_not_sent_again() {
    let mut rig = Rig::registered();
    rig.running(framework(), "t");
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    let update = update_sent(&rig.take());
    for _ in 0..2 {
        rig.update("t", status("t", TaskState::TaskRunning, 1));
        let effects = rig.take();
        assert_eq!(told_types(&effects), [Type::Acknowledged]);
        assert!(updates(&effects).is_empty());
        rig.acknowledge(&update);
    }
}

#[test]
fn nothing_follows_a_terminal_state() {
    let mut rig = Rig::registered();
    rig.running(framework(), "t");
    rig.update("t", status("t", TaskState::TaskFinished, 1));
    let update = update_sent(&rig.take());
    rig.update("t", status("t", TaskState::TaskRunning, 2));
    assert_eq!(told_types(&rig.take()), [Type::Acknowledged]);
    rig.acknowledge(&update);
    assert!(updates(&rig.take()).is_empty());
    assert_eq!(rig.snapshot().counters.invalid_status_updates, 1);
}

#[test]
fn an_update_of_a_stranger_is_refused() {
    let mut rig = Rig::registered();
    rig.running(framework(), "t");
    rig.update("t", status("other", TaskState::TaskRunning, 5));
    let effects = rig.take();
    assert!(updates(&effects).is_empty());
    let refused = |effect: &Effect| {
        let Effect::Reply { result, .. } = effect else {
            return false;
        };
        matches!(result, Err(CallRefused::Invalid(_)))
    };
    assert!(effects.iter().any(refused));
}

#[test]
fn a_wrong_acknowledgement_changes_nothing() {
    let mut rig = Rig::registered();
    rig.running(framework(), "t");
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    rig.update("t", status("t", TaskState::TaskFinished, 2));
    let right = update_sent(&rig.take());
    let mut wrong = right.clone();
    wrong.status.uuid = Some(vec![2; 16]);
    rig.acknowledge(&wrong);
    assert!(rig.take().is_empty());
    rig.acknowledge(&right);
    assert_eq!(update_sent(&rig.take()).status.uuid(), [2; 16]);
}

#[test]
fn a_terminal_update_shrinks_the_container_of_a_custom_executor() {
    let mut rig = Rig::registered();
    rig.run(framework(), custom_task("a", "E"));
    rig.subscribe("E");
    rig.take();
    rig.update("E", status("a", TaskState::TaskFinished, 1));
    assert_eq!(resized(&rig.take()).as_deref(), Some("0.1"));
}

#[test]
fn calls_are_checked_as_mesos_does() {
    type Change = fn(&mut v1::executor::Call);
    fn field(call: &mut v1::executor::Call) -> &mut v1::TaskStatus {
        &mut call.update.as_mut().unwrap().status
    }
    let check = |change: Change| {
        let mut call = v1::executor::Call {
            executor_id: "E".into(),
            framework_id: "F".into(),
            r#type: Some(v1::executor::call::Type::Update as i32),
            update: Some(v1::executor::call::Update {
                status: status("t", TaskState::TaskRunning, 1),
            }),
            ..Default::default()
        };
        change(&mut call);
        ParsedCall::from_wire(call).map(|_| ())
    };
    assert_eq!(check(|_| ()), Ok(()));
    let bad: [(Change, &str); 8] = [
        (|call| field(call).uuid = None, "status.uuid: required"),
        (|call| field(call).uuid = Some(vec![1; 15]), "has 15 bytes"),
        (|call| field(call).source = None, "status.source"),
        (
            |call| field(call).executor_id = Some("X".into()),
            "status.executor_id",
        ),
        (
            |call| field(call).state = TaskState::TaskStaging as i32,
            "TASK_STAGING",
        ),
        (|call| field(call).task_id = "../x".into(), "status.task_id"),
        (|call| call.update = None, "update: required"),
        (|call| call.r#type = None, "type: UNKNOWN"),
    ];
    for (change, text) in bad {
        let error = check(change).unwrap_err().to_string();
        assert!(error.contains(text), "{error:?} says {text:?}");
    }
}
