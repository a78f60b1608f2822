//! How a master becomes the leader and stops being it.
//!
//! ```text
//!              Opened            Entered           first, and sure of it
//!   Away ------------> Entering ---------> Waiting ---------------------> Leading
//!     ^                   |  ^ EnterLost      ^                              |
//!     |                   v  | Found(None)    |  the lease ran out, or       |
//!     |                 Finding --------------+  the node is not first       |
//!     +------------------------------ Ended, Resign -------------------------+
//! ```
//!
//! **The lease.** A leader may promise only while its lease lasts. The lease counts from when the last
//! *answered* heartbeat was *sent*, on a clock that goes on while the machine sleeps, and lasts
//! [`LEASE_PERCENT`] of the session timeout. Heartbeats go through the ensemble's own leader (`sync`),
//! not only to the server we are connected to: a server that is cut off from the others still answers
//! pings for a while, but nobody else hears of them. The rest of the timeout covers what that leader may
//! not have heard yet: servers report their clients every half tick, a session lasts at least two ticks,
//! and clients speak at least every tenth of a session. So nobody else can be elected while a lease lasts.
//!
//! A lease that has run out ends the leadership, also if the session turns out to live: what was
//! promised by others meanwhile is not known. The znode stays, so that such a master leads again, as a
//! new leader with a new epoch, as soon as it is sure to be first.

use std::time::Duration;

use crate::base::{Instant, Now};

use super::znode::first;

/// How long a lease lasts, of the session timeout.
pub const LEASE_PERCENT: u32 = 60;
/// Heartbeats in one session timeout.
const BEATS: u32 = 6;
/// From a failure to the next attempt.
const RETRY: Duration = Duration::from_secs(1);

/// What happens to a contender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// There is a session with this timeout, as the ensemble granted it.
    Opened {
        /// How long ZooKeeper waits for a sign of life.
        timeout: Duration,
    },
    /// The session is over.
    Ended,
    /// Our znode is there.
    Entered(String),
    /// The answer to its creation was lost: it may be there.
    EnterLost,
    /// It could not be made.
    EnterRefused,
    /// What was found of ours among the children.
    Found(Option<String>),
    /// The search had no answer.
    FindFailed,
    /// The children, as they were after `asked`.
    Listed {
        /// Their names.
        nodes: Vec<String>,
        /// When the question was sent.
        asked: Instant,
    },
    /// The ensemble has answered the heartbeat that was sent at this time.
    Answered {
        /// When it was sent.
        sent: Instant,
    },
    /// A timer has fired.
    TimerFired(Timer),
    /// Stop leading, if so, and contend anew from the end of the queue.
    Resign,
}

/// The timers of a contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The next heartbeat.
    Beat,
    /// The end of the lease.
    Lease,
    /// Another attempt.
    Retry,
}

/// Why a leadership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Deposed {
    /// ZooKeeper has not answered in time.
    #[error("ZooKeeper has not answered for {LEASE_PERCENT} % of the session timeout")]
    Lease,
    /// The session expired or was closed.
    #[error("the ZooKeeper session has ended")]
    Session,
    /// The znode has gone or is not the first one.
    #[error("the znode of this master is not the first one any more")]
    Node,
    /// It was asked to.
    #[error("it was asked to")]
    Resigned,
}

/// What a contender wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make our znode.
    Enter,
    /// Look for a znode of our session among the children.
    Find,
    /// List the children.
    List,
    /// Ask the ensemble's leader for a sign of life, and remember when.
    Beat,
    /// Lead until the lease ends.
    Lead {
        /// Our znode.
        node: String,
        /// The end of the lease.
        until: Instant,
    },
    /// The lease lasts longer.
    Extend {
        /// Its new end.
        until: Instant,
    },
    /// Stop leading now.
    StepDown(Deposed),
    /// End the session and with it our znode; then open another.
    CloseSession,
    /// Fire once, at this time, in place of an earlier one.
    SetTimer(Timer, Instant),
    /// Do not fire.
    CancelTimer(Timer),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Away,
    Entering,
    Finding,
    Waiting { node: String },
    Leading { node: String },
}

/// The machine.
#[derive(Debug)]
pub struct Contender {
    state: State,
    timeout: Duration,
    /// When the last answered heartbeat of this session was sent.
    heard: Option<Instant>,
    /// What was listed before this says nothing about now.
    sure_after: Instant,
    /// Bugs to plant, so that tests can prove that they would be caught.
    #[cfg(feature = "testing")]
    pub planted: Planted,
}

/// Bugs of a contender.
#[cfg(feature = "testing")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Planted {
    /// Counts the lease from the answer.
    pub lease_from_answer: bool,
}

impl Default for Contender {
    fn default() -> Self {
        Self {
            state: State::Away,
            timeout: Duration::ZERO,
            heard: None,
            sure_after: Instant(0),
            #[cfg(feature = "testing")]
            planted: Planted::default(),
        }
    }
}

impl Contender {
    /// A master that does not contend yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// True while this master leads as far as it knows; the lease says more.
    #[must_use]
    pub fn leads(&self) -> bool {
        matches!(self.state, State::Leading { .. })
    }

    /// Handles one event.
    pub fn step(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Opened { timeout } => {
                self.timeout = timeout;
                self.heard = None;
                self.enter(effects);
                self.beat(now, effects);
            }
            Event::Ended => self.leave(Deposed::Session, effects),
            Event::Resign => {
                if self.state != State::Away {
                    self.leave(Deposed::Resigned, effects);
                    effects.push(Effect::CloseSession);
                }
            }
            Event::Entered(node) => {
                if self.state == State::Entering {
                    self.wait(now, node, effects);
                }
            }
            Event::EnterLost => {
                if self.state == State::Entering {
                    self.state = State::Finding;
                    effects.push(Effect::Find);
                }
            }
            Event::EnterRefused | Event::FindFailed => {
                effects.push(Effect::SetTimer(Timer::Retry, now.mono.after(RETRY)));
            }
            Event::Found(found) => match (&self.state, found) {
                (State::Finding, Some(node)) => self.wait(now, node, effects),
                (State::Finding, None) => self.enter(effects),
                _ => {}
            },
            Event::Listed { nodes, asked } => self.listed(now, &nodes, asked, effects),
            Event::Answered { sent } => self.answered(now, sent, effects),
            Event::TimerFired(timer) => self.fired(now, timer, effects),
        }
    }

    fn enter(&mut self, effects: &mut Vec<Effect>) {
        self.state = State::Entering;
        effects.push(Effect::Enter);
    }

    fn wait(&mut self, now: Now, node: String, effects: &mut Vec<Effect>) {
        self.state = State::Waiting { node };
        self.sure_after = now.mono;
        effects.push(Effect::List);
    }

    fn leave(&mut self, why: Deposed, effects: &mut Vec<Effect>) {
        if self.leads() {
            effects.push(Effect::StepDown(why));
        }
        self.state = State::Away;
        self.heard = None;
        for timer in [Timer::Beat, Timer::Lease, Timer::Retry] {
            effects.push(Effect::CancelTimer(timer));
        }
    }

    /// The end of the lease; none while nothing was heard.
    fn lease(&self) -> Option<Instant> {
        let length = self.timeout * LEASE_PERCENT / 100;
        self.heard.map(|sent| sent.after(length))
    }

    fn beat(&mut self, now: Now, effects: &mut Vec<Effect>) {
        effects.push(Effect::Beat);
        let next = now.mono.after(self.timeout / BEATS);
        effects.push(Effect::SetTimer(Timer::Beat, next));
    }

    fn answered(&mut self, now: Now, sent: Instant, effects: &mut Vec<Effect>) {
        if self.state == State::Away || self.heard.is_some_and(|heard| heard >= sent) {
            return;
        }
        #[cfg(feature = "testing")]
        let sent = if self.planted.lease_from_answer {
            now.mono
        } else {
            sent
        };
        let lasted = self.lease().is_some_and(|end| end > now.mono);
        self.heard = Some(sent);
        if !lasted && self.leads() {
            // Whoever has looked at the lease since its end does not lead any more.
            self.step_down(now, Deposed::Lease, effects);
        }
        match (&self.state, self.lease()) {
            (State::Leading { .. }, Some(until)) => {
                effects.push(Effect::Extend { until });
                effects.push(Effect::SetTimer(Timer::Lease, until));
            }
            // The first answer for a long time: who is first is to be asked again.
            (State::Waiting { .. }, _) if !lasted => effects.push(Effect::List),
            _ => {}
        }
    }

    fn listed(&mut self, now: Now, nodes: &[String], asked: Instant, effects: &mut Vec<Effect>) {
        let (State::Waiting { node } | State::Leading { node }) = &self.state else {
            return;
        };
        if asked < self.sure_after {
            return;
        }
        if !nodes.contains(node) {
            // Somebody has deleted it.
            self.step_down(now, Deposed::Node, effects);
            self.enter(effects);
            return;
        }
        let is_first = first(nodes.iter().map(String::as_str)) == Some(node);
        match (&self.state, self.lease()) {
            (State::Waiting { node }, Some(until)) if is_first && until > now.mono => {
                let node = node.clone();
                self.state = State::Leading { node: node.clone() };
                effects.push(Effect::Lead { node, until });
                effects.push(Effect::SetTimer(Timer::Lease, until));
            }
            (State::Leading { .. }, _) if !is_first => self.step_down(now, Deposed::Node, effects),
            _ => {}
        }
    }

    fn step_down(&mut self, now: Now, why: Deposed, effects: &mut Vec<Effect>) {
        if let State::Leading { node } = &self.state {
            self.state = State::Waiting { node: node.clone() };
            self.sure_after = now.mono;
            effects.push(Effect::CancelTimer(Timer::Lease));
            effects.push(Effect::StepDown(why));
        }
    }

    fn fired(&mut self, now: Now, timer: Timer, effects: &mut Vec<Effect>) {
        match timer {
            Timer::Beat if self.state != State::Away => self.beat(now, effects),
            Timer::Lease => match self.lease() {
                Some(until) if until > now.mono => {
                    effects.push(Effect::SetTimer(Timer::Lease, until));
                }
                _ => self.step_down(now, Deposed::Lease, effects),
            },
            Timer::Retry => match self.state {
                State::Entering => effects.push(Effect::Enter),
                State::Finding => effects.push(Effect::Find),
                _ => {}
            },
            Timer::Beat => {}
        }
    }

    /// What must hold between any two steps.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn check_invariants(&self) {
        assert!(
            !self.leads() || self.heard.is_some(),
            "leads without having heard of ZooKeeper"
        );
        assert!(
            self.state != State::Away || self.heard.is_none(),
            "hears without a session"
        );
    }
}
