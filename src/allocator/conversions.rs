//! Operations that convert resources: what is held or available becomes something else of the same
//! amount, and the agent's total with it.

use crate::base::{AgentId, FrameworkId};
use crate::resources::{Conversion, Resource, Resources};

use super::core::Allocator;

impl Allocator {
    /// Converts what a framework has on an agent, offered to it or in use; `conversion` is allocated
    /// to one role. Nothing happens when framework or agent are not known.
    ///
    /// # Panics
    /// If the framework or the agent's total does not have what is consumed.
    pub fn convert_allocated(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        conversion: &Conversion,
    ) {
        let Some(slot) = self.agent_slots.get(agent).copied() else {
            return;
        };
        let role = conversion.consumed.allocated_role();
        let Some(number) = role.and_then(|role| self.known_client(framework, role)) else {
            return;
        };
        let unallocated = Conversion {
            consumed: conversion.consumed.unallocated(),
            converted: conversion.converted.unallocated(),
        };
        let of_total = conversion.of_total();
        if self.is_relabelling(slot, &unallocated) {
            // As much becomes something else of the total as of what is held: what is left of it,
            // and how much everybody has, stays.
            let record = &mut self.agents[slot];
            record.convert_held(number, &unallocated, &mut self.kinds);
            let has = record.total.convert_here(&of_total);
            assert!(has, "agent {agent} has what {conversion:?} consumes");
            self.consume(number, &unallocated.converted);
            self.consume_less(number, &unallocated.consumed);
            self.count_reserved(slot, false);
            return;
        }
        let node = self.clients[number].node;
        let held = self.agents[slot].held_by(number).cloned();
        let held = held.unwrap_or_default();
        self.count_still(number, slot, &held);
        self.roles.discharge(node, held.amounts());
        self.agents[slot].convert_held(number, &unallocated, &mut self.kinds);
        let held = self.agents[slot].held_by(number).cloned();
        let held = held.unwrap_or_default();
        self.roles.charge(node, held.amounts());
        self.count_once(number, slot, &held);
        self.consume(number, &unallocated.converted);
        self.consume_less(number, &unallocated.consumed);
        let total = self.converted_total(slot, &of_total);
        self.set_total(slot, total);
    }

    /// Whether an operation changes what resources are and not how much there is: RESERVE,
    /// UNRESERVE, CREATE and DESTROY, where nothing is shared.
    fn is_relabelling(&mut self, slot: u32, conversion: &Conversion) -> bool {
        let agent = &self.agents[slot];
        let mut parts = conversion.consumed.iter().chain(&conversion.converted);
        !agent.shares
            && !agent.overcommitted
            && !parts.any(Resource::is_shared)
            && self.kinds.amounts(&conversion.consumed) == self.kinds.amounts(&conversion.converted)
    }

    fn converted_total(&self, slot: u32, conversion: &Conversion) -> Resources {
        let agent = &self.agents[slot];
        let total = agent.total.convert(conversion);
        total.unwrap_or_else(|| panic!("agent {} has what {conversion:?} consumes", agent.id))
    }

    /// Converts what an agent has available, and says whether it has.
    pub fn convert_available(&mut self, agent: &AgentId, conversion: &Conversion) -> bool {
        let Some(slot) = self.agent_slots.get(agent).copied() else {
            return false;
        };
        let record = &self.agents[slot];
        let conversion = conversion.of_total();
        let (shared, single): (Resources, Resources) = (
            conversion.consumed.filter(Resource::is_shared),
            conversion.consumed.filter(|item| !item.is_shared()),
        );
        // What is shared is always available, unless somebody has it.
        let free = record.available.contains(&single)
            && !shared
                .iter()
                .any(|item| record.allocated().contains_one(item));
        let Some(total) = record.total.convert(&conversion).filter(|_| free) else {
            return false;
        };
        self.set_total(slot, total);
        true
    }

    fn set_total(&mut self, slot: u32, total: Resources) {
        let before = self.counting_total(slot);
        self.roles.tree_mut().shrink(&before);
        self.agents[slot].set_total(total, &mut self.kinds);
        let after = self.counting_total(slot);
        self.roles.tree_mut().grow(&after);
        self.count_reserved(slot, false);
        self.settle(slot);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use super::*;
    use crate::allocator::{
        AgentSpec, Allocation, AllocatorConfig, Capability, Filter, FrameworkSpec,
    };
    use crate::base::Instant;
    use crate::resources::{Disk, Persistence, Reservation, Scalar, Volume, parse};
    use crate::roles::Role;

    struct Bench {
        allocator: Allocator,
        now: Instant,
    }

    fn role(text: &str) -> Role {
        Role::parse(text).unwrap()
    }

    fn bag(text: &str) -> Resources {
        parse(text, &Role::DEFAULT).unwrap()
    }

    fn reserve(text: &str, to: &str) -> Conversion {
        let level = Reservation::dynamic(role(to), None);
        Conversion {
            consumed: bag(text),
            converted: bag(text).map(|item| item.reserve(level.clone()).unwrap()),
        }
    }

    fn allocated(conversion: &Conversion, to: &str) -> Conversion {
        Conversion {
            consumed: conversion.consumed.allocate(&role(to)),
            converted: conversion.converted.allocate(&role(to)),
        }
    }

    /// Makes shared volumes of reserved disk.
    fn share(disk: &Resources) -> Conversion {
        let info = Disk {
            persistence: Some(Persistence {
                id: "v".to_owned(),
                principal: None,
            }),
            volume: Some(Volume {
                container_path: "data".to_owned(),
                read_only: false,
            }),
            source: None,
        };
        let volume = |item: Resource| item.with_disk(Some(info.clone())).unwrap();
        Conversion {
            consumed: disk.clone(),
            converted: disk.map(|item| volume(item).with_shared(true).unwrap()),
        }
    }

    impl Bench {
        fn new(total: &str, frameworks: &[(&str, &str)]) -> Self {
            let mut allocator = Allocator::new(AllocatorConfig::default());
            for (id, to) in frameworks {
                let spec = FrameworkSpec {
                    roles: BTreeSet::from([role(to)]),
                    capabilities: [Capability::SharedResources].into_iter().collect(),
                    ..FrameworkSpec::default()
                };
                allocator.add_framework(&FrameworkId::new(*id), &spec, &BTreeMap::new());
            }
            let spec = AgentSpec {
                total: bag(total),
                ..AgentSpec::default()
            };
            allocator.add_agent(AgentId::new("s"), spec, &BTreeMap::new());
            let now = Instant(0);
            Self { allocator, now }
        }

        fn pass(&mut self) -> Vec<Allocation> {
            self.now = self.now.after(Duration::from_secs(2));
            let mut allocations = Vec::new();
            while self.allocator.run(self.now, &mut allocations).more {}
            self.allocator.check_invariants();
            allocations
        }

        fn recover(&mut self, given: &Allocation, filter: Option<Filter>) {
            let (framework, agent) = (&given.framework, &given.agent);
            self.allocator
                .recover(framework, agent, &given.resources, filter, self.now);
            self.allocator.check_invariants();
        }

        fn available(&self) -> Resources {
            self.allocator
                .available(&AgentId::new("s"))
                .unwrap()
                .clone()
        }
    }

    #[test]
    fn a_reservation_of_offered_resources_stays_with_the_role() {
        let mut bench = Bench::new("cpus:4;mem:4096", &[("a", "dev"), ("b", "ops")]);
        let mut given = bench.pass().pop().unwrap();
        let mine = given.role.clone();
        let conversion = reserve("cpus:1", mine.as_str());
        let agent = AgentId::new("s");
        let held = allocated(&conversion, mine.as_str());
        bench
            .allocator
            .convert_allocated(&given.framework, &agent, &held);
        bench.allocator.check_invariants();
        let total = bench.allocator.total(&agent).unwrap();
        assert_eq!(total.reserved(), conversion.converted);
        assert_eq!(total.cpus(), Scalar::whole(4));
        given.resources = given.resources.convert(&held).unwrap();
        bench.recover(&given, None);
        for allocation in bench.pass() {
            let reserved = allocation.resources.reserved();
            assert!(
                reserved.is_empty() || allocation.role == mine,
                "{allocation:?}"
            );
        }
    }

    #[test]
    fn an_operator_converts_only_what_is_free() {
        let mut bench = Bench::new("cpus:4;mem:4096", &[("a", "dev")]);
        let agent = AgentId::new("s");
        let conversion = reserve("cpus:3", "dev");
        let given = bench.pass().pop().unwrap();
        assert!(
            !bench.allocator.convert_available(&agent, &conversion),
            "it is offered"
        );
        bench.recover(&given, None);
        assert!(bench.allocator.convert_available(&agent, &conversion));
        bench.allocator.check_invariants();
        assert!(
            !bench.allocator.convert_available(&agent, &conversion),
            "1 is left"
        );
        assert!(
            bench
                .allocator
                .convert_available(&agent, &conversion.clone().reversed())
        );
        assert_eq!(bench.available(), bag("cpus:4;mem:4096"));
    }

    /// An excluded resource is not in the totals, so it cannot be taken out of them either.
    #[test]
    fn what_is_excluded_from_shares_can_be_converted() {
        let mut bench = Bench::new("cpus:4;mem:4096;disk:10", &[]);
        bench.allocator = Allocator::new(AllocatorConfig {
            excluded_from_shares: [crate::resources::ResourceName::DISK].into(),
            ..AllocatorConfig::default()
        });
        let spec = AgentSpec {
            total: bag("cpus:4;mem:4096;disk:10"),
            ..AgentSpec::default()
        };
        let agent = AgentId::new("s");
        bench
            .allocator
            .add_agent(agent.clone(), spec, &BTreeMap::new());
        let reservation = reserve("disk:10", "dev");
        assert!(bench.allocator.convert_available(&agent, &reservation));
        bench.allocator.check_invariants();
        let back = reservation.reversed();
        assert!(bench.allocator.convert_available(&agent, &back));
        bench.allocator.check_invariants();
    }

    #[test]
    fn a_shared_volume_is_offered_to_everybody_and_counts_once() {
        let mut bench = Bench::new("cpus:4;mem:4096;disk:10", &[("a", "dev"), ("b", "dev")]);
        let agent = AgentId::new("s");
        let reservation = reserve("disk:10", "dev");
        assert!(bench.allocator.convert_available(&agent, &reservation));
        let volume = share(&reservation.converted);
        assert!(bench.allocator.convert_available(&agent, &volume));
        bench.allocator.check_invariants();
        let mut first = bench.pass();
        assert_eq!(first.len(), 1, "in one pass to one of them: {first:?}");
        let first = first.pop().unwrap();
        assert_eq!(first.resources.shared().len(), 1);
        let (kept, back) = (first.resources.shared(), first.resources.nonshared());
        let back = Allocation {
            resources: back,
            ..first.clone()
        };
        let filter = Filter {
            refuse_for: Duration::from_secs(100),
            offer: 0,
        };
        bench.recover(&back, Some(filter));
        let second = bench.pass().pop().unwrap();
        assert_eq!(
            second.resources.shared(),
            kept,
            "while the first one has it"
        );
        let more = allocated(&volume.clone().reversed(), "dev");
        assert!(
            !bench.allocator.convert_available(&agent, &more),
            "it is in use"
        );
        bench.recover(&second, None);
        let rest = Allocation {
            resources: kept,
            ..first
        };
        bench.recover(&rest, None);
        assert!(bench.allocator.convert_available(&agent, &more));
        bench.allocator.check_invariants();
        assert_eq!(bench.available().shared(), Resources::new());
    }

    #[test]
    fn who_has_a_shared_volume_twice_is_charged_once() {
        let mut bench = Bench::new("cpus:4;mem:4096;disk:10", &[("a", "dev")]);
        let agent = AgentId::new("s");
        let reservation = reserve("disk:10", "dev");
        assert!(bench.allocator.convert_available(&agent, &reservation));
        let volume = share(&reservation.converted);
        assert!(bench.allocator.convert_available(&agent, &volume));
        let first = bench.pass().pop().unwrap();
        let part = |resources| Allocation {
            resources,
            ..first.clone()
        };
        bench.recover(&part(first.resources.nonshared()), None);
        let second = bench.pass().pop().unwrap();
        assert_eq!(second.resources.shared().iter().next().unwrap().copies(), 1);
        bench.recover(&second, None);
        bench.recover(&part(first.resources.shared()), None);
        assert_eq!(bench.allocator.allocated(&agent), Some(Resources::new()));
    }
}
