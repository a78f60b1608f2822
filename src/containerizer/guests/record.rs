//! What is written down about standalone containers, so that the next agent knows them again:
//! `<runtime_dir>/standalone/<container id>/call` from before the launch until REMOVE_CONTAINER, and
//! beside it `outcome` from the container's end on.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use prost::Message;

use crate::base::ContainerId;
use crate::proto::v1::agent::call::LaunchContainer;
use crate::proto::v1::agent::response::WaitContainer;

const CALL: &str = "call";
const OUTCOME: &str = "outcome";

/// The folder of the records.
#[derive(Clone, Debug)]
pub(super) struct Records(PathBuf);

/// One container, as its record tells.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) id: ContainerId,
    pub(super) call: LaunchContainer,
    /// There if it has ended.
    pub(super) outcome: Option<WaitContainer>,
}

impl Records {
    pub(super) fn new(runtime_dir: &Path) -> Self {
        Self(runtime_dir.join("standalone"))
    }

    /// Writes down what is about to be launched.
    pub(super) fn begin(&self, id: &ContainerId, call: &LaunchContainer) -> io::Result<()> {
        let folder = self.0.join(id.as_str());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        write(&folder, CALL, call)
    }

    /// Writes down how it ended.
    pub(super) fn end(&self, id: &ContainerId, outcome: &WaitContainer) -> io::Result<()> {
        write(&self.0.join(id.as_str()), OUTCOME, outcome)
    }

    /// Forgets it.
    pub(super) fn remove(&self, id: &ContainerId) -> io::Result<()> {
        fs::remove_dir_all(self.0.join(id.as_str()))
    }

    /// All that is written down. What cannot be read is reported and forgotten.
    pub(super) fn all(&self) -> Vec<Recorded> {
        let Ok(entries) = fs::read_dir(&self.0) else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| ContainerId::parse(name).ok());
            let Some(id) = id else {
                continue;
            };
            match recorded(&id, &entry.path()) {
                Ok(recorded) => all.push(recorded),
                Err(error) => {
                    tracing::warn!(container = %id, %error, "a standalone container is forgotten");
                    let _gone_already = self.remove(&id);
                }
            }
        }
        all
    }
}

fn recorded(id: &ContainerId, folder: &Path) -> io::Result<Recorded> {
    let call = LaunchContainer::decode(fs::read(folder.join(CALL))?.as_slice())?;
    let outcome = match fs::read(folder.join(OUTCOME)) {
        Ok(bytes) => Some(WaitContainer::decode(bytes.as_slice())?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(Recorded {
        id: id.clone(),
        call,
        outcome,
    })
}

/// Whole or not at all, also when the agent is killed meanwhile; a power loss ends the containers too.
fn write(folder: &Path, name: &str, message: &impl Message) -> io::Result<()> {
    let temporary = folder.join(format!("{name}.new"));
    fs::write(&temporary, message.encode_to_vec())?;
    fs::rename(temporary, folder.join(name))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_torn_ones_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::new(dir.path());
        assert!(records.all().is_empty());
        let (whole, torn) = (ContainerId::new("whole"), ContainerId::new("torn"));
        let call = LaunchContainer::default();
        records.begin(&whole, &call).unwrap();
        records.begin(&torn, &call).unwrap();
        let outcome = WaitContainer {
            exit_status: Some(256),
            ..WaitContainer::default()
        };
        records.end(&whole, &outcome).unwrap();
        fs::write(dir.path().join("standalone/torn/call"), [255]).unwrap();
        let all = records.all();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].id, whole);
        assert_eq!(all[0].outcome, Some(outcome));
        assert!(!dir.path().join("standalone/torn").exists());
        records.remove(&whole).unwrap();
        assert!(records.all().is_empty());
    }
}
