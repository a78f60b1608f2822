//! A way to a server that can lose answers: what the client says arrives, then the connection breaks; one to
//! a server that does not know the newer questions; and one that can be closed, as a machine that has gone.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The number of ZooKeeper's operation `multi`.
const MULTI: i32 = 14;
/// That of `multiRead`, since ZooKeeper 3.6.
const MULTI_READ: i32 = 22;
/// One that no server knows.
const UNKNOWN: i32 = 9_999;

/// Forwards connections until it is dropped.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    /// The answer to the next `multi` is lost.
    pub(crate) lose_next: Arc<AtomicBool>,
    /// The server does not know `multiRead`.
    pub(crate) old: Arc<AtomicBool>,
    /// How many were lost.
    pub(crate) lost: Arc<AtomicU32>,
    /// Its connections; none once it is closed.
    connections: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Proxy {
    pub(crate) fn new(server: u16) -> Self {
        Self::at("127.0.0.1:0", server)
    }

    /// Listens at an address.
    pub(crate) fn at(address: &str, server: u16) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            lose_next: Arc::default(),
            old: Arc::default(),
            lost: Arc::default(),
            connections: Arc::new(Mutex::new(Some(Vec::new()))),
        };
        let connections = Arc::clone(&proxy.connections);
        let (lose_next, lost) = (Arc::clone(&proxy.lose_next), Arc::clone(&proxy.lost));
        let old = Arc::clone(&proxy.old);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                match &mut *connections.lock().unwrap() {
                    Some(connections) => connections.push(client.try_clone().unwrap()),
                    None => continue,
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
                    continue;
                };
                forward(client, server, &lose_next, &old, &lost);
            }
        });
        proxy
    }

    /// How many connections there were.
    pub(crate) fn accepted(&self) -> usize {
        let connections = self.connections.lock().unwrap();
        connections.as_ref().map_or(0, Vec::len)
    }

    /// Ends all connections, and every later one at once.
    pub(crate) fn close(&self) {
        let connections = self.connections.lock().unwrap().take();
        for connection in connections.into_iter().flatten() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn forward(
    client: TcpStream,
    server: TcpStream,
    lose_next: &Arc<AtomicBool>,
    old: &Arc<AtomicBool>,
    lost: &Arc<AtomicU32>,
) {
    let (lose_next, old, lost) = (Arc::clone(lose_next), Arc::clone(old), Arc::clone(lost));
    let (mut from_client, mut to_server) =
        (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (mut from_server, mut to_client) = (server, client);
    let silent = Arc::new(AtomicBool::new(false));
    let muted = Arc::clone(&silent);
    std::thread::spawn(move || {
        let mut length = [0_u8; 4];
        while from_client.read_exact(&mut length).is_ok() {
            let size = usize::try_from(u32::from_be_bytes(length)).unwrap();
            let mut packet = vec![0_u8; size];
            if from_client.read_exact(&mut packet).is_err() {
                break;
            }
            // The first packet of a connection has no operation.
            let operation = packet
                .get(4..8)
                .map(|word| i32::from_be_bytes(word.try_into().unwrap()));
            if operation == Some(MULTI_READ) && old.load(Ordering::SeqCst) {
                packet[4..8].copy_from_slice(&UNKNOWN.to_be_bytes());
            }
            let lose = operation == Some(MULTI) && lose_next.swap(false, Ordering::SeqCst);
            if lose {
                silent.store(true, Ordering::SeqCst);
            }
            if to_server.write_all(&length).is_err() || to_server.write_all(&packet).is_err() {
                break;
            }
            if lose {
                // Long enough for the server to have done it.
                std::thread::sleep(Duration::from_millis(100));
                lost.fetch_add(1, Ordering::SeqCst);
                break;
            }
        }
        let _ = from_client.shutdown(Shutdown::Both);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    std::thread::spawn(move || {
        let mut buffer = [0_u8; 16_384];
        while let Ok(size) = from_server.read(&mut buffer) {
            let silent = muted.load(Ordering::SeqCst);
            if size == 0 || (!silent && to_client.write_all(&buffer[..size]).is_err()) {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
        let _ = from_server.shutdown(Shutdown::Both);
    });
}
