//! `zk://[user:password@]host:port[,host:port...]/path`, read once and checked.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Longest address, in bytes.
const BYTES_MAX: usize = 4096;
/// Servers of one ensemble.
const SERVERS_MAX: usize = 64;
/// Longest name of a host, in bytes (RFC 1035).
const HOST_BYTES_MAX: usize = 255;

/// Why a text is no ZooKeeper address. The text may hold a password, so it is not repeated here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It does not begin with `zk://`.
    #[error("not a ZooKeeper address: {SHAPE}")]
    Scheme,
    /// Longer than any address.
    #[error("not a ZooKeeper address: longer than {BYTES_MAX} bytes")]
    TooLong,
    /// What stands before `@`.
    #[error("not a ZooKeeper address: before '@' stands user:password")]
    Credentials,
    /// One of the servers.
    #[error("not a ZooKeeper address: server {0} of the list is no host:port; {SHAPE}")]
    Server(usize),
    /// More than any ensemble has.
    #[error("not a ZooKeeper address: more than {SERVERS_MAX} servers")]
    TooManyServers,
    /// The path holds what ZooKeeper does not take.
    #[error(
        "not a ZooKeeper address: the path has an empty part, '.', '..' or a control character"
    )]
    Path,
}

/// What to write.
const SHAPE: &str = "write zk://[user:password@]host:port[,host:port...]/path";

/// Who we are to ZooKeeper.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The secret; never shown.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

/// One member of an ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port for clients.
    pub port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// An ensemble and a path in it. Shown without user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct ZooKeeperUrl {
    text: String,
    credentials: Option<Credentials>,
    servers: Vec<Server>,
    path: String,
}

impl ZooKeeperUrl {
    /// The address as it was given, password included.
    #[must_use]
    pub fn secret_text(&self) -> &str {
        &self.text
    }

    /// Who we are, if the address says so.
    #[must_use]
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// The ensemble's members, at least one.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Absolute, without a slash at its end; empty for the root.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A znode below the path.
    #[must_use]
    pub fn below(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }
}

impl FromStr for ZooKeeperUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let rest = text.strip_prefix("zk://").ok_or(UrlError::Scheme)?;
        if text.len() > BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        // A password may hold '@', ',' and '/'; what follows the last '@' cannot hold '@'.
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((who, rest)) => (Some(credentials(who)?), rest),
            None => (None, rest),
        };
        let (servers, path) = rest.split_once('/').unwrap_or((rest, ""));
        let servers: Vec<&str> = servers.split(',').collect();
        if servers.len() > SERVERS_MAX {
            return Err(UrlError::TooManyServers);
        }
        let servers = servers.iter().enumerate();
        Ok(Self {
            text: text.to_owned(),
            credentials,
            servers: servers
                .map(|(at, server)| parse_server(server).ok_or(UrlError::Server(at + 1)))
                .collect::<Result<_, _>>()?,
            path: parse_path(path).ok_or(UrlError::Path)?,
        })
    }
}

fn credentials(text: &str) -> Result<Credentials, UrlError> {
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() => Ok(Credentials {
            user: user.to_owned(),
            password: password.to_owned(),
        }),
        _ => Err(UrlError::Credentials),
    }
}

/// `host:port` or `[::1]:port`; every server needs its port, as in Mesos.
fn parse_server(text: &str) -> Option<Server> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once("]:")?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, port)
        }
        None => {
            let (host, port) = text.split_once(':')?;
            let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            let good = (1..=HOST_BYTES_MAX).contains(&host.len()) && host.chars().all(of_name);
            (good.then_some(host)?, port)
        }
    };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| digits && *port != 0)?;
    let host = host.to_owned();
    Some(Server { host, port })
}

/// The path without its first slash; a slash at its end is forgiven.
fn parse_path(text: &str) -> Option<String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.is_empty() {
        return Some(String::new());
    }
    let good = |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_control);
    text.split('/').all(good).then(|| format!("/{text}"))
}

impl fmt::Display for ZooKeeperUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("zk://")?;
        if self.credentials.is_some() {
            f.write_str("<hidden>@")?;
        }
        for (at, server) in self.servers.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{server}")?;
        }
        f.write_str(&self.path)
    }
}

impl fmt::Debug for ZooKeeperUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ZooKeeperUrl, UrlError> {
        text.parse()
    }

    #[test]
    fn all_parts_are_read_and_secrets_stay_hidden() {
        let url = parse("zk://joe:s@c/r,et@h1:2181,[::1]:2182/cells/mesos").unwrap();
        let credentials = url.credentials().unwrap();
        assert_eq!(credentials.user, "joe");
        assert_eq!(credentials.password, "s@c/r,et");
        let servers: Vec<String> = url.servers().iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["h1:2181", "[::1]:2182"]);
        assert_eq!(url.path(), "/cells/mesos");
        assert_eq!(url.below("x"), "/cells/mesos/x");
        assert_eq!(
            url.to_string(),
            "zk://<hidden>@h1:2181,[::1]:2182/cells/mesos"
        );
        assert!(!format!("{url:?}{credentials:?}").contains("c/r"));
        assert!(url.secret_text().contains("s@c/r,et"));
    }

    #[test]
    fn the_path_may_be_the_root() {
        for text in ["zk://h:1", "zk://h:1/"] {
            let url = parse(text).unwrap();
            assert_eq!((url.path(), url.below("x").as_str()), ("", "/x"), "{text}");
        }
        assert_eq!(parse("zk://h:1/mesos/").unwrap().path(), "/mesos");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("h:2181/mesos", UrlError::Scheme),
            ("zk://", UrlError::Server(1)),
            ("zk://h1", UrlError::Server(1)),
            ("zk://h1:1,h2/m", UrlError::Server(2)),
            ("zk://h1:1,,h2:2/m", UrlError::Server(2)),
            ("zk://h1:0/m", UrlError::Server(1)),
            ("zk://h1:+1/m", UrlError::Server(1)),
            ("zk://h1:65536/m", UrlError::Server(1)),
            ("zk://::1:2181/m", UrlError::Server(1)),
            ("zk://[::g]:2181/m", UrlError::Server(1)),
            ("zk://[::1]/m", UrlError::Server(1)),
            ("zk://joe@h:1/m", UrlError::Credentials),
            ("zk://:x@h:1/m", UrlError::Credentials),
            ("zk://h:1//m", UrlError::Path),
            ("zk://h:1/a/../m", UrlError::Path),
            ("zk://h:1/a\u{1}", UrlError::Path),
        ];
        for (text, wanted) in cases {
            assert_eq!(parse(text), Err(wanted), "{text}");
        }
        let long = format!("zk://h:1/{}", "x".repeat(BYTES_MAX));
        assert_eq!(parse(&long), Err(UrlError::TooLong));
        let many = format!("zk://{}h:1/m", "h:1,".repeat(SERVERS_MAX));
        assert_eq!(parse(&many), Err(UrlError::TooManyServers));
    }
}
