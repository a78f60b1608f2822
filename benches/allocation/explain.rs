//! What passes pay for explanations: two equal clusters go through the same rounds, one of them is
//! asked why before each pass, the other never.

use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use criterion::Criterion;

use crate::rounds::{cluster, next_round};
use crate::workload::{Samples, framework_id};

const SECOND: Duration = Duration::from_secs(1);

/// The smallest and the middle time.
fn least_and_middle(samples: &Samples) -> (Duration, Duration) {
    let mut sorted = samples.0.clone();
    sorted.sort_unstable();
    let middle = sorted.len() / 2;
    let at = |at: usize| sorted.get(at).copied().unwrap_or_default();
    (at(0), at(middle))
}

/// `alloc/explain/AxF`.
pub(super) fn explain(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    let id = format!("alloc/explain/{agents}x{frameworks}");
    let (mut asked, mut unasked, mut answers) =
        (Samples::default(), Samples::default(), Samples::default());
    let mut clusters = None;
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|rounds| {
            let mut sum = Duration::ZERO;
            for _ in 0..rounds {
                let new = || cluster(agents, frameworks);
                let (one, other, round) = clusters.get_or_insert_with(|| (new(), new(), 0_usize));
                next_round(one, agents);
                next_round(other, agents);
                *round += 1;
                let who = framework_id(*round % frameworks);
                let begin = Clock::now();
                black_box(one.allocator.explain(&who, one.now));
                answers.0.push(begin.elapsed());
                // By turns, so that neither finds warmer caches.
                if round.is_multiple_of(2) {
                    asked.0.push(one.pass(SECOND));
                    unasked.0.push(other.pass(SECOND));
                } else {
                    unasked.0.push(other.pass(SECOND));
                    asked.0.push(one.pass(SECOND));
                }
                sum += unasked.0.last().copied().unwrap_or_default();
                if *round + 1 == frameworks {
                    clusters = None;
                }
            }
            sum
        });
    });
    let ((least, middle), (least_unasked, middle_unasked)) =
        (least_and_middle(&asked), least_and_middle(&unasked));
    let more = |asked: Duration, unasked: Duration| {
        (asked.as_secs_f64() / unasked.as_secs_f64().max(f64::MIN_POSITIVE) - 1.0) * 100.0
    };
    if !asked.0.is_empty() {
        println!(
            "{id} passes of the cluster that was asked take {:+.2} % at least, {:+.2} % at p50",
            more(least, least_unasked),
            more(middle, middle_unasked),
        );
    }
    unasked.report(&id, "pass of a cluster that is never asked");
    asked.report(&id, "pass of a cluster that was asked before");
    answers.report(&id, "the answer, for one framework and all agents");
}
