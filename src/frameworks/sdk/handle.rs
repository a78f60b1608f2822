//! What a framework can ask of the master.

use std::sync::Arc;
use std::time::Duration;

use super::error::SdkError;
use super::session::{Shared, Teardown};
use crate::proto::v1;
use crate::proto::v1::scheduler as wire;
use wire::call::Type;

/// Request and response metadata that names a subscription.
pub(super) const STREAM_ID: &str = "mesos-stream-id";

/// Makes the calls of a framework; cheap to clone. A call that returns `Ok` has reached the master,
/// what comes of it arrives as events.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    timeout: Duration,
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>, timeout: Duration) -> Self {
        Self { shared, timeout }
    }

    /// The framework's id; `None` before the first subscription.
    #[must_use]
    pub fn framework_id(&self) -> Option<v1::FrameworkId> {
        self.shared.framework_id()
    }

    /// Sends a call of any type; its framework id is filled in.
    pub async fn call(&self, mut call: wire::Call) -> Result<wire::CallReply, SdkError> {
        let mut session = self.shared.session().ok_or(SdkError::NotSubscribed)?;
        call.framework_id = self.shared.framework_id();
        let mut request = tonic::Request::new(call);
        request.set_timeout(self.timeout);
        request.metadata_mut().insert(STREAM_ID, session.stream_id);
        Ok(session.client.call(request).await?.into_inner())
    }

    async fn send(&self, kind: Type, call: wire::Call) -> Result<(), SdkError> {
        let call = wire::Call {
            r#type: Some(kind.into()),
            ..call
        };
        self.call(call).await.map(|_| ())
    }

    /// Uses offers of one agent: operations in order; what is left is declined for
    /// `filters.refuse_seconds` (5 if unset).
    pub async fn accept(
        &self,
        offer_ids: Vec<v1::OfferId>,
        operations: Vec<v1::offer::Operation>,
        filters: Option<v1::Filters>,
    ) -> Result<(), SdkError> {
        self.shared.launching(&operations);
        let accept = Some(wire::call::Accept {
            offer_ids,
            operations,
            filters,
        });
        let call = wire::Call {
            accept,
            ..Default::default()
        };
        self.send(Type::Accept, call).await
    }

    /// Accepts offers to launch tasks.
    pub async fn launch(
        &self,
        offer_ids: Vec<v1::OfferId>,
        task_infos: Vec<v1::TaskInfo>,
        filters: Option<v1::Filters>,
    ) -> Result<(), SdkError> {
        let operation = v1::offer::Operation {
            r#type: Some(v1::offer::operation::Type::Launch.into()),
            launch: Some(v1::offer::operation::Launch { task_infos }),
            ..Default::default()
        };
        self.accept(offer_ids, vec![operation], filters).await
    }

    /// Gives offers back.
    pub async fn decline(
        &self,
        offer_ids: Vec<v1::OfferId>,
        filters: Option<v1::Filters>,
    ) -> Result<(), SdkError> {
        let decline = Some(wire::call::Decline { offer_ids, filters });
        let call = wire::Call {
            decline,
            ..Default::default()
        };
        self.send(Type::Decline, call).await
    }

    /// Forgets all filters of the roles (all roles if empty) and wants offers again.
    pub async fn revive(&self, roles: Vec<String>) -> Result<(), SdkError> {
        let call = wire::Call {
            revive: Some(wire::call::Revive { roles }),
            ..Default::default()
        };
        self.send(Type::Revive, call).await
    }

    /// Wants no offers for the roles (all roles if empty).
    pub async fn suppress(&self, roles: Vec<String>) -> Result<(), SdkError> {
        let call = wire::Call {
            suppress: Some(wire::call::Suppress { roles }),
            ..Default::default()
        };
        self.send(Type::Suppress, call).await
    }

    /// Kills a task; with a policy that replaces the task's own.
    pub async fn kill(
        &self,
        task_id: v1::TaskId,
        agent_id: Option<v1::AgentId>,
        kill_policy: Option<v1::KillPolicy>,
    ) -> Result<(), SdkError> {
        let kill = Some(wire::call::Kill {
            task_id,
            agent_id,
            kill_policy,
        });
        let call = wire::Call {
            kill,
            ..Default::default()
        };
        self.send(Type::Kill, call).await
    }

    /// Ends an executor of the framework.
    pub async fn shutdown(
        &self,
        executor_id: v1::ExecutorId,
        agent_id: v1::AgentId,
    ) -> Result<(), SdkError> {
        let shutdown = Some(wire::call::Shutdown {
            executor_id,
            agent_id,
        });
        let call = wire::Call {
            shutdown,
            ..Default::default()
        };
        self.send(Type::Shutdown, call).await
    }

    /// Acknowledges a status update. Those without a uuid are the master's own and need none.
    pub async fn acknowledge(&self, status: &v1::TaskStatus) -> Result<(), SdkError> {
        let (Some(uuid), Some(agent_id)) = (&status.uuid, &status.agent_id) else {
            return Ok(());
        };
        let acknowledge = Some(wire::call::Acknowledge {
            agent_id: agent_id.clone(),
            task_id: status.task_id.clone(),
            uuid: uuid.clone(),
        });
        let call = wire::Call {
            acknowledge,
            ..Default::default()
        };
        self.send(Type::Acknowledge, call).await
    }

    /// Asks for the state of tasks; an empty list asks for all tasks of the framework.
    pub async fn reconcile(&self, tasks: Vec<wire::call::reconcile::Task>) -> Result<(), SdkError> {
        let call = wire::Call {
            reconcile: Some(wire::call::Reconcile { tasks }),
            ..Default::default()
        };
        self.send(Type::Reconcile, call).await
    }

    /// Sends bytes to an executor, at most once.
    pub async fn message(
        &self,
        agent_id: v1::AgentId,
        executor_id: v1::ExecutorId,
        data: Vec<u8>,
    ) -> Result<(), SdkError> {
        let message = Some(wire::call::Message {
            agent_id,
            executor_id,
            data,
        });
        let call = wire::Call {
            message,
            ..Default::default()
        };
        self.send(Type::Message, call).await
    }

    /// Ends the framework: its tasks are killed, its id is never valid again.
    pub async fn teardown(&self) -> Result<(), SdkError> {
        self.shared.set_teardown(Teardown::Asked);
        let result = self.send(Type::Teardown, wire::Call::default()).await;
        self.shared.set_teardown(match result {
            Ok(()) => Teardown::Done,
            Err(_) => Teardown::No,
        });
        result
    }
}
