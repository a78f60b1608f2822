//! What a tree of processes uses, from `/proc`.

use std::fs;
use std::time::Duration;

use crate::containerizer::cgroups::cpu::ticks;
use crate::containerizer::launcher::posix;

/// Sums over a process and all its descendants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProcessUsage {
    /// Time in user mode, that of ended and reaped children included.
    pub(super) user: Duration,
    /// Time in the kernel, likewise.
    pub(super) system: Duration,
    /// Resident bytes; pages shared by several processes count for each.
    pub(super) resident: u64,
    /// Processes.
    pub(super) processes: u32,
    /// Threads.
    pub(super) threads: u32,
}

impl ProcessUsage {
    /// The sums for `root` and below; processes that end meanwhile are left out.
    pub(super) fn of_tree(root: u32) -> Self {
        let mut sum = Self::default();
        for pid in posix::descendants(root).into_iter().chain([root]) {
            let text = fs::read_to_string(format!("/proc/{pid}/stat"));
            if let Some(one) = text.ok().as_deref().and_then(Self::of_stat) {
                sum.user += one.user;
                sum.system += one.system;
                sum.resident += one.resident;
                sum.processes += one.processes;
                sum.threads += one.threads;
            }
        }
        sum
    }

    /// One line of `/proc/<pid>/stat`; numbers are counted from the field after the name.
    fn of_stat(stat: &str) -> Option<Self> {
        let (_, after_name) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        // Field n of proc(5) is at n - 3 here.
        let number = |n: usize| -> Option<u64> { fields.get(n - 3)?.parse().ok() };
        // SAFETY: plain number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        Some(Self {
            user: ticks(number(14)? + number(16)?),
            system: ticks(number(15)? + number(17)?),
            resident: number(24)? * u64::try_from(page).unwrap_or(4096),
            processes: 1,
            threads: u32::try_from(number(20)?).unwrap_or(u32::MAX),
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn stat_fields_are_counted_behind_a_name_with_spaces_and_parentheses() {
        let line = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 50 25 20 0 3 0 9 1000 7 8";
        let used = ProcessUsage::of_stat(line).unwrap();
        assert_eq!(used.user, ticks(300));
        assert_eq!(used.system, ticks(75));
        assert_eq!(used.threads, 3);
        assert_eq!(used.resident % 7, 0);
    }

    #[test]
    fn own_tree_is_not_empty() {
        let used = ProcessUsage::of_tree(std::process::id());
        assert!(used.processes >= 1 && used.resident > 0, "{used:?}");
    }
}
