//! Core: ACCEPT: offers become a draft, operations take from it in order, the rest goes back.
//!
//! | file | duty |
//! | --- | --- |
//! | `draft.rs` | what is left |
//! | `launch.rs` | LAUNCH and LAUNCH_GROUP |
//! | `conversion.rs` | RESERVE, UNRESERVE, CREATE, DESTROY, GROW_VOLUME and SHRINK_VOLUME |

mod conversion;
mod draft;
mod launch;

use crate::base::{FrameworkId, OfferId, TaskId};
use crate::proto::v1;
use crate::proto::v1::TaskState;
use crate::proto::v1::offer::{Operation, operation::Type};
use crate::proto::v1::scheduler::call::Accept;
use crate::proto::v1::task_status::Reason;
use crate::resources::Resources;
use crate::validation::offer::{Facts, ValidOffers, check};

use crate::master::call::{CallError, CallErrorKind};
use crate::master::core::{Master, Step};
use crate::master::events::master_status;
use crate::master::offers::filter;
use draft::Draft;

impl Master {
    /// ACCEPT. Nothing is touched when the call holds an operation that is not supported.
    pub(super) fn accept(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        call: Accept,
    ) -> Result<(), CallError> {
        check_supported(&call.operations)?;
        let valid = check(&call.offer_ids, framework_id, |id| {
            self.offers.get(id).map(|offer| Facts {
                framework: &offer.framework_id,
                agent: &offer.agent_id,
                role: &offer.role,
            })
        });
        match valid {
            Ok(offers) => self.accept_valid(step, framework_id, offers, call),
            Err(error) => self.accept_invalid(step, framework_id, &call, &error.to_string()),
        }
        Ok(())
    }

    fn accept_valid(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        offers: ValidOffers,
        call: Accept,
    ) {
        let mut left = Resources::new();
        for offer_id in &offers.ids {
            self.metrics.offers_accepted += 1;
            let offer = if planted!(self, DoubleOffer) {
                self.offers.get(offer_id).cloned()
            } else {
                self.take_offer(step, offer_id)
            };
            left.add_all(&offer.expect("the offer was checked just now").resources);
        }
        let agent = self.agents.get(&offers.agent);
        let link = agent
            .and_then(|agent| agent.status.connection())
            .expect("offers of agents without link are rescinded at once");
        let place = (offers.agent, link);
        let mut draft = Draft::new(framework_id.clone(), place, offers.role, left);
        let unused = call.operations.is_empty();
        if !unused {
            let roles = [draft.role.clone()].into();
            self.allocator.demand_changed(framework_id, &roles);
        }
        for operation in call.operations {
            match operation.r#type() {
                Type::Launch => {
                    for task in operation
                        .launch
                        .iter()
                        .flat_map(|launch| &launch.task_infos)
                    {
                        self.launch(step, &mut draft, task);
                    }
                }
                Type::LaunchGroup => {
                    if let Some(group) = &operation.launch_group {
                        self.launch_group(step, &mut draft, &group.executor, &group.task_group);
                    }
                }
                _ => self.convert(step, &mut draft, &operation),
            }
        }
        let agent_id = draft.agent_id.clone();
        let (as_offered, made) = draft.rest();
        let first = call.offer_ids.first().map(|id| id.value.as_str());
        let first = OfferId::new(first.unwrap_or_default());
        let refused = Some(filter(call.filters.as_ref(), &first));
        let now = step.now.mono;
        if unused {
            self.allocator
                .decline(framework_id, &agent_id, &as_offered, refused, now);
            return;
        }
        // What is something else now was never refused.
        for (rest, filter) in [(as_offered, refused), (made, None)] {
            self.allocator
                .recover(framework_id, &agent_id, &rest, filter, now);
        }
    }

    /// Offers that are gone or do not fit together: what is left of them goes back, and every task
    /// is lost without having started.
    fn accept_invalid(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        call: &Accept,
        message: &str,
    ) {
        for offer_id in &call.offer_ids {
            let offer_id = OfferId::new(offer_id.value.as_str());
            let own = self
                .offers
                .get(&offer_id)
                .is_some_and(|offer| offer.framework_id == *framework_id);
            if own {
                self.discard_offer(step, &offer_id, None);
            }
        }
        for operation in &call.operations {
            if !is_launch(operation) {
                self.refuse_operation(step, framework_id, None, operation, message);
            }
        }
        let Some(framework) = self.frameworks.get(framework_id) else {
            return;
        };
        let state = framework.loss(TaskState::TaskDropped);
        let tasks = call.operations.iter().flat_map(|operation| {
            let launch = operation
                .launch
                .iter()
                .flat_map(|launch| &launch.task_infos);
            let group = operation.launch_group.iter();
            launch.chain(group.flat_map(|group| &group.task_group.tasks))
        });
        for task in tasks {
            self.refuse_task(
                step,
                framework_id,
                task,
                state,
                Reason::InvalidOffers,
                message,
            );
        }
    }

    /// Tells the scheduler that a task was not launched.
    fn refuse_task(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        task: &v1::TaskInfo,
        state: TaskState,
        reason: Reason,
        message: &str,
    ) {
        let task_id = TaskId::new(task.task_id.value.as_str());
        let mut status = master_status(&task_id, None, state, reason, message, step.now.wall);
        status.agent_id = Some(task.agent_id.clone());
        self.metrics.count_task(state, &status);
        if let Some(connection) = self.connection_of(framework_id) {
            step.send_update(connection, status);
        }
    }
}

/// Refuses a call with an operation that this master cannot carry out, before anything is done.
fn check_supported(operations: &[Operation]) -> Result<(), CallError> {
    for operation in operations {
        let body = match operation.r#type() {
            Type::Launch => operation.launch.is_some(),
            Type::LaunchGroup => operation.launch_group.is_some(),
            Type::Unknown => {
                return Err(CallError::invalid(
                    "accept.operations.type: must be set to a known operation",
                ));
            }
            Type::Reserve => operation.reserve.is_some(),
            Type::Unreserve => operation.unreserve.is_some(),
            Type::Create => operation.create.is_some(),
            Type::Destroy => operation.destroy.is_some(),
            Type::GrowVolume => operation.grow_volume.is_some(),
            Type::ShrinkVolume => operation.shrink_volume.is_some(),
            other @ (Type::CreateDisk | Type::DestroyDisk) => {
                return Err(CallError::new(
                    CallErrorKind::Unimplemented,
                    format!(
                        "accept.operations.type: {} needs a resource provider, and agents have \
                         none; the offers stay as they are",
                        other.as_str_name()
                    ),
                ));
            }
        };
        if !body {
            return Err(CallError::invalid(format!(
                "accept.operations: {} needs its body",
                operation.r#type().as_str_name()
            )));
        }
        if operation.id.is_some() && is_launch(operation) {
            return Err(CallError::invalid(format!(
                "accept.operations.id: must not be set on {}",
                operation.r#type().as_str_name()
            )));
        }
    }
    Ok(())
}

fn is_launch(operation: &Operation) -> bool {
    matches!(operation.r#type(), Type::Launch | Type::LaunchGroup)
}
