//! A real cluster for tests: the real binary as master and agents, each a process with its own work
//! directory, port and cgroup root; everything is removed by name when it is dropped, also on failure.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The binary under test.
pub(crate) const MESOSD: &str = env!("CARGO_BIN_EXE_mesosd");

static CLUSTERS: AtomicU32 = AtomicU32::new(0);

/// The Python environment that `tests/run` makes; without it the test `name` counts as skipped.
pub(crate) fn python(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    if !path.exists() {
        mesosd::testing::skip(name, "target/venv is missing: tests/run makes it");
        return None;
    }
    Some(path)
}

/// One daemon of the cluster.
pub(crate) struct Daemon {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    log: PathBuf,
    flags: Vec<String>,
    uid: Option<u32>,
    /// What is executed before the flags: the binary under test, unless a test says otherwise.
    program: Vec<String>,
}

/// A master and some agents.
pub(crate) struct Cluster {
    /// The master's process.
    pub(crate) master: Daemon,
    /// The agents, in the order in which they were started.
    pub(crate) agents: Vec<Daemon>,
    dir: tempfile::TempDir,
    name: String,
}

/// A loopback port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The flags that others do not replace.
fn without(flags: &[String], others: &[&str]) -> Vec<String> {
    let stays = |flag: &&String| {
        let name = flag.split_once('=').map_or(flag.as_str(), |(name, _)| name);
        let begin = format!("{name}=");
        !others.iter().any(|other| other.starts_with(&begin))
    };
    flags.iter().filter(stays).cloned().collect()
}

impl Daemon {
    fn start(log: PathBuf, flags: Vec<String>, uid: Option<u32>) -> Self {
        Self::start_at(free_port(), log, flags, uid, vec![MESOSD.to_owned()])
    }

    /// Starts it once more with more flags, to do what it does and end; gives its exit code.
    pub(crate) fn run_to_end(&mut self, more: &[&str]) -> Option<i32> {
        let output = File::options().append(true).open(&self.log).unwrap();
        let child = Command::new(&self.program[0])
            .args(&self.program[1..])
            .args(without(&self.flags, more))
            .args(more)
            .args(["--ip=127.0.0.1", &format!("--port={}", self.address.port())])
            .env_remove("MESOS_MASTER")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap();
        self.child = child;
        self.wait(Duration::from_secs(20))
    }

    fn start_at(
        port: u16,
        log: PathBuf,
        flags: Vec<String>,
        uid: Option<u32>,
        program: Vec<String>,
    ) -> Self {
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let mut command = Command::new(&program[0]);
        command
            .args(&program[1..])
            .args(&flags)
            .args(["--ip=127.0.0.1", &format!("--port={port}")])
            .env_remove("MESOS_MASTER")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0);
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        let child = command.spawn().unwrap();
        let mut daemon = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            log,
            flags,
            uid,
            program,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(daemon.address).is_err() {
            assert!(
                daemon.child.try_wait().unwrap().is_none() && Instant::now() < deadline,
                "{:?} does not listen:\n{}",
                daemon.flags,
                daemon.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        daemon
    }

    /// What the daemon has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal`.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
    }

    /// Ends the daemon without a word and starts it again, with the same flags, port and log.
    pub(crate) fn crash_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.start_again(&[]);
    }

    /// Asks the daemon to end, waits until it has, and starts it again as it was, with more flags.
    pub(crate) fn restart(&mut self, with: Signal, more: &[&str]) {
        self.signal(with);
        self.wait(Duration::from_secs(20));
        self.start_again(more);
    }

    /// Starts what has ended once more, at the same port, with more flags; they win over the same ones of
    /// before.
    pub(crate) fn start_again(&mut self, more: &[&str]) {
        let mut flags = without(&self.flags, more);
        flags.extend(more.iter().map(|&flag| flag.to_owned()));
        let (log, program) = (self.log.clone(), self.program.clone());
        *self = Self::start_at(self.address.port(), log, flags, self.uid, program);
    }

    /// From its next start on, these words are executed before the flags.
    pub(crate) fn set_program(&mut self, program: &[&str]) {
        self.program = program.iter().map(|&word| word.to_owned()).collect();
    }

    /// Waits until the daemon ends and returns its exit code.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<i32> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{} still runs:\n{}", self.address, self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Cluster {
    /// Starts a master and `agents` agents with `resources` each and waits until all have registered.
    pub(crate) fn start(agents: usize, resources: &str) -> Self {
        Self::with_flags(agents, resources, &[], &[])
    }

    /// As [`Cluster::start`], with more flags for the master and for each agent.
    pub(crate) fn with_flags(
        agents: usize,
        resources: &str,
        master: &[&str],
        agent: &[&str],
    ) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("mesosd-test-")
            .tempdir()
            .unwrap();
        // Tasks that run as another user must reach their sandboxes.
        std::fs::set_permissions(
            dir.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let number = CLUSTERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("mesosd-test-{}-{number}", std::process::id());
        let mut flags = vec![
            "--role=master".to_owned(),
            format!("--work_dir={}", dir.path().join("master").display()),
        ];
        flags.extend(master.iter().map(|&flag| flag.to_owned()));
        let master = Daemon::start(dir.path().join("master.log"), flags, None);
        let mut cluster = Self {
            master,
            agents: Vec::new(),
            dir,
            name,
        };
        for _ in 0..agents {
            cluster.add_agent(resources, agent);
        }
        cluster.wait_for_agents(agents);
        cluster
    }

    /// Starts one more agent; it registers in its own time.
    pub(crate) fn add_agent(&mut self, resources: &str, more: &[&str]) {
        self.add_agent_of(Path::new(MESOSD), resources, more);
    }

    /// As [`Self::add_agent`], of another binary.
    pub(crate) fn add_agent_of(&mut self, binary: &Path, resources: &str, more: &[&str]) {
        let number = self.agents.len();
        let work = self.dir.path().join(format!("agent-{number}"));
        let mut flags = vec![
            "--role=agent".to_owned(),
            format!("--master={}", self.master.address),
            format!("--work_dir={}", work.display()),
            format!("--runtime_dir={}", work.join("run").display()),
            format!("--cgroups_root={}/{number}", self.name),
            format!("--hostname=agent-{number}.test"),
            format!("--resources={resources}"),
        ];
        flags.extend(more.iter().map(|&flag| flag.to_owned()));
        let log = self.dir.path().join(format!("agent-{number}.log"));
        let program = vec![binary.display().to_string()];
        let agent = Daemon::start_at(free_port(), log, flags, None, program);
        self.agents.push(agent);
    }

    /// What a power cut leaves of an agent: its work directory and nothing that runs.
    pub(crate) fn cut_power(&mut self, agent: usize) {
        self.agents[agent].signal(Signal::SIGKILL);
        self.agents[agent].wait(Duration::from_secs(20));
        for root in self.cgroup_roots() {
            remove_cgroup(&root.join(agent.to_string()));
        }
        std::fs::remove_dir_all(self.work_dir(agent).join("run")).unwrap();
    }

    /// Starts an agent as another user, who gets a directory of its own.
    pub(crate) fn add_agent_as(&mut self, uid: u32, resources: &str, more: &[&str]) {
        let number = self.agents.len();
        let work = self.dir.path().join(format!("agent-{number}"));
        std::fs::create_dir(&work).unwrap();
        std::os::unix::fs::chown(&work, Some(uid), Some(uid)).unwrap();
        let mut flags = vec![
            "--role=agent".to_owned(),
            format!("--master={}", self.master.address),
            format!("--work_dir={}", work.display()),
            format!("--hostname=agent-{number}.test"),
            format!("--resources={resources}"),
        ];
        flags.extend(more.iter().map(|&flag| flag.to_owned()));
        let log = self.dir.path().join(format!("agent-{number}.log"));
        self.agents.push(Daemon::start(log, flags, Some(uid)));
    }

    /// The work directory of an agent.
    pub(crate) fn work_dir(&self, agent: usize) -> PathBuf {
        self.dir.path().join(format!("agent-{agent}"))
    }

    /// A control file of a container, in the hierarchy of `controller` on hosts with cgroup v1.
    pub(crate) fn control(
        &self,
        agent: usize,
        controller: &str,
        container: &str,
        file: &str,
    ) -> PathBuf {
        let below = format!("{}/{agent}/{container}/{file}", self.name);
        let v1 = Path::new("/sys/fs/cgroup").join(controller).join(&below);
        if v1.exists() {
            return v1;
        }
        Path::new("/sys/fs/cgroup").join(below)
    }

    /// Waits until `count` agents are registered.
    pub(crate) fn wait_for_agents(&self, count: usize) {
        self.wait_until("the agents register", Duration::from_secs(20), || {
            let agents = self.json(&["agents"]);
            agents.as_array().is_some_and(|list| list.len() == count)
        });
    }

    /// Polls until `done`, or fails with all logs.
    pub(crate) fn wait_until(&self, what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + limit;
        while !done() {
            assert!(
                Instant::now() < deadline,
                "timed out: {what}\n{}",
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The master's address, as `--master` takes it.
    pub(crate) fn address(&self) -> String {
        self.master.address.to_string()
    }

    /// A directory that lives as long as the cluster.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A client command against this cluster.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(MESOSD);
        command
            .args(arguments)
            .env("MESOS_MASTER", self.address())
            .stdin(Stdio::null());
        command
    }

    /// The reply of a client command with `-o json`.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self
            .command(arguments)
            .args(["-o", "json"])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.logs()
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// All logs, for a failure's message.
    pub(crate) fn logs(&self) -> String {
        let mut text = format!("--- master\n{}", self.master.log());
        for (number, agent) in self.agents.iter().enumerate() {
            text.push_str(&format!("--- agent {number}\n{}", agent.log()));
        }
        text
    }

    /// Asks all to end, agents with all that runs on them; every daemon must exit with 0, and nothing
    /// may be left behind.
    pub(crate) fn stop(mut self) {
        let limit = Duration::from_secs(20);
        for agent in &mut self.agents {
            agent.signal(Signal::SIGUSR1);
            assert_eq!(agent.wait(limit), Some(0), "{}", agent.log());
        }
        self.master.signal(Signal::SIGTERM);
        let code = self.master.wait(limit);
        assert_eq!(code, Some(0), "{}", self.master.log());
        let left = self.containers();
        assert!(
            left.is_empty(),
            "cgroups are left: {left:?}\n{}",
            self.logs()
        );
    }

    /// The cgroups that this cluster's agents have made and that hold a container, in any hierarchy.
    pub(crate) fn containers(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for root in self.cgroup_roots() {
            for number in 0..self.agents.len() {
                let Ok(entries) = std::fs::read_dir(root.join(number.to_string())) else {
                    continue;
                };
                found.extend(
                    entries
                        .flatten()
                        .filter(|entry| entry.path().is_dir())
                        .map(|entry| entry.path()),
                );
            }
        }
        found
    }

    fn cgroup_roots(&self) -> Vec<PathBuf> {
        let Ok(hierarchies) = std::fs::read_dir("/sys/fs/cgroup") else {
            return Vec::new();
        };
        hierarchies
            .flatten()
            .map(|entry| entry.path().join(&self.name))
            .chain([Path::new("/sys/fs/cgroup").join(&self.name)])
            .filter(|path| path.is_dir())
            .collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.agents.clear();
        for root in self.cgroup_roots() {
            remove_cgroup(&root);
        }
    }
}

/// Kills what is in a cgroup tree of ours and removes it, children first.
fn remove_cgroup(path: &Path) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_cgroup(&entry.path());
        }
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while std::fs::remove_dir(path).is_err() && path.exists() && Instant::now() < deadline {
        let _ = std::fs::write(path.join("freezer.state"), "THAWED");
        let pids = std::fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        for pid in pids.lines().filter_map(|line| line.parse().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
