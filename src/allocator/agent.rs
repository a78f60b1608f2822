//! What the allocator knows of an agent.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::attributes::{Attributes, Place};
use crate::base::AgentId;
use crate::resources::{Conversion, Resource, Resources};
use crate::roles::Role;

use super::bundle::Bundle;
use super::core::AllocatorConfig;
use super::filters::AgentFilters;
use super::framework::{Capabilities, Capability};
use super::sorter::{Amounts, Kinds};

/// What the master says of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentSpec {
    /// Everything it has, static reservations included, allocated to nobody.
    pub total: Resources,
    /// What it is like.
    pub attributes: Attributes,
    /// Its host name, for offer constraints.
    pub hostname: Arc<str>,
    /// The region of its fault domain.
    pub region: Option<Arc<str>>,
    /// The zone of its fault domain.
    pub zone: Option<Arc<str>>,
}

/// An agent. `available` is what is left of `total`; what is not there is offered to or allocated
/// to the clients in `holders`.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub(super) id: AgentId,
    /// Of which kind it is, as far as the wishes of frameworks go.
    pub(super) kind: u32,
    pub(super) total: Resources,
    pub(super) total_amounts: Amounts,
    pub(super) available: Bundle,
    /// What each client has, offered or allocated; as in `total`, without allocated roles. Sorted
    /// by client.
    pub(super) holders: Vec<(u32, Bundle)>,
    /// True when the clients hold more than the total: it has shrunk.
    pub(super) overcommitted: bool,
    /// True when something of the total or of what clients hold is shared.
    pub(super) shares: bool,
    pub(super) attributes: Attributes,
    hostname: Arc<str>,
    region: Option<Arc<str>>,
    zone: Option<Arc<str>>,
    pub(super) active: bool,
    /// Whether the whitelist has its host.
    listed: bool,
    /// What a framework must be capable of to be offered anything here.
    pub(super) required: Capabilities,
    pub(super) filters: AgentFilters,
}

impl Agent {
    pub(super) fn new(id: AgentId, kind: u32) -> Self {
        Self {
            id,
            kind,
            total: Resources::new(),
            total_amounts: Amounts::default(),
            available: Bundle::default(),
            holders: Vec::new(),
            overcommitted: false,
            shares: false,
            attributes: Attributes::default(),
            hostname: Arc::default(),
            region: None,
            zone: None,
            active: true,
            listed: true,
            required: Capabilities::default(),
            filters: AgentFilters::default(),
        }
    }

    /// Reads a word of everything that a visit reads, and mixes them.
    pub(super) fn touch(&self) -> u64 {
        let id = self.id.as_str().bytes().next().unwrap_or_default();
        let holder = self.holders.first().map_or(0, |(client, _)| *client);
        let own = u64::from(self.kind) ^ u64::from(self.is_offerable());
        own ^ u64::from(id) ^ u64::from(holder) ^ self.filters.touch()
    }

    /// Everything that is offered or allocated.
    pub(super) fn allocated(&self) -> Resources {
        self.holders.iter().map(|(_, held)| &**held).sum()
    }

    fn find_holder(&self, client: u32) -> Result<usize, usize> {
        self.holders
            .binary_search_by_key(&client, |(holder, _)| *holder)
    }

    /// What a client has here.
    pub(super) fn held_by(&self, client: u32) -> Option<&Bundle> {
        let at = self.find_holder(client).ok()?;
        Some(&self.holders[at].1)
    }

    /// What a client has here.
    pub(super) fn held_by_mut(&mut self, client: u32) -> Option<&mut Bundle> {
        let at = self.find_holder(client).ok()?;
        Some(&mut self.holders[at].1)
    }

    /// Gives a client more than it has here. What is available is to be settled.
    pub(super) fn hold(&mut self, client: u32, more: Bundle, kinds: &mut Kinds) {
        match self.find_holder(client) {
            Ok(at) => {
                let held = &mut self.holders[at].1;
                *held = Bundle::of(&**held + &*more, kinds);
            }
            Err(at) => self.holders.insert(at, (client, more)),
        }
    }

    /// Takes everything from a client. What is available is to be settled.
    pub(super) fn take_all(&mut self, client: u32) -> Option<Bundle> {
        let at = self.find_holder(client).ok()?;
        Some(self.holders.remove(at).1)
    }

    /// What offer constraints look at.
    pub(super) fn place(&self) -> Place<'_> {
        Place {
            attributes: &self.attributes,
            hostname: &self.hostname,
            region: self.region.as_deref(),
            zone: self.zone.as_deref(),
        }
    }

    /// Takes over a total and what it implies. To be settled. Says whether the attributes have
    /// changed.
    pub(super) fn set_spec(
        &mut self,
        spec: AgentSpec,
        config: &AllocatorConfig,
        kinds: &mut Kinds,
    ) -> bool {
        self.total_amounts = kinds.amounts(&spec.total);
        self.total = spec.total;
        self.required = Capabilities::default();
        if config.filter_gpus && !self.total.gpus().is_zero() {
            self.required = self.required.with(Capability::GpuResources);
        }
        let regions = spec.region.as_ref().zip(config.region.as_ref());
        if regions.is_some_and(|(region, home)| region != home) {
            self.required = self.required.with(Capability::RegionAware);
        }
        let changed = self.attributes != spec.attributes;
        self.attributes = spec.attributes;
        (self.hostname, self.region, self.zone) = (spec.hostname, spec.region, spec.zone);
        changed
    }

    /// Takes over another total of the same kind: operations have converted parts of it. To be
    /// settled.
    pub(super) fn set_total(&mut self, total: Resources, kinds: &mut Kinds) {
        self.total_amounts = kinds.amounts(&total);
        self.total = total;
    }

    /// Computes what is available from what is held. What is shared is available however many hold
    /// it; a pass offers it once per visit.
    pub(super) fn settle(&mut self, kinds: &mut Kinds) {
        let allocated = self.allocated();
        let mut all = self.total.iter().chain(&allocated);
        self.shares = all.any(Resource::is_shared);
        let (available, overcommitted) = self.left_of_total(&allocated);
        self.overcommitted = overcommitted;
        self.available = Bundle::of(available, kinds);
    }

    /// max(0, total - allocated) with everything shared, and whether more is allocated than there is.
    fn left_of_total(&self, allocated: &Resources) -> (Resources, bool) {
        if !self.shares {
            return (&self.total - allocated, !self.total.contains(allocated));
        }
        let (total, allocated) = (self.total.nonshared(), allocated.nonshared());
        let mut available = &total - &allocated;
        available.add_all(&self.total.shared());
        (available, !total.contains(&allocated))
    }

    /// The part of `more` that counts anew when a client gets it, or that counts no longer when
    /// `more` goes: all but what is shared and the client has otherwise too.
    pub(super) fn counting(&self, client: u32, more: &Resources, goes: bool) -> Resources {
        let Some(held) = self
            .held_by(client)
            .filter(|_| more.iter().any(Resource::is_shared))
        else {
            return more.clone();
        };
        let otherwise = |item: &Resource| {
            let same = held
                .iter()
                .find(|have| (*have).clone().once() == item.clone().once());
            same.is_some_and(|have| !goes || have.copies() > item.copies())
        };
        more.filter(|item| !item.is_shared() || !otherwise(item))
    }

    /// What a client has here becomes something else. To be settled.
    pub(super) fn convert_held(&mut self, client: u32, conversion: &Conversion, kinds: &mut Kinds) {
        let at = self.find_holder(client);
        let held = at.ok().map(|at| &mut self.holders[at].1);
        let after = held.as_deref().and_then(|held| held.convert(conversion));
        let (Some(held), Some(after)) = (held, after) else {
            panic!(
                "{conversion:?} on agent {} converts what is held there",
                self.id
            );
        };
        *held = Bundle::of(after, kinds);
    }

    /// Makes more available, as if it were given back.
    pub(super) fn free(&mut self, more: &Resources, kinds: &mut Kinds) {
        self.available = Bundle::of(&*self.available + more, kinds);
    }

    /// Hands everything available to a client, and says what of it counts anew.
    pub(super) fn grant_all(&mut self, client: u32, kinds: &mut Kinds) -> Bundle {
        let granted = std::mem::take(&mut self.available);
        self.hand_out(client, granted, kinds)
    }

    /// Hands a part of what is available to a client, and says what of it counts anew.
    pub(super) fn grant(&mut self, client: u32, granted: Bundle, kinds: &mut Kinds) -> Bundle {
        assert!(
            self.available.contains(&granted),
            "agent {} has {granted:?} available",
            self.id
        );
        self.available = Bundle::of(&*self.available - &*granted, kinds);
        self.hand_out(client, granted, kinds)
    }

    fn hand_out(&mut self, client: u32, granted: Bundle, kinds: &mut Kinds) -> Bundle {
        let counting = if self.shares {
            Bundle::of(self.counting(client, &granted, false), kinds)
        } else {
            granted.clone()
        };
        self.hold(client, granted, kinds);
        counting
    }

    /// Takes resources back from a client, and says whether it holds nothing more here.
    pub(super) fn recover(
        &mut self,
        client: u32,
        resources: &Resources,
        kinds: &mut Kinds,
    ) -> (Bundle, bool) {
        let Ok(at) = self.find_holder(client) else {
            panic!("{resources} recovered on agent {} are held there", self.id);
        };
        let held = &mut self.holders[at].1;
        let all = **held == *resources;
        let back: Bundle = if all {
            self.holders.remove(at).1
        } else {
            assert!(
                held.contains(resources),
                "{resources} recovered on agent {} are held there: only {held:?} are",
                self.id
            );
            *held = Bundle::of(&**held - resources, kinds);
            Bundle::of(resources.clone(), kinds)
        };
        if self.overcommitted || self.shares {
            self.settle(kinds);
            return (back, all);
        }
        if self.available.is_empty() {
            self.available = back.clone();
        } else {
            self.available = Bundle::of(&*self.available + &*back, kinds);
        }
        (back, all)
    }

    /// True when a pass can find something here.
    pub(super) fn is_offerable(&self) -> bool {
        self.takes_part() && !self.available.is_empty()
    }

    /// True when it may be offered at all.
    pub(super) fn takes_part(&self) -> bool {
        self.active && self.listed
    }

    /// Looks the agent up in a whitelist, and says whether that changes anything.
    pub(super) fn set_listed(&mut self, whitelist: Option<&BTreeSet<String>>) -> bool {
        let listed = whitelist.is_none_or(|hosts| hosts.contains(&*self.hostname));
        std::mem::replace(&mut self.listed, listed) != listed
    }

    /// What the whitelist says.
    pub(super) fn is_listed(&self) -> bool {
        self.listed
    }

    /// Panics unless available = max(0, total - allocated), what is shared apart: it is available
    /// unless it was offered in this pass.
    pub(super) fn check_invariants(&self, kinds: &mut Kinds) {
        let id = &self.id;
        let allocated = self.allocated();
        let (available, overcommitted) = self.left_of_total(&allocated);
        let (shared, unshared) = (self.available.shared(), self.available.nonshared());
        assert_eq!(unshared, available.nonshared(), "agent {id}: available");
        assert!(
            available.contains(&shared),
            "agent {id}: {shared} is shared"
        );
        assert_eq!(self.overcommitted, overcommitted);
        assert!(
            *self.available.amounts() == kinds.amounts(&self.available),
            "agent {id}: amounts"
        );
        let mut all = self.total.iter().chain(&allocated);
        assert_eq!(self.shares, all.any(Resource::is_shared), "agent {id}");
        assert!(self.holders.iter().all(|(_, held)| !held.is_empty()));
        assert!(self.holders.is_sorted_by(|(a, _), (b, _)| a < b));
        self.filters.check_invariants();
    }
}

/// What a framework must be capable of to be offered this.
pub(super) fn needed_for(item: &Resource) -> Capabilities {
    let needs = [
        (item.is_refined(), Capability::ReservationRefinement),
        (item.is_revocable(), Capability::RevocableResources),
        (item.is_shared(), Capability::SharedResources),
    ];
    let needed = needs.into_iter().filter(|(needs, _)| *needs);
    needed.map(|(_, capability)| capability).collect()
}

/// True when frameworks of `role` with these capabilities may be offered this.
pub(super) fn is_visible(item: &Resource, role: &Role, capabilities: Capabilities) -> bool {
    item.is_allocatable_to(role) && capabilities.covers(needed_for(item))
}
