//! Real containers: real supervisors, cgroups and namespaces; each test looks for what is left behind.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;
mod isolation;
mod leftovers;
mod limits;
mod v2;
