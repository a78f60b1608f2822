//! What the process says with its exit code: the numbers of `sysexits.h`.

/// Exit codes of every `mesosd` command except `run`, which ends with the code of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done; for a daemon: drained after SIGTERM or SIGINT.
    Ok = 0,
    /// The command worked, its answer is no: a task, file or framework that is not there.
    Failure = 1,
    /// A flag, a value or a configuration file is wrong; nothing was started.
    Usage = 64,
    /// A peer that is needed does not answer, or the port is taken.
    Unavailable = 69,
    /// A bug in mesosd.
    Internal = 70,
    /// A file or directory cannot be read or written.
    Io = 74,
    /// May work later: no resources for now, no leader for now.
    TempFail = 75,
    /// The peer refuses: who we are is not known or not allowed to.
    NoPermission = 77,
    /// The machine lacks what the configuration asks for.
    Config = 78,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
