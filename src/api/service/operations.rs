//! Operators' calls that convert an agent's resources, as the master takes them.

use crate::api::error::ApiError;
use crate::base::AgentId;
use crate::master::OperatorCall;
use crate::proto::v1;
use crate::proto::v1::master::{Call, call};
use crate::proto::v1::offer::{Operation, operation};

/// The operation that a call asks for; none for calls of other types.
pub(super) fn operate(kind: call::Type, call: &mut Call) -> Result<Option<OperatorCall>, ApiError> {
    let mut info = Operation::default();
    let agent_id = match kind {
        call::Type::ReserveResources => {
            let part = part(call.reserve_resources.take(), "reserve_resources")?;
            info.set_type(operation::Type::Reserve);
            info.reserve = Some(operation::Reserve {
                source: part.source,
                resources: part.resources,
            });
            part.agent_id
        }
        call::Type::UnreserveResources => {
            let part = part(call.unreserve_resources.take(), "unreserve_resources")?;
            info.set_type(operation::Type::Unreserve);
            info.unreserve = Some(operation::Unreserve {
                resources: part.resources,
            });
            part.agent_id
        }
        call::Type::CreateVolumes => {
            let part = part(call.create_volumes.take(), "create_volumes")?;
            info.set_type(operation::Type::Create);
            info.create = Some(operation::Create {
                volumes: part.volumes,
            });
            part.agent_id
        }
        call::Type::DestroyVolumes => {
            let part = part(call.destroy_volumes.take(), "destroy_volumes")?;
            info.set_type(operation::Type::Destroy);
            info.destroy = Some(operation::Destroy {
                volumes: part.volumes,
            });
            part.agent_id
        }
        call::Type::GrowVolume => {
            let part = part(call.grow_volume.take(), "grow_volume")?;
            info.set_type(operation::Type::GrowVolume);
            info.grow_volume = Some(operation::GrowVolume {
                volume: part.volume,
                addition: part.addition,
            });
            agent(part.agent_id, "grow_volume.agent_id")?
        }
        call::Type::ShrinkVolume => {
            let part = part(call.shrink_volume.take(), "shrink_volume")?;
            info.set_type(operation::Type::ShrinkVolume);
            info.shrink_volume = Some(operation::ShrinkVolume {
                volume: part.volume,
                subtract: part.subtract,
            });
            agent(part.agent_id, "shrink_volume.agent_id")?
        }
        _ => return Ok(None),
    };
    let agent_id = AgentId::try_from(&agent_id)
        .map_err(|error| ApiError::field("agent_id", format!("agent_id: {error}")))?;
    Ok(Some(OperatorCall::Operate {
        agent_id,
        operation: Box::new(info),
    }))
}

/// True for calls that are answered once they are taken, before the agent has done its part (202).
#[must_use]
pub fn is_accepted_only(kind: call::Type) -> bool {
    matches!(
        kind,
        call::Type::ReserveResources
            | call::Type::UnreserveResources
            | call::Type::CreateVolumes
            | call::Type::DestroyVolumes
            | call::Type::GrowVolume
            | call::Type::ShrinkVolume
    )
}

fn part<T>(part: Option<T>, field: &str) -> Result<T, ApiError> {
    part.ok_or_else(|| ApiError::missing(field))
}

/// Without an agent's id, Mesos looks for a resource provider; agents have none here.
fn agent(id: Option<v1::AgentId>, field: &str) -> Result<v1::AgentId, ApiError> {
    id.ok_or_else(|| ApiError::missing(field))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_call_becomes_an_operation() {
        let mut call = Call {
            reserve_resources: Some(call::ReserveResources {
                agent_id: "S1".into(),
                ..call::ReserveResources::default()
            }),
            ..Call::default()
        };
        let kind = call::Type::ReserveResources;
        let parsed = operate(kind, &mut call).unwrap().unwrap();
        assert_eq!(parsed.name(), "RESERVE_RESOURCES");
        assert!(operate(kind, &mut call).is_err(), "the body is gone");
        assert_eq!(operate(call::Type::GetAgents, &mut call).unwrap(), None);
        assert!(is_accepted_only(kind) && !is_accepted_only(call::Type::Teardown));
        let mut grow = Call {
            grow_volume: Some(call::GrowVolume::default()),
            ..Call::default()
        };
        let error = operate(call::Type::GrowVolume, &mut grow).unwrap_err();
        assert!(
            error.to_string().contains("grow_volume.agent_id"),
            "{error}"
        );
    }
}
