//! Tests of the core: events in, effects out, invariants after every step.

mod executors;
mod gc;
mod journal;
mod launch;
mod operations;
mod recovery;
mod registration;
mod shell;
mod updates;
mod upgrade;

use std::time::Duration;

use crate::base::{
    ConnectionId, ContainerId, ExecutorId, FrameworkId, Instant, Now, TaskId, Timestamp, Uuid,
};
use crate::proto::{link, v1};
use v1::framework_info::capability;

use super::checkpoint::{CheckpointToken, Checkpointed, Record};
use super::*;

const MASTER: ConnectionId = ConnectionId(1);
const EXECUTOR: ConnectionId = ConnectionId(100);

/// An agent, its clock, and what it has asked for.
struct Rig {
    agent: Agent,
    now: Now,
    /// Effects of the steps since the last look, checkpoints aside.
    effects: Vec<Effect>,
    /// Writes that were not yet answered.
    writes: Vec<(CheckpointToken, Record)>,
    /// Everything that was written.
    disk: Checkpointed,
    /// Answer writes at once.
    fast_disk: bool,
}

fn config() -> AgentConfig {
    let mut config = AgentConfig::new("host", "/work");
    config.resources = resources(4.0, 4096.0);
    config.seed = 7;
    config.boot_id = "boot".into();
    config.timing.registration_backoff_factor = Duration::ZERO;
    config
}

impl Rig {
    fn new() -> Self {
        Self::with(config(), Checkpointed::default())
    }

    fn with(config: AgentConfig, disk: Checkpointed) -> Self {
        let now = Now {
            mono: Instant(1_000_000_000),
            wall: Timestamp(1_700_000_000_000_000_000),
        };
        Self {
            agent: Agent::new(config, disk.clone(), now),
            now,
            effects: Vec::new(),
            writes: Vec::new(),
            disk,
            fast_disk: true,
        }
    }

    /// A registered agent with nothing to look at.
    fn registered() -> Self {
        let mut rig = Self::new();
        rig.register();
        rig.effects.clear();
        rig
    }

    fn start(&mut self) {
        let mut effects = Effects::new();
        self.agent.start(self.now, &mut effects);
        self.effects.extend(effects.drain());
    }

    fn register(&mut self) {
        self.step(Event::MasterConnected { connection: MASTER });
        self.master(registered(1));
    }

    fn step(&mut self, event: Event) {
        let mut effects = Effects::new();
        self.agent.step(self.now, event, &mut effects);
        self.agent.check_invariants();
        for effect in effects.drain() {
            match effect {
                Effect::Checkpoint { token, record } => self.writes.push((token, *record)),
                other => self.effects.push(other),
            }
        }
        if self.fast_disk {
            self.write_all();
        }
    }

    /// Answers every write.
    fn write_all(&mut self) {
        while !self.writes.is_empty() {
            let (token, record) = self.writes.remove(0);
            self.disk.apply(&record);
            let result = Ok(());
            self.step(Event::Checkpointed { token, result });
        }
    }

    fn master(&mut self, message: link::from_master::Message) {
        self.master_on(MASTER, message);
    }

    fn master_on(&mut self, connection: ConnectionId, message: link::from_master::Message) {
        let message = Box::new(message);
        self.step(Event::MasterMessage {
            connection,
            message,
        });
    }

    fn pass(&mut self, time: Duration) {
        self.now.mono = self.now.mono.after(time);
        self.now.wall = self.now.wall.after(time);
    }

    /// Effects since the last look.
    fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    fn run(&mut self, framework: v1::FrameworkInfo, task: v1::TaskInfo) {
        self.master(link::from_master::Message::RunTask(link::RunTask {
            framework,
            executor: task.executor.clone(),
            task,
        }));
    }

    fn run_group(&mut self, executor: v1::ExecutorInfo, tasks: Vec<v1::TaskInfo>) {
        let message = link::RunTaskGroup {
            framework: framework(),
            executor,
            task_group: v1::TaskGroupInfo { tasks },
        };
        self.master(link::from_master::Message::RunTaskGroup(message));
    }

    fn kill(&mut self, task: &str) {
        self.master(link::from_master::Message::KillTask(link::KillTask {
            framework_id: "F".into(),
            task_id: task.into(),
            kill_policy: None,
        }));
    }

    fn shutdown_executor(&mut self, executor: &str) {
        let message = link::ShutdownExecutor {
            framework_id: "F".into(),
            executor_id: executor.into(),
        };
        self.master(link::from_master::Message::ShutdownExecutor(message));
    }

    fn acknowledge(&mut self, update: &link::StatusUpdate) {
        let message = link::Acknowledge {
            framework_id: update.framework_id.clone(),
            task_id: update.status.task_id.clone(),
            uuid: update.status.uuid().to_vec(),
        };
        self.master(link::from_master::Message::Acknowledge(message));
    }

    fn subscribe(&mut self, executor: &str) {
        self.subscribe_with(EXECUTOR, executor, Vec::new(), Vec::new());
    }

    fn subscribe_with(
        &mut self,
        connection: ConnectionId,
        executor: &str,
        tasks: Vec<v1::TaskInfo>,
        updates: Vec<v1::TaskStatus>,
    ) {
        self.step(Event::ExecutorSubscribed {
            connection,
            framework_id: FrameworkId::new("F"),
            executor_id: ExecutorId::new(executor),
            unacknowledged_tasks: tasks,
            unacknowledged_updates: updates,
            container: None,
        });
    }

    /// UPDATE by an executor.
    fn update(&mut self, executor: &str, status: v1::TaskStatus) {
        let call = ExecutorCall::Update {
            task_id: TaskId::new(status.task_id.value.as_str()),
            uuid: Uuid::from_slice(status.uuid()).unwrap(),
            status: Box::new(status),
        };
        self.call(executor, call);
    }

    fn call(&mut self, executor: &str, call: ExecutorCall) {
        self.step(Event::ExecutorCall {
            request: Some(crate::base::RequestId(1)),
            framework_id: FrameworkId::new("F"),
            executor_id: ExecutorId::new(executor),
            connection: None,
            call: Box::new(call),
        });
        self.effects
            .retain(|effect| !matches!(effect, Effect::Reply { result: Ok(_), .. }));
    }

    fn ended(&mut self, container_id: &ContainerId, ended: Ended) {
        self.step(Event::ContainerEnded {
            container_id: container_id.clone(),
            ended: Box::new(ended),
        });
    }

    /// Runs a command task up to its executor's subscription; gives its container.
    fn running(&mut self, framework: v1::FrameworkInfo, task: &str) -> ContainerId {
        self.run(framework, command_task(task));
        let container_id = launched(&self.take()).container_id.clone();
        self.step(Event::ContainerLaunched {
            container_id: container_id.clone(),
            pid: 42,
        });
        self.subscribe(task);
        self.effects.clear();
        container_id
    }

    fn snapshot(&self) -> Snapshot {
        self.agent.snapshot(self.now)
    }
}

fn registered(epoch: u64) -> link::from_master::Message {
    link::from_master::Message::Registered(link::Registered {
        agent_id: "S0".into(),
        master: v1::MasterInfo::default(),
        epoch,
        total_ping_timeout_seconds: 75.0,
    })
}

fn framework() -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        id: Some("F".into()),
        user: "nobody".into(),
        name: "test".into(),
        ..Default::default()
    }
}

fn durable() -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        checkpoint: Some(true),
        ..framework()
    }
}

fn partition_aware() -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        capabilities: vec![v1::framework_info::Capability {
            r#type: Some(capability::Type::PartitionAware as i32),
        }],
        ..framework()
    }
}

fn resources(cpus: f64, mem: f64) -> Vec<v1::Resource> {
    [("cpus", cpus), ("mem", mem)]
        .map(|(name, value)| v1::Resource {
            name: name.into(),
            r#type: v1::value::Type::Scalar as i32,
            scalar: Some(v1::value::Scalar { value }),
            ..Default::default()
        })
        .to_vec()
}

fn task(id: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        name: id.into(),
        task_id: id.into(),
        agent_id: "S0".into(),
        resources: resources(1.0, 128.0),
        ..Default::default()
    }
}

fn command_task(id: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        command: Some(command("echo hello")),
        ..task(id)
    }
}

fn custom_task(id: &str, executor: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        executor: Some(custom_executor(executor)),
        ..task(id)
    }
}

fn custom_executor(id: &str) -> v1::ExecutorInfo {
    v1::ExecutorInfo {
        executor_id: id.into(),
        r#type: Some(v1::executor_info::Type::Custom as i32),
        command: Some(command("./executor")),
        resources: resources(0.1, 32.0),
        ..Default::default()
    }
}

fn command(value: &str) -> v1::CommandInfo {
    v1::CommandInfo {
        value: Some(value.into()),
        ..Default::default()
    }
}

/// An executor's status; `number` makes the uuid.
fn status(task: &str, state: v1::TaskState, number: u8) -> v1::TaskStatus {
    v1::TaskStatus {
        task_id: task.into(),
        state: state as i32,
        uuid: Some(vec![number; 16]),
        source: Some(v1::task_status::Source::Executor as i32),
        ..Default::default()
    }
}

fn launched(effects: &[Effect]) -> &ContainerConfig {
    let launches = launches(effects);
    assert_eq!(launches.len(), 1, "one launch in {effects:?}");
    launches[0]
}

fn launches(effects: &[Effect]) -> Vec<&ContainerConfig> {
    fn launch(effect: &Effect) -> Option<&ContainerConfig> {
        match effect {
            Effect::Launch(config) => Some(config),
            _ => None,
        }
    }
    effects.iter().filter_map(launch).collect()
}

fn sent(effects: &[Effect]) -> Vec<&link::from_agent::Message> {
    fn message(effect: &Effect) -> Option<&link::from_agent::Message> {
        match effect {
            Effect::ToMaster { message, .. } => Some(message),
            _ => None,
        }
    }
    effects.iter().filter_map(message).collect()
}

fn updates(effects: &[Effect]) -> Vec<link::StatusUpdate> {
    let mut updates = Vec::new();
    for message in sent(effects) {
        if let link::from_agent::Message::StatusUpdate(update) = message {
            updates.push(update.clone());
        }
    }
    updates
}

/// The one update that was sent.
fn update_sent(effects: &[Effect]) -> link::StatusUpdate {
    let mut all = updates(effects);
    assert_eq!(all.len(), 1, "one update in {effects:?}");
    all.remove(0)
}

fn told(effects: &[Effect]) -> Vec<v1::executor::Event> {
    let event = |effect: &Effect| match effect {
        Effect::ToExecutor { event, .. } => Some((**event).clone()),
        _ => None,
    };
    effects.iter().filter_map(event).collect()
}

fn told_types(effects: &[Effect]) -> Vec<v1::executor::event::Type> {
    let events = told(effects);
    events.iter().map(v1::executor::Event::r#type).collect()
}

fn destroyed(effects: &[Effect]) -> Vec<ContainerId> {
    let container = |effect: &Effect| match effect {
        Effect::DestroyContainer { container_id } => Some(container_id.clone()),
        _ => None,
    };
    effects.iter().filter_map(container).collect()
}

/// The cpus that a container was resized to.
fn resized(effects: &[Effect]) -> Option<String> {
    effects.iter().find_map(|effect| match effect {
        Effect::UpdateContainer { resources, .. } => Some(resources.cpus().to_string()),
        _ => None,
    })
}

fn exits(effects: &[Effect]) -> Option<bool> {
    effects.iter().find_map(|effect| match effect {
        Effect::Exit { failed, .. } => Some(*failed),
        _ => None,
    })
}

fn timer_at(effects: &[Effect], wanted: &TimerKey) -> Option<Instant> {
    effects.iter().rev().find_map(|effect| match effect {
        Effect::SetTimer { key, at } if key == wanted => Some(*at),
        _ => None,
    })
}
