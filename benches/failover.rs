//! How long a cluster cannot be used when its leader goes: three masters and five agents of the real
//! binary, a real ZooKeeper, a session of 3 s; killed without a word, and asked to leave.
//!
//! `cargo bench --bench failover`; results go to stdout and, one JSON line each, to
//! `target/bench-results.jsonl`. Usable is an agent that the new leader offers: registered and active.

#[path = "results/mod.rs"]
mod results;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use mesosd::testing::ensemble::Ensemble;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The program under test; the variable `MESOSD` names another build of it.
static MESOSD: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::var_os("MESOSD").map_or_else(|| env!("CARGO_BIN_EXE_mesosd").into(), PathBuf::from)
});

type Failure = Box<dyn std::error::Error>;

const AGENTS: usize = 5;
const ROUNDS: usize = 7;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Failure> {
    let Some(ensemble) = Ensemble::start("bench: failover", 3) else {
        return Err("there is no ZooKeeper here".into());
    };
    let dir = tempfile::tempdir()?;
    let url = ensemble.url("/mesos");
    let mut masters = Vec::new();
    let mut started = 0;
    let mut master = || {
        started += 1;
        let flags = [
            "--role=master".to_owned(),
            format!("--zk={url}"),
            "--quorum=2".to_owned(),
            "--zk_session_timeout=3secs".to_owned(),
        ];
        Daemon::start(dir.path(), &format!("master-{started}"), &flags)
    };
    for _ in 0..3 {
        masters.push(master()?);
    }
    let mut agents = Vec::new();
    for number in 0..AGENTS {
        let name = format!("agent-{number}");
        // All other flags as they come, also the random wait before a registration: up to 1 s.
        let flags = [
            "--role=agent".to_owned(),
            format!("--master={url}"),
            format!(
                "--runtime_dir={}",
                dir.path().join(&name).join("run").display()
            ),
            "--launcher=posix".to_owned(),
            "--isolation=posix/cpu,posix/mem".to_owned(),
            "--resources=cpus:4;mem:512;disk:512".to_owned(),
        ];
        agents.push(Daemon::start(dir.path(), &name, &flags)?);
    }
    whole(&masters)?;
    for (id, signal) in [("killed", Signal::SIGKILL), ("handover", Signal::SIGTERM)] {
        let (mut elected, mut usable) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let number = leader(&masters)?;
            let old = masters.remove(number);
            let begin = Instant::now();
            old.signal(signal)?;
            leader(&masters)?;
            elected.push(begin.elapsed());
            whole(&masters)?;
            usable.push(begin.elapsed());
            drop(old);
            masters.push(master()?);
        }
        report(id, "another master is elected", elected)?;
        report(id, "all 5 agents are usable", usable)?;
    }
    Ok(())
}

/// The number of the leader, when there is one.
fn leader(masters: &[Daemon]) -> Result<usize, Failure> {
    soon("a master leads", || {
        let leads = |master: &Daemon| master.metrics().contains("\"master/elected\":1");
        masters.iter().position(leads)
    })
}

/// Returns when the leader has all agents.
fn whole(masters: &[Daemon]) -> Result<(), Failure> {
    // Metrics are numbers with a fraction.
    let active = format!("\"master/slaves_active\":{AGENTS}.");
    soon("all agents are active", || {
        let metrics = masters.iter().map(Daemon::metrics);
        let mut leading = metrics.filter(|text| text.contains("\"master/elected\":1"));
        leading.any(|text| text.contains(&active)).then_some(())
    })
}

fn soon<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> Result<T, Failure> {
    let begin = Instant::now();
    loop {
        match done() {
            Some(result) => return Ok(result),
            None if begin.elapsed() > PATIENCE => return Err(format!("timed out: {what}").into()),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

struct Daemon {
    child: Child,
    address: SocketAddr,
}

impl Daemon {
    fn start(dir: &Path, name: &str, flags: &[String]) -> Result<Self, Failure> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = File::create(dir.join(format!("{name}.log")))?;
        let child = Command::new(MESOSD.as_path())
            .args(flags)
            .args(["--ip=127.0.0.1", "--no-hostname_lookup"])
            .arg(format!("--port={}", address.port()))
            .arg(format!("--work_dir={}", dir.join(name).display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let daemon = Self { child, address };
        soon(name, || TcpStream::connect(address).ok())?;
        Ok(daemon)
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        Ok(kill(Pid::from_raw(self.child.id().try_into()?), signal)?)
    }

    /// The body of its metrics; nothing when it does not answer.
    fn metrics(&self) -> String {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"GET /metrics/snapshot HTTP/1.0\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        ask().unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn report(id: &str, parameters: &str, times: Vec<Duration>) -> Result<(), Failure> {
    let shown = results::times(&format!("failover/{id}"), parameters, None, &times)?;
    println!("{id:<10} {parameters:<30} {shown}");
    Ok(())
}
