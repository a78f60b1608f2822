//! The command line: which daemon or which client command it means.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use super::say::say;
use super::version::version;
use super::{client, run};
use crate::flags::{AgentFlags, LocalFlags, MasterAddress, MasterFlags, definition, redacted};
use crate::runtime::ExitCode;

const ABOUT: &str = "Pools the cpus, memory, disk and ports of a cluster, divides them fairly, and \
                     runs tasks on them in isolated containers.";

const DAEMONS: &str = "Daemons:
  mesosd --role=master --work_dir=DIR                   divides the cluster, port 5050
  mesosd --role=agent --master=HOST:5050 --work_dir=DIR runs tasks on this host, port 5051
  mesosd --role=local                                   both in one process, to try it
  mesosd --role=ROLE --help                             all flags of a daemon

Exit codes: 0 done, 1 not found, 64 wrong usage, 69 the master or agent does not answer,
70 a bug in mesosd, 74 input or output failed, 75 not now, try again later.";

const RUN: &str = "\
Example: mesosd run --local -- sh -c 'echo hello from $MESOS_TASK_ID'

Exit codes: that of the command, 128 plus its signal; 75 if it cannot be placed.";

/// Heading of the options that all commands have.
const GLOBAL: &str = "Options of all commands";

/// `mesosd COMMAND`.
#[derive(Debug, Parser)]
#[command(name = "mesosd", version = version(), about = ABOUT, after_help = DAEMONS)]
struct Cli {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: ClientCommand,
}

/// Which cluster, and how to answer.
#[derive(Args, Clone, Debug)]
pub(super) struct Connection {
    /// Address of the master, host:port, or zk://host:port[,host:port...]/path to ask for the leader.
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        env = "MESOS_MASTER",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:5050",
        hide_env_values = true
    )]
    pub(super) master: MasterAddress,
    /// How to answer; files and the output of tasks are always printed as they are.
    #[arg(
        long,
        short,
        global = true,
        help_heading = GLOBAL,
        value_enum,
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(super) output: client::Format,
}

/// The client's commands.
#[derive(Debug, Subcommand)]
enum ClientCommand {
    /// Run a command as a task, print what it prints, end as it ends.
    #[command(after_help = RUN)]
    Run(run::RunArgs),
    /// List the tasks that run.
    Ps(client::TaskFilter),
    /// List all tasks that the master remembers, ended ones included.
    Tasks(client::TaskFilter),
    /// List the agents and what they have.
    Agents,
    /// List the frameworks.
    Frameworks(client::FrameworkFilter),
    /// List the offers that frameworks hold.
    Offers,
    /// List the roles and what they use.
    Roles,
    /// Say why a framework is offered what it is offered, agent by agent, and what would change it.
    Explain(client::ExplainArgs),
    /// Play a scenario in virtual time: what would agents, frameworks and their habits come to?
    Simulate(super::simulate::SimulateArgs),
    /// Show the whole state of the cluster.
    State,
    /// Print what a task has written to stdout.
    Logs(client::LogsArgs),
    /// Print a file of a task's sandbox.
    Cat(client::CatArgs),
    /// List a directory of a task's sandbox.
    Ls(client::LsArgs),
    /// Kill a task.
    Kill(client::KillArgs),
    /// End a framework and all its tasks.
    Teardown(client::TeardownArgs),
    /// End all tasks of an agent and offer nothing more of it.
    Drain(client::DrainArgs),
    /// Offer nothing more of an agent; its tasks go on.
    Deactivate(client::AgentArgs),
    /// Offer an agent again that was deactivated or drained.
    Reactivate(client::AgentArgs),
    /// Give an agent up for good: its tasks are gone, and it never comes back under its id.
    Gone(client::AgentArgs),
    /// List or set the weights of roles.
    Weights(client::WeightsArgs),
    /// List, set or remove the quota of roles.
    Quota(client::QuotaArgs),
    /// Show, announce, begin or end the maintenance of machines.
    Maintenance(client::MaintenanceArgs),
    /// Let the leading master hand its leadership over to another one.
    Handover,
    /// Look at, copy or repair the registry itself, in a work directory or in ZooKeeper.
    Registry(client::RegistryArgs),
    /// Print a script that completes this command line in a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

impl ClientCommand {
    /// Why there is nothing to put into JSON.
    fn only_prints(&self) -> Option<&'static str> {
        match self {
            Self::Run(_) => Some("'run' prints what the tasks print"),
            Self::Logs(_) => Some("'logs' prints what the task has written"),
            Self::Cat(_) => Some("'cat' prints the file"),
            Self::Completions { .. } => Some("'completions' prints a script"),
            _ => None,
        }
    }
}

/// Whether the command line starts a daemon: it begins with a flag, and one of them is `--role`.
pub(super) fn is_for_daemon(words: &[OsString]) -> bool {
    let is_role =
        |word: &OsString| word == "--role" || word.as_encoded_bytes().starts_with(b"--role=");
    let begins_with_flag = words
        .first()
        .is_some_and(|word| word.as_encoded_bytes().starts_with(b"--"));
    let is_value = |at: usize| {
        let before = at.checked_sub(1).map(|at| words[at].as_encoded_bytes());
        before.is_some_and(|word| word.starts_with(b"--") && !word.contains(&b'='))
    };
    let names_command = (0..words.len()).any(|at| is_command(&words[at]) && !is_value(at));
    begins_with_flag && !names_command && words.iter().any(is_role)
}

fn is_command(word: &OsStr) -> bool {
    Cli::command()
        .get_subcommands()
        .any(|command| word == command.get_name())
}

/// Runs a client command.
pub(super) fn main() -> std::process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error).into(),
    };
    let connection = cli.connection;
    if let (client::Format::Json, Some(why)) = (connection.output, cli.command.only_prints()) {
        say(format_args!("-o json: {why}: leave it out"));
        return ExitCode::Usage.into();
    }
    let code = match cli.command {
        ClientCommand::Run(arguments) => return run::main(&connection.master, &arguments),
        ClientCommand::Ps(filter) => client::ps(&connection, &filter),
        ClientCommand::Tasks(filter) => client::tasks(&connection, &filter),
        ClientCommand::Agents => client::agents(&connection),
        ClientCommand::Frameworks(filter) => client::frameworks(&connection, &filter),
        ClientCommand::Offers => client::offers(&connection),
        ClientCommand::Roles => client::roles(&connection),
        ClientCommand::Explain(arguments) => client::explain(&connection, &arguments),
        ClientCommand::Simulate(arguments) => super::simulate::main(&arguments, connection.output),
        ClientCommand::State => client::state(&connection),
        ClientCommand::Logs(arguments) => client::logs(&connection, &arguments),
        ClientCommand::Cat(arguments) => client::cat(&connection, &arguments),
        ClientCommand::Ls(arguments) => client::ls(&connection, &arguments),
        ClientCommand::Kill(arguments) => client::kill(&connection, &arguments),
        ClientCommand::Teardown(arguments) => client::teardown(&connection, &arguments),
        ClientCommand::Drain(arguments) => client::drain(&connection, &arguments),
        ClientCommand::Deactivate(arguments) => client::deactivate(&connection, &arguments),
        ClientCommand::Reactivate(arguments) => client::reactivate(&connection, &arguments),
        ClientCommand::Gone(arguments) => client::gone(&connection, &arguments),
        ClientCommand::Weights(arguments) => client::weights(&connection, &arguments),
        ClientCommand::Quota(arguments) => client::quota(&connection, &arguments),
        ClientCommand::Maintenance(arguments) => client::maintenance(&connection, &arguments),
        ClientCommand::Handover => client::handover(&connection),
        ClientCommand::Registry(arguments) => client::registry(&connection, &arguments),
        ClientCommand::Completions { shell } => completions(shell),
    };
    code.into()
}

/// What clap has to say: help and version are no errors; everything else is one line.
fn refuse(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => printed(error.print()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::Usage
        }
        _ => {
            if let Some(flag) = flag_of_daemon(error) {
                say(format_args!(
                    "'{flag}' is a flag of a daemon: say which with --role=master, --role=agent \
                     or --role=local"
                ));
                return ExitCode::Usage;
            }
            let text = error.render().to_string();
            let text = match error.get(ContextKind::InvalidValue) {
                // An address may hold a password.
                Some(ContextValue::String(value)) => text.replace(&**value, &redacted(value)),
                _ => text,
            };
            let line = text
                .split("\n\n")
                .next()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .lines()
                .map(str::trim)
                .collect::<Vec<_>>()
                .join(" ");
            say(format_args!("{line}; try 'mesosd --help'"));
            ExitCode::Usage
        }
    }
}

/// The flag that no command has, if a daemon has it.
fn flag_of_daemon(error: &clap::Error) -> Option<&str> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let ContextValue::String(written) = error.get(ContextKind::InvalidArg)? else {
        return None;
    };
    let name = written.strip_prefix("--")?.replace('-', "_");
    daemons()
        .iter()
        .any(|role| {
            role.get_arguments()
                .any(|arg| arg.get_long() == Some(&name))
        })
        .then_some(written)
}

/// The flags of all daemons.
fn daemons() -> [clap::Command; 3] {
    [
        definition::<MasterFlags>(),
        definition::<AgentFlags>(),
        definition::<LocalFlags>(),
    ]
}

/// The exit code of a command that only prints. A reader that went away wants no more.
pub(super) fn printed(result: io::Result<()>) -> ExitCode {
    match result.and_then(|()| io::stdout().flush()) {
        Ok(()) => ExitCode::Ok,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Ok,
        Err(error) => {
            say(format_args!("the output cannot be written: {error}"));
            ExitCode::Io
        }
    }
}

fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    let mut command = Cli::command();
    // A daemon's flags complete too: they begin the command line.
    for role in daemons() {
        for arg in role.get_arguments() {
            let known = command
                .get_arguments()
                .any(|known| known.get_long() == arg.get_long());
            if !known {
                let arg = arg.clone().required(false).hide(false);
                command = command.arg(arg);
            }
        }
    }
    clap_complete::generate(shell, &mut command, "mesosd", &mut script);
    printed(io::stdout().write_all(&script))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(words: &[&str]) -> bool {
        let words: Vec<_> = words.iter().map(OsString::from).collect();
        is_for_daemon(&words)
    }

    #[test]
    fn a_role_without_a_command_is_a_daemon() {
        assert!(daemon(&["--role=master"]));
        assert!(daemon(&["--work_dir=/x", "--role", "agent"]));
        assert!(daemon(&["--role=agent", "--hostname", "run"]));
        assert!(!daemon(&["run", "--role=dev"]));
        assert!(!daemon(&["--master=m:1", "ps", "--role=dev"]));
        assert!(!daemon(&["--help"]));
        assert!(!daemon(&[]));
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
