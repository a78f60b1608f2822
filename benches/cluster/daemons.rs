//! The processes under measurement, and what they say and use.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::Failure;

/// The program under test; the variable `MESOSD` names another build of it.
pub(super) static MESOSD: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::var_os("MESOSD").map_or_else(|| env!("CARGO_BIN_EXE_mesosd").into(), PathBuf::from)
});

pub(super) struct Daemon {
    pub(super) child: Child,
    pub(super) address: SocketAddr,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").arg(pid).status();
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn daemon(dir: &Path, name: &str, flags: &[String]) -> Result<Daemon, Failure> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    daemon_at(address, dir, name, flags)
}

pub(super) fn daemon_at(
    address: SocketAddr,
    dir: &Path,
    name: &str,
    flags: &[String],
) -> Result<Daemon, Failure> {
    let log = std::fs::File::create(dir.join(format!("{name}.log")))?;
    // As many connections as this host allows.
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n $(ulimit -Hn); exec \"$@\"", "sh"])
        .arg(MESOSD.as_path())
        .args(flags)
        .args([
            "--ip=127.0.0.1".to_owned(),
            format!("--port={}", address.port()),
            format!("--work_dir={}", dir.join(name).display()),
        ])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    while std::net::TcpStream::connect(address).is_err() {
        if let Some(status) = child.try_wait()? {
            let log = std::fs::read_to_string(dir.join(format!("{name}.log")))?;
            return Err(format!("{name}: {status}\n{log}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(Daemon { child, address })
}

pub(super) fn master(dir: &Path) -> Result<Daemon, Failure> {
    daemon(dir, "master", &["--role=master".to_owned()])
}

pub(super) fn agent(dir: &Path, master: &Daemon) -> Result<Daemon, Failure> {
    daemon(dir, "agent", &agent_flags(dir, master))
}

pub(super) fn agent_flags(dir: &Path, master: &Daemon) -> [String; 5] {
    [
        "--role=agent".to_owned(),
        format!("--master={}", master.address),
        format!("--runtime_dir={}", dir.join("run").display()),
        format!("--cgroups_root=mesosd-bench-{}", std::process::id()),
        "--resources=cpus:1000;mem:100000;disk:1000;ports:[31000-31999]".to_owned(),
    ]
}

/// What a master answers to a GET with 200; none otherwise.
pub(super) fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut socket = std::net::TcpStream::connect(address).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    socket.read_to_string(&mut text).ok()?;
    text.starts_with("HTTP/1.1 200").then_some(text)
}

/// One number of `/metrics/snapshot`; none while nobody answers.
pub(super) fn metric(address: SocketAddr, name: &str) -> Option<f64> {
    let text = get(address, "/metrics/snapshot")?;
    let (_, rest) = text.split_once(&format!("\"{name}\":"))?;
    let end = rest.find([',', '}'])?;
    rest[..end].trim().parse().ok()
}

/// Polls until `done`.
pub(super) async fn wait_until(
    what: &str,
    limit: Duration,
    done: impl Fn() -> bool,
) -> Result<(), Failure> {
    let deadline = Instant::now() + limit;
    while !done() {
        if Instant::now() > deadline {
            return Err(format!("timed out: {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// One field of `/proc/<pid>/<file>`, in KiB.
pub(super) fn proc_kib(pid: u32, file: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// Summed Pss of every process whose command is mesosd, in KiB.
pub(super) fn pss_of_all() -> u64 {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
                line.split(|byte| *byte == 0)
                    .next()
                    .is_some_and(|first| first.ends_with(b"mesosd"))
            })
        })
        .map(|pid| proc_kib(pid, "smaps_rollup", "Pss"))
        .sum()
}
