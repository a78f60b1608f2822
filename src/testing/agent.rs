//! An agent in this process, whose containers are only noted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::agent::checkpoint::Keeping;
use crate::agent::{
    AgentConfig, AgentError, AgentParts, ContainerConfig, ContainerEvent, ContainerVolume,
    Containers, Ended, Running, start,
};
use crate::base::ContainerId;
use crate::resources::Resources;

/// Container events that may wait for the agent.
const EVENTS_MAX: usize = 1024;

/// Says at once that what was asked for is done.
#[derive(Debug)]
struct Noted(mpsc::Sender<ContainerEvent>);

impl Noted {
    fn say(&self, event: ContainerEvent) {
        self.0
            .try_send(event)
            .expect("the agent keeps up with its containers");
    }
}

impl Containers for Noted {
    /// [`NotedAgent::recovered`] answers.
    fn recover(&self, _known: Vec<ContainerConfig>) {}

    fn launch(&self, config: ContainerConfig) {
        self.say(ContainerEvent::Launched {
            container_id: config.container_id,
            pid: 1,
        });
    }

    fn update(&self, _: ContainerId, _: Resources, _: BTreeMap<String, f64>) {}

    fn link_volumes(&self, _: &Path, _: Option<&str>, _: &[ContainerVolume]) -> Result<(), String> {
        Ok(())
    }

    fn destroy(&self, container_id: ContainerId) {
        self.say(ContainerEvent::Ended {
            container_id,
            ended: Ended::default(),
        });
    }
}

/// The agent; it recovers until it is told that it has.
#[derive(Debug)]
pub struct NotedAgent {
    /// The agent itself.
    pub running: Running,
    containers: mpsc::Sender<ContainerEvent>,
}

impl NotedAgent {
    /// Starts it with its files below `folder`. It looks for its master at what `masters` says.
    ///
    /// # Errors
    ///
    /// The folder cannot be used.
    pub fn start(
        config: AgentConfig,
        folder: &Path,
        masters: watch::Receiver<Option<String>>,
    ) -> Result<Self, AgentError> {
        let (containers, container_events) = mpsc::channel(EVENTS_MAX);
        let running = start(AgentParts {
            config: AgentConfig {
                work_dir: folder.join("work"),
                ..config
            },
            runtime_dir: folder.join("run"),
            keeping: Keeping {
                lasting: false,
                strict: true,
            },
            masters,
            containers: Arc::new(Noted(containers.clone())),
            container_events,
        })?;
        Ok(Self {
            running,
            containers,
        })
    }

    /// The containers of its earlier life are looked after.
    pub fn recovered(&self) {
        Noted(self.containers.clone()).say(ContainerEvent::Recovered);
    }
}
