//! The whole cluster in virtual time: the real cores of masters, agents and the election, model
//! frameworks, containers, links, disks and a ZooKeeper. One seed is one history. Faults first, then
//! healing, then everything must have converged.
//!
//! | environment | meaning |
//! | --- | --- |
//! | `SIM_SEED` | run this seed only, and print its trace |
//! | `MESOSD_SIM_SEEDS` | which seeds `seeds` runs, `from..to` (`0..2000`; a debug build `0..40`); from 1,000 seeds on everything must have been hit |
//! | `SIM_TRACE` | lines of the trace that a failure prints (300) |
//! | `SIM_STEPS` | happenings per seed before healing (6,000) |
//!
//! The fault matrix of the cluster, row by row: the fault as it is counted here ([`HAPPENINGS`]: no run
//! of a thousand seeds may be without), who judges it, and where real processes go through the same
//! (`tests/chaos` draws its faults, `tests/zookeeper` and `tests/e2e` do theirs on purpose).
//!
//! | component | fault | counted as | judged by | with real processes |
//! | --- | --- | --- | --- | --- |
//! | leader | crash between registry write and reply | `master crash`, `write done, reply lost`, `write sent again` | `Ensemble::store`, `assert_settled` | chaos: `kill -9` of masters |
//! | leader | two leaders by clock pause | `suspended master`, `lease over`, `believes on`, `misled agent`, `former leader answers an agent`, `launch of a former leader`, `write refused by epoch` | `Checkers::launched_in_vain`, `assert_leads` | chaos, zookeeper: SIGSTOP for longer than the session |
//! | ZK/store | session expiry | `expired session`, `session over` | `assert_leads`: no two leaders act | zookeeper |
//! | ZK/store | stale read | `stale listing`, `late watch`, `Options::stale_read` | `Ensemble::store`: the registry never goes back | - (a real server cannot be told to lag) |
//! | ZK/store | slow write, full disk | `Options::write_max`, `store failure`, `record too large` | `assert_landed`, `order_confirmed` | chaos: SIGSTOP of a ZooKeeper |
//! | agent | crash at each step of launch | `agent crash`, `agent kill`, test `an_agent_ends_at_every_step_of_a_launch` | `Checkers::started`, `assert_settled` | chaos: `kill -9` of agents |
//! | agent | checkpoint torn; disk full | `torn record`, `torn journal read`, `failed checkpoint`, `full disk` | `assert_written`, `assert_delivered` | chaos: full work directories |
//! | agent | checkpoint corrupt | test `a_corrupt_checkpoint_costs_the_agent_its_end_only` | `Checkpointed::errors` | lib: journals torn and changed at every byte |
//! | agent | reboot | `agent crash` (another boot id) | `assert_empty`: no orphan container | e2e |
//! | executor | killed, wedged, late, twice | `container crash`, `wedged executor`, `broken executor link`, `late executor`, `executor speaks twice` | `Checkers::delivered`: one terminal update | executor |
//! | scheduler | disconnects with open offers, replays accept | `broken link`, `doubled call` | conservation in `Master::check_invariants` | chaos: frameworks killed and stopped |
//! | scheduler | two instances, same id | `second instance` | its older stream is refused: `replied` | api |
//! | allocator | add, remove, decline, suppress, quota storms | `confirmed order`, calls | `Master::check_invariants`, `assert_not_overcommitted` | lib: random histories of the allocator |
//! | clock | jump by an hour, drift of 500 ppm | `clock jump`, [`clock::Clock`] | everything above: time limits are monotonic | chaos: libfaketime |

#![expect(clippy::unwrap_used, reason = "tests")]

mod checkers;
mod clock;
mod containers;
mod coverage;
mod disk;
mod ensemble;
mod operations;
mod options;
mod scheduler;
mod world;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};
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
fn history(seed: u64, bugs: PlantedBugs, steps: u64, lines: u64) -> Result<World, String> {
    run(Options::draw(seed), bugs, steps, lines)
}

fn run(options: Options, bugs: PlantedBugs, steps: u64, lines: u64) -> Result<World, String> {
    let seed = options.seed;
    let mut world = World::new(options, bugs, lines);
    let result = silently(|| {
        while world.steps < steps {
            assert!(world.step(), "nothing happens any more");
        }
        settles(&mut world);
    });
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

thread_local! {
    /// Panics of this thread are reported by somebody else, with the seed.
    static REPORTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a history. Its panic is the caller's to report: what one would print of it, with the way it came,
/// says nothing without the seed.
fn silently(run: impl FnOnce()) -> std::thread::Result<()> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !REPORTED.get() {
                others(panic);
            }
        }));
    });
    REPORTED.set(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    REPORTED.set(false);
    result
}

/// Which seeds are run, if nothing else is said: a debug build is slow.
const SEEDS: Range<u64> = if cfg!(debug_assertions) {
    0..40
} else {
    0..2_000
};

fn seeds_wanted() -> Range<u64> {
    let Ok(text) = std::env::var("MESOSD_SIM_SEEDS") else {
        return SEEDS;
    };
    let range = text.split_once("..").and_then(|(from, to)| {
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        Some(from..to)
    });
    range.unwrap_or_else(|| panic!("MESOSD_SIM_SEEDS must be FROM..TO, not '{text}'"))
}

/// Calls `run` for each number, on as many threads as there are processors; stops when it says so.
fn in_parallel(numbers: Range<u64>, run: impl Fn(u64) -> bool + Sync) {
    let next = AtomicU64::new(numbers.start);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= numbers.end || !run(number) {
                        next.store(numbers.end, Ordering::Relaxed);
                        return;
                    }
                }
            });
        }
    });
}

/// A failed history again, this time with its trace.
fn explained(seed: u64, bugs: PlantedBugs, steps: u64) -> String {
    let lines = number("SIM_TRACE", 300);
    let again = history(seed, bugs, steps, lines);
    again.err().unwrap_or_else(|| "does not fail again".into())
}

fn check(seed: u64) -> World {
    let steps = number("SIM_STEPS", 6_000);
    history(seed, PlantedBugs::default(), steps, 0).unwrap_or_else(|_| {
        let why = explained(seed, PlantedBugs::default(), steps);
        panic!("{why}")
    })
}

/// What all histories have hit, together.
#[derive(Default)]
struct Total {
    counts: BTreeMap<&'static str, u64>,
    seen: coverage::Seen,
    started: usize,
    failed: Vec<u64>,
}

/// What no run of all seeds may be without.
const HAPPENINGS: &[&str] = &[
    "agent crash",
    "agent cut off",
    "agent exit",
    "agent kill",
    "beaten to the registry",
    "believes on",
    "broken executor link",
    "broken link",
    "clock jump",
    "confirmed order",
    "container crash",
    "container not found again",
    "container taken back",
    "cut from ZooKeeper",
    "deleted znode",
    "doubled call",
    "doubled launch",
    "election",
    "executor speaks twice",
    "expired session",
    "failed checkpoint",
    "former leader answers an agent",
    "framework that did not come back",
    "full disk",
    "handover",
    "late executor",
    "late watch",
    "launch of a former leader",
    "lease over",
    "left a former leader",
    "lost call",
    "lost question",
    "lost reply",
    "master crash",
    "misled agent",
    "offers after a hold",
    "operation",
    "record too large",
    "second instance",
    "session over",
    "stale listing",
    "store failure",
    "suspended agent",
    "suspended master",
    "task start",
    "torn journal read",
    "torn record",
    "volume not made",
    "wedged executor",
    "write done, reply lost",
    "write refused by epoch",
    "write sent again",
];

#[test]
fn seeds() {
    if let Ok(seed) = std::env::var("SIM_SEED") {
        let world = check(seed.parse().unwrap());
        println!("{:?}\n{:?}", world.options, world.counts);
        return;
    }
    let wanted = seeds_wanted();
    let many = wanted.end - wanted.start >= 1_000;
    let steps = number("SIM_STEPS", 6_000);
    let total = Mutex::new(Total::default());
    in_parallel(wanted, |seed| {
        let result = history(seed, PlantedBugs::default(), steps, 0);
        let mut total = total.lock().unwrap();
        match result {
            Ok(world) => {
                assert!(world.steps >= steps);
                total.started += world.checkers.starts();
                for (what, count) in &world.counts {
                    *total.counts.entry(what).or_default() += count;
                }
                total.seen.extend(world.checkers.seen);
            }
            Err(_) => total.failed.push(seed),
        }
        total.failed.len() < 5
    });
    let mut total = total.into_inner().unwrap();
    total.failed.sort_unstable();
    println!("{} tasks started; {:?}", total.started, total.counts);
    for seed in &total.failed {
        let why = explained(*seed, PlantedBugs::default(), steps);
        println!("{}", why.lines().next().unwrap_or_default());
    }
    if let Some(first) = total.failed.first() {
        panic!("{}", explained(*first, PlantedBugs::default(), steps));
    }
    let (absent, there) = coverage::missing(&total.seen);
    println!("not hit: {absent:?}; hit after all: {there:?}");
    // A few seeds cannot hit everything.
    if many {
        for what in HAPPENINGS {
            assert!(total.counts.contains_key(what), "no history had a '{what}'");
        }
        assert!(absent.is_empty(), "no history hit {absent:?}");
        assert!(there.is_empty(), "hit, so not missing any more: {there:?}");
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
    let trace = |seed| history(seed, PlantedBugs::default(), 3_000, 300).map(|world| world.trace());
    assert_eq!(trace(7), trace(7));
}

/// The end of every history: no more faults, and everything must converge.
fn settles(world: &mut World) {
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
}

/// The fault matrix' row of the agent: whatever it was doing, and whether it was the process or the
/// machine, no task is lost silently and none runs twice.
#[test]
fn an_agent_ends_at_every_step_of_a_launch() {
    let mut starts = 0;
    for steps in 0..12 {
        for machine in [false, true] {
            let mut world = World::new(Options::quiet(steps), PlantedBugs::default(), 0);
            assert!(world.run_to_launch(steps), "nothing was launched");
            if machine {
                world.crash_agent(0);
            } else {
                world.kill_agent(0);
            }
            world.run_for(Duration::from_secs(30));
            settles(&mut world);
            starts += world.checkers.starts();
        }
    }
    assert!(starts > 0, "nothing was started");
}

/// The fault matrix' row of the corrupt checkpoint: the agent starts, counts it, and goes on with what
/// was before it; tasks that it has forgotten end as lost or gone.
#[test]
fn a_corrupt_checkpoint_costs_the_agent_its_end_only() {
    for part in 1..8 {
        let mut world = World::new(Options::quiet(part), PlantedBugs::default(), 0);
        assert!(world.run_to_launch(9), "nothing was launched");
        world.crash_agent(0);
        let errors = world.corrupt(0, part);
        assert!(errors > 0, "part {part} was not noticed");
        world.run_for(Duration::from_secs(90));
        settles(&mut world);
    }
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
    Bug::DecideBeforePersisted,
    Bug::AcknowledgedBeforeStored,
    Bug::PromiseWithoutLease,
    Bug::IgnoreFullDisk,
    Bug::NoEpochBump,
    Bug::BelieveLostReply,
    Bug::StaleLeaderAccepted,
];

/// Bugs of the election and the registry show themselves where leaders come and go.
fn planted(bug: Bug, seed: u64) -> Options {
    match bug {
        Bug::NoEpochBump | Bug::BelieveLostReply | Bug::StaleLeaderAccepted => {
            Options::stormy(seed)
        }
        _ => Options::draw(seed),
    }
}

/// Every planted bug must be found within so many seeds.
const SEEDS_PER_BUG: u64 = 150;

#[test]
fn planted_bugs_are_caught() {
    let caught = Mutex::new(Vec::new());
    in_parallel(0..BUGS.len() as u64, |number| {
        let bug = BUGS[usize::try_from(number).unwrap()];
        let found = (0..SEEDS_PER_BUG)
            .find_map(|seed| run(planted(bug, seed), PlantedBugs::only(bug), 6_000, 0).err());
        if let Some(failure) = found {
            println!("{bug:?}: {}", failure.lines().next().unwrap_or_default());
            caught.lock().unwrap().push(bug);
        }
        true
    });
    let caught = caught.into_inner().unwrap();
    let missed: Vec<_> = BUGS.iter().filter(|bug| !caught.contains(bug)).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
