//! Connections to the leading master and to agents.

use std::time::Duration;

use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::error::ClientError;
use crate::api::LEADER;
use crate::election::ZooKeeperUrl;
use crate::election::driver::{addresses, follow};
use crate::flags::{MasterAddress, ZooKeeperFlags};
use crate::proto::v1;
use crate::proto::v1::agent::agent_service_client::AgentServiceClient;
use crate::proto::v1::master::operator_service_client::OperatorServiceClient;

/// Time to open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time to find out who leads: an election may be under way.
const LEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for one reply.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest reply: the state of a large cluster.
const REPLY_BYTES_MAX: usize = 512 << 20;

/// A connection to the leading master.
#[derive(Debug)]
pub(super) struct Session {
    master: OperatorServiceClient<Channel>,
}

impl Session {
    /// Connects to the master at `address`.
    pub(super) async fn open(address: &MasterAddress) -> Result<Self, ClientError> {
        match address {
            MasterAddress::Direct { .. } => {
                let channel = channel("master", &address.to_string()).await?;
                Ok(Self::over(channel))
            }
            MasterAddress::ZooKeeper(url) => {
                let leader = leader(url).await?;
                Ok(Self::over(channel("master", &leader).await?))
            }
        }
    }

    fn over(channel: Channel) -> Self {
        let master = OperatorServiceClient::new(channel).max_decoding_message_size(REPLY_BYTES_MAX);
        Self { master }
    }

    /// One call that is not an order with a body: GET_STATE and the like.
    pub(super) async fn ask(
        &mut self,
        kind: v1::master::call::Type,
    ) -> Result<v1::master::Response, ClientError> {
        self.call(v1::master::Call {
            r#type: Some(kind.into()),
            ..v1::master::Call::default()
        })
        .await
    }

    /// Sends a call to the leader.
    pub(super) async fn call(
        &mut self,
        call: v1::master::Call,
    ) -> Result<v1::master::Response, ClientError> {
        match self.master.call(timed(call.clone())).await {
            Ok(reply) => Ok(reply.into_inner()),
            Err(status) => {
                self.follow(&status).await?;
                let reply = self.master.call(timed(call)).await;
                reply
                    .map(tonic::Response::into_inner)
                    .map_err(|status| ClientError::refused(&status))
            }
        }
    }

    /// Asks the leader to end a task.
    pub(super) async fn kill(&mut self, kill: v1::master::KillTask) -> Result<(), ClientError> {
        match self.master.kill_task(timed(kill.clone())).await {
            Ok(_) => Ok(()),
            Err(status) => {
                self.follow(&status).await?;
                let reply = self.master.kill_task(timed(kill)).await;
                reply
                    .map(|_| ())
                    .map_err(|status| ClientError::refused(&status))
            }
        }
    }

    /// Asks the leader to hand its leadership over.
    pub(super) async fn handover(&mut self) -> Result<(), ClientError> {
        let order = v1::master::Handover {};
        match self.master.handover(timed(order)).await {
            Ok(_) => Ok(()),
            Err(status) => {
                self.follow(&status).await?;
                let reply = self.master.handover(timed(order)).await;
                reply
                    .map(|_| ())
                    .map_err(|status| ClientError::refused(&status))
            }
        }
    }

    /// Connects to the leader that a standby has named; any other status is final.
    async fn follow(&mut self, status: &Status) -> Result<(), ClientError> {
        let leader = status
            .metadata()
            .get(LEADER)
            .and_then(|leader| leader.to_str().ok());
        match (status.code(), leader) {
            (Code::Unavailable, Some(leader)) => {
                *self = Self::over(channel("master", leader).await?);
                Ok(())
            }
            _ => Err(ClientError::refused(status)),
        }
    }
}

/// A connection to an agent.
#[derive(Debug)]
pub(super) struct AgentSession {
    agent: AgentServiceClient<Channel>,
}

impl AgentSession {
    /// Connects to the agent at `address`.
    pub(super) async fn open(address: &str) -> Result<Self, ClientError> {
        let channel = channel("agent", address).await?;
        let agent = AgentServiceClient::new(channel).max_decoding_message_size(REPLY_BYTES_MAX);
        Ok(Self { agent })
    }

    /// What is in a directory.
    pub(super) async fn list_files(
        &mut self,
        path: String,
    ) -> Result<Vec<v1::FileInfo>, ClientError> {
        let call = v1::agent::Call {
            r#type: Some(v1::agent::call::Type::ListFiles.into()),
            list_files: Some(v1::agent::call::ListFiles { path }),
            ..v1::agent::Call::default()
        };
        let listing = self.call(call).await?.list_files;
        listing
            .map(|listing| listing.file_infos)
            .ok_or(ClientError::Incomplete {
                what: "agent",
                field: "list_files",
            })
    }

    /// Bytes of a file from `offset` on, as many as one reply holds; none at the end.
    pub(super) async fn read_file(
        &mut self,
        path: String,
        offset: u64,
    ) -> Result<v1::agent::response::ReadFile, ClientError> {
        let call = v1::agent::Call {
            r#type: Some(v1::agent::call::Type::ReadFile.into()),
            read_file: Some(v1::agent::call::ReadFile {
                path,
                offset,
                length: None,
            }),
            ..v1::agent::Call::default()
        };
        let slice = self.call(call).await?.read_file;
        slice.ok_or(ClientError::Incomplete {
            what: "agent",
            field: "read_file",
        })
    }

    /// A file from its start, and what is added to it.
    pub(super) async fn follow_file(
        &mut self,
        path: String,
    ) -> Result<tonic::Streaming<v1::agent::FileChunk>, ClientError> {
        let wanted = v1::agent::FollowFile { path, offset: None };
        let reply = self.agent.follow_file(wanted).await;
        reply
            .map(tonic::Response::into_inner)
            .map_err(|status| ClientError::refused(&status))
    }

    async fn call(&mut self, call: v1::agent::Call) -> Result<v1::agent::Response, ClientError> {
        let reply = self.agent.call(timed(call)).await;
        reply
            .map(tonic::Response::into_inner)
            .map_err(|status| ClientError::refused(&status))
    }
}

/// Asks ZooKeeper for the leader.
async fn leader(url: &ZooKeeperUrl) -> Result<String, ClientError> {
    let ensemble = ZooKeeperFlags::of_environment()?.ensemble(url)?;
    let mut addresses = addresses(follow(ensemble));
    let found = addresses.wait_for(Option::is_some);
    let found = timeout(LEADER_TIMEOUT, found).await;
    let found = found.ok().and_then(Result::ok);
    let none = || ClientError::NoLeader {
        address: url.to_string(),
    };
    found.and_then(|found| found.clone()).ok_or_else(none)
}

fn timed<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(CALL_TIMEOUT);
    request
}

async fn channel(what: &'static str, address: &str) -> Result<Channel, ClientError> {
    let wrong = |_| ClientError::Address {
        address: address.to_owned(),
    };
    Endpoint::from_shared(format!("http://{address}"))
        .map_err(wrong)?
        .connect_timeout(CONNECT_TIMEOUT)
        .connect()
        .await
        .map_err(|source| ClientError::Unreachable {
            what,
            address: address.to_owned(),
            source,
        })
}
