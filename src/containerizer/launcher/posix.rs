//! The posix launcher's hold on processes: a subreaper's descendants, found through `/proc`. Whatever
//! a task starts stays below its subreaper, also when it leaves its session and its parent ends.

use std::collections::BTreeSet;
use std::fs;
use std::io;

/// Process ids of all descendants of `root`, parents before children. A snapshot: processes that
/// are forked meanwhile are missing.
#[must_use]
pub fn descendants(root: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::from([root]);
    let mut next = vec![root];
    while let Some(parent) = next.pop() {
        for child in children(parent) {
            if seen.insert(child) {
                found.push(child);
                next.push(child);
            }
        }
    }
    found
}

/// The children of all threads of `parent`.
pub(in crate::containerizer) fn children(parent: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(text) => found.extend(
                text.split_ascii_whitespace()
                    .filter_map(|p| p.parse::<u32>().ok()),
            ),
            // The thread has ended: its children were given to another thread or to the reaper.
            Err(_) if thread.path().exists() => return children_by_scan(parent),
            Err(_) => {}
        }
    }
    found
}

/// The same without `CONFIG_PROC_CHILDREN`: every process is asked for its parent.
fn children_by_scan(parent: u32) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| parent_of(*pid) == Some(parent))
        .collect()
}

/// Field 4 of `/proc/<pid>/stat`.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn send(pid: u32, signal: i32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: plain numbers; positive, so exactly one process is meant.
    if unsafe { libc::kill(pid, signal) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sends `signal` to every descendant of `root`; those that have ended meanwhile are passed over.
pub fn signal_descendants(root: u32, signal: i32) {
    for pid in descendants(root) {
        // ESRCH: gone. EPERM: a set-user-id program, which this process may not signal.
        let _gone_or_foreign = send(pid, signal);
    }
}

/// Kills every descendant of `root`, which need not be this process. First everything is stopped,
/// again and again until no new process is found: what is stopped cannot fork.
pub fn kill_descendants(root: u32) -> usize {
    let mut stopped = BTreeSet::new();
    loop {
        let fresh: Vec<u32> = descendants(root)
            .into_iter()
            .filter(|pid| !stopped.contains(pid))
            .collect();
        if fresh.is_empty() {
            break;
        }
        for pid in fresh {
            let _gone_or_foreign = send(pid, libc::SIGSTOP);
            stopped.insert(pid);
        }
    }
    stopped
        .iter()
        .filter(|pid| send(**pid, libc::SIGKILL).is_ok())
        .count()
}

/// Kills and reaps every descendant of this process, which must be a subreaper (or process 1 of a
/// pid namespace): orphans come to it and are found again. Blocks until none is left, except for
/// processes that this user may not signal.
pub fn kill_own_descendants() {
    let own = std::process::id();
    loop {
        let killed = kill_descendants(own);
        let flags = if killed == 0 { libc::WNOHANG } else { 0 };
        if !reap_one(flags) && killed == 0 {
            return;
        }
        while reap_one(libc::WNOHANG) {}
    }
}

/// Reaps a child that has ended; false if there is none.
fn reap_one(flags: libc::c_int) -> bool {
    loop {
        let mut status = 0;
        // SAFETY: the status lives across the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, flags | libc::__WALL) };
        if pid >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return pid > 0;
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn descendants_in_other_sessions_are_found_and_killed() {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", "setsid sleep 1000 & sleep 1001 & echo ready; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        io::BufRead::read_line(
            &mut io::BufReader::new(shell.stdout.take().unwrap()),
            &mut line,
        )
        .unwrap();
        let found = descendants(shell.id());
        assert_eq!(found.len(), 2);
        assert_eq!(children_by_scan(shell.id()).len(), 2);
        assert_eq!(kill_descendants(shell.id()), 2);
        shell.wait().unwrap();
        for pid in found {
            assert!(send(pid, 0).is_err(), "process {pid} survived");
        }
    }
}
