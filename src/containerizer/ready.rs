//! Descriptors in tokio's reactor.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor that `inner` owns. To be called inside a tokio runtime.
pub(super) fn register<T>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>>
where
    T: AsRawFd + Into<OwnedFd>,
{
    // SAFETY: what can be turned into an owned descriptor owns it, keeps it open and does not change
    // it; `inner` is moved in, and only reading methods are called on it.
    let registered = unsafe { AsyncFd::register_with_interest(inner, interest) };
    registered.map_err(|refused| refused.into_parts().1)
}
