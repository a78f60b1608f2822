//! Shell: the client's commands over gRPC, for people and for scripts.
//!
//! Exit codes: 0 done, 1 no such task, framework or file, 64 wrong usage, 69 no answer, 74 the output
//! could not be written, 75 try again later, 77 not allowed.

mod agents;
mod connect;
mod error;
mod explain;
mod frameworks;
mod handover;
mod maintenance;
mod offers;
mod orders;
mod output;
mod policy;
mod quantities;
mod registry;
mod roles;
mod sandbox;
mod standing;
mod state;
mod table;
mod tasks;

use std::future::Future;

pub(super) use explain::ExplainArgs;
pub(super) use frameworks::FrameworkFilter;
pub(super) use maintenance::MaintenanceArgs;
pub(super) use orders::{KillArgs, TeardownArgs};
pub(super) use output::Format;
pub(super) use policy::{QuotaArgs, WeightsArgs};
pub(super) use registry::RegistryArgs;
pub(super) use sandbox::{CatArgs, LogsArgs, LsArgs};
pub(super) use standing::{AgentArgs, DrainArgs};
pub(super) use tasks::TaskFilter;

use super::cli::Connection;
use super::say::say;
use crate::runtime::ExitCode;
use connect::Session;
use error::ClientError;
use output::Output;

/// `mesosd ps`.
pub(super) fn ps(connection: &Connection, filter: &TaskFilter) -> ExitCode {
    run(connection, async |session, output| {
        tasks::list(session, output, filter, tasks::Scope::Live).await
    })
}

/// `mesosd tasks`.
pub(super) fn tasks(connection: &Connection, filter: &TaskFilter) -> ExitCode {
    run(connection, async |session, output| {
        tasks::list(session, output, filter, tasks::Scope::All).await
    })
}

/// `mesosd agents`.
pub(super) fn agents(connection: &Connection) -> ExitCode {
    run(connection, agents::list)
}

/// `mesosd frameworks`.
pub(super) fn frameworks(connection: &Connection, filter: &FrameworkFilter) -> ExitCode {
    run(connection, async |session, output| {
        frameworks::list(session, output, filter).await
    })
}

/// `mesosd offers`.
pub(super) fn offers(connection: &Connection) -> ExitCode {
    run(connection, offers::list)
}

/// `mesosd roles`.
pub(super) fn roles(connection: &Connection) -> ExitCode {
    run(connection, roles::list)
}

/// `mesosd explain`.
pub(super) fn explain(connection: &Connection, arguments: &ExplainArgs) -> ExitCode {
    run(connection, async |session, output| {
        explain::explain(session, output, arguments).await
    })
}

/// `mesosd state`.
pub(super) fn state(connection: &Connection) -> ExitCode {
    run(connection, state::show)
}

/// `mesosd logs`.
pub(super) fn logs(connection: &Connection, arguments: &LogsArgs) -> ExitCode {
    run(connection, async |session, output| {
        sandbox::logs(session, output, arguments).await
    })
}

/// `mesosd cat`.
pub(super) fn cat(connection: &Connection, arguments: &CatArgs) -> ExitCode {
    run(connection, async |session, output| {
        sandbox::cat(session, output, arguments).await
    })
}

/// `mesosd ls`.
pub(super) fn ls(connection: &Connection, arguments: &LsArgs) -> ExitCode {
    run(connection, async |session, output| {
        sandbox::ls(session, output, arguments).await
    })
}

/// `mesosd kill`.
pub(super) fn kill(connection: &Connection, arguments: &KillArgs) -> ExitCode {
    run(connection, async |session, output| {
        orders::kill(session, output, arguments).await
    })
}

/// `mesosd teardown`.
pub(super) fn teardown(connection: &Connection, arguments: &TeardownArgs) -> ExitCode {
    run(connection, async |session, output| {
        orders::teardown(session, output, arguments).await
    })
}

/// `mesosd drain`.
pub(super) fn drain(connection: &Connection, arguments: &DrainArgs) -> ExitCode {
    run(connection, async |session, output| {
        standing::drain(session, output, arguments).await
    })
}

/// `mesosd deactivate`.
pub(super) fn deactivate(connection: &Connection, arguments: &AgentArgs) -> ExitCode {
    run(connection, async |session, output| {
        standing::deactivate(session, output, arguments).await
    })
}

/// `mesosd reactivate`.
pub(super) fn reactivate(connection: &Connection, arguments: &AgentArgs) -> ExitCode {
    run(connection, async |session, output| {
        standing::reactivate(session, output, arguments).await
    })
}

/// `mesosd gone`
pub(super) fn gone(connection: &Connection, arguments: &AgentArgs) -> ExitCode {
    run(connection, async |session, output| {
        standing::gone(session, output, arguments).await
    })
}

/// `mesosd weights`.
pub(super) fn weights(connection: &Connection, arguments: &WeightsArgs) -> ExitCode {
    run(connection, async |session, output| {
        policy::weights(session, output, arguments).await
    })
}

/// `mesosd quota`.
pub(super) fn quota(connection: &Connection, arguments: &QuotaArgs) -> ExitCode {
    run(connection, async |session, output| {
        policy::quota(session, output, arguments).await
    })
}

/// `mesosd maintenance`.
pub(super) fn maintenance(connection: &Connection, arguments: &MaintenanceArgs) -> ExitCode {
    run(connection, async |session, output| {
        maintenance::maintenance(session, output, arguments).await
    })
}

/// `mesosd handover`.
pub(super) fn handover(connection: &Connection) -> ExitCode {
    run(connection, async |session, output| {
        handover::handover(session, output, &connection.master).await
    })
}

/// `mesosd registry`, which asks no master.
pub(super) fn registry(connection: &Connection, arguments: &RegistryArgs) -> ExitCode {
    let mut output = Output::new(connection.output);
    said(block_on(async {
        registry::run(&mut output, arguments).await?;
        output.flush()
    }))
}

/// Connects, runs one command, and says what went wrong in one line.
fn run(
    connection: &Connection,
    command: impl AsyncFnOnce(&mut Session, &mut Output) -> Result<(), ClientError>,
) -> ExitCode {
    let mut output = Output::new(connection.output);
    let result = block_on(async {
        let mut session = Session::open(&connection.master).await?;
        command(&mut session, &mut output).await?;
        output.flush()
    });
    said(result)
}

/// The exit code of a command, which says what went wrong in one line.
fn said(result: Result<(), ClientError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::Ok,
        Err(error) if error.is_closed_pipe() => ExitCode::Ok,
        Err(error) => {
            say(crate::telemetry::chain(&error));
            error.exit_code()
        }
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ClientError::Runtime)?
        .block_on(work)
}
