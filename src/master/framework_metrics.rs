//! What one framework did and was told, counted.

use imbl::OrdMap;

use crate::proto::v1;
use crate::proto::v1::TaskState;
use crate::proto::v1::offer::operation::Type as Operation;
use crate::proto::v1::scheduler::{Event, event};

use super::call::SchedulerCall;

/// Counts by name.
pub type Counts = OrdMap<&'static str, u64>;

/// Counters of one framework, as long as this master knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameworkMetrics {
    /// Calls by type, as on the wire.
    pub calls: Counts,
    /// Calls that were refused; not in `calls`.
    pub refused_calls: u64,
    /// Events by type, as on the wire; heartbeats are the front end's.
    pub events: Counts,
    /// Offers that were `sent`, `accepted`, `declined`, `rescinded`.
    pub offers: Counts,
    /// Operations on offers, by type.
    pub operations: Counts,
    /// Ended tasks by state.
    pub ended: Counts,
}

fn count(counts: &mut Counts, name: &'static str, times: usize) {
    if times > 0 {
        *counts.entry(name).or_insert(0) += times as u64;
    }
}

impl FrameworkMetrics {
    /// A call other than SUBSCRIBE, which the event SUBSCRIBED counts.
    pub fn count_call(&mut self, call: &SchedulerCall) {
        count(&mut self.calls, call.name(), 1);
        match call {
            SchedulerCall::Accept(accept) => {
                count(&mut self.offers, "accepted", accept.offer_ids.len());
                for operation in &accept.operations {
                    let kind = operation.r#type();
                    if kind != Operation::Unknown {
                        count(&mut self.operations, kind.as_str_name(), 1);
                    }
                }
            }
            SchedulerCall::Decline(decline) => {
                count(&mut self.offers, "declined", decline.offer_ids.len());
            }
            _ => {}
        }
    }

    /// An event that goes to its scheduler.
    pub fn count_event(&mut self, event: &Event) {
        count(&mut self.events, event.r#type().as_str_name(), 1);
        match event.r#type() {
            event::Type::Offers => {
                let offers = event.offers.as_ref();
                let offers = offers.map_or(0, |offers| offers.offers.len());
                count(&mut self.offers, "sent", offers);
            }
            event::Type::Subscribed => count(&mut self.calls, "SUBSCRIBE", 1),
            event::Type::Rescind => count(&mut self.offers, "rescinded", 1),
            _ => {}
        }
    }

    /// A task's end.
    pub fn count_end(&mut self, state: TaskState) {
        count(&mut self.ended, state.as_str_name(), 1);
    }
}

/// The operations that are counted.
pub fn operations() -> impl Iterator<Item = v1::offer::operation::Type> {
    (1..64).filter_map(|number| Operation::try_from(number).ok())
}
