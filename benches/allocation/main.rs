//! The allocator alone, in process. Workloads and their ids are those of Mesos' own allocator
//! benchmarks (`hierarchical_allocator_tests.cpp`, `hierarchical_allocator_benchmarks.cpp`), so that
//! figures compare:
//!
//! - `alloc/decline/AxF` is DeclineOffers: A agents partly in use, F frameworks in one role; every
//!   offer of a round is declined for good before the next, so that filters grow to A * F. In every
//!   round every agent is changed and every offer is built.
//! - `alloc/agents/AxF` is AddAndUpdateSlave: frameworks, agents, 10 more revocable cpus on each.
//! - `alloc/labels/AxF` is ResourceLabels: DeclineOffers with reservations whose long labels differ.
//! - `alloc/suppress/AxF`, `alloc/suppress99/AxF` are SuppressOffers and ExtremeSuppressOffers.
//! - `alloc/volumes/AxF-KIND` is PersistentVolumes with regular, shared and mixed volumes.
//! - `alloc/update-op/R-N` is UpdateAllocation: 20 times RESERVE and UNRESERVE of what is offered on
//!   an agent with labelled reservations of R roles, N each.
//! - `alloc/backlog/AxF` is AllocatorBacklog: F revives with nothing to give, one pass after them.
//! - `alloc/metrics/AxF` is Metrics: set F quotas, read what every role consumes.
//! - `alloc/mixed/554-ORDER` is MultiFrameworkAllocations.
//! - `alloc/quota/S-L` is LargeAndSmallQuota: S small and L large roles with quota, a framework
//!   each: first pass, and passes with nothing to give after nothing, one agent and 1,000 were
//!   touched. `alloc/quota-random/S-L` is the same with random sorters.
//! - `alloc/quota-vs-not/R-on|off` is NonQuotaVsQuota.
//! - `sorter/flat/AxC`, `sorter/tree/AxH-B` are FullSort and HierarchyFullSort.
//!
//! Ours:
//!
//! - `alloc/memory/AxF`: bytes of an agent, a framework and a filter. Run it alone.
//! - `alloc/steady/AxF`: a full cluster where 1 % of the tasks end per second: event to offer.
//! - `alloc/refuse-zero/AxF`: everybody declines everything with `refuse_seconds=0`.
//! - `alloc/expire/AxF`: every framework has refused every agent, and all A * F filters end at the
//!   same moment: how long each step takes until everything is offered again.
//! - `alloc/revive/AxF`: every framework has refused every agent for good, and one revives: the call
//!   and the pass after it.
//! - `alloc/explain/AxF`: passes of one cluster, of which every other was asked about before, and
//!   the answers.
//! - `alloc/one/AxF` is one task that ends in a cluster where everything else is refused: the cost
//!   of a change must not grow with the cluster.
//! - `alloc/constraints/AxF-any|picky`: without and with three offer constraints per framework.
//!
//! `cargo bench --bench allocation -- alloc/decline/1000x100` runs one. Besides criterion's own
//! output, one JSON line per measurement goes to `target/bench-results.jsonl`. `MESOSD_BENCH_GRID`
//! is `full` for Mesos' whole grid, or sizes like `10000x1000,50000x6000`; `MESOSD_BENCH_ROUNDS`
//! bounds the rounds of `alloc/decline`, whose filters take 22 bytes each.

mod changes;
mod explain;
mod offers;
mod quota;
mod rounds;
mod steady;
mod workload;

#[path = "../results/mod.rs"]
mod results;

use std::time::Duration;

use criterion::Criterion;
use mesosd::allocator::{AllocationOrder, Sorter};

use offers::Volumes;

/// Agents and frameworks of a measurement.
type Size = (usize, usize);

/// Mesos' grid.
const AGENTS: [usize; 6] = [1000, 5000, 10_000, 20_000, 30_000, 50_000];
const FRAMEWORKS: [usize; 8] = [1, 50, 100, 200, 500, 1000, 3000, 6000];

/// What is asked for: the small sizes for CI, and perhaps more.
struct Grid {
    sizes: Vec<Size>,
    full: bool,
}

impl Grid {
    fn from_env() -> Self {
        let asked = std::env::var("MESOSD_BENCH_GRID").unwrap_or_default();
        let mut sizes = vec![(100, 20), (1000, 100)];
        let full = asked == "full";
        if full {
            let all = AGENTS.iter().flat_map(|a| FRAMEWORKS.map(|f| (*a, f)));
            sizes.extend(all.filter(|size| *size != (1000, 100)));
        } else {
            sizes.extend(asked.split(',').filter_map(|size| {
                let (agents, frameworks) = size.split_once('x')?;
                Some((agents.parse().ok()?, frameworks.parse().ok()?))
            }));
        }
        Self { sizes, full }
    }

    /// Small sizes, and larger ones when the full grid is asked for.
    fn some<T: Copy>(&self, small: &[T], large: &[T]) -> Vec<T> {
        let large = large.iter().filter(|_| self.full);
        small.iter().chain(large).copied().collect()
    }
}

fn quotas(criterion: &mut Criterion, grid: &Grid) {
    for (small, large) in grid.some(&[(25, 5), (250, 50), (2500, 500)], &[]) {
        for sorter in [Sorter::Drf, Sorter::Random] {
            quota::large_and_small(criterion, small, large, sorter);
        }
    }
    for roles in grid.some(&[10, 100], &[1000]) {
        for with_quota in [false, true] {
            quota::quota_or_not(criterion, roles, with_quota);
        }
    }
}

fn of_size(criterion: &mut Criterion, (agents, frameworks): Size) {
    offers::add_and_update(criterion, agents, frameworks);
    offers::suppress(criterion, agents, frameworks, false);
    offers::suppress(criterion, agents, frameworks, true);
    offers::labels(criterion, agents, frameworks);
    for kind in [Volumes::Regular, Volumes::Shared, Volumes::Mixed] {
        offers::volumes(criterion, agents, frameworks, kind);
    }
    changes::backlog(criterion, agents, frameworks);
    quota::metrics(criterion, agents, frameworks);
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let grid = Grid::from_env();
    rounds::memory(&mut criterion, 10_000, 100);
    for (agents, frameworks) in grid.sizes.iter().copied() {
        rounds::decline(&mut criterion, agents, frameworks);
    }
    for size in grid.sizes.iter().copied() {
        of_size(&mut criterion, size);
    }
    quotas(&mut criterion, &grid);
    for order in [AllocationOrder::Demand, AllocationOrder::Strict] {
        steady::mixed(&mut criterion, order);
    }
    for roles in grid.some(&[50, 100, 200], &[]) {
        changes::update_operations(&mut criterion, roles, 1);
    }
    for agents in grid.some(&[1000], &[5000, 10_000, 20_000, 30_000, 50_000]) {
        for clients in grid.some(&[1000], &[1, 50, 100, 200, 500]) {
            changes::sort(&mut criterion, agents, Ok(clients));
        }
        for shape in [(3, 32), (7, 3), (10, 2)] {
            changes::sort(&mut criterion, agents, Err(shape));
        }
    }
    rounds::expire(&mut criterion, 1000, 100);
    rounds::revive(&mut criterion, 1000, 100);
    for (agents, frameworks) in grid.sizes.iter().copied() {
        explain::explain(&mut criterion, agents, frameworks);
    }
    for agents in grid.some(&[1000, 10_000, 50_000], &[]) {
        rounds::one_change(&mut criterion, agents, 100);
    }
    for (agents, frameworks) in grid.some(&[(1000, 100), (10_000, 1000)], &[]) {
        steady::steady(&mut criterion, agents, frameworks);
    }
    steady::refuse_zero(&mut criterion, 1000, 1);
    steady::refuse_zero(&mut criterion, 100, 100);
    steady::constraints(&mut criterion, 1000, 100);
    criterion.final_summary();
}
