//! What a guest's process must know: handed to it as JSON on an inherited descriptor.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::containerizer::plan::{PlannedCommand, TaskCgroup};

/// Everything about one guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestPlan {
    /// A process of the container, whose namespaces are entered.
    pub beside: u32,
    /// The groups to enter.
    pub cgroups: Vec<TaskCgroup>,
    /// What is executed.
    pub command: PlannedCommand,
    /// The complete environment.
    pub environment: Vec<(String, String)>,
    /// Who to become; nobody else without.
    pub user: Option<GuestUser>,
    /// Where it starts, as the container sees it.
    pub folder: PathBuf,
    /// Standard input is a terminal that it is to control.
    pub tty: bool,
    /// It ends when the agent does.
    pub session: bool,
}

/// Numbers of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestUser {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
}
