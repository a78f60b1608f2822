//! The loop and its handle, over the registry in memory.

use super::*;
use crate::master::driver::{Running, start};
use crate::registrar::MemoryStorage;
use crate::telemetry::Metrics;

async fn running() -> (Running, Metrics) {
    let metrics = Metrics::new();
    let running = start(MasterConfig::new("m"), MemoryStorage::default(), &metrics);
    (running.await.unwrap(), metrics)
}

async fn register(master: &Running) -> (crate::master::driver::AgentLink, v1::AgentId) {
    let mut agent = master
        .handle
        .connect_agent("10.0.0.1:5051".to_owned())
        .await
        .unwrap();
    let register = link::Register {
        agent: agent_info("a"),
        total: resources("cpus:4;mem:1024"),
        version: "0.1.0".to_owned(),
    };
    let connection = agent.connection();
    let message = FromAgent::Register(register);
    master
        .handle
        .agent_message(connection, message)
        .await
        .unwrap();
    let answer = agent.recv().await.unwrap().message.unwrap();
    let FromMaster::Registered(answer) = answer else {
        panic!("{answer:?}");
    };
    (agent, answer.agent_id)
}

/// The next event that is not a heartbeat's business, within ten seconds.
async fn next(stream: &mut crate::master::driver::Subscription) -> scheduler::Event {
    let event = tokio::time::timeout(Duration::from_secs(10), stream.recv());
    event.await.unwrap().unwrap()
}

#[tokio::test]
async fn from_subscription_to_running_task() {
    let (master, _metrics) = running().await;
    let (mut agent, agent_id) = register(&master).await;
    let (state, mut watch) = master.handle.watch().await.unwrap();
    assert_eq!(state.agents.len(), 1);
    let mut stream = master
        .handle
        .subscribe(framework("f"), vec![], None)
        .await
        .unwrap();
    let subscribed = next(&mut stream).await.subscribed.unwrap();
    assert_eq!(
        watch.recv().await.unwrap().r#type(),
        v1::master::event::Type::FrameworkAdded
    );
    let offers = next(&mut stream).await.offers.unwrap().offers;
    let peer = AgentPeer {
        id: agent_id,
        info: agent_info("a"),
        connection: agent.connection(),
    };
    let accept = SchedulerCall::Accept(call::Accept {
        offer_ids: vec![offers[0].id.clone()],
        operations: vec![launch(vec![task("t", &peer, "cpus:1;mem:64")])],
        filters: None,
    });
    let framework_id = FrameworkId::new(&*subscribed.framework_id.value);
    let stream_id = Some(stream.connection());
    let call = master
        .handle
        .scheduler_call(framework_id.clone(), stream_id, accept);
    call.await.unwrap();
    loop {
        match agent.recv().await.unwrap().message.unwrap() {
            FromMaster::Ping(_) => {}
            FromMaster::RunTask(run) => break assert_eq!(run.task.task_id.value, "t"),
            other => panic!("{other:?}"),
        }
    }
    let added = watch.recv().await.unwrap();
    assert_eq!(added.task_added.as_ref().unwrap().task.task_id.value, "t");

    drop(stream);
    let gone = async {
        loop {
            let state = master.handle.snapshot().await.unwrap();
            if state.frameworks[&framework_id]
                .status
                .connection()
                .is_none()
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .unwrap();

    master.handle.shutdown().await;
    master.task.await.unwrap().unwrap();
    let late = master.handle.snapshot().await.unwrap_err();
    assert!(late.message.contains("shutting down"), "{late}");
}

/// A subscription and its framework's id.
async fn subscribed(master: &Running) -> (crate::master::driver::Subscription, FrameworkId) {
    let subscription = master.handle.subscribe(framework("f"), vec![], None);
    let mut stream = subscription.await.unwrap();
    let id = next(&mut stream).await.subscribed.unwrap().framework_id;
    (stream, FrameworkId::new(&*id.value))
}

/// An agent that comes back with so many tasks of the framework.
async fn crowd(
    master: &Running,
    framework_id: &FrameworkId,
    tasks: usize,
) -> crate::master::driver::AgentLink {
    let agent = master.handle.connect_agent("10.0.0.1:5051".to_owned());
    let mut agent = agent.await.unwrap();
    let agent_id: v1::AgentId = "m-S7".into();
    let task = |number: usize| v1::Task {
        name: "task".to_owned(),
        task_id: format!("t{number:06}").as_str().into(),
        framework_id: framework_id.into(),
        agent_id: agent_id.clone(),
        state: TaskState::TaskRunning.into(),
        ..v1::Task::default()
    };
    let mut info = framework("f");
    info.id = Some(framework_id.into());
    let mut itself = agent_info("a");
    itself.id = Some(agent_id.clone());
    let message = FromAgent::Reregister(link::Reregister {
        agent: itself,
        tasks: (0..tasks).map(task).collect(),
        frameworks: vec![info],
        version: "0.1.0".to_owned(),
        ..link::Reregister::default()
    });
    let connection = agent.connection();
    let said = master.handle.agent_message(connection, message);
    said.await.unwrap();
    agent.recv().await.unwrap();
    agent
}

/// How many updates of all these tasks come, and how long the loop lets others wait meanwhile.
async fn reconciled(
    master: &Running,
    (stream, framework_id): (&mut crate::master::driver::Subscription, &FrameworkId),
    tasks: Vec<call::reconcile::Task>,
    wanted: usize,
) {
    let ask = SchedulerCall::Reconcile(call::Reconcile { tasks });
    let stream_id = Some(stream.connection());
    let call = master
        .handle
        .scheduler_call(framework_id.clone(), stream_id, ask);
    call.await.unwrap();
    let mut told = BTreeSet::new();
    while told.len() < wanted {
        if let Some(update) = next(stream).await.update {
            let status = update.status;
            assert_eq!(status.reason(), v1::task_status::Reason::Reconciliation);
            told.insert(status.task_id.value);
        }
    }
}

#[tokio::test]
async fn all_of_a_large_reconciliation_arrives() {
    let (master, metrics) = running().await;
    let (mut stream, framework_id) = subscribed(&master).await;
    let _agent = crowd(&master, &framework_id, 100_000).await;
    let named = |number: usize| call::reconcile::Task {
        task_id: format!("t{number:06}").as_str().into(),
        agent_id: None,
    };
    let who = (&mut stream, &framework_id);
    reconciled(&master, who, (0..5_000).map(named).collect(), 5_000).await;
    let who = (&mut stream, &framework_id);
    reconciled(&master, who, vec![], 100_000).await;
    assert!(metrics.snapshot()["queues/master_to_scheduler/full"].abs() < f64::EPSILON);
    master.handle.shutdown().await;
    master.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_scheduler_that_does_not_read_is_let_go() {
    let (master, metrics) = running().await;
    let (mut agent, agent_id) = register(&master).await;
    tokio::spawn(async move { while agent.recv().await.is_some() {} });
    let (mut stream, framework_id) = subscribed(&master).await;
    // What an executor says is sent at once, whoever reads it.
    let message = FromAgent::ExecutorMessage(link::ExecutorMessage {
        framework_id: (&framework_id).into(),
        executor_id: "e".into(),
        data: vec![0; 1 << 20],
    });
    let peer = master.handle.snapshot().await.unwrap().agents
        [&crate::base::AgentId::new(&*agent_id.value)]
        .status
        .connection();
    for _ in 0..40 {
        let said = master.handle.agent_message(peer.unwrap(), message.clone());
        said.await.unwrap();
    }
    let state = master.handle.snapshot().await.unwrap();
    assert!(!state.frameworks[&framework_id].is_connected());
    assert!((metrics.snapshot()["queues/master_to_scheduler/full"] - 1.0).abs() < f64::EPSILON);
    assert_eq!(stream.overflow(), Some(17), "an offer, and 16 MiB");
    let mut read = 0;
    while stream.recv().await.is_some() {
        read += 1;
    }
    assert_eq!(
        read, 17,
        "what was queued is still read, then the stream ends"
    );
    master.handle.shutdown().await;
    master.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_scheduler_that_reconciles_and_does_not_read_keeps_its_stream() {
    let (master, _metrics) = running().await;
    let (mut stream, framework_id) = subscribed(&master).await;
    let unknown = call::reconcile::Task {
        task_id: "x".into(),
        agent_id: None,
    };
    let tasks = vec![unknown; 50_000];
    let ask = SchedulerCall::Reconcile(call::Reconcile { tasks });
    let stream_id = Some(stream.connection());
    let call = master
        .handle
        .scheduler_call(framework_id.clone(), stream_id, ask);
    call.await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let state = master.handle.snapshot().await.unwrap();
    assert!(state.frameworks[&framework_id].is_connected());
    for _ in 0..50_000 {
        assert!(next(&mut stream).await.update.is_some());
    }
    master.handle.shutdown().await;
    master.task.await.unwrap().unwrap();
}

/// The agent answers every ping; the loop is too busy to look into its mailbox before the time is over.
#[tokio::test]
async fn an_answer_that_waits_in_the_queue_is_no_silence() {
    let metrics = Metrics::new();
    let mut config = MasterConfig::new("m");
    config.agent_ping_timeout = Duration::from_millis(5);
    config.agent_ping_timeouts_max = 1;
    let master = start(config, MemoryStorage::default(), &metrics);
    let master = master.await.unwrap();
    let (mut agent, _) = register(&master).await;
    for _ in 0..40 {
        let Some(FromMaster::Ping(ping)) = agent.recv().await.and_then(|said| said.message) else {
            panic!("the agent was given up");
        };
        let sequence = ping.sequence;
        let pong = FromAgent::Pong(link::Pong { sequence });
        let said = master.handle.agent_message(agent.connection(), pong);
        said.await.unwrap();
        // This thread is also the loop's: the answer waits, and so does the timer.
        std::thread::sleep(Duration::from_millis(8));
    }
    let state = master.handle.snapshot().await.unwrap();
    assert_eq!(state.agents.len(), 1);
    assert!(state.unreachable_agents.is_empty());
    master.handle.shutdown().await;
}

#[tokio::test]
async fn a_crowd_of_agents_is_registered_a_bounded_number_at_a_time() {
    let (master, metrics) = running().await;
    let mut links = Vec::new();
    // These have a place and are slow to say who they are.
    while metrics.snapshot()["master/agents_registering"] < 512.0 {
        let link = master.handle.connect_agent("10.0.0.2:5051".to_owned());
        links.push(link.await.unwrap());
    }
    assert_eq!(links.len(), 512);
    let waits = |limit| tokio::time::timeout(limit, register(&master));
    let late = waits(Duration::from_millis(50)).await;
    assert!(late.is_err(), "one more has to wait");
    // The master does not: nobody else's call stands behind them.
    master.handle.snapshot().await.unwrap();
    // Whoever goes away makes room, and so does everybody who is answered.
    links.pop();
    let registered = waits(Duration::from_secs(10)).await.unwrap();
    let link = master.handle.connect_agent("10.0.0.2:5051".to_owned());
    let link = tokio::time::timeout(Duration::from_secs(10), link).await;
    links.push(link.unwrap().unwrap());
    drop(links);
    let all_free = async {
        while metrics.snapshot()["master/agents_registering"] > 0.0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all_free)
        .await
        .expect("no place is lost");
    drop(registered);
}
