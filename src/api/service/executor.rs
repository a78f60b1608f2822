//! Executors' calls, towards the agent.

use tokio::sync::mpsc;

use crate::agent::{CallRefused, Handle, ParsedCall, Snapshot};
use crate::api::error::ApiError;
use crate::api::events::EventStream;
use crate::proto::v1::executor::{Call, Event};

/// What serves executors; cheap to clone.
#[derive(Clone, Debug)]
pub struct ExecutorCalls {
    agent: Handle,
}

/// An executor's event stream; dropping it tells the agent that the executor has gone away.
pub type ExecutorEvents = EventStream<mpsc::Receiver<Event>>;

impl ExecutorCalls {
    /// Serves the executors of this agent.
    #[must_use]
    pub fn new(agent: Handle) -> Self {
        Self { agent }
    }

    /// SUBSCRIBE.
    ///
    /// # Errors
    ///
    /// A call of another type, or one that breaks a rule of the executor API.
    pub async fn subscribe(&self, call: Call) -> Result<ExecutorEvents, ApiError> {
        let name = call.r#type().as_str_name();
        let ParsedCall::Subscribe(subscription) = ParsedCall::from_wire(call)? else {
            let message = format!("type: {name} is not for Subscribe; send it with Call");
            return Err(ApiError::field("type", message));
        };
        let (_, events) = self.agent.subscribe_executor(*subscription, None).await?;
        Ok(EventStream::new(events))
    }

    /// Whether a call keeps the rules of the executor API.
    ///
    /// # Errors
    ///
    /// The rule that it breaks.
    pub fn check(&self, call: &Call) -> Result<(), ApiError> {
        ParsedCall::from_wire(call.clone())?;
        Ok(())
    }

    /// Whether the agent has recovered, and has the executor that calls.
    ///
    /// # Errors
    ///
    /// It has not.
    pub async fn check_known(&self, call: &Call) -> Result<(), ApiError> {
        let snapshot = self.agent.snapshot().await?;
        recovered(&snapshot)?;
        let (framework, executor) = (&call.framework_id.value, &call.executor_id.value);
        let known = snapshot
            .executors()
            .any(|one| one.framework_id.as_str() == framework && one.id.as_str() == executor);
        if known {
            return Ok(());
        }
        Err(ApiError::invalid(format!(
            "executor '{executor}' of framework '{framework}' is not known here"
        )))
    }

    /// Every other call.
    ///
    /// # Errors
    ///
    /// The call breaks a rule of the executor API, or the executor is not known or not subscribed.
    pub async fn call(&self, call: Call) -> Result<(), ApiError> {
        let ParsedCall::Call {
            framework_id,
            executor_id,
            call,
        } = ParsedCall::from_wire(call)?
        else {
            let message = "type: SUBSCRIBE opens a stream; send it with Subscribe";
            return Err(ApiError::field("type", message));
        };
        self.agent
            .executor_call(framework_id, executor_id, None, *call)
            .await?;
        Ok(())
    }
}

/// Whether an agent knows what has become of the containers of its earlier life.
///
/// # Errors
///
/// [`ApiError::Unavailable`] until it does.
pub(super) fn recovered(snapshot: &Snapshot) -> Result<(), ApiError> {
    if snapshot.recovered_at.is_some() {
        return Ok(());
    }
    let message = "the agent has not finished its recovery; ask again in a moment";
    Err(ApiError::Unavailable(message.to_owned()))
}

impl From<CallRefused> for ApiError {
    fn from(refused: CallRefused) -> Self {
        match refused {
            CallRefused::Invalid(message) => Self::invalid(message),
            CallRefused::NotSubscribed(message) => Self::NotSubscribed(message),
            CallRefused::Unavailable(message) => Self::Unavailable(message),
        }
    }
}
