//! What fair sharing promises, as laws: more weight is never less, and guarantees are met when they
//! can be. (Resource monotonicity is none of them: dominant resource fairness does not have it.)

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::quota::Quota;

use super::super::*;
use super::{agent, at, bag, framework, pass, role, spec, total};

const ROLES: [&str; 4] = ["a", "b", "b/c", "d"];

/// How many of some equal agents each role gets when everybody wants all, with these weights in
/// tenths.
fn shares(agents: u32, held: &[usize], weights: &[u32; 4]) -> Vec<usize> {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    let weights = ROLES.iter().zip(weights);
    let weights: BTreeMap<_, _> = weights
        .map(|(name, weight)| (role(name), Weight::new(f64::from(*weight) / 10.0).unwrap()))
        .collect();
    allocator.set_weights(&weights);
    for (number, name) in (0_u32..).zip(ROLES) {
        allocator.add_framework(&framework(number), &spec(&[name]), &BTreeMap::new());
    }
    for number in 0..agents {
        let holder = held.get(number as usize).map(|at| at % ROLES.len());
        let used = holder.map(|at| {
            let what = bag("cpus:2;mem:64").allocate(&role(ROLES[at]));
            (framework(u32::try_from(at).unwrap()), what)
        });
        let used = used.into_iter().collect();
        allocator.add_agent(agent(number), total("cpus:2;mem:64"), &used);
    }
    let given = pass(&mut allocator, at(0));
    let count = |name| given.iter().filter(|one| one.role == role(name)).count();
    ROLES.map(count).to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// More weight, everything else the same: never less for the role and all below it.
    #[test]
    fn more_weight_is_never_less(
        agents in 1_u32..60,
        held in proptest::collection::vec(any::<usize>(), 0..20),
        weights in proptest::array::uniform4(1_u32..50),
        whose in 0_usize..4,
        more in 1_u32..50,
    ) {
        let before = shares(agents, &held, &weights);
        let mut heavier = weights;
        heavier[whose] += more;
        let after = shares(agents, &held, &heavier);
        let mine = |given: &[usize]| match whose {
            // Role b has b/c below it.
            1 => given[1] + given[2],
            whose => given[whose],
        };
        prop_assert!(mine(&after) >= mine(&before), "{before:?} then {after:?}");
        prop_assert_eq!(before.iter().sum::<usize>(), after.iter().sum::<usize>());
    }

    /// Where what is free is enough for all that roles are owed, one pass gives it to them, whoever
    /// else wants it, whatever others hold and however it is spread over agents.
    #[test]
    fn guarantees_are_met_when_they_can_be(
        agents in proptest::collection::vec((1_u32..9, 1_u32..9), 1..12),
        held in proptest::collection::vec(0_u32..6, 0..12),
        wanted in proptest::collection::vec((0_u32..9, 0_u32..9), 1..5),
        slice in prop_oneof![Just(1_usize), Just(1000)],
    ) {
        let mut allocator = Allocator::new(AllocatorConfig {
            slice_agents: slice,
            ..AllocatorConfig::default()
        });
        let name = |number: usize| format!("r{number}");
        let amounts = |cpus: u32, mem: u32| format!("cpus:{cpus};mem:{}", mem * 64);
        for number in 0..6_u32 {
            let own = name(number as usize);
            allocator.add_framework(&framework(number), &spec(&[&own]), &BTreeMap::new());
        }
        let mut free = [0_u32; 2];
        let mut has = [[0_u32; 2]; 6];
        for (number, (cpus, mem)) in agents.iter().enumerate() {
            let mut used = BTreeMap::new();
            match held.get(number) {
                Some(holder) => {
                    has[*holder as usize][0] += cpus;
                    has[*holder as usize][1] += mem;
                    let own = role(&name(*holder as usize));
                    used.insert(framework(*holder), bag(&amounts(*cpus, *mem)).allocate(&own));
                }
                None => free = [free[0] + cpus, free[1] + mem],
            }
            let number = u32::try_from(number).unwrap();
            allocator.add_agent(agent(number), total(&amounts(*cpus, *mem)), &used);
        }
        // As much of what is wanted as is free.
        let mut promised = Vec::new();
        for (number, (cpus, mem)) in wanted.iter().enumerate() {
            let mut guarantee = [*cpus, *mem];
            for (at, amount) in guarantee.iter_mut().enumerate() {
                let owed = amount.saturating_sub(has[number][at]).min(free[at]);
                free[at] -= owed;
                *amount = (*amount).min(has[number][at] + owed);
            }
            let amounts = bag(&amounts(guarantee[0], guarantee[1])).quantities();
            let own = role(&name(number));
            let quota = Quota::new(&own, amounts.clone(), Default::default()).unwrap();
            allocator.set_quota(&own, &quota);
            promised.push((own, amounts));
        }
        pass(&mut allocator, at(0));
        for (own, amounts) in promised {
            let got = allocator.consumed_quota(&own);
            prop_assert!(got.contains(&amounts), "{own} has {got} of {amounts}");
        }
    }
}
