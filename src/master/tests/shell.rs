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

#[tokio::test]
async fn a_scheduler_that_does_not_read_is_let_go() {
    let (master, metrics) = running().await;
    let mut stream = master
        .handle
        .subscribe(framework("f"), vec![], None)
        .await
        .unwrap();
    let id = next(&mut stream)
        .await
        .subscribed
        .unwrap()
        .framework_id
        .value;
    let framework_id = FrameworkId::new(&*id);
    let unknown = call::reconcile::Task {
        task_id: "x".into(),
        agent_id: None,
    };
    let ask = SchedulerCall::Reconcile(call::Reconcile {
        tasks: vec![unknown; 2000],
    });
    let stream_id = Some(stream.connection());
    let call = master
        .handle
        .scheduler_call(framework_id.clone(), stream_id, ask);
    call.await.unwrap();
    let state = master.handle.snapshot().await.unwrap();
    assert!(!state.frameworks[&framework_id].is_connected());
    assert!((metrics.snapshot()["queues/master_to_scheduler/full"] - 1.0).abs() < f64::EPSILON);
    let mut read = 0;
    while stream.recv().await.is_some() {
        read += 1;
    }
    assert_eq!(
        read, 1024,
        "what was queued is still read, then the stream ends"
    );
    master.handle.shutdown().await;
    master.task.await.unwrap().unwrap();
}
