//! Who is next on this agent? Walks roles and frameworks in order and stops at the first that may
//! be offered something. All stages use it.

use super::agent::Agent;
use super::bits::{BitSet, members_of};
use super::bundle::Bundle;
use super::eligibility::{Question, Rejection, first_rejection};
use super::framework::{Client, Framework};
use super::report::PassReport;
use super::role_tree::RoleTree;
use super::slots::Slots;
use super::sorter::{Amounts, Content, Kinds, Leaves};
use super::stage::StagePolicy;
use super::view::{View, Views, is_plain};

/// How many refusals in a row are looked at one by one before the bits of all clients are used.
const REFUSALS_MAX: usize = 32;

/// What a visit knows besides the agent.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) roles: &'a RoleTree,
    pub(super) clients: &'a Slots<Client>,
    pub(super) frameworks: &'a Slots<Framework>,
    /// All clients that take part in passes.
    pub(super) active: &'a BitSet,
    pub(super) min_allocatable: &'a [Amounts],
    /// True when no client has smallest bundles of its own.
    pub(super) one_minimum: bool,
    pub(super) kinds: &'a mut Kinds,
    pub(super) report: &'a mut PassReport,
}

/// How far a visit has come: the leaf that it is at, with the clients before `at` behind it.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    leaves: Leaves<'a>,
    leaf: Option<(u32, u32)>,
    at: usize,
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
    pub(super) fn first(roles: &'a RoleTree) -> Self {
        let mut leaves = roles.tree().leaves();
        Self {
            leaf: leaves.next(),
            leaves,
            at: 0,
        }
    }

    /// The next client that is offered something of the agent, and what.
    pub(super) fn next_grant(
        &mut self,
        agent: &Agent,
        policy: StagePolicy,
        around: &mut Surroundings<'_>,
    ) -> Option<Grant> {
        let mut views = Views::of(agent);
        if is_plain(agent) && nobody_is_eligible(agent, &mut views, around) {
            return None;
        }
        while let Some((leaf, role)) = self.leaf {
            if let Some(client) = self.next_in_leaf(leaf, role, &mut views, around) {
                let capabilities = around.clients[client].capabilities;
                let role = (role, around.roles.role(role));
                let view = views.get(role, capabilities, around.kinds);
                let portion = policy.portion(view);
                return Some(Grant {
                    client,
                    part: (!view.is_whole).then(|| portion.clone()),
                });
            }
            (self.leaf, self.at) = (self.leaves.next(), 0);
        }
        None
    }

    /// The next eligible client of a leaf.
    fn next_in_leaf(
        &mut self,
        leaf: u32,
        role: u32,
        views: &mut Views<'_>,
        around: &mut Surroundings<'_>,
    ) -> Option<u32> {
        let order = around.roles.tree().in_order(leaf);
        let mut refusals = 0;
        while let Some(node) = order.get(self.at) {
            let Content::Client(client) = around.roles.tree().content(*node) else {
                unreachable!("a leaf has clients only");
            };
            self.at += 1;
            match consider(client, role, views, around) {
                None => return Some(client),
                Some(Rejection::Filtered { .. }) => refusals += 1,
                Some(_) => {}
            }
            if refusals > REFUSALS_MAX && is_plain(views.agent()) {
                return self.next_unrefused(leaf, role, views, around);
            }
        }
        None
    }

    /// The next eligible client of a leaf when most have refused: from the bits of the others.
    fn next_unrefused(
        &mut self,
        leaf: u32,
        role: u32,
        views: &mut Views<'_>,
        around: &mut Surroundings<'_>,
    ) -> Option<u32> {
        let (tree, agent) = (around.roles.tree(), views.agent());
        let last = tree.in_order(leaf)[self.at - 1];
        let view = views.get((role, around.roles.role(role)), agent.special, around.kinds);
        let active = around.roles.active(role);
        let mut rest = Vec::new();
        for at in 0..active.word_count() {
            let word = active.word(at) & !agent.filters.blocked_word(&view.blocking, at);
            rest.extend(members_of(at, word));
        }
        rest.retain(|client| tree.precedes(last, around.clients[*client].node));
        let behind = tree.in_order(leaf).len() - self.at;
        around
            .report
            .reject(Rejection::FILTERED, behind - rest.len());
        let standing = |client: &u32| tree.standing(around.clients[*client].node);
        rest.sort_unstable_by(|a, b| standing(a).compare(standing(b)));
        let found = rest
            .into_iter()
            .find(|client| consider(*client, role, views, around).is_none());
        self.at = match found {
            Some(client) => tree.position(leaf, around.clients[client].node) + 1,
            None => tree.in_order(leaf).len(),
        };
        found
    }
}

/// Why a client is not offered what it sees of an agent; nothing when it is. Counts the reason.
fn consider(
    number: u32,
    role: u32,
    views: &mut Views<'_>,
    around: &mut Surroundings<'_>,
) -> Option<Rejection> {
    let agent = views.agent();
    let client = &around.clients[number];
    let capabilities = client.capabilities;
    let view = views.get((role, around.roles.role(role)), capabilities, around.kinds);
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
        })
    };
    if let Some(rejection) = rejection {
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
    around.report.reject(reason, around.active.len());
    true
}

fn is_enough(view: &View<'_>, smallest: &[Amounts]) -> bool {
    smallest.is_empty() || smallest.iter().any(|least| view.amounts.contains(least))
}

fn all_refused(agent: &Agent, view: &View<'_>, active: &BitSet) -> bool {
    let blocked = |at| agent.filters.blocked_word(&view.blocking, at);
    (0..active.word_count()).all(|at| active.word(at) & !blocked(at) == 0)
}
