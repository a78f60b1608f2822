//! The agent's side: starts `mesosd fetch` as the task's user and waits for it.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::{Failure, FetchError, FetchRequest};
use crate::executor::exit::Exit;

/// Longest answer of the process, in bytes.
pub(crate) const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Variables of the agent that its fetchers get.
const ENVIRONMENT: [&str; 10] = [
    "PATH",
    "SSL_CERT_FILE",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// The user that fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchUser {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
}

/// Brings everything in `request` into its sandbox. `binary` is mesosd itself, also as
/// `/proc/self/fd/<n>`; without a user the process runs as this one does. Dropping the future kills
/// the process.
pub async fn fetch(
    binary: &Path,
    request: &FetchRequest,
    user: Option<&FetchUser>,
) -> Result<(), FetchError> {
    if request.items.is_empty() {
        return Ok(());
    }
    let log = request.sandbox.join("stderr");
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&log)
        .map_err(|cause| FetchError::Log {
            path: log.display().to_string(),
            cause,
        })?;
    let mut command = Command::new(binary);
    command
        .arg0("mesosd")
        .arg("fetch")
        .env_clear()
        .envs(environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true);
    let user = user.cloned();
    // SAFETY: only system calls on memory that was allocated before.
    unsafe {
        command.pre_exec(move || match &user {
            Some(user) => switch_user(user),
            None => Ok(()),
        });
    }
    let text = serde_json::to_vec(request).expect("a request is texts and numbers");
    let mut process = command.spawn().map_err(FetchError::Run)?;
    let mut stdin = process.stdin.take().expect("stdin is piped");
    let stdout = process.stdout.take().expect("stdout is piped");
    // A process that ends early closes its stdin; what it has to say comes below.
    let _broken_pipe = stdin.write_all(&text).await;
    drop(stdin);
    let mut answer = Vec::new();
    stdout
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .await
        .map_err(FetchError::Run)?;
    let status = process.wait().await.map_err(FetchError::Run)?;
    outcome(
        std::os::unix::process::ExitStatusExt::into_raw(status),
        &answer,
    )
}

/// The variables of this process that its fetchers get.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    let present = |name: &&str| Some(((*name).to_owned(), std::env::var(name).ok()?));
    ENVIRONMENT.iter().filter_map(present).collect()
}

/// What a `mesosd fetch` that ended with this wait status and these words on stdout has done.
///
/// # Errors
///
/// Why it has failed.
pub fn outcome(wait_status: i32, answer: &[u8]) -> Result<(), FetchError> {
    let exit = Exit::from_wait_status(wait_status);
    if exit.is_success() {
        return Ok(());
    }
    Err(match serde_json::from_slice::<Failure>(answer) {
        Ok(failure) => FetchError::Item {
            uri: failure.uri,
            reason: failure.reason,
        },
        Err(_) => FetchError::Died(exit.to_string()),
    })
}

/// Becomes the user that fetches; for a child between fork and exec. Groups first: without the old
/// user's privileges they can no longer be set.
pub(crate) fn switch_user(user: &FetchUser) -> io::Result<()> {
    // SAFETY: the array lives across the call and its length is given; the rest are plain numbers.
    unsafe {
        if libc::setgroups(user.groups.len(), user.groups.as_ptr()) != 0
            || libc::setgid(user.gid) != 0
            || libc::setuid(user.uid) != 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
