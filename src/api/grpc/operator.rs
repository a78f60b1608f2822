//! `mesos.v1.master.OperatorService`.

use std::sync::Arc;

use futures_util::StreamExt;
use tonic::{Request, Response, Status};

use super::Events;
use crate::api::service::operator::OperatorCalls;
use crate::proto::v1::master::operator_service_server::OperatorService;
use crate::proto::v1::master::{
    self, Call, Event, Handover, HandoverReply, KillTask, KillTaskReply,
};

/// Translates for operators.
#[derive(Debug)]
pub(super) struct Operators {
    calls: OperatorCalls,
}

impl Operators {
    pub(super) fn new(calls: OperatorCalls) -> Self {
        Self { calls }
    }
}

#[tonic::async_trait]
impl OperatorService for Operators {
    type SubscribeStream = Events<Event>;

    async fn subscribe(&self, request: Request<Call>) -> Result<Response<Events<Event>>, Status> {
        let events = self.calls.subscribe(request.get_ref()).await?;
        let events = events.map(|event| Ok(Arc::unwrap_or_clone(event?)));
        Ok(Response::new(Box::pin(events)))
    }

    async fn call(&self, request: Request<Call>) -> Result<Response<master::Response>, Status> {
        let answer = self.calls.call(request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn kill_task(
        &self,
        request: Request<KillTask>,
    ) -> Result<Response<KillTaskReply>, Status> {
        self.calls.kill_task(request.into_inner()).await?;
        Ok(Response::new(KillTaskReply {}))
    }

    async fn handover(
        &self,
        _request: Request<Handover>,
    ) -> Result<Response<HandoverReply>, Status> {
        self.calls.handover()?;
        Ok(Response::new(HandoverReply {}))
    }
}
