//! Shell: containers: launchers, isolators, the container-side process.
//!
//! ```text
//! agent ─ Containerizer ─ Lifecycle (one task per container)
//!           prepare: user, sandbox, runtime directory, plan, control groups, limits
//!           fetch:   only when the command has URIs
//!           start:   supervisor from the sealed program, in its own leaf
//!           watch:   its end, out of memory, destroy
//!           clean:   kill what is left, remove groups and runtime directory; Ended
//! supervisor ─ init::start ─ first process ─ task
//! ```

pub mod cgroups;
mod clone;
mod config;
#[expect(
    clippy::module_inception,
    reason = "named after its type, as everywhere"
)]
mod containerizer;
mod error;
pub mod fetch;
pub mod guests;
pub mod init;
pub mod isolators;
mod launch;
pub mod launcher;
mod lifecycle;
pub mod nested;
mod orphans;
pub mod plan;
mod planning;
mod ready;
mod sandbox;
pub mod status;
mod supervised;
mod user;
mod volumes;

pub use config::{ContainerizerConfig, LauncherChoice};
pub use containerizer::{ContainerEvent, Containerizer};
pub use error::ContainerizerError;
pub use sandbox::{Output, SandboxError};
pub use user::UserError;
