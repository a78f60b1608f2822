//! Four lessons of a cluster with hundreds of small frameworks and a large one, as properties. The
//! same as stories: `tests/scenarios/allocator/lesson-*.txt`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::base::{FrameworkId, Instant};

use super::super::*;
use super::{agent, at, bag, framework, pass, role, spec, total};

/// One agent that is taken back each time without having been used. Says who was offered it.
fn rounds(allocator: &mut Allocator, now: &mut Instant, times: usize) -> Vec<FrameworkId> {
    let mut served = Vec::new();
    for _ in 0..times {
        *now = now.after(std::time::Duration::from_millis(10));
        for offer in pass(allocator, *now) {
            allocator.recover(&offer.framework, &offer.agent, &offer.resources, None, *now);
            served.push(offer.framework);
        }
    }
    served
}

fn count(served: &[FrameworkId], who: &FrameworkId) -> usize {
    served.iter().filter(|one| *one == who).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Roles compete by what each has as a whole, so a large framework that has less than half gets
    /// its half, however many small ones want something under the other role.
    #[test]
    fn many_small_frameworks_do_not_starve_a_large_one(
        small in 1_u32..60,
        agents in 1_u32..60,
        held in 0_u32..60,
    ) {
        let held = held.min(agents);
        let mut allocator = Allocator::new(AllocatorConfig::default());
        allocator.add_framework(&framework(0), &spec(&["big"]), &BTreeMap::new());
        for number in 1..=small {
            allocator.add_framework(&framework(number), &spec(&["many"]), &BTreeMap::new());
        }
        for number in 0..agents {
            let used = (number < held)
                .then(|| (framework(0), bag("cpus:2;mem:64").allocate(&role("big"))));
            let used = used.into_iter().collect();
            allocator.add_agent(agent(number), total("cpus:2;mem:64"), &used);
        }
        let offers = pass(&mut allocator, at(0));
        prop_assert_eq!(offers.len(), (agents - held) as usize);
        let more = offers.iter().filter(|offer| offer.role == role("big")).count();
        let large = held as usize + more;
        let half = agents as usize / 2;
        prop_assert!(large >= half, "{large} of {agents}");
        prop_assert!(large <= (half + 1).max(held as usize), "{large} of {agents}");
    }

    /// Among equals whoever was served least is next, so nobody is ever ahead of a twin by more
    /// than one.
    #[test]
    fn no_twin_gets_offers_for_ever(twins in 1_u32..12, agents in 1_u32..12, times in 1_usize..30) {
        let mut allocator = Allocator::new(AllocatorConfig::default());
        for number in 0..twins {
            allocator.add_framework(&framework(number), &spec(&["dev"]), &BTreeMap::new());
        }
        for number in 0..agents {
            allocator.add_agent(agent(number), total("cpus:2;mem:64"), &BTreeMap::new());
        }
        let served = rounds(&mut allocator, &mut at(0), times);
        prop_assert_eq!(served.len(), agents as usize * times);
        let counts = (0..twins).map(|number| count(&served, &framework(number)));
        let counts: Vec<usize> = counts.collect();
        let (least, most) = (counts.iter().min(), counts.iter().max());
        prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{counts:?}");
    }

    /// Histories are levelled when a framework joins: among n, it waits for n * n offers at most,
    /// and the others get as many as it does, but for n.
    #[test]
    fn a_newcomer_neither_outranks_veterans_nor_waits_for_long(
        lives in proptest::collection::vec(0_usize..60, 1..8),
    ) {
        let mut allocator = Allocator::new(AllocatorConfig::default());
        let mut now = at(0);
        allocator.add_agent(agent(0), total("cpus:2;mem:64"), &BTreeMap::new());
        // All known from the start, but each awake for a time of its own.
        for number in 0_u32.. {
            let Some(times) = lives.get(number as usize) else { break };
            allocator.add_framework(&framework(number), &spec(&["dev"]), &BTreeMap::new());
            rounds(&mut allocator, &mut now, *times);
            allocator.suppress(&framework(number), &[role("dev")].into());
        }
        let siblings = lives.len() + 1;
        let newcomer = framework(u32::try_from(lives.len()).unwrap());
        allocator.add_framework(&newcomer, &spec(&["dev"]), &BTreeMap::new());
        for number in 0..lives.len() {
            let id = framework(u32::try_from(number).unwrap());
            allocator.revive(&id, &[role("dev")].into());
        }
        let bound = siblings * siblings;
        let served = rounds(&mut allocator, &mut now, bound);
        prop_assert_eq!(served.len(), bound);
        let own = count(&served, &newcomer);
        prop_assert!(own >= 1, "{own} of {bound}");
        for number in 0..lives.len() {
            let veteran = count(&served, &framework(u32::try_from(number).unwrap()));
            prop_assert!(veteran.abs_diff(own) <= siblings, "{veteran} and {own}");
        }
    }

    /// Shares are exact: whatever came and went, nothing left is nothing.
    #[test]
    fn a_framework_without_tasks_has_share_zero(
        amounts in proptest::collection::vec((1_u32..4000, 1_u32..4000), 1..20),
    ) {
        let mut allocator = Allocator::new(AllocatorConfig::default());
        allocator.add_agent(agent(0), total("cpus:1000;mem:1000"), &BTreeMap::new());
        let mut tasks = Vec::new();
        for (number, (cpus, mem)) in (1_u32..).zip(&amounts) {
            let task = format!("cpus:{};mem:{}", f64::from(*cpus) / 1e3, f64::from(*mem) / 1e3);
            let task = bag(&task).allocate(&role("dev"));
            let used = [(framework(1), task.clone())].into();
            allocator.add_agent(agent(number), total("cpus:7;mem:7.003"), &used);
            tasks.push((agent(number), task));
        }
        let share = |allocator: &Allocator| {
            let explained = allocator.explain(&framework(1), at(0))?;
            explained.roles[0].position.last().map(|level| level.share)
        };
        allocator.add_framework(&framework(1), &spec(&["dev"]), &BTreeMap::new());
        prop_assert!(share(&allocator) > Some(Share::ZERO));
        for (agent, task) in tasks {
            allocator.recover(&framework(1), &agent, &task, None, at(0));
        }
        prop_assert_eq!(share(&allocator), Some(Share::ZERO));
    }
}
