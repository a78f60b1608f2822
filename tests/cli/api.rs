//! Calls to a daemon as an operator's program makes them.

use std::net::SocketAddr;

use mesosd::proto::v1;
use mesosd::proto::v1::master::operator_service_client::OperatorServiceClient;
use tonic::transport::{Channel, Endpoint};
use v1::master::{Call, Response, call};

/// One call to a master; also an error if it does not take the connection.
pub(crate) fn ask(address: SocketAddr, call: Call) -> Result<Response, tonic::Status> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            let mut client = OperatorServiceClient::new(connect(address).await?);
            client.call(call).await.map(tonic::Response::into_inner)
        })
}

/// A stream of what happens in the cluster.
pub(crate) async fn watch(address: SocketAddr) -> tonic::Streaming<v1::master::Event> {
    let mut client = OperatorServiceClient::new(connect(address).await.unwrap());
    let reply = client.subscribe(of_type(call::Type::Subscribe)).await;
    reply.unwrap().into_inner()
}

async fn connect(address: SocketAddr) -> Result<Channel, tonic::Status> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let connected = endpoint.connect().await;
    connected.map_err(|error| tonic::Status::unavailable(error.to_string()))
}

/// A call without a body.
pub(crate) fn of_type(kind: call::Type) -> Call {
    Call {
        r#type: Some(kind.into()),
        ..Call::default()
    }
}

/// The value of a flag, as the master says it.
pub(crate) fn flag(address: SocketAddr, name: &str) -> Option<String> {
    let answer = ask(address, of_type(call::Type::GetFlags)).unwrap();
    let flags = answer.get_flags.unwrap().flags;
    let found = flags.into_iter().find(|flag| flag.name == name)?;
    found.value
}
