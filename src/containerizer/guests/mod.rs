//! Shell: guests: commands that are brought into a container that runs, for people who look after it
//! and for executors that make containers of their own (Mesos' nested containers); and containers that
//! operators launch by themselves (its standalone containers).
//!
//! A guest is a process `mesosd guest` of the agent's and the command below it: in the control groups
//! and namespaces of the container, as its user. Its input and output are pipes or a terminal of the
//! agent's, so a guest that somebody talks to does not outlive the agent.
//!
//! | what | where |
//! | --- | --- |
//! | launch, wait, kill, attach | [`Guests`] |
//! | where in a container a guest goes | `place` |
//! | its process | `process`, [`GuestPlan`] |
//! | input and output | `switchboard` |
//! | containers of executors: signals, waiting for their end | `hosts` |
//! | containers without an executor, and what is written down about them | `standalone`, `record` |

#[expect(
    clippy::module_inception,
    reason = "named after its type, as everywhere"
)]
mod guests;
mod hosts;
mod place;
mod plan;
mod process;
mod record;
mod standalone;
mod switchboard;

pub(super) use place::House;

pub use guests::{GuestError, GuestRequest, Guests, Launched};
pub use plan::{GuestPlan, GuestUser};
pub use switchboard::{Input, Said, Stream};
