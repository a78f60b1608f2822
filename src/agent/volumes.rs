//! Persistent volumes at the start of the agent, and as containers see them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::resources::Resources;

use super::container::ContainerVolume;
use super::core::Agent;
use super::effect::{Effect, Effects};

impl Agent {
    /// Brings the disk in line with the records: makes the folders that are missing, and goes on
    /// with what was being deleted.
    pub(super) fn start_volumes(&self, effects: &mut Effects) {
        let volumes = self.volume_paths(&self.total);
        let mut trash: BTreeSet<PathBuf> =
            volumes.iter().map(|volume| volume.trash.clone()).collect();
        trash.insert(self.paths.destroyed_volumes());
        for uuid in self.operations.keys() {
            self.clear_volumes(*uuid, effects);
        }
        for trash in trash {
            effects.push(Effect::EmptyTrash { trash });
        }
        if !volumes.is_empty() {
            effects.push(Effect::MakeVolumes {
                operation: None,
                volumes,
            });
        }
    }

    /// The persistent volumes among these resources, for a container that holds them.
    pub(super) fn container_volumes(&self, resources: &Resources) -> Vec<ContainerVolume> {
        let volume = |item: &crate::resources::Resource| {
            let place = item.disk()?.volume.as_ref()?;
            Some(ContainerVolume {
                host_path: self.paths.volume(item)?.path,
                container_path: place.container_path.clone(),
                shared: item.is_shared(),
                read_only: place.read_only,
            })
        };
        resources.iter().filter_map(volume).collect()
    }
}
