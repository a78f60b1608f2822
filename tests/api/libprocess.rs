//! The v0 driver protocol over real sockets: what strangers may send, and a driver among them.

use std::net::SocketAddr;
use std::time::Duration;

use mesosd::proto::mesos::internal as wire;
use mesosd::proto::v1;
use prost::{Message, Name};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::raw::Master;

/// A request that ends its connection.
fn request(line: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{line}\r\nConnection: close\r\n").into_bytes();
    for header in headers {
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// What the master answers to these bytes: a status, or none if it only closes.
async fn answer(master: SocketAddr, bytes: &[u8]) -> Option<u16> {
    let mut socket = TcpStream::connect(master).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut text = Vec::new();
    let read = timeout(Duration::from_secs(10), socket.read_to_end(&mut text));
    // A connection that is reset is closed, too.
    let _ = read.await.expect("the master answers or closes");
    let text = String::from_utf8_lossy(&text).into_owned();
    text.split(' ').nth(1)?.parse().ok()
}

fn register(name: &str) -> Vec<u8> {
    let framework = v1::FrameworkInfo {
        user: "u".to_owned(),
        name: name.to_owned(),
        ..v1::FrameworkInfo::default()
    };
    wire::RegisterFrameworkMessage { framework }.encode_to_vec()
}

/// A scheduler's process.
struct Driver {
    listener: TcpListener,
    pid: String,
}

impl Driver {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pid = format!("scheduler(1)@{}", listener.local_addr().unwrap());
        Self { listener, pid }
    }

    /// One message for the master as this driver writes it, in the old form of pure-Python drivers.
    fn message(&self, name: &str, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "POST /master/{name} HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Length: {}\r\n\
             Libprocess-From: {}\r\n\r\n",
            body.len(),
            self.pid
        );
        [head.as_bytes(), body].concat()
    }

    /// The request lines of the next messages from the master.
    async fn hear(&self, count: usize) -> Vec<String> {
        let (socket, _) = self.listener.accept().await.unwrap();
        let mut lines = BufReader::new(socket);
        let mut heard = Vec::new();
        while heard.len() < count {
            let mut line = Vec::new();
            assert_ne!(lines.read_until(b'\n', &mut line).await.unwrap(), 0);
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.starts_with("POST ") {
                heard.push(line.split(' ').nth(1).unwrap().to_owned());
            }
        }
        heard
    }
}

#[tokio::test]
async fn strangers_get_codes_and_disturb_nobody() {
    let master = Master::start().await;
    let address = master.server.address;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("Libprocess-From: a@{}", closed.local_addr().unwrap());
    drop(closed);
    let name = wire::RegisterFrameworkMessage::full_name();
    let line = format!("POST /master/{name} HTTP/1.1");
    let line = line.as_str();
    let from = |headers: &str, body: &[u8]| request(line, &[headers], body);
    let any = "Libprocess-From: a@127.0.0.1:1";
    let long = format!("Libprocess-From: {}@127.0.0.1:1", "x".repeat(10_000));
    let with_length = |length: &str| {
        format!("{line}\r\n{any}\r\nConnection: close\r\n{length}\r\n\r\n").into_bytes()
    };
    let cases: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("no sender", from("X: y", &register("x")), &[404, 405]),
        ("an empty sender", from("Libprocess-From:", b""), &[400]),
        (
            "a sender without a place",
            from("Libprocess-From: a", b""),
            &[400],
        ),
        (
            "port zero",
            from("Libprocess-From: a@127.0.0.1:0", b""),
            &[400],
        ),
        (
            "a name to look up",
            from("Libprocess-From: a@localhost:1", b""),
            &[400],
        ),
        (
            "everybody",
            from("Libprocess-From: a@255.255.255.255:0", b""),
            &[400],
        ),
        (
            "a group",
            from("Libprocess-From: a@224.0.0.1:7", b""),
            &[400],
        ),
        ("a long sender", from(&long, b""), &[400]),
        (
            "an old sender without a place",
            from("User-Agent: libprocess/", b""),
            &[400],
        ),
        (
            "no message",
            request("POST /master HTTP/1.1", &[any], b""),
            &[400],
        ),
        (
            "another path",
            request("POST /master/a/b HTTP/1.1", &[any], b""),
            &[400],
        ),
        (
            "another process",
            request("POST /slave(1)/a.B HTTP/1.1", &[any], b""),
            &[404],
        ),
        (
            "an unknown message",
            request("POST /master/a.B HTTP/1.1", &[any], b"x"),
            &[202],
        ),
        ("nothing in it", from(any, b""), &[202]),
        ("no protobuf", from(any, b"\xff\xff\xff\xff"), &[202]),
        (
            "a length beyond it",
            from(any, b"\x0a\xff\xff\xff\xff\x0f"),
            &[202],
        ),
        ("nobody there", from(&nobody, &register("nobody")), &[202]),
        (
            "a body too long",
            with_length("Content-Length: 99999999999"),
            &[413],
        ),
        (
            "two lengths",
            with_length("Content-Length: 1\r\nContent-Length: 2"),
            &[400],
        ),
        ("a wrong length", with_length("Content-Length: -1"), &[400]),
    ];
    for (what, bytes, codes) in cases {
        let code = answer(address, &bytes).await;
        assert!(
            code.is_some_and(|code| codes.contains(&code)),
            "{what}: {code:?}"
        );
    }
    // hyper closes without a word, or with 400, where the framing itself is wrong.
    for length in ["ffffffffffffffffff", "zz", "-1", ""] {
        let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{length}\r\nabc\r\n0");
        let code = answer(address, &with_length(&chunked)).await;
        assert!(matches!(code, None | Some(400 | 413)), "{length}: {code:?}");
    }

    // Calls of a process that is not registered change nothing.
    let kill = wire::KillTaskMessage {
        framework_id: "F".into(),
        task_id: "T".into(),
        kill_policy: None,
    };
    let kill = request(
        "POST /master/mesos.internal.KillTaskMessage HTTP/1.1",
        &[any],
        &kill.encode_to_vec(),
    );
    assert_eq!(answer(address, &kill).await, Some(202));

    // A driver registers among all that; its messages come in one piece, as pure-Python drivers send them.
    let driver = Driver::new().await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let revive = wire::ReviveOffersMessage {
        framework_id: "11111111-2222-3333-4444-555555555555-0000".into(),
        roles: Vec::new(),
    };
    let both = [
        driver.message(&name, &register("good")),
        driver.message(
            "mesos.internal.ReviveOffersMessage",
            &revive.encode_to_vec(),
        ),
    ]
    .concat();
    socket.write_all(&both).await.unwrap();
    let heard = timeout(Duration::from_secs(10), driver.hear(1))
        .await
        .unwrap();
    assert_eq!(
        heard,
        ["/scheduler(1)/mesos.internal.FrameworkRegisteredMessage"]
    );
    // It is the only framework that there ever was.
    let state = request("GET /master/frameworks HTTP/1.1", &[], b"");
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&state).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    assert_eq!(text.matches("\"name\":\"good\"").count(), 1, "{text}");
    let pid = format!("\"pid\":\"{}\"", driver.pid);
    assert!(text.contains(&pid), "{text}");
    assert!(!text.contains("nobody"), "{text}");
}
