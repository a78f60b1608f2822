//! Shell: brings the URIs of a command into its sandbox: http, https and files of the host; unpacks
//! archives (`CommandInfo.URI`).
//!
//! A process of its own, `mesosd fetch`, does the work as the task's user, so that a path or a link
//! reaches only what that user may reach, and a hostile archive harms nobody else. Nothing is written
//! outside the sandbox, and no link is followed while writing.

mod extract;
mod launch;
mod process;
mod sandbox;
mod source;
mod watch;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::proto::v1;

pub(crate) use launch::{ANSWER_BYTES_MAX, switch_user};
pub use launch::{FetchUser, environment, fetch, outcome};
pub use process::main;

/// A download that brings less than a byte in so many milliseconds is given up (Mesos' default).
pub const STALL_TIMEOUT_MS: u64 = 60_000;

/// What to bring into a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRequest {
    /// The sandbox, a directory of the host; its file `stderr` gets the log.
    pub sandbox: PathBuf,
    /// Fetched one after another, in this order.
    pub items: Vec<FetchItem>,
    /// Where relative paths begin (`--frameworks_home`).
    pub frameworks_home: Option<PathBuf>,
    /// Longest time without a byte, in milliseconds (`--fetcher_stall_timeout`).
    pub stall_timeout_ms: u64,
    /// Bounds on what may arrive.
    pub limits: FetchLimits,
}

/// Bounds on what one item may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchLimits {
    /// Most bytes of a download, and most bytes that an archive may unpack to.
    pub bytes: u64,
    /// Most entries of an archive.
    pub entries: u64,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 1_000_000,
        }
    }
}

/// One URI; fields as in `CommandInfo.URI`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchItem {
    /// `http://`, `https://`, `file://` or a path.
    pub uri: String,
    /// Make it executable, and do not unpack it.
    pub executable: bool,
    /// Unpack it if its name says that it is an archive.
    pub extract: bool,
    /// Name in the sandbox instead of the URI's own; may hold directories.
    pub output_file: Option<String>,
}

impl From<&v1::command_info::Uri> for FetchItem {
    fn from(uri: &v1::command_info::Uri) -> Self {
        Self {
            uri: uri.value.clone(),
            executable: uri.executable(),
            extract: uri.extract(),
            output_file: uri.output_file.clone().filter(|name| !name.is_empty()),
        }
    }
}

/// Why a sandbox did not get what it should.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// One of the items cannot be fetched or unpacked.
    #[error("cannot fetch '{uri}': {reason}")]
    Item {
        /// The URI as the framework gave it.
        uri: String,
        /// What went wrong, with all causes.
        reason: String,
    },
    /// The sandbox's log cannot be opened.
    #[error("cannot open {path} for the fetcher's log")]
    Log {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        cause: std::io::Error,
    },
    /// The fetcher's process cannot be started or spoken to.
    #[error("cannot run the fetcher")]
    Run(#[source] std::io::Error),
    /// The fetcher ended without saying why.
    #[error("the fetcher {0}, its log is in the sandbox's stderr")]
    Died(String),
}

/// What the process tells its parent when it fails.
#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    uri: String,
    reason: String,
}
