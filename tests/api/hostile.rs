//! What strangers may do to the plain endpoints: each gets a code and a line that says why, and nobody
//! else is delayed.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::raw::Master;
use crate::wire::send_raw;

/// Code of the answer to these bytes, and its text; 0 if the connection is closed without one.
async fn answer(master: &Master, bytes: &[u8]) -> (u16, String) {
    let mut socket = TcpStream::connect(master.server.address).await.unwrap();
    // What is too long is answered before it is read to its end.
    let _ = socket.write_all(bytes).await;
    let mut text = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(20), socket.read(&mut text)).await;
    text.truncate(read.map_or(0, |read| read.unwrap_or(0)));
    let text = String::from_utf8_lossy(&text).into_owned();
    let code = text.split(' ').nth(1).and_then(|code| code.parse().ok());
    (code.unwrap_or(0), text)
}

#[tokio::test]
async fn malformed_requests_have_their_codes() {
    let master = Master::start().await;
    let many = "a&".repeat(1_001);
    let long = "x".repeat(70_000);
    let nested = "[".repeat(100_000);
    let cases: Vec<(String, u16)> = vec![
        ("GET /state HTTP/1.1\r\n\r\n".into(), 200),
        ("GET /state HTTP/9.9\r\nHost: x\r\n\r\n".into(), 400),
        ("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n".into(), 400),
        ("nonsense\r\n\r\n".into(), 400),
        (format!("GET /tasks?{many} HTTP/1.1\r\nHost: x\r\n\r\n"), 400),
        ("GET /tasks?limit=%zz HTTP/1.1\r\nHost: x\r\n\r\n".into(), 400),
        ("GET /tasks?limit=99999999999999999999999 HTTP/1.1\r\nHost: x\r\n\r\n".into(), 200),
        ("GET /tasks?limit=-5&offset=-7&order=up HTTP/1.1\r\nHost: x\r\n\r\n".into(), 200),
        (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), 431),
        (format!("GET /state HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"), 431),
        (
            "POST /teardown HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n".into(),
            400,
        ),
        ("POST /teardown HTTP/1.1\r\nHost: x\r\nContent-Length: 17000000\r\n\r\nx".into(), 413),
        (
            "POST /teardown HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx".into(),
            400,
        ),
        (
            "POST /teardown HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n".into(),
            400,
        ),
        ("POST /teardown HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\u{ff}".into(), 400),
        (
            format!(
                "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{nested}",
                nested.len()
            ),
            400,
        ),
    ];
    let mut wrong = Vec::new();
    for (request, code) in cases {
        let (got, text) = answer(&master, request.as_bytes()).await;
        if got != code {
            let shown: String = request.chars().take(120).collect();
            wrong.push(format!("{shown:?}: {got} and not {code}: {text}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let health = send_raw(
        master.server.address,
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert_eq!(health.await.status, 200);
}

/// Memory that this process has, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

/// Opens connections, says so, and holds them until its standard input ends.
const HOLD: &str = "import socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
held = [socket.create_connection((host, port)) for _ in range(count)]
print('open', flush=True)
sys.stdin.read()
";

/// Idle connections, held by a process of their own: one alone may not have that many files open.
struct Idle(Child);

impl Idle {
    fn open(address: SocketAddr, count: usize) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", HOLD, &address.ip().to_string()])
            .args([address.port().to_string(), count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        assert_eq!(line, "open\n");
        Self(child)
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ended = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_delay_nobody() {
    let master = Master::start().await;
    let before = resident();
    let _idle = Idle::open(master.server.address, 10_000);
    let mut slowest = Duration::ZERO;
    for path in ["/health", "/state", "/metrics/snapshot"].repeat(10) {
        let begin = Instant::now();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let reply = send_raw(master.server.address, request.as_bytes()).await;
        assert_eq!(reply.status, 200, "{path}");
        slowest = slowest.max(begin.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let grown = resident().saturating_sub(before);
    assert!(grown < 10_000 * 32, "{grown} KiB for 10,000 connections");
}
