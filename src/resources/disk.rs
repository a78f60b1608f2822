//! What makes some disk space special: where it comes from, and the volume made of it.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use super::{Labels, ResourceError};

/// The id and the creator of a persistent volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Persistence {
    /// Unique on the agent, per role.
    pub id: String,
    /// Who created it.
    pub principal: Option<String>,
}

/// How a persistent volume appears in its container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Volume {
    /// Where it is mounted; relative paths are below the sandbox.
    pub container_path: String,
    /// Mounted read-only.
    pub read_only: bool,
}

/// The kinds of disk sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// A directory that can be divided.
    Path,
    /// A file system of its own, taken whole.
    Mount,
    /// A block device, taken whole.
    Block,
    /// Space of a storage plugin, taken whole once it has an id.
    Raw,
}

/// Where disk space comes from when it is not the agent's work directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskSource {
    /// The kind.
    pub kind: SourceKind,
    /// The directory of a path or mount source.
    pub root: Option<String>,
    /// The storage plugin's vendor.
    pub vendor: Option<String>,
    /// The storage plugin's volume id.
    pub id: Option<String>,
    /// The storage plugin's data about the volume.
    pub metadata: Labels,
    /// The storage profile.
    pub profile: Option<String>,
}

/// Everything special about a disk resource. At least one part is present. Two are the same whatever
/// `volume` says: it is about how the space is used, and each task that has the volume may use it in
/// another way, read-only for one, elsewhere in its sandbox.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Set for persistent volumes.
    pub persistence: Option<Persistence>,
    /// Set together with `persistence`.
    pub volume: Option<Volume>,
    /// Unset for the work directory's own disk.
    pub source: Option<DiskSource>,
}

impl Disk {
    fn identity(&self) -> (Option<&Persistence>, Option<&DiskSource>) {
        (self.persistence.as_ref(), self.source.as_ref())
    }
}

impl PartialEq for Disk {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Disk {}

impl PartialOrd for Disk {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Disk {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl Hash for Disk {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl Disk {
    /// True when the disk cannot be divided and each piece is one of a kind.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.persistence.is_some()
            || self
                .source
                .as_ref()
                .is_some_and(|source| match source.kind {
                    SourceKind::Path => false,
                    SourceKind::Mount | SourceKind::Block => true,
                    SourceKind::Raw => source.id.is_some(),
                })
    }

    /// Checks that a volume and its persistence come together and that sources name their place.
    pub(super) fn check(&self) -> Result<(), ResourceError> {
        match (&self.persistence, &self.volume) {
            (Some(_), None) => return Err(ResourceError::Missing("disk.volume")),
            (None, Some(_)) => return Err(ResourceError::Missing("disk.persistence")),
            (Some(persistence), Some(volume)) => {
                if persistence.id.is_empty()
                    || matches!(persistence.id.as_str(), "." | "..")
                    || persistence.id.contains(['/', '\\'])
                    || persistence.id.contains(char::is_control)
                {
                    return Err(ResourceError::BadPersistenceId(persistence.id.clone()));
                }
                if volume.container_path.is_empty() {
                    return Err(ResourceError::Missing("disk.volume.container_path"));
                }
            }
            (None, None) => {}
        }
        Ok(())
    }
}
