//! What frameworks see of an agent: the part of its available resources that a role and a set of
//! capabilities may be offered, and which refused bundles contain it.

use std::borrow::Cow;

use crate::roles::Role;

use super::agent::{Agent, is_visible};
use super::bundle::Bundle;
use super::framework::Capabilities;
use super::sorter::{Amounts, Kinds};

/// One part of what an agent has available.
#[derive(Clone, Debug)]
pub(super) struct View<'a> {
    /// True when it is all that the agent has available.
    pub(super) is_whole: bool,
    pub(super) resources: Bundle,
    pub(super) amounts: Cow<'a, Amounts>,
    /// The refused bundles of the agent that contain all of it.
    pub(super) blocking: Vec<u32>,
}

impl<'a> View<'a> {
    fn whole(agent: &'a Agent) -> Self {
        Self {
            is_whole: true,
            resources: agent.available.clone(),
            amounts: Cow::Borrowed(&agent.available_amounts),
            blocking: agent.filters.blocking(&agent.available),
        }
    }

    fn part(
        agent: &Agent,
        role: &Role,
        capabilities: Capabilities,
        kinds: &mut Kinds,
    ) -> View<'static> {
        let visible = |item: &_| is_visible(item, role, capabilities);
        let resources = Bundle::from(agent.available.filter(visible));
        View {
            amounts: Cow::Owned(kinds.amounts(&resources)),
            blocking: agent.filters.blocking(&resources),
            resources,
            is_whole: false,
        }
    }
}

/// True when everybody sees everything that the agent has available.
pub(super) fn is_plain(agent: &Agent) -> bool {
    !agent.has_reserved && agent.special == Capabilities::default()
}

/// The views of one agent that were asked for during a visit.
#[derive(Debug)]
pub(super) struct Views<'a> {
    agent: &'a Agent,
    whole: Option<View<'a>>,
    /// By the role's number and those capabilities that make a difference on this agent.
    parts: Vec<(u32, Capabilities, View<'static>)>,
}

impl<'a> Views<'a> {
    /// No views yet.
    pub(super) const fn of(agent: &'a Agent) -> Self {
        Self {
            agent,
            whole: None,
            parts: Vec::new(),
        }
    }

    /// Whose views these are.
    pub(super) const fn agent(&self) -> &'a Agent {
        self.agent
    }

    /// Everything that the agent has available.
    pub(super) fn whole(&mut self) -> &View<'a> {
        self.whole.get_or_insert_with(|| View::whole(self.agent))
    }

    /// What frameworks of this role with these capabilities see.
    pub(super) fn get(
        &mut self,
        (number, role): (u32, &Role),
        capabilities: Capabilities,
        kinds: &mut Kinds,
    ) -> &View<'a> {
        let agent = self.agent;
        if is_plain(agent) {
            return self.whole();
        }
        let capabilities = capabilities.both(agent.special);
        let known = self
            .parts
            .iter()
            .position(|(n, c, _)| (*n, *c) == (number, capabilities));
        let at = known.unwrap_or_else(|| {
            let view = View::part(agent, role, capabilities, kinds);
            self.parts.push((number, capabilities, view));
            self.parts.len() - 1
        });
        &self.parts[at].2
    }
}
