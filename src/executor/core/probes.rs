//! Health checks and checks of a running task: when they run and what their outcomes change.

use super::super::checks::{self, Outcome, ProbeKind, Schedule, Verdict};
use super::{Cause, Effect, Effects, Executor, KILL_GRACE, Phase, TimerKey, grace};
use crate::base::Now;
use crate::proto::v1;
use crate::proto::v1::task_status::Reason;

impl Executor {
    pub(super) fn stop_checks(&mut self, effects: &mut Effects) {
        let Some(task) = &self.task else { return };
        for kind in [ProbeKind::Check, ProbeKind::Health] {
            if schedule(&task.info, kind).is_some() {
                effects.push(Effect::CancelTimer(TimerKey::Probe(kind)));
                effects.push(Effect::CancelTimer(TimerKey::ProbeTimeout(kind)));
                effects.push(Effect::StopProbe(kind));
            }
        }
    }

    pub(super) fn start_probe(&mut self, now: Now, kind: ProbeKind, effects: &mut Effects) {
        let Some(task) = &self.task else { return };
        if task.phase != Phase::Running {
            return;
        }
        let Some(schedule) = schedule(&task.info, kind) else {
            return;
        };
        effects.push(Effect::RunProbe {
            kind,
            probe: schedule.probe,
        });
        if let Some(limit) = schedule.timeout {
            effects.push(Effect::SetTimer {
                key: TimerKey::ProbeTimeout(kind),
                at: now.mono.after(limit),
            });
        }
    }

    pub(super) fn probed(
        &mut self,
        now: Now,
        kind: ProbeKind,
        outcome: &Outcome,
        effects: &mut Effects,
    ) {
        let Some(task) = &self.task else { return };
        if task.phase != Phase::Running {
            return;
        }
        let Some(schedule) = schedule(&task.info, kind) else {
            return;
        };
        effects.push(Effect::CancelTimer(TimerKey::ProbeTimeout(kind)));
        effects.push(Effect::SetTimer {
            key: TimerKey::Probe(kind),
            at: now.mono.after(schedule.interval),
        });
        match kind {
            ProbeKind::Check => self.checked(now, outcome, effects),
            ProbeKind::Health => self.health_checked(now, outcome, effects),
        }
    }

    fn checked(&mut self, now: Now, outcome: &Outcome, effects: &mut Effects) {
        let Some(task) = &mut self.task else { return };
        let Some(check) = &task.info.check else {
            return;
        };
        let status = checks::check_status(check, Some(outcome));
        if task.check_status.as_ref() == Some(&status) {
            return;
        }
        task.check_status = Some(status);
        let reason = Some(Reason::TaskCheckStatusUpdated);
        self.update(now, v1::TaskState::TaskRunning, None, reason, effects);
    }

    fn health_checked(&mut self, now: Now, outcome: &Outcome, effects: &mut Effects) {
        let Some(task) = &mut self.task else { return };
        let Some(health) = &mut task.health else {
            return;
        };
        let verdict = health.record(now.mono, outcome.is_healthy());
        task.healthy = match verdict {
            Verdict::Silent => return,
            Verdict::Report { healthy } => Some(healthy),
            Verdict::Kill => Some(false),
        };
        let grace = grace(task.info.kill_policy.as_ref()).unwrap_or(KILL_GRACE);
        let message = match outcome {
            Outcome::Failed(why) => Some(format!("Health check failed: {why}")),
            Outcome::Command(code) if *code != 0 => {
                Some(format!("Health check failed: command exited with {code}"))
            }
            Outcome::Http(code) if !outcome.is_healthy() => {
                Some(format!("Health check failed: HTTP status {code}"))
            }
            Outcome::Tcp(false) => Some("Health check failed: no connection".to_owned()),
            Outcome::Command(_) | Outcome::Http(_) | Outcome::Tcp(true) => None,
        };
        let reason = Some(Reason::TaskHealthCheckStatusUpdated);
        self.update(now, v1::TaskState::TaskRunning, message, reason, effects);
        if verdict == Verdict::Kill {
            self.kill(now, Cause::Unhealthy, grace, effects);
        }
    }
}

pub(super) fn schedule(info: &v1::TaskInfo, kind: ProbeKind) -> Option<Schedule> {
    match kind {
        ProbeKind::Check => checks::check_schedule(info.check.as_ref()?),
        ProbeKind::Health => checks::health_schedule(info.health_check.as_ref()?),
    }
}
