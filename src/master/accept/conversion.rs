//! RESERVE, UNRESERVE, CREATE, DESTROY, GROW_VOLUME and SHRINK_VOLUME: the draft becomes something else.

use crate::base::OperationId;
use crate::proto::v1::offer::Operation;

use super::Draft;
use crate::master::core::{Master, Step};

impl Master {
    /// Carries out one operation, or drops it; those after it go on with what there is.
    pub(super) fn convert(
        &mut self,
        step: &mut Step<'_>,
        draft: &mut Draft,
        operation: &Operation,
    ) {
        let id = operation.id.as_ref();
        let id = id.map(|id| OperationId::new(id.value.as_str()));
        let taken = id.filter(|id| self.knows_operation(&draft.framework_id, id));
        let checked = match taken {
            Some(id) => Err(format!("id: operation '{id}' is under way; use another id")),
            None => {
                let framework = Some((&draft.framework_id, &draft.role));
                self.check_operation(framework, &draft.agent_id, operation, &draft.left)
                    .map_err(|error| error.to_string())
            }
        };
        let valid = match checked {
            Ok(valid) => valid,
            Err(message) => {
                let agent_id = Some(&draft.agent_id);
                self.refuse_operation(step, &draft.framework_id, agent_id, operation, &message);
                return;
            }
        };
        self.rescind_shared(step, &draft.agent_id, &valid.conversion.consumed);
        self.allocator
            .convert_allocated(&draft.framework_id, &draft.agent_id, &valid.conversion);
        draft.convert(&valid.conversion, valid.usable);
        let agent_id = draft.agent_id.clone();
        self.apply_operation(step, Some(&draft.framework_id), &agent_id, valid);
    }
}
