//! The agent as a service on a host with cgroup version 1: a stand-in for systemd starts it in groups of
//! its own, listens to it, ends nothing but its main process (`KillMode=process`), and starts it again in
//! the same groups, once as another copy of the binary. `tests/containers/vm/service` is the real systemd.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mesosd::proto::v1::TaskState::{TaskFailed, TaskRunning};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::{Cluster, MESOSD};
use crate::leftovers::processes_of;
use crate::scheduler::{Scheduler, task};

const LIMIT: Duration = Duration::from_secs(30);
const WATCHDOG: Duration = Duration::from_secs(2);
/// Where a unit with `Delegate=yes` has groups.
const HIERARCHIES: [&str; 5] = ["cpu", "cpuacct", "memory", "pids", "systemd"];

/// A unit of the stand-in.
struct Unit {
    groups: Vec<PathBuf>,
    socket: UnixDatagram,
    notify: PathBuf,
    flags: Vec<String>,
    main: Option<Child>,
}

impl Unit {
    fn new(cluster: &Cluster) -> Self {
        let dir = cluster.dir();
        let name = format!("mesosd-test-unit-{}", std::process::id());
        let groups: Vec<PathBuf> = HIERARCHIES
            .iter()
            .map(|hierarchy| Path::new("/sys/fs/cgroup").join(hierarchy))
            .filter(|hierarchy| hierarchy.join("cgroup.procs").exists())
            .map(|hierarchy| hierarchy.join(&name))
            .collect();
        for group in &groups {
            std::fs::create_dir_all(group).unwrap();
        }
        let notify = dir.join("notify");
        let socket = UnixDatagram::bind(&notify).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let flags = vec![
            "agent".to_owned(),
            "--ip=127.0.0.1".to_owned(),
            format!("--port={port}"),
            "--hostname=service.test".to_owned(),
            "--resources=cpus:2;mem:512;disk:100".to_owned(),
            format!("--master={}", cluster.address()),
            format!("--work_dir={}", dir.join("service").display()),
            format!("--runtime_dir={}", dir.join("service-run").display()),
            format!("--cgroups_root={name}-tasks"),
        ];
        Self {
            groups,
            socket,
            notify,
            flags,
            main: None,
        }
    }

    /// Starts the main process in the unit's groups and waits until it is ready.
    fn start(&mut self, binary: &Path) {
        let service = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/systemd/mesosd-service");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.notify.with_file_name("service.log"))
            .unwrap();
        let enter: String = self
            .groups
            .iter()
            .map(|group| format!("echo $$ > {}/cgroup.procs && ", group.display()))
            .collect();
        let child = Command::new("sh")
            .args(["-c", &format!("{enter}exec \"$@\""), "sh"])
            .arg(service)
            .args(&self.flags)
            .env("MESOSD", binary)
            .env("MESOSD_ETC", "/nonexistent")
            .env("NOTIFY_SOCKET", &self.notify)
            .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
            .env_remove("MESOS_MASTER")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.main = Some(child);
        while !self.heard().starts_with("READY=1") {}
    }

    fn heard(&self) -> String {
        let mut bytes = [0; 1000];
        let length = self.socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// Fails unless the watchdog hears of the agent in time.
    fn is_watched(&self) {
        for _ in 0..2 {
            let begin = Instant::now();
            while self.heard().trim() != "WATCHDOG=1" {}
            assert!(begin.elapsed() < WATCHDOG, "{:?}", begin.elapsed());
        }
    }

    /// `KillMode=process`: only the main process is told. Its exit code.
    fn stop(&mut self, signal: Signal) -> Option<i32> {
        let mut main = self.main.take().unwrap();
        let pid = Pid::from_raw(i32::try_from(main.id()).unwrap());
        kill(pid, signal).unwrap();
        if signal == Signal::SIGTERM {
            while !self.heard().starts_with("STOPPING=1") {}
        }
        main.wait().unwrap().code()
    }

    /// The groups of the unit that have processes, the one that only names it left out.
    fn busy(&self) -> Vec<&PathBuf> {
        let procs = |group: &Path| std::fs::read_to_string(group.join("cgroup.procs")).unwrap();
        let limiting = |group: &&PathBuf| !group.starts_with("/sys/fs/cgroup/systemd");
        let groups = self.groups.iter().filter(limiting);
        groups.filter(|group| !procs(group).is_empty()).collect()
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        if let Some(main) = &mut self.main {
            let _ = main.kill();
            let _ = main.wait();
        }
        for group in &self.groups {
            let _ = std::fs::remove_dir(group);
            let tasks = format!("{}-tasks", group.display());
            let _ = std::fs::remove_dir(tasks);
        }
    }
}

#[test]
fn a_service_is_restarted_and_replaced_under_its_tasks() {
    let v1 = Path::new("/sys/fs/cgroup/memory/cgroup.procs").exists();
    if !mesosd::testing::is_root() || !v1 {
        mesosd::testing::skip("service: cgroup v1", "needs root and cgroup version 1");
        return;
    }
    let cluster = Cluster::start(0, "");
    let mut unit = Unit::new(&cluster);
    unit.start(Path::new(MESOSD));
    unit.is_watched();
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let path = dir.path().display();
    let mut scheduler = Scheduler::start(&cluster, "service");
    let command = format!(
        "echo begin >> {path}/starts; cat /proc/self/cgroup > {path}/groups; \
         until [ -e {path}/go ]; do sleep 0.05; done; exit 3"
    );
    scheduler.submit(task("stays", &command));
    scheduler.wait_for("stays", TaskRunning);
    // What limits the unit does not limit its tasks.
    let groups = || std::fs::read_to_string(dir.path().join("groups")).unwrap_or_default();
    cluster.wait_until("the task says where it is", Duration::from_secs(30), || {
        groups().lines().any(|line| line.starts_with("1:"))
    });
    let groups = groups();
    let limiting = groups.lines().filter(|line| !line.contains("name=systemd"));
    let unit_name = format!("mesosd-test-unit-{}/", std::process::id());
    for line in limiting {
        assert!(!format!("{line}/").contains(&unit_name), "{groups}");
    }

    let copy = cluster.dir().join("mesosd-next");
    std::fs::copy(MESOSD, &copy).unwrap();
    for (signal, code, binary) in [
        (Signal::SIGTERM, Some(0), Path::new(MESOSD)),
        (Signal::SIGKILL, None, Path::new(MESOSD)),
        (Signal::SIGTERM, Some(0), &copy),
    ] {
        assert_eq!(unit.stop(signal), code);
        // What ends with the agent may need a moment.
        let begin = Instant::now();
        while !unit.busy().is_empty() {
            assert!(
                begin.elapsed() < Duration::from_secs(10),
                "these hold the unit: {:?}",
                unit.busy()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(!processes_of(&scheduler, "stays").is_empty(), "{signal}");
        unit.start(binary);
        unit.is_watched();
    }
    std::fs::write(dir.path().join("go"), "").unwrap();
    let end = scheduler.end_of("stays");
    assert_eq!(end.state(), TaskFailed, "{end:?}");
    assert_eq!(end.message(), "Command exited with status 3");
    let starts = std::fs::read_to_string(dir.path().join("starts")).unwrap();
    assert_eq!(starts, "begin\n", "it ran once");
    // The new copy serves what comes next, too.
    scheduler.submit(task("next", "exit 3"));
    assert_eq!(scheduler.end_of("next").state(), TaskFailed);
    scheduler.teardown();
    assert_eq!(unit.stop(Signal::SIGUSR1), Some(0));
    assert_eq!(processes_of(&scheduler, "stays"), [""; 0]);
    for group in unit.groups.clone() {
        std::fs::remove_dir(&group).unwrap();
    }
}
