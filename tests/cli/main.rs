//! The command line as people and packages use it: the real binary, its files, its words, its exit
//! codes.
#![expect(clippy::unwrap_used, reason = "tests")]

mod api;
mod binary;
mod daemons;
mod flags;
mod packages;
mod registry;
mod strangers;
mod systemd;
mod words;
