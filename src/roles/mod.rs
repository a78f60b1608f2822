//! Core: role paths: validation and ancestry.

mod role;

pub use role::{Role, RoleError};
