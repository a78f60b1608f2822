//! `mesosd`: a cluster resource manager in one binary. This file is the table of contents.
//!
//! Modules come in two kinds, named in the first doc line of each folder: *Core* modules are pure
//! (no IO, no clock, no thread, no unordered iteration; `step(now, event, &mut effects)`), *Shell*
//! modules own sockets, files and processes. A core never imports a shell, and imports only go down:
//!
//! | layer | modules |
//! | --- | --- |
//! | entry | `main`, [`commands`] |
//! | shells | `master::driver`, `agent::driver`, `election::driver`, [`api`], [`containerizer`], [`fetcher`], [`registrar`], `executor::driver`, [`files`], [`frameworks`] |
//! | toolkit | [`flags`], [`runtime`], [`telemetry`] |
//! | models (core) | [`simulate`] |
//! | machines (core) | [`master`], [`agent`], [`executor`], [`election`] |
//! | rules (core) | [`allocator`], [`registry`], [`validation`] |
//! | algebra (core) | [`resources`], [`roles`], [`quota`], [`attributes`] |
//! | base | [`base`], [`proto`] |

pub mod base;
pub mod proto;

pub mod attributes;
pub mod quota;
pub mod resources;
pub mod roles;

pub mod allocator;
pub mod registry;
pub mod validation;

pub mod agent;
pub mod election;
pub mod executor;
pub mod master;

pub mod simulate;

pub mod flags;
pub mod runtime;
pub mod telemetry;

pub mod api;
pub mod containerizer;
pub mod fetcher;
pub mod files;
pub mod frameworks;
pub mod registrar;

pub mod commands;

#[cfg(feature = "testing")]
pub mod testing;
