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

/// The same master, whose link broke before the first update: the agent is back with a task that has ended.
#[test]
fn answers_wait_for_the_first_update_of_a_task_that_ended_unheard() {
    let mut bench = Bench::new();
    let mut agent = bench.agent("a", "cpus:4;mem:1024");
    let scheduler = bench.subscribe(framework("f"));
    let offers = bench.offers(&scheduler);
    let launched = launch(vec![task("t", &agent, "cpus:1;mem:64")]);
    bench.accept(&scheduler, &offers, vec![launched]);
    let mut report = bench.report(&scheduler);
    assert_eq!(report.state(), TaskState::TaskStaging);
    let info = v1::FrameworkInfo::clone(&bench.snapshot().frameworks[&scheduler.id].info);
    report.set_state(TaskState::TaskFinished);
    report.set_status_update_state(TaskState::TaskStarting);
    report.statuses.push(v1::TaskStatus {
        task_id: "t".into(),
        state: TaskState::TaskFinished.into(),
        ..v1::TaskStatus::default()
    });
    bench.return_agent(&mut agent, vec![report], vec![info]);
    bench.events(scheduler.connection);
    ask(&mut bench, &scheduler, &[("t", None)]);
    assert_eq!(bench.states(&scheduler), [TaskState::TaskStarting]);
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

/// Where the agent of a task is, that is asked about.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Registered, and runs task `t`.
    Here,
    /// Its link is down, it is expected back.
    Away,
    Unreachable,
    Gone,
    /// Of the registry, not back since this master leads.
    Recovering,
    /// Nobody has heard of it, or the registry has forgotten it.
    Unheard,
}

/// One cell of facts 6.3: where the agent is, the task, whether the agent is named, and the answer to a
/// scheduler that knows of partitions and to one that does not. None means that there is none.
type Cell = (
    Place,
    &'static str,
    bool,
    Option<TaskState>,
    Option<TaskState>,
);

fn table() -> Vec<Cell> {
    use Place::{Away, Gone, Here, Recovering, Unheard, Unreachable};
    use TaskState::{
        TaskGone, TaskGoneByOperator, TaskLost, TaskRunning, TaskUnknown, TaskUnreachable,
    };
    let same = |place, task, named, state| (place, task, named, state, state);
    let lost = |place, task, named, state| (place, task, named, Some(state), Some(TaskLost));
    vec![
        same(Here, "t", true, Some(TaskRunning)),
        same(Here, "t", false, Some(TaskRunning)),
        lost(Here, "x", true, TaskGone),
        lost(Here, "x", false, TaskUnknown),
        same(Away, "t", true, Some(TaskRunning)),
        same(Away, "t", false, Some(TaskRunning)),
        lost(Away, "x", true, TaskGone),
        lost(Away, "x", false, TaskUnknown),
        lost(Unreachable, "t", true, TaskUnreachable),
        lost(Unreachable, "t", false, TaskUnreachable),
        lost(Unreachable, "x", true, TaskUnreachable),
        lost(Unreachable, "x", false, TaskUnknown),
        lost(Gone, "t", true, TaskGoneByOperator),
        lost(Gone, "t", false, TaskUnknown),
        lost(Gone, "x", true, TaskGoneByOperator),
        lost(Gone, "x", false, TaskUnknown),
        same(Recovering, "t", true, None),
        // While any agent is recovering, it may be the one that runs the task.
        same(Recovering, "t", false, None),
        same(Recovering, "x", true, None),
        same(Recovering, "x", false, None),
        lost(Unheard, "x", true, TaskUnknown),
        lost(Unheard, "x", false, TaskUnknown),
    ]
}

/// A cluster whose only agent ran task `t` and is there now; what the scheduler was told on the way is
/// read already.
fn placed(place: Place, info: v1::FrameworkInfo) -> (Bench, Scheduler, v1::AgentId) {
    let mut bench = Bench::new();
    let (mut scheduler, agent) = bench.running(info);
    match place {
        Place::Here | Place::Unheard => {}
        Place::Away => bench.disconnect_agent(&agent),
        Place::Unreachable => {
            bench.disconnect_agent(&agent);
            bench.advance(Duration::from_secs(601));
        }
        Place::Gone => {
            let agent_id = AgentId::new(agent.id.value.as_str());
            let gone = OperatorCall::MarkAgentGone { agent_id };
            bench.operator_call(gone).unwrap();
        }
        Place::Recovering => {
            let info = v1::FrameworkInfo::clone(&bench.snapshot().frameworks[&scheduler.id].info);
            bench = Bench::with(MasterConfig::new("n"), bench.registry.clone());
            scheduler = bench.subscribe(info);
        }
    }
    bench.events(scheduler.connection);
    let agent_id = match place {
        Place::Unheard => "m-S99".into(),
        _ => agent.id.clone(),
    };
    (bench, scheduler, agent_id)
}

#[test]
fn every_cell_of_the_table() {
    for (place, task, named, aware, unaware) in table() {
        for (info, expected) in [(framework("new"), aware), (old_framework("old"), unaware)] {
            let (mut bench, scheduler, agent_id) = placed(place, info);
            let cell = format!("{place:?} {task}, agent named: {named}");
            ask(
                &mut bench,
                &scheduler,
                &[(task, named.then_some(&agent_id))],
            );
            let statuses = bench.statuses(&scheduler);
            let states: Vec<TaskState> = statuses.iter().map(v1::TaskStatus::state).collect();
            assert_eq!(states, Vec::from_iter(expected), "{cell}");
            for status in statuses {
                assert_eq!(status.reason(), Reason::Reconciliation, "{cell}");
                assert_eq!(status.source(), Source::Master, "{cell}");
                assert_eq!(status.uuid, None, "{cell}: not to be acknowledged");
                let since = status.unreachable_time.is_some();
                let unreachable = matches!(place, Place::Unreachable) && (named || task == "t");
                assert_eq!(since, unreachable, "{cell}: since when");
            }
            // And all at once: what the master holds, but for what is unreachable.
            ask(&mut bench, &scheduler, &[]);
            let implicit = bench.states(&scheduler);
            let held = matches!(place, Place::Here | Place::Away | Place::Unheard);
            let held = held.then_some(TaskState::TaskRunning);
            assert_eq!(implicit, Vec::from_iter(held), "{cell}: all tasks");
        }
    }
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
fn tasks_of_agents_that_are_gone() {
    for (info, state) in [
        (framework("new"), TaskState::TaskGoneByOperator),
        (old_framework("old"), TaskState::TaskLost),
    ] {
        let mut bench = Bench::new();
        let (scheduler, agent) = bench.running(info);
        let gone = OperatorCall::MarkAgentGone {
            agent_id: AgentId::new(agent.id.value.as_str()),
        };
        bench.operator_call(gone).unwrap();
        assert_eq!(bench.states(&scheduler), [state]);
        // Of this one the end was told to the master, but never by it.
        ask(&mut bench, &scheduler, &[("x", Some(&agent.id))]);
        assert_eq!(bench.states(&scheduler), [state]);
    }
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

/// A framework whose agent has come back with this many running tasks.
fn crowd(bench: &mut Bench, tasks: usize) -> Scheduler {
    let (scheduler, mut agent) = bench.running(framework("f"));
    let report = bench.report(&scheduler);
    let all = (0..tasks).map(|number| v1::Task {
        name: format!("task {number}"),
        task_id: format!("t{number:06}").as_str().into(),
        resources: Vec::new(),
        ..report.clone()
    });
    let mut info = framework("f");
    info.id = Some((&scheduler.id).into());
    bench.disconnect_agent(&agent);
    bench.return_agent(&mut agent, all.collect(), vec![info]);
    bench.events(scheduler.connection);
    scheduler
}

/// What a scheduler hears that reads whenever the master waits for that; and in how many slices.
fn read_all(bench: &mut Bench, scheduler: &Scheduler) -> (Vec<String>, usize) {
    let (mut ids, mut slices) = (Vec::new(), 0);
    loop {
        let statuses = bench.statuses(scheduler);
        assert!(statuses.len() <= 256, "{} in one step", statuses.len());
        ids.extend(statuses.into_iter().map(|status| status.task_id.value));
        slices += 1;
        let connection = scheduler.connection;
        if !bench.awaiting_room.remove(&connection) {
            return (ids, slices);
        }
        bench.step(Event::SchedulerHasRoom { connection });
    }
}

#[test]
fn many_tasks_are_told_of_in_slices() {
    let mut bench = Bench::new();
    let scheduler = crowd(&mut bench, 1000);
    ask(&mut bench, &scheduler, &[]);
    // A second one, when some are told of already, and a third: each is answered in its turn.
    ask(&mut bench, &scheduler, &[]);
    ask(&mut bench, &scheduler, &[("x", None), ("t000007", None)]);
    let (ids, slices) = read_all(&mut bench, &scheduler);
    // The task that was there before comes first.
    let known = (0..1000).map(|number| format!("t{number:06}"));
    let known: Vec<String> = ["t".to_owned()].into_iter().chain(known).collect();
    assert_eq!(ids[..1001], known);
    assert_eq!(ids[1001..2002], known, "asked again after the first slice");
    assert_eq!(ids[2002..], ["x", "t000007"]);
    assert_eq!(slices, 8);

    let names: Vec<(&str, Option<&v1::AgentId>)> =
        known.iter().map(|id| (id.as_str(), None)).collect();
    ask(&mut bench, &scheduler, &names);
    let (ids, slices) = read_all(&mut bench, &scheduler);
    assert_eq!((ids, slices), (known, 4));
}

#[test]
fn answers_end_with_the_stream_they_are_for() {
    let mut bench = Bench::new();
    let scheduler = crowd(&mut bench, 1000);
    ask(&mut bench, &scheduler, &[]);
    assert!(bench.awaiting_room.remove(&scheduler.connection));
    bench.disconnect(&scheduler);
    bench.events(scheduler.connection);
    bench.step(Event::SchedulerHasRoom {
        connection: scheduler.connection,
    });
    assert!(bench.events(scheduler.connection).is_empty());
}

#[test]
fn a_scheduler_that_asks_and_never_reads_is_refused_in_the_end() {
    let mut bench = Bench::new();
    let (scheduler, _agent) = bench.running(framework("f"));
    let task = call::reconcile::Task {
        task_id: "x".into(),
        agent_id: None,
    };
    let reconcile = call::Reconcile {
        tasks: vec![task; 60_000],
    };
    let mut answers = Vec::new();
    for _ in 0..4 {
        let call = SchedulerCall::Reconcile(reconcile.clone());
        answers.push(bench.call(&scheduler, call));
    }
    let refused = answers.pop().unwrap().unwrap_err();
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(refused.kind, crate::master::CallErrorKind::Unavailable);
    let text = refused.message;
    assert!(
        text.starts_with("reconcile.tasks: 239744 tasks wait"),
        "{text}"
    );
    assert_eq!(bench.statuses(&scheduler).len(), 256);
}
