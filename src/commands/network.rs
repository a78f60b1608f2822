//! Where a daemon listens, and under which address and name others know it.

use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::process::{Command, Stdio};

use nix::sys::socket::{SockaddrIn, SockaddrIn6, SockaddrLike};
use tokio::net::TcpListener;

use crate::flags::{FlagError, NetworkFlags, Origin};
use crate::proto::v1;
use crate::runtime::{BindError, bind};

/// TEST-NET-1: an address outside of every host, to ask the routing table which of ours faces out.
const OUTSIDE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// Where to listen, decided before anything is opened.
#[derive(Clone, Debug)]
pub(super) struct Network {
    flags: NetworkFlags,
    ip: IpAddr,
}

/// An open listener and what others are told about it.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) listener: TcpListener,
    /// Where connections are taken.
    pub(super) address: SocketAddr,
    /// What others use.
    pub(super) place: Place,
}

/// How others reach a daemon.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    pub(super) hostname: String,
    /// Region and zone.
    pub(super) domain: Option<v1::DomainInfo>,
}

impl Network {
    /// What the flags say; `default` is the address to listen on if they say nothing.
    pub(super) fn new(flags: &NetworkFlags, default: IpAddr) -> Result<Self, FlagError> {
        let ip = match (&flags.ip, &flags.ip_discovery_command) {
            (Some(ip), _) => *ip,
            (None, Some(command)) => discover(command).map_err(|reason| FlagError::Bad {
                name: "ip_discovery_command".to_owned(),
                origin: Origin::Default,
                reason: format!("'{command}' {reason}"),
            })?,
            (None, None) => default,
        };
        let flags = flags.clone();
        Ok(Self { flags, ip })
    }

    /// The same host, another port, and nothing advertised.
    pub(super) fn with_port(&self, port: u16) -> Self {
        let mut flags = self.flags.clone();
        flags.port = port;
        flags.advertise_port = None;
        Self { flags, ip: self.ip }
    }

    /// Opens the listener.
    pub(super) async fn listen(&self) -> Result<Listening, BindError> {
        let (listener, address) = bind(self.ip, self.flags.port).await?;
        let place = self.place(address);
        Ok(Listening {
            listener,
            address,
            place,
        })
    }

    fn place(&self, address: SocketAddr) -> Place {
        let flags = &self.flags;
        let seen = if self.ip.is_unspecified() {
            facing_out()
        } else {
            self.ip
        };
        let ip = flags.advertise_ip.unwrap_or(seen);
        let hostname = match &flags.hostname {
            Some(hostname) => hostname.clone(),
            None if flags.hostname_lookup => name_of(ip).unwrap_or_else(|| ip.to_string()),
            None => ip.to_string(),
        };
        Place {
            ip,
            port: flags.advertise_port.unwrap_or(address.port()),
            hostname,
            domain: flags.domain.clone().map(|domain| domain.0),
        }
    }
}

/// Runs the program and reads the address that it prints.
fn discover(program: &str) -> Result<IpAddr, String> {
    let output = Command::new("/bin/sh")
        .args(["-c", program])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("failed: {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let text = text.trim();
    text.parse()
        .map_err(|_| format!("printed '{text}', which is no address"))
}

/// The address of this host that packets to the outside carry; no packet is sent.
fn facing_out() -> IpAddr {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| {
            socket.connect(OUTSIDE)?;
            socket.local_addr()
        })
        .map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip())
}

/// The name of one of our addresses: the host's own if it stands for it, else what the resolver says.
fn name_of(ip: IpAddr) -> Option<String> {
    if ip.is_loopback() {
        return Some("localhost".to_owned());
    }
    let own = nix::unistd::gethostname().ok()?.into_string().ok()?;
    let mut found = (own.as_str(), 0).to_socket_addrs().into_iter().flatten();
    if found.any(|address| address.ip() == ip) {
        return Some(own);
    }
    reverse(ip)
}

/// The resolver's name of an address.
fn reverse(ip: IpAddr) -> Option<String> {
    match ip {
        IpAddr::V4(ip) => name_info(&SockaddrIn::from(std::net::SocketAddrV4::new(ip, 0))),
        IpAddr::V6(ip) => name_info(&SockaddrIn6::from(std::net::SocketAddrV6::new(ip, 0, 0, 0))),
    }
}

fn name_info(address: &impl SockaddrLike) -> Option<String> {
    let mut name = [0_u8; 1025];
    // SAFETY: the address and the buffer outlive the call, and both lengths are theirs.
    let code = unsafe {
        libc::getnameinfo(
            address.as_ptr(),
            address.len(),
            name.as_mut_ptr().cast(),
            1025,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    if code != 0 {
        return None;
    }
    let name = CStr::from_bytes_until_nul(&name).ok()?;
    name.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn flags() -> NetworkFlags {
        NetworkFlags {
            ip: None,
            port: 0,
            advertise_ip: None,
            advertise_port: None,
            hostname: None,
            hostname_lookup: true,
            ip_discovery_command: None,
            domain: None,
        }
    }

    #[tokio::test]
    async fn what_is_advertised_is_what_others_see() {
        let mut flags = flags();
        flags.advertise_ip = Some("203.0.113.9".parse().unwrap());
        flags.advertise_port = Some(31_000);
        flags.hostname = Some("public.example".to_owned());
        let network = Network::new(&flags, Ipv4Addr::LOCALHOST.into()).unwrap();
        let listening = network.listen().await.unwrap();
        assert!(listening.address.ip().is_loopback());
        let place = listening.place;
        assert_eq!(place.ip.to_string(), "203.0.113.9");
        assert_eq!(
            (place.port, place.hostname.as_str()),
            (31_000, "public.example")
        );
    }

    #[tokio::test]
    async fn loopback_is_localhost_unless_names_are_not_wanted() {
        let mut flags = flags();
        let network = Network::new(&flags, Ipv4Addr::LOCALHOST.into()).unwrap();
        let listening = network.listen().await.unwrap();
        assert_eq!(listening.place.hostname, "localhost");
        assert_eq!(listening.place.port, listening.address.port());
        flags.hostname_lookup = false;
        let network = Network::new(&flags, Ipv4Addr::LOCALHOST.into()).unwrap();
        let listening = network.listen().await.unwrap();
        assert_eq!(listening.place.hostname, "127.0.0.1");
    }

    #[test]
    fn a_program_may_know_the_address() {
        let mut flags = flags();
        flags.ip_discovery_command = Some("echo 127.0.0.3".to_owned());
        let network = Network::new(&flags, Ipv4Addr::LOCALHOST.into()).unwrap();
        assert_eq!(network.ip.to_string(), "127.0.0.3");
        flags.ip_discovery_command = Some("echo nonsense".to_owned());
        let error = Network::new(&flags, Ipv4Addr::LOCALHOST.into()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--ip_discovery_command: 'echo nonsense' printed 'nonsense', which is no address"
        );
    }
}
