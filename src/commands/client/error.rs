//! Why a client command did not work, and the exit code that says so.

use std::io;

use tonic::Code;

use crate::election::session::ZooKeeperError;
use crate::flags::FlagError;
use crate::registrar::StorageError;
use crate::runtime::ExitCode;

/// Why a client command did not work.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nobody answers at the address.
    #[error("no {what} answers at {address}: give the address with --master or MESOS_MASTER")]
    Unreachable {
        /// `master` or `agent`.
        what: &'static str,
        /// Where we looked.
        address: String,
        /// What the connection said.
        source: tonic::transport::Error,
    },
    /// The address is none that a connection can be opened to.
    #[error("'{address}' is not an address that can be connected to")]
    Address {
        /// What was given.
        address: String,
    },
    /// ZooKeeper knows no leader, or does not answer.
    #[error("{address} knows no leading master, or does not answer")]
    NoLeader {
        /// What was asked, without its password.
        address: String,
    },
    /// Nobody took the leadership over.
    #[error("{leader} still leads: no other master contends")]
    NoSuccessor {
        /// Where it is.
        leader: String,
    },
    /// ZooKeeper cannot be asked.
    #[error("{address} cannot be asked")]
    Ensemble {
        /// What was given, without its password.
        address: String,
        /// Why.
        source: ZooKeeperError,
    },
    /// A flag's value.
    #[error(transparent)]
    Flags(#[from] FlagError),
    /// The registry cannot be read or written.
    #[error(transparent)]
    Registry(#[from] StorageError),
    /// A file is no exported registry.
    #[error("{file} cannot be imported: {reason}")]
    Import {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// Some records cannot be read.
    #[error(
        "{count} records are damaged: take them out of what 'mesosd registry export' prints, then 'import' \
         the rest"
    )]
    Damaged {
        /// How many.
        count: usize,
    },
    /// The peer refused the call.
    #[error("{message}")]
    Refused {
        /// How.
        code: Code,
        /// The peer's own words, in one line.
        message: String,
    },
    /// The connection ended without an answer, or with one of another protocol.
    #[error("no mesosd answers there: {what}: check --master or MESOS_MASTER")]
    NoAnswer {
        /// What came instead.
        what: String,
    },
    /// The peer answered with something else than what was asked for.
    #[error("the {what} answered without '{field}': it is another version")]
    Incomplete {
        /// `master` or `agent`.
        what: &'static str,
        /// What is not there.
        field: &'static str,
    },
    /// Nothing has the name.
    #[error("no {kind} '{name}'{hint}")]
    NotFound {
        /// `task`, `framework`.
        kind: &'static str,
        /// What was looked for.
        name: String,
        /// The way out, or nothing.
        hint: &'static str,
    },
    /// Several things have the name.
    #[error("'{name}' fits several {kind}s: {found}; give more of the id{hint}")]
    Ambiguous {
        /// `task`, `framework`.
        kind: &'static str,
        /// What was looked for.
        name: String,
        /// Some of them.
        found: String,
        /// Another way out, or nothing.
        hint: &'static str,
    },
    /// Standard output does not take what we write.
    #[error("the output cannot be written")]
    Output(#[source] io::Error),
    /// The runtime could not be started.
    #[error("the client cannot start")]
    Runtime(#[source] io::Error),
}

impl ClientError {
    /// What a status of the peer means to us.
    pub(super) fn refused(status: &tonic::Status) -> Self {
        // What the gRPC library says of an answer that is not gRPC.
        if let Some((_, what)) = status.message().split_once("header missing, mapped from ") {
            let what = what.to_owned();
            return Self::NoAnswer { what };
        }
        // A status that the peer has sent has no cause on our side.
        if let Some(cause) = std::error::Error::source(status) {
            let what = crate::telemetry::chain(cause);
            return Self::NoAnswer { what };
        }
        let message = match status.message() {
            "" => format!("the call failed: {:?}", status.code()),
            message => message.replace('\n', " "),
        };
        Self::Refused {
            code: status.code(),
            message,
        }
    }

    /// The exit code of the process.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Unreachable { .. } | Self::NoAnswer { .. } | Self::NoLeader { .. } => {
                ExitCode::Unavailable
            }
            Self::Address { .. } | Self::Ambiguous { .. } => ExitCode::Usage,
            Self::NotFound { .. } | Self::Damaged { .. } => ExitCode::Failure,
            Self::Ensemble { .. } => ExitCode::Unavailable,
            Self::Flags(_) | Self::Import { .. } => ExitCode::Usage,
            Self::Registry(_) => ExitCode::Io,
            Self::NoSuccessor { .. } => ExitCode::TempFail,
            Self::Incomplete { .. } => ExitCode::Internal,
            Self::Output(_) => ExitCode::Io,
            Self::Runtime(_) => ExitCode::Unavailable,
            Self::Refused { code, .. } => match code {
                Code::NotFound => ExitCode::Failure,
                Code::InvalidArgument | Code::Unimplemented | Code::OutOfRange => ExitCode::Usage,
                Code::Unavailable | Code::DeadlineExceeded => ExitCode::Unavailable,
                Code::ResourceExhausted | Code::Aborted | Code::FailedPrecondition => {
                    ExitCode::TempFail
                }
                Code::PermissionDenied | Code::Unauthenticated => ExitCode::NoPermission,
                _ => ExitCode::Internal,
            },
        }
    }

    /// Whether the reader of our output went away, which is its good right.
    pub(super) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
