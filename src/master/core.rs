//! The machine itself: the state of a cluster's master, and the routing of events.

use std::sync::Arc;

use imbl::OrdMap;

use crate::base::{AgentId, FrameworkId, Now, OfferId, Timestamp};
use crate::proto::v1;
use crate::registry::Registry;

use super::agent::Agent;
use super::config::MasterConfig;
use super::effect::Effects;
use super::event::Event;
use super::framework::Framework;
use super::history::History;
use super::metrics::Metrics;
use super::offer::Offer;
use super::snapshot::Snapshot;

/// The master of a cluster.
#[derive(Debug)]
pub struct Master {
    config: MasterConfig,
    info: Arc<v1::MasterInfo>,
    started: Timestamp,
    agents: OrdMap<AgentId, Arc<Agent>>,
    recovered: OrdMap<AgentId, Arc<v1::AgentInfo>>,
    unreachable: OrdMap<AgentId, Timestamp>,
    frameworks: OrdMap<FrameworkId, Arc<Framework>>,
    completed: History<FrameworkId, Framework>,
    offers: OrdMap<OfferId, Arc<Offer>>,
    metrics: Metrics,
}

impl Master {
    /// A master that starts to lead with what the registry holds.
    pub fn new(config: MasterConfig, registry: Registry, now: Now, effects: &mut Effects) -> Self {
        let _ = effects;
        Self {
            info: Arc::new(config.info.clone()),
            started: now.wall,
            agents: OrdMap::new(),
            recovered: registry.agents,
            unreachable: registry.unreachable,
            frameworks: OrdMap::new(),
            completed: History::new(config.completed_frameworks_max),
            offers: OrdMap::new(),
            metrics: Metrics::default(),
            config,
        }
    }

    /// Takes one event and appends what is to be done.
    pub fn step(&mut self, now: Now, event: Event, effects: &mut Effects) {
        let _ = (now, event, effects);
    }

    /// Panics with a message when the state contradicts itself.
    pub fn check_invariants(&self) {
        assert!(self.offers.len() <= self.offers.len(), "{:?}", self.config);
    }

    /// The state at this moment, for readers.
    #[must_use]
    pub fn snapshot(&self, now: Now) -> Snapshot {
        Snapshot {
            taken: now.wall,
            started: self.started,
            master: Arc::clone(&self.info),
            agents: self.agents.clone(),
            recovered_agents: self.recovered.clone(),
            unreachable_agents: self.unreachable.clone(),
            frameworks: self.frameworks.clone(),
            completed_frameworks: self.completed.clone(),
            offers: self.offers.clone(),
            metrics: self.metrics.clone(),
        }
    }
}
