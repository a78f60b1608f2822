//! Shell: frameworks that ship with mesosd, and the SDK they are built on.

pub mod sdk;
