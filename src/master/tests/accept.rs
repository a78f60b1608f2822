//! ACCEPT: launches, what they take, and what is refused.

use super::*;
use crate::base::TaskId;
use crate::master::call::CallErrorKind;
use crate::proto::v1::offer::operation::Type;
use crate::proto::v1::task_status::Reason;

/// One agent, one framework, and its offer.
fn offered() -> (Bench, Scheduler, AgentPeer, Vec<v1::Offer>) {
    let mut bench = Bench::new();
    let agent = bench.agent("a", "cpus:4;mem:1024;ports:[1-10]");
    let scheduler = bench.subscribe(framework("f"));
    let offers = bench.offers(&scheduler);
    assert_eq!(offers.len(), 1);
    (bench, scheduler, agent, offers)
}

fn run_tasks(messages: Vec<FromMaster>) -> Vec<link::RunTask> {
    let runs = messages.into_iter().filter_map(|message| match message {
        FromMaster::RunTask(run) => Some(run),
        _ => None,
    });
    runs.collect()
}

#[test]
fn a_launched_task_runs_ends_and_gives_its_resources_back() {
    let (mut bench, scheduler, agent, offers) = offered();
    bench.messages(agent.connection);
    let tasks = vec![task("t", &agent, "cpus:1;mem:64")];
    bench.accept(&scheduler, &offers, vec![launch(tasks)]);
    let runs = run_tasks(bench.messages(agent.connection));
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].task.task_id.value, "t");
    assert_eq!(runs[0].framework.id, Some((&scheduler.id).into()));
    let allocated = runs[0].task.resources[0].allocation_info.as_ref();
    assert_eq!(allocated.unwrap().role(), "dev");

    for (state, number) in [
        (TaskState::TaskStarting, 1),
        (TaskState::TaskRunning, 2),
        (TaskState::TaskFinished, 3),
    ] {
        bench.update(&agent, &scheduler, "t", state, number);
        let statuses = bench.statuses(&scheduler);
        assert_eq!(statuses.len(), 1);
        assert_eq!(statuses[0].state(), state);
        let id = TaskId::new("t");
        assert!(bench.snapshot().task(&scheduler.id, &id).is_some());
        bench.acknowledge(&scheduler, &statuses[0]);
        let messages = bench.messages(agent.connection);
        assert!(
            matches!(&messages[..], [FromMaster::Acknowledge(ack)] if ack.uuid == uuid(number)),
            "{messages:?}"
        );
    }
    let snapshot = bench.snapshot();
    let framework = &snapshot.frameworks[&scheduler.id];
    assert!(framework.tasks.is_empty());
    assert_eq!(framework.completed_tasks.len(), 1);
    assert_eq!(snapshot.metrics.tasks_finished, 1);
    let agent = snapshot.agents.values().next().unwrap();
    assert!(snapshot.agent_allocated(agent).is_empty());
}

#[test]
fn what_no_task_takes_is_declined() {
    let (mut bench, scheduler, agent, offers) = offered();
    let tasks = vec![task("t", &agent, "cpus:1;mem:64")];
    bench.accept(&scheduler, &offers, vec![launch(tasks)]);
    assert_eq!(bench.offers(&scheduler), [], "refused for five seconds");
    bench.advance(Duration::from_secs(6));
    let offers = bench.offers(&scheduler);
    assert_eq!(offers.len(), 1);
    let cpus = offers[0].resources.iter().find(|item| item.name == "cpus");
    assert!((cpus.unwrap().scalar.unwrap().value - 3.0).abs() < 1e-9);
}

#[test]
fn tasks_of_one_call_share_what_is_offered() {
    let (mut bench, scheduler, agent, offers) = offered();
    bench.messages(agent.connection);
    let tasks = vec![
        task("t1", &agent, "cpus:3;mem:64"),
        task("t2", &agent, "cpus:2;mem:64"),
        task("t3", &agent, "cpus:1;mem:64"),
    ];
    bench.accept(&scheduler, &offers, vec![launch(tasks)]);
    let runs = run_tasks(bench.messages(agent.connection));
    let ids: Vec<_> = runs.iter().map(|run| &*run.task.task_id.value).collect();
    assert_eq!(ids, ["t1", "t3"]);
    let statuses = bench.statuses(&scheduler);
    assert_eq!(statuses.len(), 1);
    assert_eq!(statuses[0].task_id.value, "t2");
    assert_eq!(statuses[0].state(), TaskState::TaskError);
    assert_eq!(statuses[0].reason(), Reason::TaskInvalid);
    assert!(statuses[0].uuid.is_none());
    let message = statuses[0].message();
    assert!(
        message.contains("cpus") && !message.contains('\n'),
        "{message}"
    );
}

#[test]
fn several_offers_of_one_agent_are_used_together() {
    let mut bench = Bench::new();
    let agent = bench.agent("a", "cpus:4;mem:1024");
    let scheduler = bench.subscribe(framework("f"));
    let first = bench.offers(&scheduler);
    let tasks = vec![task("t1", &agent, "cpus:2;mem:64")];
    bench.accept(&scheduler, &first, vec![launch(tasks)]);
    bench.advance(Duration::from_secs(6));
    let mut offers = bench.offers(&scheduler);
    bench.update(&agent, &scheduler, "t1", TaskState::TaskFailed, 1);
    offers.extend(bench.offers(&scheduler));
    assert_eq!(offers.len(), 2);
    let tasks = vec![task("t2", &agent, "cpus:4;mem:512")];
    bench.accept(&scheduler, &offers, vec![launch(tasks)]);
    assert!(
        bench
            .snapshot()
            .task(&scheduler.id, &TaskId::new("t2"))
            .is_some()
    );
}

#[test]
fn invalid_offers_lose_the_tasks_and_free_the_valid_ones() {
    for (info, expected) in [
        (framework("new"), TaskState::TaskDropped),
        (old_framework("old"), TaskState::TaskLost),
    ] {
        let mut bench = Bench::new();
        let agent = bench.agent("a", "cpus:4;mem:1024");
        let other = bench.agent("b", "cpus:4;mem:1024");
        let scheduler = bench.subscribe(info);
        let offers = bench.offers(&scheduler);
        assert_eq!(offers.len(), 2);
        let tasks = vec![task("t", &agent, "cpus:1;mem:64")];
        bench.accept(&scheduler, &offers, vec![launch(tasks)]);
        let statuses = bench.statuses(&scheduler);
        assert_eq!(statuses.len(), 1);
        assert_eq!(statuses[0].state(), expected);
        assert_eq!(statuses[0].reason(), Reason::InvalidOffers);
        assert!(bench.snapshot().offers.is_empty());
        assert_eq!(
            bench.offers(&scheduler).len(),
            2,
            "both agents are offered again"
        );
        assert_ne!(agent.id, other.id);
    }
}

#[test]
fn an_offer_is_used_once_and_only_by_its_framework() {
    let (mut bench, scheduler, agent, offers) = offered();
    let thief = bench.subscribe(framework("thief"));
    bench.accept(
        &thief,
        &offers,
        vec![launch(vec![task("t", &agent, "cpus:1;mem:64")])],
    );
    assert_eq!(bench.states(&thief), [TaskState::TaskDropped]);
    assert_eq!(bench.snapshot().offers.len(), 1, "the owner keeps it");
    bench.accept(&scheduler, &offers, vec![]);
    bench.accept(
        &scheduler,
        &offers,
        vec![launch(vec![task("t", &agent, "cpus:1;mem:64")])],
    );
    assert_eq!(bench.states(&scheduler), [TaskState::TaskDropped]);
}

#[test]
fn other_operations_are_refused_and_nothing_happens() {
    let (mut bench, scheduler, _, offers) = offered();
    let reserve = v1::offer::Operation {
        r#type: Some(Type::CreateDisk.into()),
        ..v1::offer::Operation::default()
    };
    let accept = call::Accept {
        offer_ids: vec![offers[0].id.clone()],
        operations: vec![reserve],
        filters: None,
    };
    let error = bench
        .call(&scheduler, SchedulerCall::Accept(accept))
        .unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unimplemented);
    assert!(error.message.contains("CREATE_DISK"), "{error}");
    assert_eq!(bench.snapshot().offers.len(), 1);
}

fn executor(id: &str, needs: &str, kind: v1::executor_info::Type) -> v1::ExecutorInfo {
    let custom = kind == v1::executor_info::Type::Custom;
    v1::ExecutorInfo {
        executor_id: v1::ExecutorId {
            value: id.to_owned(),
        },
        r#type: Some(kind.into()),
        command: custom.then(|| v1::CommandInfo {
            value: Some("run".to_owned()),
            ..v1::CommandInfo::default()
        }),
        resources: resources(needs),
        ..v1::ExecutorInfo::default()
    }
}

#[test]
fn an_executor_is_paid_once_and_freed_at_its_end() {
    let (mut bench, scheduler, agent, offers) = offered();
    let own = executor("e", "cpus:1;mem:64", v1::executor_info::Type::Custom);
    let tasks = ["t1", "t2"].map(|id| {
        let mut task = task(id, &agent, "cpus:1;mem:64");
        task.command = None;
        task.executor = Some(own.clone());
        task
    });
    bench.accept(&scheduler, &offers, vec![launch(tasks.to_vec())]);
    assert!(bench.states(&scheduler).is_empty());
    let allocated = |bench: &Bench| {
        let snapshot = bench.snapshot();
        let agent = snapshot.agents.values().next().unwrap();
        snapshot.agent_allocated(agent).cpus().to_string()
    };
    assert_eq!(allocated(&bench), "3");
    bench.update(&agent, &scheduler, "t1", TaskState::TaskFinished, 1);
    assert_eq!(allocated(&bench), "2");
    let exited = link::ExitedExecutor {
        framework_id: (&scheduler.id).into(),
        executor_id: own.executor_id.clone(),
        wait_status: 9,
    };
    bench.update(&agent, &scheduler, "t2", TaskState::TaskFailed, 2);
    bench.say(agent.connection, FromAgent::ExitedExecutor(exited));
    assert_eq!(allocated(&bench), "0");
    let failure = bench
        .events(scheduler.connection)
        .pop()
        .unwrap()
        .failure
        .unwrap();
    assert_eq!(failure.executor_id, Some(own.executor_id));
    assert_eq!(failure.status, Some(9));
}

#[test]
fn a_group_is_launched_whole_or_not_at_all() {
    let (mut bench, scheduler, agent, offers) = offered();
    bench.messages(agent.connection);
    let own = executor(
        "e",
        "cpus:0.1;mem:32;disk:1",
        v1::executor_info::Type::Default,
    );
    let group = |bench: &mut Bench, offers: &[v1::Offer], ids: [&str; 2], needs: &str| {
        let tasks = ids.map(|id| task(id, &agent, needs)).to_vec();
        let group = v1::offer::operation::LaunchGroup {
            executor: own.clone(),
            task_group: v1::TaskGroupInfo { tasks },
        };
        let operation = v1::offer::Operation {
            r#type: Some(Type::LaunchGroup.into()),
            launch_group: Some(group),
            ..v1::offer::Operation::default()
        };
        bench.accept(&scheduler, offers, vec![operation]);
    };
    group(&mut bench, &offers, ["t1", "t2"], "cpus:3;mem:64");
    let statuses = bench.statuses(&scheduler);
    assert_eq!(statuses.len(), 2, "all tasks of the group fail");
    for status in statuses {
        assert_eq!(status.state(), TaskState::TaskError);
        assert_eq!(status.reason(), Reason::TaskGroupInvalid);
    }
    assert!(bench.messages(agent.connection).is_empty());
}
