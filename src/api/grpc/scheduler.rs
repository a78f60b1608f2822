//! `mesos.v1.scheduler.SchedulerService`.

use futures_util::StreamExt;
use tonic::{Request, Response, Status};

use super::Events;
use crate::api::error::ApiError;
use crate::api::service::scheduler::{STREAM_ID, SchedulerCalls};
use crate::proto::v1::scheduler::scheduler_service_server::SchedulerService;
use crate::proto::v1::scheduler::{Call, CallReply, Event};

/// Translates for schedulers.
#[derive(Debug)]
pub(super) struct Schedulers {
    calls: SchedulerCalls,
}

impl Schedulers {
    pub(super) fn new(calls: SchedulerCalls) -> Self {
        Self { calls }
    }
}

#[tonic::async_trait]
impl SchedulerService for Schedulers {
    type SubscribeStream = Events<Event>;

    async fn subscribe(&self, request: Request<Call>) -> Result<Response<Events<Event>>, Status> {
        let events = self.calls.subscribe(request.into_inner(), None).await?;
        let id = events
            .id
            .as_str()
            .parse()
            .map_err(|_| ApiError::Internal("a stream id is not printable".to_owned()))?;
        let events = events.map(|event| event.map_err(Status::from));
        let mut response = Response::new(Box::pin(events) as Events<Event>);
        response.metadata_mut().insert(STREAM_ID, id);
        Ok(response)
    }

    async fn call(&self, request: Request<Call>) -> Result<Response<CallReply>, Status> {
        let (metadata, _, call) = request.into_parts();
        let stream_id = metadata
            .get(STREAM_ID)
            .map(|value| value.to_str().unwrap_or_default());
        self.calls.call(call, stream_id).await?;
        Ok(Response::new(CallReply::default()))
    }
}
