//! The allocator alone, in process. Workloads and their ids are those of Mesos' own allocator
//! benchmarks (`hierarchical_allocator_tests.cpp`), so that figures compare:
//!
//! - `alloc/decline/AxF` is DeclineOffers: A agents partly in use, F frameworks in one role; every
//!   offer of a round is declined for good before the next, 2 * F rounds, so that filters grow to
//!   A * F and the second half of the rounds has nothing to give. Every agent is dirty in every
//!   round and every offer is built.
//! - `alloc/agents/AxF` is AddAndUpdateSlave: frameworks, agents, 10 more revocable cpus on each.
//! - `alloc/labels/AxF` is ResourceLabels: DeclineOffers with reservations whose long labels differ.
//! - `alloc/suppress/AxF`, `alloc/suppress99/AxF` are SuppressOffers and ExtremeSuppressOffers.
//! - `alloc/volumes/AxF-KIND` is PersistentVolumes with regular, shared and mixed volumes.
//! - `alloc/update-op/R-N` is UpdateAllocation: 20 times RESERVE and UNRESERVE on an agent with
//!   labelled reservations of R roles, N each.
//! - `alloc/backlog/AxF` is AllocatorBacklog: F revives with nothing to give, one pass after them.
//! - `alloc/metrics/AxF` is Metrics: set F quotas, read what every role consumes.
//! - `alloc/quota/S+L` is LargeAndSmallQuota: S small and L large roles with quota, a framework
//!   each: first pass, and passes with nothing to give after nothing, one agent and 1,000 were
//!   touched. `alloc/quota-random/S+L` is the same with random sorters.
//! - `alloc/quota-vs-not/R-on|off` is NonQuotaVsQuota.
//! - `sorter/flat/AxC`, `sorter/tree/AxH-B` are FullSort and HierarchyFullSort.
//! - `alloc/expire/AxF`: every framework has refused every agent, and all A * F filters end at the
//!   same moment: how long each step takes until everything is offered again.
//! - `alloc/revive/AxF`: every framework has refused every agent for good, and one revives: the call
//!   and the pass after it.
//! - `alloc/explain/AxF`: passes of two equal clusters, one of which was asked why before each, and
//!   the answers.
//! - `alloc/one/AxF` is one task that ends in a cluster where everything else is refused: the cost
//!   of a change must not grow with the cluster.
//!
//! `cargo bench --bench allocation -- alloc/decline/1000x100` runs one. Besides criterion's own
//! output, one JSON line per measurement goes to `target/bench-results.jsonl`. With
//! `MESOSD_BENCH_GRID=full` the large sizes run too.

mod changes;
mod explain;
mod offers;
mod quota;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant as Clock};

use criterion::Criterion;
use mesosd::allocator::{
    AgentSpec, Allocation, Allocator, AllocatorConfig, Filter, FrameworkSpec, Sorter,
};
use mesosd::base::Instant;
use mesosd::roles::Role;

use offers::Volumes;
use workload::{FOR_GOOD, Samples, agent_id, bag, framework_id};

/// A cluster of Mesos' DeclineOffers.
struct Cluster {
    allocator: Allocator,
    now: Instant,
    offers: Vec<Allocation>,
    round: usize,
}

impl Cluster {
    fn new(agents: usize, frameworks: usize) -> Self {
        let mut cluster = Self {
            allocator: Allocator::new(AllocatorConfig::default()),
            now: Instant(0),
            offers: Vec::new(),
            round: 0,
        };
        let spec = FrameworkSpec {
            roles: [Role::DEFAULT].into(),
            ..FrameworkSpec::default()
        };
        for number in 0..frameworks {
            let id = framework_id(number);
            cluster
                .allocator
                .add_framework(&id, &spec, &BTreeMap::new());
        }
        let total = bag("cpus:24;mem:4096;disk:4096;ports:[31000-32000]");
        let mut used = "cpus:16;mem:2014;disk:1024;ports:[".to_owned();
        for piece in 0..16 {
            let begin = 31_000 + piece * 60;
            write!(used, "{begin}-{},", begin + 29).expect("writing to a string");
        }
        used.pop();
        used.push(']');
        let used = bag(&used).allocate(&Role::DEFAULT);
        for number in 0..agents {
            let used = BTreeMap::from([(framework_id(number % frameworks), used.clone())]);
            let total = total.clone();
            let spec = AgentSpec {
                total,
                ..AgentSpec::default()
            };
            cluster.allocator.add_agent(agent_id(number), spec, &used);
        }
        cluster
    }

    /// One pass, all of its slices.
    fn pass(&mut self) -> Duration {
        self.now = self.now.after(Duration::from_secs(1));
        let started = Clock::now();
        while self.allocator.run(self.now, &mut self.offers).more {}
        started.elapsed()
    }

    fn give_back(&mut self, offer: &Allocation, filter: Option<Filter>) {
        self.allocator.recover(
            &offer.framework,
            &offer.agent,
            &offer.resources,
            filter,
            self.now,
        );
    }

    fn decline_all(&mut self, filter: Filter) {
        for offer in std::mem::take(&mut self.offers) {
            self.give_back(&offer, Some(filter));
        }
    }

    /// A cluster where every framework has refused everything until `end`.
    fn refused(agents: usize, frameworks: usize, end: Instant) -> Self {
        let mut cluster = Self::new(agents, frameworks);
        for _ in 0..frameworks {
            cluster.pass();
            cluster.decline_all(Filter {
                refuse_for: end.since(cluster.now),
                offer: 0,
            });
        }
        cluster
    }

    /// Makes every agent dirty without changing anything, as Mesos visits all of them.
    fn touch(&mut self, agents: usize) {
        for number in 0..agents {
            self.allocator.activate_agent(&agent_id(number));
        }
    }
}

fn decline(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    let id = format!("alloc/decline/{agents}x{frameworks}");
    let (mut first, mut giving, mut idle) =
        (Samples::default(), Samples::default(), Samples::default());
    let mut cluster = None;
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|rounds| {
            let mut sum = Duration::ZERO;
            for _ in 0..rounds {
                let state = cluster.get_or_insert_with(|| Cluster::new(agents, frameworks));
                state.decline_all(FOR_GOOD);
                state.touch(agents);
                let took = state.pass();
                let expected = if state.round < frameworks { agents } else { 0 };
                assert_eq!(state.offers.len(), expected, "round {}", state.round);
                let samples = match state.round {
                    0 => &mut first,
                    round if round < frameworks => &mut giving,
                    _ => &mut idle,
                };
                samples.0.push(took);
                sum += took;
                state.round += 1;
                if state.round == 2 * frameworks {
                    cluster = None;
                }
            }
            sum
        });
    });
    first.report(&id, "round 0, nothing filtered");
    giving.report(&id, "rounds 1 to F-1, all offered");
    idle.report(&id, "rounds F to 2F, nothing to give");
}

fn expire(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    let id = format!("alloc/expire/{agents}x{frameworks}");
    let end = Instant(0).after(Duration::from_secs(86_400));
    let mut samples = Samples::default();
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let mut cluster = Cluster::refused(agents, frameworks, end);
                cluster.now = end;
                while cluster.offers.len() < agents {
                    let started = Clock::now();
                    cluster.allocator.run(cluster.now, &mut cluster.offers);
                    let took = started.elapsed();
                    samples.0.push(took);
                    sum += took;
                    cluster.now = cluster.now.after(Duration::from_millis(5));
                }
            }
            sum
        });
    });
    samples.report(&id, "each step until everything is offered");
}

fn revive(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    let id = format!("alloc/revive/{agents}x{frameworks}");
    let end = Instant(0).after(Duration::from_secs(86_400));
    let mut cluster = Cluster::refused(agents, frameworks, end);
    let (mut calls, mut passes) = (Samples::default(), Samples::default());
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let id = framework_id(cluster.round % frameworks);
                cluster.round += 1;
                let started = Clock::now();
                cluster.allocator.revive(&id, &BTreeSet::new());
                calls.0.push(started.elapsed());
                passes.0.push(cluster.pass());
                sum += started.elapsed();
                assert_eq!(cluster.offers.len(), agents);
                cluster.decline_all(FOR_GOOD);
            }
            sum
        });
    });
    calls.report(&id, "the call");
    passes.report(&id, "the pass after it");
}

fn one_change(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    let id = format!("alloc/one/{agents}x{frameworks}");
    let mut cluster = Cluster::new(agents, frameworks);
    // Everything is held; then one offer after the other comes back and goes out again.
    cluster.pass();
    let mut samples = Samples::default();
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let ended = cluster.offers.swap_remove(cluster.round % agents);
                cluster.round += 1;
                cluster.give_back(&ended, None);
                let took = cluster.pass();
                samples.0.push(took);
                sum += took;
            }
            sum
        });
    });
    samples.report(&id, "pass after one task has ended");
}

fn quotas(criterion: &mut Criterion, full: bool) {
    let larger = |sizes: &'static [(usize, usize)]| sizes.iter().filter(move |_| full);
    for (small, large) in [(25, 5)].iter().chain(larger(&[(250, 50), (2500, 500)])) {
        for sorter in [Sorter::Drf, Sorter::Random] {
            quota::large_and_small(criterion, *small, *large, sorter);
        }
    }
    let roles = [10, 100].into_iter().chain(full.then_some(1000));
    for roles in roles {
        for with_quota in [false, true] {
            quota::quota_or_not(criterion, roles, with_quota);
        }
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let full = std::env::var_os("MESOSD_BENCH_GRID").is_some_and(|grid| grid == "full");
    let small = [(100, 20), (1000, 100)];
    let large = [(10_000, 1000)];
    let sizes = || small.into_iter().chain(large.into_iter().filter(|_| full));
    for (agents, frameworks) in sizes() {
        decline(&mut criterion, agents, frameworks);
    }
    for (agents, frameworks) in sizes() {
        offers::add_and_update(&mut criterion, agents, frameworks);
        offers::suppress(&mut criterion, agents, frameworks, false);
        offers::suppress(&mut criterion, agents, frameworks, true);
        offers::labels(&mut criterion, agents, frameworks);
        for kind in [Volumes::Regular, Volumes::Shared, Volumes::Mixed] {
            offers::volumes(&mut criterion, agents, frameworks, kind);
        }
        changes::backlog(&mut criterion, agents, frameworks);
        quota::metrics(&mut criterion, agents, frameworks);
    }
    quotas(&mut criterion, full);
    for roles in [50]
        .into_iter()
        .chain([100, 200].into_iter().filter(|_| full))
    {
        changes::update_operations(&mut criterion, roles, 1);
    }
    for agents in [1000].into_iter().chain(full.then_some(50_000)) {
        changes::sort(&mut criterion, agents, Ok(1000));
        for shape in [(3, 32), (7, 3), (10, 2)] {
            changes::sort(&mut criterion, agents, Err(shape));
        }
    }
    expire(&mut criterion, 1000, 100);
    revive(&mut criterion, 1000, 100);
    explain::explain(&mut criterion, 1000, 100);
    for agents in [1000, 10_000].into_iter().chain(full.then_some(50_000)) {
        one_change(&mut criterion, agents, 100);
    }
    criterion.final_summary();
}
