//! What an operator has decided about one agent.

use std::time::Duration;

use crate::proto::v1;

/// How far a drain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainState {
    /// Tasks are being ended.
    Draining,
    /// There are no tasks any more.
    Drained,
}

/// A drain of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How far it has come.
    pub state: DrainState,
    /// At most this long for each task, whatever its own kill policy says.
    pub grace_max: Option<Duration>,
    /// Once drained the agent is given up for good.
    pub mark_gone: bool,
}

/// Where an agent stands by an operator's word. The default: it takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Nothing of it is offered.
    pub deactivated: bool,
    /// A drain, under way or done.
    pub drain: Option<Drain>,
}

impl Drain {
    /// The drain's rules as the wire has them.
    #[must_use]
    pub fn config(&self) -> v1::DrainConfig {
        v1::DrainConfig {
            max_grace_period: self.grace_max.map(v1::DurationInfo::from),
            mark_gone: Some(self.mark_gone),
        }
    }

    /// The drain as the wire has it.
    #[must_use]
    pub fn to_proto(&self) -> v1::DrainInfo {
        v1::DrainInfo {
            state: match self.state {
                DrainState::Draining => v1::DrainState::Draining,
                DrainState::Drained => v1::DrainState::Drained,
            }
            .into(),
            config: self.config(),
        }
    }

    /// Reads what [`Drain::to_proto`] wrote.
    #[must_use]
    pub fn from_proto(info: &v1::DrainInfo) -> Self {
        Self {
            state: match info.state() {
                v1::DrainState::Drained => DrainState::Drained,
                v1::DrainState::Draining | v1::DrainState::Unknown => DrainState::Draining,
            },
            grace_max: info
                .config
                .max_grace_period
                .map(v1::DurationInfo::to_duration),
            mark_gone: info.config.mark_gone(),
        }
    }
}

impl Standing {
    /// True when tasks are being ended.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain
            .is_some_and(|drain| drain.state == DrainState::Draining)
    }
}
