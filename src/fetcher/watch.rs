//! Ends the process when a download brings nothing for too long, or when nobody waits for it any more.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that have arrived, of all items.
static PROGRESS: AtomicU64 = AtomicU64::new(0);

/// The download that is watched.
static WATCHED: Mutex<Option<String>> = Mutex::new(None);

/// Counts bytes that have arrived.
pub(super) fn progress(bytes: u64) {
    PROGRESS.fetch_add(bytes, Ordering::Relaxed);
}

/// Watches one download until it is dropped.
#[derive(Debug)]
pub(super) struct Watch(());

impl Watch {
    pub(super) fn over(uri: &str) -> Self {
        progress(1);
        if let Ok(mut watched) = WATCHED.lock() {
            *watched = Some(uri.to_owned());
        }
        Self(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Ok(mut watched) = WATCHED.lock() {
            *watched = None;
        }
    }
}

/// Starts the watching thread. `give_up` is called with the URI that stalls and must not return.
pub(super) fn start(stall: Duration, give_up: fn(&str, Duration) -> !) -> std::io::Result<()> {
    // SAFETY: no arguments; cannot fail.
    let parent = unsafe { libc::getppid() };
    let step = (stall / 4).clamp(Duration::from_millis(1), Duration::from_secs(1));
    thread::Builder::new()
        .name("watch".to_owned())
        .stack_size(64 << 10)
        .spawn(move || {
            let mut last = (PROGRESS.load(Ordering::Relaxed), Instant::now());
            loop {
                thread::sleep(step);
                // SAFETY: no arguments; cannot fail.
                if unsafe { libc::getppid() } != parent {
                    std::process::exit(1);
                }
                let bytes = PROGRESS.load(Ordering::Relaxed);
                if bytes != last.0 {
                    last = (bytes, Instant::now());
                }
                let watched = WATCHED.lock().ok().and_then(|watched| watched.clone());
                match watched {
                    Some(uri) if last.1.elapsed() >= stall => give_up(&uri, stall),
                    Some(_) => {}
                    None => last.1 = Instant::now(),
                }
            }
        })
        .map(|_| ())
}
