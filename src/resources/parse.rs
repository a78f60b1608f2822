//! Reads resources as the `--resources` flag gives them (Mesos' agent documentation).

use crate::roles::Role;

use super::{Reservation, Resource, ResourceError, ResourceName, Resources, Value};

/// Most items of one text.
const ITEMS_MAX: usize = 10_000;

/// Reads `cpus:4;disk(ads):1000;ports:[1-10,20-30];set:{a,b}`. Items of the same thing are
/// summed, empty ones dropped; what names no role goes to `default_role`.
pub fn parse(text: &str, default_role: &Role) -> Result<Resources, ResourceError> {
    let mut bag = Resources::new();
    for (index, item) in text.split(';').enumerate() {
        let item = item.trim();
        if item.is_empty() {
            continue;
        }
        if index >= ITEMS_MAX {
            return Err(ResourceError::TooManyItems(ITEMS_MAX));
        }
        bag.add(parse_item(item, default_role).map_err(|error| error.of_item(item))?);
    }
    Ok(bag)
}

fn parse_item(item: &str, default_role: &Role) -> Result<Resource, ResourceError> {
    // The value never holds a colon before its first bracket, a role never a closing parenthesis.
    let (head, value) = match item.split_once(')') {
        Some((head, rest)) if head.contains('(') => {
            let value = rest.trim_start().strip_prefix(':');
            (head, value.ok_or(ResourceError::NotAnItem)?)
        }
        _ => item.split_once(':').ok_or(ResourceError::NotAnItem)?,
    };
    let (name, role) = match head.split_once('(') {
        Some((name, role)) => (name, Role::parse(role.trim())?),
        None => (head, default_role.clone()),
    };
    let resource = Resource::new(ResourceName::parse(name.trim())?, Value::parse(value)?)?;
    if role.is_default() {
        return Ok(resource);
    }
    resource.with_reservations(vec![Reservation::fixed(role)])
}
