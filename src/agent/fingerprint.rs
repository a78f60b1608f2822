//! Shell: what the host has to give, where `--resources` does not say it.

use std::path::{Path, PathBuf};

use crate::resources::{Ranges, Resource, ResourceName, Resources, Scalar};

/// Memory and disk are counted in these.
const MEGABYTE: u64 = 1 << 20;
/// Megabytes left to the host, when it has at least twice as many.
const MEM_RESERVE: u64 = 1024;
/// Megabytes of the work_dir's file system left to the host, when it has at least twice as many.
const DISK_RESERVE: u64 = 5 * 1024;
/// Ports that are offered when nothing is said.
const PORTS: &str = "[31000-32000]";

/// Why the host cannot be measured.
#[derive(Debug, thiserror::Error)]
#[error("cannot measure {what} of {path}: {source}", path = path.display())]
pub struct FingerprintError {
    what: &'static str,
    path: PathBuf,
    source: nix::Error,
}

/// Adds to what `--resources` names what it leaves out, as Mesos does: cpus = those the process may run
/// on; mem = all but 1 GB (half below 2 GB); disk = the work_dir's file system but 5 GB (half below
/// 10 GB); ports 31000 to 32000.
///
/// # Errors
///
/// [`FingerprintError`] when the file system of `work_dir` cannot be measured.
pub fn complete(given: Resources, work_dir: &Path) -> Result<Resources, FingerprintError> {
    let named = |name: &str| {
        let name = ResourceName::parse(name).expect("predefined names are well formed");
        given.iter().any(|item| *item.name() == name)
    };
    let mut added = Vec::new();
    if !named("cpus") {
        added.push(Resource::cpus(whole(cpus())));
    }
    if !named("mem") {
        added.push(Resource::mem(whole(mem(work_dir)?)));
    }
    if !named("disk") {
        added.push(Resource::disk_space(whole(disk(work_dir)?)));
    }
    if !named("ports") {
        let ports = Ranges::parse(PORTS).expect("a constant that a test reads");
        added.push(Resource::ports(ports));
    }
    let mut all = given;
    for item in added {
        all.add(item);
    }
    Ok(all)
}

fn cpus() -> u64 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u64)
}

fn mem(work_dir: &Path) -> Result<u64, FingerprintError> {
    let info = nix::sys::sysinfo::sysinfo().map_err(|source| FingerprintError {
        what: "the memory",
        path: work_dir.to_owned(),
        source,
    })?;
    Ok(less_reserve(info.ram_total() / MEGABYTE, MEM_RESERVE))
}

fn disk(work_dir: &Path) -> Result<u64, FingerprintError> {
    let stat = nix::sys::statvfs::statvfs(work_dir).map_err(|source| FingerprintError {
        what: "the file system",
        path: work_dir.to_owned(),
        source,
    })?;
    let total = stat.blocks().saturating_mul(stat.fragment_size()) / MEGABYTE;
    Ok(less_reserve(total, DISK_RESERVE))
}

/// All but the reserve, or half of what is less than two reserves.
fn less_reserve(total: u64, reserve: u64) -> u64 {
    if total >= 2 * reserve {
        total - reserve
    } else {
        total / 2
    }
}

fn whole(amount: u64) -> Scalar {
    // 4,294,967,295 megabytes are four petabytes.
    Scalar::whole(u32::try_from(amount).unwrap_or(u32::MAX))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::resources::parse;
    use crate::roles::Role;

    #[test]
    fn half_of_little_and_all_but_the_reserve_of_much() {
        assert_eq!(less_reserve(1000, MEM_RESERVE), 500);
        assert_eq!(less_reserve(2048, MEM_RESERVE), 1024);
        assert_eq!(less_reserve(20 * 1024, DISK_RESERVE), 15 * 1024);
    }

    #[test]
    fn what_is_given_stays() {
        let given = parse("cpus:3;ports:[1-2]", &Role::default()).unwrap();
        let all = complete(given, Path::new("/")).unwrap();
        assert_eq!(all.cpus(), Scalar::whole(3));
        assert_eq!(all.ports().count(), 2);
        assert!(all.mem() > Scalar::whole(0));
        assert!(all.disk() > Scalar::whole(0));
    }

    #[test]
    fn everything_is_detected() {
        let all = complete(Resources::default(), Path::new("/")).unwrap();
        assert!(all.cpus() >= Scalar::whole(1));
        assert_eq!(all.ports().count(), 1001);
    }
}
