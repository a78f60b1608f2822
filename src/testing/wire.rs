//! A way to a server that can fall silent: connections stay open, nothing arrives any more, and nobody is
//! told (a half-open connection, as a cut link or a dead middlebox leaves it).

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards connections until it is dropped.
#[derive(Debug)]
pub struct Wire {
    /// Where it listens.
    pub address: SocketAddr,
    silent: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Wire {
    /// A way to `server`, on a loopback port of its own.
    ///
    /// # Errors
    ///
    /// No port is free.
    pub async fn to(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (silent, heard) = watch::channel(false);
        let task = tokio::spawn(forward_all(listener, server, heard));
        Ok(Self {
            address,
            silent,
            task,
        })
    }

    /// From now on nothing passes. Connections that are open stay so and never carry anything again;
    /// new ones wait for [`Self::restore`].
    pub fn silence(&self) {
        self.silent.send_replace(true);
    }

    /// New connections are forwarded again.
    pub fn restore(&self) {
        self.silent.send_replace(false);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward_all(listener: TcpListener, server: SocketAddr, mut silent: watch::Receiver<bool>) {
    // Those that fell silent are held open here.
    let mut open = tokio::task::JoinSet::new();
    while silent.wait_for(|silent| !*silent).await.is_ok() {
        let Ok((client, _)) = listener.accept().await else {
            return;
        };
        let Ok(server) = TcpStream::connect(server).await else {
            continue;
        };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        open.spawn(forward(from_client, to_server, silent.clone()));
        open.spawn(forward(from_server, to_client, silent.clone()));
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut silent: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = tokio::select! {
            biased;
            fell = fallen(&mut silent) => {
                if fell {
                    std::future::pending::<()>().await;
                }
                return;
            }
            read = from.read(&mut buffer) => read,
        };
        match read {
            Ok(count) if count > 0 && to.write_all(&buffer[..count]).await.is_ok() => {}
            _ => return,
        }
    }
}

/// Waits for silence; false if it will not come any more.
async fn fallen(silent: &mut watch::Receiver<bool>) -> bool {
    silent.wait_for(|silent| *silent).await.is_ok()
}
