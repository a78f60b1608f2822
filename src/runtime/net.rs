//! Binding a listener, with errors that name the flag to change.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process listens there.
    #[error(
        "port {port} on {ip} is taken: another process listens there; choose another with --port, \
         or --port=0 for a free one"
    )]
    Taken {
        /// The wanted address.
        ip: IpAddr,
        /// The wanted port.
        port: u16,
    },
    /// The address belongs to no interface of this host.
    #[error("{ip} is no address of this host: give one that is with --ip")]
    NotOurs {
        /// The wanted address.
        ip: IpAddr,
    },
    /// A port below 1024 without the right to it.
    #[error(
        "port {port} on {ip} may not be opened by this user: choose one above 1023 with --port"
    )]
    Forbidden {
        /// The wanted address.
        ip: IpAddr,
        /// The wanted port.
        port: u16,
    },
    /// Anything else.
    #[error("port {port} on {ip} cannot be opened")]
    Other {
        /// The wanted address.
        ip: IpAddr,
        /// The wanted port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
}

/// Connections that wait to be accepted, as far as the system lets them (`net.core.somaxconn`). One more is
/// dropped without a word, and who opened it tries again a second later: all agents of a cluster come to a
/// new leader within a second.
const BACKLOG: u32 = 65_535;

/// Listens on `ip` and `port`; port 0 takes a free one. Answers with the address really taken. Needs
/// a running tokio runtime.
pub async fn bind(ip: IpAddr, port: u16) -> Result<(TcpListener, SocketAddr), BindError> {
    let wrong = |source: io::Error| match source.kind() {
        ErrorKind::AddrInUse => BindError::Taken { ip, port },
        ErrorKind::AddrNotAvailable => BindError::NotOurs { ip },
        ErrorKind::PermissionDenied => BindError::Forbidden { ip, port },
        _ => BindError::Other { ip, port, source },
    };
    let listener = listen(SocketAddr::new(ip, port)).map_err(wrong)?;
    let address = listener.local_addr().map_err(wrong)?;
    Ok((listener, address))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Connections of the process before this one may linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let (_listener, address) = bind(LOOPBACK, 0).await.unwrap();
        assert_ne!(address.port(), 0);
        let error = bind(LOOPBACK, address.port()).await.unwrap_err();
        let start = format!("port {} on 127.0.0.1 is taken", address.port());
        assert!(error.to_string().starts_with(&start), "{error}");
    }

    /// Tokio's own `bind` lets 1,024 wait.
    #[tokio::test]
    async fn thousands_of_connections_wait_to_be_accepted() {
        let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        let most: usize = most.trim().parse().unwrap();
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        let (listener, address) = bind(LOOPBACK, 0).await.unwrap();
        let mut waiting = Vec::new();
        for number in 0..most.min(1_500) {
            let limit = std::time::Duration::from_millis(500);
            let socket = std::net::TcpStream::connect_timeout(&address, limit);
            waiting.push(socket.unwrap_or_else(|error| panic!("connection {number}: {error}")));
        }
        drop(listener);
    }

    #[tokio::test]
    async fn a_foreign_address_is_named() {
        // TEST-NET-1 is given to nobody.
        let error = bind("192.0.2.7".parse().unwrap(), 0).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "192.0.2.7 is no address of this host: give one that is with --ip"
        );
    }
}
