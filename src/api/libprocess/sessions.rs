//! Who is connected here: drivers by their processes, and the orders for the tasks that talk to them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::pid::Pid;

/// Drivers connected at once; beyond it new ones wait, as their registration is tried again and again.
const SESSIONS_MAX: usize = 10_000;
/// Orders that wait for one driver's task.
const ORDERS_MAX: usize = 16;

/// The sessions of a daemon. `O` is what a session can be asked for after its start, `S` what is known
/// of it once its driver is subscribed. Clones share the table.
#[derive(Debug)]
pub(super) struct Sessions<O, S>(Arc<Mutex<BTreeMap<Pid, Entry<O, S>>>>);

#[derive(Debug)]
struct Entry<O, S> {
    orders: mpsc::Sender<O>,
    subscribed: Option<S>,
}

/// One session's place in the table; dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place<O, S> {
    pid: Pid,
    orders: mpsc::WeakSender<O>,
    all: Sessions<O, S>,
}

/// Where an order went.
#[derive(Debug)]
pub(super) enum Given<O, S> {
    /// To the session that the driver has.
    Passed,
    /// To a new session, which is to be started with its place and its orders.
    New(Place<O, S>, mpsc::Receiver<O>),
    /// Nowhere: the table, or the driver's queue, is full.
    Full,
}

impl<O, S> Clone for Sessions<O, S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<O, S> Default for Sessions<O, S> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<O, S: Clone> Sessions<O, S> {
    /// Gives an order to a driver's session, which is made for it if there is none.
    pub(super) fn give(&self, pid: &Pid, order: O) -> Given<O, S> {
        let mut all = self.lock();
        if let Some(entry) = all.get(pid) {
            return match entry.orders.try_send(order) {
                Ok(()) => Given::Passed,
                Err(_) => Given::Full,
            };
        }
        if all.len() >= SESSIONS_MAX {
            return Given::Full;
        }
        let (orders, queue) = mpsc::channel(ORDERS_MAX);
        // Fits: the queue is empty.
        let _ = orders.try_send(order);
        let weak = orders.downgrade();
        let entry = Entry {
            orders,
            subscribed: None,
        };
        all.insert(pid.clone(), entry);
        let place = Place {
            pid: pid.clone(),
            orders: weak,
            all: self.clone(),
        };
        Given::New(place, queue)
    }

    /// What is known of a subscribed driver.
    pub(super) fn subscribed(&self, pid: &Pid) -> Option<S> {
        self.lock().get(pid)?.subscribed.clone()
    }

    /// Whether any other driver than this one is subscribed and `wanted`.
    pub(super) fn any_other(&self, pid: &Pid, wanted: impl Fn(&S) -> bool) -> bool {
        self.lock()
            .iter()
            .any(|(other, entry)| other != pid && entry.subscribed.as_ref().is_some_and(&wanted))
    }
}

impl<O, S> Sessions<O, S> {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Pid, Entry<O, S>>> {
        // Every change is one call on the map, so a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<O, S> Place<O, S> {
    /// Whose place it is.
    pub(super) fn pid(&self) -> &Pid {
        &self.pid
    }

    /// Makes known that the driver is subscribed.
    pub(super) fn set(&self, subscribed: S) {
        if let Some(entry) = self.all.lock().get_mut(&self.pid) {
            entry.subscribed = Some(subscribed);
        }
    }
}

impl<O, S> Drop for Place<O, S> {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        let own = all.get(&self.pid).is_some_and(|entry| {
            let orders = self.orders.upgrade();
            orders.is_some_and(|orders| orders.same_channel(&entry.orders))
        });
        if own {
            all.remove(&self.pid);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_driver_has_one_session_at_a_time() {
        let sessions = Sessions::<u8, &str>::default();
        let pid: Pid = "a@127.0.0.1:1".parse().unwrap();
        let Given::New(place, mut orders) = sessions.give(&pid, 1) else {
            panic!("there was none");
        };
        assert!(matches!(sessions.give(&pid, 2), Given::Passed));
        assert_eq!((orders.try_recv(), orders.try_recv()), (Ok(1), Ok(2)));
        assert_eq!(sessions.subscribed(&pid), None);
        place.set("F");
        assert_eq!(sessions.subscribed(&pid), Some("F"));
        let other: Pid = "b@127.0.0.1:1".parse().unwrap();
        assert!(sessions.any_other(&other, |known| *known == "F"));
        assert!(!sessions.any_other(&pid, |known| *known == "F"));
        for _ in 0..ORDERS_MAX {
            assert!(matches!(sessions.give(&pid, 3), Given::Passed));
        }
        assert!(matches!(sessions.give(&pid, 3), Given::Full));
        drop((place, orders));
        assert_eq!(sessions.subscribed(&pid), None);
        assert!(matches!(sessions.give(&pid, 1), Given::New(..)));
    }
}
