//! DeclineOffers: every offer of a round is declined for good before the next, so that filters grow;
//! and what happens to a cluster that has refused everything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant as Clock};

use criterion::Criterion;
use mesosd::allocator::{AllocatorConfig, Filter};
use mesosd::base::Instant;
use mesosd::roles::Role;

use crate::workload::{FOR_GOOD, Samples, Workload, agent_id, bag, framework_id, setting};

const SECOND: Duration = Duration::from_secs(1);

/// How many single changes are measured.
const CHANGES: usize = 5000;
const TOTAL: &str = "cpus:24;mem:4096;disk:4096;ports:[31000-32000]";

/// The cluster of Mesos' DeclineOffers: every agent is partly in use, its ports are in pieces.
pub(crate) fn cluster(agents: usize, frameworks: usize) -> Workload {
    let mut work = Workload::new(AllocatorConfig::default());
    for number in 0..frameworks {
        work.add_framework(number, &[Role::DEFAULT], &[]);
    }
    add_agents(&mut work, agents, frameworks);
    work
}

fn add_agents(work: &mut Workload, agents: usize, frameworks: usize) {
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
        work.add_agent(number, TOTAL, used);
    }
}

/// Makes every agent dirty without changing anything, as Mesos visits all of them.
pub(crate) fn touch(work: &mut Workload, agents: usize) {
    for number in 0..agents {
        work.allocator.activate_agent(&agent_id(number));
    }
}

/// Everything comes back refused, and every agent is dirty.
pub(crate) fn next_round(work: &mut Workload, agents: usize) {
    for offer in std::mem::take(&mut work.offers) {
        work.decline(&offer, FOR_GOOD);
    }
    touch(work, agents);
}

/// One round; how long its pass took.
fn round(work: &mut Workload, agents: usize) -> Duration {
    next_round(work, agents);
    work.pass(SECOND)
}

/// `alloc/decline/AxF`. As many rounds as there are frameworks, or as `MESOSD_BENCH_ROUNDS` says;
/// then nobody wants anything, and passes with nothing to give are measured after nothing, one
/// agent, 1,000 agents and all agents were touched.
pub(crate) fn decline(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    let id = format!("alloc/decline/{agents}x{frameworks}");
    let most = setting("MESOSD_BENCH_ROUNDS").unwrap_or(frameworks);
    let mut rounds: Vec<Samples> = Vec::new();
    let mut idle: [Samples; 4] = Default::default();
    let mut replay = Vec::new();
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            if replay.is_empty() {
                // Small clusters several times, so that single rounds have a distribution.
                let repetitions = (2_000_000 / (agents * frameworks)).clamp(1, 20);
                for _ in 0..repetitions {
                    let mut work = cluster(agents, frameworks);
                    rounds.resize_with(most.min(frameworks), Samples::default);
                    for (number, samples) in rounds.iter_mut().enumerate() {
                        samples.0.push(round(&mut work, agents));
                        assert_eq!(work.offers.len(), agents, "round {number}");
                    }
                    if most >= frameworks {
                        nothing_to_give(&mut work, agents, &mut idle);
                    }
                }
                replay = rounds.iter().flat_map(|one| one.0.clone()).collect();
            }
            // Criterion asks again and again; the workload is what it is.
            let again = replay
                .iter()
                .cycle()
                .take(usize::try_from(times).unwrap_or(1));
            again.sum()
        });
    });
    if rounds.is_empty() {
        return;
    }
    let last = rounds.len() - 1;
    let some = |from: usize, to: usize| -> Samples {
        let some = &rounds[from.min(last)..=to.min(last)];
        Samples(some.iter().flat_map(|one| one.0.clone()).collect())
    };
    some(0, 2).report(&id, "rounds 0 to 2, all offered");
    some(33, 37).report(&id, "rounds 33 to 37, all offered");
    let what = format!(
        "rounds {} to {last}, the last, all offered",
        last.saturating_sub(4)
    );
    some(last.saturating_sub(4), last).report(&id, &what);
    some(0, last).report(&id, &format!("rounds 0 to {last}, all offered"));
    let touched = ["nothing", "one agent", "1000 agents", "every agent"];
    for (samples, touched) in idle.into_iter().zip(touched) {
        samples.report(&id, &format!("nothing to give, {touched} touched before"));
    }
}

fn nothing_to_give(work: &mut Workload, agents: usize, samples: &mut [Samples; 4]) {
    round(work, agents);
    for _ in 0..5 {
        // The periodic pass goes first, so that the others are about what was touched.
        work.pass(SECOND);
        for (at, touched) in [(0, 0), (1, 1), (2, 1000.min(agents)), (3, agents)] {
            touch(work, touched);
            samples[at].0.push(work.pass(Duration::from_millis(10)));
        }
        assert!(work.offers.is_empty(), "nobody wants anything");
    }
}

/// A cluster where every framework has refused everything until `end`.
fn refused(agents: usize, frameworks: usize, end: Instant) -> Workload {
    let mut work = cluster(agents, frameworks);
    for _ in 0..frameworks {
        work.pass(SECOND);
        let refuse_for = end.since(work.now);
        work.give_all_back(Some(Filter {
            refuse_for,
            offer: 0,
        }));
    }
    work
}

/// `alloc/expire/AxF`: all A * F filters end at the same moment.
pub(crate) fn expire(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    let id = format!("alloc/expire/{agents}x{frameworks}");
    let end = Instant(0).after(Duration::from_secs(86_400));
    let mut samples = Samples::default();
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let mut work = refused(agents, frameworks, end);
                work.now = end;
                while work.offers.len() < agents {
                    let started = Clock::now();
                    work.allocator.run(work.now, &mut work.offers);
                    let took = started.elapsed();
                    samples.0.push(took);
                    sum += took;
                    work.now = work.now.after(Duration::from_millis(5));
                }
            }
            sum
        });
    });
    samples.report(&id, "each step until everything is offered");
}

/// `alloc/revive/AxF`: one of many frameworks that have refused everything for good revives.
pub(crate) fn revive(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    let id = format!("alloc/revive/{agents}x{frameworks}");
    let end = Instant(0).after(Duration::from_secs(86_400));
    let (mut calls, mut passes) = (Samples::default(), Samples::default());
    let mut state: Option<(Workload, usize)> = None;
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            let (work, next) = state.get_or_insert_with(|| (refused(agents, frameworks, end), 0));
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let id = framework_id(*next % frameworks);
                *next += 1;
                let started = Clock::now();
                work.allocator.revive(&id, &BTreeSet::new());
                calls.0.push(started.elapsed());
                passes.0.push(work.pass(SECOND));
                sum += started.elapsed();
                assert_eq!(work.offers.len(), agents);
                work.give_all_back(Some(FOR_GOOD));
            }
            sum
        });
    });
    calls.report(&id, "the call");
    passes.report(&id, "the pass after it");
}

/// `alloc/one/AxF`: everything is held; one offer after the other comes back and goes out again.
pub(crate) fn one_change(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    let id = format!("alloc/one/{agents}x{frameworks}");
    let mut samples = Samples::default();
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            if samples.0.is_empty() {
                let mut work = cluster(agents, frameworks);
                work.pass(SECOND);
                for next in 0..CHANGES {
                    let ended = work.offers.swap_remove(next * 7919 % agents);
                    work.give_back(&ended, None);
                    samples.0.push(work.pass(SECOND));
                    assert_eq!(work.offers.len(), agents);
                }
            }
            let again = samples.0.iter().cycle();
            again.take(usize::try_from(times).unwrap_or(1)).sum()
        });
    });
    samples.report(&id, "pass after one task has ended");
}

/// What this process has in memory, in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|text| text.parse().ok());
    pages.unwrap_or(0) * 4096
}

/// `alloc/memory/AxF`: bytes of an agent, of a framework and of a filter; alone in its process.
pub(crate) fn memory(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    let id = format!("alloc/memory/{agents}x{frameworks}");
    let mut found: Option<[u64; 3]> = None;
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            found.get_or_insert_with(|| {
                let start = resident();
                let mut work = Workload::new(AllocatorConfig::default());
                for number in 0..frameworks {
                    work.add_framework(number, &[Role::DEFAULT], &[]);
                }
                let with_frameworks = resident();
                add_agents(&mut work, agents, frameworks);
                let with_agents = resident();
                // The offers themselves, and what passes keep, are there before the first filter.
                work.pass(SECOND);
                work.give_all_back(None);
                let before = resident();
                let rounds = frameworks.min(200);
                for _ in 0..rounds {
                    round(&mut work, agents);
                }
                work.give_all_back(Some(FOR_GOOD));
                let filters = (agents * rounds) as u64;
                [
                    (with_frameworks - start) / frameworks as u64,
                    (with_agents - with_frameworks) / agents as u64,
                    resident().saturating_sub(before) / filters,
                ]
            });
            Duration::from_nanos(times)
        });
    });
    if let Some([framework, agent, filter]) = found {
        let what = format!("bytes: framework {framework}, agent {agent}, filter {filter}");
        Samples(vec![Duration::ZERO]).report(&id, &what);
        if agents * frameworks >= 100_000 {
            assert!(filter <= 32, "a filter takes {filter} bytes");
        }
    }
}
