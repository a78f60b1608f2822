//! Resources that the text form cannot say: shared volumes and disks that are taken whole.

use mesosd::resources::{
    Disk, DiskSource, Labels, Persistence, Reservation, Resource, Resources, SourceKind, Volume,
    parse,
};
use mesosd::roles::Role;

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// `ROLE=disk:100`: a shared volume, reserved to the role.
pub(crate) fn shared(option: &str) -> Result<Resources, String> {
    let Some((role, disk)) = option.split_once('=') else {
        return Ok(Resources::new());
    };
    let role = Role::parse(role).map_err(text)?;
    let volume = Disk {
        persistence: Some(Persistence {
            id: "v".to_owned(),
            principal: None,
        }),
        volume: Some(Volume {
            container_path: "data".to_owned(),
            read_only: false,
        }),
        source: None,
    };
    let make = |item: &Resource| {
        let item = item
            .clone()
            .reserve(Reservation::dynamic(role.clone(), None));
        let item = item.map_err(text)?.with_disk(Some(volume.clone()));
        item.map_err(text)?.with_shared(true).map_err(text)
    };
    let parsed = parse(disk, &Role::DEFAULT).map_err(text)?;
    parsed.iter().map(make).collect()
}

/// `disk:100`: a disk with a file system of its own.
pub(crate) fn mount(option: &str) -> Result<Resources, String> {
    let source = DiskSource {
        kind: SourceKind::Mount,
        root: Some("/mnt".to_owned()),
        vendor: None,
        id: None,
        metadata: Labels::default(),
        profile: None,
    };
    let disk = Disk {
        source: Some(source),
        ..Disk::default()
    };
    let parsed = parse(option, &Role::DEFAULT).map_err(text)?;
    let items = parsed.iter();
    items
        .map(|item| item.clone().with_disk(Some(disk.clone())).map_err(text))
        .collect()
}
