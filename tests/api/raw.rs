//! A daemon on a free port, and gRPC calls whose bytes a test writes itself.

use std::net::SocketAddr;

use axum::Router;
use bytes::{Buf, BufMut};
use mesosd::api::http::master_routes;
use mesosd::api::server::{Limits, serve};
use mesosd::api::service::daemon::Daemon;
use mesosd::master::MasterConfig;
use mesosd::master::driver::{Running, start};
use mesosd::registrar::MemoryStorage;
use mesosd::telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

/// A listener that is closed when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    pub(crate) task: JoinHandle<()>,
}

impl Server {
    /// Serves `router` within `limits` on loopback.
    pub(crate) async fn start(router: Router, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let ended = async {
                // An error means that the test is over.
                let _ = stopped.await;
            };
            serve(listener, router, limits, &Metrics::new(), ended).await;
        });
        Self {
            address,
            stop: Some(stop),
            task,
        }
    }

    /// Asks the listener to drain.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// A gRPC connection.
    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }
}

/// A master without agents, behind its whole API.
pub(crate) struct Master {
    pub(crate) server: Server,
    running: Running,
}

impl Master {
    pub(crate) async fn start() -> Self {
        Self::with_limits(Limits::default()).await
    }

    /// What the API asks, too.
    pub(crate) fn handle(&self) -> &mesosd::master::Handle {
        &self.running.handle
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        let metrics = Metrics::new();
        let config = MasterConfig::new("11111111-2222-3333-4444-555555555555");
        let running = start(config, MemoryStorage::default(), &metrics)
            .await
            .unwrap();
        let router = master_routes(running.handle.clone(), Daemon::new(metrics)).await;
        Self {
            server: Server::start(router, limits).await,
            running,
        }
    }
}

/// Sends and receives messages as bytes.
#[derive(Clone, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}

/// A unary call, or the head of the answer to a streaming one, with one message of the test's own.
pub(crate) async fn call(
    channel: &Channel,
    path: &'static str,
    message: Vec<u8>,
    metadata: MetadataMap,
) -> Result<Response<Option<Vec<u8>>>, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let mut request = Request::new(message);
    *request.metadata_mut() = metadata;
    let path = http::uri::PathAndQuery::from_static(path);
    let response = client.server_streaming(request, path, Bytes).await?;
    let (metadata, mut stream, extensions) = response.into_parts();
    let first = stream.message().await?;
    Ok(Response::from_parts(metadata, first, extensions))
}
