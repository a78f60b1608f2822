//! Tasks as GET_STATE and GET_TASKS carry them, written from the master's own records: there may be
//! hundreds of thousands, and a message made of each first costs more than its text.

use prost::encoding::{btree_map, bytes, int32, message, string};

use crate::master::task::Task;
use crate::proto::json::Json as _;
use crate::proto::json::writer::Writer;

/// What `task.to_proto().write(w)` would write.
pub(super) fn write(w: &mut Writer, task: &Task) {
    let of = &*task.description;
    w.open();
    w.key("\"name\":");
    w.string(&of.name);
    w.key("\"task_id\":");
    of.task_id.write(w);
    w.key("\"framework_id\":");
    of.framework_id.write(w);
    if let Some(id) = &of.executor_id {
        w.key("\"executor_id\":");
        id.write(w);
    }
    w.key("\"agent_id\":");
    of.agent_id.write(w);
    w.key("\"state\":");
    w.string(task.state.as_str_name());
    if !of.resources.is_empty() {
        w.key("\"resources\":");
        w.open_list();
        for one in &of.resources {
            w.item();
            one.write(w);
        }
        w.close_list();
    }
    if !task.statuses.is_empty() {
        w.key("\"statuses\":");
        w.open_list();
        for one in &task.statuses {
            w.item();
            one.write(w);
        }
        w.close_list();
    }
    if let Some(forwarded) = &task.forwarded {
        w.key("\"status_update_state\":");
        w.string(forwarded.state.as_str_name());
        if let Some(uuid) = &forwarded.uuid {
            w.key("\"status_update_uuid\":");
            w.bytes(&uuid.0);
        }
    }
    write_rest(w, task);
    w.close();
}

/// The members that few tasks have.
fn write_rest(w: &mut Writer, task: &Task) {
    let of = &*task.description;
    if let Some(labels) = &of.labels {
        w.key("\"labels\":");
        labels.write(w);
    }
    if let Some(discovery) = &of.discovery {
        w.key("\"discovery\":");
        discovery.write(w);
    }
    if let Some(container) = &of.container {
        w.key("\"container\":");
        container.write(w);
    }
    if let Some(user) = &of.user {
        w.key("\"user\":");
        w.string(user);
    }
    if let Some(check) = &of.health_check {
        w.key("\"health_check\":");
        check.write(w);
    }
    if let Some(policy) = &of.kill_policy {
        w.key("\"kill_policy\":");
        policy.write(w);
    }
    if !of.limits.is_empty() {
        w.key("\"limits\":");
        w.open();
        for (name, limit) in &of.limits {
            w.name(name);
            limit.write(w);
        }
        w.close();
    }
}

/// What `task.to_proto().encode_raw(out)` would append.
pub(super) fn encode(task: &Task, out: &mut Vec<u8>) {
    let of = &*task.description;
    string::encode(1, &of.name, out);
    message::encode(2, &of.task_id, out);
    message::encode(3, &of.framework_id, out);
    if let Some(id) = &of.executor_id {
        message::encode(4, id, out);
    }
    message::encode(5, &of.agent_id, out);
    int32::encode(6, &i32::from(task.state), out);
    message::encode_repeated(7, &of.resources, out);
    for one in &task.statuses {
        message::encode(8, one.as_ref(), out);
    }
    if let Some(forwarded) = &task.forwarded {
        int32::encode(9, &i32::from(forwarded.state), out);
        if let Some(uuid) = &forwarded.uuid {
            bytes::encode(10, &uuid.0.to_vec(), out);
        }
    }
    if let Some(labels) = &of.labels {
        message::encode(11, labels, out);
    }
    if let Some(discovery) = &of.discovery {
        message::encode(12, discovery, out);
    }
    if let Some(container) = &of.container {
        message::encode(13, container, out);
    }
    if let Some(user) = &of.user {
        string::encode(14, user, out);
    }
    if let Some(check) = &of.health_check {
        message::encode(15, check, out);
    }
    if let Some(policy) = &of.kill_policy {
        message::encode(16, policy, out);
    }
    btree_map::encode(
        string::encode,
        string::encoded_len,
        message::encode,
        message::encoded_len,
        17,
        &of.limits,
        out,
    );
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prost::Message as _;

    use super::*;
    use crate::base::{AgentId, FrameworkId, TaskId, Uuid};
    use crate::master::task::Forwarded;
    use crate::proto::v1::{self, TaskState};
    use crate::resources::Resources;

    /// A task with everything, one with nothing.
    fn tasks() -> [Task; 2] {
        let bare = v1::Task {
            name: "n".to_owned(),
            task_id: "t".into(),
            framework_id: "f".into(),
            agent_id: "a".into(),
            state: TaskState::TaskLost.into(),
            ..v1::Task::default()
        };
        let resource = v1::Resource {
            name: "cpus".to_owned(),
            r#type: v1::value::Type::Scalar.into(),
            scalar: Some(v1::value::Scalar { value: 0.1 }),
            ..v1::Resource::default()
        };
        let full = v1::Task {
            executor_id: Some("e".into()),
            resources: vec![resource],
            labels: Some(v1::Labels::default()),
            discovery: Some(v1::DiscoveryInfo {
                name: Some("d".to_owned()),
                ..v1::DiscoveryInfo::default()
            }),
            container: Some(v1::ContainerInfo {
                hostname: Some("h".to_owned()),
                ..v1::ContainerInfo::default()
            }),
            user: Some("u".to_owned()),
            health_check: Some(v1::HealthCheck::default()),
            kill_policy: Some(v1::KillPolicy::default()),
            limits: [("mem".to_owned(), v1::value::Scalar { value: 2.5 })].into(),
            ..bare.clone()
        };
        let record = |of: v1::Task, states: &[TaskState], forwarded| Task {
            id: TaskId::new("t"),
            framework_id: FrameworkId::new("f"),
            agent_id: AgentId::new("a"),
            executor_id: None,
            description: Arc::new(of),
            resources: Resources::new(),
            state: TaskState::TaskRunning,
            statuses: states
                .iter()
                .map(|state| {
                    Arc::new(v1::TaskStatus {
                        task_id: "t".into(),
                        state: (*state).into(),
                        ..v1::TaskStatus::default()
                    })
                })
                .collect(),
            forwarded,
        };
        let forwarded = Forwarded {
            state: TaskState::TaskStarting,
            uuid: Uuid::from_slice(&[7; 16]),
        };
        let states = [TaskState::TaskStarting, TaskState::TaskRunning];
        [
            record(bare, &[], None),
            record(full, &states, Some(forwarded)),
        ]
    }

    #[test]
    fn records_are_written_as_their_messages_are() {
        for task in tasks() {
            let whole = task.to_proto();
            let (mut ours, mut theirs) = (Writer::default(), Writer::default());
            write(&mut ours, &task);
            whole.write(&mut theirs);
            let [ours, theirs] =
                [ours, theirs].map(|w| String::from_utf8_lossy(&w.finish()).into_owned());
            assert_eq!(ours, theirs);
            let mut ours = Vec::new();
            encode(&task, &mut ours);
            assert_eq!(ours, whole.encode_to_vec());
        }
    }
}
