//! What one history is like: drawn from its seed, printed when it fails.

use std::time::Duration;

use mesosd::base::Rng;

/// How large the cluster is and which faults exist, how often.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// One number, one history.
    pub(crate) seed: u64,
    /// Masters of the cluster; one leads for ever, several are elected.
    pub(crate) masters: usize,
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
    /// `--agent_reregister_timeout`.
    pub(crate) reregister: Duration,
    /// `--allocator_recovery_timeout`.
    pub(crate) recovery_hold: Duration,
    /// `--agent_removal_rate_limit`: time between two.
    pub(crate) removal_interval: Option<Duration>,
    /// Timeout of ZooKeeper sessions.
    pub(crate) session: Duration,
    /// Chance in 10,000 that a question to ZooKeeper is lost, and that its answer is.
    pub(crate) zookeeper_loss: u64,
    /// Chance in 10,000 that a process is cut from ZooKeeper, per fault tick.
    pub(crate) zookeeper_cut: u64,
    /// Chance in 10,000 that a watch fires late.
    pub(crate) late_watch: u64,
    /// Chance in 10,000 that the first candidate's znode is deleted while nobody leads, per fault tick.
    pub(crate) znode_deletion: u64,
    /// Chance in 10,000 that the registry's place, or by agents and frameworks the candidates, are read
    /// from a server that lags behind.
    pub(crate) stale_read: u64,
    /// Chance in 10,000 that the registry's store fails for good, per question.
    pub(crate) store_failure: u64,
    /// Chance in 10,000 that a record is larger than the store takes.
    pub(crate) record_too_large: u64,
    /// Masters that were deposed believe on for a while: leases do not hold, as after a stop between a
    /// look at the lease and the promise. The epochs must be enough.
    pub(crate) believes: bool,
    /// Chance in 10,000 that an agent's next session is at a server of ZooKeeper that still names a
    /// former leader, one that believes on, per fault tick.
    pub(crate) misled: u64,
    /// Chance in 10,000 that a process stands still (SIGSTOP), per fault tick.
    pub(crate) suspension: u64,
    /// Chance in 10,000 that a leader hands over, per fault tick.
    pub(crate) handover: u64,
    /// Chance in 10,000 that an agent reaches nobody for a while, per fault tick.
    pub(crate) agent_cut: u64,
    /// Chance in 10,000 that an agent's disk is full for a while, per fault tick.
    pub(crate) full_disk: u64,
    /// Chance in 10,000 that a wall clock jumps by up to an hour, per fault tick.
    pub(crate) clock_jump: u64,
    /// Chance in 10,000 that an executor connects late, and in 20,000 that it does nothing any more.
    pub(crate) wedged_executor: u64,
    /// Chance in 10,000 that a second instance of a framework subscribes, per fault tick.
    pub(crate) second_instance: u64,
    /// Whether operators drain, deactivate and reactivate agents, schedule maintenance, set weights and
    /// quota.
    pub(crate) operators: bool,
    /// `--offer_timeout`.
    pub(crate) offer_timeout: Option<Duration>,
}

impl Options {
    /// What everything is drawn from: neighbouring seeds differ in many bits.
    pub(crate) fn entropy(seed: u64) -> u64 {
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Leaders that come and go, answers about the registry that are lost, and masters that believe on:
    /// what the planted bugs of the election and the registry need to show themselves soon.
    pub(crate) fn stormy(seed: u64) -> Self {
        Self {
            masters: 3,
            agents: 3,
            schedulers: 3,
            believes: true,
            delay_max: Duration::from_millis(10),
            write_max: Duration::from_millis(500),
            session: Duration::from_secs(4),
            agent_kill: 50,
            handover: 100,
            zookeeper_loss: 300,
            zookeeper_cut: 60,
            znode_deletion: 100,
            stale_read: 5_000,
            late_watch: 5_000,
            misled: 1_000,
            store_failure: 0,
            ..Self::draw(seed)
        }
    }

    /// The options of a seed: each fault exists in about half of all histories, so that some are
    /// undisturbed by the others ("swarm").
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = Rng::seeded(Self::entropy(seed), "options");
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
        let zookeeper_loss = sometimes(300);
        let zookeeper_cut = sometimes(60);
        let late_watch = sometimes(5_000);
        let znode_deletion = sometimes(30);
        let stale_read = sometimes(3_000);
        let store_failure = sometimes(60);
        let record_too_large = sometimes(30);
        let suspension = sometimes(60);
        let handover = sometimes(60);
        let agent_cut = sometimes(60);
        let full_disk = sometimes(30);
        let clock_jump = sometimes(200);
        let wedged_executor = sometimes(200);
        let second_instance = sometimes(60);
        let believes = rng.chance(1, 3);
        let misled = if believes { rng.below(1_000) } else { 0 };
        let operators = rng.chance(1, 2);
        let millis = |rng: &mut Rng, max: u64| Duration::from_millis(1 + rng.below(max));
        Self {
            seed,
            masters: if rng.chance(1, 3) { 1 } else { 3 },
            reregister: Duration::from_secs(20 + rng.below(580)),
            recovery_hold: Duration::from_secs(10 + rng.below(590)),
            removal_interval: rng
                .chance(1, 4)
                .then(|| Duration::from_secs(1 + rng.below(30))),
            session: Duration::from_secs(4 + rng.below(16)),
            zookeeper_loss,
            zookeeper_cut,
            late_watch,
            znode_deletion,
            stale_read,
            store_failure,
            record_too_large,
            believes,
            misled,
            suspension,
            handover,
            agent_cut,
            full_disk,
            clock_jump,
            wedged_executor,
            second_instance,
            operators,
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

    /// One master, one agent, one framework, and nothing that goes wrong by itself.
    pub(crate) fn quiet(seed: u64) -> Self {
        Self {
            masters: 1,
            agents: 1,
            schedulers: 1,
            delay_max: Duration::from_millis(10),
            loss: 0,
            duplication: 0,
            disconnect: 0,
            half_open: 0,
            agent_crash: 0,
            agent_kill: 0,
            master_crash: 0,
            launch_failure: 0,
            container_crash: 0,
            write_max: Duration::from_millis(20),
            checkpoint_failure: 0,
            zookeeper_loss: 0,
            zookeeper_cut: 0,
            late_watch: 0,
            znode_deletion: 0,
            stale_read: 0,
            store_failure: 0,
            record_too_large: 0,
            believes: false,
            misled: 0,
            suspension: 0,
            handover: 0,
            agent_cut: 0,
            full_disk: 0,
            clock_jump: 0,
            wedged_executor: 0,
            second_instance: 0,
            operators: false,
            offer_timeout: None,
            ..Self::draw(seed)
        }
    }
}
