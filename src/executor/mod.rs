//! Core: the built-in command executor's machine and its checks; [`supervisor`] is its shell, the
//! process main of every container.

pub mod checks;
pub mod core;
pub mod exit;
pub mod supervisor;
