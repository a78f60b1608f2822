//! What goes wrong in a run and when, drawn from a seed: the same seed and length give the same plan.

use std::fmt;
use std::time::Duration;

use mesosd::base::Rng;

use super::cluster::{AGENTS, FRAMEWORKS, MACHINES, MASTERS, SMALL_DISKS, ZOOKEEPERS, name};
use super::network::Trouble;

/// One kind of misfortune; machines by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process dies without a word, and starts again in the end.
    Kill(usize),
    /// It stands still, and goes on in the end.
    Stop(usize),
    /// As both, of the master that leads when it happens.
    KillLeader,
    StopLeader,
    /// It is asked to end in an orderly way, and starts again in the end.
    Leave(usize),
    /// The network of a machine.
    Link(usize, Trouble),
    /// Its disk is full.
    Full(usize),
    /// Its clock is an hour ahead, or behind, from its next start on.
    Skew(usize, i32),
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(machine) => write!(to, "kill -9 {}", name(*machine)),
            Self::Stop(machine) => write!(to, "SIGSTOP {}", name(*machine)),
            Self::KillLeader => write!(to, "kill -9 the leader"),
            Self::StopLeader => write!(to, "SIGSTOP the leader"),
            Self::Leave(machine) => write!(to, "SIGTERM {}", name(*machine)),
            Self::Link(machine, Trouble::Deaf { from }) => {
                write!(to, "{} does not hear {}", name(*machine), name(*from))
            }
            Self::Link(machine, Trouble::Mute) => write!(to, "{} is not heard", name(*machine)),
            Self::Link(machine, Trouble::Cut) => write!(to, "{} is cut off", name(*machine)),
            Self::Link(machine, Trouble::Loss { percent }) => {
                write!(to, "{} loses {percent} % of its packets", name(*machine))
            }
            Self::Full(machine) => write!(to, "the disk of {} is full", name(*machine)),
            Self::Skew(machine, hours) => {
                write!(to, "kill -9 {}, its clock goes {hours:+} h", name(*machine))
            }
        }
    }
}

/// A fault with its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    /// From the beginning.
    pub(crate) at: Duration,
    /// Until it is mended.
    pub(crate) lasts: Duration,
    pub(crate) fault: Fault,
}

/// The plan of a run of this length. A machine has one fault at a time, and at most one ZooKeeper has
/// any: without a majority nobody can lead, which is right and dull.
pub(crate) fn plan(seed: u64, length: Duration) -> Vec<Planned> {
    let mut rng = Rng::seeded(seed, "chaos");
    let mut busy = [Duration::ZERO; MACHINES];
    let mut plan = Vec::new();
    let mut at = Duration::from_secs(1);
    while at < length {
        let lasts = Duration::from_millis(200) + rng.up_to(Duration::from_millis(5_000));
        let fault = draw(&mut rng);
        let touched = touched(fault);
        if touched.iter().all(|machine| busy[*machine] <= at) {
            for machine in touched {
                busy[machine] = at + lasts + Duration::from_millis(500);
            }
            plan.push(Planned { at, lasts, fault });
        }
        at += Duration::from_millis(200) + rng.up_to(Duration::from_millis(1_300));
    }
    plan
}

/// The machines that a fault occupies.
fn touched(fault: Fault) -> Vec<usize> {
    let machine = match fault {
        Fault::KillLeader | Fault::StopLeader => return MASTERS.collect(),
        Fault::Kill(machine)
        | Fault::Stop(machine)
        | Fault::Leave(machine)
        | Fault::Link(machine, _)
        | Fault::Full(machine)
        | Fault::Skew(machine, _) => machine,
    };
    if ZOOKEEPERS.contains(&machine) {
        return ZOOKEEPERS.collect();
    }
    vec![machine]
}

fn pick(rng: &mut Rng, from: std::ops::Range<usize>) -> usize {
    let below = u64::try_from(from.len()).unwrap();
    from.start + usize::try_from(rng.below(below)).unwrap()
}

fn draw(rng: &mut Rng) -> Fault {
    let machine = match rng.below(20) {
        0..2 => pick(rng, ZOOKEEPERS),
        2..6 => pick(rng, MASTERS),
        6..15 => pick(rng, AGENTS),
        _ => pick(rng, FRAMEWORKS),
    };
    match rng.below(100) {
        0..8 => Fault::KillLeader,
        8..14 => Fault::StopLeader,
        14..40 => Fault::Kill(machine),
        40..56 => Fault::Stop(machine),
        56..62 => Fault::Link(machine, Trouble::Cut),
        62..66 => Fault::Link(machine, Trouble::Mute),
        66..74 => {
            // Whom everybody talks with, or who talks with a master.
            let from = if MASTERS.contains(&machine) {
                pick(rng, 0..FRAMEWORKS.end)
            } else {
                pick(rng, ZOOKEEPERS.start..MASTERS.end)
            };
            Fault::Link(machine, Trouble::Deaf { from })
        }
        74..84 => {
            let percent = u32::try_from(5 + rng.below(36)).unwrap();
            Fault::Link(machine, Trouble::Loss { percent })
        }
        84..92 => Fault::Full(pick(rng, SMALL_DISKS)),
        92..96 => {
            let hours = if rng.chance(1, 2) { 1 } else { -1 };
            Fault::Skew(pick(rng, MASTERS.start..AGENTS.end), hours)
        }
        _ => Fault::Leave(pick(rng, MASTERS.start..AGENTS.end)),
    }
}
