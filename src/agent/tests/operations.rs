//! Operations: applied, made, written down, told, acknowledged; and volumes after a restart.

use super::*;
use crate::agent::checkpoint::VolumePath;
use crate::agent::operations::recovered_total;
use crate::proto::v1::OperationState;
use crate::proto::v1::offer::{Operation as Info, operation};
use crate::resources::{
    Disk, Persistence, Reservation, ReservationForm, Resource, Resources, Volume, parse,
};
use crate::roles::Role;

fn bag(text: &str) -> Resources {
    parse(text, &Role::DEFAULT).unwrap()
}

fn reserved(text: &str) -> Resources {
    let level = Reservation::dynamic(Role::parse("dev/a").unwrap(), None);
    bag(text).map(|item| item.reserve(level.clone()).unwrap())
}

fn volume(id: &str) -> Resources {
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
    reserved("disk:10").map(|item: Resource| item.with_disk(Some(info.clone())).unwrap())
}

fn reserve(resources: &Resources) -> Info {
    Info {
        r#type: Some(operation::Type::Reserve.into()),
        reserve: Some(operation::Reserve {
            source: Vec::new(),
            resources: resources.to_proto(ReservationForm::Stack),
        }),
        ..Info::default()
    }
}

fn create(volumes: &Resources) -> Info {
    Info {
        r#type: Some(operation::Type::Create.into()),
        create: Some(operation::Create {
            volumes: volumes.to_proto(ReservationForm::Stack),
        }),
        ..Info::default()
    }
}

fn destroy(volumes: &Resources) -> Info {
    Info {
        r#type: Some(operation::Type::Destroy.into()),
        destroy: Some(operation::Destroy {
            volumes: volumes.to_proto(ReservationForm::Stack),
        }),
        ..Info::default()
    }
}

fn disk_config() -> AgentConfig {
    let mut config = config();
    config.resources = bag("cpus:4;mem:4096;disk:100").to_proto(ReservationForm::Stack);
    config
}

/// A registered agent with disk.
fn rig() -> Rig {
    let mut rig = Rig::with(disk_config(), Checkpointed::default());
    rig.register();
    rig.effects.clear();
    rig
}

impl Rig {
    fn apply(&mut self, number: u8, info: Info) {
        let apply = link::ApplyOperation {
            framework_id: Some("F".into()),
            operation_uuid: vec![number; 16],
            info,
        };
        self.master(link::from_master::Message::ApplyOperation(apply));
    }

    /// Answers the making of folders, in order.
    fn make(&mut self, result: &Result<(), String>) -> Vec<VolumePath> {
        let mut made = Vec::new();
        for effect in self.take() {
            match effect {
                Effect::MakeVolumes {
                    operation: Some(operation),
                    volumes,
                } => {
                    made.extend(volumes);
                    let result = result.clone();
                    self.step(Event::VolumesMade { operation, result });
                }
                other => self.effects.push(other),
            }
        }
        made
    }

    fn acknowledge_operation(&mut self, update: &link::OperationUpdate) {
        let message = link::AcknowledgeOperation {
            operation_uuid: update.operation_uuid.clone(),
            status_uuid: update.status.uuid.clone().unwrap().value,
        };
        self.master(link::from_master::Message::AcknowledgeOperation(message));
    }

    fn restarted(&self) -> Self {
        Self::with(disk_config(), self.disk.clone())
    }

    fn total(&self) -> Resources {
        self.snapshot().total
    }
}

fn told_operations(effects: &[Effect]) -> Vec<link::OperationUpdate> {
    let messages = sent(effects).into_iter();
    let updates = messages.filter_map(|message| match message {
        link::from_agent::Message::OperationUpdate(update) => Some(update.clone()),
        _ => None,
    });
    updates.collect()
}

fn removed(effects: &[Effect]) -> Vec<VolumePath> {
    let volumes = effects.iter().filter_map(|effect| match effect {
        Effect::RemoveVolumes { volumes, .. } => Some(volumes.clone()),
        _ => None,
    });
    volumes.flatten().collect()
}

#[test]
fn nobody_is_told_before_it_is_written_down() {
    let mut rig = rig();
    rig.fast_disk = false;
    rig.apply(1, reserve(&reserved("cpus:1")));
    assert!(told_operations(&rig.take()).is_empty());
    let shown = rig
        .snapshot()
        .operations
        .values()
        .next()
        .unwrap()
        .to_proto();
    assert_eq!(
        shown.latest_status.state(),
        OperationState::OperationPending
    );
    rig.write_all();
    let effects = rig.take();
    let update = told_operations(&effects).remove(0);
    assert_eq!(update.status.state(), OperationState::OperationFinished);
    assert_eq!(update.operation_uuid, vec![1; 16]);
    let key = TimerKey::OperationRetry(Uuid([1; 16]));
    assert!(timer_at(&effects, &key).is_some());
    rig.step(Event::TimerFired(key));
    assert_eq!(
        told_operations(&rig.take()),
        std::slice::from_ref(&update),
        "again, the same"
    );
    rig.acknowledge_operation(&update);
    rig.write_all();
    assert!(rig.snapshot().operations.is_empty());
    assert!(rig.disk.operations.is_empty());
    assert_eq!(rig.total().reserved(), reserved("cpus:1"));
}

#[test]
fn reservations_and_open_reports_survive_a_restart() {
    let mut rig = rig();
    rig.apply(1, reserve(&reserved("cpus:1;disk:10")));
    rig.apply(2, create(&volume("v")));
    let made = rig.make(&Ok(()));
    assert_eq!(made[0].path.to_str(), Some("/work/volumes/roles/dev a/v"));
    let total = rig.total();
    let updates = told_operations(&rig.take());
    rig.acknowledge_operation(&updates[0]);
    for disk in [rig.disk.clone(), {
        let mut fewest = Checkpointed::default();
        rig.disk
            .records()
            .iter()
            .for_each(|record| fewest.apply(record));
        fewest
    }] {
        let mut next = Rig::with(disk_config(), disk);
        assert_eq!(next.total(), total);
        let mut effects = Effects::new();
        let now = next.now;
        next.agent.start(now, &mut effects);
        let again = effects.drain().find_map(|effect| match effect {
            Effect::MakeVolumes {
                operation: None,
                volumes,
            } => Some(volumes),
            _ => None,
        });
        assert_eq!(
            again,
            Some(made.clone()),
            "folders that were lost are made again"
        );
        next.step(Event::Recovered);
        next.step(Event::MasterConnected { connection: MASTER });
        let effects = next.take();
        let link::from_agent::Message::Reregister(message) = sent(&effects)[0] else {
            panic!("{effects:?}");
        };
        assert_eq!(Resources::from_proto(&message.total), Ok(total.clone()));
        assert_eq!(message.agent.resources, disk_config().resources);
        assert_eq!(message.operations.len(), 1);
        assert_eq!(
            message.operations[0].latest_status.state(),
            OperationState::OperationFinished
        );
    }
}

#[test]
fn what_was_acknowledged_is_not_reported_again() {
    let mut rig = rig();
    rig.apply(1, reserve(&reserved("cpus:3")));
    let update = told_operations(&rig.take()).remove(0);
    rig.fast_disk = false;
    rig.acknowledge_operation(&update);
    rig.step(Event::MasterDisconnected { connection: MASTER });
    let connection = ConnectionId(2);
    rig.step(Event::MasterConnected { connection });
    let effects = rig.take();
    let link::from_agent::Message::Reregister(message) = sent(&effects)[0] else {
        panic!("{effects:?}");
    };
    assert!(message.operations.is_empty(), "{:?}", message.operations);
}

#[test]
fn what_is_reserved_outlives_the_agents_id_but_not_smaller_flags() {
    let mut rig = rig();
    rig.apply(1, reserve(&reserved("cpus:3")));
    let update = told_operations(&rig.take()).remove(0);
    rig.acknowledge_operation(&update);
    rig.disk.apply(&Record::AgentRemoved);
    assert_eq!(rig.restarted().total().reserved(), reserved("cpus:3"));
    let mut fewest = Checkpointed::default();
    rig.disk
        .records()
        .iter()
        .for_each(|record| fewest.apply(record));
    assert_eq!(fewest, rig.disk);
    let mut config = disk_config();
    config.resources = bag("cpus:2;mem:4096").to_proto(ReservationForm::Stack);
    let error = recovered_total(&config, &rig.disk).unwrap_err().to_string();
    assert!(
        error.contains("cpus:2") && error.contains("/work/meta/journal"),
        "{error}"
    );
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn what_cannot_be_applied_is_dropped_and_the_master_set_right() {
    let mut rig = rig();
    rig.apply(1, reserve(&reserved("cpus:5")));
    let effects = rig.take();
    let update = told_operations(&effects).remove(0);
    assert_eq!(update.status.state(), OperationState::OperationDropped);
    let total = sent(&effects)
        .into_iter()
        .find_map(|message| match message {
            link::from_agent::Message::ResourcesChanged(message) => Some(message.total.clone()),
            _ => None,
        });
    assert_eq!(total, Some(disk_config().resources));
    rig.apply(1, reserve(&reserved("cpus:1")));
    assert_eq!(
        rig.total(),
        bag("cpus:4;mem:4096;disk:100"),
        "the same uuid once only"
    );
}

#[test]
fn a_volume_that_cannot_be_made_fails_and_is_undone() {
    let mut rig = rig();
    rig.apply(1, reserve(&reserved("disk:10")));
    rig.take();
    rig.apply(2, create(&volume("v")));
    rig.make(&Err("/work: no space".to_owned()));
    let effects = rig.take();
    let update = told_operations(&effects).remove(0);
    assert_eq!(update.status.state(), OperationState::OperationFailed);
    assert!(update.status.message().contains("no space"));
    assert_eq!(rig.total().reserved(), reserved("disk:10"));
    assert_eq!(rig.restarted().total(), rig.total());
}

#[test]
fn what_needs_what_is_not_made_yet_is_written_down_behind_it() {
    for result in [Ok(()), Err("no space".to_owned())] {
        let mut rig = rig();
        rig.apply(1, reserve(&reserved("disk:20")));
        rig.apply(2, create(&volume("v")));
        rig.apply(3, destroy(&volume("v")));
        assert_eq!(rig.make(&result).len(), 1, "one folder");
        assert_eq!(rig.total(), rig.restarted().total(), "{result:?}");
        let volumes = rig.total().iter().any(|item| item.disk().is_some());
        assert!(!volumes, "{result:?}: {}", rig.total());
    }
}

#[test]
fn a_destroyed_volume_goes_before_one_of_its_name_comes() {
    let mut rig = rig();
    rig.apply(1, reserve(&reserved("disk:10")));
    rig.apply(2, create(&volume("v")));
    rig.make(&Ok(()));
    rig.take();
    rig.fast_disk = false;
    rig.apply(3, destroy(&volume("v")));
    rig.apply(4, create(&volume("v")));
    let effects = rig.take();
    assert!(removed(&effects).is_empty(), "not written down yet");
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::MakeVolumes { .. })),
        "the old one is still there"
    );
    rig.write_all();
    let order: Vec<&str> = rig
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::RemoveVolumes { .. } => Some("remove"),
            Effect::MakeVolumes { .. } => Some("make"),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["remove", "make"]);
    rig.make(&Ok(()));
    rig.write_all();
    assert!(rig.total().contains(&volume("v")));
    // Killed right after: what was destroyed is not removed again, its successor is there.
    let mut effects = Effects::new();
    let mut next = rig.restarted();
    let now = next.now;
    next.agent.start(now, &mut effects);
    assert!(removed(effects.as_slice()).is_empty());
}

#[test]
fn a_removal_that_was_cut_short_goes_on_after_a_restart() {
    let mut rig = rig();
    rig.apply(1, reserve(&reserved("disk:10")));
    rig.apply(2, create(&volume("v")));
    let made = rig.make(&Ok(()));
    rig.apply(3, destroy(&volume("v")));
    let mut effects = Effects::new();
    let mut next = rig.restarted();
    let now = next.now;
    next.agent.start(now, &mut effects);
    assert_eq!(removed(effects.as_slice()), made);
}

#[test]
fn missing_operations_are_reported_as_dropped() {
    let mut rig = Rig::with(disk_config(), Checkpointed::default());
    rig.register();
    let mut next = rig.restarted();
    next.step(Event::MasterConnected { connection: MASTER });
    let agent_id = next.agent.info.id.clone().unwrap();
    next.take();
    next.master(link::from_master::Message::Reregistered(
        link::Reregistered {
            agent_id,
            epoch: 1,
            operations: vec![link::MissingOperation {
                framework_id: Some("F".into()),
                operation_uuid: vec![5; 16],
                info: reserve(&reserved("cpus:1")),
            }],
            ..link::Reregistered::default()
        },
    ));
    let update = told_operations(&next.take()).remove(0);
    assert_eq!(update.status.state(), OperationState::OperationDropped);
    assert_eq!(next.total().reserved(), Resources::new());
}

#[test]
fn tasks_see_their_volumes() {
    let mut rig = rig();
    rig.apply(1, reserve(&reserved("disk:10")));
    rig.apply(2, create(&volume("v")));
    rig.make(&Ok(()));
    rig.take();
    let mut task = command_task("t");
    task.resources
        .extend(volume("v").to_proto(ReservationForm::Stack));
    rig.run(framework(), task);
    let effects = rig.take();
    let seen = &launched(&effects).volumes;
    assert_eq!(seen.len(), 1);
    assert_eq!(
        seen[0].host_path.to_str(),
        Some("/work/volumes/roles/dev a/v")
    );
    assert_eq!(seen[0].container_path, "data");
    // A second task of an executor that runs brings its volume with it.
    rig.run(framework(), custom_task("t1", "e"));
    rig.subscribe("e");
    rig.take();
    rig.apply(3, reserve(&reserved("disk:10")));
    rig.apply(4, create(&volume("w")));
    rig.make(&Ok(()));
    rig.take();
    let mut task = custom_task("t2", "e");
    task.resources
        .extend(volume("w").to_proto(ReservationForm::Stack));
    rig.run(framework(), task);
    let effects = rig.take();
    let place = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted);
    let linked = place(|effect| matches!(effect, Effect::LinkVolumes { .. })).unwrap();
    let told = place(|effect| matches!(effect, Effect::ToExecutor { .. })).unwrap();
    assert!(linked < told, "{effects:?}");
}
