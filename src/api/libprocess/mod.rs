//! Shell: the v0 driver protocol: messages of libprocess for schedulers and executors built on libmesos
//! or on a driver of the same protocol.
//!
//! A message is `POST /<process>/<full name of the message>` with the sender's process
//! (`scheduler(1)@ip:port`) in `Libprocess-From` or after `libprocess/` in `User-Agent`; the body is the
//! encoded message. It is answered with 202 as soon as it was handed over. Answers go the same way to the
//! sender's own address, over one connection that is kept open; its end is the end of the driver.
//!
//! | process | from drivers | to drivers |
//! | --- | --- | --- |
//! | `master` | `mesos.scheduler.Call` (every call that the v1 API serves), RegisterFramework, ReregisterFramework, UnregisterFramework, DeactivateFramework, ResourceRequest, LaunchTasks, KillTask, StatusUpdateAcknowledgement, FrameworkToExecutor, ReconcileTasks, ReviveOffers, SuppressOffers, Authenticate | FrameworkRegistered, FrameworkReregistered, ResourceOffers, RescindResourceOffer, StatusUpdate, ExecutorToFramework, LostSlave, ExitedExecutor, FrameworkError, AuthenticationError |
//! | `slave(1)` | RegisterExecutor, ReregisterExecutor, StatusUpdate, ExecutorToFramework; from schedulers FrameworkToExecutor | ExecutorRegistered, ExecutorReregistered, RunTask, KillTask, StatusUpdateAcknowledgement, FrameworkToExecutor, ShutdownExecutor, ReconnectExecutor |
//!
//! Not served: messages between masters and agents (both are mesosd's own, over gRPC), authentication
//! (SASL; answered with AuthenticationError), inverse offers, operation feedback and task groups, which v0
//! drivers have no messages for, and acknowledgements from schedulers to agents (as before Mesos 0.21).
//!
//! An agent writes down which process an executor's driver is. After a restart it calls the drivers of the
//! executors back that have outlived it (ReconnectExecutor); they register again with what was not
//! acknowledged to them.
//!
//! A sender is believed to be who it says, as in Mesos; it must name an address literal with a port that
//! something could listen on. With `LIBPROCESS_REQUIRE_PEER_ADDRESS_IP_MATCH=1` its connection must come
//! from the same address. Calls count only if they come from the process that is registered for the
//! framework or executor. A driver is subscribed once it could be connected to.
//!
//! The connection of a driver to a daemon is kept for as long as the driver's host answers the kernel's
//! probes, however long it says nothing: its end would tell the driver that the daemon has gone.
//!
//! | what | where |
//! | --- | --- |
//! | process ids | `pid` |
//! | requests that are messages | `incoming`, `front` |
//! | connections to drivers | `link` |
//! | who is connected | `sessions` |
//! | one driver's session | `session` |
//! | schedulers at the master | `schedulers`, `scheduler_calls`, `scheduler_events` |
//! | executors at the agent | `executors`, `executor_messages` |

mod executor_messages;
mod executors;
mod front;
mod incoming;
mod link;
mod pid;
mod scheduler_calls;
mod scheduler_events;
mod schedulers;
mod session;
mod sessions;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

use axum::Router;

use crate::api::service::executor::ExecutorCalls;
use crate::api::service::scheduler::SchedulerCalls;
use crate::telemetry::Metrics;
use crate::{agent, master};

/// Serves schedulers' drivers beside `router`.
pub(super) async fn beside_master(
    router: Router,
    calls: SchedulerCalls,
    master: master::Handle,
    metrics: &Metrics,
) -> Router {
    // A master that is ending serves nobody.
    let Ok(snapshot) = master.snapshot().await else {
        return router;
    };
    let me = snapshot.master.pid.as_deref().unwrap_or("master");
    let schedulers = schedulers::Schedulers::new(calls, master, me.into(), metrics);
    front::beside(router, schedulers, metrics)
}

/// Serves executors' drivers beside `router`.
pub(super) async fn beside_agent(
    router: Router,
    calls: ExecutorCalls,
    agent: agent::Handle,
    metrics: &Metrics,
) -> Router {
    // An agent that is ending serves nobody.
    let Ok(snapshot) = agent.snapshot().await else {
        return router;
    };
    let me = format!("slave(1)@{}", snapshot.endpoint);
    front::beside(
        router,
        executors::Executors::new(calls, agent, me.into()),
        metrics,
    )
}
