//! Peers that vanish without a word: the kernel is told when to take them for gone.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

/// Silence after which the kernel asks whether the peer's host is alive, and between its questions.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Questions without answer after which the connection is dead.
const KEEPALIVE_TRIES: u32 = 4;

/// Ends `socket` when its peer's host has answered nothing for a minute, or has taken nothing of what was
/// sent for `stall`.
pub(in crate::api) fn end_when_silent(socket: &impl AsFd, stall: Duration) -> io::Result<()> {
    let seconds = u32::try_from(KEEPALIVE.as_secs()).unwrap_or(u32::MAX);
    let stall = u32::try_from(stall.as_millis()).unwrap_or(u32::MAX);
    setsockopt(socket, sockopt::KeepAlive, &true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &seconds)?;
    setsockopt(socket, sockopt::TcpKeepInterval, &seconds)?;
    setsockopt(socket, sockopt::TcpKeepCount, &KEEPALIVE_TRIES)?;
    setsockopt(socket, sockopt::TcpUserTimeout, &stall)?;
    Ok(())
}
