//! The two ways in which a framework of a run speaks with masters: the SDK over gRPC, and HTTP by hand.

use std::time::Duration;

use mesosd::frameworks::sdk::{self, Config, Event, Events, Handle};
use mesosd::proto::v1;
use mesosd::proto::v1::scheduler::call::reconcile;

use super::http;

/// What the master knows the framework by.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    /// Its tasks outlive their agents.
    pub(crate) checkpoint: bool,
}

/// Room on an agent.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) id: String,
    pub(crate) agent: String,
    pub(crate) cpus: f64,
    pub(crate) memory: f64,
}

/// A task to launch.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) name: String,
    pub(crate) cpus: f64,
    pub(crate) memory: f64,
    pub(crate) command: String,
    pub(crate) environment: Vec<(String, String)>,
}

/// A task's state; words as on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) task: String,
    pub(crate) agent: Option<String>,
    pub(crate) state: String,
    pub(crate) reason: String,
    pub(crate) source: String,
    pub(crate) message: String,
    /// Base64; only what is to be acknowledged has one.
    pub(crate) uuid: Option<String>,
}

/// What a framework hears.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    /// Its id.
    Subscribed(String),
    Disconnected(String),
    Offer(Offer),
    Update(Status),
    /// The master will not have it any more.
    Ended(String),
}

/// A framework's side of the scheduler API.
pub(crate) enum Scheduler {
    Sdk {
        handle: Handle,
        events: Box<Events>,
        /// Offers that came in one message.
        waiting: Vec<Offer>,
    },
    Http(http::Client),
}

impl Scheduler {
    /// Over gRPC for an ensemble (`zk://...`), over HTTP for addresses of masters (`http://A,B,C`).
    pub(crate) fn start(url: &str, identity: Identity) -> Self {
        if let Some(masters) = url.strip_prefix("http://") {
            let masters = masters.split(',').map(ToOwned::to_owned).collect();
            return Self::Http(http::Client::start(masters, identity));
        }
        let mut config = Config::new(url, "root", &identity.name);
        config.framework.failover_timeout = Some(3_600.0);
        config.framework.roles = vec![identity.name];
        config.framework.checkpoint = Some(identity.checkpoint);
        config.framework.id = identity.id.map(|id| id.as_str().into());
        config.call_timeout = Duration::from_secs(4);
        let (handle, events) = sdk::start(config);
        Self::Sdk {
            handle,
            events: Box::new(events),
            waiting: Vec::new(),
        }
    }

    /// The next event; may be cancelled and called again.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        let (events, waiting) = match self {
            Self::Http(client) => return client.next().await,
            Self::Sdk {
                events, waiting, ..
            } => (events, waiting),
        };
        loop {
            if let Some(offer) = waiting.pop() {
                return Some(Heard::Offer(offer));
            }
            match events.next().await? {
                Event::Subscribed { framework_id, .. } => {
                    return Some(Heard::Subscribed(framework_id.value));
                }
                Event::Disconnected { reason } => {
                    waiting.clear();
                    return Some(Heard::Disconnected(reason));
                }
                Event::Offers(offers) => waiting.extend(offers.into_iter().map(offer)),
                Event::Update(status) => return Some(Heard::Update(word(*status))),
                Event::Ended { reason } => return Some(Heard::Ended(reason)),
                _ => {}
            }
        }
    }

    pub(crate) async fn launch(
        &self,
        offer: &Offer,
        tasks: &[Task],
        refuse: f64,
    ) -> Result<(), String> {
        match self {
            Self::Http(client) => client.launch(offer, tasks, refuse).await,
            Self::Sdk { handle, .. } => {
                let infos = tasks.iter().map(|task| info(task, offer)).collect();
                let ids = vec![offer.id.as_str().into()];
                let launched = handle.launch(ids, infos, filters(refuse)).await;
                launched.map_err(|error| error.to_string())
            }
        }
    }

    pub(crate) async fn decline(&self, offer: &Offer, refuse: f64) -> Result<(), String> {
        match self {
            Self::Http(client) => client.decline(offer, refuse).await,
            Self::Sdk { handle, .. } => {
                let ids = vec![offer.id.as_str().into()];
                let declined = handle.decline(ids, filters(refuse)).await;
                declined.map_err(|error| error.to_string())
            }
        }
    }

    /// Asks for the states of tasks, with their agents.
    pub(crate) async fn reconcile(&self, tasks: &[(String, String)]) -> Result<(), String> {
        match self {
            Self::Http(client) => client.reconcile(tasks).await,
            Self::Sdk { handle, .. } => {
                let tasks = tasks.iter().map(|(task, agent)| reconcile::Task {
                    task_id: task.as_str().into(),
                    agent_id: Some(agent.as_str().into()),
                });
                let asked = handle.reconcile(tasks.collect()).await;
                asked.map_err(|error| error.to_string())
            }
        }
    }

    pub(crate) async fn teardown(&self) -> Result<(), String> {
        match self {
            Self::Http(client) => client.teardown().await,
            Self::Sdk { handle, .. } => handle.teardown().await.map_err(|error| error.to_string()),
        }
    }
}

fn filters(refuse: f64) -> Option<v1::Filters> {
    Some(v1::Filters {
        refuse_seconds: Some(refuse),
    })
}

fn info(task: &Task, offer: &Offer) -> v1::TaskInfo {
    let variables = task.environment.iter();
    let variables = variables.map(|(name, value)| v1::environment::Variable {
        name: name.clone(),
        value: Some(value.clone()),
        ..Default::default()
    });
    v1::TaskInfo {
        name: task.name.clone(),
        task_id: task.name.as_str().into(),
        agent_id: offer.agent.as_str().into(),
        resources: vec![
            sdk::scalar("cpus", task.cpus),
            sdk::scalar("mem", task.memory),
        ],
        command: Some(v1::CommandInfo {
            value: Some(task.command.clone()),
            environment: Some(v1::Environment {
                variables: variables.collect(),
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn offer(offer: v1::Offer) -> Offer {
    let amount = |name: &str| {
        let named = offer.resources.iter().filter(|part| part.name == name);
        let scalars = named.filter_map(|part| part.scalar.as_ref());
        scalars.map(|scalar| scalar.value).sum::<f64>()
    };
    let (cpus, memory) = (amount("cpus"), amount("mem"));
    Offer {
        id: offer.id.value,
        agent: offer.agent_id.value,
        cpus,
        memory,
    }
}

fn word(status: v1::TaskStatus) -> Status {
    Status {
        state: status.state().as_str_name().to_owned(),
        reason: status.reason().as_str_name().to_owned(),
        source: status.source().as_str_name().to_owned(),
        message: status.message().to_owned(),
        task: status.task_id.value,
        agent: status.agent_id.map(|agent| agent.value),
        uuid: None,
    }
}
