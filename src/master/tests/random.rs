//! Random histories: whatever peers do, in whatever order, the records agree with the allocator.
//!
//! `MASTER_SEED` runs one history alone.

use super::*;
use crate::base::Rng;
use crate::registry::Maintenance;

const HOSTS: [&str; 3] = ["a", "b", "c"];
const STEPS: usize = 1500;
const SEEDS: u64 = 12;

/// What one host's agent really is.
#[derive(Default)]
struct Host {
    connection: Option<ConnectionId>,
    /// Once it has learned its id.
    info: Option<v1::AgentInfo>,
    tasks: BTreeMap<(String, String), Running>,
}

struct Running {
    framework: v1::FrameworkInfo,
    task: v1::TaskInfo,
    executor: Option<v1::ExecutorInfo>,
    state: TaskState,
}

struct Actor {
    info: v1::FrameworkInfo,
    scheduler: Option<Scheduler>,
    offers: Vec<v1::Offer>,
    unacknowledged: Vec<v1::TaskStatus>,
}

struct World {
    bench: Bench,
    rng: Rng,
    hosts: Vec<Host>,
    actors: Vec<Actor>,
    tasks: u64,
    finished: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let actors = [framework("new"), old_framework("old"), {
            let mut info = framework("fleeting");
            info.checkpoint = None;
            info.failover_timeout = None;
            info
        }];
        let actor = |info| Actor {
            info,
            scheduler: None,
            offers: Vec::new(),
            unacknowledged: Vec::new(),
        };
        Self {
            bench: Bench::new(),
            rng: Rng::seeded(seed, "master"),
            hosts: HOSTS.iter().map(|_| Host::default()).collect(),
            actors: actors.into_iter().map(actor).collect(),
            tasks: 0,
            finished: 0,
        }
    }

    fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.rng.below(count as u64)).unwrap()
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            match self.pick(17) {
                0 => self.link(),
                1 if self.rng.chance(1, 4) => self.cut(),
                2 => self.subscribe(),
                3 if self.rng.chance(1, 6) => self.unsubscribe(),
                4..=6 => self.accept(),
                7..=9 => self.progress(),
                10 => self.acknowledge(),
                11 => self.ask(),
                12 => {
                    let answers = self.rng.chance(2, 3);
                    self.bench.answers = answers;
                    if answers {
                        self.bench.answer_all();
                    }
                }
                13 if self.rng.chance(1, 8) => self.tear_down(),
                14 if self.rng.chance(1, 2) => self.operate(),
                _ => {
                    let pause = self.rng.up_to(Duration::from_secs(12));
                    self.bench.advance(pause);
                }
            }
            self.listen();
        }
    }

    /// Takes in what the master said.
    fn listen(&mut self) {
        for host in &mut self.hosts {
            let Some(connection) = host.connection else {
                continue;
            };
            for message in self.bench.messages(connection) {
                hear(&mut self.bench, host, connection, message);
            }
            if self.bench.closed.contains(&connection) {
                host.connection = None;
            }
        }
        for actor in &mut self.actors {
            let Some(scheduler) = actor.scheduler.clone() else {
                continue;
            };
            for event in self.bench.events(scheduler.connection) {
                if let Some(offers) = event.offers {
                    actor.offers.extend(offers.offers);
                }
                if let Some(update) = event.update.filter(|update| update.status.uuid.is_some()) {
                    actor.unacknowledged.push(update.status);
                }
            }
            if self.bench.closed.contains(&scheduler.connection) {
                actor.scheduler = None;
            }
        }
    }

    fn link(&mut self) {
        let at = self.pick(HOSTS.len());
        if self.hosts[at].connection.is_some() && self.rng.chance(9, 10) {
            return;
        }
        let connection = self.bench.open_link(HOSTS[at]);
        let host = &mut self.hosts[at];
        host.connection = Some(connection);
        let Some(info) = host.info.clone() else {
            self.bench
                .register_on(connection, HOSTS[at], "cpus:8;mem:4096;ports:[1-9]");
            return;
        };
        let frameworks: BTreeMap<_, _> = host
            .tasks
            .iter()
            .map(|((framework, _), running)| (framework.clone(), running.framework.clone()))
            .collect();
        let message = link::Reregister {
            agent: info,
            total: resources("cpus:8;mem:4096;ports:[1-9]"),
            frameworks: frameworks.into_values().collect(),
            executors: host
                .tasks
                .values()
                .filter_map(|running| running.executor.clone())
                .collect(),
            tasks: host.tasks.iter().map(report).collect(),
            version: "0.1.0".to_owned(),
            operations: Vec::new(),
        };
        self.bench.say(connection, FromAgent::Reregister(message));
    }

    fn cut(&mut self) {
        let at = self.pick(HOSTS.len());
        if let Some(connection) = self.hosts[at].connection.take() {
            self.bench.step(Event::AgentDisconnected { connection });
        }
        if self.rng.chance(1, 10) {
            self.hosts[at] = Host::default();
        }
    }

    fn subscribe(&mut self) {
        let at = self.pick(self.actors.len());
        if self.actors[at].scheduler.is_some() && self.rng.chance(9, 10) {
            return;
        }
        let connection = self.bench.connection();
        let actor = &mut self.actors[at];
        self.bench.subscribe_on(connection, actor.info.clone());
        actor.offers.clear();
        actor.unacknowledged.clear();
        let events = self.bench.events(connection);
        match &events[0].subscribed {
            Some(subscribed) => {
                actor.info.id = Some(subscribed.framework_id.clone());
                actor.scheduler = Some(Scheduler {
                    id: FrameworkId::new(&*subscribed.framework_id.value),
                    connection,
                });
            }
            None => actor.info.id = None,
        }
    }

    fn unsubscribe(&mut self) {
        let at = self.pick(self.actors.len());
        if let Some(scheduler) = self.actors[at].scheduler.take() {
            self.bench.disconnect(&scheduler);
        }
    }

    fn tear_down(&mut self) {
        let at = self.pick(self.actors.len());
        if let Some(scheduler) = self.actors[at].scheduler.take() {
            self.bench
                .call(&scheduler, SchedulerCall::Teardown)
                .unwrap();
        }
    }

    /// An operator decides something; whether it may is the master's question.
    fn operate(&mut self) {
        let host = self.pick(HOSTS.len());
        let named = self.hosts[host]
            .info
            .as_ref()
            .and_then(|info| info.id.clone());
        let agent_id = crate::base::AgentId::new(named.map_or("none".to_owned(), |id| id.value));
        let machine = v1::MachineId {
            hostname: Some(HOSTS[host].to_owned()),
            ip: None,
        };
        let machines = Maintenance::read_machines(std::slice::from_ref(&machine)).unwrap();
        let window = v1::maintenance::Window {
            machine_ids: vec![machine],
            unavailability: v1::Unavailability {
                start: v1::TimeInfo { nanoseconds: 1 },
                duration: None,
            },
        };
        let scheduled = self.rng.chance(1, 2);
        let schedule = v1::maintenance::Schedule {
            windows: scheduled.then_some(window).into_iter().collect(),
        };
        let amount = v1::value::Scalar {
            value: self.rng.below(20) as f64,
        };
        let quota = v1::quota::QuotaConfig {
            role: "dev".to_owned(),
            limits: [("cpus".to_owned(), amount)].into(),
            ..v1::quota::QuotaConfig::default()
        };
        let call = match self.rng.below(10) {
            0 | 1 => OperatorCall::DrainAgent {
                agent_id,
                grace_max: None,
                mark_gone: self.rng.chance(1, 4),
            },
            2 => OperatorCall::DeactivateAgent { agent_id },
            3 | 4 => OperatorCall::ReactivateAgent { agent_id },
            5 => OperatorCall::MarkAgentGone { agent_id },
            6 => OperatorCall::UpdateMaintenanceSchedule {
                windows: Maintenance::read_schedule(&schedule).unwrap(),
            },
            7 if self.rng.chance(1, 2) => OperatorCall::StartMaintenance { machines },
            7 | 8 => OperatorCall::StopMaintenance { machines },
            _ => OperatorCall::UpdateQuota {
                quotas: crate::quota::from_configs(&[quota]).unwrap(),
                force: self.rng.chance(1, 2),
            },
        };
        let request = RequestId(self.bench.number());
        self.bench.step(Event::OperatorCall { request, call });
    }

    fn accept(&mut self) {
        let at = self.pick(self.actors.len());
        let Some(scheduler) = self.actors[at].scheduler.clone() else {
            return;
        };
        if self.actors[at].offers.is_empty() {
            return;
        }
        let offers = &mut self.actors[at].offers;
        let count = usize::try_from(self.rng.below(3))
            .unwrap()
            .min(offers.len());
        let used: Vec<_> = offers.drain(..count.max(1)).collect();
        let mut tasks = Vec::new();
        for _ in 0..self.rng.below(4) {
            // Ids are used again now and then.
            self.tasks += u64::from(self.rng.chance(4, 5));
            let agent = AgentPeer {
                id: used[0].agent_id.clone(),
                info: v1::AgentInfo::default(),
                connection: scheduler.connection,
            };
            let needs = [
                "cpus:1;mem:64",
                "cpus:3;mem:512;ports:[2-3]",
                "cpus:9;mem:64",
            ];
            let needs = needs[usize::try_from(self.rng.below(3)).unwrap()];
            let mut task = task(&format!("t{}", self.tasks), &agent, needs);
            if self.rng.chance(1, 3) {
                task.command = None;
                task.executor = Some(v1::ExecutorInfo {
                    executor_id: "shared".into(),
                    command: Some(v1::CommandInfo::default()),
                    resources: resources("cpus:0.5;mem:32"),
                    ..v1::ExecutorInfo::default()
                });
            }
            tasks.push(task);
        }
        let accept = call::Accept {
            offer_ids: used.iter().map(|offer| offer.id.clone()).collect(),
            operations: vec![launch(tasks)],
            filters: Some(v1::Filters {
                refuse_seconds: Some(self.rng.below(10) as f64),
            }),
        };
        self.bench
            .call(&scheduler, SchedulerCall::Accept(accept))
            .unwrap();
    }

    /// One task on one host goes on.
    fn progress(&mut self) {
        let at = self.pick(HOSTS.len());
        let host = &mut self.hosts[at];
        let (Some(connection), Some(info)) = (host.connection, host.info.clone()) else {
            return;
        };
        if host.tasks.is_empty() {
            return;
        }
        let pick = usize::try_from(self.rng.below(host.tasks.len() as u64)).unwrap();
        let ((framework, task), running) = host.tasks.iter_mut().nth(pick).unwrap();
        let next = [
            TaskState::TaskStarting,
            TaskState::TaskRunning,
            TaskState::TaskFinished,
            TaskState::TaskFailed,
        ];
        let next = next[usize::try_from(self.rng.below(4)).unwrap()];
        if !running.state.is_terminal() {
            running.state = next;
        }
        let update = link::StatusUpdate {
            framework_id: (&**framework).into(),
            executor_id: None,
            status: v1::TaskStatus {
                task_id: (&**task).into(),
                state: running.state.into(),
                uuid: Some(self.rng.uuid().0.to_vec()),
                agent_id: info.id,
                ..v1::TaskStatus::default()
            },
            latest_state: running.state.into(),
        };
        self.bench.say(connection, FromAgent::StatusUpdate(update));
    }

    fn acknowledge(&mut self) {
        let at = self.pick(self.actors.len());
        let actor = &mut self.actors[at];
        let Some(scheduler) = actor.scheduler.clone() else {
            return;
        };
        for status in std::mem::take(&mut actor.unacknowledged) {
            let before = self.bench.snapshot().frameworks[&scheduler.id].tasks.len();
            self.bench.acknowledge(&scheduler, &status);
            let after = self.bench.snapshot().frameworks[&scheduler.id].tasks.len();
            self.finished += before - after;
        }
    }

    fn ask(&mut self) {
        let at = self.pick(self.actors.len());
        let Some(scheduler) = self.actors[at].scheduler.clone() else {
            return;
        };
        let task_id = v1::TaskId {
            value: format!("t{}", self.rng.below(self.tasks + 1)),
        };
        let call = match self.rng.below(4) {
            0 => SchedulerCall::Kill(call::Kill {
                task_id,
                ..call::Kill::default()
            }),
            1 => SchedulerCall::Reconcile(call::Reconcile {
                tasks: vec![call::reconcile::Task {
                    task_id,
                    agent_id: None,
                }],
            }),
            2 => SchedulerCall::Revive { roles: vec![] },
            _ => SchedulerCall::Reconcile(call::Reconcile::default()),
        };
        self.bench.call(&scheduler, call).unwrap();
    }
}

/// What an agent does with a message.
fn hear(bench: &mut Bench, host: &mut Host, connection: ConnectionId, message: FromMaster) {
    match message {
        FromMaster::Registered(answer) => {
            let mut info = agent_info("");
            info.id = Some(answer.agent_id);
            host.info = Some(info);
            let at = bench.snapshot();
            let id = host.info.as_ref().and_then(|info| info.id.clone()).unwrap();
            let record = &at.agents[&crate::base::AgentId::new(&*id.value)];
            host.info = Some(v1::AgentInfo::clone(&record.info));
        }
        FromMaster::RunTask(run) => {
            let framework = run.framework.id.clone().unwrap().value;
            let key = (framework, run.task.task_id.value.clone());
            let running = Running {
                framework: run.framework,
                task: run.task,
                executor: run.executor,
                state: TaskState::TaskStaging,
            };
            let twice = host.tasks.insert(key, running);
            assert!(
                twice.is_none_or(|former| former.state.is_terminal()),
                "a task is launched while one of its id runs"
            );
        }
        FromMaster::Acknowledge(answer) => {
            let key = (answer.framework_id.value, answer.task_id.value);
            let over = |running: &Running| running.state.is_terminal();
            if host.tasks.get(&key).is_some_and(over) {
                host.tasks.remove(&key);
            }
        }
        FromMaster::KillTask(kill) => {
            let key = (kill.framework_id.value, kill.task_id.value);
            if let Some(running) = host.tasks.get_mut(&key) {
                running.state = TaskState::TaskKilled;
            }
        }
        FromMaster::ShutdownFramework(gone) => {
            host.tasks
                .retain(|(framework, _), _| *framework != gone.framework_id.value);
        }
        FromMaster::Ping(ping) => {
            let sequence = ping.sequence;
            bench.say(connection, FromAgent::Pong(link::Pong { sequence }));
        }
        FromMaster::DrainAgent(_) => {
            for running in host.tasks.values_mut() {
                if !running.state.is_terminal() {
                    running.state = TaskState::TaskKilled;
                }
            }
        }
        FromMaster::Shutdown(_) => *host = Host::default(),
        FromMaster::Reregistered(_)
        | FromMaster::RunTaskGroup(_)
        | FromMaster::ShutdownExecutor(_)
        | FromMaster::FrameworkMessage(_)
        | FromMaster::UpdateFramework(_)
        | FromMaster::ApplyOperation(_)
        | FromMaster::AcknowledgeOperation(_) => {}
    }
}

fn report(((framework, task), running): (&(String, String), &Running)) -> v1::Task {
    v1::Task {
        name: task.clone(),
        task_id: (&**task).into(),
        framework_id: (&**framework).into(),
        agent_id: running.task.agent_id.clone(),
        executor_id: running
            .executor
            .as_ref()
            .map(|executor| executor.executor_id.clone()),
        state: running.state.into(),
        resources: running.task.resources.clone(),
        ..v1::Task::default()
    }
}

#[test]
fn records_and_allocator_agree_in_random_histories() {
    let chosen = std::env::var("MASTER_SEED")
        .ok()
        .map(|seed| seed.parse().unwrap());
    let seeds = chosen.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    let mut finished = 0;
    for seed in seeds {
        eprintln!("MASTER_SEED={seed}");
        let mut world = World::new(seed);
        world.run();
        finished += world.finished;
        let metrics = world.bench.snapshot().metrics;
        assert!(metrics.offers_sent > 0 && metrics.slave_registrations > 0);
    }
    assert!(finished > 0, "some tasks go through a whole life");
}
