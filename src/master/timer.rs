//! The timers a master can ask for: one key per thing that waits, so that setting again replaces.

use crate::base::{AgentId, FrameworkId, OfferId};

/// Names one timer. Setting a key that is set already moves its deadline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerKey {
    /// The next allocation pass.
    Allocation,
    /// The next liveness ping of a registered agent.
    Ping(AgentId),
    /// The end of the time in which a disconnected or recovered agent has to come back.
    Reregistration(AgentId),
    /// The end of a disconnected framework's `failover_timeout`.
    Failover(FrameworkId),
    /// The end of the time in which unknown frameworks can come back for operations on an agent.
    OrphanOperations(AgentId),
    /// The next look for offers that are hoarded and frameworks that starve.
    Watch,
    /// The next silent agent may be marked unreachable (`--agent_removal_rate_limit`).
    Removal,
    /// The registry forgets agents that were given up long ago (`--registry_gc_interval`).
    RegistryGc,
    /// The next inverse offers.
    InverseOffers,
    /// The end of the time in which offers wait for agents, after a change of master.
    RecoveryHold,
    /// The end of an offer's life (`--offer_timeout`).
    OfferExpired(OfferId),
}
