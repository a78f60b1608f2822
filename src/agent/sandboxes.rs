//! Shell: the sandboxes that are on the disk when the agent starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Names between the root of all sandboxes and one of them; `None` stands for any.
const LEVELS: [Option<&str>; 7] = [
    None,
    Some("frameworks"),
    None,
    Some("executors"),
    None,
    Some("runs"),
    None,
];

/// Every sandbox below `root`, with the time since its folder was last changed. What cannot be read
/// is left out: it can hardly be deleted either.
pub(super) fn find(root: &Path, now: SystemTime) -> Vec<(PathBuf, Duration)> {
    let mut folders = vec![root.to_owned()];
    for level in LEVELS {
        folders = match level {
            Some(name) => folders.into_iter().map(|path| path.join(name)).collect(),
            None => folders.iter().flat_map(|path| folders_in(path)).collect(),
        };
    }
    folders
        .into_iter()
        .filter_map(|path| {
            let changed = fs::symlink_metadata(&path).ok()?.modified().ok()?;
            // A clock that was set back makes a folder young.
            let age = now.duration_since(changed).unwrap_or_default();
            Some((path, age))
        })
        .collect()
}

/// The folders directly below one; links, such as `latest`, are none.
fn folders_in(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn every_run_is_found_once() {
        let dir = tempfile::tempdir().unwrap();
        let runs = dir.path().join("a/frameworks/f/executors/e/runs");
        fs::create_dir_all(runs.join("one/below")).unwrap();
        fs::create_dir(runs.join("two")).unwrap();
        std::os::unix::fs::symlink("two", runs.join("latest")).unwrap();
        fs::write(runs.join("file"), "").unwrap();
        fs::create_dir_all(dir.path().join("a/elsewhere/f")).unwrap();
        let later = SystemTime::now() + Duration::from_secs(100);
        let mut found = find(dir.path(), later);
        found.sort();
        let paths: Vec<_> = found.iter().map(|(path, _)| path.clone()).collect();
        assert_eq!(paths, [runs.join("one"), runs.join("two")]);
        assert!(found[0].1 >= Duration::from_secs(99), "{found:?}");
        assert!(find(&dir.path().join("none"), later).is_empty());
    }
}
