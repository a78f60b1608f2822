//! How a test that cannot run where it stands says so by name, instead of passing silently.

use std::io::Write as _;

/// File that collects the skips of a whole run; `tests/run` sets it, prints it and, in CI, fails on it.
const SKIPS: &str = "MESOSD_TEST_SKIPS";

/// Notes that the test `name` cannot run here, and why. The caller returns right afterwards.
///
/// # Panics
/// When the file named by `MESOSD_TEST_SKIPS` cannot be written: a lost skip would look like a pass.
pub fn skip(name: &str, reason: &str) {
    eprintln!("SKIPPED {name}: {reason}");
    let Some(path) = std::env::var_os(SKIPS) else {
        return;
    };
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .and_then(|mut file| writeln!(file, "{name}: {reason}"))
        .unwrap_or_else(|error| panic!("cannot note a skip in {}: {error}", path.display()));
}

/// True when the calling process is root, as cgroups and namespaces need.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
