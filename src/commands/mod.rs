//! Shell: one file per subcommand or role.
//!
//! | command line | file |
//! | --- | --- |
//! | `mesosd executor`, `launch`, `fetch`, `guest` (re-executions on an agent) | this one hands over |
//! | `mesosd --role=...` | `daemon`: flags, logging, runtime, exit code |
//! | `mesosd run` | `run/` |
//! | `mesosd simulate` | `simulate` |
//! | `mesosd ps`, `logs`, ... | `client/` |

mod agent;
mod candidate;
mod cli;
mod client;
mod containers;
mod daemon;
mod local;
mod master;
mod network;
mod run;
mod runtime_dir;
mod say;
mod simulate;
mod version;
mod whitelist;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::containerizer::launcher::spawner;
use crate::executor::supervisor;

/// The hidden re-executions of this binary; none for every other command line.
#[must_use]
pub fn container_side() -> Option<ExitCode> {
    let word = std::env::args_os().nth(1)?;
    match word.to_str()? {
        "executor" if spawner::is_meant() => Some(spawner::run(supervisor::main)),
        "executor" | "launch" => Some(supervisor::main()),
        "fetch" => Some(crate::fetcher::main()),
        "guest" => Some(crate::executor::guest::main()),
        _ => None,
    }
}

/// Everything else.
#[must_use]
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if cli::is_for_daemon(&words) {
        daemon::main(&words).into()
    } else {
        cli::main()
    }
}
