//! A supervisor process with a temporary sandbox and runtime directory.

use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::os::fd::{AsRawFd as _, IntoRawFd as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mesosd::containerizer::plan::{
    ExecutorPlan, LIFELINE_FD, LaunchPlan, LauncherKind, Namespaces, PLAN_FD, PlannedCommand,
};
use mesosd::proto::v1;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Kills its supervisor when dropped; the supervisor's first process then ends the task.
pub(crate) struct Container {
    pub(crate) plan: LaunchPlan,
    directory: tempfile::TempDir,
    process: Option<Child>,
}

impl Container {
    /// Not yet running `command` in a shell.
    pub(crate) fn new(command: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtime = directory.path().join("runtime");
        let sandbox = directory.path().join("sandbox");
        fs::create_dir(&runtime).unwrap();
        fs::create_dir(&sandbox).unwrap();
        let plan = LaunchPlan {
            container_id: "c".into(),
            runtime,
            sandbox,
            command: PlannedCommand {
                shell: true,
                value: command.into(),
                arguments: Vec::new(),
            },
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
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
            executor: Some(ExecutorPlan {
                socket: directory.path().join("executor.sock"),
                framework_id: "f".into(),
                executor_id: "t".into(),
                task_id: "t".into(),
                shutdown_grace_ms: 5000,
                checkpoint: true,
                recovery_timeout_ms: 60_000,
                groups: None,
            }),
        };
        Self {
            plan,
            directory,
            process: None,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("executor.sock")
    }

    pub(crate) fn sandbox(&self) -> &Path {
        &self.plan.sandbox
    }

    pub(crate) fn task(&self) -> v1::TaskInfo {
        v1::TaskInfo {
            name: "t".into(),
            task_id: v1::TaskId { value: "t".into() },
            ..Default::default()
        }
    }

    pub(crate) fn spawn(&mut self) {
        let mut plan = tempfile::tempfile().unwrap();
        plan.write_all(&serde_json::to_vec(&self.plan).unwrap())
            .unwrap();
        plan.rewind().unwrap();
        let lifeline = File::open("/dev/null").unwrap();
        // Above the numbers that they are put on, so that neither overwrites the other.
        let (plan, lifeline) = (high(&plan), high(&lifeline));
        let open = |name: &str| File::create(self.plan.sandbox.join(name)).unwrap();
        let mode = if self.plan.executor.is_some() {
            "executor"
        } else {
            "launch"
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesosd"));
        command
            .arg(mode)
            .stdin(Stdio::null())
            .stdout(open("stdout"))
            .stderr(open("stderr"));
        // SAFETY: only system calls on plain numbers.
        unsafe {
            command.pre_exec(move || {
                for (from, to) in [(plan, PLAN_FD), (lifeline, LIFELINE_FD)] {
                    if libc::dup2(from, to) < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        self.process = Some(command.spawn().unwrap());
        // SAFETY: both were made by `high` and are used by nobody else.
        unsafe {
            libc::close(plan);
            libc::close(lifeline);
        }
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.process.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    pub(crate) fn wait_end(&mut self) {
        patiently("the supervisor to end", || !self.is_alive());
        let status = self.process.as_mut().unwrap().wait().unwrap();
        assert!(status.success(), "{status}");
    }

    pub(crate) fn terminate(&self) {
        let pid = libc::pid_t::try_from(self.process.as_ref().unwrap().id()).unwrap();
        // SAFETY: plain numbers; the child has not been reaped.
        unsafe { libc::kill(pid, libc::SIGTERM) };
    }

    /// The recorded wait status.
    pub(crate) fn status(&self) -> Option<String> {
        let text = fs::read_to_string(self.plan.runtime.join("status")).ok()?;
        Some(text.trim().to_owned())
    }

    pub(crate) fn await_status(&self) {
        patiently("a status", || self.status().is_some());
    }

    pub(crate) fn output(&self, name: &str) -> String {
        fs::read_to_string(self.plan.sandbox.join(name)).unwrap()
    }

    pub(crate) fn touch(&self, name: &str) {
        fs::write(self.plan.sandbox.join(name), "").unwrap();
    }

    /// Waits until the task has made a file.
    pub(crate) fn await_file(&self, name: &str) {
        patiently(name, || self.plan.sandbox.join(name).exists());
    }
}

fn high(file: &File) -> i32 {
    // SAFETY: plain numbers; the copy is closed by the caller.
    let fd = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 100) };
    assert!(fd >= 100);
    fd.into_raw_fd()
}

fn patiently(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ended = process.kill();
            process.wait().unwrap();
        }
    }
}
