//! A real ZooKeeper for tests: servers on loopback ports, in a directory of their own, ended by their
//! process ids, also when a test fails.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Where Debian's packages put what `tests/run` installs.
const JARS: &str = "/usr/share/java";
/// What every server needs, and what encryption needs besides.
const CLASSES: [&str; 11] = [
    "zookeeper",
    "slf4j-simple",
    "netty-all",
    "netty-buffer",
    "netty-codec",
    "netty-common",
    "netty-handler",
    "netty-resolver",
    "netty-transport",
    "netty-transport-native-unix-common",
    "netty-transport-native-epoll",
];
/// Until a server serves.
const START_MAX: Duration = Duration::from_secs(60);

static ENSEMBLES: AtomicU32 = AtomicU32::new(0);

/// Servers that elect a leader among themselves, or one that stands alone.
#[derive(Debug)]
pub struct Ensemble {
    servers: Vec<Server>,
    dir: PathBuf,
    java: Vec<String>,
}

#[derive(Debug)]
struct Server {
    child: Option<Child>,
    port: u16,
    config: PathBuf,
}

/// A loopback port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    listener.local_addr().expect("it is bound").port()
}

impl Ensemble {
    /// Starts `count` servers; none, and the test `name` counts as skipped, where there is no ZooKeeper.
    #[must_use]
    pub fn start(name: &str, count: usize) -> Option<Self> {
        Self::with(name, count, "", &[])
    }

    /// As [`Ensemble::start`], with more lines for `zoo.cfg` and more options for Java; `DIR` in them is
    /// the ensemble's directory.
    ///
    /// # Panics
    ///
    /// If the servers do not start.
    #[must_use]
    pub fn with(name: &str, count: usize, lines: &str, java: &[&str]) -> Option<Self> {
        if !Path::new(JARS).join("zookeeper.jar").exists() {
            super::skip(name, "ZooKeeper is missing: tests/run installs it");
            return None;
        }
        let number = ENSEMBLES.fetch_add(1, Ordering::Relaxed);
        let unique = format!("mesosd-zookeeper-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(unique);
        fs::create_dir_all(&dir).expect("the temporary directory is writable");
        let filled = |text: &str| text.replace("DIR", &dir.display().to_string());
        let mut ensemble = Self {
            servers: Vec::new(),
            java: java.iter().map(|option| filled(option)).collect(),
            dir: dir.clone(),
        };
        let quorum: Vec<String> = (1..=count)
            .filter(|_| count > 1)
            .map(|id| format!("server.{id}=127.0.0.1:{}:{}", free_port(), free_port()))
            .collect();
        for id in 1..=count {
            let own = dir.join(id.to_string());
            fs::create_dir_all(own.join("data")).expect("the directory is ours");
            fs::write(own.join("data/myid"), id.to_string()).expect("the directory is ours");
            let port = free_port();
            let text = format!(
                "tickTime=200\ninitLimit=50\nsyncLimit=5\ndataDir={}\nclientPortAddress=127.0.0.1\n\
                 clientPort={port}\nadmin.enableServer=false\n4lw.commands.whitelist=*\n\
                 minSessionTimeout=400\nmaxSessionTimeout=60000\nquorumListenOnAllIPs=false\n\
                 {}\n{}\n",
                own.join("data").display(),
                quorum.join("\n"),
                filled(lines)
            );
            let config = own.join("zoo.cfg");
            fs::write(&config, text).expect("the directory is ours");
            ensemble.servers.push(Server {
                child: None,
                port,
                config,
            });
        }
        for server in 0..count {
            ensemble.run(server);
        }
        ensemble.wait();
        Some(ensemble)
    }

    fn run(&mut self, number: usize) {
        let server = &mut self.servers[number];
        let classes: Vec<String> = CLASSES
            .iter()
            .map(|name| format!("{JARS}/{name}.jar"))
            .collect();
        let log = server.config.with_file_name("log");
        let log = File::options().create(true).append(true).open(log);
        let log = log.expect("the directory is ours");
        let child = Command::new("java")
            .args([
                "-Xmx256m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Xshare:auto",
            ])
            .args(&self.java)
            .args(["-cp", &classes.join(":")])
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(&server.config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor is free"))
            .stderr(log)
            .spawn()
            .expect("tests/run installs Java with ZooKeeper");
        server.child = Some(child);
    }

    /// Waits until all servers that run serve.
    ///
    /// # Panics
    ///
    /// If that takes too long; the servers' logs are in the message.
    pub fn wait(&self) {
        let deadline = Instant::now() + START_MAX;
        let running = |server: &&Server| server.child.is_some();
        for server in self.servers.iter().filter(running) {
            while !serves(server.port) {
                assert!(
                    Instant::now() < deadline,
                    "ZooKeeper does not serve:\n{}",
                    self.logs()
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn logs(&self) -> String {
        let logs = self.servers.iter();
        let logs = logs.map(|server| fs::read_to_string(server.config.with_file_name("log")));
        logs.map(Result::unwrap_or_default).collect()
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many servers there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.servers.len()
    }

    /// The port of a server.
    #[must_use]
    pub fn port(&self, server: usize) -> u16 {
        self.servers[server].port
    }

    /// `zk://` and all servers, then `path`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let servers = self.servers.iter();
        let servers: Vec<String> = servers
            .map(|server| format!("127.0.0.1:{}", server.port))
            .collect();
        format!("zk://{}{path}", servers.join(","))
    }

    /// Ends a server without a word.
    pub fn crash(&mut self, server: usize) {
        if let Some(mut child) = self.servers[server].child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts a server that was ended, with its data and its port.
    pub fn revive(&mut self, server: usize) {
        self.run(server);
    }

    /// Lets a server stand still.
    pub fn freeze(&self, server: usize) {
        self.signal(server, Signal::SIGSTOP);
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self, server: usize) {
        self.signal(server, Signal::SIGCONT);
    }

    fn signal(&self, server: usize, signal: Signal) {
        if let Some(child) = &self.servers[server].child {
            let pid = i32::try_from(child.id()).expect("process ids are positive");
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for server in 0..self.servers.len() {
            self.crash(server);
        }
        // Left behind it only costs space.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// True when a server answers as one that has found its place.
fn serves(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"srvr")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    ask().is_ok_and(|text| text.contains("Mode: "))
}
