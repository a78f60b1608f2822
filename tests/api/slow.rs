//! Peers that are slow, silent, endless or too many.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use mesosd::api::server::Limits;
use mesosd::proto::link::agent_link_client::AgentLinkClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;

use crate::raw::{Master, Server};

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(10);

fn limits() -> Limits {
    Limits {
        connections: 3,
        header_bytes: 16 * 1024,
        first_request: SHORT,
        head: SHORT,
        answer: SHORT,
        stall: SHORT,
        drain: SHORT,
        ..Limits::default()
    }
}

/// One route that reads a body, one that has a lot to say, one that never answers in full.
fn routes() -> Router {
    let endless =
        || async { Body::from_stream(tokio_stream::pending::<Result<Vec<u8>, std::io::Error>>()) };
    Router::new()
        .route("/echo", post(|body: String| async { body }))
        .route("/large", get(|| async { vec![b'x'; 256 * 1024 * 1024] }))
        .route("/endless", get(endless))
}

/// Everything that the daemon sends until it closes the connection.
async fn rest(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is a way to close.
    let _ = timeout(LONG, socket.read_to_end(&mut answer))
        .await
        .expect("the connection is closed");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn connections_that_ask_nothing_are_closed() {
    let server = Server::start(routes(), limits()).await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for sent in [
        "",
        "P",
        "GET /he",
        "GET / HTTP/1.1\r\nHost: x\r\n",
        &preface[..20],
        preface,
    ] {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.write_all(sent.as_bytes()).await.unwrap();
        let begun = Instant::now();
        rest(&mut socket).await;
        assert!(
            begun.elapsed() < SHORT * 10,
            "{sent:?}: {:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test]
async fn a_connection_is_idle_as_long_as_it_likes_but_heads_that_begin_must_end() {
    let server = Server::start(routes(), limits()).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let request = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";
    for _ in 0..3 {
        socket.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nhi") {
            assert!(socket.read_buf(&mut answer).await.unwrap() > 0);
        }
        sleep(SHORT * 5).await;
    }
    socket
        .write_all(b"POST /echo HTTP/1.1\r\nHost: ")
        .await
        .unwrap();
    let begun = Instant::now();
    assert_eq!(rest(&mut socket).await, "");
    assert!(begun.elapsed() < SHORT * 10, "{:?}", begun.elapsed());
}

/// As libprocess sends single messages.
#[tokio::test]
async fn a_request_counts_also_when_its_sender_has_gone() {
    let (done, mut finished) = tokio::sync::mpsc::unbounded_channel();
    let note = move |body: String| async move {
        tokio::task::yield_now().await;
        done.send(body).unwrap();
    };
    let limits = Limits {
        connections: 1000,
        answer: LONG,
        ..limits()
    };
    let server = Server::start(Router::new().route("/note", post(note)), limits).await;
    for _ in 0..200 {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket
            .write_all(b"POST /note HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
            .await
            .unwrap();
    }
    for number in 0..200 {
        let body = timeout(LONG, finished.recv()).await;
        assert_eq!(
            body.unwrap_or_default().as_deref(),
            Some("hi"),
            "after {number}"
        );
    }
}

/// A stream goes on whatever the time, also one whose request came in pieces.
#[tokio::test]
async fn a_stream_is_not_cut() {
    let limits = Limits {
        answer: LONG,
        ..limits()
    };
    let server = Server::start(routes(), limits).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket
        .write_all(b"GET /endless HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    sleep(SHORT / 4).await;
    socket.write_all(b"2\r\nhi\r\n0\r\n\r\n").await.unwrap();
    let mut said = vec![0; 1024];
    assert!(socket.read(&mut said).await.unwrap() > 0);
    let more = timeout(SHORT * 5, socket.read(&mut said)).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn a_body_that_trickles_in_is_given_up() {
    let server = Server::start(routes(), limits()).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc";
    socket.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut socket).await;
    assert!(
        answer.starts_with("HTTP/1.1 408 Request Timeout"),
        "{answer}"
    );
}

#[tokio::test]
async fn headers_have_an_end() {
    let server = Server::start(routes(), limits()).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket
        .write_all(b"GET /large HTTP/1.1\r\nX: ")
        .await
        .unwrap();
    // The daemon may close before all is sent.
    let _ = socket.write_all(&vec![b'x'; 64 * 1024]).await;
    let answer = rest(&mut socket).await;
    assert!(answer.is_empty() || answer.contains(" 431 "), "{answer}");
}

#[tokio::test]
async fn a_reader_that_reads_nothing_is_let_go() {
    let server = Server::start(routes(), limits()).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket
        .write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    sleep(SHORT * 5).await;
    let answer = rest(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"));
    assert!(
        answer.len() < 200 * 1024 * 1024,
        "all was sent: {}",
        answer.len()
    );
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once() {
    let limits = Limits {
        first_request: LONG * 6,
        ..limits()
    };
    let server = Server::start(routes(), limits).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(TcpStream::connect(server.address).await.unwrap());
    }
    sleep(SHORT).await;
    let mut more = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(rest(&mut more).await, "");
    open.pop();
    sleep(SHORT).await;
    let mut next = TcpStream::connect(server.address).await.unwrap();
    let request =
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    next.write_all(request).await.unwrap();
    assert!(rest(&mut next).await.ends_with("\r\n\r\nhi"));
}

#[tokio::test]
async fn draining_ends_with_requests_or_time() {
    let mut server = Server::start(routes(), limits()).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket
        .write_all(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut head = [0; 15];
    socket.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    server.stop();
    timeout(LONG, &mut server.task)
        .await
        .expect("the listener ends")
        .unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn an_agent_that_says_nothing_first_is_let_go() {
    let master = Master::start().await;
    let channel = master.server.channel().await;
    let mut client = AgentLinkClient::new(channel);
    let opened = client.connect(tokio_stream::pending()).await.unwrap();
    let status = opened.into_inner().message().await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
}
