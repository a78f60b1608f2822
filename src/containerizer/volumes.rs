//! Persistent volumes in sandboxes: in a mount namespace the volume's folder is mounted at the container
//! path, read-only where that is asked for; without one, and for a container that runs already, a link
//! leads there. The folder belongs to the task's user.
//!
//! Sandboxes may belong to users who can put links of their own anywhere in them: every folder on the
//! way is opened without following links.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{Gid, Uid, fchown, symlinkat};

use super::plan::{PlannedUser, PlannedVolume};
use crate::agent::ContainerVolume;
use crate::proto::v1;

/// Mode of the folders that lead to a volume, and of the one that it hides.
const PLACE_MODE: Mode = Mode::from_bits_truncate(0o755);

/// Why a container cannot have a volume.
#[derive(Debug, thiserror::Error)]
pub(super) enum VolumeError {
    #[error(
        "the volume's container path '{0}' must be relative to the sandbox, without '..': this agent's \
         containerizer has no images yet"
    )]
    Place(String),
    #[error("cannot make {path} for the volume: {cause}")]
    Link { path: PathBuf, cause: io::Error },
    #[error("something else is at {0} already, where the volume is to appear")]
    Taken(PathBuf),
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

/// Lets who lives in `sandbox` see the volumes when it starts: by links, or, `mounted`, by mounts at the
/// places that are made here.
pub(super) fn appear(
    sandbox: &Path,
    user: Option<&PlannedUser>,
    volumes: &[ContainerVolume],
    mounted: bool,
) -> Result<Vec<PlannedVolume>, VolumeError> {
    if !mounted {
        link(sandbox, user, volumes)?;
        return Ok(Vec::new());
    }
    volumes
        .iter()
        .map(|volume| make_place(sandbox, user, volume))
        .collect()
}

/// Where a volume is to appear.
struct Way {
    /// The folder that it will be in.
    folder: OwnedFd,
    /// Its name there.
    last: OsString,
    /// All names from the sandbox on.
    place: PathBuf,
}

fn make_place(
    sandbox: &Path,
    user: Option<&PlannedUser>,
    volume: &ContainerVolume,
) -> Result<PlannedVolume, VolumeError> {
    let way = way(sandbox, user, volume)?;
    let failed = |cause: Errno| failed_at(sandbox, &way.place, cause);
    match mkdirat(&way.folder, way.last.as_os_str(), PLACE_MODE) {
        Err(Errno::EEXIST) => {
            if open_folder(&way.folder, Path::new(&way.last)).is_err() {
                return Err(VolumeError::Taken(sandbox.join(&way.place)));
            }
        }
        other => other.map_err(failed)?,
    }
    Ok(PlannedVolume {
        source: volume.host_path.clone(),
        place: way.place,
        read_only: volume.read_only,
    })
}

fn link_one(
    sandbox: &Path,
    user: Option<&PlannedUser>,
    volume: &ContainerVolume,
) -> Result<(), VolumeError> {
    let way = way(sandbox, user, volume)?;
    let path = sandbox.join(&way.place);
    match symlinkat(&volume.host_path, &way.folder, way.last.as_os_str()) {
        Ok(()) => Ok(()),
        Err(Errno::EEXIST) => match fs::read_link(&path) {
            Ok(target) if target == volume.host_path => Ok(()),
            _ => Err(VolumeError::Taken(path)),
        },
        Err(cause) => Err(failed_at(sandbox, &way.place, cause)),
    }
}

fn failed_at(sandbox: &Path, place: &Path, cause: Errno) -> VolumeError {
    VolumeError::Link {
        path: sandbox.join(place),
        cause: cause.into(),
    }
}

/// Makes the folders that lead to a volume's place, and gives the volume to its user.
fn way(
    sandbox: &Path,
    user: Option<&PlannedUser>,
    volume: &ContainerVolume,
) -> Result<Way, VolumeError> {
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
    let place: PathBuf = names.iter().collect();
    let last = names.pop().ok_or_else(bad_place)?.to_owned();
    own(volume, user)?;
    let failed = |cause: Errno| failed_at(sandbox, &place, cause);
    let mut folder = open_folder(AT_FDCWD, sandbox).map_err(failed)?;
    for name in names {
        match mkdirat(&folder, name, PLACE_MODE) {
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
    Ok(Way {
        folder,
        last,
        place,
    })
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

/// The volumes of a task of a group, which its executor's sandbox has links to.
pub(super) fn of_task(
    executor: &Path,
    resources: &[v1::Resource],
) -> Result<Vec<ContainerVolume>, VolumeError> {
    let places = resources.iter().filter_map(|resource| {
        let disk = resource.disk.as_ref()?;
        disk.persistence.as_ref()?;
        Some((disk.volume.as_ref()?, resource.shared.is_some()))
    });
    places
        .map(|(place, shared)| {
            let path = executor.join(&place.container_path);
            let host_path =
                fs::read_link(&path).map_err(|cause| VolumeError::Volume { path, cause })?;
            Ok(ContainerVolume {
                host_path,
                container_path: place.container_path.clone(),
                shared,
                read_only: place.mode() == v1::volume::Mode::Ro,
            })
        })
        .collect()
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
            read_only: false,
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
        let volumes = of_task(&sandbox, &[resource]).unwrap();
        assert_eq!(appear(&nested, None, &volumes, false).unwrap(), []);
        assert_eq!(fs::read_link(nested.join("data")).unwrap(), host);
    }

    #[test]
    fn places_for_mounts_are_folders() {
        let dir = tempfile::tempdir().unwrap();
        let (sandbox, host) = (dir.path().join("sandbox"), dir.path().join("v"));
        fs::create_dir(&sandbox).unwrap();
        fs::create_dir(&host).unwrap();
        let mut wanted = volume(&host, "a/./data");
        wanted.read_only = true;
        for _ in 0..2 {
            let planned = appear(&sandbox, None, std::slice::from_ref(&wanted), true).unwrap();
            let [planned] = &planned[..] else {
                panic!("one volume, one mount: {planned:?}");
            };
            assert_eq!(planned.place, Path::new("a/data"));
            assert_eq!((&planned.source, planned.read_only), (&host, true));
            let place = fs::symlink_metadata(sandbox.join("a/data")).unwrap();
            assert!(place.is_dir());
        }
        std::os::unix::fs::symlink(&host, sandbox.join("taken")).unwrap();
        let error = appear(&sandbox, None, &[volume(&host, "taken")], true).unwrap_err();
        assert!(error.to_string().contains("something else"), "{error}");
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
