//! Checks of the resources that a task or an executor asks for.

use std::collections::BTreeSet;

use crate::proto::v1;
use crate::resources::Resources;
use crate::roles::Role;

use super::{Invalid, Reason};

/// Reads the resources of a launch. Those that name no role are allocated to the offers' role; all
/// must end there.
pub(super) fn read(messages: &[v1::Resource], role: &Role) -> Result<Resources, Invalid> {
    let asked = Resources::from_proto(messages);
    let asked = asked.map_err(|error| Invalid::new("resources", error))?;
    let asked = asked.allocate_missing(role);
    for item in &asked {
        if let Some(found) = item.allocated_role().filter(|found| *found != role) {
            let (expected, found) = (role.clone(), found.clone());
            return Err(Invalid::new(
                format!("resources[{}]", item.name()),
                Reason::OtherRole { expected, found },
            ));
        }
    }
    Ok(asked)
}

/// Checks what one container holds in all: no volume twice, and no name both revocable and not.
pub(super) fn check_together(all: &Resources) -> Result<(), Invalid> {
    let mut volumes = BTreeSet::new();
    let mut steady = BTreeSet::new();
    let mut revocable = BTreeSet::new();
    for item in all {
        if item.is_revocable() {
            revocable.insert(item.name());
        } else {
            steady.insert(item.name());
        }
        let persistence = item.disk().and_then(|disk| disk.persistence.as_ref());
        if let Some(persistence) = persistence
            && !volumes.insert((item.reserved_role(), &persistence.id))
        {
            let id = persistence.id.clone();
            return Err(Invalid::new(
                "resources.disk.persistence.id",
                Reason::Twice(id),
            ));
        }
    }
    match steady.intersection(&revocable).next() {
        Some(name) => Err(Invalid::new(
            "resources",
            Reason::RevocableMixed(name.to_string()),
        )),
        None => Ok(()),
    }
}

/// Checks that the offers hold what is asked for.
pub(super) fn check_offered(wanted: &Resources, left: &Resources) -> Result<(), Invalid> {
    if left.contains(wanted) {
        return Ok(());
    }
    let (wanted, left) = (wanted.unallocated(), left.unallocated());
    Err(Invalid::new(
        "resources",
        Reason::NotOffered { wanted, left },
    ))
}
