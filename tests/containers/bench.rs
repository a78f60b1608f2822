//! A containerizer of its own for each test, and the search for leftovers at the test's end.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesosd::agent::{ContainerConfig, ContainerKind, Ended};
use mesosd::base::{ContainerId, ExecutorId, FrameworkId};
use mesosd::containerizer::fetch::{FetchFailed, FetchRequest, Fetcher, Fetching};
use mesosd::containerizer::plan::LauncherKind;
use mesosd::containerizer::{ContainerEvent, Containerizer, ContainerizerConfig, LauncherChoice};
use mesosd::proto::v1;
use tokio::sync::mpsc::Receiver;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Writes a file, or fails, as the test's URI says.
#[derive(Debug)]
struct FakeFetcher;

impl Fetcher for FakeFetcher {
    fn fetch(&self, request: FetchRequest) -> Fetching {
        Box::pin(async move {
            for uri in &request.uris {
                if uri.value == "bad" {
                    return Err(FetchFailed("cannot fetch \"bad\"".to_owned()));
                }
                fs::write(request.sandbox.join(&uri.value), "fetched\n").unwrap();
            }
            Ok(())
        })
    }
}

/// True if containers with cgroups can run here; says so by the test's name if not.
pub(crate) fn can_isolate(test: &str) -> bool {
    if !mesosd::testing::is_root() {
        mesosd::testing::skip(test, "needs root");
        return false;
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    if !mounts.contains(" - cgroup") {
        mesosd::testing::skip(test, "needs mounted cgroups");
        return false;
    }
    true
}

/// A containerizer in a directory of its own, with a root cgroup of its own.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) containerizer: Arc<Containerizer>,
    pub(crate) events: Receiver<ContainerEvent>,
    pub(crate) cgroups_root: String,
}

impl Bench {
    pub(crate) fn new(launcher: LauncherChoice) -> Self {
        Self::with(launcher, |_| {})
    }

    pub(crate) fn with(
        launcher: LauncherChoice,
        change: impl FnOnce(&mut ContainerizerConfig),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let cgroups_root = format!("mesosd-test-{}-{number}", std::process::id());
        let mut config = Self::config(dir.path(), &cgroups_root);
        config.launcher = launcher;
        change(&mut config);
        let (containerizer, events) = Containerizer::new(config).unwrap();
        Self {
            dir,
            containerizer,
            events,
            cgroups_root,
        }
    }

    pub(crate) fn config(dir: &Path, cgroups_root: &str) -> ContainerizerConfig {
        let mut config = ContainerizerConfig::new(dir.join("run"), Arc::new(FakeFetcher));
        config.cgroups_root = cgroups_root.to_owned();
        config.program = env!("CARGO_BIN_EXE_mesosd").into();
        config.destroy_timeout = Duration::from_secs(20);
        config
    }

    /// A container that runs `command` in a shell, with one cpu and 64 MB.
    pub(crate) fn container(&self, command: &str) -> ContainerConfig {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("c{number}");
        let sandbox = self.dir.path().join("runs").join(&id);
        ContainerConfig {
            container_id: ContainerId::new(id.as_str()),
            framework_id: FrameworkId::new("f"),
            executor_id: ExecutorId::new("e"),
            kind: ContainerKind::Executor(Arc::default()),
            command: v1::CommandInfo {
                value: Some(command.to_owned()),
                ..Default::default()
            },
            user: None,
            environment: vec![("MESOS_SANDBOX".into(), sandbox.display().to_string())],
            sandbox,
            resources: mesosd::resources::parse("cpus:1;mem:64", &mesosd::roles::Role::default())
                .unwrap(),
            limits: BTreeMap::new(),
            volumes: Vec::new(),
            container: None,
            shutdown_grace: Duration::from_secs(5),
            checkpoint: false,
            recovery_timeout: Duration::from_secs(60),
        }
    }

    /// The next event, within a time that only a hanging container needs.
    pub(crate) async fn event(&mut self) -> ContainerEvent {
        tokio::time::timeout(Duration::from_secs(60), self.events.recv())
            .await
            .expect("no event for a minute")
            .unwrap()
    }

    /// Launches and returns the supervisor's process id.
    pub(crate) async fn launch(&mut self, config: ContainerConfig) -> u32 {
        self.containerizer.launch(config);
        match self.event().await {
            ContainerEvent::Launched { pid, .. } => pid,
            other => panic!("not launched: {other:?}"),
        }
    }

    /// The next end of a container.
    pub(crate) async fn ended(&mut self) -> Ended {
        loop {
            if let ContainerEvent::Ended { ended, .. } = self.event().await {
                return *ended;
            }
        }
    }

    /// Runs a container to its end.
    pub(crate) async fn run(&mut self, config: ContainerConfig) -> Ended {
        self.containerizer.launch(config);
        self.ended().await
    }

    /// Waits until a task has written a line to `file` of its sandbox, and returns all of it.
    pub(crate) async fn line(config: &ContainerConfig, file: &str) -> String {
        let path = config.sandbox.join(file);
        for _ in 0..3000 {
            let text = fs::read_to_string(&path).unwrap_or_default();
            if text.ends_with('\n') {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let stderr = fs::read_to_string(config.sandbox.join("stderr"));
        panic!("nothing in {}; stderr: {stderr:?}", path.display());
    }

    /// Every cgroup of this test.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        mounts
            .lines()
            .filter(|line| line.contains(" - cgroup"))
            .map(|line| Path::new(line.split(' ').nth(4).unwrap()).join(&self.cgroups_root))
            .filter(|path| path.exists())
            .collect()
    }

    /// Shuts down and looks for what is left.
    pub(crate) async fn finish(self) {
        self.containerizer.shutdown().await;
        assert_eq!(self.cgroups(), Vec::<PathBuf>::new(), "cgroups remain");
        let records: Vec<_> = fs::read_dir(self.dir.path().join("run/containers"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(records, Vec::<PathBuf>::new(), "records remain");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(
            !mounts.contains(self.dir.path().to_str().unwrap()),
            "mounts remain"
        );
        let marker = self.dir.path().to_str().unwrap();
        assert_eq!(
            processes_with(marker),
            Vec::<String>::new(),
            "processes remain"
        );
    }
}

impl Drop for Bench {
    /// After a failed test: the next containerizer in the same place ends what is left.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let mut config = Self::config(self.dir.path(), &self.cgroups_root);
        config.launcher = match self.containerizer.launcher() {
            LauncherKind::Linux => LauncherChoice::Linux,
            LauncherKind::Posix => LauncherChoice::Posix,
        };
        drop(Containerizer::new(config));
        for path in self.cgroups() {
            let _in_use = fs::remove_dir(path);
        }
    }
}

/// Command lines and directories of processes that mention `marker`.
pub(crate) fn processes_with(marker: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let is_process = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.parse::<u32>().is_ok());
        if !is_process {
            continue;
        }
        let text = |name: &str| {
            let bytes = fs::read(entry.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let cwd = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        let all = format!("{} {} {}", text("cmdline"), text("environ"), cwd.display());
        if all.contains(marker) {
            found.push(format!("{}: {}", entry.path().display(), text("cmdline")));
        }
    }
    found
}
