//! Shell: what keeps hold of a container's processes.

pub mod posix;
