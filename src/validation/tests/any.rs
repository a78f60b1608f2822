//! Whatever decodes is answered: changed bytes of good messages.

use proptest::prelude::*;
use prost::Message;

use super::super::{agent, framework, task, task_group};
use super::*;

/// Changes of single bytes: where, and to what.
fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
}

fn change<M: Message + Default>(message: &M, changes: &[(prop::sample::Index, u8)]) -> Option<M> {
    let mut bytes = message.encode_to_vec();
    for (at, byte) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
    M::decode(bytes.as_slice()).ok()
}

fn rich_task() -> v1::TaskInfo {
    let mut rich = sleeper("t");
    rich.container = Some(v1::ContainerInfo {
        r#type: 2,
        linux_info: Some(v1::LinuxInfo {
            shm_size: Some(64),
            ipc_mode: Some(1),
            ..Default::default()
        }),
        volumes: vec![v1::Volume {
            container_path: "/data".to_owned(),
            host_path: Some("/srv".to_owned()),
            mode: 1,
            ..Default::default()
        }],
        ..Default::default()
    });
    rich.health_check = Some(v1::HealthCheck {
        r#type: Some(1),
        command: Some(shell("true")),
        interval_seconds: Some(1.0),
        ..Default::default()
    });
    let limit = v1::value::Scalar { value: 2.0 };
    rich.limits.insert("cpus".to_owned(), limit);
    rich
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn tasks(edits in changes()) {
        if let Some(changed) = change(&rich_task(), &edits) {
            let world = World::default();
            let answer = with_context(&world, |context| task::check(&changed, context, &offered()));
            if let Ok(valid) = answer {
                prop_assert!(offered().contains(&valid.consumed));
                prop_assert!(!valid.consumed.is_empty());
            }
        }
    }

    #[test]
    fn groups(edits in changes()) {
        let mut own = executor("e");
        own.set_type(v1::executor_info::Type::Custom);
        let group = v1::TaskGroupInfo { tasks: vec![sleeper("a"), sleeper("b")] };
        if let (Some(own), Some(group)) = (change(&own, &edits), change(&group, &edits)) {
            let world = World::default();
            let answer = with_context(&world, |context| {
                task_group::check(&own, &group, context, &offered())
            });
            if let Ok(valid) = answer {
                prop_assert!(offered().contains(&valid.consumed));
            }
        }
    }

    #[test]
    fn frameworks_and_agents(edits in changes()) {
        let info = v1::FrameworkInfo {
            user: "alice".to_owned(),
            name: "name".to_owned(),
            failover_timeout: Some(10.0),
            id: Some("f".into()),
            ..Default::default()
        };
        if let Some(info) = change(&info, &edits) {
            let _ = framework::check(&info, &[], None);
        }
        let info = v1::AgentInfo {
            hostname: "host".to_owned(),
            resources: messages("cpus:4;disk(web):10;ports:[1-9];set:{a,b}"),
            ..Default::default()
        };
        if let Some(info) = change(&info, &edits) && let Ok(valid) = agent::check(&info, &[]) {
            let again = valid.total.to_proto(ReservationForm::Stack);
            prop_assert_eq!(Resources::from_proto(&again), Ok(valid.total));
        }
    }
}
