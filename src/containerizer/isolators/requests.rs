//! What a container was promised (requests) and what it may not pass (limits), as numbers.

use std::collections::BTreeMap;

use crate::containerizer::cgroups::memory;
use crate::resources::{Resources, Scalar};

/// Requests and limits of one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests {
    /// Cpus promised.
    pub cpus: Scalar,
    /// Cpus that the task named as its limit; `Some(None)` is "infinity".
    pub cpus_limit: Option<Option<Scalar>>,
    /// Bytes of memory promised, at least 32 MB.
    pub memory: u64,
    /// Bytes of memory that may be used; `None` is unlimited.
    pub memory_limit: Option<u64>,
}

impl Requests {
    /// The numbers of a container's resources and limits. A limit below the request is the request.
    #[must_use]
    pub fn new(resources: &Resources, limits: &BTreeMap<String, f64>) -> Self {
        let limit = |name: &str| {
            let value = limits.get(name)?;
            // Infinity, and what is too large to mean anything, is no limit.
            Some(Scalar::from_f64(*value).ok())
        };
        let cpus = resources.cpus();
        let memory = memory::bytes(resources.mem());
        Self {
            cpus,
            cpus_limit: limit("cpus").map(|cpus_limit| cpus_limit.map(|most| most.max(cpus))),
            memory,
            memory_limit: match limit("mem") {
                None => Some(memory),
                Some(None) => None,
                Some(Some(most)) => Some(memory::bytes(most).max(memory)),
            },
        }
    }

    /// The cpu quota: a limit always counts, the request does when quotas are on.
    #[must_use]
    pub fn quota(&self, cfs: bool) -> Option<Scalar> {
        match self.cpus_limit {
            Some(limit) => limit,
            None => cfs.then_some(self.cpus),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn requests(limits: &[(&str, f64)]) -> Requests {
        let resources =
            crate::resources::parse("cpus:0.5;mem:64", &crate::roles::Role::default()).unwrap();
        let limits = limits.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
        Requests::new(&resources, &limits)
    }

    #[test]
    fn limits_are_the_requests_unless_named() {
        let plain = requests(&[]);
        assert_eq!(plain.memory_limit, Some(64 << 20));
        assert_eq!(plain.quota(false), None);
        assert_eq!(plain.quota(true), Some(Scalar::from_thousandths(500)));
        let named = requests(&[("cpus", 2.0), ("mem", 128.0)]);
        assert_eq!(named.memory, 64 << 20);
        assert_eq!(named.memory_limit, Some(128 << 20));
        assert_eq!(named.quota(false), Some(Scalar::whole(2)));
        let unlimited = requests(&[("cpus", f64::INFINITY), ("mem", f64::INFINITY)]);
        assert_eq!(unlimited.memory_limit, None);
        assert_eq!(unlimited.quota(true), None);
        assert_eq!(requests(&[("mem", 1.0)]).memory_limit, Some(64 << 20));
    }
}
