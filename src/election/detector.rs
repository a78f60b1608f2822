//! Who leads: asks for the candidates, watches them, and reads the first one's description.
//!
//! While ZooKeeper cannot be asked, the leader that was last seen stays the leader: an ensemble that
//! is down deposes nobody, and a leader that was deposed meanwhile is refused by its epoch.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{Instant, Now};
use crate::proto::v1;

use super::info::{self, InfoError};
use super::znode::first;

/// From a question that failed to the next one.
const RETRY: Duration = Duration::from_secs(1);

/// What happens to a detector.
#[derive(Clone, Debug)]
pub enum Event {
    /// There is a session: ask.
    Opened,
    /// The session is over; questions and watches ended with it.
    Ended,
    /// The children of the path; from this answer on a watch stands.
    Listed(Vec<String>),
    /// There was no answer, or no path; no watch stands.
    ListFailed,
    /// The watch has fired: the children are others now.
    Changed,
    /// Somebody else wants to know for sure.
    Refresh,
    /// The content of a candidate; none if it has gone.
    Read(String, Option<Vec<u8>>),
    /// There was no answer.
    ReadFailed(String),
    /// The timer has fired.
    TimerFired,
}

/// What a detector wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// List the children of the path and watch them.
    List,
    /// Read a candidate.
    Read(String),
    /// Another master leads, or nobody does.
    Leader(Option<Arc<v1::MasterInfo>>),
    /// The first candidate cannot be understood: nobody can be told who leads.
    Unreadable(InfoError),
    /// Fire once, at this time.
    SetTimer(Instant),
}

/// The machine.
#[derive(Debug, Default)]
pub struct Detector {
    open: bool,
    /// A listing is under way.
    listing: bool,
    /// What is known may be old: list again when the answer is there.
    stale: bool,
    /// The first candidate, while it is not read.
    wanted: Option<String>,
    /// The znode of the leader that was told.
    told: Option<String>,
}

impl Detector {
    /// Nobody leads as far as is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Handles one event.
    pub fn step(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Opened => {
                self.open = true;
                (self.listing, self.stale, self.wanted) = (false, false, None);
                self.list(effects);
            }
            Event::Ended => {
                self.open = false;
                (self.listing, self.stale, self.wanted) = (false, false, None);
            }
            Event::Changed | Event::Refresh | Event::TimerFired => self.list(effects),
            Event::Listed(names) => {
                self.listing = false;
                self.listed(&names, effects);
                if std::mem::take(&mut self.stale) {
                    self.list(effects);
                }
            }
            Event::ListFailed => {
                self.listing = false;
                self.stale = false;
                effects.push(Effect::SetTimer(now.mono.after(RETRY)));
            }
            Event::Read(name, content) => self.read(&name, content.as_deref(), effects),
            Event::ReadFailed(name) => {
                if self.wanted.as_deref() == Some(&*name) {
                    self.wanted = None;
                    effects.push(Effect::SetTimer(now.mono.after(RETRY)));
                }
            }
        }
    }

    fn list(&mut self, effects: &mut Vec<Effect>) {
        if !self.open {
            return;
        }
        if self.listing {
            self.stale = true;
            return;
        }
        self.listing = true;
        effects.push(Effect::List);
    }

    fn listed(&mut self, names: &[String], effects: &mut Vec<Effect>) {
        let Some(name) = first(names.iter().map(String::as_str)) else {
            self.wanted = None;
            if self.told.take().is_some() {
                effects.push(Effect::Leader(None));
            }
            return;
        };
        if self.told.as_deref() == Some(name) {
            self.wanted = None;
        } else if self.wanted.as_deref() != Some(name) {
            self.wanted = Some(name.to_owned());
            effects.push(Effect::Read(name.to_owned()));
        }
    }

    fn read(&mut self, name: &str, content: Option<&[u8]>, effects: &mut Vec<Effect>) {
        if self.wanted.as_deref() != Some(name) {
            return;
        }
        self.wanted = None;
        let Some(content) = content else {
            // It has gone between the two questions; the watch on the children has seen it too.
            self.list(effects);
            return;
        };
        let leader = match info::read(name, content) {
            Ok(info) => Some(Arc::new(info)),
            Err(error) => {
                effects.push(Effect::Unreadable(error));
                None
            }
        };
        self.told = Some(name.to_owned());
        effects.push(Effect::Leader(leader));
    }

    /// What must hold between any two steps.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn check_invariants(&self) {
        assert!(
            self.open || (!self.listing && self.wanted.is_none()),
            "a question without a session"
        );
        assert!(
            self.wanted.is_none() || self.wanted != self.told,
            "reads what it knows"
        );
        assert!(self.listing || !self.stale, "stale without a listing");
    }
}
