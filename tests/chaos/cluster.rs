//! The processes of a run, each on its machine: ZooKeepers, masters, agents and frameworks.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::framework::{FRAMEWORK, records};
use super::guard::RUN;
use super::network::{Network, address};

pub(crate) const ZOOKEEPERS: Range<usize> = 0..3;
pub(crate) const MASTERS: Range<usize> = 3..6;
pub(crate) const AGENTS: Range<usize> = 6..11;
pub(crate) const FRAMEWORKS: Range<usize> = 11..14;
pub(crate) const MACHINES: usize = FRAMEWORKS.end;
/// Agents whose work directory is a small file system of its own.
pub(crate) const SMALL_DISKS: Range<usize> = 6..8;

/// Of the frameworks: over HTTP by hand, not with the SDK.
const OVER_HTTP: usize = FRAMEWORKS.start + 1;
/// Of the frameworks: its tasks end with their agents.
const CARELESS: usize = FRAMEWORKS.start + 2;

/// Debian's; without it clocks are not skewed.
const FAKE_TIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// From the end of a process that nobody ended to its next start, as of an init system.
const RESTART: Duration = Duration::from_millis(300);

/// A machine's name in messages and paths.
pub(crate) fn name(machine: usize) -> String {
    let kinds = [
        ("zookeeper", ZOOKEEPERS),
        ("master", MASTERS),
        ("agent", AGENTS),
        ("framework", FRAMEWORKS),
    ];
    let kind = kinds.iter().find(|(_, range)| range.contains(&machine));
    let (kind, range) = kind.unwrap();
    format!("{kind}-{}", machine - range.start)
}

/// Frameworks that know that their tasks may end with an agent.
pub(crate) fn is_careless(machine: usize) -> bool {
    machine == CARELESS
}

/// The binary under test.
fn binary() -> PathBuf {
    let asked = std::env::var_os("MESOSD_CHAOS_BINARY");
    asked.map_or_else(|| env!("CARGO_BIN_EXE_mesosd").into(), PathBuf::from)
}

/// One machine's process.
#[derive(Default)]
struct Process {
    child: Option<Child>,
    /// When it is to start again.
    starts_at: Option<Instant>,
    /// A fault keeps it from starting.
    held: bool,
    /// Hours that its clock is wrong.
    skew: i32,
    /// It may end by itself until then.
    excused: Option<Instant>,
    /// It was asked to end, and may take its time.
    leaving: bool,
}

/// All machines of a run.
pub(crate) struct Cluster {
    pub(crate) run: String,
    pub(crate) dir: PathBuf,
    pub(crate) network: Network,
    processes: Vec<Process>,
    begin: Instant,
    /// What has happened, with times.
    pub(crate) timeline: Vec<String>,
    /// What must not have happened.
    pub(crate) wrong: Vec<String>,
    /// Nothing starts again by itself any more.
    ending: bool,
}

impl Cluster {
    /// Starts everything; returns when all agents are registered.
    pub(crate) fn start(run: &str, dir: &Path) -> Self {
        let mut cluster = Self {
            run: run.to_owned(),
            dir: dir.to_owned(),
            network: Network::new(MACHINES + 1),
            processes: (0..MACHINES).map(|_| Process::default()).collect(),
            begin: Instant::now(),
            timeline: Vec::new(),
            wrong: Vec::new(),
            ending: false,
        };
        for machine in 0..MACHINES {
            cluster.prepare(machine);
            cluster.launch(machine);
        }
        cluster.until("all agents are there", Duration::from_secs(60), |cluster| {
            cluster
                .agents()
                .is_some_and(|agents| agents.len() == AGENTS.len())
        });
        cluster
    }

    pub(crate) fn own(&self, machine: usize) -> PathBuf {
        self.dir.join(name(machine))
    }

    pub(crate) fn note(&mut self, what: &str) {
        let at = self.begin.elapsed().as_secs_f64();
        self.timeline.push(format!("{at:7.2} s  {what}"));
    }

    fn url(&self) -> String {
        let servers: Vec<String> = ZOOKEEPERS
            .map(|machine| format!("{}:2181", address(machine)))
            .collect();
        format!("zk://{}/mesos", servers.join(","))
    }

    /// For those that do not ask ZooKeeper.
    fn masters(&self) -> String {
        let masters: Vec<String> = MASTERS
            .map(|machine| format!("{}:5050", address(machine)))
            .collect();
        format!("http://{}", masters.join(","))
    }

    fn prepare(&self, machine: usize) {
        let own = self.own(machine);
        fs::create_dir_all(own.join("work")).unwrap();
        if ZOOKEEPERS.contains(&machine) {
            let quorum: Vec<String> = ZOOKEEPERS
                .map(|server| format!("server.{}={}:2888:3888", server + 1, address(server)))
                .collect();
            let text = format!(
                "tickTime=200\ninitLimit=50\nsyncLimit=5\ndataDir={}\nclientPortAddress={}\n\
                 clientPort=2181\nadmin.enableServer=false\n4lw.commands.whitelist=*\n\
                 minSessionTimeout=400\nmaxSessionTimeout=60000\n{}\n",
                own.join("work").display(),
                address(machine),
                quorum.join("\n"),
            );
            fs::write(own.join("zoo.cfg"), text).unwrap();
            fs::write(own.join("work/myid"), (machine + 1).to_string()).unwrap();
        }
        if SMALL_DISKS.contains(&machine) {
            let size = Some("size=64m");
            let flags = MsFlags::empty();
            mount(
                Some("mesosd-chaos"),
                &own.join("work"),
                Some("tmpfs"),
                flags,
                size,
            )
            .unwrap();
        }
        if FRAMEWORKS.contains(&machine) {
            fs::create_dir_all(records(&own)).unwrap();
        }
    }

    fn command(&self, machine: usize) -> Command {
        let own = self.own(machine);
        if ZOOKEEPERS.contains(&machine) {
            let jars =
                ["zookeeper", "slf4j-simple"].map(|jar| format!("/usr/share/java/{jar}.jar"));
            let mut command = Command::new("java");
            command
                .args([
                    "-Xmx128m",
                    "-XX:+UseSerialGC",
                    "-XX:TieredStopAtLevel=1",
                    "-Xshare:auto",
                ])
                .args(["-cp", &jars.join(":")])
                .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
                .arg(own.join("zoo.cfg"));
            return command;
        }
        if FRAMEWORKS.contains(&machine) {
            let mut command = Command::new(std::env::current_exe().unwrap());
            let url = if machine == OVER_HTTP {
                self.masters()
            } else {
                self.url()
            };
            let checkpoint = !is_careless(machine);
            let what = format!("{}|{url}|{checkpoint}|{}", name(machine), own.display());
            command.env(FRAMEWORK, what);
            return command;
        }
        let mut command = Command::new(binary());
        command
            .arg(format!("--ip={}", address(machine)))
            .arg("--no-hostname_lookup")
            .arg(format!("--hostname={}", address(machine)))
            .arg(format!("--work_dir={}", own.join("work").display()));
        if MASTERS.contains(&machine) {
            command.args([
                "--role=master",
                &format!("--zk={}", self.url()),
                "--quorum=2",
                "--zk_session_timeout=2secs",
                "--agent_ping_timeout=1secs",
                "--max_agent_ping_timeouts=3",
                "--port=5050",
            ]);
        } else {
            command.args([
                "--role=agent",
                &format!("--master={}", self.url()),
                &format!("--runtime_dir={}", own.join("run").display()),
                &format!("--cgroups_root={}/{}", self.run, machine - AGENTS.start),
                "--resources=cpus:4;mem:512;disk:512",
                "--registration_backoff_factor=200ms",
                "--executor_reregistration_timeout=10secs",
                "--port=5051",
            ]);
        }
        let skew = self.processes[machine].skew;
        if skew != 0 && Path::new(FAKE_TIME).exists() {
            command
                .env("LD_PRELOAD", FAKE_TIME)
                .env("FAKETIME", format!("{skew:+}h"))
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        command
    }

    fn launch(&mut self, machine: usize) {
        let log = self.dir.join(format!("{}.log", name(machine)));
        let mut options = File::options();
        let log = options.create(true).append(true).open(log).unwrap();
        let mut command = self.command(machine);
        command
            .env(RUN, &self.run)
            .env_remove("MESOS_MASTER")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.network.place(machine, &mut command);
        let process = &mut self.processes[machine];
        process.child = Some(command.spawn().unwrap());
        process.starts_at = None;
        process.leaving = false;
    }

    /// Ends a process without a word.
    pub(crate) fn kill(&mut self, machine: usize) {
        let process = &mut self.processes[machine];
        process.held = true;
        if let Some(mut child) = process.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What was killed starts again, maybe with another clock.
    pub(crate) fn revive(&mut self, machine: usize) {
        let process = &mut self.processes[machine];
        process.held = false;
        if process.child.is_none() {
            self.launch(machine);
        }
    }

    pub(crate) fn skew(&mut self, machine: usize, hours: i32) {
        self.processes[machine].skew = hours;
    }

    pub(crate) fn signal(&mut self, machine: usize, signal: Signal) {
        if signal == Signal::SIGTERM {
            self.processes[machine].held = true;
            self.processes[machine].leaving = true;
        }
        if let Some(child) = &self.processes[machine].child {
            let pid = i32::try_from(child.id()).unwrap();
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// It may end by itself in the next time.
    pub(crate) fn excuse(&mut self, machine: usize, lasts: Duration) {
        self.processes[machine].excused = Some(Instant::now() + lasts);
    }

    /// Starts what has ended by itself, and what could not be prevented from it.
    pub(crate) fn supervise(&mut self) {
        for machine in 0..MACHINES {
            let process = &mut self.processes[machine];
            let ended = process
                .child
                .as_mut()
                .and_then(|child| child.try_wait().unwrap());
            if let Some(status) = ended {
                process.child = None;
                process.starts_at = Some(Instant::now() + RESTART);
                let excused = process.excused.is_some_and(|until| Instant::now() < until);
                let wrong = if process.leaving {
                    // Also when others wanted it back before it had ended.
                    (!status.success()).then_some("was asked to end, and did")
                } else {
                    (!process.held).then_some("has ended by itself")
                };
                if let Some(wrong) = wrong.filter(|_| !excused && !self.ending) {
                    let line = format!("{} {wrong}: {status}", name(machine));
                    self.wrong.push(line.clone());
                    self.note(&line);
                }
            }
            let process = &self.processes[machine];
            let due = process.starts_at.is_some_and(|at| at <= Instant::now());
            if due && !process.held && !self.ending {
                self.launch(machine);
            }
        }
    }

    /// The reply of a client command at the operator's machine.
    pub(crate) fn ask(&self, words: &[&str]) -> Option<serde_json::Value> {
        let mut command = Command::new(binary());
        command
            .args(words)
            .args(["-o", "json"])
            .env("MESOS_MASTER", self.url())
            .env(RUN, &self.run)
            .stdin(Stdio::null());
        self.network.place_operator(&mut command);
        serde_json::from_slice(&command.output().unwrap().stdout).ok()
    }

    /// The active agents as the leader knows them.
    pub(crate) fn agents(&self) -> Option<Vec<serde_json::Value>> {
        let agents = self.ask(&["agents"])?.as_array()?.clone();
        let active = agents.into_iter().filter(|agent| agent["active"] == true);
        Some(active.collect())
    }

    /// The machine of the leading master.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.network.at_operator(|| {
            MASTERS.into_iter().find(|machine| {
                let metrics = get(&address(*machine), "/metrics/snapshot").unwrap_or_default();
                metrics.contains("\"master/elected\":1")
            })
        })
    }

    /// Polls until `done`, as a supervisor; false when it takes too long.
    pub(crate) fn until(
        &mut self,
        what: &str,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let begin = Instant::now();
        while !done(self) {
            self.supervise();
            if begin.elapsed() > limit {
                let line = format!("within {limit:?} it did not come to pass that {what}");
                self.note(&line);
                self.wrong.push(line);
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.note(&format!(
            "{what} after {:.2} s",
            begin.elapsed().as_secs_f64()
        ));
        true
    }

    /// Asks all of them to end, waits for it, and says how each has ended.
    pub(crate) fn end(&mut self, machines: Range<usize>, signal: Signal) {
        self.ending = true;
        for machine in machines.clone() {
            self.signal(machine, signal);
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        for machine in machines {
            let Some(mut child) = self.processes[machine].child.take() else {
                self.wrong
                    .push(format!("{} did not run at the end", name(machine)));
                continue;
            };
            let status = loop {
                match child.try_wait().unwrap() {
                    Some(status) => break Some(status),
                    None if Instant::now() > deadline => break None,
                    None => std::thread::sleep(Duration::from_millis(20)),
                }
            };
            if !status.is_some_and(|status| status.success()) {
                let line = format!("{} was asked to end, and did: {status:?}", name(machine));
                self.wrong.push(line);
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// The body of an answer to a GET.
fn get(host: &str, path: &str) -> Option<String> {
    let limit = Duration::from_millis(300);
    let to = format!("{host}:5050").parse().ok()?;
    let mut stream = TcpStream::connect_timeout(&to, limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}
