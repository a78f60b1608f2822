//! Core: a cluster in virtual time: the production master and allocator, model agents and
//! frameworks that behave as a scenario says. One scenario is one history.
//!
//! | file | duty |
//! | --- | --- |
//! | `scenario.rs` | what a scenario file says, checked |
//! | `model.rs` | a framework: what it wants, and how it answers offers |
//! | `world.rs` | the master's events and effects, agents, time |
//! | `figures.rs` | what came of it: utilisation, waits, fairness, shares over time |
//! | `plot.rs` | the shares over time as CSV and as a picture |

mod figures;
mod model;
mod plot;
mod scenario;
mod world;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

pub use figures::{Fairness, Figures, Sample, Waits};
pub use plot::{csv, svg};
pub use scenario::{Scenario, ScenarioError, change};
pub use world::simulate;
