//! Reservations and volumes: in ACCEPT, by operators, and what agents say of them.

mod totals;

use super::*;
use crate::base::AgentId;
use crate::proto::v1::OperationState;
use crate::proto::v1::offer::{Operation, operation};
use crate::resources::{Disk, Persistence, Reservation, Resource, Resources, Volume};

fn dev() -> Role {
    Role::parse("dev").unwrap()
}

fn bag(text: &str) -> Resources {
    parse(text, &Role::DEFAULT).unwrap()
}

/// Reserved to `dev` by a call.
fn reserved(text: &str) -> Resources {
    let level = Reservation::dynamic(dev(), None);
    bag(text).map(|item| item.reserve(level.clone()).unwrap())
}

fn volume(megabytes: u32, id: &str, shared: bool) -> Resources {
    let info = Disk {
        persistence: Some(Persistence {
            id: id.to_owned(),
            principal: None,
        }),
        volume: Some(Volume {
            container_path: "data".to_owned(),
            read_only: false,
        }),
        source: None,
    };
    reserved(&format!("disk:{megabytes}")).map(|item: Resource| {
        let item = item.with_disk(Some(info.clone())).unwrap();
        item.with_shared(shared).unwrap()
    })
}

fn wire(resources: &Resources) -> Vec<v1::Resource> {
    resources.to_proto(ReservationForm::Stack)
}

pub(super) fn named(mut operation: Operation, id: &str) -> Operation {
    operation.id = Some(id.into());
    operation
}

pub(super) fn reserve(resources: &Resources) -> Operation {
    Operation {
        r#type: Some(operation::Type::Reserve.into()),
        reserve: Some(operation::Reserve {
            source: Vec::new(),
            resources: wire(resources),
        }),
        ..Operation::default()
    }
}

pub(super) fn unreserve(resources: &Resources) -> Operation {
    Operation {
        r#type: Some(operation::Type::Unreserve.into()),
        unreserve: Some(operation::Unreserve {
            resources: wire(resources),
        }),
        ..Operation::default()
    }
}

fn create(volumes: &Resources) -> Operation {
    Operation {
        r#type: Some(operation::Type::Create.into()),
        create: Some(operation::Create {
            volumes: wire(volumes),
        }),
        ..Operation::default()
    }
}

fn destroy(volumes: &Resources) -> Operation {
    Operation {
        r#type: Some(operation::Type::Destroy.into()),
        destroy: Some(operation::Destroy {
            volumes: wire(volumes),
        }),
        ..Operation::default()
    }
}

fn grow(volume: &Resources, addition: &Resources) -> Operation {
    Operation {
        r#type: Some(operation::Type::GrowVolume.into()),
        grow_volume: Some(operation::GrowVolume {
            volume: wire(volume).remove(0),
            addition: wire(addition).remove(0),
        }),
        ..Operation::default()
    }
}

fn shrink(volume: &Resources, by: f64) -> Operation {
    Operation {
        r#type: Some(operation::Type::ShrinkVolume.into()),
        shrink_volume: Some(operation::ShrinkVolume {
            volume: wire(volume).remove(0),
            subtract: v1::value::Scalar { value: by },
        }),
        ..Operation::default()
    }
}

/// A framework that knows shared volumes and refined reservations.
fn able(name: &str) -> v1::FrameworkInfo {
    let mut info = framework(name);
    for kind in [
        Capability::SharedResources,
        Capability::ReservationRefinement,
    ] {
        info.capabilities.push(v1::framework_info::Capability {
            r#type: Some(kind.into()),
        });
    }
    info
}

fn operate(agent: &AgentPeer, operation: Operation) -> OperatorCall {
    OperatorCall::Operate {
        agent_id: AgentId::new(&*agent.id.value),
        operation: Box::new(operation),
    }
}

impl Bench {
    fn total(&self, agent: &AgentPeer) -> Resources {
        let id = AgentId::new(&*agent.id.value);
        self.snapshot().agents[&id].total.clone()
    }

    fn applied(&mut self, agent: &AgentPeer) -> Vec<link::ApplyOperation> {
        let messages = self.messages(agent.connection).into_iter();
        let applied = messages.filter_map(|message| match message {
            FromMaster::ApplyOperation(apply) => Some(apply),
            _ => None,
        });
        applied.collect()
    }

    fn say_finished(&mut self, agent: &AgentPeer, apply: &link::ApplyOperation) {
        let status = v1::OperationStatus {
            operation_id: apply.info.id.clone(),
            state: OperationState::OperationFinished.into(),
            uuid: Some(v1::Uuid { value: vec![9; 16] }),
            agent_id: Some(agent.id.clone()),
            ..v1::OperationStatus::default()
        };
        let update = FromAgent::OperationUpdate(link::OperationUpdate {
            framework_id: apply.framework_id.clone(),
            operation_uuid: apply.operation_uuid.clone(),
            status,
        });
        self.say(agent.connection, update);
    }

    fn operation_statuses(&mut self, scheduler: &Scheduler) -> Vec<v1::OperationStatus> {
        let events = self.events(scheduler.connection).into_iter();
        let updates = events.filter_map(|event| event.update_operation_status);
        updates.map(|update| update.status).collect()
    }

    fn open_operations(&self) -> usize {
        let snapshot = self.snapshot();
        let agents = snapshot.agents.values();
        agents.map(|agent| agent.operations.len()).sum()
    }

    /// A framework with one offer of one agent.
    fn offered(&mut self, total: &str) -> (AgentPeer, Scheduler, v1::Offer) {
        let agent = self.agent("host", total);
        let scheduler = self.subscribe(able("a"));
        let offer = self.offers(&scheduler).pop().unwrap();
        self.messages(agent.connection);
        (agent, scheduler, offer)
    }
}

fn resources_of(offer: &v1::Offer) -> Resources {
    Resources::from_proto(&offer.resources)
        .unwrap()
        .unallocated()
}

#[test]
fn reserve_create_and_launch_in_one_call() {
    let mut bench = Bench::new();
    let (agent, scheduler, offer) = bench.offered("cpus:4;mem:1024;disk:100");
    let made = volume(10, "v", false);
    let mut info = task("t", &agent, "cpus:1;mem:32");
    info.resources.extend(wire(&made));
    let operations = vec![
        reserve(&reserved("cpus:1;disk:10")),
        create(&made),
        launch(vec![info]),
    ];
    bench.accept(&scheduler, &[offer], operations);
    let applied = bench.messages(agent.connection);
    let kinds: Vec<&str> = applied
        .iter()
        .map(|message| match message {
            FromMaster::ApplyOperation(apply) => apply.info.r#type().as_str_name(),
            FromMaster::RunTask(_) => "task",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["RESERVE", "CREATE", "task"]);
    let mut expected = bag("cpus:3;mem:1024;disk:90");
    expected.add_all(&reserved("cpus:1"));
    expected.add_all(&made);
    assert_eq!(bench.total(&agent), expected);
    // The rest was refused, but with what was reserved it is another bundle.
    let again = bench.offers(&scheduler).pop().unwrap();
    let mut expected = bag("cpus:2;mem:992;disk:90");
    expected.add_all(&reserved("cpus:1"));
    assert_eq!(resources_of(&again), expected);
}

#[test]
fn what_operations_have_made_is_not_refused_by_the_rest() {
    let mut bench = Bench::new();
    let (_, scheduler, offer) = bench.offered("cpus:4;mem:1024");
    bench.accept(
        &scheduler,
        &[offer],
        vec![reserve(&reserved("cpus:4;mem:1024"))],
    );
    let again = bench.offers(&scheduler).pop().unwrap();
    assert_eq!(resources_of(&again), reserved("cpus:4;mem:1024"));
    bench.accept(
        &scheduler,
        &[again],
        vec![unreserve(&reserved("cpus:4;mem:1024"))],
    );
    let again = bench.offers(&scheduler).pop().unwrap();
    assert_eq!(resources_of(&again), bag("cpus:4;mem:1024"));
}

#[test]
fn a_reservation_is_for_its_role_only() {
    let mut bench = Bench::new();
    let (_, scheduler, offer) = bench.offered("cpus:4;mem:1024");
    bench.accept(
        &scheduler,
        &[offer],
        vec![reserve(&reserved("cpus:4;mem:512"))],
    );
    bench
        .call(&scheduler, SchedulerCall::Suppress { roles: Vec::new() })
        .unwrap();
    let offers: Vec<call::Decline> = bench
        .offers(&scheduler)
        .into_iter()
        .map(|offer| call::Decline {
            offer_ids: vec![offer.id],
            filters: None,
        })
        .collect();
    for decline in offers {
        bench
            .call(&scheduler, SchedulerCall::Decline(decline))
            .unwrap();
    }
    let mut other = able("b");
    other.roles = vec!["ops".to_owned()];
    let other = bench.subscribe(other);
    let offer = bench.offers(&other).pop().unwrap();
    assert_eq!(resources_of(&offer), bag("mem:512"));
}

#[test]
fn a_bad_operation_is_dropped_and_the_others_go_on() {
    let mut bench = Bench::new();
    let (agent, scheduler, offer) = bench.offered("cpus:4;mem:1024;disk:100");
    let foreign = Reservation::dynamic(Role::parse("ops").unwrap(), None);
    let foreign = bag("cpus:1").map(|item| item.reserve(foreign.clone()).unwrap());
    let mut needs = task("t", &agent, "mem:32");
    needs.resources.extend(wire(&reserved("cpus:1")));
    let operations = vec![
        named(reserve(&foreign), "o1"),
        named(reserve(&reserved("cpus:5")), "o2"),
        named(unreserve(&bag("cpus:1")), "o3"),
        named(create(&reserved("disk:1")), "o4"),
        named(destroy(&volume(10, "v", false)), "o5"),
        launch(vec![needs]),
        named(reserve(&reserved("cpus:1")), "o6"),
        named(reserve(&reserved("mem:32")), "o6"),
    ];
    bench.accept(&scheduler, &[offer], operations);
    let events = bench.events(scheduler.connection);
    let said: Vec<(String, String)> = events
        .iter()
        .filter_map(|event| {
            let status = &event.update_operation_status.as_ref()?.status;
            assert_eq!(status.state(), OperationState::OperationError);
            assert_eq!(status.uuid, None);
            Some((
                status.operation_id.clone()?.value,
                status.message().to_owned(),
            ))
        })
        .collect();
    let expected = [
        ("o1", "must be 'dev'"),
        ("o2", "cpus:5 asked for"),
        ("o3", "not reserved"),
        ("o4", "persistent volume"),
        ("o5", "no volume 'v'"),
        ("o6", "under way"),
    ];
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for ((id, message), (wanted, part)) in said.iter().zip(expected) {
        assert_eq!(id, wanted);
        assert!(message.contains(part), "{id}: {message}");
    }
    let states: Vec<TaskState> = events.iter().filter_map(state_of).collect();
    assert_eq!(
        states,
        [TaskState::TaskError],
        "its reservation came too late"
    );
    assert_eq!(bench.applied(&agent).len(), 1);
    assert_eq!(bench.total(&agent).reserved(), reserved("cpus:1"));
}

#[test]
fn gone_offers_are_an_error_of_every_named_operation() {
    let mut bench = Bench::new();
    let (_, scheduler, offer) = bench.offered("cpus:4;mem:1024");
    bench.accept(&scheduler, std::slice::from_ref(&offer), Vec::new());
    let operation = named(reserve(&reserved("cpus:1")), "o");
    bench.accept(&scheduler, &[offer], vec![operation]);
    let statuses = bench.operation_statuses(&scheduler);
    assert_eq!(statuses.len(), 1);
    assert_eq!(statuses[0].state(), OperationState::OperationError);
}

#[test]
fn the_end_of_a_named_operation_is_told_and_acknowledged() {
    let mut bench = Bench::new();
    let (agent, scheduler, offer) = bench.offered("cpus:4;mem:1024");
    let operations = vec![
        named(reserve(&reserved("cpus:1")), "o"),
        reserve(&reserved("mem:32")),
    ];
    bench.accept(&scheduler, &[offer], operations);
    let applied = bench.applied(&agent);
    assert_eq!(bench.open_operations(), 2);
    for apply in &applied {
        bench.say_finished(&agent, apply);
    }
    assert_eq!(
        bench.open_operations(),
        1,
        "nobody waits for the one without a name"
    );
    let acknowledged = bench.messages(agent.connection);
    assert!(
        matches!(&acknowledged[..], [FromMaster::AcknowledgeOperation(message)]
        if message.operation_uuid == applied[1].operation_uuid)
    );
    let statuses = bench.operation_statuses(&scheduler);
    assert_eq!(statuses.len(), 1);
    assert_eq!(statuses[0].state(), OperationState::OperationFinished);
    let mut acknowledge = call::AcknowledgeOperationStatus {
        agent_id: Some(agent.id.clone()),
        resource_provider_id: None,
        uuid: vec![1; 16],
        operation_id: "o".into(),
    };
    let call = SchedulerCall::AcknowledgeOperation(acknowledge.clone());
    bench.call(&scheduler, call).unwrap();
    assert_eq!(bench.open_operations(), 1, "another uuid");
    acknowledge.uuid = vec![1];
    let call = SchedulerCall::AcknowledgeOperation(acknowledge.clone());
    bench.call(&scheduler, call).unwrap_err();
    acknowledge.uuid = statuses[0].uuid.clone().unwrap().value;
    bench
        .call(&scheduler, SchedulerCall::AcknowledgeOperation(acknowledge))
        .unwrap();
    assert_eq!(bench.open_operations(), 0);
    assert!(matches!(
        &bench.messages(agent.connection)[..],
        [FromMaster::AcknowledgeOperation(_)]
    ));
    // The agent has not heard it and tells once more.
    bench.say_finished(&agent, &applied[0]);
    assert!(matches!(
        &bench.messages(agent.connection)[..],
        [FromMaster::AcknowledgeOperation(_)]
    ));
}

#[test]
fn operations_are_reconciled() {
    let mut bench = Bench::new();
    let (agent, scheduler, offer) = bench.offered("cpus:4;mem:1024");
    bench.accept(
        &scheduler,
        &[offer],
        vec![named(reserve(&reserved("cpus:1")), "o")],
    );
    let of = |id: &str| call::reconcile_operations::Operation {
        operation_id: id.into(),
        agent_id: Some(agent.id.clone()),
        resource_provider_id: None,
    };
    for operations in [vec![of("o"), of("x")], Vec::new()] {
        let expected: &[OperationState] = match operations.len() {
            0 => &[OperationState::OperationPending],
            _ => &[
                OperationState::OperationPending,
                OperationState::OperationUnknown,
            ],
        };
        let call = SchedulerCall::ReconcileOperations(call::ReconcileOperations { operations });
        bench.call(&scheduler, call).unwrap();
        let states = bench.operation_statuses(&scheduler);
        let states: Vec<_> = states.iter().map(v1::OperationStatus::state).collect();
        assert_eq!(states, expected);
    }
}

#[test]
fn operations_go_with_their_agent() {
    let mut bench = Bench::new();
    let (agent, scheduler, offer) = bench.offered("cpus:4;mem:1024");
    bench.accept(
        &scheduler,
        &[offer],
        vec![named(reserve(&reserved("cpus:1")), "o")],
    );
    bench.advance(Duration::from_secs(200));
    let states = bench.operation_statuses(&scheduler);
    assert_eq!(states[0].state(), OperationState::OperationUnreachable);
    assert_eq!(bench.open_operations(), 0);
    let wanted = call::reconcile_operations::Operation {
        operation_id: "o".into(),
        agent_id: Some(agent.id.clone()),
        resource_provider_id: None,
    };
    let operations = vec![wanted];
    let call = SchedulerCall::ReconcileOperations(call::ReconcileOperations { operations });
    bench.call(&scheduler, call.clone()).unwrap();
    let states = bench.operation_statuses(&scheduler);
    assert_eq!(states[0].state(), OperationState::OperationUnreachable);
    bench
        .operator_call(OperatorCall::MarkAgentGone {
            agent_id: AgentId::new(agent.id.value.as_str()),
        })
        .unwrap();
    bench.operation_statuses(&scheduler);
    bench.call(&scheduler, call).unwrap();
    let states = bench.operation_statuses(&scheduler);
    assert_eq!(states[0].state(), OperationState::OperationGoneByOperator);
}

#[test]
fn a_returning_agent_is_believed_and_told_what_it_missed() {
    let mut bench = Bench::new();
    let (agent, scheduler, offer) = bench.offered("cpus:4;mem:1024");
    let operations = vec![
        named(reserve(&reserved("cpus:1")), "here"),
        named(reserve(&reserved("cpus:2")), "lost"),
    ];
    bench.accept(&scheduler, &[offer], operations);
    let applied = bench.applied(&agent);
    bench.step(Event::AgentDisconnected {
        connection: agent.connection,
    });
    let mut total = bag("cpus:3;mem:1024");
    total.add_all(&reserved("cpus:1"));
    let status = v1::OperationStatus {
        state: OperationState::OperationFinished.into(),
        uuid: Some(v1::Uuid { value: vec![9; 16] }),
        ..v1::OperationStatus::default()
    };
    let connection = bench.open_link("host");
    let message = link::Reregister {
        agent: agent.info.clone(),
        total: wire(&total),
        version: "1".to_owned(),
        operations: vec![v1::Operation {
            framework_id: applied[0].framework_id.clone(),
            agent_id: Some(agent.id.clone()),
            info: applied[0].info.clone(),
            latest_status: status.clone(),
            statuses: vec![status],
            uuid: v1::Uuid {
                value: applied[0].operation_uuid.clone(),
            },
        }],
        ..link::Reregister::default()
    };
    bench.say(connection, FromAgent::Reregister(message));
    let messages = bench.messages(connection);
    let FromMaster::Reregistered(answer) = &messages[0] else {
        panic!("{messages:?}");
    };
    assert_eq!(answer.operations.len(), 1);
    assert_eq!(
        answer.operations[0].operation_uuid,
        applied[1].operation_uuid
    );
    assert_eq!(bench.total(&agent), total);
    assert_eq!(bench.open_operations(), 2);
}

#[test]
fn volumes_grow_and_shrink_and_are_destroyed() {
    let mut bench = Bench::new();
    let (agent, scheduler, offer) = bench.offered("cpus:4;mem:1024;disk:100");
    let first = volume(10, "v", false);
    let operations = vec![
        reserve(&reserved("cpus:4;mem:1024;disk:30")),
        create(&first),
    ];
    bench.accept(&scheduler, &[offer], operations);
    let offer = bench.offers(&scheduler).pop().unwrap();
    let grown = volume(30, "v", false);
    let operations = vec![
        grow(&first, &reserved("disk:20")),
        named(destroy(&grown), "not in the same call"),
    ];
    bench.accept(&scheduler, &[offer], operations);
    assert_eq!(bench.operation_statuses(&scheduler).len(), 1);
    let offer = bench.offers(&scheduler).pop().unwrap();
    assert!(resources_of(&offer).contains(&grown), "{offer:?}");
    bench.accept(&scheduler, &[offer], vec![shrink(&grown, 25.0)]);
    let offer = bench.offers(&scheduler).pop().unwrap();
    let mut left = volume(5, "v", false);
    left.add_all(&reserved("disk:25"));
    assert!(resources_of(&offer).contains(&left), "{offer:?}");
    bench.accept(&scheduler, &[offer], vec![destroy(&volume(5, "v", false))]);
    let offer = bench.offers(&scheduler).pop().unwrap();
    assert!(resources_of(&offer).contains(&reserved("disk:30")));
    assert_eq!(bench.total(&agent).disk(), bag("disk:100").disk());
    for bad in [
        grow(&volume(5, "v", false), &bag("disk:1")),
        shrink(&volume(5, "v", false), 5.0),
        shrink(&volume(5, "v", false), -1.0),
    ] {
        let offer = bench.offers(&scheduler);
        bench.accept(&scheduler, &offer, vec![named(bad, "bad")]);
        let statuses = bench.operation_statuses(&scheduler);
        assert!(
            statuses
                .iter()
                .all(|one| one.state() == OperationState::OperationError)
        );
        bench.advance(Duration::from_secs(6));
    }
}

#[test]
fn a_shared_volume_is_held_by_many_and_destroyed_when_none_has_it() {
    let mut bench = Bench::new();
    let (agent, scheduler, offer) = bench.offered("cpus:4;mem:1024;disk:100");
    let shared = volume(10, "v", true);
    let launched = |id: &str, agent: &AgentPeer| {
        let mut info = task(id, agent, "cpus:1;mem:32");
        info.resources.extend(wire(&shared));
        launch(vec![info])
    };
    let operations = vec![
        reserve(&reserved("disk:10")),
        create(&shared),
        launched("t1", &agent),
    ];
    bench.accept(&scheduler, &[offer], operations);
    bench.advance(Duration::from_secs(6));
    let offer = bench.offers(&scheduler).pop().unwrap();
    assert!(
        resources_of(&offer).contains(&shared),
        "also while t1 has it"
    );
    let operations = vec![launched("t2", &agent), named(destroy(&shared), "o")];
    bench.accept(&scheduler, &[offer], operations);
    let statuses = bench.operation_statuses(&scheduler);
    assert!(statuses[0].message().contains("in use"), "{statuses:?}");
    for id in ["t1", "t2"] {
        bench.update(&agent, &scheduler, id, TaskState::TaskFinished, 1);
    }
    bench.advance(Duration::from_secs(6));
    let offer = bench.offers(&scheduler).pop().unwrap();
    bench.accept(&scheduler, &[offer], vec![destroy(&shared)]);
    assert_eq!(bench.total(&agent).shared(), Resources::new());
    assert_eq!(bench.total(&agent).disk(), bag("disk:100").disk());
}

#[test]
fn operators_take_offers_back_for_what_they_reserve() {
    let mut bench = Bench::new();
    let (agent, scheduler, offer) = bench.offered("cpus:4;mem:1024");
    let call = operate(&agent, reserve(&reserved("cpus:1")));
    bench.operator_call(call.clone()).unwrap();
    let events = bench.events(scheduler.connection);
    let rescinded: Vec<_> = events
        .iter()
        .filter_map(|event| event.rescind.as_ref())
        .collect();
    assert_eq!(rescinded[0].offer_id, offer.id);
    let applied = bench.applied(&agent);
    assert_eq!(applied[0].framework_id, None);
    bench.say_finished(&agent, &applied[0]);
    assert_eq!(bench.open_operations(), 0);
    assert_eq!(bench.total(&agent).reserved(), reserved("cpus:1"));
    let error = bench
        .operator_call(operate(&agent, reserve(&reserved("cpus:4"))))
        .unwrap_err();
    assert_eq!(
        error.kind,
        crate::master::CallErrorKind::Conflict,
        "{error}"
    );
    let error = bench
        .operator_call(operate(&agent, unreserve(&bag("cpus:1"))))
        .unwrap_err();
    assert_eq!(error.kind, crate::master::CallErrorKind::Invalid, "{error}");
    bench
        .operator_call(operate(&agent, unreserve(&reserved("cpus:1"))))
        .unwrap();
    assert_eq!(bench.total(&agent), bag("cpus:4;mem:1024"));
    let nobody = OperatorCall::Operate {
        agent_id: AgentId::new("nobody"),
        operation: Box::new(reserve(&reserved("cpus:1"))),
    };
    assert!(bench.operator_call(nobody).is_err());
}

#[test]
fn operators_do_not_get_what_tasks_have() {
    let mut bench = Bench::new();
    let (agent, scheduler, offer) = bench.offered("cpus:4;mem:1024");
    let launched = launch(vec![task("t", &agent, "cpus:3;mem:32")]);
    bench.accept(&scheduler, &[offer], vec![launched]);
    bench.advance(Duration::from_secs(6));
    assert_eq!(bench.offers(&scheduler).len(), 1);
    let error = bench
        .operator_call(operate(&agent, reserve(&reserved("cpus:2"))))
        .unwrap_err();
    assert_eq!(
        error.kind,
        crate::master::CallErrorKind::Conflict,
        "{error}"
    );
    assert_eq!(
        bench.snapshot().offers.len(),
        1,
        "no offer was taken back for nothing"
    );
}

#[test]
fn operators_move_reservations() {
    let mut bench = Bench::new();
    let agent = bench.agent("host", "cpus:4;mem:1024");
    bench
        .operator_call(operate(&agent, reserve(&reserved("cpus:2"))))
        .unwrap();
    let ops = Reservation::dynamic(Role::parse("ops").unwrap(), None);
    let moved = bag("cpus:2").map(|item| item.reserve(ops.clone()).unwrap());
    let mut operation = reserve(&moved);
    if let Some(body) = &mut operation.reserve {
        body.source = wire(&reserved("cpus:2"));
    }
    bench
        .operator_call(operate(&agent, operation.clone()))
        .unwrap();
    assert_eq!(bench.total(&agent).reserved(), moved);
    if let Some(body) = &mut operation.reserve {
        body.resources = wire(&reserved("cpus:1"));
    }
    let error = bench.operator_call(operate(&agent, operation)).unwrap_err();
    assert_eq!(error.kind, crate::master::CallErrorKind::Invalid, "{error}");
}
