//! How a process ended: the raw wait status of waitpid(2), its text in status updates, and back.
//!
//! Users search logs for these texts, so they are the ones that Mesos writes: `Command exited with
//! status 7`, `Command terminated with signal Killed`.

use std::fmt;

/// Texts of signals 1 to 31 as strsignal(3) of Linux gives them.
const SIGNAL_TEXTS: [&str; 31] = [
    "Hangup",
    "Interrupt",
    "Quit",
    "Illegal instruction",
    "Trace/breakpoint trap",
    "Aborted",
    "Bus error",
    "Floating point exception",
    "Killed",
    "User defined signal 1",
    "Segmentation fault",
    "User defined signal 2",
    "Broken pipe",
    "Alarm clock",
    "Terminated",
    "Stack fault",
    "Child exited",
    "Continued",
    "Stopped (signal)",
    "Stopped",
    "Stopped (tty input)",
    "Stopped (tty output)",
    "Urgent I/O condition",
    "CPU time limit exceeded",
    "File size limit exceeded",
    "Virtual timer expired",
    "Profiling timer expired",
    "Window changed",
    "I/O possible",
    "Power failure",
    "Bad system call",
];

/// First real-time signal that programs may use (SIGRTMIN of glibc).
const REAL_TIME_FIRST: i32 = 34;

/// The end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It called exit(2).
    Status(u8),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        signal: i32,
        /// A core file was written.
        core_dumped: bool,
    },
}

impl Exit {
    /// Reads a wait status of a process that has ended.
    #[must_use]
    pub fn from_wait_status(status: i32) -> Self {
        let signal = status & 0x7f;
        if signal == 0 {
            let [_, code, ..] = status.to_le_bytes();
            Self::Status(code)
        } else {
            Self::Signal {
                signal,
                core_dumped: status & 0x80 != 0,
            }
        }
    }

    /// What a shell puts into `$?`: the status, or 128 plus the signal.
    #[must_use]
    pub fn shell_code(self) -> u8 {
        match self {
            Self::Status(code) => code,
            Self::Signal { signal, .. } => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }

    /// True for status 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Status(0)
    }

    /// Finds the end of a command in the message of a status update, the reverse of the texts above.
    #[must_use]
    pub fn parse(message: &str) -> Option<Self> {
        if let Some((_, rest)) = message.split_once("exited with status ") {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            return rest[..digits].parse().ok().map(Self::Status);
        }
        let (_, rest) = message.split_once("terminated with signal ")?;
        let (text, core_dumped) = match rest.split_once(" (core dumped)") {
            Some((text, _)) => (text, true),
            None => (rest, false),
        };
        (1..=64)
            .find(|signal| signal_text(*signal) == text)
            .map(|signal| Self::Signal {
                signal,
                core_dumped,
            })
    }
}

fn signal_text(signal: i32) -> String {
    let known = usize::try_from(signal - 1)
        .ok()
        .and_then(|index| SIGNAL_TEXTS.get(index));
    match known {
        Some(text) => (*text).to_owned(),
        None if signal >= REAL_TIME_FIRST => {
            format!("Real-time signal {}", signal - REAL_TIME_FIRST)
        }
        None => format!("Unknown signal {signal}"),
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(f, "exited with status {code}"),
            Self::Signal {
                signal,
                core_dumped,
            } => {
                write!(f, "terminated with signal {}", signal_text(*signal))?;
                if *core_dumped {
                    f.write_str(" (core dumped)")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses_become_the_texts_of_mesos() {
        for (status, text, code) in [
            (0, "exited with status 0", 0),
            (7 << 8, "exited with status 7", 7),
            (255 << 8, "exited with status 255", 255),
            (9, "terminated with signal Killed", 137),
            (15, "terminated with signal Terminated", 143),
            (
                11 | 0x80,
                "terminated with signal Segmentation fault (core dumped)",
                139,
            ),
            (35, "terminated with signal Real-time signal 1", 163),
        ] {
            let exit = Exit::from_wait_status(status);
            assert_eq!(exit.to_string(), text);
            assert_eq!(exit.shell_code(), code);
            assert_eq!(Exit::parse(&format!("Command {exit}")), Some(exit));
        }
    }

    #[test]
    fn other_messages_tell_no_exit() {
        assert_eq!(Exit::parse("Executor terminated"), None);
        assert_eq!(Exit::parse("Command exited with status x"), None);
        assert_eq!(Exit::parse("Command exited with status 300"), None);
    }
}
