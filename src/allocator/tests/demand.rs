//! The bounds of the rule in `demand.rs`. As stories: `tests/scenarios/allocator/{demand,picky,
//! big-task}.txt`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use crate::base::{AgentId, Instant};
use crate::quota::Quota;

use super::super::bundle::Bundle;
use super::super::demand::Demand;
use super::super::returns::Evidence;
use super::super::*;
use super::{agent, at, bag, framework, pass, role, spec};

const ATTRIBUTES: [&str; 2] = ["disk:ssd", "disk:hdd"];

fn agent_of(kind: usize, total: &str) -> AgentSpec {
    AgentSpec {
        total: bag(total),
        attributes: crate::attributes::parse(ATTRIBUTES[kind]).unwrap(),
        ..AgentSpec::default()
    }
}

/// Frameworks that own the agents' time: what they are offered, they use for one round.
struct Cluster {
    allocator: Allocator,
    now: Instant,
    idle: u32,
    /// Offers of the last round to users, and to those that want nothing.
    used: usize,
    returned: usize,
}

impl Cluster {
    /// `idle` frameworks that return everything, each with a role of its own, and `users` that
    /// share a role; agents of two kinds, `agents` of each.
    fn new(idle: u32, users: u32, agents: u32) -> Self {
        let mut allocator = Allocator::new(AllocatorConfig::default());
        for number in 0..agents {
            for kind in 0..2 {
                let id = agent(number * 2 + u32::try_from(kind).unwrap());
                let total = agent_of(kind, "cpus:4;mem:400");
                allocator.add_agent(id, total, &BTreeMap::new());
            }
        }
        for number in 0..idle {
            let own = format!("idle{number}");
            allocator.add_framework(&framework(number), &spec(&[&own]), &BTreeMap::new());
        }
        for number in idle..idle + users {
            allocator.add_framework(&framework(number), &spec(&["users"]), &BTreeMap::new());
        }
        Self {
            allocator,
            now: Instant(0),
            idle,
            used: 0,
            returned: 0,
        }
    }

    fn is_idle(&self, offer: &Allocation) -> bool {
        (0..self.idle).any(|number| offer.framework == framework(number))
    }

    /// One round, a second long. Says which idle frameworks were offered which agents.
    fn round(&mut self) -> Vec<(crate::base::FrameworkId, AgentId)> {
        self.now = self.now.after(Duration::from_secs(1));
        (self.used, self.returned) = (0, 0);
        let mut offered = Vec::new();
        for offer in pass(&mut self.allocator, self.now) {
            let (who, whose, what) = (&offer.framework, &offer.agent, &offer.resources);
            if self.is_idle(&offer) {
                self.returned += 1;
                self.allocator.decline(who, whose, what, None, self.now);
                offered.push((who.clone(), whose.clone()));
            } else {
                self.used += 1;
                let roles = [offer.role.clone()].into();
                self.allocator.demand_changed(who, &roles);
                self.allocator.recover(who, whose, what, None, self.now);
            }
        }
        offered
    }
}

fn kind_of(agent: &AgentId) -> usize {
    agent.as_str()[1..].parse::<usize>().unwrap() % 2
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// At most a fourth of the offers of a kind are probes, and whoever comes to want something is
    /// offered every kind within 16 intervals and 4 * (D + 1) visits.
    #[test]
    fn probes_are_few_but_reach_everybody_on_every_kind(
        idle in 1_u32..20,
        users in 1_u32..5,
        agents in 1_u32..6,
    ) {
        let mut cluster = Cluster::new(idle, users, agents);
        // Everybody has returned both kinds after so many rounds, whoever is first.
        let learning = 2 + idle * 2;
        for _ in 0..learning {
            cluster.round();
        }
        let bound = 16 + (4 * (idle + 1)).div_ceil(agents) + 1;
        let mut waited: BTreeMap<(u32, usize), u32> = BTreeMap::new();
        let (mut used, mut returned) = (0, 0);
        for _ in 0..100 {
            let offered = cluster.round();
            (used, returned) = (used + cluster.used, returned + cluster.returned);
            for number in 0..idle {
                for (kind, named) in ATTRIBUTES.iter().enumerate() {
                    let reached = |(who, whose): &(_, AgentId)| {
                        *who == framework(number) && kind_of(whose) == kind
                    };
                    let rounds = waited.entry((number, kind)).or_default();
                    *rounds = if offered.iter().any(reached) { 0 } else { *rounds + 1 };
                    prop_assert!(*rounds <= bound, "f{number} waits for {named}");
                }
            }
        }
        // One probe per kind may come early.
        prop_assert!(4 * returned <= used + returned + 8, "{returned} of {}", used + returned);
    }

    /// The rule never makes a framework wait for what it has not returned the like of: where
    /// nothing speaks against whom strict order names, it is named, or a probe goes before it. And
    /// where strict order offers something, so does the rule.
    #[test]
    fn without_evidence_the_order_is_strict(
        steps in proptest::collection::vec((0_u32..6, 0_u32..6, 0_usize..6, 0_u64..1500), 1..60),
        seed: u64,
    ) {
        let totals = ["cpus:4;mem:400", "cpus:8;mem:100;ports:[1-9]", "cpus:2;mem:900;cpus(c):1"];
        let mut allocator = Allocator::new(AllocatorConfig {
            seed,
            slice_agents: 1,
            ..AllocatorConfig::default()
        });
        for number in 0..6_u32 {
            let total = agent_of(number as usize % 2, totals[number as usize % 3]);
            allocator.add_agent(agent(number), total, &BTreeMap::new());
            let own = ["a", "a/b", "c"][number as usize % 3];
            allocator.add_framework(&framework(number), &spec(&[own]), &BTreeMap::new());
        }
        let mut now = at(0);
        let mut held: Vec<Allocation> = Vec::new();
        for (who, whose, what, later) in steps {
            now = now.after(Duration::from_millis(later));
            let mine = held.iter().position(|h| h.framework == framework(who)
                && (what % 2 == 0 || h.agent == agent(whose)));
            if let Some(one) = mine.map(|found| held.remove(found)) {
                let roles = [one.role.clone()].into();
                match what {
                    0..4 => allocator.decline(&one.framework, &one.agent, &one.resources, None, now),
                    4 => {
                        allocator.demand_changed(&one.framework, &roles);
                        allocator.recover(&one.framework, &one.agent, &one.resources, None, now);
                    }
                    _ => held.push(one),
                }
            }
            let mut strict = allocator.clone();
            for (number, _) in allocator.clients.iter() {
                strict.demand.forget(number);
            }
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            allocator.run(now, &mut found);
            strict.run(now, &mut expected);
            allocator.check_invariants();
            prop_assert_eq!(found.is_empty(), expected.is_empty());
            if let (Some(first), Some(named)) = (found.first(), expected.first()) {
                prop_assert_eq!(&first.agent, &named.agent);
                let report = allocator.pass.as_ref().map_or(&allocator.last_report, |p| &p.report);
                let seen = named.resources.unallocated();
                let seen = Bundle::of(seen, &mut allocator.kinds);
                let client = allocator.known_client(&named.framework, &named.role).unwrap();
                let kind = allocator.agents[allocator.agent_slots[&named.agent]].kind;
                let evidence = allocator.demand.evidence_at(
                    (client, kind), &seen, now);
                let probed = report.probes > 0;
                prop_assert!(
                    first == named || probed || evidence != Evidence::None,
                    "{first:?} before {named:?}"
                );
            }
            held.extend(found);
        }
    }

    /// Whatever happens, everybody has a reason for not being offered something after a pass.
    #[test]
    fn nothing_is_left_unoffered(idle in 0_u32..8, users in 0_u32..4, agents in 1_u32..6) {
        let mut cluster = Cluster::new(idle, users, agents);
        for _ in 0..20 {
            cluster.round();
            let offered = cluster.used + cluster.returned;
            let all = if idle + users > 0 { 2 * agents as usize } else { 0 };
            prop_assert_eq!(offered, all);
        }
    }
}

#[test]
fn strict_order_learns_nothing() {
    let mut allocator = Allocator::new(AllocatorConfig {
        order: AllocationOrder::Strict,
        ..AllocatorConfig::default()
    });
    allocator.add_agent(agent(0), agent_of(0, "cpus:4"), &BTreeMap::new());
    allocator.add_framework(&framework(0), &spec(&["a"]), &BTreeMap::new());
    let offers = pass(&mut allocator, at(0));
    let offer = &offers[0];
    allocator.decline(
        &offer.framework,
        &offer.agent,
        &offer.resources,
        None,
        at(1),
    );
    let kind = allocator.agents[0].kind;
    assert!(!allocator.demand.has_evidence(kind));
    assert_eq!("strict".parse(), Ok(AllocationOrder::Strict));
    assert!("fair".parse::<AllocationOrder>().is_err());
}

/// Every way of showing demand ends what was learned.
#[test]
fn whoever_shows_demand_stands_where_it_stood() {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    allocator.add_agent(agent(0), agent_of(0, "cpus:4"), &BTreeMap::new());
    allocator.add_framework(&framework(0), &spec(&["a"]), &BTreeMap::new());
    let kind = allocator.agents[0].kind;
    let (id, roles) = (framework(0), [role("a")].into());
    let shows: [fn(&mut Allocator, &_, &_); 5] = [
        |allocator, id, roles| allocator.demand_changed(id, roles),
        |allocator, id, roles| allocator.revive(id, roles),
        |allocator, id, _| allocator.update_framework(id, &spec(&["a"])),
        |allocator, id, _| {
            allocator.deactivate_framework(id);
            allocator.activate_framework(id);
        },
        |allocator, id, roles| {
            allocator.suppress(id, roles);
            allocator.revive(id, roles);
        },
    ];
    for (second, show) in (1_u64..).zip(shows) {
        let now = at(1000 * second);
        let offers = pass(&mut allocator, now);
        allocator.decline(&id, &agent(0), &offers[0].resources, None, now);
        assert!(allocator.demand.has_evidence(kind), "{second}");
        show(&mut allocator, &id, &roles);
        assert!(!allocator.demand.has_evidence(kind), "{second}");
        allocator.check_invariants();
    }
}

#[test]
fn memory_is_bounded() {
    let mut demand = Demand::new(AllocationOrder::Demand, Duration::from_secs(1));
    let mut kinds = sorter::Kinds::default();
    let numbers: Vec<u32> = (0..40)
        .map(|rack| {
            let attributes = crate::attributes::parse(&format!("rack:{rack}")).unwrap();
            demand.join_kind(&attributes, None, Capabilities::default())
        })
        .collect();
    for cpus in 1..40_u64 {
        let bundle = bag(&format!("cpus:{cpus};mem:{}", 100 - cpus));
        let bundle = Bundle::of(bundle, &mut kinds);
        for kind in &numbers {
            demand.returned((7, *kind), &bundle, at(cpus));
        }
    }
    demand.check_invariants(numbers.iter().copied());
    let known = numbers.iter().filter(|kind| demand.has_evidence(**kind));
    assert_eq!(known.count(), 16);
    for kind in &numbers {
        demand.leave_kind(*kind);
    }
    demand.check_invariants(std::iter::empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// The rule is never at the cost of guarantees: whoever is guaranteed something is offered it in
    /// every pass, however often it has returned it, while users keep all that they are offered.
    #[test]
    fn guarantees_are_offered_to_those_who_return_everything(
        guaranteed in proptest::collection::vec(1_u32..5, 1..6),
        users in 1_u32..5,
        rounds in 2_u64..30,
        keeps: bool,
    ) {
        let owed: u32 = guaranteed.iter().sum();
        let mut allocator = Allocator::new(AllocatorConfig::default());
        for number in 0..owed.div_ceil(4) + 2 {
            let total = agent_of(number as usize % 2, "cpus:4;mem:400");
            allocator.add_agent(agent(number), total, &BTreeMap::new());
        }
        let mut quotas = Vec::new();
        for (number, cpus) in (0_u32..).zip(&guaranteed) {
            let own = role(&format!("idle{number}"));
            let amounts = bag(&format!("cpus:{cpus};mem:{}", cpus * 100)).quantities();
            let quota = Quota::new(&own, amounts.clone(), Default::default()).unwrap();
            allocator.set_quota(&own, &quota);
            allocator.add_framework(&framework(number), &spec(&[own.as_str()]), &BTreeMap::new());
            quotas.push((own, amounts));
        }
        for number in 100..100 + users {
            allocator.add_framework(&framework(number), &spec(&["users"]), &BTreeMap::new());
        }
        for round in 0..rounds {
            let now = at(round * 1000);
            let offers = pass(&mut allocator, now);
            for (own, amounts) in &quotas {
                let has = allocator.consumed_quota(own);
                prop_assert!(has.contains(amounts), "{own} has {has:?} in round {round}");
            }
            for offer in offers {
                let (who, whose, what) = (&offer.framework, &offer.agent, &offer.resources);
                if offer.role != role("users") {
                    allocator.decline(who, whose, what, None, now);
                } else if !keeps {
                    allocator.recover(who, whose, what, None, now);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    /// Where nobody uses what there is, whose turn it is to be asked is found at once; debug builds
    /// find it one by one, too, and compare. Some refuse for long, some cannot be offered small
    /// agents, and all are asked again and again.
    #[test]
    fn whose_turn_it_is_is_found_at_once(
        frameworks in 3_u32..30,
        rounds in proptest::collection::vec((0_u32..5, 500_u64..3000), 10..60),
    ) {
        let mut allocator = Allocator::new(AllocatorConfig::default());
        for number in 0..6 {
            let total = ["cpus:4;mem:400", "cpus:2;mem:400", "cpus:4;mem:400"][number % 3];
            let id = agent(u32::try_from(number).unwrap());
            allocator.add_agent(id, agent_of(0, total), &BTreeMap::new());
        }
        for number in 0..frameworks {
            let mut spec = spec(&["dev"]);
            if number % 5 == 0 {
                spec.min_allocatable = [(role("dev"), vec![bag("cpus:3").quantities()])].into();
            }
            allocator.add_framework(&framework(number), &spec, &BTreeMap::new());
        }
        let (mut now, mut offered) = (0, BTreeMap::new());
        for (habit, later) in rounds {
            now += later;
            for offer in pass(&mut allocator, at(now)) {
                *offered.entry(offer.framework.clone()).or_insert(0) += 1;
                let number: u32 = offer.framework.as_str()[1..].parse().unwrap();
                let refuse_for = Duration::from_secs(u64::from((number + habit) % 4) * 3);
                let filter = Some(Filter { refuse_for, offer: 0 });
                let (who, whose, what) = (&offer.framework, &offer.agent, &offer.resources);
                allocator.decline(who, whose, what, filter, at(now));
                if habit == 4 && number.is_multiple_of(3) {
                    allocator.demand_changed(who, &BTreeSet::new());
                }
            }
            allocator.check_invariants();
        }
        prop_assert!(offered.len() > 2, "{offered:?}");
    }
}
