//! The memory controller: a soft limit (what a container is entitled to), a hard limit (where the
//! kernel kills), and swap.

use std::path::Path;

use super::files::{self, CgroupError};
use super::mounts::Controller;
use super::tree::{Level, Tree};
use crate::containerizer::plan::CgroupVersion;
use crate::resources::Scalar;

/// Smallest limit in bytes.
const BYTES_MIN: u64 = 32 << 20;

/// The limits of a container in bytes; `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Reclaim spares the container below this.
    pub soft: u64,
    /// The kernel kills above this.
    pub hard: Option<u64>,
    /// Swap counts towards the hard limit.
    pub swap: bool,
}

/// What a container's task uses, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// Everything charged.
    pub total: u64,
    /// Anonymous memory.
    pub anon: u64,
    /// Page cache.
    pub file: u64,
    /// Mapped files.
    pub mapped: u64,
    /// Swap.
    pub swap: u64,
    /// The hard limit in force.
    pub limit: Option<u64>,
}

/// Megabytes in bytes, at least 32 MB.
#[must_use]
pub fn bytes(megabytes: Scalar) -> u64 {
    let thousandths = u128::from(megabytes.thousandths().unsigned_abs());
    let bytes = (thousandths << 20) / 1000;
    u64::try_from(bytes).unwrap_or(u64::MAX).max(BYTES_MIN)
}

/// True if the kernel kept `wanted`, rounded down to whole pages; "unlimited" is a huge number in
/// version 1 and `max` in version 2.
fn same(wanted: Option<u64>, found: &str) -> bool {
    match (wanted, found.parse::<u64>()) {
        (None, Err(_)) => found == "max",
        (None, Ok(found)) => found >= i64::MAX as u64 - (1 << 20),
        // A page may be as large as 64 KiB.
        (Some(wanted), Ok(found)) => found <= wanted && wanted - found < 1 << 16,
        (Some(_), Err(_)) => false,
    }
}

fn write(path: &Path, value: Option<u64>, unlimited: &str) -> Result<(), CgroupError> {
    let text = value.map_or_else(|| unlimited.to_owned(), |value| value.to_string());
    files::write_checked(path, &text, |found| same(value, found))
}

/// Sets the limits of a new container.
pub fn limit(tree: &Tree, limits: &MemoryLimits) -> Result<(), CgroupError> {
    let Some((version, task)) = tree.directory(Controller::Memory, Level::Task) else {
        return Ok(());
    };
    write_soft(tree, limits)?;
    write_hard(version, &task, limits)
}

/// Changes the limits of a running container. The hard limit is only ever raised: lowering it below
/// what is used would kill a task that has done nothing wrong.
pub fn update(tree: &Tree, limits: &MemoryLimits) -> Result<(), CgroupError> {
    let Some((version, task)) = tree.directory(Controller::Memory, Level::Task) else {
        return Ok(());
    };
    write_soft(tree, limits)?;
    let (name, swap) = match version {
        CgroupVersion::V1 => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
        CgroupVersion::V2 => ("memory.max", "memory.swap.max"),
    };
    let now = files::read_number(&task.join(name))?;
    if limits.hard.is_some_and(|wanted| wanted <= now) {
        return Ok(());
    }
    // The combined limit of version 1 is never below the plain one: raised first.
    if version == CgroupVersion::V1 && limits.swap && task.join(swap).exists() {
        write(&task.join(swap), limits.hard, "-1")?;
    }
    write_hard(version, &task, limits)
}

/// The soft limit. Version 2 needs it on the way down as well, since a group is protected at most as
/// much as its parent.
fn write_soft(tree: &Tree, limits: &MemoryLimits) -> Result<(), CgroupError> {
    for level in [Level::Container, Level::Task] {
        match tree.directory(Controller::Memory, level) {
            Some((CgroupVersion::V1, path)) if level == Level::Task => {
                let file = path.join("memory.soft_limit_in_bytes");
                write(&file, Some(limits.soft), "-1")?;
            }
            Some((CgroupVersion::V2, path)) => {
                write(&path.join("memory.low"), Some(limits.soft), "max")?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn write_hard(
    version: CgroupVersion,
    task: &Path,
    limits: &MemoryLimits,
) -> Result<(), CgroupError> {
    match version {
        CgroupVersion::V1 => {
            write(&task.join("memory.limit_in_bytes"), limits.hard, "-1")?;
            // Absent if the kernel does not account for swap; then there is nothing to limit.
            let combined = task.join("memory.memsw.limit_in_bytes");
            if limits.swap && combined.exists() {
                write(&combined, limits.hard, "-1")?;
            }
        }
        CgroupVersion::V2 => {
            write(&task.join("memory.max"), limits.hard, "max")?;
            // There is no combined limit here: no swap is the closest to it.
            let swap = task.join("memory.swap.max");
            if limits.swap && swap.exists() {
                write(&swap, limits.hard.map(|_| 0), "max")?;
            }
            // All of the task dies, not one process of it: the container ends in either case.
            let group = task.join("memory.oom.group");
            if group.exists() {
                files::write_exact(&group, "1")?;
            }
        }
    }
    Ok(())
}

/// What a container's task uses.
pub fn usage(tree: &Tree) -> Result<MemoryUsage, CgroupError> {
    let Some((version, path)) = tree.directory(Controller::Memory, Level::Task) else {
        return Ok(MemoryUsage::default());
    };
    let text = files::read(&path.join("memory.stat"))?;
    let number = |key| files::find_key(&text, key).unwrap_or(0);
    let limited = |limit: u64| (limit < i64::MAX as u64 - (1 << 20)).then_some(limit);
    Ok(match version {
        CgroupVersion::V1 => MemoryUsage {
            total: files::read_number(&path.join("memory.usage_in_bytes"))?,
            anon: number("total_rss"),
            file: number("total_cache"),
            mapped: number("total_mapped_file"),
            swap: number("total_swap"),
            limit: limited(files::read_number(&path.join("memory.limit_in_bytes"))?),
        },
        CgroupVersion::V2 => MemoryUsage {
            total: files::read_number(&path.join("memory.current"))?,
            anon: number("anon"),
            file: number("file"),
            mapped: number("file_mapped"),
            swap: files::read_number(&path.join("memory.swap.current")).unwrap_or(0),
            limit: limited(files::read_number(&path.join("memory.max"))?),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn megabytes_become_bytes_with_a_floor() {
        assert_eq!(bytes(Scalar::whole(64)), 64 << 20);
        assert_eq!(bytes(Scalar::from_thousandths(64_500)), 67_633_152);
        assert_eq!(bytes(Scalar::whole(1)), 32 << 20);
        assert_eq!(bytes(Scalar::from_thousandths(i64::MAX)), u64::MAX);
    }

    #[test]
    fn kernel_may_round_to_pages_but_not_more() {
        assert!(same(Some(33_554_433), "33554432"));
        assert!(!same(Some(33_554_432), "67108864"));
        assert!(!same(Some(67_108_864), "33554432"));
        assert!(same(None, "9223372036854771712"));
        assert!(same(None, "max"));
        assert!(!same(None, "33554432"));
        assert!(!same(Some(1), "max"));
    }
}
