//! The master of the world: its events, what it asks for, its registry.

use super::*;

impl World {
    pub(super) fn master_event(&mut self, incarnation: u32, event: master::Event) {
        if incarnation != self.master.incarnation {
            return;
        }
        if self.master.core.is_none() {
            self.start_master();
            return;
        }
        self.step_master(event);
    }

    pub(super) fn step_master(&mut self, event: master::Event) {
        let now = self.now();
        let Some(core) = self.master.core.as_mut() else {
            return;
        };
        let line = format!("master <- {event:?}");
        let mut effects = master::Effects::new();
        core.step(now, event, &mut effects);
        self.note(|| shorten(line));
        if let Some(core) = &self.master.core {
            core.check_invariants();
        }
        self.perform_master(&mut effects);
    }

    pub(super) fn perform_master(&mut self, effects: &mut master::Effects) {
        let incarnation = self.master.incarnation;
        for effect in effects.drain().collect::<Vec<_>>() {
            match effect {
                master::Effect::ToScheduler { connection, event } => {
                    self.checkers.sent_to_scheduler(&event);
                    if let Some(at) = self.arrival(connection, true) {
                        self.at(at, Happening::ToScheduler(connection, event));
                    }
                }
                master::Effect::ToAgent {
                    connection,
                    message,
                } => {
                    if let link::from_master::Message::Registered(registered) = &*message {
                        let id = AgentId::new(registered.agent_id.value.as_str());
                        assert!(
                            self.registry.agents.contains_key(&id),
                            "agent {id} may use an id that the registry does not have"
                        );
                    }
                    self.repeat_run(connection, &message);
                    if let Some(at) = self.arrival(connection, true) {
                        self.at(at, Happening::ToAgent(connection, message));
                    }
                }
                master::Effect::AwaitRoom { connection } => {
                    if let Some(at) = self.arrival(connection, true) {
                        let event = master::Event::SchedulerHasRoom { connection };
                        self.at(at, Happening::Master(incarnation, event));
                    }
                }
                master::Effect::CloseScheduler { connection } => {
                    if let Some(at) = self.arrival(connection, true) {
                        self.at(at, Happening::SchedulerLosesMaster(connection));
                    }
                }
                master::Effect::CloseAgent { connection } => {
                    if let Some(at) = self.arrival(connection, true) {
                        self.at(at, Happening::AgentLosesMaster(connection));
                    }
                }
                master::Effect::Persist { token, operation } => {
                    let pause = self.network.up_to(self.options.write_max);
                    self.after(pause, Happening::Store(incarnation, token, operation));
                }
                master::Effect::SetTimer { key, at } => {
                    let generation = self.id();
                    self.master.timers.insert(key.clone(), generation);
                    self.at(at.0, Happening::MasterTimer(incarnation, key, generation));
                }
                master::Effect::CancelTimer { key } => {
                    self.master.timers.remove(&key);
                }
                master::Effect::Reply { request, result } => {
                    let name = self.requests.remove(&request);
                    if let Err(error) = result {
                        self.note(|| format!("{name:?} refused: {error}"));
                        self.count("refused call");
                    }
                }
                master::Effect::Publish(_) => {}
            }
        }
    }

    /// A launch that arrives twice: whatever repeats it, the task must start once.
    fn repeat_run(&mut self, connection: ConnectionId, message: &link::from_master::Message) {
        use link::from_master::Message;
        if !matches!(message, Message::RunTask(_) | Message::RunTaskGroup(_)) {
            return;
        }
        if self.chance(self.options.duplication)
            && let Some(at) = self.arrival(connection, true)
        {
            self.count("doubled launch");
            self.at(
                at,
                Happening::ToAgent(connection, Box::new(message.clone())),
            );
        }
    }

    /// When the next message of a link arrives; none if the link is down.
    pub(super) fn arrival(&mut self, connection: ConnectionId, to_peer: bool) -> Option<Time> {
        let delay = self.delay();
        let link = self.links.get_mut(&connection).filter(|link| link.up)?;
        let last = if to_peer {
            &mut link.to_peer_at
        } else {
            &mut link.to_master_at
        };
        *last = (*last).max(self.now + delay);
        Some(*last)
    }

    pub(super) fn store(
        &mut self,
        incarnation: u32,
        token: master::Token,
        operation: &mesosd::registry::Operation,
    ) {
        if incarnation != self.master.incarnation || self.master.core.is_none() {
            // The write of a dead master may still land, but not after its successor has read.
            if self.master.core.is_none()
                && incarnation == self.master.incarnation
                && self.network.chance(1, 2)
            {
                let _ = operation.apply(&mut self.registry);
            }
            return;
        }
        let result = operation.apply(&mut self.registry).map(|_| ());
        self.step_master(master::Event::Persisted { token, result });
    }
}
