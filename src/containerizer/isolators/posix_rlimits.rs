//! `posix/rlimits`: `ContainerInfo.rlimit_info` as `setrlimit(2)`.

use super::isolator::{Isolator, IsolatorError};
use crate::agent::ContainerConfig;
use crate::containerizer::plan::{LaunchPlan, PlannedRlimit};
use crate::proto::v1;
use crate::proto::v1::r_limit_info::RLimit;
use crate::proto::v1::r_limit_info::r_limit::Type;

/// The isolator.
#[derive(Debug)]
pub(super) struct PosixRlimits;

impl Isolator for PosixRlimits {
    fn name(&self) -> &'static str {
        "posix/rlimits"
    }

    fn prepare(
        &self,
        config: &ContainerConfig,
        plan: &mut LaunchPlan,
    ) -> Result<(), IsolatorError> {
        plan.rlimits = planned_limits(config.container.as_ref())?;
        Ok(())
    }
}

/// What a container asks for.
pub(in crate::containerizer) fn planned_limits(
    container: Option<&v1::ContainerInfo>,
) -> Result<Vec<PlannedRlimit>, IsolatorError> {
    let info = container.and_then(|container| container.rlimit_info.as_ref());
    let limits = info.map_or(&[][..], |info| &info.rlimits);
    limits.iter().map(planned).collect()
}

/// One limit: both values, or neither for "unlimited".
fn planned(limit: &RLimit) -> Result<PlannedRlimit, IsolatorError> {
    let kind = limit.r#type();
    let name = kind.as_str_name().to_owned();
    let Some(resource) = number(kind) else {
        return Err(IsolatorError::Refused(format!(
            "rlimit_info names the limit {name}, which this agent does not know"
        )));
    };
    match (limit.soft, limit.hard) {
        (Some(soft), Some(hard)) if soft > hard => Err(IsolatorError::Refused(format!(
            "the soft limit {soft} of {name} is above its hard limit {hard}"
        ))),
        (Some(_), None) | (None, Some(_)) => Err(IsolatorError::Refused(format!(
            "{name} has only one of soft and hard limit; give both, or neither for unlimited"
        ))),
        (soft, hard) => Ok(PlannedRlimit {
            name,
            resource,
            soft,
            hard,
        }),
    }
}

/// The kernel's number.
fn number(kind: Type) -> Option<u32> {
    Some(match kind {
        Type::Unknown => return None,
        Type::RlmtAs => libc::RLIMIT_AS,
        Type::RlmtCore => libc::RLIMIT_CORE,
        Type::RlmtCpu => libc::RLIMIT_CPU,
        Type::RlmtData => libc::RLIMIT_DATA,
        Type::RlmtFsize => libc::RLIMIT_FSIZE,
        Type::RlmtLocks => libc::RLIMIT_LOCKS,
        Type::RlmtMemlock => libc::RLIMIT_MEMLOCK,
        Type::RlmtMsgqueue => libc::RLIMIT_MSGQUEUE,
        Type::RlmtNice => libc::RLIMIT_NICE,
        Type::RlmtNofile => libc::RLIMIT_NOFILE,
        Type::RlmtNproc => libc::RLIMIT_NPROC,
        Type::RlmtRss => libc::RLIMIT_RSS,
        Type::RlmtRtprio => libc::RLIMIT_RTPRIO,
        Type::RlmtRttime => libc::RLIMIT_RTTIME,
        Type::RlmtSigpending => libc::RLIMIT_SIGPENDING,
        Type::RlmtStack => libc::RLIMIT_STACK,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn limit(kind: Type, soft: Option<u64>, hard: Option<u64>) -> RLimit {
        RLimit {
            r#type: Some(kind.into()),
            soft,
            hard,
        }
    }

    #[test]
    fn limits_are_both_or_neither() {
        let nofile = planned(&limit(Type::RlmtNofile, Some(10), Some(20))).unwrap();
        assert_eq!(nofile.resource, libc::RLIMIT_NOFILE);
        assert_eq!((nofile.soft, nofile.hard), (Some(10), Some(20)));
        assert_eq!(
            planned(&limit(Type::RlmtCore, None, None)).unwrap().hard,
            None
        );
        for wrong in [
            limit(Type::RlmtNofile, Some(10), None),
            limit(Type::RlmtNofile, Some(30), Some(20)),
            limit(Type::Unknown, Some(1), Some(1)),
        ] {
            assert!(planned(&wrong).is_err());
        }
    }
}
