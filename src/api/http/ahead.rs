//! Shell: what is about to be written, fetched into the processor's cache.
//!
//! The records of hundreds of thousands of tasks lie all over the memory, each text in a place of its own.
//! Who writes one after the other waits for the memory at each of them; a processor that is asked for those
//! of several tasks at once waits for all of them together: in a model of it 66 ms instead of 175. What it
//! saves of a whole reply has not been measured by itself.

use std::hint::black_box;

use crate::master::task::Task;
use crate::proto::v1;

/// Entries that are fetched at a time: about as many lines of memory as a processor can wait for.
pub(super) const TURN: usize = 16;

/// Fetches nothing, for entries that are made while they are written.
pub(super) fn nothing<T>(_entries: &[T]) {}

/// Fetches what the replies about tasks are made of: in each step only what the one before has found.
pub(super) fn tasks(tasks: &[&Task]) {
    let mut seen = 0;
    for task in tasks {
        seen ^= task.state as usize ^ task.statuses.len() ^ task.id.as_str().len();
        seen ^= usize::from(task.forwarded.is_some()) ^ task.agent_id.as_str().len();
    }
    for task in tasks {
        let of = &*task.description;
        seen ^= of.name.len() ^ of.agent_id.value.len() ^ of.resources.len();
        seen ^= usize::from(of.labels.is_some()) ^ usize::from(of.user.is_some());
        seen ^= usize::from(of.container.is_some()) ^ usize::from(of.health_check.is_some());
        seen ^= task.resources.iter().len();
        for status in &task.statuses {
            seen ^= status.task_id.value.len() ^ usize::from(status.container_status.is_some());
            seen ^= usize::from(status.labels.is_some()) ^ usize::from(status.healthy.is_some());
        }
    }
    for task in tasks {
        let of = &*task.description;
        seen ^= first(&of.name) ^ first(&of.task_id.value) ^ first(&of.framework_id.value);
        seen ^= first(&of.agent_id.value) ^ first(task.id.as_str());
        seen ^= first(task.agent_id.as_str()) ^ first(task.framework_id.as_str());
        for resource in &of.resources {
            seen ^= resource.name.len() ^ usize::from(resource.scalar.is_some());
            seen ^= usize::from(resource.allocation_info.is_some());
        }
        seen ^= task.statuses.iter().map(|one| texts(one)).sum::<usize>();
    }
    for task in tasks {
        for resource in &task.description.resources {
            let role = resource.allocation_info.as_ref();
            seen ^= first(&resource.name) ^ first(role.map_or("", |info| info.role()));
        }
        let networks = task.statuses.iter().filter_map(|one| {
            let container = one.container_status.as_ref()?;
            Some(&container.network_infos)
        });
        for address in networks.flatten().flat_map(|one| &one.ip_addresses) {
            seen ^= first(address.ip_address());
        }
    }
    black_box(seen);
}

/// Fetches the texts of a status.
fn texts(status: &v1::TaskStatus) -> usize {
    let mut seen = first(&status.task_id.value) ^ first(status.message());
    seen ^= status.agent_id.as_ref().map_or(0, |id| first(&id.value));
    seen ^= status.uuid().first().map_or(0, |byte| usize::from(*byte));
    let container = status.container_status.as_ref();
    let container_id = container.and_then(|container| container.container_id.as_ref());
    seen ^= container_id.map_or(0, |id| first(&id.value));
    seen ^ container.map_or(0, |container| {
        let networks = container.network_infos.iter();
        networks.map(|one| one.ip_addresses.len()).sum()
    })
}

fn first(text: &str) -> usize {
    text.as_bytes().first().map_or(0, |byte| usize::from(*byte))
}
