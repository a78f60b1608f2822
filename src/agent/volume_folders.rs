//! Shell: the folders of persistent volumes. Making one and moving one away are quick and done at once,
//! so that operations on the same volume cannot meet; deleting what was moved away takes its time.

use std::fs;
use std::io;
use std::path::Path;

use super::checkpoint::VolumePath;

/// Why a volume's folder could not be made or moved away.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {cause}")]
pub(super) struct VolumeError {
    path: String,
    #[source]
    cause: io::Error,
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> VolumeError + '_ {
    move |cause| VolumeError {
        path: path.display().to_string(),
        cause,
    }
}

/// Makes a volume's folder; one that is there stays as it is.
pub(super) fn make(volume: &VolumePath) -> Result<(), VolumeError> {
    let path = &volume.path;
    if volume.is_mount {
        return match fs::metadata(path) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(failed(path)(io::ErrorKind::NotADirectory.into())),
            Err(cause) => Err(failed(path)(cause)),
        };
    }
    fs::create_dir_all(path).map_err(failed(path))
}

/// Moves what a volume holds into its trash, under names that begin with `name`. What is not there need
/// not be moved.
pub(super) fn remove(volume: &VolumePath, name: &str) -> Result<(), VolumeError> {
    let path = &volume.path;
    match fs::symlink_metadata(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(failed(path)(cause)),
        Ok(_) => {}
    }
    let grave = volume.trash.join(name);
    fs::create_dir_all(&grave).map_err(failed(&grave))?;
    if !volume.is_mount {
        return fs::rename(path, grave.join("volume")).map_err(failed(path));
    }
    for entry in fs::read_dir(path).map_err(failed(path))? {
        let entry = entry.map_err(failed(path))?.path();
        if let Some(own) = entry.file_name().filter(|_| entry != volume.trash) {
            fs::rename(&entry, grave.join(own)).map_err(failed(&entry))?;
        }
    }
    Ok(())
}

/// Deletes everything that was moved away.
pub(super) fn empty_trash(trash: &Path) -> io::Result<()> {
    match fs::remove_dir_all(trash) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        // Something was moved here meanwhile; whoever did that deletes it.
        Err(cause) if cause.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        other => other,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn volume(root: &Path, is_mount: bool) -> VolumePath {
        VolumePath {
            path: if is_mount {
                root.join("m")
            } else {
                root.join("roles/dev/v")
            },
            trash: if is_mount {
                root.join("m/.destroyed")
            } else {
                root.join("destroyed")
            },
            is_mount,
        }
    }

    #[test]
    fn a_volume_is_made_kept_moved_away_and_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let volume = volume(dir.path(), false);
        make(&volume).unwrap();
        fs::write(volume.path.join("data"), "1").unwrap();
        make(&volume).unwrap();
        assert_eq!(fs::read(volume.path.join("data")).unwrap(), b"1");
        remove(&volume, "op-0").unwrap();
        assert!(!volume.path.exists());
        assert!(volume.trash.join("op-0/volume/data").exists());
        make(&volume).unwrap();
        empty_trash(&volume.trash).unwrap();
        assert!(!volume.trash.exists());
        assert!(volume.path.is_dir(), "the new one of the same name");
        remove(&volume, "op-1").unwrap();
        remove(&volume, "op-2").unwrap();
    }

    #[test]
    fn a_mounted_volume_is_emptied_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let volume = volume(dir.path(), true);
        assert!(make(&volume).unwrap_err().to_string().contains("/m: "));
        fs::create_dir(&volume.path).unwrap();
        make(&volume).unwrap();
        fs::write(volume.path.join("data"), "1").unwrap();
        remove(&volume, "op-0").unwrap();
        empty_trash(&volume.trash).unwrap();
        assert_eq!(fs::read_dir(&volume.path).unwrap().count(), 0);
    }

    #[test]
    fn what_cannot_be_made_says_where() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("roles"), "").unwrap();
        let error = make(&volume(dir.path(), false)).unwrap_err().to_string();
        assert!(error.contains("roles/dev/v"), "{error}");
    }
}
