//! Demand, not only share: who does not use what it is offered stands behind who does.
//!
//! # The problem
//!
//! Strict DRF offers first to whoever has least, also when that one wants nothing. Frameworks that
//! have finished and never call SUPPRESS keep the smallest shares, so everything is offered to
//! them first, for ever, and those that want it starve. Filters help only per agent, and only for
//! as long as the framework chooses.
//!
//! # The rule
//!
//! What a client (a framework under a role) gives back whole, without having launched anything from
//! it, is *evidence* that it does not want that: a DECLINE, or an ACCEPT that launches nothing. On
//! each visit of an agent in the stage of fair share:
//!
//! 1. Clients without evidence against what they see of the agent come first, in DRF order: behind
//!    equals and behind higher shares alike stands who is known not to use this.
//! 2. What nobody of these takes is offered to the others: first to who has been due longest to be
//!    asked again (see below), then in DRF order. So the rule never leaves
//!    anything unoffered that strict order would have offered.
//!
//! Everything else is as it was: the rule changes who is first, never who may. The stage that gives
//! guaranteed quota does not ask for evidence at all.
//!
//! **What counts as evidence.** A returned bundle speaks against bundles that it *contains*, exactly
//! as for filters, and only on agents of the same *kind*: equal attributes, equal region, equal
//! required capabilities. So a picky framework that returns agents without an SSD keeps its place
//! for those with one, and one that waits for a big slot keeps it for anything larger than what it
//! has returned (or with other ports, reservations, volumes): for what they wait for, they stand
//! where strict order has them, and wait no longer. What the framework cannot tell us (it wants a
//! certain host of a kind) is left to the probes.
//!
//! **What ends it.** All evidence of a client goes when it shows demand: a launch, REVIVE, REQUEST,
//! a change of its description (roles, suppression, capabilities, smallest bundles), a reconnection,
//! the end of one of its tasks (it may want another one).
//!
//! **Probes.** A framework may come to want something without saying so. Evidence is *due* after one
//! `--allocation_interval`; each probe that is returned doubles that, up to 16 intervals. When it is
//! a client's turn and others that are due stand ahead of it in DRF order, the one of these that
//! has been due longest is offered the agent before it: a probe; but only at every fourth such turn
//! on a kind, so that probes cost those who use things a quarter of the offers at most. (A visit has
//! one turn where everybody sees the same; more where some see a part, as of reservations.) A probe
//! is evidence against its own bundle until it is answered, and sends the client to the back of
//! those that are due. A probe with a small bundle leaves larger ones due.
//!
//! # The bounds
//!
//! - *New demand is noticed* within 16 allocation intervals plus 4 * (D + 1) visits of agents of a
//!   kind on which strict order would have offered it something, or D + 1 visits on which nobody uses
//!   what is there, D being the number of clients that are due there too; whatever the kind. Every pass visits every agent that has something.
//! - *Cost to users*: at most every fourth offer of a kind goes to a probe while somebody uses them.
//! - *Memory*: 8 bundles per client and kind, 16 kinds per client; what is forgotten (of bundles the
//!   one that is due first, of kinds the one with the oldest return) only lets strict order stand. Kinds go with their last agent. Bundles are shared with
//!   the filters that the same refusals left.
//! - *Time*: nothing has been learned of a kind: one look at an empty map per visit. Else one
//!   comparison per client with evidence and distinct bundle, and where nobody uses what is there a
//!   look at the bits of all clients, which finds whose turn it is to be asked; past [`EFFORT_MAX`] comparisons the
//!   rest of a slice is visited in strict order.
//!
//! `--allocation_order=strict` switches the rule off: then nothing is learned.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::attributes::Attributes;
use crate::base::Instant;

use super::bits::BitSet;
use super::bundle::Bundle;
use super::framework::Capabilities;
use super::judged::{FirstDue, Judged};
use super::returns::{Evidence, Returns};
use super::slots::Slots;
use super::sorter::Standing;

/// Most kinds of agents that evidence against one client is kept for.
const KINDS_MAX: usize = 16;

/// Of so many turns that find someone due ahead, a probe precedes one.
const PROBE_EVERY: u32 = 4;

/// After how many comparisons of bundles the rest of a slice is visited in strict order.
const EFFORT_MAX: usize = 400_000;

/// Whether it matters what frameworks did with earlier offers (`--allocation_order`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AllocationOrder {
    /// Only shares count, as in Mesos.
    Strict,
    /// Who returns offers unused stands behind who uses them.
    #[default]
    Demand,
}

/// A word that is no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no order of allocation: must be demand or strict")]
pub struct AllocationOrderError(String);

impl FromStr for AllocationOrder {
    type Err = AllocationOrderError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "strict" => Ok(Self::Strict),
            "demand" => Ok(Self::Demand),
            other => Err(AllocationOrderError(other.to_owned())),
        }
    }
}

impl fmt::Display for AllocationOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "strict",
            Self::Demand => "demand",
        })
    }
}

/// What makes agents alike: attributes as text, region, required capabilities.
type KindKey = (String, Option<Arc<str>>, Capabilities);

/// Agents that are alike, and what was learned on them.
#[derive(Clone, Debug)]
struct Kind {
    key: KindKey,
    agents: u32,
    /// By client.
    returns: BTreeMap<u32, Returns>,
    /// How many more turns that find someone due ahead go by without a probe.
    waits: u32,
    /// About the bundle that was asked about last.
    judged: Option<Judged>,
}

/// What was learned about all clients.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    order: AllocationOrder,
    interval: Duration,
    kinds: Slots<Kind>,
    numbers: BTreeMap<KindKey, u32>,
    /// The kinds that there is evidence about, by client, longest known first.
    known: BTreeMap<u32, Vec<u32>>,
    now: Instant,
    /// Comparisons left in this slice.
    effort: usize,
    /// Goes up when a slice begins.
    slice: u64,
}

impl Demand {
    /// Nothing learned; `interval` is `--allocation_interval`.
    pub(super) fn new(order: AllocationOrder, interval: Duration) -> Self {
        Self {
            order,
            interval,
            kinds: Slots::default(),
            numbers: BTreeMap::new(),
            known: BTreeMap::new(),
            now: Instant(0),
            effort: EFFORT_MAX,
            slice: 0,
        }
    }

    /// A slice of a pass begins.
    pub(super) fn begin_slice(&mut self, now: Instant) {
        (self.now, self.effort) = (now, EFFORT_MAX);
        self.order_changed();
    }

    /// The number of the kind of one more agent.
    pub(super) fn join_kind(
        &mut self,
        attributes: &Attributes,
        region: Option<Arc<str>>,
        required: Capabilities,
    ) -> u32 {
        let key = (attributes.to_string(), region, required);
        if let Some(kind) = self.numbers.get(&key) {
            self.kinds[*kind].agents += 1;
            return *kind;
        }
        let kind = self.kinds.insert(Kind {
            key: key.clone(),
            agents: 1,
            returns: BTreeMap::new(),
            waits: 0,
            judged: None,
        });
        self.numbers.insert(key, kind);
        kind
    }

    /// One agent less is of this kind.
    pub(super) fn leave_kind(&mut self, kind: u32) {
        self.kinds[kind].agents -= 1;
        if self.kinds[kind].agents > 0 {
            return;
        }
        let gone = self.kinds.remove(kind);
        self.numbers.remove(&gone.key);
        for client in gone.returns.keys() {
            self.forget_kind(*client, kind);
        }
    }

    fn forget_kind(&mut self, client: u32, kind: u32) {
        if let Some(kinds) = self.known.get_mut(&client) {
            kinds.retain(|known| *known != kind);
            if kinds.is_empty() {
                self.known.remove(&client);
            }
        }
    }

    /// A client gave a bundle of an agent of this kind back whole.
    pub(super) fn returned(&mut self, (client, kind): (u32, u32), bundle: &Bundle, now: Instant) {
        if self.order == AllocationOrder::Strict || bundle.is_empty() {
            return;
        }
        let record = &mut self.kinds[kind];
        record.judged = None;
        let returns = record.returns.entry(client).or_default();
        returns.add_return(bundle, now, self.interval);
        let kinds = self.known.entry(client).or_default();
        kinds.retain(|known| *known != kind);
        kinds.push(kind);
        if kinds.len() > KINDS_MAX {
            let oldest = kinds.remove(0);
            self.kinds[oldest].returns.remove(&client);
            self.kinds[oldest].judged = None;
        }
    }

    /// A client has shown demand, or is gone.
    pub(super) fn forget(&mut self, client: u32) {
        for kind in self.known.remove(&client).unwrap_or_default() {
            self.kinds[kind].returns.remove(&client);
            self.kinds[kind].judged = None;
        }
    }

    /// True when something was learned on agents of this kind, and there is time left to use it.
    pub(super) fn has_evidence(&self, kind: u32) -> bool {
        !self.kinds[kind].returns.is_empty() && self.effort > 0
    }

    /// Finds out what there is against a bundle that all clients see the same of. True when some
    /// client of `others` has nothing against it, and has not refused it either (`refused` tells by
    /// words of bits).
    pub(super) fn judge(
        &mut self,
        kind: u32,
        bundle: &Bundle,
        others: &BitSet,
        refused: impl Fn(usize) -> u64,
    ) -> bool {
        let record = &mut self.kinds[kind];
        let (now, effort) = (self.now, &mut self.effort);
        let known = record.judged.take();
        let known = known.filter(|known| known.is_about(bundle, now));
        let judged = known.unwrap_or_else(|| Judged::new(bundle, &record.returns, now, effort));
        let judged = record.judged.insert(judged);
        (0..others.word_count()).any(|at| {
            let others = others.word(at) & !judged.against_word(at);
            others != 0 && others & !refused(at) != 0
        })
    }

    /// What was found out about the bundle that was judged last.
    pub(super) fn judged(&self, kind: u32) -> Option<&Judged> {
        self.kinds[kind].judged.as_ref()
    }

    /// Notes who comes first, in the order of a leaf, of those that have been due since a time: for
    /// the rest of this slice, in which nobody moves forward and nobody becomes due.
    pub(super) fn note_first_due(&mut self, kind: u32, leaf: u32, first: FirstDue) {
        if let Some(judged) = &mut self.kinds[kind].judged {
            judged.first_due = Some((self.slice, leaf, first));
        }
    }

    /// Where to begin to look for them: nobody who comes before that has been due since then.
    pub(super) fn first_due(&self, kind: u32, leaf: u32, since: Instant) -> Option<&Standing> {
        let (slice, of, (at, standing)) = self.judged(kind)?.first_due.as_ref()?;
        let holds = (*slice, *of, *at) == (self.slice, leaf, since);
        holds.then_some(standing)
    }

    /// Somebody may have moved forward.
    pub(super) fn order_changed(&mut self) {
        self.slice += 1;
    }

    /// What there is against the bundle that was judged last.
    pub(super) fn verdict(&self, client: u32, kind: u32) -> Evidence {
        let judged = self.judged(kind);
        judged.map_or(Evidence::None, |judged| judged.verdict(client))
    }

    /// What there is against offering a client this bundle.
    pub(super) fn evidence(&mut self, (client, kind): (u32, u32), bundle: &Bundle) -> Evidence {
        match self.kinds[kind].returns.get(&client) {
            Some(returns) => returns.evidence(bundle, self.now, &mut self.effort),
            None => Evidence::None,
        }
    }

    /// The same at another time, without a limit of effort: for explanations.
    pub(super) fn evidence_at(
        &self,
        (client, kind): (u32, u32),
        bundle: &Bundle,
        now: Instant,
    ) -> Evidence {
        let returns = self.kinds[kind].returns.get(&client);
        let mut effort = usize::MAX;
        returns.map_or(Evidence::None, |returns| {
            returns.evidence(bundle, now, &mut effort)
        })
    }

    /// Someone is due ahead of the client whose turn it is: does a probe precede this turn?
    pub(super) fn may_probe(&mut self, kind: u32) -> bool {
        let waits = &mut self.kinds[kind].waits;
        let now = *waits == 0;
        *waits = if now { PROBE_EVERY - 1 } else { *waits - 1 };
        now
    }

    /// A client is offered this bundle to see whether it wants it by now.
    pub(super) fn probed(&mut self, (client, kind): (u32, u32), bundle: &Bundle) {
        let record = &mut self.kinds[kind];
        if let Some(returns) = record.returns.get_mut(&client) {
            returns.add_probe(bundle, self.now, self.interval);
        }
        // The bundle itself is the one that was judged, if any was.
        if let Some(judged) = &mut record.judged {
            judged.probed(client);
        }
    }

    /// Panics when kinds and clients disagree, or a bound is passed. `agents` are the kinds of all
    /// agents.
    pub(super) fn check_invariants(&self, agents: impl Iterator<Item = u32>) {
        let mut count: BTreeMap<u32, u32> = BTreeMap::new();
        for kind in agents {
            *count.entry(kind).or_default() += 1;
        }
        let counted = self
            .kinds
            .iter()
            .map(|(number, kind)| (number, kind.agents));
        assert!(counted.eq(count), "kinds count their agents");
        assert_eq!(self.numbers.len(), self.kinds.len());
        let mut entries = 0;
        for (number, kind) in self.kinds.iter() {
            assert_eq!(self.numbers.get(&kind.key), Some(&number));
            for (client, returns) in &kind.returns {
                returns.check_invariants();
                assert!(self.known[client].contains(&number), "known by client");
                entries += 1;
            }
        }
        let known: usize = self.known.values().map(Vec::len).sum();
        assert_eq!(known, entries);
        assert!(self.known.values().all(|kinds| kinds.len() <= KINDS_MAX));
        let learned = self.order == AllocationOrder::Demand || self.known.is_empty();
        assert!(learned, "strict order learns nothing");
    }
}
