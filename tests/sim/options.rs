//! What one history is like: drawn from its seed, printed when it fails.

use std::time::Duration;

use mesosd::base::Rng;

/// How large the cluster is and which faults exist, how often.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// One number, one history.
    pub(crate) seed: u64,
    /// Agents of the cluster.
    pub(crate) agents: usize,
    /// Frameworks of the cluster.
    pub(crate) schedulers: usize,
    /// Longest delay of a message.
    pub(crate) delay_max: Duration,
    /// Chance in 10,000 that a scheduler's call is lost.
    pub(crate) loss: u64,
    /// Chance in 10,000 that a scheduler's call arrives twice.
    pub(crate) duplication: u64,
    /// Chance in 10,000 of a broken link (agent, scheduler or executor), per fault tick.
    pub(crate) disconnect: u64,
    /// Chance in 10,000 that a broken link stays silent for one side (half-open), per break.
    pub(crate) half_open: u64,
    /// Chance in 10,000 that an agent's machine crashes, per fault tick.
    pub(crate) agent_crash: u64,
    /// Chance in 10,000 that an agent's process is killed, per fault tick.
    pub(crate) agent_kill: u64,
    /// Chance in 10,000 that the master crashes, per fault tick.
    pub(crate) master_crash: u64,
    /// Chance in 10,000 that a container fails to start.
    pub(crate) launch_failure: u64,
    /// Chance in 10,000 that a container dies under its tasks, per fault tick.
    pub(crate) container_crash: u64,
    /// Longest time that a durable write takes.
    pub(crate) write_max: Duration,
    /// Chance in 10,000 that an agent's checkpoint fails.
    pub(crate) checkpoint_failure: u64,
    /// Agent ping interval of the master; short ones make losses frequent.
    pub(crate) ping: Duration,
    /// `--offer_timeout`.
    pub(crate) offer_timeout: Option<Duration>,
}

impl Options {
    /// The options of a seed: each fault exists in about half of all histories, so that some are
    /// undisturbed by the others ("swarm").
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = Rng::seeded(seed, "options");
        let mut sometimes = |rate: u64| {
            if rng.chance(1, 2) {
                1 + rng.below(rate)
            } else {
                0
            }
        };
        let loss = sometimes(300);
        let duplication = sometimes(300);
        let disconnect = sometimes(400);
        let half_open = sometimes(5_000);
        let agent_crash = sometimes(60);
        let master_crash = sometimes(40);
        let launch_failure = sometimes(500);
        let container_crash = sometimes(300);
        let checkpoint_failure = sometimes(50);
        let agent_kill = sometimes(200);
        let millis = |rng: &mut Rng, max: u64| Duration::from_millis(1 + rng.below(max));
        Self {
            seed,
            agents: 1 + usize::try_from(rng.below(5)).unwrap(),
            schedulers: 1 + usize::try_from(rng.below(5)).unwrap(),
            delay_max: if rng.chance(1, 2) {
                millis(&mut rng, 10)
            } else {
                millis(&mut rng, 2_000)
            },
            loss,
            duplication,
            disconnect,
            half_open,
            agent_crash,
            agent_kill,
            master_crash,
            launch_failure,
            container_crash,
            write_max: if rng.chance(3, 4) {
                millis(&mut rng, 20)
            } else {
                millis(&mut rng, 5_000)
            },
            checkpoint_failure,
            ping: Duration::from_secs(1 + rng.below(15)),
            offer_timeout: if rng.chance(1, 3) {
                Some(Duration::from_secs(5 + rng.below(60)))
            } else {
                None
            },
        }
    }
}
