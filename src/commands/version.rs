//! Which mesosd this is.

/// Version and commit of this binary: `0.1.0 (0123456789ab)`; the commit is `unknown` if it was not
/// built in a git checkout.
pub(super) fn version() -> String {
    let commit = option_env!("MESOSD_COMMIT").unwrap_or("unknown");
    format!("{} ({commit})", env!("CARGO_PKG_VERSION"))
}
