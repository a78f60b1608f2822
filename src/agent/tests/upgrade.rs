//! What an agent of an earlier version has left is understood: `tests/golden/upgrade` was written by
//! mesosd at commit f06bd3c, and nothing in it may ever be written anew. What later versions add goes into
//! files of its own.
//!
//! `journal`: a task runs, another one has ended and its framework too; then the agent was killed.
//! `subscribe`: what the supervisor of the first task said to whoever listened on the executors' socket
//! next, its task having ended meanwhile.

use prost::Message as _;

use super::super::call::ParsedCall;
use super::super::checkpoint::parse;
use super::*;
use crate::resources::{ReservationForm, parse as resources_of};
use crate::roles::Role;
use v1::TaskState;

const CONTAINER: &str = "f8aa3b36-73cc-414e-875b-b8054d581096";

fn left(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/upgrade");
    std::fs::read(std::path::Path::new(folder).join(name)).unwrap()
}

/// The agent that reads it, with the flags of then.
fn config_of(state: &Checkpointed) -> AgentConfig {
    let earlier = state.agent.as_ref().unwrap();
    let mut config = config();
    config.hostname = "agent.test".into();
    config.port = earlier.info.port.unwrap().try_into().unwrap();
    let text = "cpus:2;mem:512;disk:100;ports:[31000-32000]";
    let total = resources_of(text, &Role::default()).unwrap();
    config.resources = total.to_proto(ReservationForm::Stack);
    config.boot_id.clone_from(&earlier.boot_id);
    config
}

#[test]
fn the_journal_of_an_earlier_version_says_the_same() {
    let (state, damaged) = parse(std::path::Path::new("journal"), &left("journal"), true).unwrap();
    assert!(!damaged);
    let framework_id = FrameworkId::new("cb98ac6b-2bf8-4881-908a-615550debc67-0001");
    let id = state.agent.as_ref().unwrap().info.id.clone().unwrap();
    assert_eq!(id.value, "cb98ac6b-2bf8-4881-908a-615550debc67-S0");
    assert_eq!(state.frameworks[&framework_id].name, "kept");
    let run = (framework_id.clone(), ExecutorId::new("kept-1"));
    let executor = &state.executors[&run];
    assert_eq!(executor.container_id.as_str(), CONTAINER);
    assert!(executor.command_executor && executor.pid.is_some());
    assert_eq!(state.executors.len(), 1, "the other framework has ended");
    let task = (framework_id, TaskId::new("kept-1"));
    let states = state.tasks[&task].statuses.iter();
    let states: Vec<_> = states.map(|status| status.state()).collect();
    assert_eq!(states, [TaskState::TaskStarting, TaskState::TaskRunning]);
    assert_eq!(state.updates.get(&task), None, "all is acknowledged");
    assert_eq!(state.errors, 0);
}

#[test]
fn the_supervisor_of_an_earlier_version_is_understood() {
    let (state, _) = parse(std::path::Path::new("journal"), &left("journal"), true).unwrap();
    let mut rig = Rig::with(config_of(&state), state);
    rig.start();
    rig.step(Event::MasterConnected { connection: MASTER });
    let known = rig.take().into_iter().find_map(|effect| match effect {
        Effect::Recover(known) => Some(known),
        _ => None,
    });
    let known: Vec<_> = known
        .unwrap()
        .into_iter()
        .map(|one| one.container_id)
        .collect();
    assert_eq!(known, [ContainerId::new(CONTAINER)]);
    rig.step(Event::Recovered);
    rig.take();

    // A length of four bytes, big end first, and a message: one frame.
    let bytes = left("subscribe");
    let (length, frame) = bytes.split_at(4);
    assert_eq!(
        u32::from_be_bytes(length.try_into().unwrap()) as usize,
        frame.len()
    );
    let call = v1::executor::Call::decode(frame).unwrap();
    let ParsedCall::Subscribe(subscription) = ParsedCall::from_wire(call).unwrap() else {
        panic!("the first frame is SUBSCRIBE");
    };
    rig.step(Event::ExecutorSubscribed {
        connection: EXECUTOR,
        framework_id: subscription.framework_id,
        executor_id: subscription.executor_id,
        unacknowledged_tasks: subscription.unacknowledged_tasks,
        unacknowledged_updates: subscription.unacknowledged_updates,
        container: None,
    });
    let effects = rig.take();
    let told = rig
        .disk
        .updates
        .values()
        .next()
        .unwrap()
        .queue
        .last()
        .unwrap();
    assert_eq!(told.state(), TaskState::TaskFailed);
    assert_eq!(told.message(), "Command exited with status 3");
    assert_eq!(
        told_types(&effects),
        [
            v1::executor::event::Type::Subscribed,
            v1::executor::event::Type::Acknowledged
        ]
    );
}
