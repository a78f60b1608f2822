//! A model framework: what it wants and how it answers offers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::base::{ConnectionId, FrameworkId, Instant};
use crate::proto::v1;
use crate::proto::v1::scheduler::call;
use crate::resources::{ReservationForm, Resources};
use crate::roles::Role;

use super::scenario::FrameworkGroup;

/// A framework and its tasks.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// The number of its group in the scenario.
    pub(super) group: usize,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) connection: ConnectionId,
    pub(super) id: Option<FrameworkId>,
    /// What a task needs, allocated to nobody.
    pub(super) task: Resources,
    /// Since when each task that was not launched is wanted.
    pub(super) wanted: VecDeque<Instant>,
    pub(super) batches_left: u64,
    /// How many tasks were ever wanted, launched, and have ended.
    pub(super) asked: u64,
    pub(super) launched: u64,
    pub(super) finished: u64,
    pub(super) suppressed: bool,
    /// Offers that it keeps although it cannot use them.
    pub(super) kept: BTreeMap<String, v1::Offer>,
}

/// How an offer is answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// Launch so many tasks, and since when each was wanted.
    Use(Vec<Instant>),
    /// Give it back.
    Return,
    /// Keep it.
    Keep,
}

impl Model {
    /// What to do with an offer. Tasks to launch are no longer wanted.
    pub(super) fn answer(&mut self, group: &FrameworkGroup, offer: &v1::Offer) -> Answer {
        let fits = if is_suitable(group, offer) {
            self.fits(group, offer)
        } else {
            0
        };
        let count = fits.min(self.wanted.len());
        if count > 0 {
            self.launched += count as u64;
            return Answer::Use(self.wanted.drain(..count).collect());
        }
        if group.hoards {
            Answer::Keep
        } else {
            Answer::Return
        }
    }

    /// How many tasks the offer has room for.
    fn fits(&self, group: &FrameworkGroup, offer: &v1::Offer) -> usize {
        let Ok(offered) = Resources::from_proto(&offer.resources) else {
            return 0;
        };
        let (mut left, task) = (offered.quantities(), self.task.quantities());
        let most = usize::try_from(group.tasks_per_offer).unwrap_or(usize::MAX);
        let most = most.min(self.wanted.len());
        let mut count = 0;
        while count < most && left.contains(&task) {
            left.subtract(&task);
            count += 1;
        }
        count
    }

    /// The call that launches tasks, with the number of the first of them.
    pub(super) fn accept(
        &self,
        group: &FrameworkGroup,
        offer: &v1::Offer,
        count: usize,
        first: u64,
    ) -> call::Accept {
        let tasks = (first..).take(count).map(|number| v1::TaskInfo {
            name: self.name.clone(),
            task_id: v1::TaskId {
                value: format!("{}.{number}", self.name),
            },
            agent_id: offer.agent_id.clone(),
            resources: self.task.to_proto(ReservationForm::Stack),
            command: Some(v1::CommandInfo {
                value: Some("true".to_owned()),
                ..v1::CommandInfo::default()
            }),
            ..v1::TaskInfo::default()
        });
        let launch = v1::offer::operation::Launch {
            task_infos: tasks.collect(),
        };
        call::Accept {
            offer_ids: vec![offer.id.clone()],
            operations: vec![v1::offer::Operation {
                r#type: Some(v1::offer::operation::Type::Launch.into()),
                launch: Some(launch),
                ..v1::offer::Operation::default()
            }],
            filters: Some(filters(group.refuses)),
        }
    }
}

/// The filters of what is not used.
pub(super) fn filters(refuses: Duration) -> v1::Filters {
    v1::Filters {
        refuse_seconds: Some(refuses.as_secs_f64()),
    }
}

fn is_suitable(group: &FrameworkGroup, offer: &v1::Offer) -> bool {
    let Some((name, value)) = group.only.split_once(':') else {
        return true;
    };
    offer.attributes.iter().any(|attribute| {
        let text = attribute.text.as_ref();
        attribute.name == name && text.is_some_and(|text| text.value == value)
    })
}
