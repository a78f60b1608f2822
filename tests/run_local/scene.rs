//! A place to run the real binary in, and to look for what it leaves behind.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long one run may take.
const PATIENCE: Duration = Duration::from_secs(60);

static MARKS: AtomicU32 = AtomicU32::new(0);

/// A temporary directory that is `TMPDIR` for the binary, and a number that no other process has in its
/// command line.
pub(crate) struct Scene {
    directory: tempfile::TempDir,
    mark: String,
}

/// What a run has said and how it ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Notes which containers a run has, while this value lives.
pub(crate) struct Containers {
    over: Arc<AtomicBool>,
    watching: Option<JoinHandle<BTreeSet<String>>>,
}

impl Containers {
    /// Ends the watch: no control group of any container that was seen may be left.
    pub(crate) fn assert_gone(mut self) {
        self.over.store(true, Ordering::Relaxed);
        let seen = self.watching.take().unwrap().join().unwrap();
        let left: Vec<_> = groups_ending_with("")
            .into_iter()
            .filter(|group| {
                let name = group
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned());
                name.is_some_and(|name| seen.contains(&name))
            })
            .collect();
        assert!(left.is_empty(), "control groups are left: {left:?}");
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// A run that goes on.
pub(crate) struct Process {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<BufReader<ChildStderr>>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("tmp")).unwrap();
        let number = MARKS.fetch_add(1, Ordering::Relaxed);
        Self {
            directory,
            mark: format!("1000.{}{number:04}", std::process::id()),
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A time to sleep that marks a process as ours.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    fn tmp(&self) -> PathBuf {
        self.directory.path().join("tmp")
    }

    pub(crate) fn run(&self, command: &[&str]) -> Done {
        self.start(command).wait()
    }

    pub(crate) fn run_with(&self, flags: &[&str], command: &[&str]) -> Done {
        let words = [&["run", "--local"], flags, &["--"], command].concat();
        self.start_words(&words).wait()
    }

    pub(crate) fn start(&self, command: &[&str]) -> Process {
        self.start_words(&[&["run", "--local", "--"], command].concat())
    }

    pub(crate) fn start_words(&self, words: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesosd"));
        command
            .args(words)
            .env("TMPDIR", self.tmp())
            .env_remove("MESOS_MASTER")
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A shell that started the tests in the background lets them ignore SIGINT, which their children
        // would inherit; a terminal does not.
        // SAFETY: between fork and exec, one system call on plain numbers.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                Ok(())
            });
        }
        let mut child = command.spawn().unwrap();
        Process {
            stdout: child.stdout.take().map(BufReader::new),
            stderr: child.stderr.take().map(BufReader::new),
            child,
        }
    }

    /// Command lines of processes that carry our mark.
    pub(crate) fn processes(&self) -> Vec<String> {
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(|entry| {
                let name = entry.file_name();
                name.to_string_lossy().bytes().all(|b| b.is_ascii_digit())
            })
            .filter_map(|entry| {
                let words = fs::read(entry.path().join("cmdline")).ok()?;
                let words = String::from_utf8_lossy(&words).replace('\0', " ");
                // The test's own run has it in its command line too, but has ended.
                words.contains(&self.mark).then_some(words)
            })
            .collect()
    }

    /// Watches which containers there are from now on.
    pub(crate) fn containers(&self) -> Containers {
        let over = Arc::new(AtomicBool::new(false));
        let (watched, tmp) = (Arc::clone(&over), self.tmp());
        let names = |directory: PathBuf| {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
        };
        let watch = move || {
            let mut seen = BTreeSet::new();
            while !watched.load(Ordering::Relaxed) {
                for cluster in names(tmp.clone()) {
                    seen.extend(names(tmp.join(cluster).join("run/containers")));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            seen
        };
        Containers {
            over,
            watching: Some(std::thread::spawn(watch)),
        }
    }

    /// No file, no mount, no process.
    pub(crate) fn assert_clean(&self) {
        let left: Vec<_> = fs::read_dir(self.tmp())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(left, Vec::<PathBuf>::new(), "files are left");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = self.directory.path().display().to_string();
        assert!(!mounts.contains(&own), "mounts are left: {mounts}");
        let groups = groups_ending_with("");
        let left: Vec<_> = groups
            .iter()
            .filter(|group| {
                let members = fs::read_to_string(group.join("cgroup.procs"));
                members.is_ok_and(|members| members.lines().any(|pid| self.is_ours(pid)))
            })
            .collect();
        assert!(left.is_empty(), "control groups are left: {left:?}");
    }

    fn is_ours(&self, pid: &str) -> bool {
        let environment = fs::read(Path::new("/proc").join(pid).join("environ"));
        let own = self.directory.path().display().to_string();
        environment.is_ok_and(|text| String::from_utf8_lossy(&text).contains(&own))
    }
}

/// Control groups of all hierarchies whose path below the hierarchy ends so.
pub(crate) fn groups_ending_with(suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut next = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = next.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                next.push(entry.path());
            }
        }
        if directory.display().to_string().ends_with(suffix) {
            found.push(directory);
        }
    }
    found
}

impl Process {
    /// The next line of stdout.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut stderr = String::new();
            let _read = self.stderr.take().unwrap().read_to_string(&mut stderr);
            panic!("stdout has ended: {stderr}");
        }
        line.trim_end().to_owned()
    }

    /// The next line of stderr.
    pub(crate) fn error_line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    pub(crate) fn signal(&self, signal: i32) {
        let pid = libc::pid_t::try_from(self.child.id()).unwrap();
        // SAFETY: plain numbers; the child has not been reaped.
        unsafe { libc::kill(pid, signal) };
    }

    pub(crate) fn close_output(&mut self) {
        self.stdout = None;
    }

    pub(crate) fn wait(mut self) -> Done {
        let read_out = self
            .stdout
            .take()
            .map(|mut from| read(move |to| from.read_to_end(to)));
        let read_err = self
            .stderr
            .take()
            .map(|mut from| read(move |to| from.read_to_end(to)));
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if begin.elapsed() > PATIENCE {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                let stderr = read_err.map(|reader| reader.join().unwrap());
                panic!("it does not end: {stderr:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let text = |reader: Option<JoinHandle<String>>| {
            reader.map_or_else(String::new, |reader| reader.join().unwrap())
        };
        Done {
            code: status.code().unwrap_or(-1),
            stdout: text(read_out),
            stderr: text(read_err),
        }
    }
}

fn read(
    mut from: impl FnMut(&mut Vec<u8>) -> std::io::Result<usize> + Send + 'static,
) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
