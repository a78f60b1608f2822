//! Persistent volumes in sandboxes: a link at the container path leads to the volume's folder, which
//! belongs to the task's user.
//!
//! Sandboxes may belong to users who can put links of their own anywhere in them: every folder on the
//! way is opened without following links.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{Gid, Uid, fchown, symlinkat};

use super::plan::{PlannedMount, PlannedUser};
use crate::agent::ContainerVolume;
use crate::proto::v1;

/// Why a container cannot have a volume.
#[derive(Debug, thiserror::Error)]
pub(super) enum VolumeError {
    #[error(
        "the volume's container path '{0}' must be relative to the sandbox, without '..': this agent's \
         containerizer has no images yet"
    )]
    Place(String),
    #[error("cannot make the link {path} to the volume: {cause}")]
    Link { path: PathBuf, cause: io::Error },
    #[error("something else is at {0} already, where the volume is to appear")]
    Taken(PathBuf),
    #[error(
        "the volume {path} is below {hidden}, of which tasks have their own; move --work_dir elsewhere"
    )]
    Hidden { path: PathBuf, hidden: PathBuf },
    #[error("cannot use the volume {path}: {cause}")]
    Volume { path: PathBuf, cause: io::Error },
}

/// Lets who lives in `sandbox` see the volumes. A link that is there already stays.
pub(super) fn link(
    sandbox: &Path,
    user: Option<&PlannedUser>,
    volumes: &[ContainerVolume],
) -> Result<(), VolumeError> {
    volumes
        .iter()
        .try_for_each(|volume| link_one(sandbox, user, volume))
}

/// Checks that no mount of the container hides what the links lead to.
pub(super) fn check_seen(
    mounts: &[PlannedMount],
    volumes: &[ContainerVolume],
) -> Result<(), VolumeError> {
    for volume in volumes {
        let over = |mount: &&PlannedMount| volume.host_path.starts_with(&mount.target);
        if let Some(mount) = mounts.iter().find(over) {
            return Err(VolumeError::Hidden {
                path: volume.host_path.clone(),
                hidden: mount.target.clone(),
            });
        }
    }
    Ok(())
}

fn link_one(
    sandbox: &Path,
    user: Option<&PlannedUser>,
    volume: &ContainerVolume,
) -> Result<(), VolumeError> {
    let bad_place = || VolumeError::Place(volume.container_path.clone());
    let mut names = Vec::new();
    for component in Path::new(&volume.container_path).components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::ParentDir => {
                return Err(bad_place());
            }
        }
    }
    let last = names.pop().ok_or_else(bad_place)?;
    own(volume, user)?;
    let path = sandbox.join(&volume.container_path);
    let failed = |cause: Errno| VolumeError::Link {
        path: path.clone(),
        cause: cause.into(),
    };
    let mut folder = open_folder(AT_FDCWD, sandbox).map_err(failed)?;
    for name in names {
        match mkdirat(&folder, name, Mode::from_bits_truncate(0o755)) {
            Ok(()) => {
                folder = open_folder(&folder, Path::new(name)).map_err(failed)?;
                give(&folder, user).map_err(failed)?;
            }
            Err(Errno::EEXIST) => {
                folder = open_folder(&folder, Path::new(name)).map_err(failed)?;
            }
            Err(cause) => return Err(failed(cause)),
        }
    }
    match symlinkat(&volume.host_path, &folder, last) {
        Ok(()) => Ok(()),
        Err(Errno::EEXIST) => match fs::read_link(&path) {
            Ok(target) if target == volume.host_path => Ok(()),
            _ => Err(VolumeError::Taken(path)),
        },
        Err(cause) => Err(failed(cause)),
    }
}

fn open_folder(at: impl std::os::fd::AsFd, path: &Path) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
    openat(at, path, flags, Mode::empty())
}

fn give(folder: &OwnedFd, user: Option<&PlannedUser>) -> nix::Result<()> {
    match user {
        Some(user) => fchown(
            folder,
            Some(Uid::from_raw(user.uid)),
            Some(Gid::from_raw(user.gid)),
        ),
        None => Ok(()),
    }
}

/// The volume belongs to its newest user; a shared one to its first.
fn own(volume: &ContainerVolume, user: Option<&PlannedUser>) -> Result<(), VolumeError> {
    let path = &volume.host_path;
    let failed = |cause| VolumeError::Volume {
        path: path.clone(),
        cause,
    };
    let folder = open_folder(AT_FDCWD, path).map_err(|cause| failed(cause.into()))?;
    let found = fs::File::from(folder.try_clone().map_err(failed)?);
    let owner = found.metadata().map_err(failed)?.uid();
    if volume.shared && owner != nix::unistd::geteuid().as_raw() {
        return Ok(());
    }
    give(&folder, user).map_err(|cause| failed(cause.into()))
}

/// Lets a task of a group see those of its volumes that its executor's sandbox has.
pub(super) fn link_nested(
    executor: &Path,
    sandbox: &Path,
    user: Option<&PlannedUser>,
    resources: &[v1::Resource],
) -> Result<(), VolumeError> {
    let places = resources.iter().filter_map(|resource| {
        let disk = resource.disk.as_ref()?;
        disk.persistence.as_ref()?;
        Some((disk.volume.as_ref()?, resource.shared.is_some()))
    });
    for (place, shared) in places {
        let path = executor.join(&place.container_path);
        let host_path =
            fs::read_link(&path).map_err(|cause| VolumeError::Volume { path, cause })?;
        let volume = ContainerVolume {
            host_path,
            container_path: place.container_path.clone(),
            shared,
        };
        link_one(sandbox, user, &volume)?;
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn volume(host_path: &Path, container_path: &str) -> ContainerVolume {
        ContainerVolume {
            host_path: host_path.to_owned(),
            container_path: container_path.to_owned(),
            shared: false,
        }
    }

    #[test]
    fn a_volume_appears_where_it_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let (sandbox, host) = (dir.path().join("sandbox"), dir.path().join("v"));
        fs::create_dir(&sandbox).unwrap();
        fs::create_dir(&host).unwrap();
        for place in ["data", "a/b/data", "a/./c"] {
            let volumes = [volume(&host, place)];
            link(&sandbox, None, &volumes).unwrap();
            link(&sandbox, None, &volumes).unwrap();
            fs::write(sandbox.join(place).join("x"), place).unwrap();
            assert_eq!(fs::read_to_string(host.join("x")).unwrap(), place);
        }
        let resource = v1::Resource {
            disk: Some(v1::resource::DiskInfo {
                persistence: Some(v1::resource::disk_info::Persistence::default()),
                volume: Some(v1::Volume {
                    container_path: "data".to_owned(),
                    ..v1::Volume::default()
                }),
                source: None,
            }),
            ..v1::Resource::default()
        };
        let nested = sandbox.join("nested");
        fs::create_dir(&nested).unwrap();
        link_nested(&sandbox, &nested, None, &[resource]).unwrap();
        assert_eq!(fs::read_link(nested.join("data")).unwrap(), host);
    }

    #[test]
    fn a_volume_that_tasks_would_not_see_is_refused() {
        let mounts = [PlannedMount {
            source: "/sandbox/tmp".into(),
            target: "/tmp".into(),
            read_only: false,
        }];
        let seen = |path: &str| check_seen(&mounts, &[volume(Path::new(path), "data")]);
        assert!(seen("/var/lib/mesos/volumes/v").is_ok());
        let error = seen("/tmp/mesos/volumes/v").unwrap_err().to_string();
        assert!(error.contains("--work_dir"), "{error}");
    }

    #[test]
    fn places_out_of_the_sandbox_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (sandbox, host) = (dir.path().join("sandbox"), dir.path().join("v"));
        fs::create_dir(&sandbox).unwrap();
        fs::create_dir(&host).unwrap();
        for place in ["/data", "../data", "a/../../data", ".", ""] {
            let error = link(&sandbox, None, &[volume(&host, place)]).unwrap_err();
            assert!(
                error.to_string().contains("container path"),
                "{place}: {error}"
            );
        }
        std::os::unix::fs::symlink(dir.path(), sandbox.join("out")).unwrap();
        assert!(link(&sandbox, None, &[volume(&host, "out/data")]).is_err());
        assert!(!dir.path().join("data").exists());
        fs::write(sandbox.join("taken"), "").unwrap();
        let error = link(&sandbox, None, &[volume(&host, "taken")]).unwrap_err();
        assert!(error.to_string().contains("something else"), "{error}");
        let error = link(&sandbox, None, &[volume(Path::new("/nowhere"), "d")]).unwrap_err();
        assert!(error.to_string().contains("/nowhere"), "{error}");
    }
}
