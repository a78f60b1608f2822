//! The frameworks of the world: their streams and their calls.

use super::*;

impl World {
    pub(super) fn scheduler_connects(&mut self, index: usize, epoch: u32) {
        if self.schedulers[index].epoch != epoch || self.schedulers[index].connection.is_some() {
            return;
        }
        let leader = self.leader_of(self.scheduler_client(index));
        let Some(master) = leader.filter(|master| self.accepts(*master)) else {
            let pause = self.network.up_to(Duration::from_secs(2));
            self.after(pause, Happening::SchedulerConnects(index, epoch));
            return;
        };
        self.scheduler_connects_to(index, epoch, master);
    }

    pub(super) fn scheduler_connects_to(&mut self, index: usize, epoch: u32, master: usize) {
        debug_assert_eq!(self.schedulers[index].epoch, epoch);
        let connection = self.connect(Peer::Scheduler(index), master);
        self.schedulers[index].connection = Some(connection);
        let framework = Box::new(self.schedulers[index].info());
        let subscribed = master::Event::SchedulerSubscribed {
            connection,
            framework,
            suppressed_roles: Vec::new(),
            offer_constraints: None,
            principal: None,
        };
        self.step_master(master, subscribed);
    }

    pub(super) fn scheduler_hears(
        &mut self,
        connection: ConnectionId,
        event: &v1::scheduler::Event,
    ) {
        let Some(link) = self.links.get(&connection).filter(|link| link.up) else {
            return;
        };
        let Peer::Scheduler(index) = link.peer else {
            return;
        };
        if self.schedulers[index].connection != Some(connection) {
            return;
        }
        self.note(|| shorten(format!("scheduler {index} hears {event:?}")));
        let before = self.schedulers[index].id.clone();
        if let Some(update) = &event.update
            && let Some(id) = &before
        {
            self.checkers.delivered(id, &update.status);
        }
        let deeds = self.schedulers[index].hear(event);
        if event.subscribed.is_some() && before.is_none() {
            self.count("new framework");
        }
        self.perform_scheduler(index, deeds);
    }

    pub(super) fn perform_scheduler(&mut self, index: usize, deeds: Vec<Deed>) {
        let epoch = self.schedulers[index].epoch;
        for deed in deeds {
            match deed {
                Deed::Call(pause, call) => {
                    self.after(
                        pause,
                        Happening::SchedulerCalls(index, epoch, Box::new(call)),
                    );
                }
                Deed::Resubscribe => {
                    if let Some(connection) = self.schedulers[index].connection {
                        self.break_link(connection, false);
                        self.scheduler_loses_master(connection);
                    } else {
                        self.resubscribe(index);
                    }
                }
            }
        }
    }

    pub(super) fn resubscribe(&mut self, index: usize) {
        self.schedulers[index].epoch += 1;
        let epoch = self.schedulers[index].epoch;
        let pause = self.network.up_to(Duration::from_secs(3));
        self.after(pause, Happening::SchedulerConnects(index, epoch));
    }

    pub(super) fn scheduler_loses_master(&mut self, connection: ConnectionId) {
        let Some(link) = self.links.get_mut(&connection) else {
            return;
        };
        let Peer::Scheduler(index) = link.peer else {
            return;
        };
        if link.up {
            link.up = false;
            self.after(
                Duration::from_millis(1),
                Happening::MasterLosesScheduler(connection),
            );
        }
        if self.schedulers[index].connection == Some(connection) {
            self.schedulers[index].disconnected();
            self.resubscribe(index);
        }
    }

    /// A call leaves the framework: each is a request of its own, so it can be lost, doubled and
    /// overtaken.
    pub(super) fn call(&mut self, index: usize, epoch: u32, call: SchedulerCall) {
        let scheduler = &self.schedulers[index];
        let (Some(connection), Some(framework_id)) = (scheduler.connection, scheduler.id.clone())
        else {
            return;
        };
        if scheduler.epoch != epoch {
            return;
        }
        if let SchedulerCall::Accept(accept) = &call {
            for offer in &accept.offer_ids {
                self.schedulers[index].offers.remove(&offer.value);
            }
        }
        let copies = if self.chance(self.options.loss) {
            self.count("lost call");
            0
        } else if self.chance(self.options.duplication) {
            self.count("doubled call");
            2
        } else {
            1
        };
        for _ in 0..copies {
            let request = RequestId(self.id());
            self.requests.insert(request, call.name());
            self.checkers.hit("call", call.name());
            let delay = self.delay();
            if let Some(link) = self.links.get(&connection).filter(|link| link.up) {
                let master = link.master;
                let incarnation = self.masters[master].incarnation;
                let event = master::Event::SchedulerCall {
                    request,
                    framework_id: framework_id.clone(),
                    connection: Some(connection),
                    call: call.clone(),
                };
                self.at(
                    self.now + delay,
                    Happening::Master(master, incarnation, Box::new(event)),
                );
            }
        }
    }
}
