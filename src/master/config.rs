//! The plain values a master core needs; flags are parsed and crossed elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::allocator::AllocatorConfig;
use crate::attributes::PatternLimits;
use crate::proto::v1;
use crate::roles::{Role, Weight};

/// How a master behaves. Every duration is longer than zero unless its text says otherwise.
#[derive(Clone, Debug)]
pub struct MasterConfig {
    /// Drawn anew at each start; the first part of every id that this master mints.
    pub uuid: String,
    /// What schedulers and tools see in `SUBSCRIBED` and `GET_MASTER`.
    pub info: v1::MasterInfo,
    /// Grows with every new leader; agents refuse a lower one than they have seen.
    pub epoch: u64,
    /// Who is offered what, and how often.
    pub allocator: AllocatorConfig,
    /// `--agent_ping_timeout`: time between two pings, and the time each may take.
    pub agent_ping_timeout: Duration,
    /// `--max_agent_ping_timeouts`: this many unanswered pings make an agent unreachable.
    pub agent_ping_timeouts_max: u32,
    /// `--agent_reregister_timeout`: a disconnected or recovered agent has this long to return.
    pub agent_reregister_timeout: Duration,
    /// `--offer_timeout`: offers are rescinded after this time; none by default.
    pub offer_timeout: Option<Duration>,
    /// `--offer_hoarding_timeout`: an offer that is held longer is rescinded when another framework
    /// waits for what it holds.
    pub offer_hoarding_timeout: Duration,
    /// `--starvation_warning`: a framework that wants offers and has had none for so long is warned
    /// about, if something would fit.
    pub starvation_warning: Duration,
    /// `--max_completed_frameworks`.
    pub completed_frameworks_max: usize,
    /// `--max_completed_tasks_per_framework`.
    pub completed_tasks_max: usize,
    /// `--max_unreachable_tasks_per_framework`.
    pub unreachable_tasks_max: usize,
    /// `--publish_per_framework_metrics`.
    pub frameworks_published: bool,
    /// `--max_operator_event_stream_subscribers`: the oldest stream is closed for one more.
    pub watchers_max: usize,
    /// `--agent_removal_rate_limit`: time between two agents that are marked unreachable.
    pub agent_removal_interval: Option<Duration>,
    /// `--recovery_agent_removal_limit` in thousandths: while a larger share of the agents that were known
    /// at the change of master is missing, none of these is marked unreachable.
    pub recovery_removals_per_mille: u32,
    /// `--registry_gc_interval`: how often the registry forgets agents that were given up.
    pub registry_gc_interval: Duration,
    /// `--registry_max_agent_age`: unreachable and gone agents are forgotten after this time.
    pub registry_agent_age_max: Duration,
    /// `--registry_max_agent_count`: so many of each are remembered.
    pub registry_agents_max: usize,
    /// `--weights`: until the registry has weights that were set later.
    pub weights: BTreeMap<Role, Weight>,
    /// `--allocator_agent_recovery_factor` in thousandths: with quota, offers wait after a change of
    /// master until so many of the known agents are back.
    pub recovery_agents_per_mille: u32,
    /// `--allocator_recovery_timeout`: but no longer than this.
    pub recovery_hold: Duration,
    /// `--offer_constraints_re2_max_mem`, `--offer_constraints_re2_max_program_size`: how large
    /// regular expressions of offer constraints may be.
    pub constraint_patterns: PatternLimits,
    /// `--require_agent_domain`: agents that do not say where they stand are turned away.
    pub agent_domain_required: bool,
    /// `--root_submissions`: whether frameworks and tasks may run as root.
    pub root_submissions: bool,
    /// Bugs to plant, so that tests can prove that they would be caught.
    #[cfg(feature = "testing")]
    pub planted: crate::testing::planted::PlantedBugs,
}

impl MasterConfig {
    /// Mesos' defaults for a master with this uuid.
    #[must_use]
    pub fn new(uuid: impl Into<String>) -> Self {
        let uuid = uuid.into();
        Self {
            info: v1::MasterInfo {
                id: uuid.clone(),
                port: 5050,
                ..v1::MasterInfo::default()
            },
            uuid,
            epoch: 1,
            allocator: AllocatorConfig::default(),
            agent_ping_timeout: Duration::from_secs(15),
            agent_ping_timeouts_max: 5,
            agent_reregister_timeout: Duration::from_secs(600),
            offer_timeout: None,
            offer_hoarding_timeout: Duration::from_secs(600),
            starvation_warning: Duration::from_secs(300),
            completed_frameworks_max: 50,
            completed_tasks_max: 1000,
            unreachable_tasks_max: 1000,
            frameworks_published: true,
            watchers_max: 1000,
            agent_removal_interval: None,
            recovery_removals_per_mille: 1000,
            registry_gc_interval: Duration::from_secs(15 * 60),
            registry_agent_age_max: Duration::from_secs(14 * 24 * 3600),
            registry_agents_max: 100 * 1024,
            weights: BTreeMap::new(),
            recovery_agents_per_mille: 800,
            recovery_hold: Duration::from_secs(600),
            constraint_patterns: PatternLimits::default(),
            agent_domain_required: false,
            root_submissions: true,
            #[cfg(feature = "testing")]
            planted: crate::testing::planted::PlantedBugs::default(),
        }
    }
}
