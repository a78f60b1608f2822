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
    pub(super) available_amounts: Amounts,
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
    /// What a framework must be capable of to be offered all that is available.
    pub(super) special: Capabilities,
    /// True when something available is reserved.
    pub(super) has_reserved: bool,
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
            available_amounts: Amounts::default(),
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
            special: Capabilities::default(),
            has_reserved: false,
            filters: AgentFilters::default(),
        }
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
    pub(super) fn held_by(&self, client: u32) -> Option<&Resources> {
        let at = self.find_holder(client).ok()?;
        Some(&self.holders[at].1)
    }

    /// Gives a client more than it has here. What is available is to be settled.
    pub(super) fn hold(&mut self, client: u32, more: Bundle) {
        match self.find_holder(client) {
            Ok(at) => self.holders[at].1.to_mut().add_all(&more),
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
        self.available = available.into();
        self.available_amounts = kinds.amounts(&self.available);
        self.describe();
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
    pub(super) fn convert_held(&mut self, client: u32, conversion: &Conversion) {
        let at = self.find_holder(client);
        let held = at.ok().map(|at| &mut self.holders[at].1);
        let after = held.as_deref().and_then(|held| held.convert(conversion));
        let (Some(held), Some(after)) = (held, after) else {
            panic!(
                "{conversion:?} on agent {} converts what is held there",
                self.id
            );
        };
        *held = after.into();
    }

    /// Notes what matters of what is available.
    fn describe(&mut self) {
        self.has_reserved = self.available.iter().any(Resource::is_reserved);
        self.special = self
            .available
            .iter()
            .map(needed_for)
            .fold(Capabilities::default(), Capabilities::union);
    }

    /// Makes more available, as if it were given back.
    pub(super) fn free(&mut self, more: &Resources, kinds: &mut Kinds) {
        self.available.to_mut().add_all(more);
        self.available_amounts = kinds.amounts(&self.available);
        self.describe();
    }

    /// Hands everything available to a client, and says what and how much it was.
    pub(super) fn grant_all(&mut self, client: u32, kinds: &mut Kinds) -> Amounts {
        let granted = std::mem::take(&mut self.available);
        let mut amounts = std::mem::take(&mut self.available_amounts);
        if self.shares {
            amounts = kinds.amounts(&self.counting(client, &granted, false));
        }
        self.hold(client, granted);
        self.has_reserved = false;
        self.special = Capabilities::default();
        amounts
    }

    /// Hands a part of what is available to a client, and says how much it was.
    pub(super) fn grant(&mut self, client: u32, granted: Bundle, kinds: &mut Kinds) -> Amounts {
        assert!(
            self.available.contains(&granted),
            "agent {} has {granted:?} available",
            self.id
        );
        let mut amounts = kinds.amounts(&granted);
        self.available.to_mut().subtract_all(&granted);
        self.available_amounts.subtract(&amounts);
        self.describe();
        if self.shares {
            amounts = kinds.amounts(&self.counting(client, &granted, false));
        }
        self.hold(client, granted);
        amounts
    }

    /// Takes resources back from a client, and says whether it holds nothing more here.
    pub(super) fn recover(
        &mut self,
        client: u32,
        resources: Resources,
        amounts: &Amounts,
        kinds: &mut Kinds,
    ) -> (Bundle, bool) {
        let Ok(at) = self.find_holder(client) else {
            panic!("{resources} recovered on agent {} are held there", self.id);
        };
        let held = &mut self.holders[at].1;
        let all = **held == resources;
        let back: Bundle = if all {
            self.holders.remove(at).1
        } else {
            assert!(
                held.contains(&resources),
                "{resources} recovered on agent {} are held there: only {held:?} are",
                self.id
            );
            held.to_mut().subtract_all(&resources);
            resources.into()
        };
        if self.overcommitted || self.shares {
            self.settle(kinds);
            return (back, all);
        }
        if self.available.is_empty() {
            self.available = back.clone();
        } else {
            self.available.to_mut().add_all(&back);
        }
        self.available_amounts.add(amounts);
        self.describe();
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
            self.available_amounts == kinds.amounts(&self.available),
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
fn needed_for(item: &Resource) -> Capabilities {
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
