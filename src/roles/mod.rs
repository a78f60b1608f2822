//! Core: role paths: validation and ancestry; weights of roles.

mod role;
mod weight;

pub use role::{Role, RoleError};
pub use weight::{Weight, WeightError};
