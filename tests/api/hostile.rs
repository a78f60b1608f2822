//! What strangers may do to the plain endpoints: each gets a code and a line that says why, and nobody
//! else is delayed.

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_delay_nobody() {
    let name = "ten_thousand_idle_connections_delay_nobody";
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // Both ends of each connection are in this process.
    let wanted = 20_500;
    if soft < wanted && (hard < wanted || setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_err())
    {
        mesosd::testing::skip(
            name,
            &format!("{wanted} open files are needed, {hard} are allowed"),
        );
        return;
    }
    let master = Master::start().await;
    let before = resident();
    let mut idle = Vec::new();
    for _ in 0..10_000 {
        idle.push(TcpStream::connect(master.server.address).await.unwrap());
    }
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
