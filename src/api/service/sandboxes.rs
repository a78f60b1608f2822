//! Virtual paths of sandboxes, as Mesos names them:
//!
//! ```text
//! <sandbox's path on the host>/...
//! /frameworks/<framework>/executors/<executor>/runs/<container | latest>/...
//! ```
//!
//! Standalone containers have the first form only.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::agent::{Executor, Snapshot};
use crate::api::error::ApiError;
use crate::base::ContainerId;
use crate::files::FilesError;

/// A place in a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The sandbox on the host.
    pub(super) sandbox: PathBuf,
    /// The path in it; empty for the sandbox itself.
    pub(super) path: PathBuf,
}

/// Finds the sandbox of a virtual path. Whether there is a file is not asked.
///
/// # Errors
///
/// [`ApiError::NotFound`] when no run has such a sandbox.
pub(super) fn find(snapshot: &Snapshot, path: &str) -> Result<Place, ApiError> {
    parse(path)
        .and_then(|name| {
            let executor = run(snapshot, &name)?;
            let outer = name.outer.as_os_str();
            let on_host = || executor.sandbox.starts_with(&name.outer);
            // The name on the host must be the real one, up to the part that both forms share.
            (outer == "/" || on_host()).then(|| Place {
                sandbox: executor.sandbox.clone(),
                path: name.inner.clone(),
            })
        })
        .ok_or_else(|| ApiError::NotFound(format!("'{path}' does not exist")))
}

/// Every name of a sandbox with its path on the host; where runs share a name, the newest has it.
pub(super) fn attached(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let gone = snapshot.completed_frameworks.iter();
    for framework in gone.chain(snapshot.frameworks.values()) {
        let over = framework.completed_executors.iter();
        for executor in over.chain(framework.executors.values()) {
            let sandbox = executor.sandbox.display().to_string();
            let (framework, id) = (&executor.framework_id, &executor.id);
            let latest = format!("/frameworks/{framework}/executors/{id}/runs/latest");
            all.insert(latest, sandbox.clone());
            let latest = executor.sandbox.with_file_name("latest");
            all.insert(latest.display().to_string(), sandbox.clone());
            all.insert(sandbox.clone(), sandbox);
        }
    }
    all
}

/// Finds the sandbox of a standalone container, named by its path on the host.
pub(super) fn find_standalone(standalone: &[(ContainerId, PathBuf)], path: &str) -> Option<Place> {
    standalone.iter().find_map(|(_, sandbox)| {
        let inner = Path::new(path).strip_prefix(sandbox).ok()?;
        Some(Place {
            sandbox: sandbox.clone(),
            path: inner.to_owned(),
        })
    })
}

/// The parts of a virtual path.
struct Name<'a> {
    /// Before `frameworks`.
    outer: PathBuf,
    framework: &'a str,
    executor: &'a str,
    run: &'a str,
    /// After the run.
    inner: PathBuf,
}

fn parse(path: &str) -> Option<Name<'_>> {
    let components: Vec<_> = Path::new(path).components().collect();
    let texts: Vec<_> = components
        .iter()
        .map(|part| part.as_os_str().to_str())
        .collect();
    if components.first() != Some(&Component::RootDir) {
        return None;
    }
    // The last match: folders above `--work_dir` may have any name.
    let at = (0..texts.len().saturating_sub(5)).rev().find(|&at| {
        texts[at] == Some("frameworks")
            && texts[at + 2] == Some("executors")
            && texts[at + 4] == Some("runs")
    })?;
    Some(Name {
        outer: components[..at].iter().collect(),
        framework: texts[at + 1]?,
        executor: texts[at + 3]?,
        run: texts[at + 5]?,
        inner: components[at + 6..].iter().collect(),
    })
}

fn run<'a>(snapshot: &'a Snapshot, name: &Name<'_>) -> Option<&'a Arc<Executor>> {
    let gone = snapshot.completed_frameworks.iter().rev();
    let framework = snapshot
        .frameworks
        .values()
        .chain(gone)
        .filter(|framework| framework.id.as_str() == name.framework);
    let mut runs = framework.flat_map(|framework| {
        let over = framework.completed_executors.iter().rev();
        framework.executors.values().chain(over)
    });
    runs.find(|executor| {
        executor.id.as_str() == name.executor
            && (name.run == "latest" || executor.container_id.as_str() == name.run)
    })
}

impl From<FilesError> for ApiError {
    fn from(error: FilesError) -> Self {
        let message = error.to_string();
        match error {
            FilesError::NotFound { .. } => Self::NotFound(message),
            // Mesos answers 400 to all of them.
            FilesError::Outside { .. }
            | FilesError::NotAFile { .. }
            | FilesError::NotAFolder { .. } => Self::invalid(message),
            FilesError::Io { source, .. } => Self::Internal(format!("{message}: {source}")),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_path() {
        let host = "/var/frameworks/w/slaves/S/frameworks/F/executors/E/runs/C/a/b";
        let name = parse(host).unwrap();
        assert_eq!((name.framework, name.executor, name.run), ("F", "E", "C"));
        assert_eq!(name.outer, Path::new("/var/frameworks/w/slaves/S"));
        assert_eq!(name.inner, Path::new("a/b"));

        let name = parse("/frameworks/F/executors/E/runs/latest").unwrap();
        assert_eq!(
            (name.run, name.inner.as_os_str().is_empty()),
            ("latest", true)
        );
        assert_eq!(name.outer, Path::new("/"));

        let standalone = [(ContainerId::new("c"), PathBuf::from("/w/containers/c"))];
        let place = find_standalone(&standalone, "/w/containers/c/a/b").unwrap();
        assert_eq!(place.sandbox, Path::new("/w/containers/c"));
        assert_eq!(place.path, Path::new("a/b"));
        for path in ["/w/containers", "/w/containers/cc", "containers/c"] {
            assert_eq!(find_standalone(&standalone, path), None, "{path}");
        }

        for path in [
            "",
            "/",
            "frameworks/F/executors/E/runs/C",
            "/frameworks/F/executors/E/runs",
        ] {
            assert!(parse(path).is_none(), "{path}");
        }
    }
}
