//! The allocator alone, in process. Workloads and their ids are those of Mesos' own allocator
//! benchmarks (`hierarchical_allocator_tests.cpp`), so that figures compare:
//!
//! - `alloc/decline/AxF` is DeclineOffers: A agents partly in use, F frameworks in one role; every
//!   offer of a round is declined for good before the next, 2 * F rounds, so that filters grow to
//!   A * F and the second half of the rounds has nothing to give. Every agent is dirty in every
//!   round and every offer is built.
//! - `alloc/agents/AxF` is the first half of AddAndUpdateSlave: what it takes to add all agents.
//! - `alloc/expire/AxF`: every framework has refused every agent, and all A * F filters end at the
//!   same moment: how long each step takes until everything is offered again.
//! - `alloc/revive/AxF`: every framework has refused every agent for good, and one revives: the call
//!   and the pass after it.
//! - `alloc/one/AxF` is one task that ends in a cluster where everything else is refused: the cost
//!   of a change must not grow with the cluster.
//!
//! `cargo bench --bench allocation -- alloc/decline/1000x100` runs one. Besides criterion's own
//! output, one JSON line per measurement goes to `target/bench-results.jsonl`. With
//! `MESOSD_BENCH_GRID=full` the large sizes run too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant as Clock};

use criterion::Criterion;
use mesosd::allocator::{AgentSpec, Allocation, Allocator, AllocatorConfig, Filter, FrameworkSpec};
use mesosd::base::{AgentId, FrameworkId, Instant};
use mesosd::resources::{Resources, parse};
use mesosd::roles::Role;

/// Mesos' benchmark declines for `INT_MAX` seconds.
const FOR_GOOD: Filter = Filter {
    refuse_for: Duration::from_secs(i32::MAX as u64),
};

fn bag(text: &str) -> Resources {
    parse(text, &Role::DEFAULT).expect("the bench's own text")
}

fn agent_id(number: usize) -> AgentId {
    AgentId::new(format!("8e4a9f6e-5c32-4ae1-8e3b-000000000000-S{number}"))
}

fn framework_id(number: usize) -> FrameworkId {
    FrameworkId::new(format!("8e4a9f6e-5c32-4ae1-8e3b-000000000000-{number:04}"))
}

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

/// Individual times of one kind of event.
#[derive(Default)]
struct Samples(Vec<Duration>);

impl Samples {
    fn at(&self, per_mille: usize) -> f64 {
        let last = self.0.len() - 1;
        self.0[(last * per_mille).div_ceil(1000)].as_secs_f64() * 1e3
    }

    /// Prints and keeps the distribution.
    fn report(mut self, id: &str, what: &str) {
        if self.0.is_empty() {
            return;
        }
        self.0.sort_unstable();
        let [p50, p90, p99, max] = [500, 900, 990, 1000].map(|per_mille| self.at(per_mille));
        let (min, n) = (self.at(0), self.0.len());
        println!(
            "{id} {what}: min {min:.3} ms, p50 {p50:.3} ms, p90 {p90:.3} ms, p99 {p99:.3} ms, max {max:.3} ms, n {n}"
        );
        let commit = std::process::Command::new("git")
            .args(["rev-parse", "--short", "HEAD"])
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
            .unwrap_or_default();
        let line = serde_json::json!({
            "id": id, "what": what, "commit": commit,
            "min": min, "p50": p50, "p90": p90, "p99": p99, "max": max, "n": n,
        });
        let folder = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let path = Path::new(&folder).join("bench-results.jsonl");
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(path);
        if let Ok(mut file) = file {
            // A result that cannot be kept was printed all the same.
            let _ = writeln!(file, "{line}");
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

fn add_agents(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    let id = format!("alloc/agents/{agents}x{frameworks}");
    let mut samples = Samples::default();
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let started = Clock::now();
                let cluster = Cluster::new(agents, frameworks);
                let took = started.elapsed();
                drop(cluster);
                samples.0.push(took);
                sum += took;
            }
            sum
        });
    });
    samples.report(&id, "add F frameworks and A agents");
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
        add_agents(&mut criterion, agents, frameworks);
    }
    expire(&mut criterion, 1000, 100);
    revive(&mut criterion, 1000, 100);
    for agents in [1000, 10_000].into_iter().chain(full.then_some(50_000)) {
        one_change(&mut criterion, agents, 100);
    }
    criterion.final_summary();
}
