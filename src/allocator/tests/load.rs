//! 500 frameworks of one role on 40 agents, most of them idle, some with a build now and then; nobody
//! suppresses, nobody revives, and what is not used comes back without a filter. A framework beside
//! them holds a quarter of the cluster in a role of its own.
//!
//! The bound: a build that fits is offered room within [`PASSES_MAX`] passes. Its framework has returned
//! the like, so asking it again is due within 16 intervals; then at most 499 others are due longer, and
//! every pass asks 40, or every fourth of these as long as others use what they are offered:
//! 16 + 4 * 500 / 40. It may be asked by what a full agent has left, too little for a build: then it is
//! the last of those that are due, and waits for all others once more. That this happens twice to a
//! build is possible; in these histories it does not.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::{Instant, Rng};

use super::super::*;
use super::{agent, bag, framework, role, spec, total};

const FRAMEWORKS: u32 = 500;
const AGENTS: u32 = 40;
const PASSES_MAX: usize = 16 + 2 * 4 * FRAMEWORKS as usize / AGENTS as usize;
/// How long a build runs, in passes.
const BUILD: usize = 20;

#[test]
fn every_build_gets_its_offer_in_a_bounded_number_of_passes() {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    let mut rng = Rng::seeded(7, "builds");
    for number in 0..AGENTS {
        let services = bag("cpus:4;mem:16000").allocate(&role("services"));
        let used = [(framework(FRAMEWORKS), services)].into();
        allocator.add_agent(agent(number), total("cpus:16;mem:64000"), &used);
    }
    let large = framework(FRAMEWORKS);
    allocator.add_framework(&large, &spec(&["services"]), &BTreeMap::new());
    for number in 0..FRAMEWORKS {
        allocator.add_framework(&framework(number), &spec(&["ci"]), &BTreeMap::new());
    }
    let build = bag("cpus:2;mem:4000").allocate(&role("ci"));
    let mut now = Instant(0);
    // Since when builds wait, by framework; when they end, with framework and agent.
    let mut waiting: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    let mut running = Vec::new();
    let (mut started, mut longest) = (0, 0);
    for pass in 0..400_usize {
        now = now.after(Duration::from_secs(1));
        running.retain(|(end, who, whose)| {
            if *end == pass {
                allocator.demand_changed(who, &[role("ci")].into());
                allocator.recover(who, whose, &build, None, now);
            }
            *end > pass
        });
        // At most a third of what the cluster has room for.
        for _ in 0..3 {
            // Two of three come from few frameworks, which have builds already.
            let among = if rng.chance(2, 3) {
                50
            } else {
                u64::from(FRAMEWORKS)
            };
            let who = framework(u32::try_from(rng.below(among)).unwrap());
            waiting.entry(who).or_default().push(pass);
        }
        let mut offers = Vec::new();
        while allocator.run(now, &mut offers).more {}
        assert_eq!(offers.len(), AGENTS as usize);
        for offer in offers {
            let mut rest = offer.resources.clone();
            let builds = waiting.get_mut(&offer.framework);
            if let Some(since) = builds.and_then(|builds| {
                (!builds.is_empty() && rest.contains(&build)).then(|| builds.remove(0))
            }) {
                rest.subtract_all(&build);
                running.push((pass + BUILD, offer.framework.clone(), offer.agent.clone()));
                (started, longest) = (started + 1, longest.max(pass - since));
                allocator.demand_changed(&offer.framework, &[role("ci")].into());
                allocator.recover(&offer.framework, &offer.agent, &rest, None, now);
            } else {
                allocator.decline(&offer.framework, &offer.agent, &rest, None, now);
            }
        }
        for since in waiting.values().flatten() {
            assert!(
                pass - since <= PASSES_MAX,
                "a build waits since pass {since}"
            );
        }
    }
    allocator.check_invariants();
    assert!(
        started > 1000,
        "{started} builds, the longest wait was {longest}"
    );
}
