//! Roles in which nobody uses what an agent has: whoever has not refused it stands behind. Such a
//! role is gone through by bits and not framework by framework, so that a cluster where thousands
//! are due to be asked again costs no more than one where nobody is.

use crate::base::Instant;

use super::agent::Agent;
use super::consider::{Cursor, FEW, Regard, Surroundings, consider, unrefused};
use super::filters::Blocking;
use super::judged::FirstDue;
use super::returns::Evidence;
use super::sorter::{Content, ShareTree};
use super::view::Views;

/// How many clients a role must have for it to be worth looking at their bits.
const CLIENTS_MIN: usize = if cfg!(test) { 2 } else { 64 };

/// How many of those that have been due longest are compared with each other; of more, the first in
/// the order is near.
const LONGEST_MAX: usize = if cfg!(test) { 4 } else { 16 };

/// Who stands behind those who use what they are offered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Behind {
    /// A client under a role.
    Client(u32, u32),
    /// All clients of a leaf, under its role.
    Leaf(u32, u32),
}

impl Cursor<'_> {
    /// Goes through a leaf at once, if nobody there uses what the agent has. Notes who has been due
    /// longest to be asked again. False when the clients are to be gone through one by one.
    pub(super) fn pass_over(
        &mut self,
        (leaf, role): (u32, u32),
        order: &[u32],
        views: &mut Views<'_>,
        around: &mut Surroundings<'_>,
    ) -> bool {
        if self.regard != Regard::Whole || self.at > 0 || order.len() < CLIENTS_MIN {
            return false;
        }
        let (agent, blocking) = (views.agent(), views.whole().blocking.clone());
        let active = around.roles.active(role);
        let few = unrefused(role, FEW, views, around);
        let Some(judged) = around.demand.judged(agent.kind) else {
            return false;
        };
        let mut stand_behind = 0;
        for at in 0..active.word_count() {
            let (here, known) = (active.word(at), judged.known_word(at));
            let others = here & !known;
            if others != 0 && others & !agent.filters.blocked_word(&blocking, at) != 0 {
                return false;
            }
            stand_behind += (here & known).count_ones() as usize;
        }
        let few = few.as_deref();
        let (due, first) = due_longest((leaf, role, order), few, (agent, &blocking), around);
        if let Some(first) = first {
            around.demand.note_first_due(agent.kind, leaf, first);
        }
        let mut may_be =
            |(_, client): (Instant, u32)| consider(client, role, views, around).is_none();
        if due.is_some_and(|due| !may_be(due)) {
            return false;
        }
        debug_assert_eq!(due, one_by_one(role, order, views, around), "who is due");
        if let Some((since, client)) = due
            && self.due.is_none_or(|(longest, _)| since < longest)
        {
            self.due = Some((since, (client, role)));
        }
        around.report.stood_behind += stand_behind;
        self.behind.push(Behind::Leaf(leaf, role));
        self.at = order.len();
        true
    }

    /// The first of those that stand behind, in order, that may be offered something.
    pub(super) fn first_behind(
        &mut self,
        views: &mut Views<'_>,
        around: &mut Surroundings<'_>,
    ) -> Option<(u32, u32)> {
        let behind = std::mem::take(&mut self.behind);
        let tree = around.roles.tree();
        for (at, one) in behind.iter().enumerate() {
            let found = match *one {
                Behind::Client(client, role) => {
                    let may = consider(client, role, views, around).is_none();
                    may.then_some((client, role))
                }
                // What it is offered is everything: nobody of the leaf comes after it.
                Behind::Leaf(leaf, role) => {
                    let mut clients = clients_of(tree, tree.in_order(leaf)).map(|one| (one, role));
                    clients.find(|(client, _)| consider(*client, role, views, around).is_none())
                }
            };
            if found.is_some() {
                self.behind = behind[at + 1..].to_vec();
                return found;
            }
        }
        None
    }
}

/// The clients that these nodes of a leaf stand for.
fn clients_of(tree: &ShareTree, nodes: &[u32]) -> impl Iterator<Item = u32> {
    nodes.iter().filter_map(|node| match tree.content(*node) {
        Content::Client(client) => Some(client),
        Content::Branch | Content::Leaf(_) => None,
    })
}

/// Who of a leaf has been due longest, and since when; of several the first in order. Of very many
/// also where the first of them stands.
fn due_longest(
    (leaf, role, order): (u32, u32, &[u32]),
    unrefused: Option<&[u32]>,
    (agent, blocking): (&Agent, &Blocking),
    around: &Surroundings<'_>,
) -> (Option<(Instant, u32)>, Option<FirstDue>) {
    let tree = around.roles.tree();
    let Some(judged) = around.demand.judged(agent.kind) else {
        return (None, None);
    };
    let standing = |client: &u32| tree.standing(around.clients[*client].node);
    let in_order = |a: &u32, b: &u32| standing(a).compare(standing(b));
    if let Some(few) = unrefused {
        let due = few.iter();
        let due = due.filter_map(|client| Some((judged.due_since(*client)?, *client)));
        let first = |(since, a): &(Instant, u32), (other, b): &(Instant, u32)| {
            since.cmp(other).then_with(|| in_order(a, b))
        };
        return (due.min_by(first), None);
    }
    let active = around.roles.active(role);
    let may = |client| active.contains(client) && !agent.filters.is_blocked(blocking, client);
    let Some((since, longest)) = judged.due_longest(may, LONGEST_MAX) else {
        return (None, None);
    };
    if longest.len() < LONGEST_MAX {
        let first = longest.into_iter().min_by(in_order);
        return (first.map(|client| (since, client)), None);
    }
    // Those that were asked stay in front for as long as their shares are small.
    let from = around.demand.first_due(agent.kind, leaf, since);
    let before = |node: &u32| from.is_some_and(|from| tree.standing(*node).precedes(from));
    let order = &order[order.partition_point(before)..];
    let mut due = clients_of(tree, order)
        .filter(|client| judged.due_since(*client) == Some(since))
        .peekable();
    let first = due.peek().map(|client| (since, standing(client).clone()));
    let found = due.find(|client| may(*client));
    (found.map(|client| (since, client)), first)
}

/// Who has been due longest, found the simple way: for debug builds. Counts nothing.
fn one_by_one(
    role: u32,
    order: &[u32],
    views: &mut Views<'_>,
    around: &mut Surroundings<'_>,
) -> Option<(Instant, u32)> {
    let report = around.report.clone();
    let mut longest: Option<(Instant, u32)> = None;
    for client in clients_of(around.roles.tree(), order) {
        if let Evidence::Due(since) = around.demand.verdict(client, views.agent().kind)
            && longest.is_none_or(|(before, _)| since < before)
            && consider(client, role, views, around).is_none()
        {
            longest = Some((since, client));
        }
    }
    *around.report = report;
    longest
}
