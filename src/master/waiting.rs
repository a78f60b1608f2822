//! Shell: how many commands wait for the master's loop, under Mesos' names.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::telemetry::{Metrics, as_f64};

use super::driver::Command;
use super::event::Event;

/// How many commands wait for the loop, by where they come from.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    /// What agents said.
    messages: Arc<AtomicUsize>,
    /// Calls, which somebody waits for.
    requests: Arc<AtomicUsize>,
    /// Everything else.
    others: Arc<AtomicUsize>,
}

impl Waiting {
    /// Nothing waits; metrics show what does later.
    pub(super) fn new(metrics: &Metrics) -> Self {
        let waiting = Self::default();
        let help = "Commands that wait for the master's loop, by origin.";
        for (name, count) in [
            ("master/event_queue_messages", &waiting.messages),
            ("master/event_queue_http_requests", &waiting.requests),
            ("master/event_queue_dispatches", &waiting.others),
        ] {
            let count = Arc::clone(count);
            metrics.gauge_from(name, help, move || as_f64(count.load(Ordering::Relaxed)));
        }
        waiting
    }

    /// The count that a command is in.
    pub(super) fn of(&self, command: &Command) -> &AtomicUsize {
        match command {
            Command::Event(event) if matches!(**event, Event::AgentMessage { .. }) => {
                &self.messages
            }
            Command::Request(..) => &self.requests,
            _ => &self.others,
        }
    }

    /// Counts a command that is about to wait.
    pub(super) fn add(&self, command: &Command) -> &AtomicUsize {
        let count = self.of(command);
        count.fetch_add(1, Ordering::Relaxed);
        count
    }
}
