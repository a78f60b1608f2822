//! Reads resources as the `--resources` flag gives them (Mesos' agent documentation).

use crate::proto::v1;
use crate::roles::Role;

use super::{Reservation, Resource, ResourceError, ResourceName, Resources, Value, json};

/// Most items of one text.
const ITEMS_MAX: usize = 10_000;

/// Reads `cpus:4;disk(ads):1000;ports:[1-10,20-30];set:{a,b}`, or a JSON list when the text begins
/// with a bracket. Items of the same thing are summed, empty ones dropped; what names no role goes
/// to `default_role`. What only calls can make (dynamic reservations, volumes) is refused.
pub fn parse(text: &str, default_role: &Role) -> Result<Resources, ResourceError> {
    if text.trim_start().starts_with('[') {
        return parse_json(text, default_role);
    }
    let mut bag = Resources::new();
    for (index, item) in text.split(';').enumerate() {
        if index >= ITEMS_MAX {
            return Err(ResourceError::TooManyItems(ITEMS_MAX));
        }
        let item = item.trim();
        if !item.is_empty() {
            bag.add(parse_item(item, default_role).map_err(|error| error.of_item(item))?);
        }
    }
    Ok(bag)
}

fn parse_item(item: &str, default_role: &Role) -> Result<Resource, ResourceError> {
    // A role may hold colons: only the one after its parenthesis divides.
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
    assign(resource, role)
}

fn assign(resource: Resource, role: Role) -> Result<Resource, ResourceError> {
    if role.is_default() {
        return Ok(resource);
    }
    resource.with_reservations(vec![Reservation::fixed(role)])
}

fn parse_json(text: &str, default_role: &Role) -> Result<Resources, ResourceError> {
    let messages = json::read(text)?;
    if messages.len() > ITEMS_MAX {
        return Err(ResourceError::TooManyItems(ITEMS_MAX));
    }
    let mut bag = Resources::new();
    for message in &messages {
        let item = of_message(message, default_role);
        bag.add(item.map_err(|error| error.of_item(&message.name))?);
    }
    Ok(bag)
}

#[expect(deprecated, reason = "the field `role` is what old files say")]
fn of_message(message: &v1::Resource, default_role: &Role) -> Result<Resource, ResourceError> {
    let unfit = [
        ("allocation_info", message.allocation_info.is_some()),
        ("provider_id", message.provider_id.is_some()),
        ("revocable", message.revocable.is_some()),
        ("shared", message.shared.is_some()),
        ("reservation", message.reservation.is_some()),
    ];
    if let Some((field, _)) = unfit.iter().find(|(_, is_set)| *is_set) {
        return Err(ResourceError::Unexpected(field));
    }
    let item = Resource::read_message(message)?;
    if item.is_persistent_volume() {
        return Err(ResourceError::Unexpected("disk.persistence"));
    }
    if item.is_dynamically_reserved() {
        return Err(ResourceError::Unexpected("a reservation of type DYNAMIC"));
    }
    if message.role.is_none() && !item.is_reserved() {
        return assign(item, default_role.clone());
    }
    Ok(item)
}
