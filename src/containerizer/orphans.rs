//! Containers of an agent that is no more: what our runtime directory records, and nothing else, is
//! ended and removed.

use std::fs;
use std::path::Path;

use super::cgroups::Tree;
use super::launch::Engine;
use super::launcher::posix;
use super::status;

/// Ends and removes every recorded container; blocks. To be called before the first launch.
pub(super) fn destroy_all(engine: &Engine) {
    let Ok(entries) = fs::read_dir(engine.containers()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        match name.to_str() {
            Some(container) => destroy(engine, container, &entry.path()),
            None => tracing::warn!(path = %entry.path().display(), "not a container"),
        }
    }
}

fn destroy(engine: &Engine, container: &str, runtime: &Path) {
    tracing::info!(%container, "destroying a container of an earlier agent");
    match status::read_process(runtime) {
        Ok(Some(record)) if record.is_there() => {
            posix::kill_descendants(record.pid);
            if let Ok(pid) = libc::pid_t::try_from(record.pid) {
                // SAFETY: plain numbers; the record names this very process.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%container, %error, "the supervisor is not known"),
    }
    if let Some(host) = &engine.host {
        let tree = Tree::of(host, container);
        if let Err(error) = tree.destroy(engine.config.destroy_timeout) {
            tracing::error!(%container, %error, "control groups of an earlier agent remain");
            return;
        }
    }
    if let Err(error) = fs::remove_dir_all(runtime) {
        tracing::error!(%container, %error, path = %runtime.display(), "cannot remove");
    }
}
