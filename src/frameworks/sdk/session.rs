//! What driver and handles share: the present subscription, and the tasks that are known to live.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tonic::metadata::Ascii;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

use crate::proto::v1;
use crate::proto::v1::scheduler as wire;
use wire::scheduler_service_client::SchedulerServiceClient;

/// Largest event that is taken, in bytes: the offers of many thousand agents at once.
const EVENT_BYTES_MAX: usize = 256 << 20;

/// The client of one master.
pub(super) type Client = SchedulerServiceClient<Channel>;

/// A client over an open connection.
pub(super) fn client(channel: Channel) -> Client {
    SchedulerServiceClient::new(channel).max_decoding_message_size(EVENT_BYTES_MAX)
}

/// A subscription.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) stream_id: MetadataValue<Ascii>,
}

#[derive(Debug, Default)]
struct State {
    session: Option<Session>,
    framework_id: Option<v1::FrameworkId>,
    /// Tasks that are not terminal as far as is known, with their agents.
    tasks: BTreeMap<String, Option<v1::AgentId>>,
}

/// How far a teardown has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Teardown {
    /// Not asked for, or not granted.
    #[default]
    No,
    /// On its way to the master, which may close the subscription before it answers.
    Asked,
    /// There is no framework any more.
    Done,
}

/// Shared by a driver and its handles.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    teardown: watch::Sender<Teardown>,
}

impl Shared {
    pub(super) fn set_teardown(&self, teardown: Teardown) {
        self.teardown.send_replace(teardown);
    }

    /// True if the framework has been torn down; waits for an answer that is still to come.
    pub(super) async fn is_torn_down(&self, limit: Duration) -> bool {
        let mut teardown = self.teardown.subscribe();
        let known = teardown.wait_for(|teardown| *teardown != Teardown::Asked);
        match tokio::time::timeout(limit, known).await {
            Ok(Ok(teardown)) => *teardown == Teardown::Done,
            Ok(Err(_)) | Err(_) => false,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn session(&self) -> Option<Session> {
        self.state().session.clone()
    }

    pub(super) fn set_session(&self, session: Option<Session>) {
        self.state().session = session;
    }

    pub(super) fn framework_id(&self) -> Option<v1::FrameworkId> {
        self.state().framework_id.clone()
    }

    pub(super) fn set_framework_id(&self, id: Option<v1::FrameworkId>) {
        self.state().framework_id = id;
    }

    /// Remembers the tasks of a launch before it is sent: an answer may never come.
    pub(super) fn launching(&self, operations: &[v1::offer::Operation]) {
        let mut state = self.state();
        for operation in operations {
            let alone = operation.launch.iter().flat_map(|l| &l.task_infos);
            let grouped = operation
                .launch_group
                .iter()
                .flat_map(|l| &l.task_group.tasks);
            for task in alone.chain(grouped) {
                let agent = Some(task.agent_id.clone());
                state.tasks.insert(task.task_id.value.clone(), agent);
            }
        }
    }

    /// Takes note of a status.
    pub(super) fn updated(&self, status: &v1::TaskStatus) {
        let mut state = self.state();
        if status.state().is_terminal() {
            state.tasks.remove(&status.task_id.value);
        } else {
            let known = state.tasks.entry(status.task_id.value.clone()).or_default();
            if status.agent_id.is_some() {
                known.clone_from(&status.agent_id);
            }
        }
    }

    /// What to reconcile: the tasks known to live; none asks for all.
    pub(super) fn reconciliation(&self) -> wire::call::Reconcile {
        wire::call::Reconcile {
            tasks: self
                .state()
                .tasks
                .iter()
                .map(|(id, agent)| wire::call::reconcile::Task {
                    task_id: id.as_str().into(),
                    agent_id: agent.clone(),
                })
                .collect(),
        }
    }
}
