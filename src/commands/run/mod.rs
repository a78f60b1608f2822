//! Shell: `mesosd run`: runs a command on the cluster, or on one of its own that lives as long as the
//! command, as a framework of the SDK; prints what it prints and ends as it ends.
//!
//! | what | where |
//! | --- | --- |
//! | the command line | [`RunArgs`] |
//! | which offers will do, and why none does | `placement` |
//! | the framework | `job` |
//! | the tasks' output | `output` |
//! | `--local` | `local` |

mod args;
mod job;
mod local;
mod output;
mod placement;

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

pub(super) use args::RunArgs;
use job::Job;
use local::Cluster;

use super::say::say;
use crate::flags::{FlagError, MasterAddress, ZooKeeperFlags};
use crate::telemetry::chain;

/// Exit code of a task that cannot be placed, or not now.
const NOT_PLACED: u8 = 75;
/// Exit code of an environment that cannot be followed.
const USAGE: u8 = 64;
/// Exit code when the cluster does not answer.
const UNAVAILABLE: u8 = 69;
/// Exit code when something of this machine is in the way.
const SYSTEM: u8 = 71;

/// Why there is no exit code of a task.
#[derive(Debug, thiserror::Error)]
enum RunError {
    /// The runtime or a signal handler cannot be set up.
    #[error("cannot {what}")]
    System {
        what: &'static str,
        #[source]
        cause: std::io::Error,
    },
    /// The local cluster cannot be started.
    #[error(transparent)]
    Local(#[from] local::LocalError),
    /// The task has no place.
    #[error("the task cannot be placed: {0}")]
    NotPlaced(String),
    /// What the environment says of ZooKeeper.
    #[error(transparent)]
    Flags(#[from] FlagError),
    /// The master refuses, or has ended the framework.
    #[error("the master ended the framework: {0}")]
    Ended(String),
}

impl RunError {
    fn code(&self) -> u8 {
        match self {
            Self::System { .. } | Self::Local(_) => SYSTEM,
            Self::Flags(_) => USAGE,
            Self::NotPlaced(_) => NOT_PLACED,
            Self::Ended(_) => UNAVAILABLE,
        }
    }
}

/// The signals that end a job.
#[derive(Debug)]
struct Interruptions {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Interruptions {
    fn new() -> Result<Self, RunError> {
        let listen = |kind| {
            signal(kind).map_err(|cause| RunError::System {
                what: "listen for signals",
                cause,
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// The exit code that the next signal asks for: 128 plus its number.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
            _ = self.hang_up.recv() => 129,
        }
    }
}

/// Runs the command. `master` is asked unless the arguments want a cluster of their own.
pub(super) fn main(master: &MasterAddress, arguments: &RunArgs) -> ExitCode {
    let result = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|cause| RunError::System {
            what: "start the runtime",
            cause,
        })
        .and_then(|runtime| {
            let result = runtime.block_on(run(master, arguments));
            // A read of a closed terminal or the like must not hold the exit back.
            runtime.shutdown_background();
            result
        });
    match result {
        Ok(code) => code.into(),
        Err(error) => {
            complain(&error);
            error.code().into()
        }
    }
}

fn complain(error: &dyn std::error::Error) {
    say(chain(error));
}

async fn run(master: &MasterAddress, arguments: &RunArgs) -> Result<u8, RunError> {
    // Before anything is started, so that no signal can leave something behind.
    let mut interruptions = Interruptions::new()?;
    if !arguments.local {
        let (master, ensemble) = match master {
            MasterAddress::ZooKeeper(url) => {
                let ensemble = ZooKeeperFlags::of_environment()?.ensemble(url)?;
                (url.secret_text().to_owned(), Some(ensemble))
            }
            direct @ MasterAddress::Direct { .. } => (direct.to_string(), None),
        };
        let job = Job::new(&master, arguments).at(ensemble);
        return job.run(&mut interruptions).await;
    }
    let starting = Cluster::start();
    tokio::pin!(starting);
    let cluster = tokio::select! {
        cluster = &mut starting => cluster?,
        code = interruptions.next() => {
            // Half of it may be there. It waits for nobody, so this is quick.
            starting.await?.stop().await;
            return Ok(code);
        }
    };
    let result = Job::new(cluster.master(), arguments)
        .run(&mut interruptions)
        .await;
    cluster.stop().await;
    result
}
