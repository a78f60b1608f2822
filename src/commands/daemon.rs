//! What all daemons do: flags -> config -> logging -> runtime -> serve -> drain -> exit code.

use std::ffi::OsString;
use std::fs;
use std::future::Future;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::cli::printed;
use super::say::say;
use crate::agent::AgentError;
use crate::agent::checkpoint::JournalError;
use crate::api::service::daemon::Daemon;
use crate::containerizer::ContainerizerError;
use crate::flags::{
    AgentFlags, FlagError, Loaded, LocalFlags, LoggingFlags, MasterFlags, Request, RoleFlags,
    World, load, role_of,
};
use crate::master::driver::DriverError;
use crate::proto::v1;
use crate::registrar::StorageError;
use crate::runtime::{
    BindError, ExitCode, Shutdown, prompt, reloaded, reloading, threads, watchdog,
};
use crate::telemetry::{LogConfig, LogError, LogHandle, Metrics, chain, start};

/// Longest drain; whoever is not done then is left alone.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// Why a daemon did not start, or ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub(super) enum DaemonError {
    /// The configuration is wrong.
    #[error(transparent)]
    Flags(#[from] FlagError),
    /// Logging cannot be started.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The port or address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A directory cannot be used.
    #[error("--{flag}: {} cannot be used", path.display())]
    Directory {
        /// The flag that names it.
        flag: &'static str,
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The master's registry.
    #[error(transparent)]
    Registry(#[from] StorageError),
    /// The master's loop.
    #[error(transparent)]
    Master(#[from] DriverError),
    /// What runs containers.
    #[error(transparent)]
    Containerizer(#[from] ContainerizerError),
    /// The agent's files.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The host cannot be measured.
    #[error(transparent)]
    Host(#[from] crate::agent::fingerprint::FingerprintError),
    /// The agent's loop has ended by itself.
    #[error("the agent ends: {0}")]
    AgentEnded(String),
    /// The process lacks what it needs from the system.
    #[error("cannot start")]
    System(#[from] io::Error),
}

impl DaemonError {
    fn exit_code(&self) -> ExitCode {
        match self {
            // Flags that do not fit what the earlier run has left do not become right by themselves.
            // Nor do damaged records mend themselves.
            Self::Flags(_)
            | Self::Agent(
                AgentError::Changed(_)
                | AgentError::Resources(_)
                | AgentError::Journal(
                    JournalError::Damaged { .. }
                    | JournalError::Newer { .. }
                    | JournalError::OtherVersion { .. }
                    | JournalError::Foreign(_),
                ),
            ) => ExitCode::Usage,
            Self::Log(_)
            | Self::Directory { .. }
            | Self::Registry(_)
            | Self::Master(DriverError::Registrar(_))
            | Self::Agent(_)
            | Self::Host(_) => ExitCode::Io,
            Self::Bind(_) => ExitCode::Unavailable,
            Self::Containerizer(error) => match error {
                ContainerizerError::Isolation(_) => ExitCode::Usage,
                ContainerizerError::Runtime { .. } => ExitCode::Io,
                _ => ExitCode::Config,
            },
            Self::Master(_) | Self::AgentEnded(_) | Self::System(_) => ExitCode::Internal,
        }
    }
}

/// A role that can be served.
pub(super) trait Serve: RoleFlags {
    /// Everything checked, nothing opened.
    type Config: Send;

    /// Turns flags into values, with all the rules between them.
    fn configure(&self) -> Result<Self::Config, FlagError>;

    /// Runs until asked to end.
    fn serve(
        config: Self::Config,
        surroundings: Surroundings,
    ) -> impl Future<Output = Result<(), DaemonError>> + Send;
}

/// What a daemon finds when it starts to run.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    /// What it says about itself.
    pub(super) daemon: Daemon,
    /// When to end.
    pub(super) shutdown: Shutdown,
}

/// Runs the daemon that the command line asks for.
pub(super) fn main(words: &[OsString]) -> ExitCode {
    let role = match role_of(words) {
        Ok(role) => role.unwrap_or_default(),
        Err(error) => return refuse(&error.into()),
    };
    match role.as_str() {
        "master" => run::<MasterFlags>(words),
        "agent" => run::<AgentFlags>(words),
        "local" => run::<LocalFlags>(words),
        _ => refuse(&FlagError::Role { text: role }.into()),
    }
}

fn refuse(error: &DaemonError) -> ExitCode {
    say(chain(error));
    error.exit_code()
}

fn run<F: Serve>(words: &[OsString]) -> ExitCode {
    if words.iter().any(|word| word == "--version" || word == "-V") {
        return print(&format!("mesosd {}\n", super::version::version()));
    }
    let loaded = match load::<F>(words, &World::of_this_process()) {
        Ok(Request::Run(loaded)) => *loaded,
        Ok(Request::Help(text)) => return print(&text),
        Err(error) => return refuse(&error.into()),
    };
    let (log, config) = match prepare(&loaded) {
        Ok(prepared) => prepared,
        Err(error) => return refuse(&error),
    };
    match start_and_serve(&loaded, log, config) {
        Ok(()) => ExitCode::Ok,
        Err(error) => {
            tracing::error!("{}", chain(&error));
            if loaded.flags.logging().quiet {
                return refuse(&error);
            }
            error.exit_code()
        }
    }
}

/// Checks the configuration and starts the log: from here on what goes wrong is a line of the log.
fn prepare<F: Serve>(loaded: &Loaded<F>) -> Result<(LogHandle, F::Config), DaemonError> {
    let config = loaded
        .flags
        .configure()
        .map_err(|error| loaded.located(error))?;
    let log = start(&log_config::<F>(loaded.flags.logging()))?;
    Ok((log, config))
}

fn start_and_serve<F: Serve>(
    loaded: &Loaded<F>,
    log: LogHandle,
    config: F::Config,
) -> Result<(), DaemonError> {
    for note in &loaded.notes {
        tracing::warn!("{note}");
    }
    let mut daemon = Daemon::new(Metrics::new());
    daemon.flags = shown(&loaded.shown);
    daemon.log = Some(log.clone());
    daemon.log_file = log_config::<F>(loaded.flags.logging()).file;
    let shutdown = Shutdown::new();
    let mut runtime = threads();
    // An agent's threads start its containers, which must not inherit this.
    if F::ROLE == "master" {
        runtime.on_thread_start(prompt);
    }
    let runtime = runtime.build()?;
    let result = runtime.block_on(until_done(
        &shutdown,
        log,
        F::serve(
            config,
            Surroundings {
                daemon,
                shutdown: shutdown.clone(),
            },
        ),
    ));
    // Threads that still wait for a disk must not hold the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Serves until the end of the drain, or until patience ends.
async fn until_done(
    shutdown: &Shutdown,
    log: LogHandle,
    serving: impl Future<Output = Result<(), DaemonError>>,
) -> Result<(), DaemonError> {
    shutdown.on_signals()?;
    // Of a terminal that is closed it is the end, as usual.
    if !io::stdin().is_terminal() {
        tokio::spawn(reload(signal(SignalKind::hangup())?, log));
    }
    tokio::spawn(watchdog());
    let patience = async {
        shutdown.draining().await;
        tokio::select! {
            () = shutdown.aborted() => {}
            () = tokio::time::sleep(DRAIN_MAX) => tracing::warn!("the drain takes too long"),
        }
    };
    tokio::select! {
        result = serving => result,
        () = patience => Ok(()),
    }
}

/// On each SIGHUP opens the log file anew, for whoever rotates it.
async fn reload(mut asked: Signal, log: LogHandle) {
    while asked.recv().await.is_some() {
        reloading();
        match log.reopen() {
            Ok(()) => tracing::info!(signal = "SIGHUP", "the log file is opened anew"),
            Err(error) => tracing::warn!(signal = "SIGHUP", "{}", chain(&error)),
        }
        reloaded();
    }
}

fn log_config<F: RoleFlags>(flags: &LoggingFlags) -> LogConfig {
    let name = format!("mesosd-{}.log", F::ROLE);
    LogConfig {
        level: flags.logging_level,
        format: flags.log_format,
        quiet: flags.quiet,
        file: flags.log_dir.as_ref().map(|dir| dir.join(name)),
    }
}

fn shown(flags: &[(String, String)]) -> Arc<[v1::Flag]> {
    let flag = |(name, value): &(String, String)| v1::Flag {
        name: name.clone(),
        value: Some(value.clone()),
    };
    flags.iter().map(flag).collect()
}

/// Makes a directory and proves that files can be written there.
pub(super) fn usable(flag: &'static str, path: &Path) -> Result<(), DaemonError> {
    let wrong = |source| DaemonError::Directory {
        flag,
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(path).map_err(wrong)?;
    let probe = path.join(format!(".mesosd-{}", std::process::id()));
    fs::write(&probe, b"").map_err(wrong)?;
    fs::remove_file(&probe).map_err(wrong)
}

fn print(text: &str) -> ExitCode {
    printed(io::stdout().write_all(text.as_bytes()))
}
