//! What roles consume of the cluster, and what quota leaves them: kept up to date with each change,
//! never summed up in a pass.
//!
//! A role consumes what is reserved to it or to roles below it, used or not, and what is offered or
//! allocated to them of the rest, unless it is revocable. A role is *owed* the part of its guarantee
//! that it does not consume, but at least what the roles below it are owed. What all top-level roles
//! are owed is held back from everybody else.

use std::collections::BTreeMap;

use crate::roles::Role;

use super::bits::BitSet;
use super::slots::Slots;
use super::sorter::Amounts;

/// The quota of a role by resource number.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    pub(super) guarantees: Amounts,
    /// Zero is a limit too.
    pub(super) limits: Vec<(usize, u128)>,
}

/// A role that consumes something, has quota, or has frameworks, or is above one that does.
#[derive(Clone, Debug)]
struct Account {
    role: Role,
    parent: Option<u32>,
    /// Accounts below, clients, and quota.
    uses: u32,
    terms: Terms,
    consumed: Amounts,
    owed: Amounts,
    /// What the accounts below are owed in sum.
    owed_below: Amounts,
    /// True when a limit has kept something from somebody since there was more room last.
    cut: bool,
}

/// What a pass may give away of the resources that quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// What the role is owed, and what nobody is owed.
    Owed,
    /// What nobody is owed.
    Surplus,
}

/// Why somebody sees less than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// By the limit of this account on this resource.
    Limit(u32, usize),
    /// This resource is held back for what roles are owed.
    Held(usize),
}

/// The accounts of all roles, and what the agents have free.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    accounts: Slots<Account>,
    slots: BTreeMap<Role, u32>,
    /// How many accounts have quota.
    quotas: usize,
    /// What the top-level roles are owed in sum.
    owed: Amounts,
    /// What active agents have available of what quota counts.
    free: Amounts,
    /// By agent: its part of `free`.
    free_on: Vec<Amounts>,
    /// By agent: what is reserved there.
    reserved_on: Vec<Vec<(u32, Amounts)>>,
    /// Agents that have something reserved or special available.
    uneven: BitSet,
    /// True when something was held back since more became free last.
    held: bool,
    /// True when somebody may be given more than before.
    eased: bool,
    /// Top-level accounts of which something has changed.
    changed: Vec<u32>,
}

impl Ledger {
    /// The account of a role; opened if there is none.
    pub(super) fn open(&mut self, role: &Role) -> u32 {
        if let Some(slot) = self.slots.get(role) {
            return *slot;
        }
        let parent = role.parent().map(|parent| self.open(&parent));
        if let Some(parent) = parent {
            self.accounts[parent].uses += 1;
        }
        let slot = self.accounts.insert(Account {
            role: role.clone(),
            parent,
            uses: 0,
            terms: Terms::default(),
            consumed: Amounts::default(),
            owed: Amounts::default(),
            owed_below: Amounts::default(),
            cut: false,
        });
        self.slots.insert(role.clone(), slot);
        slot
    }

    /// Closes an account that nothing keeps open.
    fn close(&mut self, slot: u32) {
        let account = &self.accounts[slot];
        if account.uses > 0 || !account.consumed.is_zero() {
            return;
        }
        let account = self.accounts.remove(slot);
        self.slots.remove(&account.role);
        if let Some(parent) = account.parent {
            self.accounts[parent].uses -= 1;
            self.close(parent);
        }
    }

    /// The account of a role that somebody uses from now on.
    pub(super) fn join(&mut self, role: &Role) -> u32 {
        let slot = self.open(role);
        self.accounts[slot].uses += 1;
        self.changed.push(self.top(slot));
        slot
    }

    /// Somebody uses the account of a role no longer.
    pub(super) fn leave(&mut self, role: &Role) {
        let slot = self.slots[role];
        self.accounts[slot].uses -= 1;
        self.close(slot);
    }

    fn top(&self, slot: u32) -> u32 {
        let mut at = slot;
        while let Some(parent) = self.accounts[at].parent {
            at = parent;
        }
        at
    }

    /// The account of a role, if there is one.
    pub(super) fn find(&self, role: &Role) -> Option<u32> {
        self.slots.get(role).copied()
    }

    /// The role of an account that is still there.
    pub(super) fn role(&self, slot: u32) -> Option<&Role> {
        Some(&self.accounts.get(slot)?.role)
    }

    /// The quota of an account.
    pub(super) fn terms(&self, slot: u32) -> &Terms {
        &self.accounts[slot].terms
    }

    /// What a role consumes.
    pub(super) fn consumed(&self, slot: u32) -> &Amounts {
        &self.accounts[slot].consumed
    }

    /// What all roles are owed.
    pub(super) fn owed(&self) -> &Amounts {
        &self.owed
    }

    /// What active agents have available of what quota counts.
    pub(super) fn free(&self) -> &Amounts {
        &self.free
    }

    /// The top-level roles that are owed something of a resource.
    pub(super) fn owed_of(&self, number: usize) -> Vec<Role> {
        let tops = self.accounts.iter().map(|(_, account)| account);
        let owed = tops.filter(|a| a.parent.is_none() && a.owed.get(number) > 0);
        let mut roles: Vec<Role> = owed.map(|account| account.role.clone()).collect();
        roles.sort();
        roles
    }

    /// True when no role has quota.
    pub(super) const fn is_without_quota(&self) -> bool {
        self.quotas == 0
    }

    /// Sets, changes or, with `None`, removes the quota of a role.
    pub(super) fn set_terms(&mut self, role: &Role, terms: Option<Terms>) {
        let slot = self.open(role);
        let had = self.has_quota(slot);
        let has = terms.is_some();
        self.accounts[slot].terms = terms.unwrap_or_default();
        let account = &mut self.accounts[slot];
        account.uses = account.uses + u32::from(has) - u32::from(had);
        self.quotas = self.quotas + usize::from(has) - usize::from(had);
        self.change(slot, |_| {});
        self.eased = true;
        self.close(slot);
    }

    fn has_quota(&self, slot: u32) -> bool {
        let terms = &self.accounts[slot].terms;
        !terms.limits.is_empty() || !terms.guarantees.is_zero()
    }

    /// Changes what an account and those above it consume, and what they are owed. Says whether
    /// one is owed less than before, and whether one is owed more.
    fn change(&mut self, slot: u32, change: impl Fn(&mut Amounts)) -> (bool, bool) {
        let (mut less, mut more) = (false, false);
        let mut at = slot;
        loop {
            let account = &mut self.accounts[at];
            change(&mut account.consumed);
            let own = account.terms.guarantees.minus(&account.consumed);
            let owed = own.larger(&account.owed_below);
            let before = std::mem::replace(&mut account.owed, owed);
            let parent = account.parent;
            let owed = &self.accounts[at].owed;
            if before != *owed {
                let owed = owed.clone();
                less |= !owed.contains(&before);
                more |= !before.contains(&owed);
                let sum = match parent {
                    Some(parent) => &mut self.accounts[parent].owed_below,
                    None => &mut self.owed,
                };
                sum.subtract(&before);
                sum.add(&owed);
            }
            match parent {
                Some(parent) => at = parent,
                None => break,
            }
        }
        self.changed.push(at);
        (less, more)
    }

    /// A role consumes more, and no pass gave it that.
    pub(super) fn consume(&mut self, slot: u32, amounts: &Amounts) {
        let (less_is_owed, _) = self.change(slot, |consumed| consumed.add(amounts));
        self.eased |= self.held && less_is_owed;
    }

    /// A pass has given a role something that an agent had free.
    pub(super) fn grant(&mut self, slot: u32, agent: u32, amounts: &Amounts) {
        self.free_on[agent as usize].subtract(amounts);
        self.free.subtract(amounts);
        self.change(slot, |consumed| consumed.add(amounts));
        self.check_limits(slot, amounts);
    }

    /// A role consumes less.
    pub(super) fn give_back(&mut self, slot: u32, amounts: &Amounts) {
        let mut at = Some(slot);
        while let Some(account) = at.and_then(|at| self.accounts.get_mut(at)) {
            self.eased |= std::mem::take(&mut account.cut);
            at = account.parent;
        }
        let (_, more_is_owed) = self.change(slot, |consumed| consumed.subtract(amounts));
        // What is held back can go to whoever it is held back for.
        self.eased |= self.held && more_is_owed;
        self.close(slot);
    }

    /// Takes over what is reserved on an agent.
    pub(super) fn set_reserved(&mut self, agent: u32, reserved: Vec<(Role, Amounts)>) {
        let at = agent as usize;
        if at >= self.reserved_on.len() {
            self.reserved_on.resize(at + 1, Vec::new());
        }
        let now: Vec<(u32, Amounts)> = reserved
            .into_iter()
            .map(|(role, amounts)| (self.open(&role), amounts))
            .collect();
        for (slot, amounts) in &now {
            self.consume(*slot, amounts);
        }
        for (slot, amounts) in std::mem::replace(&mut self.reserved_on[at], now) {
            self.give_back(slot, &amounts);
        }
    }

    /// Takes over what an agent has free, and whether everybody sees all of it.
    pub(super) fn set_free(&mut self, agent: u32, free: Amounts, uneven: bool) {
        let at = agent as usize;
        if at >= self.free_on.len() {
            self.free_on.resize(at + 1, Amounts::default());
        }
        self.uneven.set(agent, uneven);
        let before = std::mem::replace(&mut self.free_on[at], free);
        let free = &self.free_on[at];
        self.eased |= self.held && !before.contains(free);
        self.free.add(free);
        self.free.subtract(&before);
    }

    /// True when some agent has something that not everybody sees.
    pub(super) fn has_uneven(&self) -> bool {
        !self.uneven.is_empty()
    }

    /// Notes that somebody saw less than there is.
    pub(super) fn note(&mut self, cut: Cut) {
        match cut {
            Cut::Limit(slot, _) => self.accounts[slot].cut = true,
            Cut::Held(_) => self.held = true,
        }
    }

    /// True, once, when somebody may be given more than before.
    pub(super) fn take_eased(&mut self) -> bool {
        let eased = std::mem::take(&mut self.eased);
        if eased {
            self.held = false;
        }
        eased
    }

    /// Top-level accounts of which something has changed since this was asked.
    pub(super) fn take_changed(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.changed)
    }

    /// True when a role is owed something.
    pub(super) fn is_owed(&self, slot: u32) -> bool {
        !self.accounts[slot].owed.is_zero()
    }

    /// True when the limits of a role leave no bundle worth an offer. Notes it: room that comes
    /// later is a reason for a pass.
    pub(super) fn is_closed(&mut self, slot: u32, smallest: &[Amounts]) -> bool {
        let account = &self.accounts[slot];
        let impossible = |least: &Amounts| {
            account.terms.limits.iter().any(|(number, limit)| {
                limit.saturating_sub(account.consumed.get(*number)) < least.get(*number)
            })
        };
        let closed = !smallest.is_empty() && smallest.iter().all(impossible);
        self.accounts[slot].cut |= closed;
        closed
    }

    /// The account and those above it, each with what others below it are owed.
    fn chain(&self, slot: u32) -> impl Iterator<Item = (u32, &Account, Amounts)> {
        let mut below: Option<u32> = None;
        let mut next = Some(slot);
        std::iter::from_fn(move || {
            let at = next?;
            let account = &self.accounts[at];
            let others = match below {
                Some(child) => account.owed_below.minus(&self.accounts[child].owed),
                None => account.owed_below.clone(),
            };
            (below, next) = (Some(at), account.parent);
            Some((at, account, others))
        })
    }

    /// What a role is owed and can be given without taking what others below the same roles are
    /// owed.
    fn due(&self, slot: u32) -> Amounts {
        self.chain(slot)
            .map(|(_, account, others)| {
                let open = account.terms.guarantees.minus(&account.consumed);
                open.minus(&others)
            })
            .fold(Amounts::default(), |most, due| most.larger(&due))
    }

    /// True when an agent has some of what a role is owed, within its limits.
    pub(super) fn can_be_paid(&self, slot: u32, agent: u32) -> bool {
        let (due, free) = (self.due(slot), &self.free_on[agent as usize]);
        let mut owed = due.iter().filter(|(_, amount)| *amount > 0);
        owed.any(|(number, _)| free.get(number) > 0 && self.room(slot, number).0 > 0)
    }

    /// How much of a resource the limits of a role and of those above it leave, and whose limit it
    /// is.
    fn room(&self, slot: u32, number: usize) -> (u128, Option<u32>) {
        let mut least = (u128::MAX, None);
        for (at, account, others) in self.chain(slot) {
            let limit = account.terms.limits.iter().find(|(of, _)| *of == number);
            let Some((_, limit)) = limit else {
                continue;
            };
            let used = account.consumed.get(number) + others.get(number);
            let room = limit.saturating_sub(used);
            if room < least.0 {
                least = (room, Some(at));
            }
        }
        least
    }

    /// The most of each of these amounts that a role may be given, where that is less, and why.
    pub(super) fn cuts(
        &self,
        slot: u32,
        right: Right,
        wanted: &Amounts,
    ) -> Vec<(usize, u128, Cut)> {
        let due = match right {
            Right::Owed => self.due(slot),
            Right::Surplus => Amounts::default(),
        };
        let mut cuts = Vec::new();
        for (number, amount) in wanted.iter().filter(|(_, amount)| *amount > 0) {
            let (room, whose) = self.room(slot, number);
            let owed = self.owed.get(number);
            let surplus = match owed {
                0 => u128::MAX,
                owed => self.free.get(number).saturating_sub(owed) + due.get(number),
            };
            if amount <= room.min(surplus) {
                continue;
            }
            let cut = match whose {
                Some(whose) if room <= surplus => Cut::Limit(whose, number),
                _ => Cut::Held(number),
            };
            cuts.push((number, room.min(surplus), cut));
        }
        cuts
    }

    /// Panics when what was just given passes a limit of the role or of one above it.
    fn check_limits(&self, slot: u32, given: &Amounts) {
        for (_, account, _) in self.chain(slot) {
            for (number, limit) in &account.terms.limits {
                assert!(
                    given.get(*number) == 0 || account.consumed.get(*number) <= *limit,
                    "role {} is given more than its limit",
                    account.role
                );
            }
        }
    }

    /// What every role consumes, for comparison with what it should.
    pub(super) fn consumption(&self) -> BTreeMap<Role, Amounts> {
        let used = self.accounts.iter().filter(|(_, a)| !a.consumed.is_zero());
        used.map(|(_, account)| (account.role.clone(), account.consumed.clone()))
            .collect()
    }

    /// Panics when sums are wrong.
    pub(super) fn check_invariants(&self) {
        let mut owed = Amounts::default();
        let mut quotas = 0;
        for (slot, account) in self.accounts.iter() {
            assert_eq!(self.slots.get(&account.role), Some(&slot));
            assert!(account.uses > 0 || !account.consumed.is_zero());
            let mut below = Amounts::default();
            for (_, child) in self.accounts.iter().filter(|(_, c)| c.parent == Some(slot)) {
                below.add(&child.owed);
            }
            assert!(below == account.owed_below, "owed below {}", account.role);
            let own = account.terms.guarantees.minus(&account.consumed);
            assert!(
                own.larger(&below) == account.owed,
                "owed to {}",
                account.role
            );
            if account.parent.is_none() {
                owed.add(&account.owed);
            }
            quotas += usize::from(self.has_quota(slot));
        }
        assert_eq!(self.slots.len(), self.accounts.len());
        assert_eq!(self.quotas, quotas);
        assert!(owed == self.owed, "owed in all");
        let mut free = Amounts::default();
        self.free_on.iter().for_each(|agent| free.add(agent));
        assert!(free == self.free, "free in all");
    }
}
