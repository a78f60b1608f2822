//! `--local`: a cluster that lives in this process, the one of `mesosd --role=local`: on free ports of
//! the loopback address, in a temporary directory, without a word in the log.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::api::service::daemon::Daemon;
use crate::commands::daemon::DaemonError;
use crate::commands::local::{LocalCluster, LocalSettings};
use crate::commands::say::say;
use crate::flags::{FlagError, LocalFlags, Request, World, load};
use crate::telemetry::{Metrics, chain};

/// What a cluster for one command needs; everything else is as by default. Variables and files for
/// daemons on this host are left alone: they mean other daemons.
const FLAGS: [&str; 4] = [
    "--role=local",
    "--ip=127.0.0.1",
    "--port=0",
    "--agent_port=0",
];

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub(super) enum LocalError {
    /// Our own flags are refused.
    #[error(transparent)]
    Flags(#[from] FlagError),
    /// Master or agent do not start.
    #[error("the local cluster does not start")]
    Start(#[source] DaemonError),
}

/// Master and agent in this process.
#[derive(Debug)]
pub(super) struct Cluster {
    cluster: LocalCluster,
    master: String,
}

impl Cluster {
    /// Starts them; says so if tasks cannot be isolated.
    pub(super) async fn start() -> Result<Self, LocalError> {
        let nothing = World {
            environment: Vec::new(),
            etc: PathBuf::from("/nonexistent"),
        };
        let words = FLAGS.map(OsString::from);
        let Request::Run(loaded) = load::<LocalFlags>(&words, &nothing)? else {
            unreachable!("help is not asked for");
        };
        let settings = LocalSettings::new(&loaded.flags)?;
        let daemon = Daemon::new(Metrics::new());
        let cluster = LocalCluster::start(settings, daemon)
            .await
            .map_err(LocalError::Start)?;
        if let Some(notice) = cluster.notice() {
            say(notice);
        }
        Ok(Self {
            master: cluster.address.to_string(),
            cluster,
        })
    }

    /// `host:port` of the master.
    pub(super) fn master(&self) -> &str {
        &self.master
    }

    /// Ends what runs and removes what was made.
    pub(super) async fn stop(self) {
        if let Err(error) = self.cluster.drain().await {
            say(chain(&error));
        }
    }
}
