//! `mesos.v1.agent.AgentService`.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::Events;
use crate::api::error::ApiError;
use crate::api::service::agent::AgentCalls;
use crate::api::service::attach::{Speaker, of_reader, of_session};
use crate::api::service::files::Followed;
use crate::proto::v1::agent::agent_service_server::AgentService;
use crate::proto::v1::agent::{self, Call, FileChunk, FollowFile, ProcessIo};

/// Translates for an agent's operators.
#[derive(Debug)]
pub(super) struct Agents {
    calls: AgentCalls,
}

impl Agents {
    pub(super) fn new(calls: AgentCalls) -> Self {
        Self { calls }
    }
}

/// A followed file as the wire carries it.
struct Chunks(Followed);

impl Stream for Chunks {
    type Item = Result<FileChunk, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.0.chunks.poll_recv(cx);
        next.map(|next| {
            next.map(|chunk| {
                let chunk = chunk.map_err(ApiError::from)?;
                Ok(FileChunk {
                    offset: chunk.offset,
                    data: chunk.data,
                })
            })
        })
    }
}

#[tonic::async_trait]
impl AgentService for Agents {
    type FollowFileStream = Events<FileChunk>;
    type LaunchNestedContainerSessionStream = Events<ProcessIo>;
    type AttachContainerOutputStream = Events<ProcessIo>;

    async fn call(&self, request: Request<Call>) -> Result<Response<agent::Response>, Status> {
        let answer = self.calls.call(request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn follow_file(
        &self,
        request: Request<FollowFile>,
    ) -> Result<Response<Events<FileChunk>>, Status> {
        let followed = self.calls.files().follow(request.into_inner()).await?;
        Ok(Response::new(Box::pin(Chunks(followed))))
    }

    async fn launch_nested_container_session(
        &self,
        request: Request<Call>,
    ) -> Result<Response<Events<ProcessIo>>, Status> {
        let session = self.calls.guests().session(request.into_inner()).await?;
        let said = of_session(session).map(Ok);
        Ok(Response::new(Box::pin(said)))
    }

    async fn attach_container_output(
        &self,
        request: Request<Call>,
    ) -> Result<Response<Events<ProcessIo>>, Status> {
        let reader = self.calls.guests().output(request.into_inner())?;
        let said = of_reader(reader).map(Ok);
        Ok(Response::new(Box::pin(said)))
    }

    async fn attach_container_input(
        &self,
        request: Request<Streaming<Call>>,
    ) -> Result<Response<agent::Response>, Status> {
        let mut calls = request.into_inner();
        let mut speaker = Speaker::new(self.calls.guests());
        while let Some(call) = calls.message().await? {
            let part = call.attach_container_input;
            let part = part.ok_or_else(|| ApiError::missing("attach_container_input"))?;
            speaker.take(part).await?;
        }
        speaker.finish()?;
        Ok(Response::new(agent::Response::default()))
    }
}
