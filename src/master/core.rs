//! The machine itself: the state of a cluster's master, and the routing of events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;

use crate::allocator::Allocator;
use crate::base::{
    AgentId, ConnectionId, FrameworkId, Instant, Now, OfferId, OperationId, RequestId, Rng,
    Timestamp, Uuid,
};
use crate::proto::v1;
use crate::registry::{Operation, Registry, Standing};

use super::agent::Agent;
use super::call::{CallError, Reply};
use super::config::MasterConfig;
use super::effect::{Effect, Effects, Token};
use super::event::Event;
use super::framework::Framework;
use super::history::History;
use super::inverse::Inverse;
use super::metrics::Metrics;
use super::offer::Offer;
use super::pending::Pending;
use super::policy::Policy;
use super::reconcile::Reconciling;
use super::register::Link;
use super::removal::Removals;
use super::snapshot::Snapshot;
use super::timer::TimerKey;
use super::watch::Watch;

/// The master of a cluster.
#[derive(Debug)]
pub struct Master {
    pub(super) config: MasterConfig,
    pub(super) info: Arc<v1::MasterInfo>,
    pub(super) started: Timestamp,
    /// How many events may have changed something.
    pub(super) version: u64,
    pub(super) allocator: Allocator,
    /// When the allocator wants to be run, as its timer stands.
    pub(super) allocation_at: Option<Instant>,
    pub(super) agents: OrdMap<AgentId, Arc<Agent>>,
    /// Where agents live, to notice that one has a successor.
    pub(super) addresses: BTreeMap<String, AgentId>,
    /// Admitted agents that have not come back since this master started.
    pub(super) recovered: OrdMap<AgentId, Arc<v1::AgentInfo>>,
    pub(super) unreachable: OrdMap<AgentId, Timestamp>,
    /// Agents that an operator gave up for good.
    pub(super) gone: OrdMap<AgentId, Timestamp>,
    /// Agents that stand otherwise than usual.
    pub(super) standings: OrdMap<AgentId, Standing>,
    /// Agents whose drain is not over.
    pub(super) draining_agents: BTreeSet<AgentId>,
    pub(super) policy: Policy,
    pub(super) inverse: Inverse,
    /// Nothing is offered before so many agents are here.
    pub(super) held_for: Option<usize>,
    /// Agents of which the registry is being told something; nothing else may happen to them.
    pub(super) writing: BTreeSet<AgentId>,
    /// Silent agents that wait until they may be marked unreachable.
    pub(super) removals: Removals,
    pub(super) frameworks: OrdMap<FrameworkId, Arc<Framework>>,
    /// Frameworks as the registry was last told of them.
    pub(super) kept: OrdMap<FrameworkId, Arc<v1::FrameworkInfo>>,
    pub(super) completed: History<FrameworkId, Framework>,
    pub(super) offers: OrdMap<OfferId, Arc<Offer>>,
    /// Where the operations are that frameworks have named.
    pub(super) operation_ids: BTreeMap<(FrameworkId, OperationId), (AgentId, Uuid)>,
    pub(super) operation_rng: Rng,
    pub(super) watch: Watch,
    pub(super) schedulers: BTreeMap<ConnectionId, FrameworkId>,
    /// What schedulers have asked about and were not told yet.
    pub(super) reconciling: BTreeMap<ConnectionId, Reconciling>,
    pub(super) links: BTreeMap<ConnectionId, Link>,
    pub(super) pending: BTreeMap<Token, Pending>,
    /// The timers that are set.
    pub(super) timers: BTreeSet<TimerKey>,
    pub(super) minted: Minted,
    pub(super) metrics: Metrics,
    /// Asked to end: takes nothing new.
    pub(super) draining: bool,
}

/// How many names of each kind were given out.
#[derive(Debug, Default)]
pub(super) struct Minted {
    pub(super) frameworks: u64,
    pub(super) agents: u64,
    pub(super) offers: u64,
    pub(super) tokens: u64,
}

impl Minted {
    /// The next name of an offer or an inverse offer.
    pub(super) fn offer(&mut self, uuid: &str) -> OfferId {
        let id = Self::offer_id(uuid, self.offers);
        self.offers += 1;
        id
    }

    /// The name of the offer with this number.
    pub(super) fn offer_id(uuid: &str, number: u64) -> OfferId {
        OfferId::new(format!("{uuid}-O{number}"))
    }

    /// The number of an offer that was named here.
    pub(super) fn offer_number(id: &OfferId) -> u64 {
        let number = id.as_str().rsplit_once("-O");
        number
            .and_then(|(_, number)| number.parse().ok())
            .unwrap_or(0)
    }
}

/// What every verb needs of the step that it is part of.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) now: Now,
    pub(super) effects: &'a mut Effects,
}

impl Step<'_> {
    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn reply(&mut self, request: RequestId, result: Result<Reply, CallError>) {
        self.push(Effect::Reply { request, result });
    }
}

impl Master {
    /// A master that starts to lead with what the registry holds. Agents that the registry knows
    /// have `--agent_reregister_timeout` to come back.
    pub fn new(config: MasterConfig, registry: Registry, now: Now, effects: &mut Effects) -> Self {
        let mut master = Self {
            info: Arc::new(config.info.clone()),
            started: now.wall,
            version: 0,
            allocator: Allocator::new(config.allocator.clone()),
            allocation_at: None,
            agents: OrdMap::new(),
            addresses: BTreeMap::new(),
            policy: Policy::new(&registry, &config.weights),
            recovered: registry.agents.clone(),
            unreachable: registry.unreachable,
            gone: registry.gone,
            standings: registry.standings,
            draining_agents: BTreeSet::new(),
            inverse: Inverse::default(),
            held_for: None,
            writing: BTreeSet::new(),
            removals: Removals::new(registry.agents.len()),
            kept: registry.frameworks.clone(),
            frameworks: OrdMap::new(),
            completed: History::new(config.completed_frameworks_max),
            offers: OrdMap::new(),
            operation_ids: BTreeMap::new(),
            // The uuid is another one at every start: no two masters name operations alike.
            operation_rng: Rng::seeded(0, &format!("operations of {}", config.uuid)),
            watch: Watch::default(),
            schedulers: BTreeMap::new(),
            reconciling: BTreeMap::new(),
            links: BTreeMap::new(),
            pending: BTreeMap::new(),
            timers: BTreeSet::new(),
            minted: Minted::default(),
            metrics: Metrics::default(),
            draining: false,
            config,
        };
        let step = &mut Step { now, effects };
        let recovered: Vec<AgentId> = master.recovered.keys().cloned().collect();
        let deadline = now.mono.after(master.config.agent_reregister_timeout);
        for agent_id in recovered {
            master.set_timer(step, TimerKey::Reregistration(agent_id), deadline);
        }
        let next = now.mono.after(master.config.registry_gc_interval);
        master.set_timer(step, TimerKey::RegistryGc, next);
        master.recover_frameworks(step, &registry.frameworks);
        master.enforce_policy();
        let standings: Vec<AgentId> = master.standings.keys().cloned().collect();
        for agent_id in standings {
            master.follow_standing(step, &agent_id);
        }
        master.hold_allocation(step);
        master
    }

    /// Takes one event and appends what is to be done.
    pub fn step(&mut self, now: Now, event: Event, effects: &mut Effects) {
        let known = effects.len();
        let step = &mut Step { now, effects };
        self.version += u64::from(!matches!(
            event,
            Event::SnapshotRequested { .. } | Event::FiltersRequested { .. }
        ));
        match event {
            Event::SchedulerSubscribed {
                connection,
                framework,
                suppressed_roles,
                offer_constraints,
                principal,
            } => {
                let (roles, constraints) = (&suppressed_roles, offer_constraints.as_deref());
                self.subscribe(step, connection, *framework, roles, constraints, principal);
            }
            Event::SchedulerNamed {
                connection,
                process,
            } => self.name_scheduler(connection, process),
            Event::SchedulerCall {
                request,
                framework_id,
                connection,
                call,
            } => {
                let result = self.scheduler_call(step, &framework_id, connection, call);
                step.reply(request, result.map(|()| Reply::Accepted));
            }
            Event::SchedulerHasRoom { connection } => self.reconcile_on(step, connection),
            Event::SchedulerDisconnected { connection } => {
                self.scheduler_disconnected(step, connection);
            }
            Event::Whitelisted(hosts) => self.allocator.set_whitelist(hosts),
            Event::AgentConnected { connection, peer } => {
                self.agent_connected(step, connection, peer);
            }
            Event::AgentMessage {
                connection,
                message,
            } => self.agent_message(step, connection, *message),
            Event::AgentDisconnected { connection } => self.agent_disconnected(step, connection),
            Event::OperatorCall { request, call } => self.operator_call(step, request, call),
            Event::SnapshotRequested { request } => {
                let snapshot = Box::new(self.snapshot(now));
                step.reply(request, Ok(Reply::Snapshot(snapshot)));
            }
            Event::ExplainRequested { request, question } => {
                let answer = self.explain(now.mono, &question);
                step.reply(
                    request,
                    answer.map(|answer| Reply::Explanation(Box::new(answer))),
                );
            }
            Event::FiltersRequested { request } => {
                let counts = self.allocator.filters_by_role();
                step.reply(request, Ok(Reply::Filters(counts)));
            }
            Event::Persisted { token, result } => self.persisted(step, token, result),
            Event::TimerFired(key) => self.timer_fired(step, &key),
            Event::Shutdown => self.drain(step),
        }
        self.finish_drains(step);
        self.plan_allocation(step);
        self.plan_watch(step);
        self.count_events(known, effects);
    }

    /// Counts what this step sends to schedulers: the effects from the one with number `from` on.
    fn count_events(&mut self, from: usize, effects: &Effects) {
        for effect in effects.iter().skip(from) {
            if let Effect::ToScheduler { connection, event } = effect
                && let Some(framework_id) = self.schedulers.get(connection)
                && let Some(framework) = self.frameworks.get_mut(framework_id)
            {
                Arc::make_mut(framework).metrics.count_event(event);
            }
        }
    }

    fn timer_fired(&mut self, step: &mut Step<'_>, key: &TimerKey) {
        if !self.timers.remove(key) {
            return;
        }
        match key {
            TimerKey::Allocation => {
                self.allocation_at = None;
                self.allocate(step);
            }
            TimerKey::Ping(agent_id) => self.ping(step, agent_id),
            TimerKey::Reregistration(agent_id) => self.reregistration_timed_out(step, agent_id),
            TimerKey::Failover(framework_id) => {
                tracing::info!(%framework_id, "failover timeout passed");
                self.remove_framework(step, framework_id);
            }
            TimerKey::OrphanOperations(agent_id) => self.adopt_orphans(step, agent_id),
            TimerKey::Watch => self.look_around(step),
            TimerKey::OfferExpired(offer_id) => {
                if self.inverse.is_outstanding(offer_id) {
                    self.inverse_offer_expired(step, offer_id);
                } else {
                    self.rescind(step, offer_id);
                }
            }
            TimerKey::Removal => self.remove_next(step),
            TimerKey::RegistryGc => self.collect_registry(step),
            TimerKey::InverseOffers => self.make_inverse_offers(step),
            // Its end lets `is_held` say no.
            TimerKey::RecoveryHold => {}
        }
    }

    /// Lets everybody go: no tasks are touched, agents and schedulers look for the next leader.
    fn drain(&mut self, step: &mut Step<'_>) {
        self.draining = true;
        for connection in self.schedulers.keys() {
            step.push(Effect::CloseScheduler {
                connection: *connection,
            });
        }
        for connection in self.links.keys() {
            step.push(Effect::CloseAgent {
                connection: *connection,
            });
        }
    }

    // What the verbs share.

    pub(super) fn set_timer(&mut self, step: &mut Step<'_>, key: TimerKey, at: Instant) {
        self.timers.insert(key.clone());
        step.push(Effect::SetTimer { key, at });
    }

    pub(super) fn cancel_timer(&mut self, step: &mut Step<'_>, key: TimerKey) {
        if self.timers.remove(&key) {
            step.push(Effect::CancelTimer { key });
        }
    }

    /// Has the registry changed; `pending` goes on when it is.
    pub(super) fn persist(&mut self, step: &mut Step<'_>, operation: Operation, pending: Pending) {
        self.minted.tokens += 1;
        let token = Token(self.minted.tokens);
        self.pending.insert(token, pending);
        step.push(Effect::Persist { token, operation });
    }

    pub(super) fn framework_mut(&mut self, id: &FrameworkId) -> Option<&mut Framework> {
        self.frameworks.get_mut(id).map(Arc::make_mut)
    }

    pub(super) fn agent_mut(&mut self, id: &AgentId) -> Option<&mut Agent> {
        self.agents.get_mut(id).map(Arc::make_mut)
    }

    /// What the allocator has counted.
    #[must_use]
    pub fn allocator_metrics(&self) -> &crate::allocator::AllocatorMetrics {
        self.allocator.metrics()
    }

    /// The state at this moment, for readers.
    #[must_use]
    pub fn snapshot(&self, now: Now) -> Snapshot {
        Snapshot {
            version: self.version,
            taken: now.wall,
            taken_mono: now.mono,
            started: self.started,
            master: Arc::clone(&self.info),
            agents: self.agents.clone(),
            recovered_agents: self.recovered.clone(),
            unreachable_agents: self.unreachable.clone(),
            gone_agents: self.gone.clone(),
            standings: self.standings.clone(),
            weights: self.policy.weights.clone(),
            quotas: self.policy.quotas.clone(),
            maintenance: Arc::clone(&self.policy.maintenance),
            inverse_offers: self.inverse.offers.clone(),
            inverse_answers: self.inverse.answers.clone(),
            frameworks: self.frameworks.clone(),
            completed_frameworks: self.completed.clone(),
            offers: self.offers.clone(),
            metrics: self.metrics.clone(),
            allocator: self.allocator.metrics().clone(),
            frameworks_published: self.config.frameworks_published,
            allocation_candidates: self.allocator.candidate_count(),
            offer_filters: self.allocator.filter_count(),
        }
    }
}
