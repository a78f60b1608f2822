//! Shell: the process main of every container, `mesosd executor` and `mesosd launch`: reads its plan,
//! runs the task, records how it ended, ends whatever is left.
//!
//! One of these lives beside every task, so it stays small: one thread, poll(2), no async runtime,
//! no logging framework, buffers of a few kilobytes.

mod command;
mod custom;
mod fetch;
mod groups;
mod link;
mod member;
mod poll;
mod probe;
mod timers;

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::base::{Instant, Now, Timestamp};
use crate::containerizer::init::{self, InitError, Started};
use crate::containerizer::plan::{LaunchPlan, PlanError};
use crate::containerizer::status::{self, StatusError};

/// Exit status of a shell for a command that does not exist.
const NOT_FOUND: i32 = 127;
/// Exit status of a shell for a command that exists but cannot be executed.
const NOT_EXECUTABLE: i32 = 126;

/// Why a supervisor had to give up.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// There is no usable plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The end of the task could not be recorded.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// The kernel refused a descriptor or a wait.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
}

/// `mesosd executor` and `mesosd launch`: which of the two is in the plan.
#[must_use]
pub fn main() -> ExitCode {
    match LaunchPlan::inherited()
        .map_err(SupervisorError::from)
        .and_then(|plan| run(&plan))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Supervises the container of `plan` until nothing of it is left. To be called in a process with one
/// thread that belongs to the container alone.
pub fn run(plan: &LaunchPlan) -> Result<(), SupervisorError> {
    // SAFETY: plain numbers. Whatever a child leaves behind comes to this process.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    let signals = poll::Signals::block()?;
    match &plan.executor {
        Some(executor) => match &executor.groups {
            Some(groups) => groups::run(plan, executor, groups, &signals),
            None => command::run(plan, executor, &signals),
        },
        None => custom::run(plan, &signals),
    }
}

/// Starts the task; a failure is also told on the sandbox's stderr, where people look first, and
/// recorded as the status that a shell would give.
fn start(plan: &LaunchPlan) -> Result<Result<Started, InitError>, SupervisorError> {
    let started = init::start(plan);
    if let Err(error) = &started {
        let code = match error {
            InitError::Step { exec, cause, .. }
                if *exec && cause.kind() == io::ErrorKind::NotFound =>
            {
                NOT_FOUND
            }
            _ => NOT_EXECUTABLE,
        };
        status::write(&plan.runtime, code << 8)?;
        say(&chain(error));
    }
    Ok(started)
}

/// One line on the sandbox's stderr.
fn say(line: &str) {
    // Nobody is left to tell when stderr is gone.
    let _lost = writeln!(io::stderr(), "mesosd: {line}");
}

/// An error with all its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure lives across the call; both clocks used here always exist.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Both clocks, read now.
fn now() -> Now {
    Now {
        mono: Instant(nanoseconds(libc::CLOCK_MONOTONIC)),
        wall: Timestamp(nanoseconds(libc::CLOCK_REALTIME)),
    }
}

/// Random bits from the kernel, good enough to make update ids unique.
fn random_seed() -> u64 {
    let mut bytes = [0_u8; 8];
    // SAFETY: the buffer lives across the call and its length is given.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if usize::try_from(got) == Ok(bytes.len()) {
        return u64::from_ne_bytes(bytes);
    }
    let pid = u64::from(std::process::id());
    nanoseconds(libc::CLOCK_REALTIME) ^ (pid << 40)
}
