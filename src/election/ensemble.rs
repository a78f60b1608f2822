//! An ensemble, and how to speak to it.

use std::time::Duration;

use super::ZooKeeperUrl;

/// Shortest session timeout that is asked for; below it the crate's own timers are too coarse.
pub const TIMEOUT_MIN: Duration = Duration::from_millis(500);
/// Longest that is asked for.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// How to prove who we are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// ZooKeeper's own, as Mesos does it.
    #[default]
    Digest,
    /// SASL with DIGEST-MD5.
    Sasl,
}

/// Certificates, as PEM text.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Who vouches for the servers.
    pub authorities: String,
    /// Our own certificate and its key, where the servers ask for one.
    pub identity: Option<(String, String)>,
}

/// An ensemble and how to speak to it.
#[derive(Clone, Debug)]
pub struct Ensemble {
    /// Where it is.
    pub url: ZooKeeperUrl,
    /// The session timeout to ask for; the ensemble may grant another one.
    pub timeout: Duration,
    /// How the credentials of the address are used.
    pub scheme: Scheme,
    /// Encrypted, with these certificates.
    pub tls: Option<Tls>,
}

impl Ensemble {
    /// In the clear, credentials as Mesos uses them.
    #[must_use]
    pub fn new(url: ZooKeeperUrl, timeout: Duration) -> Self {
        Self {
            url,
            timeout,
            scheme: Scheme::default(),
            tls: None,
        }
    }
}
