//! HTTP/1.1 as bytes on a socket: heads, bodies, chunks.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing here takes this long.
const LONG: Duration = Duration::from_secs(10);

/// One answer: its head, and the connection for what follows.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    socket: BufReader<TcpStream>,
}

/// Sends a request with these header lines and this body.
pub(crate) async fn send(
    address: SocketAddr,
    request: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut text = format!(
        "{request} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let bytes = [text.as_bytes(), b"\r\n", body].concat();
    send_raw(address, &bytes).await
}

/// Sends bytes and reads the head of the answer.
pub(crate) async fn send_raw(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // What is refused early is not read to its end: the answer is what counts.
    let _cut_off = socket.write_all(bytes).await;
    let mut socket = BufReader::new(socket);
    let mut head = String::new();
    loop {
        let before = head.len();
        let read = timeout(LONG, socket.read_line(&mut head)).await;
        assert!(
            read.expect("an answer").unwrap() > 0,
            "the answer ends in its head: {head:?}"
        );
        if &head[before..] == "\r\n" {
            break;
        }
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        head,
        socket,
    }
}

impl Answer {
    /// The value of a header whose name is spelt exactly so.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines();
        lines
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// The body of an answer with a known length.
    pub(crate) async fn body(&mut self) -> Vec<u8> {
        let length = self
            .header("Content-Length")
            .expect("a length")
            .parse()
            .unwrap();
        let mut body = vec![0; length];
        timeout(LONG, self.socket.read_exact(&mut body))
            .await
            .expect("a body")
            .unwrap();
        body
    }

    /// The body of an answer with a known length, as text.
    pub(crate) async fn text(&mut self) -> String {
        String::from_utf8(self.body().await).unwrap()
    }

    /// The next chunk of a stream; empty at its end.
    pub(crate) async fn chunk(&mut self) -> Vec<u8> {
        assert_eq!(self.header("Transfer-Encoding"), Some("chunked"));
        let mut line = String::new();
        let read = timeout(LONG, self.socket.read_line(&mut line)).await;
        read.expect("a chunk").unwrap();
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut chunk = vec![0; length + 2];
        timeout(LONG, self.socket.read_exact(&mut chunk))
            .await
            .expect("a chunk")
            .unwrap();
        chunk.truncate(length);
        chunk
    }

    /// The next record of a stream, which is a chunk of its own.
    pub(crate) async fn record(&mut self) -> Vec<u8> {
        let chunk = self.chunk().await;
        let line = chunk
            .iter()
            .position(|&byte| byte == b'\n')
            .expect("a record");
        let length: usize = std::str::from_utf8(&chunk[..line])
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(chunk.len(), line + 1 + length, "one record per chunk");
        chunk[line + 1..].to_vec()
    }

    /// The next record of a JSON stream.
    pub(crate) async fn event(&mut self) -> serde_json::Value {
        serde_json::from_slice(&self.record().await).unwrap()
    }
}
