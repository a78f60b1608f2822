//! Masters and agents as processes, and the little HTTP that the tests speak.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The binary under test.
pub(crate) const MESOSD: &str = env!("CARGO_BIN_EXE_mesosd");

/// One daemon; ended when it is dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) port: u16,
    log: PathBuf,
}

impl Daemon {
    fn start(dir: &Path, name: &str, flags: &[String]) -> Self {
        Self::start_by(Command::new(MESOSD), dir, name, flags)
    }

    /// One that knows the hosts of a file, by a mount that nobody else sees.
    pub(crate) fn start_among(hosts: &Path, dir: &Path, name: &str, flags: &[String]) -> Self {
        let mut command = Command::new("unshare");
        let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        command.args(["--mount", "sh", "-c", script]);
        command.arg(hosts).arg(MESOSD);
        Self::start_by(command, dir, name, flags)
    }

    fn start_by(mut command: Command, dir: &Path, name: &str, flags: &[String]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let log = dir.join(format!("{name}.log"));
        let output = File::create(&log).unwrap();
        let child = command
            .args(flags)
            .args(["--ip=127.0.0.1", "--no-hostname_lookup"])
            .arg(format!("--port={port}"))
            .arg(format!("--work_dir={}", dir.join(name).display()))
            .env_remove("MESOS_MASTER")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut daemon = Self { child, port, log };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = daemon.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{}",
                daemon.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()),
            signal,
        )
        .unwrap();
    }

    /// Waits for the end and gives the exit code.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<i32> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(
                Instant::now() < deadline,
                "it does not end:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The answer to a GET: status line and headers, then the body.
    pub(crate) fn get(&self, path: &str) -> (String, String) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        self.exchange(request.as_bytes())
    }

    /// The answer to a POST of JSON.
    pub(crate) fn post(&self, path: &str, body: &str) -> (String, String) {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.exchange(request.as_bytes())
    }

    pub(crate) fn exchange(&self, request: &[u8]) -> (String, String) {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(request)?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        let text = ask().unwrap_or_default();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        (head.to_owned(), body.to_owned())
    }

    /// What the master says of itself.
    pub(crate) fn is_elected(&self) -> bool {
        let (_, body) = self.get("/metrics/snapshot");
        body.contains("\"master/elected\":1")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Several masters and some agents of one ensemble.
pub(crate) struct Cluster {
    pub(crate) masters: Vec<Daemon>,
    pub(crate) agents: Vec<Daemon>,
    pub(crate) url: String,
    pub(crate) dir: tempfile::TempDir,
    started: usize,
    /// More flags for masters.
    flags: Vec<String>,
}

impl Cluster {
    pub(crate) fn start(url: &str, masters: usize, agents: usize) -> Self {
        Self::with_flags(url, masters, agents, &[])
    }

    /// As [`Cluster::start`], with more flags for the masters.
    pub(crate) fn with_flags(url: &str, masters: usize, agents: usize, flags: &[&str]) -> Self {
        let mut cluster = Self {
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            masters: Vec::new(),
            agents: Vec::new(),
            url: url.to_owned(),
            dir: tempfile::tempdir().unwrap(),
            started: 0,
        };
        for _ in 0..masters {
            cluster.add_master();
        }
        for number in 0..agents {
            let name = format!("agent-{number}");
            let run = cluster.dir.path().join(&name).join("run");
            let flags = [
                "--role=agent".to_owned(),
                format!("--master={url}"),
                format!("--hostname={name}.test"),
                format!("--runtime_dir={}", run.display()),
                "--launcher=posix".to_owned(),
                "--isolation=posix/cpu,posix/mem".to_owned(),
                "--registration_backoff_factor=100ms".to_owned(),
                "--resources=cpus:4;mem:512;disk:512".to_owned(),
            ];
            cluster
                .agents
                .push(Daemon::start(cluster.dir.path(), &name, &flags));
        }
        cluster
    }

    pub(crate) fn add_master(&mut self) {
        let mut flags = vec![
            "--role=master".to_owned(),
            format!("--zk={}", self.url),
            "--quorum=2".to_owned(),
            "--zk_session_timeout=3secs".to_owned(),
        ];
        flags.extend(self.flags.iter().cloned());
        let name = format!("master-{}", self.started);
        self.started += 1;
        self.masters
            .push(Daemon::start(self.dir.path(), &name, &flags));
    }

    /// The number of the leading master.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.masters.iter().position(Daemon::is_elected)
    }

    /// The reply of a client command that finds the leader by ZooKeeper.
    pub(crate) fn ask(&self, words: &[&str]) -> Option<serde_json::Value> {
        let output = Command::new(MESOSD)
            .args(words)
            .args(["-o", "json"])
            .env("MESOS_MASTER", &self.url)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    /// The logs of all, for a failure's message.
    pub(crate) fn logs(&self) -> String {
        let daemons = self.masters.iter().chain(&self.agents);
        daemons
            .map(|daemon| format!("--- {}\n{}", daemon.log.display(), daemon.log()))
            .collect()
    }
}
