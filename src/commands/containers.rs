//! Brings agent, containerizer and fetcher together: each speaks of containers in words of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::agent::{ContainerConfig, ContainerEvent, ContainerVolume, Containers};
use crate::base::ContainerId;
use crate::containerizer::fetch::{FetchFailed, FetchRequest, Fetcher, Fetching};
use crate::containerizer::guests::Guests;
use crate::containerizer::{self, Containerizer};
use crate::fetcher::{self, FetchItem, FetchLimits, FetchUser};
use crate::resources::Resources;
use crate::telemetry::{Counter, chain};

/// Containers' news that wait for the agent.
const EVENTS_MAX: usize = 1024;

/// The native containerizer, as the agent asks for it.
#[derive(Debug)]
pub(super) struct NativeContainers {
    pub(super) containerizer: Arc<Containerizer>,
    /// Standalone containers are taken back with those of executors.
    pub(super) guests: Guests,
    /// `--recover=cleanup`: they are not.
    pub(super) cleanup: bool,
}

impl Containers for NativeContainers {
    fn recover(&self, mut known: Vec<ContainerConfig>) {
        known.extend(self.guests.recover(self.cleanup));
        self.containerizer.recover(known);
    }

    fn launch(&self, config: ContainerConfig) {
        self.containerizer.launch(config);
    }

    fn update(
        &self,
        container_id: ContainerId,
        resources: Resources,
        limits: BTreeMap<String, f64>,
    ) {
        let containerizer = Arc::clone(&self.containerizer);
        tokio::spawn(async move {
            let done = containerizer
                .update(&container_id, &resources, &limits)
                .await;
            if let Err(error) = done {
                tracing::warn!(%container_id, "limits not changed: {}", chain(&error));
            }
        });
    }

    fn link_volumes(
        &self,
        sandbox: &Path,
        user: Option<&str>,
        volumes: &[ContainerVolume],
    ) -> Result<(), String> {
        self.containerizer.link_volumes(sandbox, user, volumes)
    }

    fn destroy(&self, container_id: ContainerId) {
        self.containerizer.destroy(&container_id);
    }
}

/// The containerizer's news in the agent's words; guests of a container end with it, and what happens
/// to standalone containers is not the agent's business.
pub(super) fn news(
    mut from: mpsc::Receiver<containerizer::ContainerEvent>,
    guests: Guests,
) -> mpsc::Receiver<ContainerEvent> {
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    tokio::spawn(async move {
        while let Some(event) = from.recv().await {
            let event = match event {
                containerizer::ContainerEvent::Recovered => ContainerEvent::Recovered,
                containerizer::ContainerEvent::Launched { container_id, pid } => {
                    if guests.launched(&container_id, pid) {
                        continue;
                    }
                    ContainerEvent::Launched { container_id, pid }
                }
                containerizer::ContainerEvent::Ended {
                    container_id,
                    ended,
                } => {
                    if guests.ended(&container_id, &ended).await {
                        continue;
                    }
                    ContainerEvent::Ended {
                        container_id,
                        ended: *ended,
                    }
                }
            };
            if sender.send(event).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// A time in whole milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Fetches with `mesosd fetch` processes.
#[derive(Debug)]
pub(super) struct ProcessFetcher {
    pub(super) frameworks_home: Option<PathBuf>,
    pub(super) stall_timeout: Duration,
    /// Containers whose files were all brought, and those of which one was not.
    pub(super) succeeded: Counter,
    pub(super) failed: Counter,
}

impl Fetcher for ProcessFetcher {
    fn fetch(&self, request: FetchRequest) -> Fetching {
        let wanted = fetcher::FetchRequest {
            sandbox: request.sandbox,
            items: request.uris.iter().map(FetchItem::from).collect(),
            frameworks_home: self.frameworks_home.clone(),
            stall_timeout_ms: millis(self.stall_timeout),
            limits: FetchLimits::default(),
        };
        let user = request.user.map(|user| FetchUser {
            uid: user.uid,
            gid: user.gid,
            groups: user.groups,
        });
        let program = request.program;
        let (succeeded, failed) = (self.succeeded.clone(), self.failed.clone());
        Box::pin(async move {
            let fetched = fetcher::fetch(&program, &wanted, user.as_ref()).await;
            let counter = if fetched.is_ok() { succeeded } else { failed };
            counter.increment();
            fetched.map_err(|error| FetchFailed(chain(&error)))
        })
    }
}
