//! The agents of the world: their events, what they ask for, their disks and links.

use super::*;

impl World {
    pub(super) fn agent_event(&mut self, index: usize, incarnation: u32, event: agent::Event) {
        if incarnation != self.agents[index].incarnation {
            return;
        }
        if self.agents[index].core.is_none() {
            self.start_agent(index);
            return;
        }
        self.step_agent(index, event);
    }

    pub(super) fn step_agent(&mut self, index: usize, event: agent::Event) {
        let now = self.now();
        let Some(core) = self.agents[index].core.as_mut() else {
            return;
        };
        let line = format!("agent {index} <- {event:?}");
        let mut effects = agent::Effects::new();
        core.step(now, event, &mut effects);
        self.note(|| shorten(line));
        if let Some(core) = &self.agents[index].core {
            core.check_invariants();
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
        match effect {
            agent::Effect::ToMaster {
                connection,
                message,
            } => {
                self.assert_operation_written(index, &message);
                if self.agents[index].link == Some(connection)
                    && let Some(at) = self.arrival(connection, false)
                {
                    self.at(at, Happening::ToMaster(connection, message));
                }
            }
            agent::Effect::CloseMaster { connection } => {
                if self.agents[index].link == Some(connection) {
                    self.break_link(connection, false);
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
                let result = Ok(());
                let made = agent::Event::VolumesMade { operation, result };
                self.after(Duration::ZERO, Happening::Agent(index, incarnation, made));
            }
            agent::Effect::UpdateContainer { .. }
            | agent::Effect::MakeVolumes { .. }
            | agent::Effect::RemoveVolumes { .. }
            | agent::Effect::EmptyTrash { .. }
            | agent::Effect::LinkVolumes { .. }
            | agent::Effect::MeasureDisk
            | agent::Effect::Reply { .. } => {}
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
                self.at(
                    at.0,
                    Happening::AgentTimer(index, incarnation, key, generation),
                );
            }
            agent::Effect::CancelTimer { key } => {
                self.agents[index].timers.remove(&key);
            }
            agent::Effect::Exit { reason, .. } => {
                self.note(|| format!("agent {index} exits: {reason}"));
                self.count("agent exit");
                self.crash_agent(index);
            }
        }
    }

    /// An executor may forget an update once the agent's disk has it, or has the end of its task.
    fn assert_written(&self, index: usize, connection: ConnectionId, event: &v1::executor::Event) {
        let Some(acknowledged) = &event.acknowledged else {
            return;
        };
        let node = &self.agents[index];
        let mut containers = node.containers.values();
        let container = containers.find(|container| container.connection == Some(connection));
        let core = node.core.as_ref().expect("an agent that is up speaks");
        let frameworks = core.snapshot(self.now()).frameworks;
        let framework = container.and_then(|it| frameworks.get(&it.config.framework_id));
        if !framework.is_some_and(|framework| framework.info.checkpoint()) {
            return;
        }
        let written = node.disk.iter().rev().any(|record| match record {
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
    }

    /// The master may hear of an operation once the agent's disk has what it did.
    fn assert_operation_written(&mut self, index: usize, message: &link::from_agent::Message) {
        let link::from_agent::Message::OperationUpdate(update) = message else {
            return;
        };
        self.count("operation");
        let uuid = &update.operation_uuid;
        let written = self.agents[index].disk.iter().any(|record| match record {
            agent::checkpoint::Record::Operation { operation, .. } => operation.uuid.value == *uuid,
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
        let result = if self.chance(self.options.checkpoint_failure) {
            self.count("failed checkpoint");
            Err("disk full, says the simulation".to_owned())
        } else {
            self.agents[index].disk.push(record);
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
        if self.master.core.is_none() {
            let pause = self.network.up_to(Duration::from_secs(2));
            self.after(pause, Happening::AgentConnects(index, incarnation));
            return;
        }
        let connection = self.connect(Peer::Agent(index));
        self.agents[index].link = Some(connection);
        self.step_master(master::Event::AgentConnected {
            connection,
            peer: format!("agent-{index}:5051"),
        });
        self.step_agent(index, agent::Event::MasterConnected { connection });
    }

    pub(super) fn connect(&mut self, peer: Peer) -> ConnectionId {
        let connection = ConnectionId(self.id());
        self.links.insert(
            connection,
            Link {
                peer,
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
            self.step_agent(
                index,
                agent::Event::MasterMessage {
                    connection,
                    message,
                },
            );
        }
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
