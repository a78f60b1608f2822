//! Flags about ZooKeeper.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Command, FromArgMatches as _, ValueEnum};

use super::error::{FlagError, Origin};
use super::files::read_bounded;
use super::value::duration_between;
use crate::election::{Ensemble, Scheme, TIMEOUT_MAX, TIMEOUT_MIN, Tls, ZooKeeperUrl};

/// How to speak to an ensemble: flags of masters and agents.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "ZooKeeper", rename_all = "snake_case")]
pub struct ZooKeeperFlags {
    /// Time without a sign of life after which ZooKeeper gives a master up; the ensemble may grant
    /// another one.
    #[arg(long, value_name = "DURATION", default_value = "10secs",
          value_parser = duration_between(TIMEOUT_MIN, TIMEOUT_MAX))]
    pub zk_session_timeout: Duration,
    /// How user and password of the zk:// address are used.
    #[arg(long, value_name = "SCHEME", value_enum, default_value = "digest")]
    pub zk_auth: ZooKeeperAuth,
    /// Certificates that vouch for the servers of ZooKeeper, a file in PEM; with it connections are
    /// encrypted.
    #[arg(long, value_name = "FILE")]
    pub zk_ca_file: Option<PathBuf>,
    /// Certificate for ZooKeeper servers that ask for one, a file in PEM.
    #[arg(
        long,
        value_name = "FILE",
        requires = "zk_key_file",
        requires = "zk_ca_file"
    )]
    pub zk_cert_file: Option<PathBuf>,
    /// Key of --zk_cert_file, a file in PEM.
    #[arg(long, value_name = "FILE", requires = "zk_cert_file")]
    pub zk_key_file: Option<PathBuf>,
}

/// How masters elect their leader.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "ZooKeeper", rename_all = "snake_case")]
pub struct ElectionFlags {
    /// ZooKeeper ensemble and path, `zk://[user:password@]host:port[,host:port...]/path`: masters with
    /// the same one elect their leader there, and keep the registry there.
    #[arg(long, value_name = "URL")]
    pub zk: Option<ZooKeeperUrl>,
    /// Majority of the masters. The registry is in ZooKeeper, whose own majority decides: a value that
    /// does not fit the ensemble is only warned about.
    #[arg(long, value_name = "COUNT")]
    pub quorum: Option<NonZeroU32>,
    #[command(flatten)]
    pub zookeeper: ZooKeeperFlags,
}

/// How user and password of a `zk://` address are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ZooKeeperAuth {
    /// ZooKeeper's own scheme, as in Mesos.
    Digest,
    /// SASL with DIGEST-MD5.
    Sasl,
}

impl ZooKeeperFlags {
    /// For clients: what `MESOS_ZK_CA_FILE` and the like say, in place of flags.
    pub fn of_environment() -> Result<Self, FlagError> {
        let command = Self::augment_args(Command::new("environment").no_binary_name(true));
        let names: Vec<&str> = command
            .get_arguments()
            .filter_map(clap::Arg::get_long)
            .collect();
        let set = |name: &&str| {
            let value = std::env::var(format!("MESOS_{}", name.to_uppercase())).ok()?;
            Some(format!("--{name}={value}"))
        };
        let words: Vec<String> = names.iter().filter_map(set).collect();
        let matched = command.try_get_matches_from(words);
        let flags = matched.and_then(|matches| Self::from_arg_matches(&matches));
        flags.map_err(|error| {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            FlagError::Bad {
                name: "zk_*".to_owned(),
                origin: Origin::Environment,
                reason: line.trim_start_matches("error: ").to_owned(),
            }
        })
    }

    /// The ensemble of an address, spoken to as these flags say. Reads the certificates.
    pub(crate) fn ensemble(&self, url: &ZooKeeperUrl) -> Result<Ensemble, FlagError> {
        let identity = match (&self.zk_cert_file, &self.zk_key_file) {
            (Some(certificate), Some(key)) => {
                Some((pem("zk_cert_file", certificate)?, pem("zk_key_file", key)?))
            }
            _ => None,
        };
        let tls = match &self.zk_ca_file {
            Some(path) => Some(Tls {
                authorities: pem("zk_ca_file", path)?,
                identity,
            }),
            None => None,
        };
        Ok(Ensemble {
            scheme: match self.zk_auth {
                ZooKeeperAuth::Digest => Scheme::Digest,
                ZooKeeperAuth::Sasl => Scheme::Sasl,
            },
            tls,
            ..Ensemble::new(url.clone(), self.zk_session_timeout)
        })
    }
}

impl ElectionFlags {
    /// The ensemble that elects the leader; none for a master that leads alone.
    pub fn ensemble(&self) -> Result<Option<Ensemble>, FlagError> {
        let url = self.zk.as_ref();
        url.map(|url| self.zookeeper.ensemble(url)).transpose()
    }

    /// What is odd about `--quorum`.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let quorum = self.quorum?;
        let Some(zk) = &self.zk else {
            return (quorum.get() != 1).then(|| {
                format!("--quorum={quorum} has no effect without --zk: this master leads alone")
            });
        };
        let servers = zk.servers().len();
        let majority = servers / 2 + 1;
        (usize::try_from(quorum.get()) != Ok(majority)).then(|| {
            format!(
                "--quorum={quorum}: the registry is in ZooKeeper, whose {servers} servers decide by \
                 {majority}"
            )
        })
    }
}

fn pem(flag: &str, path: &Path) -> Result<String, FlagError> {
    read_bounded(path).map_err(|error| FlagError::Bad {
        name: flag.to_owned(),
        origin: Origin::Default,
        reason: error.to_string(),
    })
}
