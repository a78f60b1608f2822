//! Parses the command line, builds, runs, and maps the result to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The processes of containers come first: nothing else may run in them, nor use memory.
    match mesosd::commands::container_side() {
        Some(code) => code,
        None => mesosd::commands::main(),
    }
}
