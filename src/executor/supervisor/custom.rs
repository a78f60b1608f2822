//! A container whose command is an executor of the framework: it speaks to the agent by itself, so
//! there is nothing to do but to start it, wait, and clear away.

use crate::containerizer::plan::LaunchPlan;
use crate::containerizer::status;

use super::poll::{Signals, Waiting, readable};
use super::{SupervisorError, start};

/// Runs the command of `plan` until it ends or this process is told to go.
pub(super) fn run(plan: &LaunchPlan, signals: &Signals) -> Result<(), SupervisorError> {
    let Ok(mut started) = start(plan)? else {
        return Ok(());
    };
    loop {
        let mut waiting = Waiting::new([
            Some((signals.as_raw_fd(), false)),
            readable(started.poll_fd()),
        ]);
        waiting.wait(None)?;
        if waiting.is_ready(1)
            && let Some(wait_status) = started.try_wait()
        {
            status::write(&plan.runtime, wait_status)?;
            started.finish();
            return Ok(());
        }
        if waiting.is_ready(0) && signals.take().terminate {
            status::write(&plan.runtime, libc::SIGKILL)?;
            started.finish();
            return Ok(());
        }
    }
}
