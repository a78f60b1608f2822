//! Operations that operators ask for: offers that hold what is needed are taken back first.

use crate::base::{AgentId, OfferId};
use crate::proto::v1;
use crate::resources::Conversion;
use crate::validation::Reason;

use super::call::{CallError, CallErrorKind};
use super::core::{Master, Step};
use super::offers::filter;

impl Master {
    /// RESERVE_RESOURCES and the like. Accepted when the master has applied it; the agent follows.
    pub(super) fn operate(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        operation: &v1::offer::Operation,
    ) -> Result<(), CallError> {
        let Some(agent) = self.agents.get(agent_id) else {
            return Err(CallError::invalid(format!(
                "agent {agent_id} is not registered"
            )));
        };
        if !agent.is_active() {
            return Err(CallError::unavailable(format!(
                "agent {agent_id} is not connected; try again when it is back"
            )));
        }
        let checked = self.check_operation(None, agent_id, operation, &agent.total);
        let valid = checked.map_err(|error| {
            let kind = match error.reason {
                Reason::NotOffered { .. } => CallErrorKind::Conflict,
                _ => CallErrorKind::Invalid,
            };
            CallError::new(kind, error.to_string())
        })?;
        self.rescind_shared(step, agent_id, &valid.conversion.consumed);
        self.free_for(step, agent_id, &valid.conversion)?;
        self.apply_operation(step, None, agent_id, valid);
        Ok(())
    }

    /// Converts what is free in the allocator, taking back as many offers as that needs, one by one.
    /// None is touched when even all of them would not be enough.
    fn free_for(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        conversion: &Conversion,
    ) -> Result<(), CallError> {
        let bare = conversion.of_total();
        let Some(agent) = self.agents.get(agent_id) else {
            return Ok(());
        };
        let mut possible = self
            .allocator
            .available(agent_id)
            .cloned()
            .unwrap_or_default();
        let mut useful: Vec<OfferId> = Vec::new();
        for offer_id in &agent.offers {
            let Some(offer) = self.offers.get(offer_id) else {
                continue;
            };
            let offered = offer.resources.unallocated().nonshared();
            possible.add_all(&offered);
            if &bare.consumed - &offered != bare.consumed {
                useful.push(offer_id.clone());
            }
        }
        if !possible.contains(&bare.consumed) {
            return Err(CallError::new(
                CallErrorKind::Conflict,
                format!(
                    "agent {agent_id} has {possible} free or offered, not {}; the rest is in use",
                    bare.consumed
                ),
            ));
        }
        let mut offers = useful.into_iter();
        while !self.allocator.convert_available(agent_id, conversion) {
            let Some(offer_id) = offers.next() else {
                return Err(CallError::new(
                    CallErrorKind::Conflict,
                    format!("agent {agent_id} has not {} free", bare.consumed),
                ));
            };
            self.rescind_refused(step, &offer_id);
        }
        Ok(())
    }

    /// Takes an offer back and keeps its resources from its framework for the usual time, so that
    /// they are not offered again at once.
    fn rescind_refused(&mut self, step: &mut Step<'_>, offer_id: &OfferId) {
        let filter = filter(None, offer_id);
        let Some(offer) = self.discard_offer(step, offer_id, Some(filter)) else {
            return;
        };
        self.metrics.offers_rescinded += 1;
        if let Some(connection) = self.connection_of(&offer.framework_id) {
            step.send_rescind(connection, offer_id);
        }
    }
}
