//! A framework for tests, built on the SDK: tasks wait for the next offer that they fit into, updates
//! are kept in the order of their arrival.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use mesosd::frameworks::sdk::{self, Config, Event, Events, Handle};
use mesosd::proto::v1;
use mesosd::proto::v1::agent::agent_service_client::AgentServiceClient;
use tokio::runtime::Runtime;
use tonic::transport::Endpoint;

use crate::cluster::Cluster;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tasks taken to one offer, so that the work spreads over the agents.
const TASKS_PER_OFFER: usize = 4;

/// Something to launch.
#[derive(Debug)]
enum Pending {
    Task(Box<v1::TaskInfo>),
    Group(Box<v1::ExecutorInfo>, Vec<v1::TaskInfo>),
}

/// One subscribed framework.
pub(crate) struct Scheduler {
    runtime: Runtime,
    handle: Handle,
    events: Events,
    pending: VecDeque<Pending>,
    /// Where each task went.
    placed: BTreeMap<String, v1::Offer>,
    /// Updates that have arrived and that nobody has asked for yet.
    updates: VecDeque<v1::TaskStatus>,
}

/// `cpus` and `mem` in megabytes.
pub(crate) fn resources(cpus: f64, mem: f64) -> Vec<v1::Resource> {
    vec![sdk::scalar("cpus", cpus), sdk::scalar("mem", mem)]
}

/// A command for a shell.
pub(crate) fn shell(command: &str) -> v1::CommandInfo {
    v1::CommandInfo {
        value: Some(command.to_owned()),
        ..Default::default()
    }
}

/// A task with a tenth of a cpu and 32 MB that runs `command` in a shell.
pub(crate) fn task(id: &str, command: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        name: id.to_owned(),
        task_id: id.into(),
        resources: resources(0.1, 32.0),
        command: Some(shell(command)),
        ..Default::default()
    }
}

/// Something to fetch.
pub(crate) fn uri(value: impl Into<String>) -> v1::command_info::Uri {
    v1::command_info::Uri {
        value: value.into(),
        ..Default::default()
    }
}

fn amount(resources: &[v1::Resource], name: &str) -> f64 {
    let named = resources.iter().filter(|resource| resource.name == name);
    named
        .filter_map(|resource| resource.scalar.as_ref())
        .map(|scalar| scalar.value)
        .sum()
}

/// What a launch takes from an offer, with what an executor of its own adds.
fn wanted(pending: &Pending, name: &str) -> f64 {
    match pending {
        Pending::Task(task) => {
            let executor = task.executor.as_ref();
            amount(&task.resources, name)
                + executor.map_or(0.0, |executor| amount(&executor.resources, name))
        }
        Pending::Group(executor, tasks) => {
            let tasks = tasks.iter().map(|task| amount(&task.resources, name));
            amount(&executor.resources, name) + tasks.sum::<f64>()
        }
    }
}

impl Scheduler {
    /// Subscribes as `root`, with checkpoints.
    pub(crate) fn start(cluster: &Cluster, name: &str) -> Self {
        Self::with(cluster, name, |_| {})
    }

    /// Subscribes with a changed description.
    pub(crate) fn with(
        cluster: &Cluster,
        name: &str,
        change: impl FnOnce(&mut v1::FrameworkInfo),
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut config = Config::new(&cluster.address(), "root", name);
        change(&mut config.framework);
        let guard = runtime.enter();
        let (handle, events) = sdk::start(config);
        drop(guard);
        let mut scheduler = Self {
            runtime,
            handle,
            events,
            pending: VecDeque::new(),
            placed: BTreeMap::new(),
            updates: VecDeque::new(),
        };
        while scheduler.handle.framework_id().is_none() {
            scheduler.next_event(Instant::now() + PATIENCE);
        }
        scheduler
    }

    /// The framework's id.
    pub(crate) fn id(&self) -> String {
        self.handle.framework_id().unwrap().value
    }

    /// The agent that a task went to.
    pub(crate) fn agent(&self, task: &str) -> String {
        self.placed[task].agent_id.value.clone()
    }

    /// Queues a task for the next offers.
    pub(crate) fn submit(&mut self, task: v1::TaskInfo) {
        self.queue(Pending::Task(Box::new(task)));
    }

    /// Queues a task group.
    pub(crate) fn submit_group(&mut self, executor: v1::ExecutorInfo, tasks: Vec<v1::TaskInfo>) {
        self.queue(Pending::Group(Box::new(executor), tasks));
    }

    fn queue(&mut self, pending: Pending) {
        self.pending.push_back(pending);
        let revive = self.handle.revive(Vec::new());
        self.runtime.block_on(revive).unwrap();
    }

    /// The next update of `task`; those of others are kept.
    pub(crate) fn next_of(&mut self, task: &str) -> v1::TaskStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let own = |status: &v1::TaskStatus| status.task_id.value == task;
            if let Some(index) = self.updates.iter().position(own) {
                return self.updates.remove(index).unwrap();
            }
            self.next_event(deadline);
        }
    }

    /// Waits until `task` is in `state`; any other end of it is a failure.
    pub(crate) fn wait_for(&mut self, task: &str, state: v1::TaskState) -> v1::TaskStatus {
        loop {
            let status = self.next_of(task);
            if status.state() == state {
                return status;
            }
            assert!(!status.state().is_terminal(), "{status:?}");
        }
    }

    /// The last update of `task`.
    pub(crate) fn end_of(&mut self, task: &str) -> v1::TaskStatus {
        loop {
            let status = self.next_of(task);
            if status.state().is_terminal() {
                return status;
            }
        }
    }

    /// Whether nothing else is told of a task for a while than `last`, which may come again.
    pub(crate) fn no_more_than(&mut self, last: &v1::TaskStatus) -> bool {
        let deadline = Instant::now() + Duration::from_millis(300);
        while let left = deadline.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            let next = self.events.next();
            let heard = async { tokio::time::timeout(left, next).await };
            if let Ok(event) = self.runtime.block_on(heard) {
                self.take(event.unwrap());
            }
        }
        let mut others = self.updates.iter();
        others.all(|status| status.task_id != last.task_id || status.uuid == last.uuid)
    }

    /// Asks for the end of a task; with a grace in place of the task's own.
    pub(crate) fn kill(&self, task: &str, grace: Option<Duration>) {
        let policy = grace.map(|grace| v1::KillPolicy {
            grace_period: Some(grace.into()),
        });
        let kill = self.handle.kill(task.into(), None, policy);
        self.runtime.block_on(kill).unwrap();
    }

    /// Ends the framework for good.
    pub(crate) fn teardown(&self) {
        self.runtime.block_on(self.handle.teardown()).unwrap();
    }

    /// Answers what comes until nothing has come for this long.
    pub(crate) fn settle(&mut self, quiet: Duration) {
        loop {
            let next = self.events.next();
            let heard = async { tokio::time::timeout(quiet, next).await };
            match self.runtime.block_on(heard) {
                Ok(event) => self.take(event.unwrap()),
                Err(_) => return,
            }
        }
    }

    fn next_event(&mut self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let next = self.events.next();
        let heard = async { tokio::time::timeout(left, next).await };
        let event = self.runtime.block_on(heard);
        let event = event.unwrap_or_else(|_| {
            panic!(
                "nothing more from the master; waiting: {:?}, unseen: {:?}",
                self.pending, self.updates
            )
        });
        self.take(event.unwrap());
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Offers(offers) => offers.into_iter().for_each(|offer| self.use_offer(offer)),
            Event::Update(status) => self.updates.push_back(*status),
            Event::Ended { reason } => panic!("the subscription ended: {reason}"),
            _ => {}
        }
    }

    /// Accepts with what fits, or declines.
    fn use_offer(&mut self, offer: v1::Offer) {
        let (mut cpus, mut mem) = (
            amount(&offer.resources, "cpus"),
            amount(&offer.resources, "mem"),
        );
        let mut operations = Vec::new();
        while operations.len() < TASKS_PER_OFFER
            && let Some(next) = self.pending.front()
        {
            let taken = (wanted(next, "cpus"), wanted(next, "mem"));
            if taken.0 > cpus || taken.1 > mem {
                break;
            }
            (cpus, mem) = (cpus - taken.0, mem - taken.1);
            let pending = self.pending.pop_front().unwrap();
            operations.push(self.operation(pending, &offer));
        }
        let filters = Some(v1::Filters {
            refuse_seconds: Some(if self.pending.is_empty() { 3600.0 } else { 0.1 }),
        });
        let ids = vec![offer.id.clone()];
        let handle = self.handle.clone();
        self.runtime.block_on(async move {
            // An offer that was withdrawn meanwhile: its tasks are reported lost, and a test fails.
            if operations.is_empty() {
                handle.decline(ids, filters).await.unwrap();
            } else {
                handle.accept(ids, operations, filters).await.unwrap();
            }
        });
    }

    fn operation(&mut self, pending: Pending, offer: &v1::Offer) -> v1::offer::Operation {
        use v1::offer::operation::{Launch, LaunchGroup, Type};
        let framework_id = self.handle.framework_id();
        let mut place = |task: &mut v1::TaskInfo| {
            task.agent_id = offer.agent_id.clone();
            if let Some(executor) = &mut task.executor {
                executor.framework_id.clone_from(&framework_id);
            }
            self.placed
                .insert(task.task_id.value.clone(), offer.clone());
        };
        match pending {
            Pending::Task(mut task) => {
                place(&mut task);
                v1::offer::Operation {
                    r#type: Some(Type::Launch.into()),
                    launch: Some(Launch {
                        task_infos: vec![*task],
                    }),
                    ..Default::default()
                }
            }
            Pending::Group(mut executor, mut tasks) => {
                tasks.iter_mut().for_each(place);
                executor.framework_id = framework_id;
                v1::offer::Operation {
                    r#type: Some(Type::LaunchGroup.into()),
                    launch_group: Some(LaunchGroup {
                        executor: *executor,
                        task_group: v1::TaskGroupInfo { tasks },
                    }),
                    ..Default::default()
                }
            }
        }
    }

    /// A whole file of the newest run of the command task `task`, over its agent's files API.
    pub(crate) fn read(&self, task: &str, path: &str) -> Vec<u8> {
        self.read_of(task, task, path)
    }

    /// A whole file of the newest run of `executor`, on the agent of `task`.
    pub(crate) fn read_of(&self, task: &str, executor: &str, path: &str) -> Vec<u8> {
        let address = self.placed[task].url.clone().unwrap().address;
        let host = address.ip.or(address.hostname).unwrap();
        let endpoint = format!("http://{host}:{}", address.port);
        let framework = self.id();
        let path = format!("/frameworks/{framework}/executors/{executor}/runs/latest/{path}");
        self.runtime.block_on(async {
            let endpoint = Endpoint::from_shared(endpoint).unwrap();
            let mut client = AgentServiceClient::new(endpoint.connect().await.unwrap());
            let mut data = Vec::new();
            loop {
                let call = v1::agent::Call {
                    r#type: Some(v1::agent::call::Type::ReadFile.into()),
                    read_file: Some(v1::agent::call::ReadFile {
                        path: path.clone(),
                        offset: data.len() as u64,
                        length: Some(64 << 10),
                    }),
                    ..Default::default()
                };
                let reply = client.call(call).await;
                let reply = reply.unwrap_or_else(|status| panic!("{path}: {status}"));
                let part = reply.into_inner().read_file.unwrap();
                data.extend_from_slice(&part.data);
                if part.data.is_empty() || data.len() as u64 >= part.size {
                    return data;
                }
            }
        })
    }

    /// A file as text.
    pub(crate) fn text(&self, task: &str, path: &str) -> String {
        String::from_utf8(self.read(task, path)).unwrap()
    }
}
