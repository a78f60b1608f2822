//! The right to promise something, which ends by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::SystemClock;
use crate::base::Instant;

/// Lasts until a time on the clock that goes on while the process or the machine is stopped; whoever
/// promises looks at it before every promise. Clones are the same lease.
#[derive(Clone, Debug)]
pub struct Lease(Arc<AtomicU64>);

impl Lease {
    /// Of a master without rivals: it never ends.
    #[must_use]
    pub fn endless() -> Self {
        Self::until(Instant(u64::MAX))
    }

    /// Ends at `end`, if it is not extended.
    #[must_use]
    pub fn until(end: Instant) -> Self {
        Self(Arc::new(AtomicU64::new(end.0)))
    }

    /// Ends later. A lease that was revoked stays so.
    pub fn extend(&self, end: Instant) {
        let longer = |held: u64| (held != 0).then(|| held.max(end.0));
        // Not changed means revoked.
        let _ = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, longer);
    }

    /// Ends now, for ever.
    pub fn revoke(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    /// True while it lasts.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let end = self.0.load(Ordering::SeqCst);
        end == u64::MAX || SystemClock.now().mono.0 < end
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_ends_by_itself_or_by_word() {
        assert!(Lease::endless().is_held());
        let now = SystemClock.now().mono;
        let lease = Lease::until(now);
        assert!(!lease.is_held());
        lease.extend(now.after(Duration::from_secs(60)));
        let other = lease.clone();
        assert!(other.is_held());
        lease.extend(now);
        assert!(other.is_held(), "an older answer does not shorten it");
        other.revoke();
        lease.extend(now.after(Duration::from_secs(60)));
        assert!(!lease.is_held());
    }
}
