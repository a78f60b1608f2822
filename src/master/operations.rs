//! Operations under way: applied to the master's records at once, sent to the agent, and kept until
//! their end is acknowledged: by the scheduler for those that it named, by the master for all others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{AgentId, FrameworkId, OfferId, OperationId, Uuid};
use crate::proto::link::from_master::Message as FromMaster;
use crate::proto::v1::OperationState;
use crate::proto::v1::scheduler::call;
use crate::proto::{link, v1};
use crate::resources::{Resource, Resources};
use crate::validation::operation::{OperationContext, Requester, ValidOperation, check};

use super::call::CallError;
use super::core::{Master, Step};
use super::operation::{Operation, master_status};
use super::pending::Departure;
use super::timer::TimerKey;

/// How long operations of a framework that nobody has heard of wait for it (Mesos' constant).
const ORPHANS_WAIT: Duration = Duration::from_secs(600);

impl Master {
    /// Checks an operation against what is left of offers, or of the agent for an operator.
    pub(super) fn check_operation(
        &self,
        framework: Option<(&FrameworkId, &crate::roles::Role)>,
        agent_id: &AgentId,
        operation: &v1::offer::Operation,
        left: &Resources,
    ) -> Result<ValidOperation, crate::validation::Invalid> {
        let agent = self.agents.get(agent_id);
        let used = match (agent, operation.r#type()) {
            // Nothing else asks for it.
            (Some(agent), v1::offer::operation::Type::Destroy) => {
                self.used_on(agent).values().sum()
            }
            _ => Resources::new(),
        };
        let none = Resources::new();
        let record = framework.and_then(|(id, _)| self.frameworks.get(id));
        let has = |wanted| {
            record.is_some_and(|record| {
                let mut all = record.info.capabilities.iter();
                all.any(|capability| capability.r#type() == wanted)
            })
        };
        let requester = framework.map(|(_, role)| Requester {
            role,
            refines: has(v1::framework_info::capability::Type::ReservationRefinement),
            shares: has(v1::framework_info::capability::Type::SharedResources),
        });
        let context = OperationContext {
            framework: requester,
            principal: record.and_then(|record| record.info.principal.as_deref()),
            total: agent.map_or(&none, |agent| &agent.total),
            used: &used,
        };
        check(operation, &context, left)
    }

    /// Applies a checked operation to the agent's record and sends it to the agent. The allocator is
    /// told by the caller: only it knows whose the resources are.
    pub(super) fn apply_operation(
        &mut self,
        step: &mut Step<'_>,
        framework_id: Option<&FrameworkId>,
        agent_id: &AgentId,
        valid: ValidOperation,
    ) {
        let uuid = self.operation_rng.uuid();
        let Some(agent) = self.agent_mut(agent_id) else {
            return;
        };
        let total = agent.total.convert(&valid.conversion.of_total());
        agent.total = total.expect("a checked operation consumes what the agent has");
        let pending = OperationState::OperationPending;
        let record = Operation {
            uuid,
            framework_id: framework_id.cloned(),
            agent_id: agent_id.clone(),
            status: master_status(valid.info.id.clone(), Some(agent_id), pending, None),
            info: Arc::new(valid.info),
        };
        let message = FromMaster::ApplyOperation(link::ApplyOperation {
            framework_id: framework_id.map(Into::into),
            operation_uuid: uuid.0.to_vec(),
            info: v1::offer::Operation::clone(&record.info),
        });
        self.metrics.count_applied(record.info.r#type());
        self.insert_operation(record);
        self.send_agent(step, agent_id, message);
    }

    fn insert_operation(&mut self, record: Operation) {
        if let (Some(framework_id), Some(id)) = (&record.framework_id, record.id()) {
            let key = (framework_id.clone(), id);
            let place = (record.agent_id.clone(), record.uuid);
            self.operation_ids.insert(key, place);
        }
        if let Some(agent) = self.agent_mut(&record.agent_id.clone()) {
            agent.operations.insert(record.uuid, Arc::new(record));
        }
    }

    pub(super) fn remove_operation(&mut self, agent_id: &AgentId, uuid: Uuid) {
        let agent = self.agent_mut(agent_id);
        let Some(record) = agent.and_then(|agent| agent.operations.remove(&uuid)) else {
            return;
        };
        if let (Some(framework_id), Some(id)) = (&record.framework_id, record.id()) {
            let key = (framework_id.clone(), id);
            if self
                .operation_ids
                .get(&key)
                .is_some_and(|(_, known)| *known == uuid)
            {
                self.operation_ids.remove(&key);
            }
        }
    }

    /// True when a framework has an operation of this name under way.
    pub(super) fn knows_operation(&self, framework_id: &FrameworkId, id: &OperationId) -> bool {
        let key = (framework_id.clone(), id.clone());
        self.operation_ids.contains_key(&key)
    }

    /// Takes back every offer of the agent that holds one of these shared volumes: they end.
    pub(super) fn rescind_shared(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        consumed: &Resources,
    ) {
        let gone: Vec<Resource> = consumed
            .iter()
            .filter(|item| item.is_shared())
            .map(|item| item.clone().once().with_allocated(None))
            .collect();
        if gone.is_empty() {
            return;
        }
        let holds = |offer: &OfferId| {
            let offer = self
                .offers
                .get(offer)
                .map(|offer| offer.resources.unallocated());
            offer.is_some_and(|offer| gone.iter().any(|item| offer.contains_one(item)))
        };
        let agent = self.agents.get(agent_id);
        let offers: Vec<OfferId> = agent
            .iter()
            .flat_map(|agent| &agent.offers)
            .filter(|offer| holds(offer))
            .cloned()
            .collect();
        for offer in offers {
            self.rescind(step, &offer);
        }
    }

    /// An operation that was not carried out: its scheduler hears of it if it gave it a name.
    pub(super) fn refuse_operation(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        agent_id: Option<&AgentId>,
        operation: &v1::offer::Operation,
        message: &str,
    ) {
        let kind = operation.r#type().as_str_name();
        tracing::info!(%framework_id, kind, message, "operation refused");
        self.metrics
            .count_operation(operation.r#type(), OperationState::OperationError);
        if operation.id.is_some() {
            let id = operation.id.clone();
            let state = OperationState::OperationError;
            let status = master_status(id, agent_id, state, Some(message));
            self.tell_operation(step, framework_id, status);
        }
    }

    fn tell_operation(
        &self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        status: v1::OperationStatus,
    ) {
        if let Some(connection) = self.connection_of(framework_id) {
            step.send_operation_update(connection, status);
        }
    }

    /// An agent tells how an operation has ended.
    pub(super) fn operation_update(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        message: link::OperationUpdate,
    ) {
        self.metrics.messages_operation_status_update += 1;
        let agent = self.agents.get_mut(agent_id).map(Arc::make_mut);
        let uuid = Uuid::from_slice(&message.operation_uuid);
        let known = agent
            .zip(uuid)
            .and_then(|(agent, uuid)| agent.operations.get_mut(&uuid));
        let Some(record) = known.map(Arc::make_mut) else {
            // It is over for the master; the agent has not heard so.
            self.metrics.invalid_operation_status_updates += 1;
            self.acknowledge_to_agent(step, agent_id, &message.operation_uuid, &message.status);
            return;
        };
        self.metrics.valid_operation_status_updates += 1;
        if !record.has_ended() {
            self.metrics
                .count_operation(record.info.r#type(), message.status.state());
        }
        record.status = message.status.clone();
        let (uuid, named) = (record.uuid, record.id().is_some());
        let framework_id = record.framework_id.clone().filter(|_| named);
        let waits = framework_id.filter(|id| !self.completed.contains(id));
        let Some(framework_id) = waits else {
            self.end_operation(step, agent_id, uuid);
            return;
        };
        if self.frameworks.contains_key(&framework_id) {
            self.tell_operation(step, &framework_id, message.status);
        } else {
            self.await_framework(step, agent_id);
        }
    }

    /// Nobody waits for the operation: the master acknowledges its end and forgets it.
    fn end_operation(&mut self, step: &mut Step<'_>, agent_id: &AgentId, uuid: Uuid) {
        let agent = self.agents.get(agent_id);
        let record = agent.and_then(|agent| agent.operations.get(&uuid)).cloned();
        let Some(record) = record.filter(|record| record.has_ended()) else {
            return;
        };
        if self.acknowledge_to_agent(step, agent_id, &uuid.0, &record.status) {
            self.remove_operation(agent_id, uuid);
        }
    }

    fn acknowledge_to_agent(
        &self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        operation_uuid: &[u8],
        status: &v1::OperationStatus,
    ) -> bool {
        let Some(uuid) = &status.uuid else {
            return false;
        };
        let message = FromMaster::AcknowledgeOperation(link::AcknowledgeOperation {
            operation_uuid: operation_uuid.to_vec(),
            status_uuid: uuid.value.clone(),
        });
        self.send_agent(step, agent_id, message)
    }

    /// ACKNOWLEDGE_OPERATION_STATUS: passed on if it fits what the agent has said last.
    pub(super) fn acknowledge_operation(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        call: &call::AcknowledgeOperationStatus,
    ) -> Result<(), CallError> {
        if Uuid::from_slice(&call.uuid).is_none() {
            return Err(CallError::invalid(format!(
                "acknowledge_operation_status.uuid: must be 16 bytes, not {}",
                call.uuid.len()
            )));
        }
        let key = (
            framework_id.clone(),
            OperationId::new(call.operation_id.value.as_str()),
        );
        let place = self.operation_ids.get(&key).cloned();
        let place = place.filter(|(agent_id, _)| {
            let named = call.agent_id.as_ref();
            named.is_none_or(|named| named.value == agent_id.as_str())
        });
        let record = place.and_then(|(agent_id, uuid)| {
            self.agents.get(&agent_id)?.operations.get(&uuid).cloned()
        });
        let fits = record.filter(|record| record.status_uuid() == Some(&call.uuid[..]));
        let passed = fits.is_some_and(|record| {
            let (agent_id, uuid) = (&record.agent_id, record.uuid);
            let sent = self.acknowledge_to_agent(step, agent_id, &uuid.0, &record.status);
            if sent {
                self.remove_operation(agent_id, uuid);
            }
            sent
        });
        let metrics = &mut self.metrics;
        if passed {
            metrics.valid_operation_status_update_acknowledgements += 1;
        } else {
            metrics.invalid_operation_status_update_acknowledgements += 1;
        }
        Ok(())
    }

    /// RECONCILE_OPERATIONS: all named operations of the framework, or those that the call lists.
    pub(super) fn reconcile_operations(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        call: &call::ReconcileOperations,
    ) {
        let of = |place: &(AgentId, Uuid)| {
            let (agent_id, uuid) = place;
            let record = self.agents.get(agent_id)?.operations.get(uuid)?;
            Some(record.status.clone())
        };
        let statuses: Vec<v1::OperationStatus> = if call.operations.is_empty() {
            let all = self.operation_ids.iter();
            all.filter(|((owner, _), _)| owner == framework_id)
                .filter_map(|(_, place)| of(place))
                .collect()
        } else {
            let known = |wanted: &call::reconcile_operations::Operation| {
                let id = OperationId::new(wanted.operation_id.value.as_str());
                of(self.operation_ids.get(&(framework_id.clone(), id))?)
            };
            call.operations
                .iter()
                .map(|wanted| known(wanted).unwrap_or_else(|| self.unknown_operation(wanted)))
                .collect()
        };
        for status in statuses {
            self.tell_operation(step, framework_id, status);
        }
    }

    fn unknown_operation(
        &self,
        wanted: &call::reconcile_operations::Operation,
    ) -> v1::OperationStatus {
        let agent_id = wanted
            .agent_id
            .as_ref()
            .map(|id| AgentId::new(id.value.as_str()));
        let (state, message) = match &agent_id {
            Some(id) if self.recovered.contains_key(id) => (
                OperationState::OperationRecovering,
                "the agent has not come back yet since the master started",
            ),
            Some(id) if self.unreachable.contains_key(id) => (
                OperationState::OperationUnreachable,
                "the agent is unreachable",
            ),
            Some(id) if self.gone.contains_key(id) => (
                OperationState::OperationGoneByOperator,
                "the agent was marked gone by an operator",
            ),
            Some(_) | None => (
                OperationState::OperationUnknown,
                "the operation is not known",
            ),
        };
        let id = Some(wanted.operation_id.clone());
        master_status(id, agent_id.as_ref(), state, Some(message))
    }

    /// Takes over what a returning agent reports, and names what it should have reported.
    pub(super) fn adopt_operations(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        reported: Vec<v1::Operation>,
    ) -> Vec<link::MissingOperation> {
        let mut seen = BTreeSet::new();
        for message in reported {
            let Some(uuid) = Uuid::from_slice(&message.uuid.value) else {
                continue;
            };
            seen.insert(uuid);
            let framework_id = message.framework_id.as_ref();
            let framework_id = framework_id.map(|id| FrameworkId::new(id.value.as_str()));
            let orphan = framework_id.as_ref().is_some_and(|id| {
                !self.frameworks.contains_key(id) && !self.completed.contains(id)
            });
            if orphan {
                self.await_framework(step, agent_id);
            }
            self.insert_operation(Operation {
                uuid,
                framework_id,
                agent_id: agent_id.clone(),
                info: Arc::new(message.info),
                status: message.latest_status,
            });
        }
        let agent = self.agents.get(agent_id);
        let known = agent.iter().flat_map(|agent| agent.operations.values());
        known
            .filter(|record| !seen.contains(&record.uuid))
            .map(|record| link::MissingOperation {
                framework_id: record.framework_id.as_ref().map(Into::into),
                operation_uuid: record.uuid.0.to_vec(),
                info: v1::offer::Operation::clone(&record.info),
            })
            .collect()
    }

    /// Operations of a framework that is not known: it has some time to come back.
    fn await_framework(&mut self, step: &mut Step<'_>, agent_id: &AgentId) {
        let key = TimerKey::OrphanOperations(agent_id.clone());
        if !self.timers.contains(&key) {
            let deadline = step.now.mono.after(ORPHANS_WAIT);
            self.set_timer(step, key, deadline);
        }
    }

    /// Frameworks that have not come back are not waited for any longer.
    pub(super) fn adopt_orphans(&mut self, step: &mut Step<'_>, agent_id: &AgentId) {
        let Some(agent) = self.agents.get(agent_id) else {
            return;
        };
        let unknown = |record: &&Arc<Operation>| {
            let owner = record.framework_id.as_ref();
            owner.is_some_and(|owner| !self.frameworks.contains_key(owner))
        };
        let orphans = agent.operations.values().filter(unknown);
        let orphans: Vec<Uuid> = orphans.map(|record| record.uuid).collect();
        for uuid in orphans {
            self.end_operation(step, agent_id, uuid);
        }
    }

    /// A framework is gone: nobody waits for its operations.
    pub(super) fn end_operations_of(&mut self, step: &mut Step<'_>, framework_id: &FrameworkId) {
        let places: Vec<(AgentId, Uuid)> = self
            .operation_ids
            .iter()
            .filter(|((owner, _), _)| owner == framework_id)
            .map(|(_, place)| place.clone())
            .collect();
        for (agent_id, uuid) in places {
            self.end_operation(step, &agent_id, uuid);
        }
    }

    /// An agent is gone with its operations: those that wait for their end hear so.
    pub(super) fn lose_operations(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        departure: Departure,
    ) {
        let agent = self.agents.get(agent_id);
        let records = agent
            .map(|agent| agent.operations.clone())
            .unwrap_or_default();
        for record in records.values() {
            let (state, message) = match departure {
                Departure::Unreachable(_) => (
                    OperationState::OperationUnreachable,
                    "the agent is unreachable",
                ),
                _ => (
                    OperationState::OperationGoneByOperator,
                    "the agent was removed",
                ),
            };
            if let Some(framework_id) = &record.framework_id
                && let Some(id) = record.id()
                && !record.has_ended()
            {
                self.metrics.count_operation(record.info.r#type(), state);
                let id = Some((&id).into());
                let status = master_status(id, Some(agent_id), state, Some(message));
                self.tell_operation(step, framework_id, status);
            }
            self.remove_operation(agent_id, record.uuid);
        }
        self.cancel_timer(step, TimerKey::OrphanOperations(agent_id.clone()));
    }
}
