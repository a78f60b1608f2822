//! What all workloads are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant as Clock};

use mesosd::allocator::{
    AgentSpec, Allocation, Allocator, AllocatorConfig, Capabilities, Capability, Filter,
    FrameworkSpec,
};
use mesosd::attributes::parse as parse_attributes;
use mesosd::base::{AgentId, FrameworkId, Instant};
use mesosd::resources::{Resources, parse};
use mesosd::roles::Role;

use super::results;

/// Mesos' benchmark declines for `INT_MAX` seconds.
pub(crate) const FOR_GOOD: Filter = Filter {
    refuse_for: Duration::from_secs(i32::MAX as u64),
    offer: 0,
};

/// Resources in Mesos' text form.
pub(crate) fn bag(text: &str) -> Resources {
    parse(text, &Role::DEFAULT).expect("the bench's own text")
}

/// An agent's id as a master gives it.
pub(crate) fn agent_id(number: usize) -> AgentId {
    AgentId::new(format!("8e4a9f6e-5c32-4ae1-8e3b-000000000000-S{number}"))
}

/// A framework's id as a master gives it.
pub(crate) fn framework_id(number: usize) -> FrameworkId {
    FrameworkId::new(format!("8e4a9f6e-5c32-4ae1-8e3b-000000000000-{number:04}"))
}

/// A number in the environment.
pub(crate) fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// An allocator, the offers that are out and the time.
pub(crate) struct Workload {
    pub(crate) allocator: Allocator,
    pub(crate) now: Instant,
    pub(crate) offers: Vec<Allocation>,
}

impl Workload {
    pub(crate) fn new(config: AllocatorConfig) -> Self {
        Self {
            allocator: Allocator::new(config),
            now: Instant(0),
            offers: Vec::new(),
        }
    }

    /// Adds a framework that can handle these things.
    pub(crate) fn add_framework(&mut self, number: usize, roles: &[Role], can: &[Capability]) {
        let spec = FrameworkSpec {
            roles: roles.iter().cloned().collect::<BTreeSet<Role>>(),
            capabilities: can.iter().copied().collect::<Capabilities>(),
            ..FrameworkSpec::default()
        };
        let id = framework_id(number);
        self.allocator.add_framework(&id, &spec, &BTreeMap::new());
    }

    /// Adds an agent with what frameworks use on it.
    pub(crate) fn add_agent(
        &mut self,
        number: usize,
        total: &str,
        used: BTreeMap<FrameworkId, Resources>,
    ) {
        self.add_agent_of(number, bag(total), &used);
    }

    /// The same, from resources that have no text form.
    pub(crate) fn add_agent_of(
        &mut self,
        number: usize,
        total: Resources,
        used: &BTreeMap<FrameworkId, Resources>,
    ) {
        let spec = AgentSpec {
            total,
            ..AgentSpec::default()
        };
        self.allocator.add_agent(agent_id(number), spec, used);
    }

    /// Adds an idle agent that is described like this.
    pub(crate) fn add_agent_with(&mut self, number: usize, total: &str, attributes: &str) {
        let spec = AgentSpec {
            total: bag(total),
            attributes: parse_attributes(attributes).expect("the bench's own text"),
            ..AgentSpec::default()
        };
        let id = agent_id(number);
        self.allocator.add_agent(id, spec, &BTreeMap::new());
    }

    /// One pass, all of its slices, so long after the last.
    pub(crate) fn pass(&mut self, later: Duration) -> Duration {
        self.now = self.now.after(later);
        let started = Clock::now();
        while self.allocator.run(self.now, &mut self.offers).more {}
        started.elapsed()
    }

    /// Gives one offer back.
    pub(crate) fn give_back(&mut self, offer: &Allocation, filter: Option<Filter>) {
        self.allocator.recover(
            &offer.framework,
            &offer.agent,
            &offer.resources,
            filter,
            self.now,
        );
    }

    /// Gives one offer back of which nothing was used, as a scheduler's DECLINE does.
    pub(crate) fn decline(&mut self, offer: &Allocation, filter: Filter) {
        let (who, whose) = (&offer.framework, &offer.agent);
        let filter = Some(filter);
        self.allocator
            .decline(who, whose, &offer.resources, filter, self.now);
    }

    /// Gives all offers back.
    pub(crate) fn give_all_back(&mut self, filter: Option<Filter>) {
        for offer in std::mem::take(&mut self.offers) {
            self.give_back(&offer, filter);
        }
    }
}

/// Individual times of one kind of event.
#[derive(Default)]
pub(crate) struct Samples(pub(crate) Vec<Duration>);

impl Samples {
    /// Prints and keeps the distribution.
    pub(crate) fn report(self, id: &str, what: &str) {
        if self.0.is_empty() {
            return;
        }
        // `alloc/decline/1000x100` is the bench `alloc/decline` with the parameters `1000x100`.
        let (bench, parameters) = id.rsplit_once('/').unwrap_or((id, ""));
        match results::times(bench, parameters, Some(what), &self.0) {
            Ok(shown) => println!("{id} {what}: {shown}"),
            Err(error) => eprintln!("{id} {what}: not kept: {error}"),
        }
    }
}
