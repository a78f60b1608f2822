//! Names of processes: `scheduler(1)@127.0.0.1:41295`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// Longest name, in bytes; drivers' are below 60.
const NAME_MAX: usize = 255;

/// A process and where it listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pid {
    /// The process among those of its host and port.
    pub(super) id: String,
    /// Where messages for it go.
    pub(super) address: SocketAddr,
}

/// Why a text names no process that messages could go to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no process id that can be answered: {reason}")]
pub(super) struct PidError {
    text: String,
    reason: &'static str,
}

impl FromStr for Pid {
    type Err = PidError;

    /// The address must be a literal: a stranger's message causes no name to be looked up.
    fn from_str(text: &str) -> Result<Self, PidError> {
        let wrong = |reason| PidError {
            text: text.chars().take(NAME_MAX).collect(),
            reason,
        };
        if text.len() > NAME_MAX {
            return Err(wrong("it is longer than 255 bytes"));
        }
        let (id, address) = text
            .rsplit_once('@')
            .ok_or_else(|| wrong("it is not ID@IP:PORT"))?;
        let usable =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'@' | b'?' | b'#');
        if id.is_empty() || !id.bytes().all(usable) {
            return Err(wrong("the id before '@' is empty or not plain"));
        }
        let address: SocketAddr = address
            .parse()
            .map_err(|_| wrong("after '@' comes no IP:PORT"))?;
        let ip = address.ip();
        if address.port() == 0 || ip.is_unspecified() || ip.is_multicast() {
            return Err(wrong("nothing listens at such an address"));
        }
        Ok(Self {
            id: id.to_owned(),
            address,
        })
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.address)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for text in [
            "scheduler(1)@127.0.0.1:41295",
            "master@10.1.2.3:5050",
            "scheduler-2f0e-41@[::1]:80",
        ] {
            assert_eq!(text.parse::<Pid>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_nobody_could_answer_is_refused() {
        let long = format!("{}@127.0.0.1:1", "x".repeat(300));
        for text in [
            "",
            "@",
            "scheduler(1)",
            "@127.0.0.1:1",
            "a b@127.0.0.1:1",
            "a\r\nX: y@127.0.0.1:1",
            "../a/b@127.0.0.1:1",
            "a@b@127.0.0.1:1",
            "scheduler(1)@localhost:80",
            "scheduler(1)@127.0.0.1",
            "scheduler(1)@127.0.0.1:0",
            "scheduler(1)@127.0.0.1:65536",
            "scheduler(1)@0.0.0.0:80",
            "scheduler(1)@[::]:80",
            "scheduler(1)@224.0.0.1:80",
            "scheduler(1)@127.0.0.1:80:90",
            &long,
        ] {
            assert!(text.parse::<Pid>().is_err(), "{text}");
        }
    }
}
