//! Chaos: a whole cluster of real processes, each on a machine of its own as far as the network can tell;
//! a driver makes things go wrong at random, and afterwards nothing may be lost, doubled or left behind.
//!
//! 3 ZooKeepers, 3 masters, 5 agents, 3 frameworks whose tasks write down their own start and end. Without
//! arguments: one run of a fixed seed and one of a seed from the clock, which is printed. With
//! `MESOSD_CHAOS_SEED` and `MESOSD_CHAOS_SECONDS`: one run of that seed and length. `MESOSD_CHAOS_KEEP=1`
//! keeps the logs, `MESOSD_CHAOS_BINARY` names another build of mesosd to test. The program is also its own frameworks and its own guard (see there), so it has no
//! harness; it understands names of runs and `--list`.

#![expect(clippy::unwrap_used, reason = "tests")]

mod cluster;
mod driver;
mod faults;
mod framework;
mod guard;
mod history;
mod http;
mod network;
mod proof;
mod scheduler;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mesosd::testing::{is_root, skip};

/// The seed of every run in CI.
const FIXED: u64 = 5;
/// What needs no cluster.
const PROOF: &str = "the_check_finds_what_must_not_be";
/// How long things go wrong in a run in CI.
const SHORT: Duration = Duration::from_secs(20);

fn main() {
    if let Ok(what) = std::env::var(guard::GUARD) {
        return guard::watch(&what);
    }
    if let Ok(what) = std::env::var(framework::FRAMEWORK) {
        std::process::exit(framework::live(&what));
    }
    let mut runs = runs();
    runs.insert(0, (PROOF.to_owned(), 0, Duration::ZERO));
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--list") {
        for (name, ..) in &runs {
            println!("{name}: test");
        }
        return;
    }
    let names: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|part| name.contains(*part));
    let (mut passed, mut failed, mut left_out) = (0, 0, 0);
    let begin = Instant::now();
    for (name, seed, length) in runs {
        if !wanted(&name) {
            left_out += 1;
            continue;
        }
        let well = match &*name {
            PROOF => proof::holds(),
            _ => !can_run(&name) || driver::run(seed, length),
        };
        println!("test {name} ... {}", if well { "ok" } else { "FAILED" });
        *if well { &mut passed } else { &mut failed } += 1;
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {result}. {passed} passed; {failed} failed; 0 ignored; 0 measured; \
         {left_out} filtered out; finished in {:.2}s",
        begin.elapsed().as_secs_f64()
    );
    std::process::exit(i32::from(failed != 0));
}

/// Names, seeds and lengths.
fn runs() -> Vec<(String, u64, Duration)> {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse()
                .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        )
    };
    let seconds = number("MESOSD_CHAOS_SECONDS");
    let length = seconds.map_or(SHORT, Duration::from_secs);
    if let Some(seed) = number("MESOSD_CHAOS_SEED") {
        return vec![("of_the_seed_that_was_asked_for".to_owned(), seed, length)];
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    vec![
        ("of_a_fixed_seed".to_owned(), FIXED, length),
        (
            "of_a_seed_from_the_clock".to_owned(),
            now.as_secs() % 1_000_000,
            length,
        ),
    ]
}

/// Notes a skip when something is missing.
fn can_run(test: &str) -> bool {
    let test = format!("chaos: {test}");
    if !is_root() {
        skip(
            &test,
            "only root makes network namespaces and control groups",
        );
        return false;
    }
    for program in ["ip", "iptables", "java"] {
        if Command::new(program).arg("-version").output().is_err() {
            skip(
                &test,
                &format!("'{program}' is missing: tests/run installs it"),
            );
            return false;
        }
    }
    if !Path::new("/usr/share/java/zookeeper.jar").exists() {
        skip(&test, "ZooKeeper is missing: tests/run installs it");
        return false;
    }
    true
}
