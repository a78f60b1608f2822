//! Core: which master leads, by ZooKeeper: the rules of the election, without its sockets.
//!
//! Every master keeps an ephemeral sequential znode `json.info_<10 digits>` below the path of
//! `--zk`; the one with the smallest number leads, and its content, Mesos' MasterInfo as JSON, tells
//! agents, frameworks and Mesos' own tools where it is.
//!
//! | what | where |
//! | --- | --- |
//! | `zk://` addresses | [`ZooKeeperUrl`] |
//! | how to speak to an ensemble | [`Ensemble`] |
//! | names of candidates' znodes | `znode` |
//! | what they contain | [`info`] |
//! | who leads | [`detector`] |
//! | how to become and stop being the leader | [`contender`] |
//! | the ZooKeeper session (shell) | [`session`] |
//! | the loop around both machines (shell) | [`driver`] |

pub mod contender;
pub mod detector;
pub mod driver;
mod ensemble;
pub mod info;
pub mod session;
mod url;
mod znode;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

pub use ensemble::{Ensemble, Scheme, TIMEOUT_MAX, TIMEOUT_MIN, Tls};
pub use url::{Credentials, Server, UrlError, ZooKeeperUrl};
pub use znode::{CANDIDATE, first};
