//! A restarted agent: what it keeps of its earlier life.
//!
//! It keeps its id while its description is compatible, and the updates of ended tasks that no scheduler
//! has acknowledged. Executors of the earlier life are not adopted: the master is told at re-registration
//! what is not here any more.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;

use crate::base::{Now, Uuid};
use crate::proto::v1;
use crate::resources::Resources;

use super::checkpoint::{Checkpointed, Record};
use super::core::Agent;
use super::update_stream::UpdateStream;

impl Agent {
    pub(super) fn recover(&mut self, mut checkpointed: Checkpointed, now: Now) {
        self.counters.recovery_errors = checkpointed.errors;
        checkpointed.restart();
        let Some(earlier) = checkpointed.agent.take() else {
            return;
        };
        if !compatible(&earlier.info, &self.info) {
            tracing::info!(
                "the agent's description has changed, it will register anew under another id"
            );
            self.first_record = Some(Record::AgentRemoved);
            self.operations = OrdMap::new();
            return;
        }
        self.first_record = Some(Record::Restarted);
        Arc::make_mut(&mut self.info)
            .id
            .clone_from(&earlier.info.id);
        self.registration.epoch = earlier.epoch;
        self.registration.recorded = Some(Record::Agent {
            info: Arc::clone(&earlier.info),
            boot_id: earlier.boot_id,
            epoch: earlier.epoch,
        });
        for (key, updates) in checkpointed.updates {
            let mut stream = UpdateStream::new(updates.executor_id, true);
            for status in updates.queue {
                if let Some(uuid) = Uuid::from_slice(status.uuid()) {
                    stream.push(uuid, status, true);
                }
            }
            self.streams.insert(key, stream);
        }
        let Some(agent_id) = self.agent_id() else {
            return;
        };
        for ((framework_id, executor_id), executor) in checkpointed.executors {
            let sandbox = self.paths.sandbox(
                &agent_id,
                &framework_id,
                &executor_id,
                &executor.container_id,
            );
            self.gc.schedule(now, sandbox);
        }
    }
}

impl Agent {
    /// What earlier lives left on the disk is collected in its time, whichever agent id it was left
    /// under; but not what has become the sandbox of a run of this life meanwhile.
    pub(super) fn sandboxes_found(&mut self, now: Now, sandboxes: Vec<(PathBuf, Duration)>) {
        let live: BTreeSet<&PathBuf> = self
            .frameworks
            .values()
            .flat_map(|framework| framework.executors.values())
            .map(|executor| &executor.sandbox)
            .collect();
        for (path, age) in sandboxes {
            if !live.contains(&path) {
                self.gc.schedule_aged(now, path, age);
            }
        }
    }
}

/// Mesos' additive rule: host name and port stay, the domain may be added, resources may grow,
/// attributes may be added.
fn compatible(earlier: &v1::AgentInfo, now: &v1::AgentInfo) -> bool {
    let resources = |info: &v1::AgentInfo| Resources::from_proto(&info.resources).ok();
    let grown = match (resources(earlier), resources(now)) {
        (Some(earlier), Some(now)) => now.contains(&earlier),
        _ => false,
    };
    grown
        && earlier.hostname == now.hostname
        && earlier.port == now.port
        && (earlier.domain.is_none() || earlier.domain == now.domain)
        && earlier
            .attributes
            .iter()
            .all(|attribute| now.attributes.contains(attribute))
}
