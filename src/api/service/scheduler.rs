//! Schedulers' calls: from the wire's message to the master's typed call.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;

use super::stream_ids::{StreamId, StreamIds};
use crate::api::error::ApiError;
use crate::api::events::{EventStream, Queue};
use crate::base::FrameworkId;
use crate::master::driver::Subscription;
use crate::master::{CallError, CallErrorKind, Handle, SchedulerCall};
use crate::proto::v1::scheduler::{Call, Event, call};

/// Metadata and header that name a subscription.
pub const STREAM_ID: &str = "mesos-stream-id";

/// Most offers or operations of one call: what cannot be meant is refused before it costs anything.
const LIST_MAX: usize = 10_000;

/// What serves schedulers; cheap to clone.
#[derive(Clone, Debug)]
pub struct SchedulerCalls {
    master: Handle,
    streams: StreamIds,
}

/// A scheduler's event stream; dropping it tells the master that the scheduler has gone away.
#[derive(Debug)]
pub struct SchedulerEvents {
    /// The stream's name, which further calls must give.
    pub id: StreamId,
    events: EventStream<Subscription>,
}

impl Queue for Subscription {
    type Event = Event;

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        Pin::new(self).poll_next(cx)
    }

    fn overflow(&self) -> Option<usize> {
        Subscription::overflow(self)
    }
}

impl Stream for SchedulerEvents {
    type Item = Result<Event, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.events).poll_next(cx)
    }
}

impl SchedulerCalls {
    /// Serves the schedulers of this master.
    #[must_use]
    pub fn new(master: Handle) -> Self {
        Self {
            master,
            streams: StreamIds::default(),
        }
    }

    /// SUBSCRIBE. What the master refuses comes as an ERROR event, then the stream ends.
    ///
    /// # Errors
    ///
    /// A call of another type, or one without its parts.
    pub async fn subscribe(
        &self,
        call: Call,
        principal: Option<String>,
    ) -> Result<SchedulerEvents, ApiError> {
        let subscribe = subscription(call)?;
        let subscription = self
            .master
            .subscribe_wanting(
                subscribe.framework_info,
                subscribe.suppressed_roles,
                subscribe.offer_constraints,
                principal,
            )
            .await?;
        Ok(SchedulerEvents {
            id: self.streams.name(subscription.connection()),
            events: EventStream::new(subscription),
        })
    }

    /// SUBSCRIBE for a scheduler that has a process, `scheduler(1)@ip:port`, which readers are shown.
    ///
    /// # Errors
    ///
    /// As [`Self::subscribe`].
    pub async fn subscribe_process(
        &self,
        call: Call,
        process: String,
    ) -> Result<SchedulerEvents, ApiError> {
        let events = self.subscribe(call, None).await?;
        if let Some(connection) = self.streams.find(events.id.as_str()) {
            self.master.name_scheduler(connection, process).await?;
        }
        Ok(events)
    }

    /// Whether [`Self::subscribe`] would take the call.
    ///
    /// # Errors
    ///
    /// A call of another type, or one without its parts.
    pub fn check_subscribe(&self, call: &Call) -> Result<(), ApiError> {
        subscription(call.clone()).map(|_| ())
    }

    /// Whether [`Self::call`] would understand the call.
    ///
    /// # Errors
    ///
    /// A call without its parts, or without a type that is served.
    pub fn check(&self, call: &Call) -> Result<(), ApiError> {
        parse(call.clone()).map(|_| ())
    }

    /// Every other call; `stream_id` is the name that the caller gave.
    ///
    /// # Errors
    ///
    /// The call is malformed, its stream is not the framework's, or the master refuses it.
    pub async fn call(&self, call: Call, stream_id: Option<&str>) -> Result<(), ApiError> {
        let (id, call) = parse(call)?;
        let Some(connection) = stream_id.and_then(|name| self.streams.find(name)) else {
            // The master refuses a call without connection; what it says of the framework comes first.
            let refused = self.master.scheduler_call(id, None, call).await;
            return Err(match (refused.map_err(ApiError::from), stream_id) {
                (Err(error @ (ApiError::NotSubscribed(_) | ApiError::Unavailable(_))), _) => error,
                (_, Some(_)) => ApiError::WrongStream(format!(
                    "'{STREAM_ID}' names no open subscription: it was closed or replaced; subscribe again"
                )),
                (_, None) => ApiError::invalid(format!(
                    "'{STREAM_ID}' is missing: send back what Subscribe gave"
                )),
            });
        };
        self.master
            .scheduler_call(id, Some(connection), call)
            .await?;
        Ok(())
    }
}

/// The checked content of a SUBSCRIBE.
fn subscription(call: Call) -> Result<call::Subscribe, ApiError> {
    if kind(&call)? != call::Type::Subscribe {
        let name = call.r#type().as_str_name();
        let message = format!("type: {name} is not for Subscribe; send it with Call");
        return Err(ApiError::field("type", message));
    }
    let mut subscribe = call
        .subscribe
        .ok_or_else(|| ApiError::missing("subscribe"))?;
    // Some clients send an empty id when they have none yet.
    let info = &mut subscribe.framework_info;
    info.id = info.id.take().filter(|id| !id.value.is_empty());
    let inner = info.id.as_ref().map(|id| id.value.as_str());
    let outer = call.framework_id.as_ref().map(|id| id.value.as_str());
    let outer = outer.filter(|id| !id.is_empty());
    if outer != inner {
        return Err(ApiError::field(
            "framework_id",
            format!(
                "framework_id is {}, subscribe.framework_info.id is {}: they must be equal",
                shown(outer),
                shown(inner),
            ),
        ));
    }
    if let Some(id) = inner {
        framework_id(id)?;
    }
    Ok(subscribe)
}

fn shown(id: Option<&str>) -> String {
    id.map_or_else(|| "not set".to_owned(), |id| format!("'{id}'"))
}

fn framework_id(text: &str) -> Result<FrameworkId, ApiError> {
    FrameworkId::parse(text)
        .map_err(|error| ApiError::field("framework_id", format!("framework_id: {error}")))
}

fn kind(call: &Call) -> Result<call::Type, ApiError> {
    let number = call.r#type.ok_or_else(|| ApiError::missing("type"))?;
    match call::Type::try_from(number) {
        Ok(call::Type::Unknown) | Err(_) => Err(ApiError::Unimplemented(format!(
            "type: there is no call with number {number}"
        ))),
        Ok(kind) => Ok(kind),
    }
}

/// The framework and the typed call of a message that is not SUBSCRIBE.
fn parse(call: Call) -> Result<(FrameworkId, SchedulerCall), ApiError> {
    let kind = kind(&call)?;
    let id = call
        .framework_id
        .as_ref()
        .ok_or_else(|| ApiError::missing("framework_id"))?;
    let id = framework_id(&id.value)?;
    let parsed = match kind {
        call::Type::Teardown => SchedulerCall::Teardown,
        call::Type::Accept => {
            let accept = body(call.accept, "accept")?;
            bounded(accept.offer_ids.len(), "accept.offer_ids")?;
            bounded(accept.operations.len(), "accept.operations")?;
            SchedulerCall::Accept(accept)
        }
        call::Type::Decline => {
            let decline = body(call.decline, "decline")?;
            bounded(decline.offer_ids.len(), "decline.offer_ids")?;
            SchedulerCall::Decline(decline)
        }
        call::Type::AcceptInverseOffers => {
            let answer = body(call.accept_inverse_offers, "accept_inverse_offers")?;
            bounded(answer.inverse_offer_ids.len(), "accept_inverse_offers")?;
            SchedulerCall::AcceptInverseOffers(answer)
        }
        call::Type::DeclineInverseOffers => {
            let answer = body(call.decline_inverse_offers, "decline_inverse_offers")?;
            bounded(answer.inverse_offer_ids.len(), "decline_inverse_offers")?;
            SchedulerCall::DeclineInverseOffers(answer)
        }
        call::Type::Revive => SchedulerCall::Revive {
            roles: call.revive.unwrap_or_default().roles,
        },
        call::Type::Suppress => SchedulerCall::Suppress {
            roles: call.suppress.unwrap_or_default().roles,
        },
        call::Type::Kill => SchedulerCall::Kill(body(call.kill, "kill")?),
        call::Type::Shutdown => SchedulerCall::Shutdown(body(call.shutdown, "shutdown")?),
        call::Type::Acknowledge => {
            SchedulerCall::Acknowledge(body(call.acknowledge, "acknowledge")?)
        }
        call::Type::Reconcile => SchedulerCall::Reconcile(body(call.reconcile, "reconcile")?),
        call::Type::Message => SchedulerCall::Message(body(call.message, "message")?),
        call::Type::Request => {
            body(call.request, "request")?;
            SchedulerCall::Request
        }
        call::Type::AcknowledgeOperationStatus => {
            let part = call.acknowledge_operation_status;
            SchedulerCall::AcknowledgeOperation(body(part, "acknowledge_operation_status")?)
        }
        call::Type::ReconcileOperations => {
            let reconcile = body(call.reconcile_operations, "reconcile_operations")?;
            bounded(
                reconcile.operations.len(),
                "reconcile_operations.operations",
            )?;
            SchedulerCall::ReconcileOperations(reconcile)
        }
        call::Type::UpdateFramework => {
            let update = body(call.update_framework, "update_framework")?;
            SchedulerCall::UpdateFramework(Box::new(update))
        }
        call::Type::Subscribe => {
            let message = "type: SUBSCRIBE opens a stream; send it with Subscribe";
            return Err(ApiError::field("type", message));
        }
        call::Type::Unknown => {
            let name = kind.as_str_name();
            return Err(ApiError::Unimplemented(format!(
                "{name} is not served by this version"
            )));
        }
    };
    Ok((id, parsed))
}

fn body<T>(part: Option<T>, field: &str) -> Result<T, ApiError> {
    part.ok_or_else(|| ApiError::missing(field))
}

fn bounded(length: usize, field: &str) -> Result<(), ApiError> {
    if length <= LIST_MAX {
        return Ok(());
    }
    let message = format!("{field}: {length} entries, at most {LIST_MAX} are allowed");
    Err(ApiError::field(field, message))
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        let message = error.message;
        match error.kind {
            CallErrorKind::Invalid => Self::invalid(message),
            CallErrorKind::Forbidden => Self::NotSubscribed(message),
            CallErrorKind::NotFound => Self::NotFound(message),
            CallErrorKind::Conflict => Self::Conflict(message),
            CallErrorKind::Unavailable => Self::Unavailable(message),
            CallErrorKind::Unimplemented => Self::Unimplemented(message),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn of_type(kind: call::Type) -> Call {
        Call {
            framework_id: Some("F".into()),
            r#type: Some(kind.into()),
            ..Call::default()
        }
    }

    #[test]
    fn each_type_needs_its_own_part() {
        for (kind, field) in [
            (call::Type::Accept, "accept"),
            (call::Type::Decline, "decline"),
            (call::Type::AcceptInverseOffers, "accept_inverse_offers"),
            (call::Type::DeclineInverseOffers, "decline_inverse_offers"),
            (call::Type::Kill, "kill"),
            (call::Type::Shutdown, "shutdown"),
            (call::Type::Acknowledge, "acknowledge"),
            (call::Type::Reconcile, "reconcile"),
            (call::Type::Message, "message"),
            (call::Type::Request, "request"),
            (call::Type::UpdateFramework, "update_framework"),
        ] {
            assert_eq!(parse(of_type(kind)).unwrap_err(), ApiError::missing(field));
        }
        for kind in [
            call::Type::Teardown,
            call::Type::Revive,
            call::Type::Suppress,
        ] {
            let (id, call) = parse(of_type(kind)).unwrap();
            assert_eq!((id.as_str(), call.name()), ("F", kind.as_str_name()));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let mut call = of_type(call::Type::Teardown);
        call.framework_id = None;
        assert_eq!(parse(call).unwrap_err(), ApiError::missing("framework_id"));

        let mut call = of_type(call::Type::Teardown);
        call.framework_id = Some("../F".into());
        let error = parse(call).unwrap_err().to_string();
        assert!(error.starts_with("framework_id: "), "{error}");

        let mut call = of_type(call::Type::Teardown);
        call.r#type = Some(99);
        let error = parse(call).unwrap_err();
        assert_eq!(error.to_string(), "type: there is no call with number 99");

        let mut call = of_type(call::Type::Decline);
        call.decline = Some(call::Decline {
            offer_ids: vec!["O".into(); LIST_MAX + 1],
            filters: None,
        });
        let error = parse(call).unwrap_err().to_string();
        assert_eq!(
            error,
            "decline.offer_ids: 10001 entries, at most 10000 are allowed"
        );
    }
}
