//! Checks of limits above requests (`TaskInfo.limits`).

use std::collections::BTreeMap;

use crate::proto::v1::value::Scalar as ScalarMessage;
use crate::resources::{ResourceName, Resources};

use super::{Invalid, Reason};

/// Checks limits: only cpus and mem, only of what is requested, not below it; infinity is fine.
pub(super) fn check(
    limits: &BTreeMap<String, ScalarMessage>,
    requests: &Resources,
    agent_takes_limits: bool,
) -> Result<(), Invalid> {
    for (name, limit) in limits {
        let field = format!("limits[{name}]");
        if !agent_takes_limits {
            return Err(Invalid::new(
                field,
                Reason::Limit("the agent cannot hold limits above requests"),
            ));
        }
        let name = match name.as_str() {
            "cpus" => ResourceName::CPUS,
            "mem" => ResourceName::MEM,
            _ => {
                return Err(Invalid::new(
                    field,
                    Reason::Limit("only cpus and mem can have a limit"),
                ));
            }
        };
        let request = requests.scalar(&name);
        if request.is_zero() {
            return Err(Invalid::new(
                field,
                Reason::Limit("a limit needs a request of the same resource"),
            ));
        }
        let limit = limit.value;
        if limit.is_nan() || limit < request.as_f64() {
            return Err(Invalid::new(
                field,
                Reason::LimitBelowRequest {
                    limit: limit.to_string(),
                    request: request.to_string(),
                },
            ));
        }
    }
    Ok(())
}
