//! The file of `--whitelist`: read when a leadership begins, and looked at again and again.

use std::collections::BTreeSet;
use std::time::Duration;

use super::daemon::DaemonError;
use crate::flags::{FlagError, Whitelist};
use crate::master::Handle;
use crate::telemetry::chain;

/// Between two looks, as in Mesos.
const OFTEN: Duration = Duration::from_secs(5);

/// Follows the file until it is dropped.
#[derive(Debug)]
pub(super) struct Following(Option<tokio::task::JoinHandle<()>>);

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Tells a master which agents are offered, now and whenever the file changes. A file that cannot be
/// read any more changes nothing.
pub(super) async fn follow(whitelist: Whitelist, master: Handle) -> Result<Following, DaemonError> {
    if whitelist.0.is_none() {
        return Ok(Following(None));
    }
    let mut known = read(&whitelist).await?;
    // A master that has ended is noticed by those who wait for it.
    let _ = master.whitelist(known.clone()).await;
    let task = tokio::spawn(async move {
        let mut broken = false;
        loop {
            tokio::time::sleep(OFTEN).await;
            match read(&whitelist).await {
                Ok(hosts) => {
                    broken = false;
                    if hosts != known && master.whitelist(hosts.clone()).await.is_ok() {
                        let count = hosts.as_ref().map_or(0, BTreeSet::len);
                        tracing::info!(hosts = count, "the whitelist has changed");
                        known = hosts;
                    }
                }
                Err(error) if !broken => {
                    broken = true;
                    tracing::error!(
                        "--whitelist: {}: the one that was read stands",
                        chain(&error)
                    );
                }
                Err(_) => {}
            }
        }
    });
    Ok(Following(Some(task)))
}

async fn read(whitelist: &Whitelist) -> Result<Option<BTreeSet<String>>, FlagError> {
    let whitelist = whitelist.clone();
    let read = tokio::task::spawn_blocking(move || whitelist.read()).await;
    read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
