//! The containers of the world: what a containerizer and executors do, and how they fail.

use super::*;

impl World {
    /// What an agent's containerizer finds of its earlier life.
    pub(super) fn recover(&mut self, index: usize, wanted: Vec<agent::ContainerConfig>) {
        let incarnation = self.agents[index].incarnation;
        let boot = self.agents[index].boot;
        let wanted: Vec<ContainerId> = wanted.into_iter().map(|it| it.container_id).collect();
        let node = &self.agents[index];
        let found = |id: &ContainerId| node.containers.get(id).is_some_and(|it| it.started);
        let unwanted = |id: &&ContainerId| !wanted.contains(id) || !found(id);
        let gone: Vec<ContainerId> = node.containers.keys().filter(unwanted).cloned().collect();
        let (there, missing): (Vec<_>, Vec<_>) = wanted.iter().cloned().partition(found);
        for id in gone {
            self.container_vanishes(index, &id);
        }
        let pause = Duration::from_millis(1);
        for container_id in missing {
            self.count("container not found again");
            let ended = Box::new(Ended::default());
            let event = agent::Event::ContainerEnded {
                container_id,
                ended,
            };
            self.after(pause, Happening::Agent(index, incarnation, event));
        }
        for id in there {
            self.count("container taken back");
            let event = agent::Event::ContainerLaunched {
                container_id: id.clone(),
                pid: 4711,
            };
            self.after(pause, Happening::Agent(index, incarnation, event));
            // Most come back in time.
            let wait = self.life.up_to(Duration::from_millis(2_200));
            self.after(wait, Happening::ExecutorConnects(index, boot, id));
        }
        let pause = pause + self.life.up_to(Duration::from_millis(50));
        let done = agent::Event::Recovered;
        self.after(pause, Happening::Agent(index, incarnation, done));
    }

    /// A container is gone with all its processes, and nobody is told.
    pub(super) fn container_vanishes(&mut self, index: usize, id: &ContainerId) {
        if let Some(container) = self.agents[index].containers.remove(id) {
            for task in container.tasks.keys() {
                self.checkers.died(&container.config.framework_id, task);
            }
        }
    }

    pub(super) fn launch(&mut self, index: usize, config: agent::ContainerConfig) {
        let id = config.container_id.clone();
        let boot = self.agents[index].boot;
        self.count("container launch");
        let previous = self.agents[index]
            .containers
            .insert(id.clone(), Container::new(config));
        assert!(previous.is_none(), "container {id} is launched twice");
        let pause = Duration::from_millis(1) + self.life.up_to(Duration::from_millis(500));
        if self.chance(self.options.launch_failure) {
            let ended = Ended {
                wait_status: None,
                reason: None,
                message: "the simulation lets the launch fail".into(),
            };
            self.after(pause, Happening::ContainerEnds(index, boot, id, ended));
        } else {
            self.after(pause, Happening::ContainerStarts(index, boot, id));
        }
    }

    pub(super) fn destroy(&mut self, index: usize, id: ContainerId) {
        let boot = self.agents[index].boot;
        let Some(container) = self.agents[index].containers.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut container.destroying, true) {
            return;
        }
        let ended = Ended {
            wait_status: Some(9),
            reason: None,
            message: "destroyed".into(),
        };
        self.after(
            Duration::from_millis(5),
            Happening::ContainerEnds(index, boot, id, ended),
        );
    }

    pub(super) fn container_starts(&mut self, index: usize, boot: u32, id: &ContainerId) {
        let node = &mut self.agents[index];
        // A launch does not get any further without its agent.
        if boot != node.boot || node.core.is_none() {
            return;
        }
        let Some(container) = node.containers.get_mut(id) else {
            return;
        };
        if container.destroying {
            return;
        }
        container.started = true;
        self.step_agent(
            index,
            agent::Event::ContainerLaunched {
                container_id: id.clone(),
                pid: 4711,
            },
        );
        let mut pause = self.life.up_to(Duration::from_millis(200));
        if self.chance(self.options.wedged_executor) {
            self.count("late executor");
            pause += self.faults.up_to(Duration::from_secs(90));
        }
        self.after(pause, Happening::ExecutorConnects(index, boot, id.clone()));
    }

    pub(super) fn executor_connects(&mut self, index: usize, boot: u32, id: &ContainerId) {
        let connection = ConnectionId(self.id());
        let node = &mut self.agents[index];
        // The next agent's recovery makes it try again.
        if boot != node.boot || node.core.is_none() {
            return;
        }
        let Some(container) = node.containers.get_mut(id) else {
            return;
        };
        if container.connection.is_some() || container.destroying {
            return;
        }
        container.connection = Some(connection);
        let event = agent::Event::ExecutorSubscribed {
            connection,
            framework_id: container.config.framework_id.clone(),
            executor_id: container.config.executor_id.clone(),
            unacknowledged_tasks: container.unacknowledged_tasks(),
            unacknowledged_updates: container.unacknowledged.clone(),
            container: Some(id.clone()),
        };
        self.step_agent(index, event);
    }

    pub(super) fn executor_link_breaks(&mut self, index: usize, id: &ContainerId) {
        let node = &mut self.agents[index];
        let boot = node.boot;
        let Some(container) = node.containers.get_mut(id) else {
            return;
        };
        let Some(connection) = container.connection.take() else {
            return;
        };
        self.count("broken executor link");
        self.step_agent(index, agent::Event::ExecutorDisconnected { connection });
        self.after(
            Duration::from_millis(300),
            Happening::ExecutorConnects(index, boot, id.clone()),
        );
    }

    pub(super) fn executor_hears(
        &mut self,
        index: usize,
        incarnation: u32,
        id: &ContainerId,
        event: &v1::executor::Event,
    ) {
        use v1::executor::event::Type;
        let node = &mut self.agents[index];
        if incarnation != node.incarnation || node.core.is_none() {
            return;
        }
        let boot = node.boot;
        let Some(container) = node.containers.get_mut(id).filter(|it| !it.wedged) else {
            return;
        };
        match event.r#type() {
            Type::Message => self.executor_answers(index, id),
            Type::Launch => {
                let info = event.launch.as_ref().unwrap().task.clone();
                self.start_task(index, id, info);
            }
            Type::LaunchGroup => {
                let group = event.launch_group.as_ref().unwrap().task_group.clone();
                for info in group.tasks {
                    self.start_task(index, id, info);
                }
            }
            Type::Kill => {
                let task = TaskId::new(event.kill.as_ref().unwrap().task_id.value.as_str());
                if self.life.chance(1, 2) {
                    let killing = TaskState::TaskKilling;
                    let what =
                        Happening::TaskBecomes(index, boot, id.clone(), task.clone(), killing);
                    self.after(Duration::from_millis(1), what);
                }
                self.after(
                    Duration::from_millis(20),
                    Happening::TaskBecomes(index, boot, id.clone(), task, TaskState::TaskKilled),
                );
            }
            Type::Acknowledged => {
                let acknowledged = event.acknowledged.as_ref().unwrap();
                let task = TaskId::new(acknowledged.task_id.value.as_str());
                container.acknowledged(&task, &acknowledged.uuid);
                self.maybe_exit(index, id);
            }
            Type::Shutdown => {
                container.shutting_down = true;
                let live: Vec<_> = container
                    .tasks
                    .iter()
                    .filter(|(_, run)| !run.state.is_terminal())
                    .map(|(task, _)| task.clone())
                    .collect();
                for task in live {
                    self.after(
                        Duration::from_millis(10),
                        Happening::TaskBecomes(
                            index,
                            boot,
                            id.clone(),
                            task,
                            TaskState::TaskKilled,
                        ),
                    );
                }
                self.maybe_exit(index, id);
            }
            _ => {}
        }
    }

    /// Bytes for the scheduler.
    fn executor_answers(&mut self, index: usize, id: &ContainerId) {
        let container = &self.agents[index].containers[id];
        let event = agent::Event::ExecutorCall {
            request: None,
            framework_id: container.config.framework_id.clone(),
            executor_id: container.config.executor_id.clone(),
            connection: container.connection,
            call: Box::new(ExecutorCall::Message {
                data: b"yes".to_vec(),
            }),
        };
        self.step_agent(index, event);
    }

    pub(super) fn start_task(&mut self, index: usize, id: &ContainerId, info: v1::TaskInfo) {
        let node = &mut self.agents[index];
        let boot = node.boot;
        let container = node.containers.get_mut(id).unwrap();
        let framework = container.config.framework_id.clone();
        let task = container.launch(info, &mut self.life);
        let lasts = Duration::from_millis(container.tasks[&task].lasts_millis);
        let ends_as = container.tasks[&task].ends_as;
        let command = container.is_command();
        self.checkers.started(&framework, &task);
        self.assert_not_overcommitted(index);
        self.count("task start");
        let becomes = |world: &mut Self, pause: Duration, state| {
            world.after(
                pause,
                Happening::TaskBecomes(index, boot, id.clone(), task.clone(), state),
            );
        };
        if command {
            becomes(self, Duration::ZERO, TaskState::TaskStarting);
        }
        becomes(self, Duration::from_millis(2), TaskState::TaskRunning);
        becomes(self, Duration::from_millis(3) + lasts, ends_as);
    }

    /// Never does more run on an agent than it has. Frameworks that the master has removed count no more:
    /// their resources are given away while their executors end.
    fn assert_not_overcommitted(&self, index: usize) {
        let Some(master) = self.leading() else {
            return;
        };
        let core = self.masters[master].core.as_ref();
        let core = core.expect("it leads");
        let known = core.snapshot(self.master_now(master)).frameworks;
        let millicpus = |resources: &[v1::Resource]| -> u64 {
            let cpus = resources.iter().filter(|resource| resource.name == "cpus");
            cpus.map(|cpus| (cpus.scalar.unwrap().value * 1_000.0).round() as u64)
                .sum()
        };
        let node = &self.agents[index];
        let containers = node.containers.values();
        let mine =
            containers.filter(|container| known.contains_key(&container.config.framework_id));
        let running: u64 = mine
            .flat_map(|container| container.tasks.values())
            .filter(|run| !run.state.is_terminal())
            .map(|run| millicpus(&run.info.resources))
            .sum();
        let core = node
            .core
            .as_ref()
            .expect("tasks start on agents that are up");
        let total = millicpus(&core.snapshot(self.agent_now(index)).info.resources);
        assert!(
            running <= total,
            "agent {index} runs tasks of {running} millicpus and has {total}"
        );
    }

    pub(super) fn task_becomes(
        &mut self,
        index: usize,
        boot: u32,
        id: &ContainerId,
        task: &TaskId,
        state: TaskState,
    ) {
        let node = &mut self.agents[index];
        if boot != node.boot {
            return;
        }
        let Some(container) = node.containers.get_mut(id) else {
            return;
        };
        let Some(run) = container.tasks.get(task) else {
            return;
        };
        let killing = run.state == TaskState::TaskKilling && !state.is_terminal();
        if killing || run.state.is_terminal() || container.destroying || container.wedged {
            return;
        }
        if self.faults_on && self.faults.chance(self.options.wedged_executor, 20_000) {
            container.wedged = true;
            return self.count("wedged executor");
        }
        let status = container.update(task, state, &mut self.life);
        let (framework_id, executor_id) = (
            container.config.framework_id.clone(),
            container.config.executor_id.clone(),
        );
        self.checkers.reported(&framework_id, task, &status);
        if let Some(connection) = container.connection {
            let uuid = Uuid::from_slice(status.uuid.as_deref().unwrap()).unwrap();
            let update = agent::Event::ExecutorCall {
                request: None,
                framework_id,
                executor_id,
                connection: Some(connection),
                call: Box::new(ExecutorCall::Update {
                    task_id: task.clone(),
                    uuid,
                    status: Box::new(status),
                }),
            };
            if self.chance(self.options.duplication) {
                self.count("executor speaks twice");
                self.step_agent(index, update.clone());
            }
            self.step_agent(index, update);
        }
    }

    /// The built-in executor ends after its task's last update was acknowledged, any executor when it
    /// was told to and nothing is left to say.
    pub(super) fn maybe_exit(&mut self, index: usize, id: &ContainerId) {
        let node = &mut self.agents[index];
        let boot = node.boot;
        let Some(container) = node.containers.get_mut(id) else {
            return;
        };
        let ended = container.tasks.values().all(|run| run.state.is_terminal());
        let over =
            container.shutting_down || (container.is_command() && !container.tasks.is_empty());
        if ended && over && container.unacknowledged.is_empty() && !container.destroying {
            container.destroying = true;
            let ended = Ended {
                wait_status: Some(0),
                reason: None,
                message: "exited".into(),
            };
            self.after(
                Duration::from_millis(3),
                Happening::ContainerEnds(index, boot, id.clone(), ended),
            );
        }
    }

    pub(super) fn container_ends(
        &mut self,
        index: usize,
        boot: u32,
        id: ContainerId,
        ended: Ended,
    ) {
        let node = &mut self.agents[index];
        if boot != node.boot {
            return;
        }
        let Some(container) = node.containers.remove(&id) else {
            return;
        };
        for task in container.tasks.keys() {
            self.checkers.died(&container.config.framework_id, task);
        }
        if let Some(connection) = container.connection {
            self.step_agent(index, agent::Event::ExecutorDisconnected { connection });
        }
        self.step_agent(
            index,
            agent::Event::ContainerEnded {
                container_id: id,
                ended: Box::new(ended),
            },
        );
    }
}
