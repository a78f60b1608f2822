//! Strangers at the port of a real daemon: half-open, slow, endless, oversized, senseless. Each is
//! bounded, and the daemon goes on. How long each may take is in `tests/api/slow.rs`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use mesosd::proto::v1::master::call;

use crate::api::{ask, of_type};
use crate::binary::{Daemon, Folder, MESOSD, clean, master, until};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    socket
        .set_write_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    socket
}

/// Sends until the daemon has had enough, at most `bytes_max` bytes; says how many it took.
fn flood(address: SocketAddr, first: &[u8], chunk: &[u8], bytes_max: usize) -> usize {
    let mut socket = connect(address);
    socket.write_all(first).unwrap();
    let begun = Instant::now();
    let mut sent = 0;
    while sent < bytes_max && begun.elapsed() < Duration::from_millis(300) {
        match socket.write(chunk) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    sent
}

/// Kilobytes of memory that the process holds.
fn resident(pid: nix::unistd::Pid) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn too_many_strangers_leave_room_for_files() {
    let dir = Folder::new();
    // A process may have 64 files open; 100 strangers want to stay.
    let mut start = Command::new("sh");
    start
        .args(["-c", "ulimit -n 64 && exec \"$@\"", "sh", MESOSD])
        .args(["--role=master", "--ip=127.0.0.1", "--port=0"])
        .arg(dir.flag("work_dir", "work"));
    clean(&mut start);
    let mut daemon = Daemon::start(start, &dir.path("log"));
    let address = daemon.address();
    let open: Vec<_> = (0..100).map(|_| connect(address)).collect();
    // Those above the bound are closed at once.
    let mut last = open.last().unwrap();
    assert!(matches!(last.read(&mut [0; 10]), Ok(0) | Err(_)));
    let files = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
    assert!(files.count() < 62);
    assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
    drop(open);
    let healthy = until("it answers again", || {
        let answer = ask(address, of_type(call::Type::GetHealth));
        answer.ok().and_then(|answer| answer.get_health)
    });
    assert!(healthy.healthy);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn strangers_are_bounded() {
    let dir = Folder::new();
    let mut daemon = master(&dir, &[]);
    let address = daemon.address();
    let before = resident(daemon.pid());

    // Half-open: they say nothing, or not enough, and stay.
    let mut open = Vec::new();
    for index in 0..300 {
        let mut socket = connect(address);
        let sent: &[u8] = match index % 4 {
            0 => b"",
            1 => b"GET /health HTTP/1.1\r\nHost: x\r\nX-More: ",
            2 => &PREFACE[..10],
            _ => PREFACE,
        };
        socket.write_all(sent).unwrap();
        open.push(socket);
    }

    // Senseless: closed at once, or answered with an error.
    let noise: Vec<u8> = (0..10_000_u32).map(|i| (i * 7919 % 251) as u8).collect();
    for bytes in [
        &noise[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0\0\0",
        b"GET\r\n\r\n",
    ] {
        let mut socket = connect(address);
        // It may be closed before all is sent.
        let _ = socket.write_all(bytes);
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        // A reset is a way to close.
        let _ = socket.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.contains(" 400 "), "{answer}");
    }

    // Endless headers, endless bodies, a frame of HTTP/2 that claims to be large.
    let taken = flood(address, b"GET / HTTP/1.1\r\nX: ", &[b'x'; 65_536], 64 << 20);
    assert!(taken < 16 << 20, "headers: {taken} bytes were taken");
    let head = b"POST /mesos.v1.master.OperatorService/Call HTTP/1.1\r\nHost: x\r\n\
                 Content-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut chunk = b"10000\r\n".to_vec();
    chunk.extend([0; 65_536]);
    chunk.extend(b"\r\n");
    flood(address, head, &chunk, 256 << 20);
    let frame = [PREFACE, &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]].concat();
    let taken = flood(address, &frame, &[0; 65_536], 64 << 20);
    assert!(taken < 32 << 20, "a frame: {taken} bytes were taken");

    let grown = resident(daemon.pid()).saturating_sub(before);
    assert!(grown < 64 * 1024, "the daemon grew by {grown} kB");
    let answer = ask(address, of_type(call::Type::GetHealth)).unwrap();
    assert!(answer.get_health.unwrap().healthy);
    drop(open);
    let begun = Instant::now();
    assert_eq!(daemon.stop(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}
