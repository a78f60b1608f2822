//! Ending a daemon in order: drain when asked, leave at once when asked again.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How far a daemon is on its way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not asked to end.
    #[default]
    Running,
    /// Asked to end: finish what was promised, take nothing new.
    Draining,
    /// Asked twice, or draining took too long: leave now.
    Immediate,
}

/// A token that all parts of a daemon share; it only ever moves forward.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<watch::Sender<Phase>>);

impl Shutdown {
    /// A token in [`Phase::Running`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the daemon stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Asks for a drain; nothing happens if the daemon is already past that.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Asks to leave at once.
    pub fn abort(&self) {
        self.advance(Phase::Immediate);
    }

    /// Returns as soon as the daemon is asked to end, in whatever way. Cancel safe.
    pub async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Returns as soon as the daemon is asked to leave at once. Cancel safe.
    pub async fn aborted(&self) {
        self.reached(Phase::Immediate).await;
    }

    /// From now on SIGTERM and SIGINT ask for a drain, and the next one to leave at once. Needs a
    /// running tokio runtime.
    pub fn on_signals(&self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                match shutdown.phase() {
                    Phase::Running => {
                        tracing::info!(signal = name, "draining; a second signal ends at once");
                        super::notify::stopping();
                        shutdown.drain();
                    }
                    Phase::Draining | Phase::Immediate => {
                        tracing::warn!(signal = name, "leaving at once");
                        shutdown.abort();
                    }
                }
            }
        });
        Ok(())
    }

    fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let forward = to > *phase;
            if forward {
                *phase = to;
            }
            forward
        });
    }

    async fn reached(&self, wanted: Phase) {
        self.0
            .subscribe()
            .wait_for(|phase| *phase >= wanted)
            .await
            .map(|_| ())
            .expect("the sender lives as long as this token");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_only_move_forward() {
        let shutdown = Shutdown::new();
        let other = shutdown.clone();
        assert_eq!(other.phase(), Phase::Running);
        shutdown.abort();
        shutdown.drain();
        other.draining().await;
        other.aborted().await;
        assert_eq!(other.phase(), Phase::Immediate);
    }

    #[tokio::test]
    async fn draining_is_not_leaving() {
        let shutdown = Shutdown::new();
        shutdown.drain();
        shutdown.draining().await;
        let wait = std::time::Duration::from_millis(20);
        assert!(
            tokio::time::timeout(wait, shutdown.aborted())
                .await
                .is_err()
        );
    }
}
