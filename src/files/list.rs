//! Listing a folder.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::dir::Dir;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, fstatat};
use nix::unistd::{Gid, Group, Uid, User};

use super::error::FilesError;
use super::open::open_beneath;
use crate::proto::v1;

/// Most entries of one listing; a folder with more shows the first ones that the system gives.
pub const ENTRIES_MAX: usize = 10_000;

/// What is in a folder below `root`, by name. Links are shown as links. The entries' paths are
/// `shown` and their names. Blocks on the disk.
///
/// # Errors
///
/// [`FilesError`], with `shown` as the path.
pub fn list(root: &Path, path: &Path, shown: &str) -> Result<Vec<v1::FileInfo>, FilesError> {
    let wrong = |error: nix::Error| FilesError::of(shown, error.into());
    let folder = open_beneath(root, path, shown)?;
    let mut folder = Dir::from_fd(folder.into()).map_err(wrong)?;
    let mut names = Vec::new();
    for entry in folder.iter() {
        let name = entry.map_err(wrong)?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
        if names.len() == ENTRIES_MAX {
            break;
        }
    }
    names.sort();
    let mut owners = Owners::default();
    let mut infos = Vec::with_capacity(names.len());
    for name in names {
        let link = AtFlags::AT_SYMLINK_NOFOLLOW;
        match fstatat(folder.as_fd(), name.as_c_str(), link) {
            Ok(stat) => {
                let name = name.to_string_lossy();
                let path = format!("{}/{name}", shown.trim_end_matches('/'));
                infos.push(owners.info(path, &stat));
            }
            // Removed in between.
            Err(nix::Error::ENOENT) => {}
            Err(error) => return Err(wrong(error)),
        }
    }
    Ok(infos)
}

/// Names of users and groups, looked up once per listing.
#[derive(Default)]
struct Owners {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Owners {
    fn info(&mut self, path: String, stat: &FileStat) -> v1::FileInfo {
        let user = self.users.entry(stat.st_uid).or_insert_with_key(|id| {
            let user = User::from_uid(Uid::from_raw(*id)).ok().flatten();
            user.map_or_else(|| id.to_string(), |user| user.name)
        });
        let group = self.groups.entry(stat.st_gid).or_insert_with_key(|id| {
            let group = Group::from_gid(Gid::from_raw(*id)).ok().flatten();
            group.map_or_else(|| id.to_string(), |group| group.name)
        });
        let mtime = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
        v1::FileInfo {
            path,
            nlink: i32::try_from(stat.st_nlink).ok(),
            size: u64::try_from(stat.st_size).ok(),
            mtime: Some(v1::TimeInfo {
                nanoseconds: i64::try_from(mtime.as_nanos()).unwrap_or(i64::MAX),
            }),
            mode: Some(stat.st_mode),
            uid: Some(user.clone()),
            gid: Some(group.clone()),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn entries_are_sorted_and_described() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("sub/z")).unwrap();
        fs::write(root.path().join("sub/a"), "12345").unwrap();
        symlink("/etc/passwd", root.path().join("sub/m")).unwrap();
        let infos = list(root.path(), Path::new("sub"), "/virtual/sub/").unwrap();
        let paths: Vec<_> = infos.iter().map(|info| info.path.as_str()).collect();
        assert_eq!(
            paths,
            ["/virtual/sub/a", "/virtual/sub/m", "/virtual/sub/z"]
        );
        assert_eq!(infos[0].size, Some(5));
        assert_eq!(infos[0].mode() & 0o170_000, 0o100_000);
        assert_eq!(infos[1].mode() & 0o170_000, 0o120_000);
        assert_eq!(infos[2].mode() & 0o170_000, 0o040_000);
        let error = list(root.path(), Path::new("sub/a"), "/a").unwrap_err();
        assert_eq!(error.to_string(), "'/a' is not a folder");
    }
}
