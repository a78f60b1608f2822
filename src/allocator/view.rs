//! What frameworks see of an agent: the part of its available resources that a role and a set of
//! capabilities may be offered, and which refused bundles contain it.

use crate::resources::{Resource, ResourceName, Resources, Value};
use crate::roles::Role;

use super::agent::{Agent, is_visible};
use super::bundle::Bundle;
use super::filters::Blocking;
use super::framework::Capabilities;
use super::ledger::{Cut, Ledger, Right};
use super::role_tree::RoleTree;
use super::sorter::{Kinds, counts_for_quota, scalar};

/// How many thousandths a unit has.
const UNIT: u128 = 1000;

/// One part of what an agent has available.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// True when it is all that the agent has available.
    pub(super) is_whole: bool,
    pub(super) resources: Bundle,
    /// The refused bundles of the agent that contain all of it.
    pub(super) blocking: Blocking,
    /// Why it is less than what the agent has available, if quota is the reason.
    pub(super) cut: Option<Cut>,
}

impl View {
    fn whole(agent: &Agent) -> Self {
        Self {
            is_whole: true,
            resources: agent.available.clone(),
            blocking: agent.filters.blocking(&agent.available),
            cut: None,
        }
    }

    fn part(agent: &Agent, role: &Role, capabilities: Capabilities, kinds: &mut Kinds) -> Self {
        let visible = |item: &_| is_visible(item, role, capabilities);
        let resources = Bundle::of(agent.available.filter(visible), kinds);
        Self {
            blocking: agent.filters.blocking(&resources),
            resources,
            is_whole: false,
            cut: None,
        }
    }

    /// The view with no more of each resource than quota leaves.
    fn cut(&self, agent: &Agent, cuts: &[(usize, u128, Cut)], kinds: &mut Kinds) -> Self {
        let most = cuts.iter().map(|(number, most, _)| (*number, *most));
        let part = cut(&self.resources, most.collect(), kinds);
        let resources = Bundle::of(part, kinds);
        Self {
            blocking: agent.filters.blocking(&resources),
            resources,
            is_whole: false,
            cut: cuts.first().map(|(_, _, cut)| *cut),
        }
    }
}

/// Takes no more than `most` of each resource that quota counts, and the others as they are. What
/// cannot be divided is taken as a whole or not at all.
fn cut(resources: &Resources, mut most: Vec<(usize, u128)>, kinds: &mut Kinds) -> Resources {
    let portion = |item: &Resource| {
        let Some(amount) = counts_for_quota(item) else {
            return Some(item.clone());
        };
        let number = kinds.number(item.name());
        let Some((_, left)) = most.iter_mut().find(|(of, _)| *of == number) else {
            return Some(item.clone());
        };
        let amount = u128::try_from(amount.thousandths()).unwrap_or(0);
        if amount <= *left {
            *left -= amount;
            return Some(item.clone());
        }
        let exclusive = item.disk().is_some_and(|disk| disk.is_exclusive());
        let taken = match exclusive {
            true => 0,
            false if *item.name() == ResourceName::GPUS => *left - *left % UNIT,
            false => *left,
        };
        *left -= taken;
        (taken > 0).then(|| item.clone().with_value(Value::Scalar(scalar(taken))))
    };
    resources.iter().filter_map(portion).collect()
}

/// What quota says on a visit.
#[derive(Clone, Copy, Debug)]
pub(super) struct QuotaRule<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) roles: &'a RoleTree,
    pub(super) right: Right,
}

/// True when everybody sees everything that the agent has available.
pub(super) fn is_plain(agent: &Agent) -> bool {
    agent.available.is_plain()
}

/// The views of one agent that were asked for during a visit.
#[derive(Debug)]
pub(super) struct Views<'a> {
    agent: &'a Agent,
    rule: Option<QuotaRule<'a>>,
    whole: Option<View>,
    /// The number of the role that `parts` are of: roles are gone through one by one.
    role: u32,
    /// By those capabilities that make a difference on this agent.
    parts: Vec<(Capabilities, View)>,
}

impl<'a> Views<'a> {
    /// No views yet; a rule when any role has quota.
    pub(super) const fn of(agent: &'a Agent, rule: Option<QuotaRule<'a>>) -> Self {
        Self {
            agent,
            rule,
            whole: None,
            role: 0,
            parts: Vec::new(),
        }
    }

    /// Whose views these are.
    pub(super) const fn agent(&self) -> &'a Agent {
        self.agent
    }

    /// True when everybody sees everything that is available.
    pub(super) fn is_uniform(&self) -> bool {
        self.rule.is_none() && is_plain(self.agent)
    }

    /// Everything that the agent has available.
    pub(super) fn whole(&mut self) -> &View {
        self.whole.get_or_insert_with(|| View::whole(self.agent))
    }

    /// What frameworks of this role with these capabilities see.
    pub(super) fn get(
        &mut self,
        (number, role): (u32, &Role),
        capabilities: Capabilities,
        kinds: &mut Kinds,
    ) -> &View {
        if self.is_uniform() {
            return self.whole();
        }
        if number != self.role {
            self.parts.clear();
            self.role = number;
        }
        let capabilities = capabilities.both(self.agent.available.special());
        let known = self.parts.iter().position(|(c, _)| *c == capabilities);
        let at = match known {
            Some(at) => at,
            None => {
                let view = self.make((number, role), capabilities, kinds);
                self.parts.push((capabilities, view));
                self.parts.len() - 1
            }
        };
        &self.parts[at].1
    }

    fn make(
        &mut self,
        (number, role): (u32, &Role),
        capabilities: Capabilities,
        kinds: &mut Kinds,
    ) -> View {
        let (agent, rule) = (self.agent, self.rule);
        let plain = is_plain(agent);
        let view = if plain {
            self.whole().clone()
        } else {
            View::part(agent, role, capabilities, kinds)
        };
        let Some(rule) = rule else {
            return view;
        };
        let account = rule.roles.account(number);
        let account = account.expect("roles with frameworks have accounts while there is quota");
        let cuts = if plain {
            rule.ledger
                .cuts(account, rule.right, view.resources.amounts())
        } else {
            let wanted = kinds.quota_amounts(&view.resources);
            rule.ledger.cuts(account, rule.right, &wanted)
        };
        if cuts.is_empty() {
            view
        } else {
            view.cut(agent, &cuts, kinds)
        }
    }
}
