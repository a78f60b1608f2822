//! Shell: the container side of a launch, called in the supervisor: clone into the namespaces, mount,
//! enter the task's cgroups, take limits and user, execute.
//!
//! ```text
//! supervisor ── clone ──> first process (pid 1 of the namespace) ── fork ──> task ── exec
//!     │  error pipe: one record, or end of file once exec has happened │
//!     └─ control socket: HELLO(pid), ENDED(status) ^   SIGNAL(number) v
//! ```
//!
//! Supervisor and first process share their pages; either may be killed, the other one then ends the
//! rest: the first process sees end of file on the control socket, the supervisor is a subreaper.

mod first;
mod mounts;
mod prepared;
mod report;
mod start;
mod task;

pub use start::{InitError, Started, start};
