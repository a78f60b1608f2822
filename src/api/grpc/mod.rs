//! Shell: the gRPC front ends: they only translate between the wire and the service layer.

mod agent;
mod agent_link;
mod executor;
mod operator;
mod scheduler;

use std::pin::Pin;

use futures_util::Stream;
use tonic::Status;
use tonic::service::RoutesBuilder;

use super::service::agent::AgentCalls;
use super::service::executor::ExecutorCalls;
use super::service::operator::OperatorCalls;
use super::service::scheduler::SchedulerCalls;
use crate::master::Handle as Master;
use crate::proto::FILE_DESCRIPTOR_SET;
use crate::proto::link::agent_link_server::AgentLinkServer;
use crate::proto::v1::agent::agent_service_server::AgentServiceServer;
use crate::proto::v1::executor::executor_service_server::ExecutorServiceServer;
use crate::proto::v1::master::operator_service_server::OperatorServiceServer;
use crate::proto::v1::scheduler::scheduler_service_server::SchedulerServiceServer;

/// Longest message of a scheduler, executor or operator, in bytes.
pub const CALL_MAX: usize = 16 * 1024 * 1024;

/// Longest message of an agent, in bytes: one that comes back reports all its tasks at once.
pub const LINK_MAX: usize = 64 * 1024 * 1024;

/// What a streaming method answers with.
type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The services of a master.
pub(super) async fn master(
    handle: Master,
    schedulers: SchedulerCalls,
    operators: OperatorCalls,
) -> axum::Router {
    let schedulers = SchedulerServiceServer::new(scheduler::Schedulers::new(schedulers));
    let operators = OperatorServiceServer::new(operator::Operators::new(operators));
    let links = AgentLinkServer::new(agent_link::Links::new(handle));
    let mut routes = tonic::service::Routes::builder();
    routes
        .add_service(schedulers.max_decoding_message_size(CALL_MAX))
        .add_service(operators.max_decoding_message_size(CALL_MAX))
        .add_service(links.max_decoding_message_size(LINK_MAX));
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_serving::<SchedulerServiceServer<scheduler::Schedulers>>()
        .await;
    reporter
        .set_serving::<OperatorServiceServer<operator::Operators>>()
        .await;
    reporter
        .set_serving::<AgentLinkServer<agent_link::Links>>()
        .await;
    routes.add_service(health);
    finish(routes)
}

/// The services of an agent.
pub(super) async fn agent(executors: ExecutorCalls, operators: AgentCalls) -> axum::Router {
    let executors = ExecutorServiceServer::new(executor::Executors::new(executors));
    let operators = AgentServiceServer::new(agent::Agents::new(operators));
    let mut routes = tonic::service::Routes::builder();
    routes
        .add_service(executors.max_decoding_message_size(CALL_MAX))
        .add_service(operators.max_decoding_message_size(CALL_MAX));
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_serving::<ExecutorServiceServer<executor::Executors>>()
        .await;
    reporter
        .set_serving::<AgentServiceServer<agent::Agents>>()
        .await;
    routes.add_service(health);
    finish(routes)
}

/// Adds server reflection, in both of its versions.
fn finish(mut routes: RoutesBuilder) -> axum::Router {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let current = reflection()
        .build_v1()
        .expect("the build script has written the descriptors");
    let older = reflection()
        .build_v1alpha()
        .expect("the build script has written the descriptors");
    routes.add_service(current).add_service(older);
    routes.routes().prepare().into_axum_router()
}
