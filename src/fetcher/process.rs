//! `mesosd fetch`: the process that fetches, as the task's user. Reads a request from stdin, logs to
//! stderr (the sandbox's), tells a failure on stdout.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::extract::{ExtractError, Packing, extract};
use super::sandbox::{Sandbox, SandboxError, relative};
use super::source::{Source, SourceError, copy};
use super::watch::{self, Watch};
use super::{Failure, FetchItem, FetchRequest};

/// Largest request, in bytes.
const REQUEST_BYTES_MAX: u64 = 64 << 20;

/// Most memory of the process: an archive must not make the agent's host swap.
const MEMORY_BYTES_MAX: u64 = 2 << 30;

/// Why an item is not where it should be.
#[derive(Debug, thiserror::Error)]
enum ItemError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Extract(#[from] ExtractError),
    #[error("output_file: {0}")]
    OutputFile(SandboxError),
    #[error("cannot make it executable: {0}")]
    Executable(io::Error),
}

/// Runs the process.
#[must_use]
pub fn main() -> ExitCode {
    let mut text = Vec::new();
    let read = io::stdin().take(REQUEST_BYTES_MAX).read_to_end(&mut text);
    let request = match read.map_err(|error| error.to_string()).and_then(|_| {
        serde_json::from_slice::<FetchRequest>(&text).map_err(|error| error.to_string())
    }) {
        Ok(request) => request,
        Err(error) => {
            log(&format!("mesosd fetch wants a request on stdin: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let limit = libc::rlimit {
        rlim_cur: MEMORY_BYTES_MAX,
        rlim_max: MEMORY_BYTES_MAX,
    };
    // SAFETY: plain numbers, and a structure that lives across the call. A limit that is lower already
    // stays.
    unsafe {
        libc::umask(0o022);
        libc::setrlimit(libc::RLIMIT_AS, &raw const limit);
    }
    let stall = Duration::from_millis(request.stall_timeout_ms.max(1));
    if let Err(error) = watch::start(stall, give_up) {
        log(&format!("cannot start a thread: {error}"));
        return ExitCode::FAILURE;
    }
    for item in &request.items {
        if let Err(error) = fetch_item(item, &request) {
            report(&item.uri, &error.to_string());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn log(line: &str) {
    // Nobody is left to tell when stderr is gone.
    let _lost = writeln!(io::stderr(), "mesosd: {line}");
}

/// Tells the log and the parent.
fn report(uri: &str, reason: &str) {
    log(&format!("cannot fetch '{uri}': {reason}"));
    let failure = Failure {
        uri: uri.to_owned(),
        reason: reason.to_owned(),
    };
    let text = serde_json::to_vec(&failure).expect("two texts are valid JSON");
    // A parent that is gone does not want to know.
    let _lost = io::stdout().write_all(&text);
}

fn give_up(uri: &str, stall: Duration) -> ! {
    report(uri, &format!("nothing arrived for {stall:?}"));
    std::process::exit(1);
}

fn fetch_item(item: &FetchItem, request: &FetchRequest) -> Result<(), ItemError> {
    let source = Source::parse(&item.uri, request.frameworks_home.as_deref())?;
    let name = match &item.output_file {
        Some(name) => relative(Path::new(name)).map_err(ItemError::OutputFile)?,
        None => PathBuf::from(source.name()?),
    };
    let sandbox = Sandbox::open(&request.sandbox)?;
    log(&format!("fetching '{}' to '{}'", item.uri, name.display()));
    let result = download(&source, &sandbox, &name, item, request);
    if result.is_err() {
        // Half a file would be taken for a whole one; that it cannot be removed changes nothing.
        let _left = sandbox.remove_file(&name);
    }
    result?;
    let packing = Packing::of(&name.to_string_lossy());
    if let Some(packing) = packing.filter(|_| item.extract && !item.executable) {
        log(&format!("unpacking '{}'", name.display()));
        extract(&sandbox, &name, packing, request.limits)?;
    }
    Ok(())
}

fn download(
    source: &Source,
    sandbox: &Sandbox,
    name: &Path,
    item: &FetchItem,
    request: &FetchRequest,
) -> Result<(), ItemError> {
    let _watch = Watch::over(&item.uri);
    let (mut from, mode) = source.open()?;
    let mut to = sandbox.create_file(name, mode.unwrap_or(0o644))?;
    copy(&mut from, &mut to, request.limits.bytes)?;
    if item.executable {
        to.set_permissions(std::fs::Permissions::from_mode(0o755))
            .map_err(ItemError::Executable)?;
    }
    Ok(())
}
