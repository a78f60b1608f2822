//! What containers use: measured at most twice a second each, as in Mesos, however many ask.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::operator::aside;
use crate::agent::{Executor, Snapshot};
use crate::base::ContainerId;
use crate::proto::v1;

/// How long a measurement is good.
const GOOD_FOR: Duration = Duration::from_millis(500);

/// Where the statistics of a container come from; asked on a thread that may block.
#[derive(Clone)]
pub struct Statistics(Arc<Measure>);

type Measure = dyn Fn(&ContainerId) -> Option<v1::ResourceStatistics> + Send + Sync;

impl Statistics {
    /// Asks `source`.
    pub fn new(
        source: impl Fn(&ContainerId) -> Option<v1::ResourceStatistics> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(source))
    }

    /// An agent that cannot measure.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|_| None)
    }
}

impl fmt::Debug for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statistics").finish_non_exhaustive()
    }
}

/// An executor's container and what it uses.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The run of the executor.
    pub executor: Arc<Executor>,
    /// The container's processes.
    pub status: v1::ContainerStatus,
    /// What it uses; none if it ended meanwhile.
    pub statistics: Option<v1::ResourceStatistics>,
}

type Latest = BTreeMap<ContainerId, (Instant, Option<v1::ResourceStatistics>)>;

/// A standalone container and what it uses.
#[derive(Clone, Debug)]
pub(super) struct MeasuredStandalone {
    pub(super) container_id: ContainerId,
    /// Its supervisor.
    pub(super) pid: u32,
    pub(super) statistics: Option<v1::ResourceStatistics>,
}

/// The latest measurement of each container; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Measurements {
    source: Statistics,
    latest: Arc<Mutex<Latest>>,
    standalone: Arc<Mutex<Latest>>,
}

impl Measurements {
    pub(super) fn new(source: Statistics) -> Self {
        Self {
            source,
            latest: Arc::default(),
            standalone: Arc::default(),
        }
    }

    /// Every container of the snapshot. Those that were measured just now are not measured again.
    pub(super) async fn all(&self, snapshot: Snapshot) -> Vec<Measured> {
        let mut latest = Arc::clone(&self.latest).lock_owned().await;
        let source = self.source.clone();
        aside(move || {
            let mut fresh = Fresh::new(&source, &mut latest);
            let mut all = Vec::new();
            let contained = snapshot.executors();
            for executor in contained.filter(|executor| executor.status.has_container()) {
                all.push(Measured {
                    executor: Arc::clone(executor),
                    status: status(executor),
                    statistics: fresh.of(&executor.container_id),
                });
            }
            all
        })
        .await
    }

    /// These containers, with their supervisors, measured as seldom.
    pub(super) async fn standalone(&self, all: Vec<(ContainerId, u32)>) -> Vec<MeasuredStandalone> {
        let mut latest = Arc::clone(&self.standalone).lock_owned().await;
        let source = self.source.clone();
        aside(move || {
            let mut fresh = Fresh::new(&source, &mut latest);
            all.into_iter()
                .map(|(container_id, pid)| MeasuredStandalone {
                    statistics: fresh.of(&container_id),
                    container_id,
                    pid,
                })
                .collect()
        })
        .await
    }
}

/// One round of measurements; those of containers that nobody asked for in it are forgotten at its end.
struct Fresh<'a> {
    source: &'a Statistics,
    now: Instant,
    former: Latest,
    latest: &'a mut Latest,
}

impl<'a> Fresh<'a> {
    fn new(source: &'a Statistics, latest: &'a mut Latest) -> Self {
        Self {
            source,
            now: Instant::now(),
            former: std::mem::take(latest),
            latest,
        }
    }

    fn of(&mut self, id: &ContainerId) -> Option<v1::ResourceStatistics> {
        let known = self.former.remove(id);
        let known = known.filter(|(at, _)| self.now.duration_since(*at) < GOOD_FOR);
        let known = known.unwrap_or_else(|| (self.now, (self.source.0)(id)));
        let statistics = known.1.clone();
        self.latest.insert(id.clone(), known);
        statistics
    }
}

fn status(executor: &Executor) -> v1::ContainerStatus {
    v1::ContainerStatus {
        container_id: Some((&executor.container_id).into()),
        executor_pid: executor.pid,
        ..v1::ContainerStatus::default()
    }
}
