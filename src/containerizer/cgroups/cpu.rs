//! The cpu controller: shares (a weight among neighbours) always, a quota when asked.

use std::time::Duration;

use super::files::{self, CgroupError};
use super::mounts::Controller;
use super::tree::{Level, Tree};
use crate::containerizer::plan::CgroupVersion;
use crate::resources::Scalar;

/// Shares of one whole cpu in version 1.
const SHARES_PER_CPU: u64 = 1024;
/// What the kernel accepts in version 1.
const SHARES: (u64, u64) = (2, 262_144);
/// Weight of one whole cpu in version 2.
const WEIGHT_PER_CPU: u64 = 100;
/// What the kernel accepts in version 2.
const WEIGHT: (u64, u64) = (1, 10_000);
/// Length of a quota period in microseconds.
const PERIOD_MICROS: u64 = 100_000;
/// Smallest quota in microseconds.
const QUOTA_MICROS_MIN: u64 = 1_000;

/// Time used and throttling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuUsage {
    /// Time in user mode.
    pub user: Duration,
    /// Time in the kernel.
    pub system: Duration,
    /// Quota periods passed, throttled ones among them, and time throttled; zero without a quota.
    pub throttling: (u64, u64, Duration),
}

fn thousandths(cpus: Scalar) -> u64 {
    cpus.thousandths().unsigned_abs()
}

/// Version 1 shares of so many cpus.
#[must_use]
pub fn shares(cpus: Scalar) -> u64 {
    (thousandths(cpus).saturating_mul(SHARES_PER_CPU) / 1000).clamp(SHARES.0, SHARES.1)
}

/// Version 2 weight of so many cpus.
#[must_use]
pub fn weight(cpus: Scalar) -> u64 {
    (thousandths(cpus).saturating_mul(WEIGHT_PER_CPU) / 1000).clamp(WEIGHT.0, WEIGHT.1)
}

/// Microseconds of quota in each period.
#[must_use]
pub fn quota_micros(cpus: Scalar) -> u64 {
    (thousandths(cpus).saturating_mul(PERIOD_MICROS) / 1000).max(QUOTA_MICROS_MIN)
}

/// Sets the weight of a container, and its quota; `None` takes a quota away.
pub fn limit(tree: &Tree, cpus: Scalar, quota: Option<Scalar>) -> Result<(), CgroupError> {
    let Some((version, path)) = tree.directory(Controller::Cpu, Level::Container) else {
        return Ok(());
    };
    match version {
        CgroupVersion::V1 => {
            files::write_exact(&path.join("cpu.shares"), &shares(cpus).to_string())?;
            let file = path.join("cpu.cfs_quota_us");
            if let Some(quota) = quota {
                let period = PERIOD_MICROS.to_string();
                files::write_exact(&path.join("cpu.cfs_period_us"), &period)?;
                files::write_exact(&file, &quota_micros(quota).to_string())?;
            } else if file.exists() && files::read(&file)? != "-1" {
                files::write_exact(&file, "-1")?;
            }
        }
        CgroupVersion::V2 => {
            files::write_exact(&path.join("cpu.weight"), &weight(cpus).to_string())?;
            let quota = quota.map_or_else(|| "max".to_owned(), |q| quota_micros(q).to_string());
            let value = format!("{quota} {PERIOD_MICROS}");
            files::write_exact(&path.join("cpu.max"), &value)?;
        }
    }
    Ok(())
}

/// What a container has used, supervisor included.
pub fn usage(tree: &Tree) -> Result<CpuUsage, CgroupError> {
    let mut used = CpuUsage::default();
    match tree.directory(Controller::Cpuacct, Level::Container) {
        Some((CgroupVersion::V1, path)) => {
            let text = files::read(&path.join("cpuacct.stat"))?;
            let ticks = |key| ticks(files::find_key(&text, key).unwrap_or(0));
            (used.user, used.system) = (ticks("user"), ticks("system"));
        }
        Some((CgroupVersion::V2, path)) => {
            let text = files::read(&path.join("cpu.stat"))?;
            let micros = |key| Duration::from_micros(files::find_key(&text, key).unwrap_or(0));
            (used.user, used.system) = (micros("user_usec"), micros("system_usec"));
        }
        None => {}
    }
    if let Some((version, path)) = tree.directory(Controller::Cpu, Level::Container) {
        let text = files::read(&path.join("cpu.stat"))?;
        let number = |key| files::find_key(&text, key).unwrap_or(0);
        let throttled = match version {
            CgroupVersion::V1 => Duration::from_nanos(number("throttled_time")),
            CgroupVersion::V2 => Duration::from_micros(number("throttled_usec")),
        };
        used.throttling = (number("nr_periods"), number("nr_throttled"), throttled);
    }
    Ok(used)
}

/// Clock ticks of `/proc` and cpuacct.
pub(in crate::containerizer) fn ticks(count: u64) -> Duration {
    // SAFETY: plain number.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let per_second = u64::try_from(per_second).unwrap_or(100).max(1);
    Duration::from_millis(count.saturating_mul(1000) / per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_weight_and_quota_of_cpus() {
        let table = [
            (0, 2, 1, 1_000),
            (1, 2, 1, 1_000),
            (100, 102, 10, 10_000),
            (1_000, 1_024, 100, 100_000),
            (1_500, 1_536, 150, 150_000),
            (1_000_000, 262_144, 10_000, 100_000_000),
        ];
        for (cpus, want_shares, want_weight, want_quota) in table {
            let cpus = Scalar::from_thousandths(cpus);
            assert_eq!(shares(cpus), want_shares, "{cpus:?}");
            assert_eq!(weight(cpus), want_weight, "{cpus:?}");
            assert_eq!(quota_micros(cpus), want_quota, "{cpus:?}");
        }
    }
}
