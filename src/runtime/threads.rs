//! The threads that a daemon's tasks run on: short turns on the processor, and ears for sockets between them.

use tokio::runtime::Builder;

/// How long such a thread runs before another one is due, in nanoseconds; the least that Linux knows. Who
/// wants little goes first, also before a thread that has been given more and has not used it up.
const TURN: u64 = 100_000;

/// Tasks that a thread runs before it looks at sockets and timers. With tokio's 61, and tasks that write
/// a large reply piece by piece, a new request would not be seen for milliseconds.
const EARS: u32 = 8;

/// A runtime for a daemon. Its threads may ask for short turns ([`prompt`]) if the daemon starts no processes:
/// those would inherit them.
#[must_use]
pub fn threads() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(workers())
        .event_interval(EARS)
        .enable_all();
    builder
}

/// A core's loop, its front ends and some spare for what blocks; more only costs memory.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |count| count.get().clamp(2, 8))
}

/// Asks for short turns of the calling thread, and of what it starts. What the system does not know (Linux
/// does from 6.12 on), or does not allow, only costs latency.
pub fn prompt() {
    ask_for(TURN);
}

/// Gives the calling thread turns of the usual length.
pub(super) fn patient() {
    ask_for(0);
}

fn ask_for(turn: u64) {
    // SAFETY: takes numbers and gives one.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let wish = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: 0,
        sched_flags: u64::from(libc::SCHED_FLAG_KEEP_POLICY.unsigned_abs()),
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: turn,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the structure lives until the call is over, and has the size that it says; 0 is the calling
    // thread, and there are no flags.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wish, 0) };
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::runtime::background;

    /// The turns of the calling thread in nanoseconds; 0 where the system knows none.
    fn turn() -> u64 {
        let mut is = libc::sched_attr {
            size: 0,
            sched_policy: 0,
            sched_flags: 0,
            sched_nice: 0,
            sched_priority: 0,
            sched_runtime: 0,
            sched_deadline: 0,
            sched_period: 0,
        };
        let size = size_of::<libc::sched_attr>();
        // SAFETY: the structure is as large as is said and lives until the call is over.
        let failed = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut is, size, 0) };
        assert_eq!(failed, 0);
        is.sched_runtime
    }

    #[test]
    fn tasks_run_on_threads_with_short_turns_and_work_in_the_background_does_not() {
        let usual = turn();
        if usual == 0 {
            return;
        }
        let runtime = threads().on_thread_start(prompt).build().unwrap();
        let (own, behind) = runtime.block_on(async {
            let task = tokio::spawn(async { (turn(), background(turn).await) });
            task.await.unwrap()
        });
        assert_eq!((own, behind), (TURN, usual));
        assert_eq!(turn(), usual);
    }
}
