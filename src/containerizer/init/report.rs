//! What the container-side processes tell the supervisor: one failed step through the error pipe, the
//! end of the task through the control socket. Fixed-size records, no allocation.

use std::io;

use super::InitError;
use crate::containerizer::plan::LaunchPlan;

/// The steps between clone and exec that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Step {
    Signals,
    PrivateMounts,
    OpenVolume,
    MountVolume,
    OpenMountSource,
    Mount,
    ShowSandbox,
    MountProc,
    Fork,
    Session,
    JoinCgroup,
    OomScore,
    Rlimit,
    Groups,
    Gid,
    Uid,
    Sandbox,
    Exec,
}

impl Step {
    const ALL: [Self; 18] = [
        Self::Signals,
        Self::PrivateMounts,
        Self::OpenVolume,
        Self::MountVolume,
        Self::OpenMountSource,
        Self::Mount,
        Self::ShowSandbox,
        Self::MountProc,
        Self::Fork,
        Self::Session,
        Self::JoinCgroup,
        Self::OomScore,
        Self::Rlimit,
        Self::Groups,
        Self::Gid,
        Self::Uid,
        Self::Sandbox,
        Self::Exec,
    ];
}

/// One failed step; `index` tells which of several mounts, cgroups or limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) index: u32,
    pub(super) errno: i32,
}

/// Size of a failure on the wire.
pub(super) const FAILURE_BYTES: usize = 12;

impl Failure {
    /// The failure of `step` with the errno of the call that just failed.
    pub(super) fn last(step: Step, index: usize) -> Self {
        Self {
            step,
            index: u32::try_from(index).unwrap_or(u32::MAX),
            errno: io::Error::last_os_error().raw_os_error().unwrap_or(0),
        }
    }

    pub(super) fn encode(self) -> [u8; FAILURE_BYTES] {
        let mut bytes = [0; FAILURE_BYTES];
        bytes[..4].copy_from_slice(&(self.step as u32).to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.index.to_ne_bytes());
        bytes[8..].copy_from_slice(&self.errno.to_ne_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| -> Option<[u8; 4]> { bytes.get(at..at + 4)?.try_into().ok() };
        let step = usize::try_from(u32::from_ne_bytes(word(0)?)).ok()?;
        Some(Self {
            step: *Step::ALL.get(step)?,
            index: u32::from_ne_bytes(word(4)?),
            errno: i32::from_ne_bytes(word(8)?),
        })
    }

    /// The failure in words that name the thing and the value.
    pub(super) fn explain(self, plan: &LaunchPlan) -> InitError {
        let index = self.index as usize;
        let path = |p: Option<&std::path::PathBuf>| {
            p.map_or_else(|| "?".to_owned(), |p| p.display().to_string())
        };
        let what = match self.step {
            Step::Signals => "set up signals".to_owned(),
            Step::PrivateMounts => "make the mounts private".to_owned(),
            Step::OpenVolume => format!(
                "open the volume {}",
                path(plan.volumes.get(index).map(|v| &v.source))
            ),
            Step::MountVolume => format!(
                "mount the volume at {} in the sandbox",
                path(plan.volumes.get(index).map(|v| &v.place))
            ),
            Step::OpenMountSource => format!(
                "open the directory {} to mount it",
                path(plan.mounts.get(index).map(|m| &m.source))
            ),
            Step::Mount => format!(
                "mount over {}",
                path(plan.mounts.get(index).map(|m| &m.target))
            ),
            Step::ShowSandbox => format!(
                "keep the sandbox {} visible below a mount",
                plan.sandbox.display()
            ),
            Step::MountProc => "mount /proc in the new pid namespace".to_owned(),
            Step::Fork => "fork the task".to_owned(),
            Step::Session => "start a session".to_owned(),
            Step::JoinCgroup => format!(
                "enter the cgroup {}",
                path(plan.cgroups.get(index).map(|c| &c.path))
            ),
            Step::OomScore => "set oom_score_adj".to_owned(),
            Step::Rlimit => format!(
                "set the limit {}",
                plan.rlimits.get(index).map_or("?", |r| r.name.as_str())
            ),
            Step::Groups | Step::Gid | Step::Uid => format!(
                "switch to the user {:?}",
                plan.user.as_ref().map_or("?", |u| u.name.as_str())
            ),
            Step::Sandbox => format!("enter the sandbox {}", plan.sandbox.display()),
            Step::Exec if plan.command.shell => "execute /bin/sh".to_owned(),
            Step::Exec => format!("execute {:?}", plan.command.value),
        };
        InitError::Step {
            what,
            exec: self.step == Step::Exec,
            cause: io::Error::from_raw_os_error(self.errno),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn every_step_survives_the_pipe() {
        for (number, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, number);
            let failure = Failure {
                step,
                index: 3,
                errno: libc::ENOENT,
            };
            assert_eq!(Failure::decode(&failure.encode()).unwrap(), failure);
        }
        assert_eq!(Failure::decode(&[0xff; FAILURE_BYTES]), None);
        assert_eq!(Failure::decode(&[]), None);
    }

    #[test]
    fn failure_names_the_program() {
        let mut plan = crate::containerizer::plan::tests::shell("x");
        plan.command.shell = false;
        plan.command.value = "/no/such".into();
        let failure = Failure {
            step: Step::Exec,
            index: 0,
            errno: libc::ENOENT,
        };
        assert_eq!(
            failure.explain(&plan).to_string(),
            "cannot execute \"/no/such\": No such file or directory (os error 2)"
        );
    }
}
