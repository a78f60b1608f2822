//! Shell: Mesos' unversioned endpoints, field for field: `/state`, `/slaves`, `/tasks`, `/teardown`, ...
//!
//! | what | where |
//! | --- | --- |
//! | paths, aliases, leader check, methods | [`routes`] |
//! | a request's query, form and path | [`request`], [`fields`] |
//! | replies, `jsonp=`, gzip | [`reply`] |
//! | what is not served | [`refusal`] |
//! | resources, tasks, frameworks, agents as JSON | [`resources`], [`tasks`], [`frameworks`], [`agents`] |
//! | `/state`, `/state-summary`, `/roles` | [`state`], [`summary`], [`roles`] |
//! | `/offer_constraints_debug` | [`constraints`] |
//! | weights, quota, maintenance, `/teardown`, `/redirect` | [`cluster`] |
//! | `/reserve`, `/unreserve`, `/create-volumes`, `/destroy-volumes` | [`operations`] |
//! | an agent's `/state`, `/containers`, statistics | [`agent_state`], [`agent_containers`] |
//! | `/files/*` | [`files`] |
//! | what every daemon has; its list | [`daemon`], [`help`] |

mod agent;
mod agent_containers;
mod agent_state;
mod agents;
mod cluster;
mod constraints;
mod daemon;
mod fields;
mod files;
mod frameworks;
mod help;
mod master;
mod operations;
mod pieces;
mod refusal;
mod reply;
mod request;
mod resources;
mod roles;
mod routes;
mod state;
mod summary;
mod tasks;

pub(super) use agent::agent;
pub(super) use help::of_leader;
pub(super) use master::{master, standby};
pub(super) use refusal::not_found;
