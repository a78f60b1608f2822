//! Operations: what the master has decided is applied to the agent's total at once, written down, and
//! then confirmed, again and again until the master acknowledges.

use std::sync::Arc;

use crate::base::{FrameworkId, Now, Uuid};
use crate::proto::v1::OperationState;
use crate::proto::{link, v1};
use crate::resources::{Conversion, ReservationForm, Resource, Resources};
use crate::validation::operation::conversion;

use super::checkpoint::{Checkpointed, Record, VolumePath};
use super::config::AgentConfig;
use super::core::{Agent, Pending};
use super::effect::{Effect, Effects};
use super::operation::{Operation, OperationStage};
use super::timer::TimerKey;

/// What is reserved on the host cannot be laid over what the flags give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--resources ({flags}) no longer hold what is reserved on this agent ({converted}): give them back, \
     or remove {journal} to give up all reservations and volumes"
)]
pub struct ResourcesGone {
    flags: Resources,
    converted: Resources,
    journal: String,
}

/// Everything that the agent has: what the flags give, with what operations have made of it.
///
/// # Errors
///
/// [`ResourcesGone`] when the flags no longer give what was converted.
pub(super) fn recovered_total(
    config: &AgentConfig,
    checkpointed: &Checkpointed,
) -> Result<Resources, ResourcesGone> {
    // The flags' parser and the operations' checks have read them before.
    let flags = Resources::from_proto(&config.resources).unwrap_or_default();
    let converted = Resources::from_proto(&checkpointed.converted).unwrap_or_default();
    flags
        .with_converted(&converted)
        .ok_or_else(|| ResourcesGone {
            journal: super::checkpoint::Paths::new(config.work_dir.clone())
                .journal()
                .display()
                .to_string(),
            flags,
            converted,
        })
}

impl Agent {
    /// Total and open operations of the earlier life.
    pub(super) fn recover_operations(&mut self, checkpointed: &Checkpointed) {
        self.total = recovered_total(&self.config, checkpointed).unwrap_or_else(|error| {
            // The shell has asked before and has not started an agent like this.
            tracing::warn!(%error, "reservations are given up");
            Resources::from_proto(&self.config.resources).unwrap_or_default()
        });
        self.recorded_total = self.total.clone();
        for (uuid, message) in &checkpointed.operations {
            let framework_id = message.framework_id.as_ref();
            let info = Arc::new(message.info.clone());
            let does = conversion(&info).unwrap_or_default();
            let mut operation = Operation::new(
                *uuid,
                framework_id.map(|id| FrameworkId::new(id.value.as_str())),
                info,
                does,
                message.latest_status.clone(),
            );
            operation.stage = OperationStage::Reporting;
            self.operations.insert(*uuid, Arc::new(operation));
        }
    }

    /// For a registration: without those whose end was acknowledged, of which the master would never
    /// hear again.
    pub(super) fn operations_to_proto(&self) -> Vec<v1::Operation> {
        let open = |operation: &&Arc<Operation>| operation.stage != OperationStage::Acknowledged;
        let operations = self.operations.values().filter(open);
        operations.map(|operation| operation.to_proto()).collect()
    }

    /// The master has converted resources. They count from now on; nobody is told before it is
    /// written down.
    pub(super) fn apply_operation(&mut self, apply: link::ApplyOperation, effects: &mut Effects) {
        let Some(uuid) = Uuid::from_slice(&apply.operation_uuid) else {
            tracing::warn!("dropped an operation without a usable uuid");
            return;
        };
        if self.operations.contains_key(&uuid) {
            tracing::info!(operation = %uuid, "ignored an operation that is already here");
            return;
        }
        let does = conversion(&apply.info).map_err(|error| error.to_string());
        let does = does.and_then(|does| match self.total.convert(&does) {
            Some(total) => {
                self.total = total;
                Ok(does)
            }
            None => Err(format!(
                "the agent has {}, not {}",
                self.total, does.consumed
            )),
        });
        let does = match does {
            Ok(does) => does,
            Err(reason) => {
                let state = OperationState::OperationDropped;
                self.refuse_operation(
                    uuid,
                    apply.framework_id.as_ref(),
                    apply.info,
                    state,
                    reason,
                    effects,
                );
                self.tell_total(effects);
                return;
            }
        };
        let mut status = self.operation_status(&apply.info, OperationState::OperationFinished);
        status.converted_resources = does.converted.to_proto(ReservationForm::Stack);
        let framework_id = apply.framework_id.as_ref();
        let mut operation = Operation::new(
            uuid,
            framework_id.map(|id| FrameworkId::new(id.value.as_str())),
            Arc::new(apply.info),
            does,
            status,
        );
        operation.stage = OperationStage::Waiting;
        self.operations.insert(uuid, Arc::new(operation));
        self.unrecorded.push_back(uuid);
        self.record_next(effects);
    }

    /// Operations are written down in the order in which they came, for one may need what another
    /// has made; those without new volumes at once, others when the folders are there.
    fn record_next(&mut self, effects: &mut Effects) {
        while let Some(uuid) = self.unrecorded.front().copied() {
            let Some(operation) = self.operations.get_mut(&uuid).map(Arc::make_mut) else {
                self.unrecorded.pop_front();
                continue;
            };
            if operation.stage != OperationStage::Waiting {
                return;
            }
            let possible = self.recorded_total.convert(&operation.conversion).is_some();
            let conversion = operation.conversion.clone();
            if possible && !self.new_volumes(&conversion).is_empty() {
                self.make_volumes(uuid, effects);
                return;
            }
            self.unrecorded.pop_front();
            if !possible {
                self.fail_operation(uuid, "what it was made of did not come to be", effects);
            }
            if let Some(operation) = self.operations.get_mut(&uuid) {
                Arc::make_mut(operation).stage = OperationStage::Recording;
            }
            self.record_operation(uuid, effects);
        }
    }

    /// An operation that counted comes to nothing: what those behind it have made of its work does
    /// not count either.
    fn fail_operation(&mut self, uuid: Uuid, message: &str, effects: &mut Effects) {
        let Some(operation) = self.operations.get_mut(&uuid).map(Arc::make_mut) else {
            return;
        };
        operation.status.set_state(OperationState::OperationFailed);
        operation.status.message = Some(message.to_owned());
        operation.status.converted_resources.clear();
        operation.conversion = Conversion::default();
        let mut total = self.recorded_total.clone();
        for waiting in &self.unrecorded {
            let operation = self.operations.get(waiting);
            let next = operation.and_then(|operation| total.convert(&operation.conversion));
            total = next.unwrap_or(total);
        }
        self.total = total;
        self.tell_total(effects);
    }

    /// Has the folders of an operation's volumes made, unless volumes of the same names must go
    /// first.
    fn make_volumes(&mut self, uuid: Uuid, effects: &mut Effects) {
        let Some(operation) = self.operations.get(&uuid) else {
            return;
        };
        let volumes = self.new_volumes(&operation.conversion);
        let going = self.operations.values().any(|other| {
            other.stage == OperationStage::Recording
                && self
                    .volume_paths(&other.conversion.consumed)
                    .iter()
                    .any(|volume| volumes.contains(volume))
        });
        if operation.stage != OperationStage::Waiting || going {
            return;
        }
        if let Some(operation) = self.operations.get_mut(&uuid) {
            Arc::make_mut(operation).stage = OperationStage::Making;
        }
        effects.push(Effect::MakeVolumes {
            operation: Some(uuid),
            volumes,
        });
    }

    /// The operations that wait for volumes to go.
    fn waiting_operations(&self) -> Vec<Uuid> {
        let waits = |operation: &&Arc<Operation>| operation.stage == OperationStage::Waiting;
        let waiting = self.operations.values().filter(waits);
        waiting.map(|operation| operation.uuid).collect()
    }

    /// The folders of volumes that a conversion makes.
    fn new_volumes(&self, does: &Conversion) -> Vec<VolumePath> {
        let before = self.volume_paths(&does.consumed);
        let mut after = self.volume_paths(&does.converted);
        after.retain(|volume| !before.contains(volume));
        after
    }

    /// The folders are there; without them the operation has failed.
    pub(super) fn volumes_made(
        &mut self,
        now: Now,
        uuid: Uuid,
        result: Result<(), String>,
        effects: &mut Effects,
    ) {
        let Some(operation) = self.operations.get_mut(&uuid).map(Arc::make_mut) else {
            return;
        };
        if operation.stage != OperationStage::Making {
            return;
        }
        operation.stage = OperationStage::Recording;
        self.unrecorded.retain(|waiting| *waiting != uuid);
        if let Err(error) = result {
            self.fail_operation(
                uuid,
                &format!("the volume cannot be made: {error}"),
                effects,
            );
        }
        if planted!(self, ConfirmOperationBeforeCheckpoint) {
            self.operation_recorded(now, uuid, effects);
        }
        self.record_operation(uuid, effects);
        self.record_next(effects);
    }

    /// Operations that never came: the master is told so, reliably.
    pub(super) fn operation_missing(
        &mut self,
        missing: link::MissingOperation,
        effects: &mut Effects,
    ) {
        let Some(uuid) = Uuid::from_slice(&missing.operation_uuid) else {
            return;
        };
        if self.operations.contains_key(&uuid) {
            return;
        }
        let (state, reason) = (
            OperationState::OperationDropped,
            "the operation never reached the agent".to_owned(),
        );
        let framework_id = missing.framework_id.as_ref();
        self.refuse_operation(uuid, framework_id, missing.info, state, reason, effects);
    }

    fn refuse_operation(
        &mut self,
        uuid: Uuid,
        framework_id: Option<&v1::FrameworkId>,
        info: v1::offer::Operation,
        state: OperationState,
        reason: String,
        effects: &mut Effects,
    ) {
        tracing::warn!(operation = %uuid, state = state.as_str_name(), reason, "operation refused");
        let mut status = self.operation_status(&info, state);
        status.message = Some(reason);
        let operation = Operation::new(
            uuid,
            framework_id.map(|id| FrameworkId::new(id.value.as_str())),
            Arc::new(info),
            Conversion::default(),
            status,
        );
        self.operations.insert(uuid, Arc::new(operation));
        self.record_operation(uuid, effects);
    }

    fn operation_status(
        &mut self,
        info: &v1::offer::Operation,
        state: OperationState,
    ) -> v1::OperationStatus {
        v1::OperationStatus {
            operation_id: info.id.clone(),
            state: state.into(),
            uuid: Some((&self.update_rng.uuid()).into()),
            agent_id: self.info.id.clone(),
            ..v1::OperationStatus::default()
        }
    }

    /// What the master believes of the agent is wrong.
    fn tell_total(&self, effects: &mut Effects) {
        let total = self.total.to_proto(ReservationForm::Stack);
        let operation_uuids = self.operations.keys().map(|uuid| uuid.0.to_vec()).collect();
        let changed = link::ResourcesChanged {
            total,
            operation_uuids,
        };
        let message = link::from_agent::Message::ResourcesChanged(changed);
        self.to_master(message, effects);
    }

    fn record_operation(&mut self, uuid: Uuid, effects: &mut Effects) {
        let Some(operation) = self.operations.get(&uuid) else {
            return;
        };
        let total = self.recorded_total.convert(&operation.conversion);
        self.recorded_total = total.expect("what is written down next was looked at before");
        let converted = self.recorded_total.converted();
        let record = Record::Operation {
            operation: Arc::new(operation.record()),
            converted: converted.to_proto(ReservationForm::Stack),
        };
        self.checkpoint(record, Pending::Operation { uuid }, effects);
    }

    /// The operation is written down: it counts, also after the power was lost.
    pub(super) fn operation_recorded(&mut self, now: Now, uuid: Uuid, effects: &mut Effects) {
        let Some(operation) = self.operations.get_mut(&uuid).map(Arc::make_mut) else {
            return;
        };
        if operation.stage != OperationStage::Recording {
            return;
        }
        operation.stage = OperationStage::Reporting;
        self.clear_volumes(uuid, effects);
        self.send_operation(now, uuid, effects);
        self.record_next(effects);
    }

    /// Removes the folders of volumes that an operation has ended, unless they exist again.
    pub(super) fn clear_volumes(&self, uuid: Uuid, effects: &mut Effects) {
        let Some(operation) = self.operations.get(&uuid) else {
            return;
        };
        if operation.status.state() != OperationState::OperationFinished {
            return;
        }
        let mut live = self.volume_paths(&self.total);
        for waiting in self.waiting_operations() {
            let coming = self.new_volumes(&self.operations[&waiting].conversion);
            live.retain(|volume| !coming.contains(volume));
        }
        let mut volumes = self.volume_paths(&operation.conversion.consumed);
        volumes.retain(|volume| !live.contains(volume));
        if !volumes.is_empty() {
            let operation = uuid;
            effects.push(Effect::RemoveVolumes { operation, volumes });
        }
    }

    /// Tells the master, and again after a while. Nothing while disconnected.
    pub(super) fn send_operation(&mut self, now: Now, uuid: Uuid, effects: &mut Effects) {
        if self.registration.registered_connection().is_none() {
            return;
        }
        let Some(operation) = self.operations.get_mut(&uuid).map(Arc::make_mut) else {
            return;
        };
        if operation.stage != OperationStage::Reporting {
            return;
        }
        let wait = operation.next_retry();
        let message = link::OperationUpdate {
            framework_id: operation.framework_id.as_ref().map(Into::into),
            operation_uuid: uuid.0.to_vec(),
            status: operation.status.clone(),
        };
        self.to_master(link::from_agent::Message::OperationUpdate(message), effects);
        effects.set_timer(TimerKey::OperationRetry(uuid), now.mono.after(wait));
    }

    /// After a (re-)registration everything that is open is told again.
    pub(super) fn resume_operations(&mut self, now: Now, effects: &mut Effects) {
        let open: Vec<Uuid> = self.operations.keys().copied().collect();
        for uuid in open {
            if let Some(operation) = self.operations.get_mut(&uuid) {
                Arc::make_mut(operation).restart();
            }
            self.send_operation(now, uuid, effects);
        }
    }

    pub(super) fn operation_acknowledged(
        &mut self,
        message: &link::AcknowledgeOperation,
        effects: &mut Effects,
    ) {
        let Some(uuid) = Uuid::from_slice(&message.operation_uuid) else {
            return;
        };
        let Some(operation) = self.operations.get_mut(&uuid).map(Arc::make_mut) else {
            return;
        };
        let told = operation.status.uuid.as_ref();
        let same = told.is_some_and(|told| told.value == message.status_uuid);
        if operation.stage != OperationStage::Reporting || !same {
            return;
        }
        operation.stage = OperationStage::Acknowledged;
        effects.cancel_timer(TimerKey::OperationRetry(uuid));
        let record = Record::OperationAcknowledged { uuid };
        self.checkpoint(record, Pending::OperationAcknowledged { uuid }, effects);
    }

    pub(super) fn forget_operation(&mut self, uuid: Uuid) {
        self.operations.remove(&uuid);
    }

    /// The folders of the volumes among these.
    pub(super) fn volume_paths(&self, resources: &Resources) -> Vec<VolumePath> {
        let volumes = resources
            .iter()
            .filter(|item| Resource::is_persistent_volume(item));
        let mut paths: Vec<_> = volumes.filter_map(|item| self.paths.volume(item)).collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}
