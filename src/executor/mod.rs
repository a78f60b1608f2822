//! Core: the built-in executors' machines, [`core`] for one task and [`group`] for task groups, and
//! their checks; [`supervisor`] is their shell, the process main of every container,
//! [`guest`] that of commands brought into one.

pub mod checks;
pub mod core;
pub mod exit;
pub mod group;
pub mod guest;
pub mod supervisor;
