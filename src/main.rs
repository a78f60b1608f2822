//! Parses the command line, builds, runs, and maps the result to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The processes of containers come first: nothing else may run in them, nor use memory.
    match std::env::args_os().nth(1) {
        Some(name) if name == "executor" || name == "launch" => {
            return mesosd::executor::supervisor::main();
        }
        Some(name) if name == "fetch" => return mesosd::fetcher::main(),
        Some(_) | None => {}
    }
    ExitCode::SUCCESS
}
