//! What must hold in every history, judged from what the models saw, not from what the cores believe.

use std::collections::{BTreeMap, BTreeSet};

use mesosd::base::{AgentId, FrameworkId, TaskId};
use mesosd::proto::v1;
use mesosd::proto::v1::TaskState;

use crate::coverage::Seen;
use crate::operations::reserved_role;

type Key = (FrameworkId, TaskId);

/// What is known of one task from outside.
#[derive(Default)]
struct Fate {
    /// Times that an executor started it.
    starts: u32,
    /// It runs at this moment.
    alive: bool,
    /// Uuids in the order in which its executor reported them.
    reported: Vec<Vec<u8>>,
    /// Position in `reported` of the newest update that its framework has heard.
    heard: Option<usize>,
    /// Its framework was told that it ended by an update that must be acknowledged.
    ended: Option<TaskState>,
}

/// The observers of one history.
#[derive(Default)]
pub(crate) struct Checkers {
    fates: BTreeMap<Key, Fate>,
    offers: BTreeSet<String>,
    /// Updates that an executor was told to forget, and where.
    acknowledged: BTreeMap<Vec<u8>, (Key, AgentId)>,
    /// Updates that a framework has heard.
    heard: BTreeSet<Vec<u8>>,
    /// Frameworks without a failover timeout that a leader has ended.
    ended: BTreeSet<FrameworkId>,
    /// Tasks that leaders launched on agents that knew their successors.
    in_vain: BTreeSet<Key>,
    /// States of tasks as operators see them.
    pub(crate) states: BTreeMap<Key, TaskState>,
    /// An agent's machine lost its power, and with it acknowledgements: updates may be repeated.
    pub(crate) power_lost: bool,
    /// What has happened at least once.
    pub(crate) seen: Seen,
}

impl Checkers {
    fn fate(&mut self, framework: &FrameworkId, task: &TaskId) -> &mut Fate {
        self.fates
            .entry((framework.clone(), task.clone()))
            .or_default()
    }

    /// An executor starts a task: never twice.
    pub(crate) fn started(&mut self, framework: &FrameworkId, task: &TaskId) {
        let key = (framework.clone(), task.clone());
        assert!(
            !self.in_vain.contains(&key),
            "task {task} of {framework} runs, though its agent knew the successor of who launched it"
        );
        let fate = self.fate(framework, task);
        fate.starts += 1;
        fate.alive = true;
        assert!(
            fate.starts == 1,
            "task {task} of {framework} was started twice"
        );
    }

    /// A leader launches a task on an agent that has written down its successor.
    pub(crate) fn launched_in_vain(&mut self, key: Key) {
        self.in_vain.insert(key);
    }

    /// A task's process is gone.
    pub(crate) fn died(&mut self, framework: &FrameworkId, task: &TaskId) {
        self.fate(framework, task).alive = false;
    }

    /// An executor makes an update.
    pub(crate) fn reported(
        &mut self,
        framework: &FrameworkId,
        task: &TaskId,
        status: &v1::TaskStatus,
    ) {
        let fate = self.fate(framework, task);
        if status.state().is_terminal() {
            fate.alive = false;
        }
        fate.reported.push(status.uuid.clone().unwrap_or_default());
    }

    /// The master sends something to a framework: an offer id is never used twice, and
    /// what is reserved goes to its role.
    pub(crate) fn sent_to_scheduler(&mut self, event: &v1::scheduler::Event) {
        for offer in event.offers.iter().flat_map(|offers| &offers.offers) {
            assert!(
                self.offers.insert(offer.id.value.clone()),
                "offer id {} is used twice",
                offer.id.value
            );
            let to = offer
                .allocation_info
                .as_ref()
                .and_then(|info| info.role.as_deref());
            for resource in &offer.resources {
                let reserved = reserved_role(resource);
                assert!(
                    reserved.is_none() || reserved == to,
                    "offer {} to role {to:?} holds {resource:?}",
                    offer.id.value
                );
            }
        }
    }

    /// A framework hears an update: an executor's updates come in order, and what has ended stays so.
    pub(crate) fn delivered(&mut self, framework: &FrameworkId, status: &v1::TaskStatus) {
        let task = TaskId::new(status.task_id.value.as_str());
        let state = status.state();
        self.hear(status);
        let uuid = status.uuid.clone().unwrap_or_default();
        let again = !uuid.is_empty() && !self.heard.insert(uuid.clone());
        if again && self.power_lost {
            return;
        }
        let power_lost = self.power_lost;
        let fate = self.fate(framework, &task);
        if let Some(position) = fate.reported.iter().position(|known| *known == uuid) {
            let heard = fate.heard.unwrap_or(0);
            assert!(
                position >= heard || fate.heard == Some(position),
                "task {task}: update {position} arrives after update {heard}"
            );
            assert!(
                position <= fate.heard.map_or(0, |heard| heard + 1),
                "task {task}: update {position} arrives before those ahead of it ({heard})"
            );
            fate.heard = Some(position.max(heard));
        }
        if let Some(ended) = fate.ended.filter(|_| !power_lost) {
            // UNKNOWN answers a question about a task that the master has long forgotten.
            assert!(
                state.is_terminal() || state == TaskState::TaskUnknown,
                "task {task} is {state:?} again after {ended:?}"
            );
        }
        // LOST is not final for a task of a framework that knows no partitions: it may come back.
        if state.is_terminal() && state != TaskState::TaskLost && !uuid.is_empty() {
            fate.ended.get_or_insert(state);
        }
    }

    /// An executor was told to forget an update: from now on it is the agent's.
    pub(crate) fn acknowledged(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        acknowledged: &v1::executor::event::Acknowledged,
    ) {
        let task = TaskId::new(acknowledged.task_id.value.as_str());
        let key = (framework.clone(), task);
        let place = (key, agent.clone());
        self.acknowledged.insert(acknowledged.uuid.clone(), place);
    }

    /// An agent was told to end a framework that has no failover timeout: its link was broken
    /// (facts/mesos.md 6.6). Nobody is told what becomes of its tasks, also if its scheduler subscribes
    /// with the old id at the next leader, who does not know it.
    pub(crate) fn ended(&mut self, framework: FrameworkId) {
        self.ended.insert(framework);
    }

    /// Ends of tasks that an agent has taken over from an executor and that their frameworks, which are
    /// still there, were never told.
    pub(crate) fn assert_delivered(
        &self,
        frameworks: &BTreeSet<FrameworkId>,
        agents: &BTreeSet<AgentId>,
    ) {
        let lost: Vec<_> = self
            .acknowledged
            .iter()
            .filter(|(uuid, ((framework, _), agent))| {
                frameworks.contains(framework)
                    && !self.ended.contains(framework)
                    && agents.contains(agent)
                    && !self.heard.contains(*uuid)
            })
            .map(|(_, (key, _))| key)
            .filter(|key| self.fates.get(key).is_some_and(|fate| fate.ended.is_none()))
            .collect();
        assert!(
            lost.is_empty(),
            "acknowledged and never delivered: {lost:?}"
        );
    }

    /// Tasks that run although everything has ended.
    pub(crate) fn assert_nothing_runs(&self) {
        let alive: Vec<_> = self
            .fates
            .iter()
            .filter(|(_, fate)| fate.alive)
            .map(|(key, _)| key)
            .collect();
        assert!(alive.is_empty(), "still running: {alive:?}");
    }

    /// Tasks that an executor has started.
    pub(crate) fn starts(&self) -> usize {
        self.fates.values().filter(|fate| fate.starts > 0).count()
    }
}
