//! The whole cluster in virtual time: the real master and agent cores, model frameworks, containers and
//! links. One seed is one history. Faults first, then healing, then everything must have converged.
//!
//! | environment | meaning |
//! | --- | --- |
//! | `SIM_SEED` | run this seed only, and print its trace |
//! | `SIM_SEEDS` | how many seeds `seeds` runs (200) |
//! | `SIM_TRACE` | lines of the trace that a failure prints (300) |
//! | `SIM_STEPS` | happenings per seed before healing (10,000) |

#![expect(clippy::unwrap_used, reason = "tests")]

mod checkers;
mod containers;
mod operations;
mod options;
mod scheduler;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use mesosd::testing::planted::{Bug, PlantedBugs};

use options::Options;
use world::World;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} must be a number, not '{text}'"))
    })
}

/// One history; the error is what was found, with the last lines of the trace.
fn history(seed: u64, bugs: PlantedBugs, steps: u64) -> Result<World, String> {
    let options = Options::draw(seed);
    let mut world = World::new(options, bugs);
    let result = catch_unwind(AssertUnwindSafe(|| {
        while world.steps < steps {
            assert!(world.step(), "nothing happens any more");
        }
        world.heal();
        // Longer than the longest retry and the longest time-out (10 minutes each).
        world.run_for(Duration::from_secs(15 * 60));
        for _ in 0..4 {
            world.reconcile_all();
            world.run_for(Duration::from_secs(11 * 60));
        }
        world.assert_settled();
        world.teardown_all();
        world.run_for(Duration::from_secs(60));
        world.assert_empty();
    }));
    match result {
        Ok(()) => Ok(world),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                .unwrap_or_default();
            Err(format!(
                "seed {seed}: {text}\n{:?}\nreplay with SIM_SEED={seed}\n{}",
                world.options,
                world.trace()
            ))
        }
    }
}

/// Panics inside of histories are reported by the caller, with the seed.
fn quiet<T>(run: impl FnOnce() -> T) -> T {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = run();
    std::panic::set_hook(hook);
    result
}

fn check(seed: u64) -> World {
    let steps = number("SIM_STEPS", 10_000);
    history(seed, PlantedBugs::default(), steps).unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn seeds() {
    if let Ok(seed) = std::env::var("SIM_SEED") {
        let world = check(seed.parse().unwrap());
        println!("{:?}\n{:?}", world.options, world.counts);
        return;
    }
    let mut counts = std::collections::BTreeMap::<&str, u64>::new();
    let mut started = 0;
    for seed in 0..number("SIM_SEEDS", 200) {
        let world = check(seed);
        assert!(world.steps >= 10_000);
        started += world.checkers.starts();
        for (what, count) in &world.counts {
            *counts.entry(what).or_default() += count;
        }
    }
    println!("{started} tasks started; {counts:?}");
    for what in [
        "agent crash",
        "agent kill",
        "container taken back",
        "container not found again",
        "broken executor link",
        "broken link",
        "container crash",
        "doubled call",
        "doubled launch",
        "failed checkpoint",
        "lost call",
        "master crash",
        "operation",
        "task start",
    ] {
        assert!(counts.contains_key(what), "no history had a '{what}'");
    }
}

#[test]
fn one_fresh_seed() {
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    let seed = u64::try_from(seed % 1_000_000_000).unwrap();
    println!("fresh seed {seed}");
    check(seed);
}

#[test]
fn the_same_seed_is_the_same_history() {
    let trace = |seed| history(seed, PlantedBugs::default(), 3_000).map(|world| world.trace());
    assert_eq!(trace(7), trace(7));
}

/// What is planted: each of these must be caught.
const BUGS: &[Bug] = &[
    Bug::AcknowledgeBeforeRecorded,
    Bug::SkipRecoverOnTerminal,
    Bug::SkipRescindOnAgentLoss,
    Bug::DoubleOffer,
    Bug::ForgetTaskOnReregister,
    Bug::LoseUpdateForwarding,
    Bug::RegisterBeforePersisted,
    Bug::KeepExecutorsOnTeardown,
    Bug::UpdateSentOutOfOrder,
    Bug::AckExecutorBeforeCheckpoint,
    Bug::LaunchDuplicateRunTask,
    Bug::ConfirmOperationBeforeCheckpoint,
    Bug::DropTerminalUpdate,
    Bug::ForgetRetry,
];

/// Every planted bug must be found within so many seeds.
const SEEDS_PER_BUG: u64 = 60;

#[test]
fn planted_bugs_are_caught() {
    let missed: Vec<Bug> = quiet(|| {
        BUGS.iter()
            .copied()
            .filter(|&bug| {
                let caught = (0..SEEDS_PER_BUG)
                    .find_map(|seed| history(seed, PlantedBugs::only(bug), 6_000).err());
                if let Some(failure) = &caught {
                    println!("{bug:?}: {}", failure.lines().next().unwrap_or_default());
                }
                caught.is_none()
            })
            .collect()
    });
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
