//! Saying something to people on stderr, whether or not somebody still reads there.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Writes `mesosd: line`. A reader that went away (`2>&1 | head`) is no reason to fail.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "mesosd: {line}");
}
