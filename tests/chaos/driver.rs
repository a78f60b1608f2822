//! One run: everything starts, things go wrong as planned, everything is mended, the frameworks' last
//! tasks end, and what was written down is read.

use std::fs::{self, File};
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::cluster::{AGENTS, Cluster, FRAMEWORKS, MACHINES, MASTERS, is_careless, name};
use super::faults::{Fault, Planned, plan};
use super::guard::{self, Guard};
use super::history::History;

/// From the last fault until all must be well.
const CALM: Duration = Duration::from_secs(60);
/// After a full disk has room again, an agent may still end by itself.
const EXCUSE: Duration = Duration::from_secs(3);

/// True when all went well; says what happened otherwise.
pub(crate) fn run(seed: u64, length: Duration) -> bool {
    let run = format!("mesosd-chaos-{}-{seed}", std::process::id());
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&run);
    fs::create_dir_all(&dir).unwrap();
    let guard = Guard::start(&run, &dir);
    println!("seed {seed}, {} s: {run}", length.as_secs());
    let begin = Instant::now();
    // The logs are wanted also when the driver itself fails.
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut cluster = Cluster::start(&run, &dir);
        go(&mut cluster, seed, length);
        (
            std::mem::take(&mut cluster.timeline),
            std::mem::take(&mut cluster.wrong),
        )
    }));
    let mut history = History::default();
    for machine in FRAMEWORKS {
        history.read(&dir.join(name(machine)), is_careless(machine));
    }
    let (timeline, mut wrong) = result.unwrap_or_else(|_| {
        (
            Vec::new(),
            vec!["the driver has failed, see above".to_owned()],
        )
    });
    wrong.extend(history.check());
    println!(
        "{}; {:.0} s in all",
        history.count(),
        begin.elapsed().as_secs_f64()
    );
    if !wrong.is_empty() || std::env::var_os("MESOSD_CHAOS_KEEP").is_some() {
        println!("timeline of seed {seed}:\n{}", timeline.join("\n"));
        println!("the logs are in {}", keep(&dir, seed).display());
    }
    if !wrong.is_empty() {
        println!("wrong, with seed {seed}:\n  {}", wrong.join("\n  "));
        println!(
            "again: MESOSD_CHAOS_SEED={seed} MESOSD_CHAOS_SECONDS={} cargo test --test chaos",
            length.as_secs()
        );
    }
    drop(guard);
    wrong.is_empty()
}

/// Copies logs and histories to where they stay.
fn keep(dir: &Path, seed: u64) -> PathBuf {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-kept-{seed}"));
    let _ = fs::remove_dir_all(&kept);
    fs::create_dir_all(&kept).unwrap();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let copied = if path.is_dir() {
            let to = format!("{}.history", name.to_string_lossy());
            fs::copy(path.join("history"), kept.join(to))
        } else {
            fs::copy(&path, kept.join(name))
        };
        // Only frameworks have a history.
        drop(copied);
    }
    kept
}

fn go(cluster: &mut Cluster, seed: u64, length: Duration) {
    let plan = plan(seed, length);
    cluster.note(&format!("{} faults are planned", plan.len()));
    let begin = Instant::now();
    let mut waiting = plan.into_iter().peekable();
    let mut present: Vec<(Instant, Present)> = Vec::new();
    while waiting.peek().is_some() || !present.is_empty() {
        let now = Instant::now();
        if let Some(next) = waiting.next_if(|next| begin + next.at <= now) {
            present.push((now + next.lasts, start(cluster, &next)));
        }
        let (over, rest) = present.into_iter().partition(|(until, _)| *until <= now);
        present = rest;
        for (_, fault) in over {
            mend(cluster, fault);
        }
        cluster.supervise();
        std::thread::sleep(Duration::from_millis(10));
    }
    cluster.note("all is mended");
    settle(cluster);
}

/// A fault that has begun; whom it has hit.
struct Present {
    fault: Fault,
    machine: Option<usize>,
}

fn start(cluster: &mut Cluster, planned: &Planned) -> Present {
    let (fault, lasts) = (planned.fault, planned.lasts);
    let machine = match fault {
        Fault::KillLeader | Fault::StopLeader => cluster.leader(),
        Fault::Kill(machine)
        | Fault::Stop(machine)
        | Fault::Leave(machine)
        | Fault::Link(machine, _)
        | Fault::Full(machine)
        | Fault::Skew(machine, _) => Some(machine),
    };
    let leader = match fault {
        Fault::KillLeader | Fault::StopLeader => machine
            .map_or(", and there is none".to_owned(), |machine| {
                format!(", {}", name(machine))
            }),
        _ => String::new(),
    };
    cluster.note(&format!(
        "{fault}{leader}, for {:.2} s",
        lasts.as_secs_f64()
    ));
    if let Some(machine) = machine {
        match fault {
            Fault::Kill(_) | Fault::KillLeader => cluster.kill(machine),
            Fault::Stop(_) | Fault::StopLeader => cluster.signal(machine, Signal::SIGSTOP),
            Fault::Leave(_) => cluster.signal(machine, Signal::SIGTERM),
            Fault::Link(_, trouble) => cluster.network.make(machine, trouble),
            Fault::Full(_) => {
                cluster.excuse(machine, lasts + EXCUSE);
                fill(&filler(cluster, machine));
            }
            Fault::Skew(_, hours) => {
                cluster.kill(machine);
                cluster.skew(machine, hours);
            }
        }
    }
    Present { fault, machine }
}

fn mend(cluster: &mut Cluster, present: Present) {
    let Some(machine) = present.machine else {
        return;
    };
    match present.fault {
        Fault::Kill(_) | Fault::KillLeader | Fault::Leave(_) | Fault::Skew(..) => {
            cluster.revive(machine);
        }
        Fault::Stop(_) | Fault::StopLeader => cluster.signal(machine, Signal::SIGCONT),
        Fault::Link(_, trouble) => cluster.network.mend(machine, trouble),
        Fault::Full(_) => {
            let _ = fs::remove_file(filler(cluster, machine));
        }
    }
}

fn filler(cluster: &Cluster, machine: usize) -> PathBuf {
    cluster.own(machine).join("work/filler")
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        let piece = vec![1; size];
        while file.write_all(&piece).is_ok() {}
    }
}

/// Everything must come to an end by itself now.
fn settle(cluster: &mut Cluster) {
    for machine in FRAMEWORKS {
        File::create(cluster.own(machine).join("quiet")).unwrap();
    }
    cluster.until("all agents are active", CALM, |cluster| {
        cluster
            .agents()
            .is_some_and(|agents| agents.len() == AGENTS.len())
    });
    cluster.until("every task has ended", CALM, |cluster| {
        let mut history = History::default();
        for machine in FRAMEWORKS {
            history.read(&cluster.own(machine), is_careless(machine));
        }
        history.open() == 0
    });
    cluster.until("nothing is allocated", CALM, |cluster| {
        let free = |agent: &serde_json::Value| is_nothing(&agent["allocated"]);
        cluster
            .agents()
            .is_some_and(|agents| agents.iter().all(free))
    });
    for machine in FRAMEWORKS {
        cluster.excuse(machine, CALM);
        File::create(cluster.own(machine).join("finish")).unwrap();
    }
    // Every framework tears itself down and ends with success.
    cluster.end(FRAMEWORKS, Signal::SIGCONT);
    // Agents with all that runs on them.
    cluster.end(AGENTS, Signal::SIGUSR1);
    cluster.end(MASTERS, Signal::SIGTERM);
    for machine in 0..MACHINES {
        cluster.kill(machine);
    }
    let left = guard::processes(&cluster.run);
    cluster.wrong.extend(
        left.into_iter()
            .map(|left| format!("a process is left: {left:?}")),
    );
    let left = guard::containers(&cluster.run);
    cluster.wrong.extend(
        left.into_iter()
            .map(|left| format!("a control group is left: {left:?}")),
    );
    let small: Vec<PathBuf> = super::cluster::SMALL_DISKS
        .map(|machine| cluster.own(machine).join("work"))
        .collect();
    let mut mounts = guard::mounts(&cluster.dir);
    mounts.retain(|mount| !small.contains(mount));
    cluster.wrong.extend(
        mounts
            .into_iter()
            .map(|left| format!("a mount is left: {left:?}")),
    );
}

/// No quantity of any resource.
fn is_nothing(resources: &serde_json::Value) -> bool {
    match resources {
        serde_json::Value::Number(number) => number.as_f64() == Some(0.0),
        serde_json::Value::Object(parts) => parts.values().all(is_nothing),
        serde_json::Value::Array(parts) => parts.iter().all(is_nothing),
        serde_json::Value::String(text) => text.is_empty(),
        serde_json::Value::Null => true,
        serde_json::Value::Bool(_) => false,
    }
}
