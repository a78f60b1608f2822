//! The binary under test, and daemons that end with the test.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(crate) const MESOSD: &str = env!("CARGO_BIN_EXE_mesosd");

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The binary without the variables of this process that mean a daemon or a cluster.
pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(MESOSD);
    command.args(words);
    clean(&mut command);
    command
}

/// Takes away what this process may have in its environment.
pub(crate) fn clean(command: &mut Command) {
    command.stdin(Stdio::null()).env_remove("NOTIFY_SOCKET");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MESOS_") {
            command.env_remove(name);
        }
    }
}

/// Runs the binary to its end.
pub(crate) fn mesosd(words: &[&str]) -> Output {
    command(words).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a daemon that must refuse its configuration, and gives its one line.
pub(crate) fn refused(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{command:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{command:?}");
    assert_eq!(stderr.lines().count(), 1, "{command:?}: {stderr}");
    let line = stderr.trim_end();
    line.strip_prefix("mesosd: ").unwrap().to_owned()
}

/// An address of this host where nobody listens.
pub(crate) fn unused() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Asks until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A directory of a test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(dir.path(), open).unwrap();
        Self(dir)
    }

    /// The path of something in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `--flag=PATH` of something in it.
    pub(crate) fn flag(&self, flag: &str, name: &str) -> String {
        format!("--{flag}={}", self.path(name).display())
    }

    /// Writes a file, and the directories above it.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

/// A daemon that runs.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a daemon whose stderr goes to the file `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let output = File::create(log).unwrap();
        let child = command
            .stderr(output)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            log: log.to_owned(),
        }
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The first line of its log with `part`.
    pub(crate) fn line(&mut self, part: &str) -> String {
        until(part, || {
            let log = self.log();
            // The last line may be half written.
            let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let found = whole.lines().find(|line| line.contains(part));
            let ended = self.child.try_wait().unwrap();
            assert!(found.is_some() || ended.is_none(), "no '{part}' in\n{log}");
            found.map(str::to_owned)
        })
    }

    /// Where it says that it listens.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let line = self.line("serves on");
        let (_, rest) = line.split_once("serves on ").unwrap();
        let end = rest.find([',', '"']).unwrap_or(rest.len());
        rest[..end].parse().unwrap()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Waits for its end: the exit code, none after a signal.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        until("the end of the daemon", || self.child.try_wait().unwrap()).code()
    }

    /// SIGTERM, and then the end.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        kill(self.pid(), Signal::SIGTERM).unwrap();
        self.wait()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A master on a free port of the loopback address.
pub(crate) fn master(folder: &Folder, more: &[&str]) -> Daemon {
    let work = folder.flag("work_dir", "master");
    let mut words = vec!["--role=master", "--ip=127.0.0.1", "--port=0", &work];
    words.extend(more);
    Daemon::start(command(&words), &folder.path("master.log"))
}
