//! `mesosd fetch` as a real process, against a real HTTP server on the loopback address, with good and
//! with hostile archives.
#![expect(clippy::unwrap_used, reason = "tests")]

mod archives;
mod server;
mod tls;

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use archives::{Entry, bz2, gz, tar, xz, zip};
use mesosd::fetcher::{FetchError, FetchItem, FetchLimits, FetchRequest, FetchUser, fetch};
use server::{Answer, Server};

/// A sandbox inside a directory of its own, so that an escape would be seen.
struct Bench {
    outer: tempfile::TempDir,
    request: FetchRequest,
}

impl Bench {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let sandbox = outer.path().join("sandbox");
        fs::create_dir(&sandbox).unwrap();
        let request = FetchRequest {
            sandbox,
            items: Vec::new(),
            frameworks_home: None,
            stall_timeout_ms: 10_000,
            limits: FetchLimits::default(),
        };
        Self { outer, request }
    }

    fn item(&mut self, uri: &str) -> &mut FetchItem {
        self.request.items.push(FetchItem {
            uri: uri.to_owned(),
            executable: false,
            extract: true,
            output_file: None,
        });
        self.request.items.last_mut().unwrap()
    }

    fn fetch(&self) -> Result<(), FetchError> {
        self.fetch_with(Path::new(env!("CARGO_BIN_EXE_mesosd")), None)
    }

    fn fetch_with(&self, binary: &Path, user: Option<&FetchUser>) -> Result<(), FetchError> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(fetch(binary, &self.request, user))
    }

    /// The reason of a failure, which must name the URI and be in the log.
    fn refusal(&self) -> String {
        let uri = &self.request.items.last().unwrap().uri;
        let text = self.fetch().unwrap_err().to_string();
        assert!(text.contains(uri.as_str()), "{text}");
        assert!(self.read("stderr").contains(uri.as_str()));
        text
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.request.sandbox.join(name)).unwrap()
    }

    /// The names beside the sandbox.
    fn outside(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.outer.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Serves an archive and fetches it.
    fn unpack(name: &str, bytes: Vec<u8>) -> (Self, Result<(), FetchError>) {
        let server = Server::start(vec![("/archive", Answer::Whole(bytes))]);
        let mut bench = Self::new();
        bench.item(&server.url("/archive")).output_file = Some(name.to_owned());
        let result = bench.fetch();
        (bench, result)
    }
}

#[test]
fn file_comes_over_http_under_its_own_name() {
    let body = vec![b'x'; 3_000_000];
    let server = Server::start(vec![("/d/data.bin?v=1", Answer::Whole(body.clone()))]);
    let mut bench = Bench::new();
    bench.item(&server.url("/d/data.bin?v=1"));
    bench.fetch().unwrap();
    let path = bench.request.sandbox.join("data.bin");
    assert_eq!(fs::read(path).unwrap(), body);
    assert!(bench.read("stderr").contains("data.bin"));
}

#[test]
fn redirects_are_followed_and_errors_named() {
    let server = Server::start(vec![
        ("/old", Answer::Redirect("/new")),
        ("/new", Answer::Whole(b"moved".to_vec())),
    ]);
    let mut bench = Bench::new();
    bench.item(&server.url("/old")).output_file = Some("f".into());
    bench.fetch().unwrap();
    assert_eq!(bench.read("f"), "moved");
    bench.item(&server.url("/missing"));
    assert!(bench.refusal().contains("404"));
}

#[test]
fn broken_transfers_leave_no_file() {
    let server = Server::start(vec![("/cut", Answer::CutShort(b"only half".to_vec()))]);
    let mut bench = Bench::new();
    bench.item(&server.url("/cut"));
    let reason = bench.refusal();
    assert!(reason.contains("broke off"), "{reason}");
    assert!(!bench.request.sandbox.join("cut").exists());
}

#[test]
fn silent_server_is_given_up() {
    let server = Server::start(vec![("/slow", Answer::Stall)]);
    let mut bench = Bench::new();
    bench.request.stall_timeout_ms = 200;
    bench.item(&server.url("/slow"));
    let begin = Instant::now();
    let reason = bench.refusal();
    assert!(reason.contains("nothing arrived for 200ms"), "{reason}");
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn unreachable_server_and_unknown_scheme_are_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut bench = Bench::new();
    bench.item(&format!("http://127.0.0.1:{port}/x"));
    assert!(bench.refusal().contains("request failed"));
    let mut bench = Bench::new();
    bench.item("hdfs://h/x");
    assert!(bench.refusal().contains("'hdfs' is not supported"));
}

#[test]
fn files_of_the_host_are_copied_with_their_mode() {
    let mut bench = Bench::new();
    let script = bench.outer.path().join("run.sh");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    bench.request.frameworks_home = Some(bench.outer.path().to_owned());
    bench.item(&format!("file://{}", script.display()));
    bench.item("run.sh").output_file = Some("a/b/again.sh".into());
    bench.fetch().unwrap();
    for name in ["run.sh", "a/b/again.sh"] {
        let path = bench.request.sandbox.join(name);
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755, "{name}");
    }
    for (uri, reason) in [
        ("/no/such/file", "No such file"),
        ("/dev/zero", "not a regular file"),
        ("/etc", "not a regular file"),
    ] {
        let mut bench = Bench::new();
        bench.item(uri);
        let text = bench.refusal();
        assert!(text.contains(reason), "{text}");
    }
}

#[test]
fn output_file_stays_in_the_sandbox() {
    for name in ["../x", "/tmp/x", "a/../../x", "a/.."] {
        let mut bench = Bench::new();
        bench.item("/etc/passwd").output_file = Some(name.into());
        let text = bench.refusal();
        assert!(text.contains("leave the sandbox"), "{text}");
        assert_eq!(bench.outside(), ["sandbox"]);
    }
    let mut bench = Bench::new();
    symlink(bench.outer.path(), bench.request.sandbox.join("door")).unwrap();
    bench.item("/etc/passwd").output_file = Some("door/x".into());
    assert!(bench.refusal().contains("leads through 'door'"));
    assert_eq!(bench.outside(), ["sandbox"]);
}

#[test]
fn executable_is_not_unpacked_and_extract_can_be_declined() {
    let bytes = gz(b"text");
    let server = Server::start(vec![("/t.gz", Answer::Whole(bytes.clone()))]);
    let mut bench = Bench::new();
    bench.item(&server.url("/t.gz")).executable = true;
    bench.fetch().unwrap();
    let path = bench.request.sandbox.join("t.gz");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o755
    );
    assert!(!bench.request.sandbox.join("t").exists());
    bench.request.items.clear();
    bench.item(&server.url("/t.gz")).extract = false;
    bench.fetch().unwrap();
    assert!(!bench.request.sandbox.join("t").exists());
    bench.request.items.clear();
    bench.item(&server.url("/t.gz"));
    bench.fetch().unwrap();
    assert_eq!(bench.read("t"), "text");
}

#[test]
fn every_packing_is_unpacked() {
    let plain = tar(&[
        Entry::Directory("app"),
        Entry::File("app/run.sh", b"run", 0o755),
        Entry::Symlink("app/current", "run.sh"),
        Entry::HardLink("app/hard", "app/run.sh"),
    ]);
    for (name, bytes) in [
        ("a.tar", plain.clone()),
        ("a.tar.gz", gz(&plain)),
        ("a.tgz", gz(&plain)),
        ("a.tar.bz2", bz2(&plain)),
        ("a.tbz2", bz2(&plain)),
        ("a.tar.xz", xz(&plain)),
        ("a.txz", xz(&plain)),
    ] {
        let (bench, result) = Bench::unpack(name, bytes);
        result.unwrap();
        let app = bench.request.sandbox.join("app");
        let mode = fs::metadata(app.join("run.sh"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o755, "{name}");
        assert_eq!(bench.read("app/current"), "run", "{name}");
        assert_eq!(bench.read("app/hard"), "run", "{name}");
    }
    let entries = [("app/run.sh", b"run".as_slice(), 0o100_755)];
    let (bench, result) = Bench::unpack("a.zip", zip(&entries));
    result.unwrap();
    let path = bench.request.sandbox.join("app/run.sh");
    assert_eq!(
        fs::metadata(path).unwrap().permissions().mode() & 0o777,
        0o755
    );
}

#[test]
fn hostile_archives_write_nothing_outside() {
    let hostile = [
        vec![Entry::File("../escaped", b"x", 0o644)],
        vec![Entry::File("a/../../escaped", b"x", 0o644)],
        vec![Entry::File("/tmp/mesosd-escaped", b"x", 0o644)],
        vec![
            Entry::Symlink("door", ".."),
            Entry::File("door/escaped", b"x", 0o644),
        ],
        vec![
            Entry::Symlink("a", "."),
            Entry::Symlink("b", "a/.."),
            Entry::File("b/escaped", b"x", 0o644),
        ],
        vec![Entry::HardLink("passwd", "/etc/passwd")],
        vec![Entry::HardLink("passwd", "../../../../../../etc/passwd")],
        vec![
            Entry::Symlink("door", "/etc"),
            Entry::HardLink("passwd", "door/passwd"),
        ],
        vec![
            Entry::Symlink("door", ".."),
            Entry::Directory("door/escaped"),
        ],
    ];
    for entries in hostile {
        let (bench, result) = Bench::unpack("a.tar", tar(&entries));
        let text = result.unwrap_err().to_string();
        assert!(
            text.contains("leave the sandbox") || text.contains("leads through"),
            "{entries:?}: {text}"
        );
        assert_eq!(bench.outside(), ["sandbox"], "{entries:?}");
        assert!(!Path::new("/tmp/mesosd-escaped").exists());
        assert!(!bench.request.sandbox.join("passwd").exists());
    }
    for name in ["../escaped", "/tmp/mesosd-escaped"] {
        let (bench, result) = Bench::unpack("a.zip", zip(&[(name, b"x", 0o100_644)]));
        assert!(result.is_err(), "{name}");
        assert_eq!(bench.outside(), ["sandbox"]);
    }
    let entries = [
        ("door", b"..".as_slice(), 0o120_777),
        ("door/escaped", b"x", 0o100_644),
    ];
    let (bench, result) = Bench::unpack("a.zip", zip(&entries));
    assert!(result.unwrap_err().to_string().contains("leads through"));
    assert_eq!(bench.outside(), ["sandbox"]);
}

#[test]
fn file_in_place_of_a_link_replaces_the_link() {
    let outer = tempfile::tempdir().unwrap();
    let precious = outer.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    let target = precious.to_str().unwrap();
    let entries = [Entry::Symlink("f", target), Entry::File("f", b"new", 0o644)];
    let (bench, result) = Bench::unpack("a.tar", tar(&entries));
    result.unwrap();
    assert_eq!(bench.read("f"), "new");
    assert_eq!(fs::read_to_string(precious).unwrap(), "precious");
}

#[test]
fn devices_and_privileged_bits_do_not_pass() {
    let (_, result) = Bench::unpack("a.tar", tar(&[Entry::Device("null")]));
    assert!(result.unwrap_err().to_string().contains("'null'"));
    let (bench, result) = Bench::unpack("a.tar", tar(&[Entry::File("su", b"x", 0o6755)]));
    result.unwrap();
    let path = bench.request.sandbox.join("su");
    assert_eq!(
        fs::metadata(path).unwrap().permissions().mode() & 0o7777,
        0o755
    );
}

#[test]
fn bombs_hit_the_limits() {
    let zeroes = vec![0; 5_000_000];
    let bytes = gz(&tar(&[Entry::File("zeroes", &zeroes, 0o644)]));
    assert!(bytes.len() < 20_000);
    let server = Server::start(vec![("/b.tgz", Answer::Whole(bytes))]);
    let mut bench = Bench::new();
    bench.request.limits.bytes = 1_000_000;
    bench.item(&server.url("/b.tgz"));
    let text = bench.refusal();
    assert!(
        text.contains("unpacks to more than 1000000 bytes"),
        "{text}"
    );

    let entries: Vec<_> = (0..20).map(|_| Entry::File("same", b"", 0o644)).collect();
    let server = Server::start(vec![("/m.tar", Answer::Whole(tar(&entries)))]);
    let mut bench = Bench::new();
    bench.request.limits.entries = 10;
    bench.item(&server.url("/m.tar"));
    assert!(bench.refusal().contains("more than 10 entries"));

    let mut bench = Bench::new();
    bench.request.limits.bytes = 100;
    bench.item(&server.url("/m.tar"));
    assert!(bench.refusal().contains("more than 100 bytes"));
}

#[test]
fn damaged_archives_are_errors() {
    for name in ["a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.gz", "a.zip"] {
        let (_, result) = Bench::unpack(name, b"this is no archive".to_vec());
        let text = result.unwrap_err().to_string();
        assert!(
            text.contains("damaged") || text.contains("broke off"),
            "{name}: {text}"
        );
    }
    let mut cut = gz(&tar(&[Entry::File("f", &[7; 100_000], 0o644)]));
    cut.truncate(cut.len() / 2);
    let (_, result) = Bench::unpack("a.tgz", cut);
    assert!(result.is_err());
}

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

#[test]
fn another_user_fetches_only_what_that_user_may_read() {
    if !mesosd::testing::is_root() {
        mesosd::testing::skip("fetcher::another_user", "needs root");
        return;
    }
    let mut bench = Bench::new();
    let secret = bench.outer.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(bench.outer.path(), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(&bench.request.sandbox, Some(NOBODY), Some(NOBODY)).unwrap();
    // The program as an agent gives it: a file that has no name.
    let mut program = fs::File::from(
        nix::sys::memfd::memfd_create(c"mesosd", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).unwrap(),
    );
    let mut binary = fs::File::open(env!("CARGO_BIN_EXE_mesosd")).unwrap();
    std::io::copy(&mut binary, &mut program).unwrap();
    let path = format!("/proc/self/fd/{}", program.as_raw_fd());
    // A file that is open for writing cannot be executed.
    let program = fs::File::open(&path)
        .map(|reader| (reader, drop(program)))
        .unwrap()
        .0;
    let path = format!("/proc/self/fd/{}", program.as_raw_fd());
    let user = FetchUser {
        uid: NOBODY,
        gid: NOBODY,
        groups: vec![NOBODY],
    };
    bench.item("/etc/passwd");
    bench.fetch_with(Path::new(&path), Some(&user)).unwrap();
    let fetched = fs::metadata(bench.request.sandbox.join("passwd")).unwrap();
    assert_eq!((fetched.uid(), fetched.gid()), (NOBODY, NOBODY));
    bench.request.items.clear();
    bench.item(secret.to_str().unwrap());
    let error = bench.fetch_with(Path::new(&path), Some(&user)).unwrap_err();
    assert!(error.to_string().contains("Permission denied"), "{error}");
}
