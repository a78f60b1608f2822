//! The names that subscriptions have on the wire: random, so that nobody can guess another's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::ConnectionId;

/// The open subscriptions by their names. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamIds(Arc<Mutex<HashMap<String, ConnectionId>>>);

/// One subscription's name; dropping it forgets the name.
#[derive(Debug)]
pub struct StreamId {
    text: String,
    all: StreamIds,
}

impl StreamIds {
    /// A fresh name for a subscription.
    pub(super) fn name(&self, connection: ConnectionId) -> StreamId {
        let text = uuid::Uuid::new_v4().to_string();
        self.lock().insert(text.clone(), connection);
        let all = self.clone();
        StreamId { text, all }
    }

    /// The subscription of a name.
    pub(super) fn find(&self, text: &str) -> Option<ConnectionId> {
        self.lock().get(text).copied()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, ConnectionId>> {
        // Every change is one call on the map, so a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamId {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Drop for StreamId {
    fn drop(&mut self) {
        self.all.lock().remove(&self.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_lives_as_long_as_its_stream() {
        let all = StreamIds::default();
        let id = all.name(ConnectionId(7));
        let text = id.as_str().to_owned();
        assert_eq!(all.find(&text), Some(ConnectionId(7)));
        assert_ne!(text, all.name(ConnectionId(7)).as_str());
        drop(id);
        assert_eq!(all.find(&text), None);
    }
}
