//! `mesos.v1.executor.ExecutorService`.

use futures_util::StreamExt;
use tonic::{Request, Response, Status};

use super::Events;
use crate::api::service::executor::ExecutorCalls;
use crate::proto::v1::executor::executor_service_server::ExecutorService;
use crate::proto::v1::executor::{Call, CallReply, Event};

/// Translates for executors.
#[derive(Debug)]
pub(super) struct Executors {
    calls: ExecutorCalls,
}

impl Executors {
    pub(super) fn new(calls: ExecutorCalls) -> Self {
        Self { calls }
    }
}

#[tonic::async_trait]
impl ExecutorService for Executors {
    type SubscribeStream = Events<Event>;

    async fn subscribe(&self, request: Request<Call>) -> Result<Response<Events<Event>>, Status> {
        let events = self.calls.subscribe(request.into_inner()).await?;
        let events = events.map(|event| event.map_err(Status::from));
        Ok(Response::new(Box::pin(events)))
    }

    async fn call(&self, request: Request<Call>) -> Result<Response<CallReply>, Status> {
        self.calls.call(request.into_inner()).await?;
        Ok(Response::new(CallReply {}))
    }
}
