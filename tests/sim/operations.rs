//! Model frameworks convert what they are offered: they reserve and unreserve, make and end volumes, and
//! launch tasks on them.

use std::time::Duration;

use mesosd::base::TaskId;
use mesosd::master::SchedulerCall;
use mesosd::proto::v1;
use mesosd::proto::v1::offer::{Operation, operation};
use mesosd::proto::v1::resource::{DiskInfo, ReservationInfo, disk_info, reservation_info};
use mesosd::proto::v1::scheduler::call as wire;
use mesosd::proto::v1::{OperationState, TaskState};

use crate::scheduler::{Deed, Scheduler, TaskView, scalar};

/// The role that a resource is reserved to, in whatever form.
#[expect(deprecated, reason = "what frameworks without refinement are sent")]
pub(crate) fn reserved_role(resource: &v1::Resource) -> Option<&str> {
    let stack = resource
        .reservations
        .last()
        .and_then(|level| level.role.as_deref());
    stack
        .or(resource.role.as_deref())
        .filter(|role| *role != "*")
}

pub(crate) fn is_reserved(resource: &v1::Resource) -> bool {
    reserved_role(resource).is_some()
}

fn is_volume(resource: &v1::Resource) -> bool {
    let disk = resource.disk.as_ref();
    disk.is_some_and(|disk| disk.persistence.is_some())
}

fn reserved(name: &str, value: f64, role: &str) -> v1::Resource {
    let mut resource = scalar(name, value, role);
    resource.reservations = vec![ReservationInfo {
        r#type: Some(reservation_info::Type::Dynamic.into()),
        role: Some(role.into()),
        ..ReservationInfo::default()
    }];
    resource
}

fn volume(mut disk: v1::Resource, id: String) -> v1::Resource {
    let mut place = v1::Volume {
        container_path: "data".into(),
        ..v1::Volume::default()
    };
    place.set_mode(v1::volume::Mode::Rw);
    disk.disk = Some(DiskInfo {
        persistence: Some(disk_info::Persistence {
            id,
            principal: None,
        }),
        volume: Some(place),
        source: None,
    });
    disk
}

fn reserve(resources: Vec<v1::Resource>) -> Operation {
    Operation {
        r#type: Some(operation::Type::Reserve.into()),
        reserve: Some(operation::Reserve {
            source: Vec::new(),
            resources,
        }),
        ..Operation::default()
    }
}

/// Reserves a little of what is free, for an operator.
pub(crate) fn reserve_cpus(role: &str) -> Operation {
    let mut cpus = reserved("cpus", 0.1, role);
    cpus.allocation_info = None;
    reserve(vec![cpus])
}

fn create(volumes: Vec<v1::Resource>) -> Operation {
    Operation {
        r#type: Some(operation::Type::Create.into()),
        create: Some(operation::Create { volumes }),
        ..Operation::default()
    }
}

/// Ends what a resource was made to.
fn undo(resource: v1::Resource) -> Operation {
    if is_volume(&resource) {
        return Operation {
            r#type: Some(operation::Type::Destroy.into()),
            destroy: Some(operation::Destroy {
                volumes: vec![resource],
            }),
            ..Operation::default()
        };
    }
    Operation {
        r#type: Some(operation::Type::Unreserve.into()),
        unreserve: Some(operation::Unreserve {
            resources: vec![resource],
        }),
        ..Operation::default()
    }
}

/// What a framework knows of an operation that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct OperationView {
    pub(crate) agent_id: v1::AgentId,
    /// The newest state heard.
    pub(crate) state: OperationState,
}

impl Scheduler {
    /// Converts a part of an offer.
    pub(crate) fn convert(&mut self, offer: &v1::Offer) -> SchedulerCall {
        let role = offer
            .allocation_info
            .as_ref()
            .and_then(|info| info.role.clone());
        let role = role.unwrap_or_default();
        let converted: Vec<_> = offer
            .resources
            .iter()
            .filter(|resource| is_reserved(resource))
            .cloned()
            .collect();
        self.launched += 1;
        let name = format!("s{}-{}", self.index, self.launched);
        let mut operations = Vec::new();
        if converted.is_empty() || self.rng.chance(1, 3) {
            let disk = reserved("disk", 10.0, &role);
            let cpus = reserved("cpus", 0.2, &role);
            operations.push(reserve(vec![cpus.clone(), disk.clone()]));
            if self.rng.chance(2, 3) {
                let made = volume(disk, name.clone());
                operations.push(create(vec![made.clone()]));
                if self.rng.chance(1, 2) {
                    operations.push(self.launch_on(offer, &role, vec![cpus, made]));
                }
            }
        } else {
            let some = converted.into_iter().filter(|_| self.rng.chance(2, 3));
            operations.extend(some.map(undo));
        }
        for (number, operation) in operations.iter_mut().enumerate() {
            if operation.launch.is_none() && self.rng.chance(1, 2) {
                let id = format!("{name}-{number}");
                operation.id = Some(v1::OperationId { value: id.clone() });
                let view = OperationView {
                    agent_id: offer.agent_id.clone(),
                    state: OperationState::OperationPending,
                };
                self.operations.insert(id, view);
            }
        }
        SchedulerCall::Accept(wire::Accept {
            offer_ids: vec![offer.id.clone()],
            operations,
            filters: None,
        })
    }

    fn launch_on(
        &mut self,
        offer: &v1::Offer,
        role: &str,
        mut resources: Vec<v1::Resource>,
    ) -> Operation {
        resources.push(scalar("mem", 32.0, role));
        let id = TaskId::new(format!("s{}-t{}", self.index, self.launched));
        let task = v1::TaskInfo {
            name: id.to_string(),
            task_id: (&id).into(),
            agent_id: offer.agent_id.clone(),
            resources,
            command: Some(v1::CommandInfo {
                value: Some("sleep 1".into()),
                ..v1::CommandInfo::default()
            }),
            ..v1::TaskInfo::default()
        };
        self.launched_ids.insert(id.clone());
        let view = TaskView {
            agent_id: offer.agent_id.clone(),
            executor_id: v1::ExecutorId {
                value: id.to_string(),
            },
            state: TaskState::TaskStaging,
            uuids: Vec::new(),
        };
        self.tasks.insert(id, view);
        Operation {
            r#type: Some(operation::Type::Launch.into()),
            launch: Some(operation::Launch {
                task_infos: vec![task],
            }),
            ..Operation::default()
        }
    }

    /// Hears of an operation, and acknowledges what is to be acknowledged.
    pub(crate) fn operation_ended(&mut self, status: &v1::OperationStatus) -> Vec<Deed> {
        let Some(id) = status.operation_id.clone() else {
            return Vec::new();
        };
        let waits = matches!(
            status.state(),
            OperationState::OperationPending
                | OperationState::OperationUnreachable
                | OperationState::OperationRecovering
        );
        if !waits {
            self.operations.remove(&id.value);
        } else if let Some(view) = self.operations.get_mut(&id.value) {
            view.state = status.state();
        }
        let Some(uuid) = status.uuid.clone() else {
            return Vec::new();
        };
        let acknowledge = SchedulerCall::AcknowledgeOperation(wire::AcknowledgeOperationStatus {
            agent_id: status.agent_id.clone(),
            resource_provider_id: None,
            uuid: uuid.value,
            operation_id: id,
        });
        let pause = if self.rng.chance(self.habits.late, 100) {
            self.pause(Duration::from_secs(30))
        } else {
            Duration::from_millis(1)
        };
        vec![Deed::Call(pause, acknowledge)]
    }

    /// Asks for every operation whose end was not heard.
    pub(crate) fn reconcile_operations(&self) -> SchedulerCall {
        let operation =
            |(id, view): (&String, &OperationView)| wire::reconcile_operations::Operation {
                operation_id: v1::OperationId { value: id.clone() },
                agent_id: Some(view.agent_id.clone()),
                resource_provider_id: None,
            };
        SchedulerCall::ReconcileOperations(wire::ReconcileOperations {
            operations: self.operations.iter().map(operation).collect(),
        })
    }
}
