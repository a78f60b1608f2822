//! What passes pay for explanations: in one and the same cluster every other round is asked about
//! before it, in pairs of which chance says how they begin: rounds have a rhythm of their own.

use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use criterion::Criterion;
use mesosd::base::Rng;

use crate::rounds::{cluster, next_round};
use crate::workload::{Samples, framework_id};

const SECOND: Duration = Duration::from_secs(1);

/// How many rounds are compared with how many.
const PAIRS: usize = 250;

/// What was measured.
#[derive(Default)]
struct Found {
    asked: Samples,
    unasked: Samples,
    answers: Samples,
}

/// `alloc/explain/AxF`.
pub(super) fn explain(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    let id = format!("alloc/explain/{agents}x{frameworks}");
    let mut found: Option<Found> = None;
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            let found = found.get_or_insert_with(|| pairs(agents, frameworks));
            let again = found.unasked.0.iter().cycle();
            again.take(usize::try_from(times).unwrap_or(1)).sum()
        });
    });
    let Some(found) = found else {
        return;
    };
    let what = format!(
        "passes that were asked about before take {}",
        difference(&found)
    );
    Samples(vec![Duration::ZERO]).report(&id, &what);
    found.unasked.report(&id, "pass that nobody asked about");
    found.asked.report(&id, "pass that was asked about before");
    found
        .answers
        .report(&id, "the answer, for one framework and all agents");
}

/// Who is asked about is asked before the offers of the round before come back, so that the pass
/// finds neither warmer nor colder caches for it.
fn pairs(agents: usize, frameworks: usize) -> Found {
    let mut found = Found::default();
    let (mut work, mut round) = (cluster(agents, frameworks), 0);
    let mut rng = Rng::seeded(5, "explain");
    for pair in 0..PAIRS {
        if round + 2 > frameworks {
            (work, round) = (cluster(agents, frameworks), 0);
        }
        let first = rng.below(2) == 0;
        for asks in [first, !first] {
            if asks {
                let begin = Clock::now();
                let who = framework_id(pair % frameworks);
                black_box(work.allocator.explain(&who, work.now));
                found.answers.0.push(begin.elapsed());
            }
            next_round(&mut work, agents);
            let took = work.pass(SECOND);
            assert_eq!(work.offers.len(), agents, "all is offered");
            let samples = if asks {
                &mut found.asked
            } else {
                &mut found.unasked
            };
            samples.0.push(took);
            round += 1;
        }
    }
    found
}

/// By how much passes that were asked about take longer than the others of their pairs: the middle,
/// and how far the middle itself may be off.
fn difference(found: &Found) -> String {
    let pairs = found.asked.0.iter().zip(&found.unasked.0);
    let mut more: Vec<f64> = pairs
        .map(|(asked, unasked)| (asked.as_secs_f64() / unasked.as_secs_f64() - 1.0) * 100.0)
        .collect();
    more.sort_unstable_by(f64::total_cmp);
    let (count, middle) = (more.len(), more.len() / 2);
    // The ranks between which the median lies 95 times in 100.
    let off = (0..).find(|off| off * off >= count).unwrap_or(middle);
    let low = more[middle.saturating_sub(off)];
    let high = more[(middle + off).min(count - 1)];
    format!(
        "{:+.2} % longer, 95 % sure: {low:+.2} to {high:+.2} %",
        more[middle]
    )
}
