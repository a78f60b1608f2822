//! https: from a server whose certificate is trusted, and from no other.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::Bench;

const NAME: &str = "https_needs_a_certificate_that_is_trusted";

/// A certificate for the loopback address that nobody has signed but itself.
const CONFIG: &str = "[req]\n\
    distinguished_name = name\n\
    x509_extensions = extensions\n\
    prompt = no\n\
    [name]\n\
    CN = test\n\
    [extensions]\n\
    basicConstraints = critical, CA:FALSE\n\
    subjectAltName = IP:127.0.0.1\n";

/// Serves the files of `dir` until it is dropped.
struct Server {
    process: Child,
    port: u16,
    certificate: PathBuf,
}

impl Server {
    fn start(dir: &Path) -> Self {
        fs::write(dir.join("config"), CONFIG).unwrap();
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args(["-nodes", "-days", "2", "-config", "config"])
            .args(["-keyout", "key.pem", "-out", "certificate.pem"])
            .current_dir(dir)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let process = Command::new("openssl")
            .args([
                "s_server",
                "-quiet",
                "-WWW",
                "-cert",
                "certificate.pem",
                "-key",
                "key.pem",
            ])
            .args(["-accept", &format!("127.0.0.1:{port}")])
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            process,
            port,
            certificate: dir.join("certificate.pem"),
        };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(20), "no TLS server");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        self.process.wait().unwrap();
    }
}

/// Runs `mesosd fetch` with the certificates in a file, if any.
fn fetch(bench: &Bench, certificates: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesosd"));
    command
        .arg("fetch")
        .env_remove("SSL_CERT_FILE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(path) = certificates {
        command.env("SSL_CERT_FILE", path);
    }
    let mut process = command.spawn().unwrap();
    let request = serde_json::to_vec(&bench.request).unwrap();
    process.stdin.take().unwrap().write_all(&request).unwrap();
    process.wait_with_output().unwrap()
}

#[test]
fn https_needs_a_certificate_that_is_trusted() {
    if Command::new("openssl").arg("version").output().is_err() {
        mesosd::testing::skip(NAME, "needs openssl: tests/run installs it");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file.txt"), "over TLS\n").unwrap();
    let server = Server::start(dir.path());
    let mut bench = Bench::new();
    bench.item(&format!("https://127.0.0.1:{}/file.txt", server.port));

    let refused = fetch(&bench, None);
    assert!(!refused.status.success(), "{refused:?}");
    let log = String::from_utf8_lossy(&refused.stderr);
    assert!(log.to_lowercase().contains("certificate"), "{log}");
    assert!(!bench.request.sandbox.join("file.txt").exists());

    let trusted = fetch(&bench, Some(&server.certificate));
    assert!(trusted.status.success(), "{trusted:?}");
    assert_eq!(bench.read("file.txt"), "over TLS\n");
}
