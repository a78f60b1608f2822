//! The agents of the world: their events, what they ask for, their disks and links.

use mesosd::testing::planted::Bug;

use super::*;

/// The task that a message wants launched; of a group the first.
fn launched(message: &link::from_master::Message) -> Option<(FrameworkId, TaskId)> {
    use link::from_master::Message;
    let (framework, task) = match message {
        Message::RunTask(run) => (&run.framework, &run.task),
        Message::RunTaskGroup(run) => (&run.framework, run.task_group.tasks.first()?),
        _ => return None,
    };
    let framework = FrameworkId::new(framework.id.as_ref()?.value.as_str());
    Some((framework, TaskId::new(task.task_id.value.as_str())))
}

impl World {
    pub(super) fn agent_event(&mut self, index: usize, incarnation: u32, event: agent::Event) {
        if incarnation != self.agents[index].incarnation {
            return;
        }
        self.step_agent(index, event);
    }

    pub(super) fn step_agent(&mut self, index: usize, event: agent::Event) {
        let now = self.agent_now(index);
        let node = &self.agents[index];
        if node.core.is_none() {
            return;
        }
        if node.frozen_until > self.now {
            let (at, incarnation) = (node.frozen_until, node.incarnation);
            return self.at(at, Happening::Agent(index, incarnation, event));
        }
        self.note(|| shorten(format!("agent {index} <- {event:?}")));
        let mut effects = agent::Effects::new();
        let looks = self.looks();
        if let Some(core) = self.agents[index].core.as_mut() {
            core.step(now, event, &mut effects);
            if looks {
                core.check_invariants();
            }
        }
        self.perform_agent(index, &mut effects);
    }

    pub(super) fn perform_agent(&mut self, index: usize, effects: &mut agent::Effects) {
        for effect in effects.drain().collect::<Vec<_>>() {
            self.perform_agent_effect(index, effect);
        }
    }

    pub(super) fn perform_agent_effect(&mut self, index: usize, effect: agent::Effect) {
        let incarnation = self.agents[index].incarnation;
        self.checkers.agent_effect(&effect);
        match effect {
            agent::Effect::ToMaster {
                connection,
                message,
            } => {
                self.assert_operation_written(index, &message);
                self.checkers.said_by_agent(&message);
                if self.agents[index].link == Some(connection)
                    && let Some(at) = self.arrival(connection, false)
                {
                    self.at(at, Happening::ToMaster(connection, message));
                }
            }
            agent::Effect::CloseMaster { connection } => {
                if self.agents[index].link == Some(connection) {
                    self.break_link(connection, true);
                    self.agent_loses_master(connection);
                }
            }
            agent::Effect::ToExecutor { connection, event } => {
                self.assert_written(index, connection, &event);
                let node = &self.agents[index];
                let id = node
                    .containers
                    .iter()
                    .find(|(_, container)| container.connection == Some(connection))
                    .map(|(id, _)| id.clone());
                if let Some(id) = id {
                    self.after(
                        Duration::from_micros(100),
                        Happening::ExecutorHears(index, incarnation, id, event),
                    );
                }
            }
            agent::Effect::CloseExecutor { connection } => {
                let node = &mut self.agents[index];
                let id = node
                    .containers
                    .iter_mut()
                    .find(|(_, container)| container.connection == Some(connection))
                    .map(|(id, container)| {
                        container.connection = None;
                        id.clone()
                    });
                if let Some(id) = id {
                    let boot = self.agents[index].boot;
                    self.after(
                        Duration::from_millis(500),
                        Happening::ExecutorConnects(index, boot, id),
                    );
                }
            }
            agent::Effect::Recover(known) => self.recover(index, known),
            agent::Effect::Launch(config) => self.launch(index, *config),
            agent::Effect::MakeVolumes {
                operation: Some(operation),
                ..
            } => {
                let result = if self.chance(self.options.launch_failure) {
                    self.count("volume not made");
                    Err("no space left on device".to_owned())
                } else {
                    Ok(())
                };
                let made = agent::Event::VolumesMade { operation, result };
                self.after(Duration::ZERO, Happening::Agent(index, incarnation, made));
            }
            agent::Effect::UpdateContainer { .. }
            | agent::Effect::MakeVolumes { .. }
            | agent::Effect::RemoveVolumes { .. }
            | agent::Effect::EmptyTrash { .. }
            | agent::Effect::LinkVolumes { .. }
            | agent::Effect::Reply { .. } => {}
            agent::Effect::MeasureDisk => {
                let permille = u32::try_from(self.life.below(1_001)).unwrap();
                let event = agent::Event::DiskUsage { permille };
                self.after(
                    Duration::from_millis(1),
                    Happening::Agent(index, incarnation, event),
                );
            }
            agent::Effect::DestroyContainer { container_id } => self.destroy(index, container_id),
            agent::Effect::Checkpoint { token, record } => {
                let pause = self.network.up_to(self.options.write_max);
                let at = (self.now + nanos(pause)).max(self.agents[index].disk_free_at);
                self.agents[index].disk_free_at = at;
                self.at(at, Happening::Write(index, incarnation, token, *record));
            }
            agent::Effect::RemovePath { path } => self.after(
                Duration::from_millis(1),
                Happening::Agent(
                    index,
                    incarnation,
                    agent::Event::PathRemoved {
                        path,
                        result: Ok(()),
                    },
                ),
            ),
            agent::Effect::SetTimer { key, at } => {
                let generation = self.id();
                self.agents[index].timers.insert(key.clone(), generation);
                let at = self.agents[index].clock.reaches(at);
                self.at(
                    at,
                    Happening::AgentTimer(index, incarnation, key, generation),
                );
            }
            agent::Effect::CancelTimer { key } => {
                self.agents[index].timers.remove(&key);
            }
            agent::Effect::Exit { reason, .. } => {
                self.note(|| format!("agent {index} exits: {reason}"));
                self.count("agent exit");
                self.end_agent(index);
            }
        }
    }

    /// An executor may forget an update once the agent's disk has it, or has the end of its task.
    fn assert_written(
        &mut self,
        index: usize,
        connection: ConnectionId,
        event: &v1::executor::Event,
    ) {
        let Some(acknowledged) = &event.acknowledged else {
            return;
        };
        let node = &self.agents[index];
        let mut containers = node.containers.values();
        let container = containers.find(|container| container.connection == Some(connection));
        let core = node.core.as_ref().expect("an agent that is up speaks");
        let frameworks = core.snapshot(self.agent_now(index)).frameworks;
        let framework = container.and_then(|it| frameworks.get(&it.config.framework_id));
        if !framework.is_some_and(|framework| framework.info.checkpoint()) {
            return;
        }
        let written = node.disk.records.iter().rev().any(|record| match record {
            agent::checkpoint::Record::Update { status, .. } => {
                status.uuid() == acknowledged.uuid
                    || (status.task_id == acknowledged.task_id && status.state().is_terminal())
            }
            _ => false,
        });
        assert!(
            written,
            "agent {index} acknowledges an update of task {} that it has not written down",
            acknowledged.task_id.value
        );
        let info = &core.snapshot(self.agent_now(index)).info;
        let (Some(container), Some(agent)) = (container, &info.id) else {
            return;
        };
        let framework = container.config.framework_id.clone();
        let agent = AgentId::new(agent.value.as_str());
        self.checkers.acknowledged(&framework, &agent, acknowledged);
    }

    /// The master may hear of an operation once the agent's disk has what it did.
    fn assert_operation_written(&mut self, index: usize, message: &link::from_agent::Message) {
        let link::from_agent::Message::OperationUpdate(update) = message else {
            return;
        };
        self.count("operation");
        let uuid = &update.operation_uuid;
        let written = self.agents[index]
            .disk
            .records
            .iter()
            .any(|record| match record {
                agent::checkpoint::Record::Operation { operation, .. } => {
                    operation.uuid.value == *uuid
                }
                _ => false,
            });
        assert!(
            written,
            "agent {index} confirms operation {uuid:?} that it has not written down"
        );
    }

    pub(super) fn write(
        &mut self,
        index: usize,
        incarnation: u32,
        token: agent::checkpoint::CheckpointToken,
        record: agent::checkpoint::Record,
    ) {
        if incarnation != self.agents[index].incarnation || self.agents[index].core.is_none() {
            return;
        }
        let full = self.agents[index].full_until > self.now && self.faults_on;
        let result = if full || self.chance(self.options.checkpoint_failure) {
            self.count("failed checkpoint");
            self.agents[index]
                .disk
                .write_part(&record, &mut self.faults);
            Err("no space left on device".to_owned())
        } else {
            self.agents[index].disk.write(&record);
            Ok(())
        };
        self.step_agent(index, agent::Event::Checkpointed { token, result });
    }

    pub(super) fn agent_connects(&mut self, index: usize, incarnation: u32) {
        if incarnation != self.agents[index].incarnation
            || self.agents[index].core.is_none()
            || self.agents[index].link.is_some()
        {
            return;
        }
        let cut = self.agents[index].cut_until > self.now && self.faults_on;
        let leader = self.leader_of(self.agent_client(index));
        let Some(master) = leader.filter(|master| self.accepts(*master) && !cut) else {
            let pause = self.network.up_to(Duration::from_secs(2));
            self.after(pause, Happening::AgentConnects(index, incarnation));
            return;
        };
        let connection = self.connect(Peer::Agent(index), master);
        self.agents[index].link = Some(connection);
        let connected = master::Event::AgentConnected {
            connection,
            peer: format!("agent-{index}:5051"),
        };
        self.step_master(master, connected);
        self.step_agent(index, agent::Event::MasterConnected { connection });
    }

    pub(super) fn connect(&mut self, peer: Peer, master: usize) -> ConnectionId {
        let connection = ConnectionId(self.id());
        let epoch = self.masters[master].epoch;
        self.links.insert(
            connection,
            Link {
                peer,
                master,
                epoch,
                up: true,
                to_peer_at: 0,
                to_master_at: 0,
            },
        );
        connection
    }

    pub(super) fn agent_hears(
        &mut self,
        connection: ConnectionId,
        message: Box<link::from_master::Message>,
    ) {
        let Some(link) = self.links.get(&connection).filter(|link| link.up) else {
            return;
        };
        let Peer::Agent(index) = link.peer else {
            return;
        };
        if self.agents[index].link == Some(connection) {
            let former = link.epoch < self.agents[index].disk.epoch();
            let answers = matches!(
                &*message,
                link::from_master::Message::Registered(_)
                    | link::from_master::Message::Reregistered(_)
            );
            let launched = launched(&message).filter(|_| former);
            if let link::from_master::Message::ShutdownFramework(ended) = &*message {
                let id = FrameworkId::new(ended.framework_id.value.as_str());
                let is_brief = |it: &&Scheduler| it.id.as_ref() == Some(&id) && it.is_brief();
                if self.schedulers.iter().any(|it| is_brief(&it)) {
                    self.checkers.ended(id);
                }
            }
            let said = agent::Event::MasterMessage {
                connection,
                message,
            };
            let before = launched
                .as_ref()
                .is_some_and(|task| self.has_task(index, task));
            self.step_agent(index, said);
            if former && answers {
                self.count("former leader answers an agent");
                // With the bug, it is the launch that must be noticed.
                assert!(
                    self.agents[index].link != Some(connection)
                        || self.bugs.has(Bug::StaleLeaderAccepted),
                    "agent {index} believes a leader whose successor it knows"
                );
            }
            if let Some(task) = launched {
                let after = self.has_task(index, &task);
                assert!(
                    before || !after,
                    "agent {index} accepts the launch of {} by a leader whose successor it knows",
                    task.1
                );
            }
        }
    }

    /// A leader launches on an agent that has written down its successor: whatever becomes of the
    /// message, the task must never start.
    pub(super) fn watch_launch(
        &mut self,
        connection: ConnectionId,
        message: &link::from_master::Message,
    ) {
        let (Some(task), Some(link)) = (launched(message), self.links.get(&connection)) else {
            return;
        };
        if let Peer::Agent(index) = link.peer
            && link.epoch < self.agents[index].disk.epoch()
        {
            self.count("launch of a former leader");
            self.checkers.launched_in_vain(task);
        }
    }

    fn has_task(&self, index: usize, (framework, task): &(FrameworkId, TaskId)) -> bool {
        let core = self.agents[index].core.as_ref();
        let Some(snapshot) = core.map(|core| core.snapshot(self.agent_now(index))) else {
            return false;
        };
        let framework = snapshot.frameworks.get(framework);
        framework.is_some_and(|framework| {
            let mut executors = framework.executors.values();
            executors.any(|executor| executor.tasks.contains_key(task))
        })
    }

    pub(super) fn agent_loses_master(&mut self, connection: ConnectionId) {
        let Some(link) = self.links.get_mut(&connection) else {
            return;
        };
        let Peer::Agent(index) = link.peer else {
            return;
        };
        if link.up {
            // The master closed it: its own side is told as well.
            link.up = false;
            self.after(
                Duration::from_millis(1),
                Happening::MasterLosesAgent(connection),
            );
        }
        if self.agents[index].link != Some(connection) || self.agents[index].core.is_none() {
            return;
        }
        self.agents[index].link = None;
        self.step_agent(index, agent::Event::MasterDisconnected { connection });
        let incarnation = self.agents[index].incarnation;
        let pause = self.network.up_to(Duration::from_secs(2));
        self.after(pause, Happening::AgentConnects(index, incarnation));
    }
}
