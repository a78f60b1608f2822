//! Who is next on this agent? Walks roles and frameworks in order and stops at the first that may
//! be offered something. All stages use it.

use crate::base::{Instant, Rng};

use super::agent::Agent;
use super::behind::Behind;
use super::bits::{BitSet, members_of};
use super::bundle::Bundle;
use super::demand::Demand;
use super::eligibility::{Question, Rejection, first_rejection};
use super::framework::{Client, Framework};
use super::ledger::{Cut, Ledger, Right};
use super::report::PassReport;
use super::returns::Evidence;
use super::role_tree::RoleTree;
use super::slots::Slots;
use super::sorter::{Amounts, Content, Kinds, Leaves, Sorter, Walk};
use super::stage::StagePolicy;
use super::view::{QuotaRule, View, Views, is_plain};

/// How many refusals in a row are looked at one by one before the bits of all clients are used.
const REFUSALS_MAX: usize = 32;

/// How many clients a role must have for their bits to be looked at before them.
const CLIENTS_MIN: usize = if cfg!(test) { 2 } else { 64 };

/// Clients that have not refused an agent are few when there are no more of them.
pub(super) const FEW: usize = if cfg!(test) { 4 } else { 16 };

/// What a visit knows besides the agent.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) roles: &'a RoleTree,
    /// While any role has quota.
    pub(super) ledger: Option<&'a Ledger>,
    /// The number of the agent.
    pub(super) slot: u32,
    /// What quota has cut off on this visit.
    pub(super) cuts: &'a mut Vec<Cut>,
    pub(super) clients: &'a Slots<Client>,
    pub(super) frameworks: &'a Slots<Framework>,
    /// All clients that take part in passes.
    pub(super) active: &'a BitSet,
    pub(super) min_allocatable: &'a [Amounts],
    /// True when no client has smallest bundles of its own.
    pub(super) one_minimum: bool,
    pub(super) kinds: &'a mut Kinds,
    pub(super) demand: &'a mut Demand,
    pub(super) report: &'a mut PassReport,
}

/// How far a visit has come: the leaf that it is at, with the clients before `at` behind it.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    leaves: Leaves<'a>,
    leaf: Option<(u32, u32)>,
    pub(super) at: usize,
    /// The client that `at` is to follow, whose place has not been looked for yet.
    after: Option<u32>,
    /// How it is found out who does not use what the agent has.
    pub(super) regard: Regard,
    /// Clients with their roles that stand behind those who use it, in order.
    pub(super) behind: Vec<Behind>,
    /// Who of these has been due longest to be asked again, since when.
    pub(super) due: Option<(Instant, (u32, u32))>,
    /// Whose turn it was when a probe went before.
    next: Option<(u32, u32)>,
    /// For the order of the frameworks of a role, when it is random.
    rng: Option<Rng>,
    /// That order for the leaf that it is at.
    drawn: Option<Vec<u32>>,
}

/// How demand matters on a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Regard {
    /// Not at all.
    Nothing,
    /// Everybody sees the same, which was judged.
    Whole,
    /// Evidence is looked at for each client.
    Each,
}

/// Something for a client: all that the agent has available, or a part of it.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) client: u32,
    /// `None` for everything.
    pub(super) part: Option<Bundle>,
}

impl<'a> Cursor<'a> {
    /// Before the first client.
    pub(super) fn first(
        roles: &'a RoleTree,
        walk: Walk,
        (of_roles, of_frameworks): (Sorter, Sorter),
        rng: &mut Rng,
    ) -> Self {
        let mut fork = || Rng::seeded(rng.next_u64(), "visit");
        let rng = (of_frameworks == Sorter::Random).then(&mut fork);
        let mut leaves = match of_roles {
            Sorter::Drf => roles.tree().leaves(walk),
            Sorter::Random => roles.tree().random_leaves(walk, fork()),
        };
        Self {
            rng,
            drawn: None,
            leaf: leaves.next(),
            leaves,
            at: 0,
            after: None,
            regard: Regard::Nothing,
            behind: Vec::new(),
            due: None,
            next: None,
        }
    }

    /// The next client that is offered something of the agent, and what.
    pub(super) fn next_grant(
        &mut self,
        agent: &Agent,
        policy: StagePolicy,
        around: &mut Surroundings<'_>,
    ) -> Option<Grant> {
        let rule = around.ledger.map(|ledger| QuotaRule {
            ledger,
            roles: around.roles,
            right: policy.right(),
        });
        let mut views = Views::of(agent, rule);
        if is_plain(agent) && nobody_is_eligible(agent, &mut views, around) {
            return None;
        }
        self.regard = Regard::of(policy, &mut views, around);
        self.due = match self.regard {
            Regard::Each if self.leaf.is_some() && !self.behind.is_empty() => {
                self.longest_due(&mut views, around)
            }
            _ => None,
        };
        let (client, role) = self.next_client(policy, &mut views, around)?;
        let capabilities = around.clients[client].capabilities;
        let role = (role, around.roles.role(role));
        let view = views.get(role, capabilities, around.kinds);
        Some(Grant {
            client,
            part: (!view.is_whole).then(|| view.resources.clone()),
        })
    }

    /// The next eligible client with its role: first those that use what they are offered, now and
    /// then a probe before them, then the others.
    fn next_client(
        &mut self,
        policy: StagePolicy,
        views: &mut Views<'_>,
        around: &mut Surroundings<'_>,
    ) -> Option<(u32, u32)> {
        if let Some((client, role)) = self.next.take()
            && consider(client, role, views, around).is_none()
        {
            return Some((client, role));
        }
        while let Some((leaf, role)) = self.leaf {
            if policy.right() == Right::Owed && !can_be_paid(role, around) {
                self.next_leaf();
                continue;
            }
            if let Some(client) = self.next_in_leaf(leaf, role, views, around) {
                let found = (client, role);
                return Some(self.probe_before(found, views, around).unwrap_or(found));
            }
            self.next_leaf();
        }
        // Nobody uses it: it is asked in turn who has returned the like.
        if let Some((_, longest)) = self.due.take() {
            self.ask(longest, views, around);
            return Some(longest);
        }
        self.first_behind(views, around)
    }

    /// Of those that stand behind already: who may be offered what is left now, and has been due
    /// longest. Counts nothing: why others were not offered anything was counted before.
    fn longest_due(
        &mut self,
        views: &mut Views<'_>,
        around: &mut Surroundings<'_>,
    ) -> Option<(Instant, (u32, u32))> {
        let kind = views.agent().kind;
        let report = around.report.clone();
        let mut found: Option<(Instant, (u32, u32))> = None;
        for one in &self.behind {
            // Leaves stand behind as a whole only where everybody sees the same.
            let Behind::Client(client, role) = *one else {
                continue;
            };
            let capabilities = around.clients[client].capabilities;
            let view = views.get((role, around.roles.role(role)), capabilities, around.kinds);
            if let Evidence::Due(since) = around.demand.evidence((client, kind), &view.resources)
                && found.is_none_or(|(longest, _)| since < longest)
                && consider(client, role, views, around).is_none()
            {
                found = Some((since, (client, role)));
            }
        }
        *around.report = report;
        found
    }

    fn next_leaf(&mut self) {
        (self.leaf, self.at, self.after) = (self.leaves.next(), 0, None);
    }

    /// Who is offered the agent before the client whose turn it is, to see whether it wants it.
    fn probe_before(
        &mut self,
        found: (u32, u32),
        views: &mut Views<'_>,
        around: &mut Surroundings<'_>,
    ) -> Option<(u32, u32)> {
        let (_, longest) = self.due?;
        if !around.demand.may_probe(views.agent().kind) {
            return None;
        }
        self.due = None;
        self.ask(longest, views, around);
        self.next = Some(found);
        Some(longest)
    }

    /// A client that is due is offered the agent, and is not due any more.
    fn ask(
        &mut self,
        (client, role): (u32, u32),
        views: &mut Views<'_>,
        around: &mut Surroundings<'_>,
    ) {
        let kind = views.agent().kind;
        let capabilities = around.clients[client].capabilities;
        let view = views.get((role, around.roles.role(role)), capabilities, around.kinds);
        around.demand.probed((client, kind), &view.resources);
        around.report.probes += 1;
        let asked = |one: &Behind| matches!(one, Behind::Client(other, _) if *other == client);
        self.behind.retain(|one| !asked(one));
    }

    /// True when a client stands behind those who use what they are offered.
    fn stands_behind(
        &mut self,
        (client, role): (u32, u32),
        views: &mut Views<'_>,
        around: &mut Surroundings<'_>,
    ) -> bool {
        let kind = views.agent().kind;
        let evidence = match self.regard {
            Regard::Nothing => return false,
            Regard::Whole => around.demand.verdict(client, kind),
            Regard::Each => {
                let capabilities = around.clients[client].capabilities;
                let view = views.get((role, around.roles.role(role)), capabilities, around.kinds);
                around.demand.evidence((client, kind), &view.resources)
            }
        };
        match evidence {
            Evidence::None => return false,
            Evidence::Against(_) => {}
            Evidence::Due(since) => {
                if self.due.is_none_or(|(longest, _)| since < longest)
                    && consider(client, role, views, around).is_none()
                {
                    self.due = Some((since, (client, role)));
                }
            }
        }
        self.behind.push(Behind::Client(client, role));
        around.report.stood_behind += 1;
        true
    }

    /// The next eligible client of a leaf.
    fn next_in_leaf(
        &mut self,
        leaf: u32,
        role: u32,
        views: &mut Views<'_>,
        around: &mut Surroundings<'_>,
    ) -> Option<u32> {
        let mut order = around.roles.tree().in_order(leaf);
        if let Some(rng) = &mut self.rng
            && self.at == 0
        {
            let mut drawn = order.to_vec();
            rng.shuffle(&mut drawn);
            self.drawn = Some(drawn);
        }
        let drawn = self.drawn.take();
        if let Some(drawn) = &drawn {
            order = drawn;
        }
        let found = self.next_of((leaf, role), order, views, around);
        self.drawn = drawn;
        found
    }

    /// The next eligible client of a leaf, whose clients are in this order.
    fn next_of(
        &mut self,
        (leaf, role): (u32, u32),
        order: &[u32],
        views: &mut Views<'_>,
        around: &mut Surroundings<'_>,
    ) -> Option<u32> {
        if let Some(client) = self.after.take() {
            self.at = around
                .roles
                .tree()
                .position(leaf, around.clients[client].node)
                + 1;
        }
        if self.rng.is_none() && self.pass_over((leaf, role), order, views, around) {
            return None;
        }
        let by_bits = self.rng.is_none() && is_plain(views.agent());
        if by_bits
            && self.at == 0
            && order.len() >= CLIENTS_MIN
            && let Some(few) = unrefused(role, FEW, views, around)
        {
            return self.next_of_few((leaf, role), few, views, around);
        }
        let mut refusals = 0;
        while let Some(node) = order.get(self.at) {
            let Content::Client(client) = around.roles.tree().content(*node) else {
                unreachable!("a leaf has clients only");
            };
            self.at += 1;
            if self.stands_behind((client, role), views, around) {
                continue;
            }
            match consider(client, role, views, around) {
                None => return Some(client),
                Some(Rejection::Filtered { .. }) => refusals += 1,
                Some(_) => {}
            }
            if refusals > REFUSALS_MAX && by_bits {
                let tree = around.roles.tree();
                let last = order[self.at - 1];
                let mut rest = unrefused(role, usize::MAX, views, around).unwrap_or_default();
                rest.retain(|client| tree.precedes(last, around.clients[*client].node));
                return self.next_of_few((leaf, role), rest, views, around);
            }
        }
        None
    }

    /// The next eligible client of a leaf when most have refused: of those that have not.
    fn next_of_few(
        &mut self,
        (leaf, role): (u32, u32),
        mut rest: Vec<u32>,
        views: &mut Views<'_>,
        around: &mut Surroundings<'_>,
    ) -> Option<u32> {
        let tree = around.roles.tree();
        let order = tree.in_order(leaf);
        let behind = order.len() - self.at;
        around
            .report
            .reject(&Rejection::FILTERED, behind - rest.len());
        let standing = |client: &u32| tree.standing(around.clients[*client].node);
        rest.sort_unstable_by(|a, b| standing(a).compare(standing(b)));
        let found = rest.into_iter().find(|client| {
            !self.stands_behind((*client, role), views, around)
                && consider(*client, role, views, around).is_none()
        });
        (self.at, self.after) = (order.len(), found);
        found
    }
}

impl Regard {
    fn of(policy: StagePolicy, views: &mut Views<'_>, around: &mut Surroundings<'_>) -> Self {
        let agent = views.agent();
        if !policy.regards_demand() || !around.demand.has_evidence(agent.kind) {
            return Self::Nothing;
        }
        if !views.is_uniform() {
            return Self::Each;
        }
        let (view, active) = (views.whole(), around.active);
        let refused = |at| agent.filters.blocked_word(&view.blocking, at);
        let seen = &view.resources;
        // When nobody uses this, everybody stands where it stood.
        match around.demand.judge(agent.kind, seen, active, refused) {
            true => Self::Whole,
            false => Self::Nothing,
        }
    }
}

/// The clients of a role that have not refused what an agent has; none when there are more than
/// `most`.
pub(super) fn unrefused(
    role: u32,
    most: usize,
    views: &mut Views<'_>,
    around: &mut Surroundings<'_>,
) -> Option<Vec<u32>> {
    let agent = views.agent();
    let special = agent.available.special();
    let view = views.get((role, around.roles.role(role)), special, around.kinds);
    let active = around.roles.active(role);
    let mut found = Vec::new();
    for at in 0..active.word_count() {
        let word = active.word(at) & !agent.filters.blocked_word(&view.blocking, at);
        if word == 0 {
            continue;
        }
        if found.len() + word.count_ones() as usize > most {
            return None;
        }
        found.extend(members_of(at, word));
    }
    Some(found)
}

/// True when an agent has some of what a role is owed.
fn can_be_paid(role: u32, around: &Surroundings<'_>) -> bool {
    let account = around.ledger.zip(around.roles.account(role));
    account.is_some_and(|(ledger, account)| ledger.can_be_paid(account, around.slot))
}

/// Why a client is not offered what it sees of an agent; nothing when it is. Counts the reason.
pub(super) fn consider(
    number: u32,
    role: u32,
    views: &mut Views<'_>,
    around: &mut Surroundings<'_>,
) -> Option<Rejection> {
    let agent = views.agent();
    let client = &around.clients[number];
    let capabilities = client.capabilities;
    let view = views.get((role, around.roles.role(role)), capabilities, around.kinds);
    around.cuts.extend(view.cut);
    // Not looked up until when: the reason is counted only.
    let rejection = if agent.filters.is_blocked(&view.blocking, number) {
        Some(Rejection::FILTERED)
    } else {
        first_rejection(&Question {
            framework: &around.frameworks[client.framework],
            client,
            number,
            agent,
            view,
            min_allocatable: around.min_allocatable,
            quota: None,
            details: false,
        })
    };
    if let Some(rejection) = &rejection {
        around.report.reject(rejection, 1);
    }
    rejection
}

/// True when no client at all can be offered an agent of which all see the same.
fn nobody_is_eligible(agent: &Agent, views: &mut Views<'_>, around: &mut Surroundings<'_>) -> bool {
    let view = views.whole();
    let reason = if around.one_minimum && !is_enough(view, around.min_allocatable) {
        Rejection::BelowMinimum
    } else if all_refused(agent, view, around.active) {
        Rejection::FILTERED
    } else {
        return false;
    };
    around.report.reject(&reason, around.active.len());
    true
}

fn is_enough(view: &View, smallest: &[Amounts]) -> bool {
    smallest.is_empty()
        || smallest
            .iter()
            .any(|least| view.resources.amounts().contains(least))
}

fn all_refused(agent: &Agent, view: &View, active: &BitSet) -> bool {
    let blocked = |at| agent.filters.blocked_word(&view.blocking, at);
    (0..active.word_count()).all(|at| active.word(at) & !blocked(at) == 0)
}
