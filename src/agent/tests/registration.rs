//! Registration: back-off, epochs, pings, reconciliation, what a returning agent reports.

use super::*;
use v1::TaskState;
use v1::task_status::Reason;

const NEWER: ConnectionId = ConnectionId(2);

fn closes(effects: &[Effect], wanted: ConnectionId) -> bool {
    effects
        .iter()
        .any(|effect| matches!(effect, Effect::CloseMaster { connection } if *connection == wanted))
}

#[test]
fn registers_after_a_random_pause_that_grows() {
    let mut config = config();
    config.timing.registration_backoff_factor = Duration::from_secs(1);
    let mut rig = Rig::with(config, Checkpointed::default());
    let mut bound = Duration::from_millis(500);
    let mut longest = Duration::ZERO;
    for attempt in 0..12 {
        let connection = ConnectionId(attempt);
        rig.step(Event::MasterConnected { connection });
        let effects = rig.take();
        assert!(sent(&effects).is_empty());
        let at = timer_at(&effects, &TimerKey::Register).unwrap();
        let wait = at.since(rig.now.mono);
        assert!(wait <= bound, "{wait:?} is within {bound:?}");
        longest = longest.max(wait);
        rig.step(Event::MasterDisconnected { connection });
        // A master lets go whoever says nothing for five seconds.
        bound = (bound * 2).min(Duration::from_secs(4));
    }
    assert!(longest > Duration::from_secs(2), "the pauses have grown");
}

#[test]
fn the_id_is_written_down_before_it_is_used() {
    let mut rig = Rig::new();
    rig.fast_disk = false;
    rig.register();
    rig.run(framework(), command_task("t"));
    assert!(launches(&rig.take()).is_empty());
    assert!(!rig.snapshot().registered);
    assert!(matches!(rig.writes[0].1, Record::Agent { epoch: 1, .. }));
    rig.write_all();
    assert!(rig.snapshot().registered);
    assert_eq!(launches(&rig.take()).len(), 1, "what came early runs now");
}

#[test]
fn a_write_that_fails_ends_the_agent() {
    let mut rig = Rig::new();
    rig.fast_disk = false;
    rig.register();
    let (token, _) = rig.writes.remove(0);
    let result = Err("No space left on device".into());
    rig.step(Event::Checkpointed { token, result });
    assert_eq!(exits(&rig.take()), Some(true));
}

#[test]
fn a_deposed_leader_is_refused() {
    let mut rig = Rig::new();
    rig.step(Event::MasterConnected { connection: MASTER });
    rig.master(registered(5));
    rig.step(Event::MasterConnected { connection: NEWER });
    rig.take();
    rig.master_on(NEWER, registered(4));
    assert!(closes(&rig.take(), NEWER));
    assert!(!rig.snapshot().registered);
}

#[test]
fn pings_are_answered_and_silence_closes_the_link() {
    let mut rig = Rig::registered();
    let ping = link::Ping { sequence: 9 };
    rig.master(link::from_master::Message::Ping(ping));
    let effects = rig.take();
    let pong = link::Pong { sequence: 9 };
    assert_eq!(sent(&effects), [&link::from_agent::Message::Pong(pong)]);
    let at = timer_at(&effects, &TimerKey::PingTimeout).unwrap();
    assert_eq!(at.since(rig.now.mono), Duration::from_secs(75));
    rig.step(Event::TimerFired(TimerKey::PingTimeout));
    assert!(closes(&rig.take(), MASTER));
    assert!(!rig.snapshot().registered);
}

#[test]
fn a_master_that_does_not_answer_is_left() {
    let mut rig = Rig::new();
    rig.step(Event::MasterConnected { connection: MASTER });
    assert!(timer_at(&rig.take(), &TimerKey::Register).is_some());
    rig.step(Event::TimerFired(TimerKey::Register));
    assert!(closes(&rig.take(), MASTER));
}

#[test]
fn a_returning_agent_reports_everything_that_is_not_acknowledged() {
    let mut rig = Rig::registered();
    rig.running(framework(), "t");
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    rig.update("t", status("t", TaskState::TaskFinished, 2));
    rig.run(framework(), custom_task("c", "E"));
    rig.step(Event::MasterDisconnected { connection: MASTER });
    rig.take();
    rig.step(Event::MasterConnected { connection: NEWER });
    let effects = rig.take();
    let [link::from_agent::Message::Reregister(message)] = sent(&effects)[..] else {
        panic!("re-registers: {effects:?}");
    };
    assert_eq!(message.agent.id, Some("S0".into()));
    assert_eq!(message.frameworks.len(), 1);
    assert_eq!(message.executors.len(), 1, "command executors are left out");
    let states: Vec<_> = message
        .tasks
        .iter()
        .map(|task| (task.task_id.value.as_str(), task.state()))
        .collect();
    assert_eq!(
        states,
        [
            ("c", TaskState::TaskStaging),
            ("t", TaskState::TaskFinished)
        ]
    );
    let finished = &message.tasks[1];
    assert_eq!(finished.status_update_state(), TaskState::TaskRunning);
    assert_eq!(finished.status_update_uuid(), [1; 16]);
}

/// All of its updates came while nobody could be told: a new leader answers with the first of them, not with
/// an end that it would have to take back. Found by chaos, seed 1002.
#[test]
fn a_task_that_ended_unheard_is_reported_from_its_first_update_on() {
    let mut rig = Rig::registered();
    rig.running(framework(), "t");
    rig.step(Event::MasterDisconnected { connection: MASTER });
    for (state, number) in [
        (TaskState::TaskStarting, 1),
        (TaskState::TaskRunning, 2),
        (TaskState::TaskFinished, 3),
    ] {
        rig.update("t", status("t", state, number));
    }
    rig.take();
    rig.step(Event::MasterConnected { connection: NEWER });
    let effects = rig.take();
    let [link::from_agent::Message::Reregister(message)] = sent(&effects)[..] else {
        panic!("re-registers: {effects:?}");
    };
    let task = &message.tasks[0];
    assert_eq!(task.state(), TaskState::TaskFinished);
    assert_eq!(task.status_update_state(), TaskState::TaskStarting);
    assert_eq!(task.status_update_uuid(), [1; 16]);
}

#[test]
fn tasks_that_never_came_are_reported() {
    for (info, state) in [
        (framework(), TaskState::TaskLost),
        (partition_aware(), TaskState::TaskDropped),
    ] {
        let mut rig = Rig::registered();
        rig.running(framework(), "here");
        rig.step(Event::MasterConnected { connection: NEWER });
        rig.take();
        let answer = link::Reregistered {
            agent_id: "S0".into(),
            master: v1::MasterInfo::default(),
            epoch: 1,
            total_ping_timeout_seconds: 75.0,
            reconciliations: vec![link::ReconcileTasks {
                framework: info,
                tasks: vec!["here".into(), "gone".into()],
            }],
            operations: Vec::new(),
        };
        rig.master_on(NEWER, link::from_master::Message::Reregistered(answer));
        let update = update_sent(&rig.take());
        assert_eq!(update.status.task_id.value, "gone");
        assert_eq!(update.status.state(), state);
        assert_eq!(update.status.reason(), Reason::Reconciliation);
    }
}

#[test]
fn messages_of_an_old_link_are_dropped() {
    let mut rig = Rig::registered();
    rig.step(Event::MasterConnected { connection: NEWER });
    rig.take();
    rig.run(framework(), command_task("t"));
    assert!(rig.take().is_empty());
}

#[test]
fn a_removed_agent_kills_everything_forgets_its_id_and_ends() {
    let mut rig = Rig::registered();
    let container = rig.running(framework(), "t");
    let message = Some("gone".to_owned());
    let shutdown = link::Shutdown { message };
    rig.master(link::from_master::Message::Shutdown(shutdown));
    let effects = rig.take();
    assert_eq!(destroyed(&effects), std::slice::from_ref(&container));
    assert_eq!(exits(&effects), None);
    assert_eq!(rig.disk.agent, None);
    rig.ended(&container, Ended::default());
    assert_eq!(exits(&rig.take()), Some(true));
}

#[test]
fn what_a_removed_agent_still_writes_is_not_its_successors() {
    let mut rig = Rig::registered();
    let container = rig.running(durable(), "t");
    rig.master(link::from_master::Message::Shutdown(
        link::Shutdown::default(),
    ));
    rig.update("t", status("t", TaskState::TaskRunning, 9));
    rig.ended(&container, Ended::default());
    assert_eq!(exits(&rig.take()), Some(true));
    assert_eq!(rig.disk, Checkpointed::default());
}
