//! The launch plan: everything that the container-side process must know, merged from the isolators by
//! the agent, and handed to the supervisor as JSON on an inherited descriptor.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The descriptor on which a supervisor finds its plan.
pub const PLAN_FD: RawFd = 3;

/// The descriptor that a supervisor and its init hold open as long as they live: the agent sees the
/// end of both as end of file on the other side. Never given to the task.
pub const LIFELINE_FD: RawFd = 4;

/// Largest plan that a supervisor accepts, in bytes.
const PLAN_BYTES_MAX: u64 = 64 << 20;
/// What a plan takes: read at once.
const PLAN_BYTES_USUAL: usize = 8 << 10;

/// Which launcher keeps hold of the container's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LauncherKind {
    /// Cgroups and namespaces.
    Linux,
    /// Sessions below a subreaper; works without root and without cgroups.
    Posix,
}

/// What is executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCommand {
    /// True: `/bin/sh -c value`. False: `value` is searched in PATH and executed with `arguments`.
    pub shell: bool,
    /// The shell text or the program.
    pub value: String,
    /// The complete argv of the exec form, `argv[0]` included; empty means `[value]`.
    pub arguments: Vec<String>,
}

/// A user, looked up by the agent before the launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedUser {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All groups, the primary one included.
    pub groups: Vec<u32>,
}

/// One resource limit as `setrlimit(2)` takes it; `None` is unlimited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRlimit {
    /// Mesos' name, for messages: `RLMT_NOFILE`.
    pub name: String,
    /// The kernel's number (`RLIMIT_NOFILE`).
    pub resource: u32,
    /// The limit in force.
    pub soft: Option<u64>,
    /// The most that the task may raise it to.
    pub hard: Option<u64>,
}

/// Namespaces of its own that the task gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// Process ids; implies a mount namespace, because `/proc` must be mounted anew.
    pub pid: bool,
    /// Mounts.
    pub mount: bool,
    /// System V IPC and POSIX queues.
    pub ipc: bool,
    /// Host name.
    pub uts: bool,
}

/// One bind mount inside the task's mount namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedMount {
    /// Directory of the host.
    pub source: PathBuf,
    /// Where the task sees it.
    pub target: PathBuf,
    /// Mounted read-only.
    pub read_only: bool,
}

/// One persistent volume inside the task's mount namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedVolume {
    /// Its folder on the host.
    pub source: PathBuf,
    /// Where the task sees it: a folder in the sandbox, relative to that, names only.
    pub place: PathBuf,
    /// Mounted read-only.
    pub read_only: bool,
}

/// How a process enters a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupVersion {
    /// One tree per controller; joined through `tasks`.
    V1,
    /// One tree; joined through `cgroup.procs`.
    V2,
}

/// The task's leaf in one cgroup hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCgroup {
    /// Version of the hierarchy.
    pub version: CgroupVersion,
    /// Controllers of this hierarchy that mesosd uses.
    pub controllers: Vec<String>,
    /// The leaf's directory.
    pub path: PathBuf,
}

/// What the built-in command executor needs beyond the task itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorPlan {
    /// The agent's unix socket for built-in executors.
    pub socket: PathBuf,
    /// Framework of the task.
    pub framework_id: String,
    /// Executor id; equals the task id in the command executor.
    pub executor_id: String,
    /// The task; empty for the default executor.
    pub task_id: String,
    /// Time between SIGTERM and SIGKILL when the task has no kill policy, in milliseconds.
    pub shutdown_grace_ms: u64,
    /// True if the framework checkpoints: wait for a lost agent instead of ending the task.
    pub checkpoint: bool,
    /// How long to wait for a lost agent when checkpointing, in milliseconds.
    pub recovery_timeout_ms: u64,
    /// `Some`: the default executor, which runs task groups; `None`: the command executor.
    #[serde(default)]
    pub groups: Option<GroupsPlan>,
}

/// What the default executor needs to bring the files of its tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupsPlan {
    /// Where relative paths begin (`--frameworks_home`).
    pub frameworks_home: Option<PathBuf>,
    /// Longest time without a byte, in milliseconds (`--fetcher_stall_timeout`).
    pub stall_timeout_ms: u64,
    /// Variables for the fetcher, such as those of proxies.
    pub environment: Vec<(String, String)>,
}

/// Everything about one launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchPlan {
    /// The container.
    pub container_id: String,
    /// `<runtime_dir>/containers/<container id>`: home of the files `status` and `pid`.
    pub runtime: PathBuf,
    /// The task's working directory, a path of the host.
    pub sandbox: PathBuf,
    /// What is executed.
    pub command: PlannedCommand,
    /// The complete environment; nothing is inherited.
    pub environment: Vec<(String, String)>,
    /// `None`: the task runs as the supervisor's own user.
    pub user: Option<PlannedUser>,
    /// File mode creation mask.
    pub umask: u32,
    /// Resource limits.
    pub rlimits: Vec<PlannedRlimit>,
    /// Namespaces.
    pub namespaces: Namespaces,
    /// Persistent volumes that are mounted, before all other mounts.
    pub volumes: Vec<PlannedVolume>,
    /// Bind mounts, performed in order.
    pub mounts: Vec<PlannedMount>,
    /// Where the task is placed; empty without cgroups.
    pub cgroups: Vec<TaskCgroup>,
    /// `/proc/self/oom_score_adj` of the task, when it is not zero.
    pub oom_score_adj: Option<i32>,
    /// The memory limit in bytes, for messages.
    pub memory_limit: Option<u64>,
    /// The launcher.
    pub launcher: LauncherKind,
    /// `Some`: the supervisor is a built-in executor; `None`: the command is an executor.
    pub executor: Option<ExecutorPlan>,
}

/// Why a supervisor has no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The descriptor cannot be read.
    #[error("cannot read the launch plan from descriptor {PLAN_FD}")]
    Read(#[source] std::io::Error),
    /// The text is not a plan.
    #[error("the launch plan on descriptor {PLAN_FD} is malformed")]
    Malformed(#[source] serde_json::Error),
}

impl LaunchPlan {
    /// The plan that this process inherited on [`PLAN_FD`]; the descriptor is closed. To be called
    /// once, first thing in the supervisor.
    pub fn inherited() -> Result<Self, PlanError> {
        // SAFETY: the agent put the plan on this number and nothing else in this process owns it; if
        // it is not open, reading fails with EBADF.
        let descriptor = unsafe {
            if libc::fcntl(PLAN_FD, libc::F_GETFD) < 0 {
                return Err(PlanError::Read(std::io::Error::last_os_error()));
            }
            // Only supervisor and first process hold the lifeline, nothing that they execute.
            libc::fcntl(LIFELINE_FD, libc::F_SETFD, libc::FD_CLOEXEC);
            OwnedFd::from_raw_fd(PLAN_FD)
        };
        let mut file = File::from(descriptor);
        let mut text = Vec::with_capacity(PLAN_BYTES_USUAL);
        // The file is shared with nobody, but its offset is where the writer left it.
        file.seek(SeekFrom::Start(0)).map_err(PlanError::Read)?;
        file.take(PLAN_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(PlanError::Read)?;
        serde_json::from_slice(&text).map_err(PlanError::Malformed)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
pub(super) mod tests {
    use super::*;

    /// A plan that runs `command` in a shell, without any isolation.
    pub(crate) fn shell(command: &str) -> LaunchPlan {
        LaunchPlan {
            container_id: "c1".into(),
            runtime: "/run/c1".into(),
            sandbox: "/tmp".into(),
            command: PlannedCommand {
                shell: true,
                value: command.into(),
                arguments: Vec::new(),
            },
            environment: vec![("A".into(), "b \"c\"\n".into())],
            user: None,
            umask: 0o022,
            rlimits: Vec::new(),
            namespaces: Namespaces::default(),
            volumes: Vec::new(),
            mounts: Vec::new(),
            cgroups: Vec::new(),
            oom_score_adj: None,
            memory_limit: None,
            launcher: LauncherKind::Posix,
            executor: None,
        }
    }

    #[test]
    fn plan_survives_json() {
        let mut plan = shell("true");
        plan.executor = Some(ExecutorPlan::default());
        plan.rlimits.push(PlannedRlimit {
            name: "RLMT_NOFILE".into(),
            resource: 7,
            soft: Some(10),
            hard: None,
        });
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<LaunchPlan>(&text).unwrap(), plan);
    }
}
