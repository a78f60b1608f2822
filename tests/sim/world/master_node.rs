//! The masters of the world: their events, what they ask for, what they promise.

use mesosd::registry::{Registry, Subject};

use super::*;

/// How long a candidate waits for the election to say that a leadership has ended.
const PATIENCE: Duration = Duration::from_secs(1);

impl World {
    /// A master's process starts; a single one leads at once.
    pub(super) fn start_master(&mut self, master: usize) {
        self.note(|| format!("master {master} starts"));
        self.masters[master].up = true;
        if self.elects() {
            self.start_client(master);
        } else {
            self.elected(master, None, Instant(u64::MAX));
        }
    }

    /// A master's process is killed.
    pub(super) fn crash_master(&mut self, master: usize, pause: Duration) {
        self.note(|| format!("master {master} crashes"));
        self.stop_core(master);
        let node = &mut self.masters[master];
        node.up = false;
        node.frozen_until = 0;
        node.term = None;
        self.stop_client(master);
        self.after(pause, Happening::MasterStarts(master));
    }

    /// The registry is there: the core starts.
    pub(super) fn start_core(&mut self, master: usize, epoch: u64, registry: Registry) {
        let number = self.id();
        let mut config = MasterConfig::new(format!("m{number}"));
        config.epoch = epoch;
        config.agent_ping_timeout = self.options.ping;
        config.agent_reregister_timeout = self.options.reregister;
        config.recovery_hold = self.options.recovery_hold;
        config.offer_timeout = self.options.offer_timeout;
        config.agent_removal_interval = self.options.removal_interval;
        config.planted = self.bugs.clone();
        config.allocator.seed = Options::entropy(self.options.seed);
        let known = registry.agents.len();
        let held_for = if registry.quotas.is_empty() {
            0
        } else {
            (known * config.recovery_agents_per_mille as usize).div_ceil(1000)
        };
        let now = self.master_now(master);
        let mut effects = master::Effects::new();
        let core = Master::new(config, registry, now, &mut effects);
        let node = &mut self.masters[master];
        node.incarnation += 1;
        node.core = Some(core);
        node.epoch = epoch;
        node.watch = LeadershipWatch {
            began: now.mono,
            held_for,
            ..LeadershipWatch::default()
        };
        self.note(|| format!("master {master} leads in epoch {epoch}"));
        self.perform_master(master, &mut effects);
    }

    /// A leadership ends: what the core knew and still wanted to say is void.
    pub(super) fn stop_core(&mut self, master: usize) {
        let node = &mut self.masters[master];
        if node.core.take().is_none() {
            return;
        }
        node.timers.clear();
        node.incarnation += 1;
        let of_master = |(connection, link): (&ConnectionId, &Link)| {
            (link.master == master).then_some(*connection)
        };
        let links: Vec<_> = self.links.iter().filter_map(of_master).collect();
        for connection in links {
            self.break_link(connection, false);
        }
    }

    /// A connection can be made: the master leads, and does not stand still.
    pub(super) fn accepts(&self, master: usize) -> bool {
        let node = &self.masters[master];
        node.core.is_some() && node.frozen_until <= self.now && self.may_promise(master)
    }

    pub(super) fn step_master(&mut self, master: usize, event: master::Event) {
        let now = self.master_now(master);
        if self.masters[master].core.is_none() {
            return;
        }
        if !self.may_promise(master) {
            // The driver's loop looks before every event; the process may have stood still.
            self.count("lease over");
            self.stop_core(master);
            if let Some(term) = &self.masters[master].term {
                let number = term.number;
                self.after(PATIENCE, Happening::LeadsNoMore(master, number));
            }
            return;
        }
        self.note(|| shorten(format!("master {master} <- {event:?}")));
        self.watch_event(master, &event);
        let mut effects = master::Effects::new();
        let looks = self.looks();
        if let Some(core) = self.masters[master].core.as_mut() {
            core.step(now, event, &mut effects);
            if looks {
                core.check_invariants();
            }
        }
        self.perform_master(master, &mut effects);
    }

    /// Frameworks that are ended by word may be removed at any time.
    fn watch_event(&mut self, master: usize, event: &master::Event) {
        let watch = &mut self.masters[master].watch;
        match event {
            master::Event::SchedulerCall {
                framework_id,
                call: SchedulerCall::Teardown,
                request,
                ..
            } if self.requests.get(request) != Some(&faults::FENCED) => {
                watch.torn_down.insert(framework_id.clone());
            }
            master::Event::OperatorCall {
                call: master::OperatorCall::Teardown { framework_id },
                ..
            } => {
                watch.torn_down.insert(framework_id.clone());
            }
            _ => {}
        }
    }

    fn perform_master(&mut self, master: usize, effects: &mut master::Effects) {
        for effect in effects.drain().collect::<Vec<_>>() {
            self.checkers.master_effect(&effect);
            if self.may_promise(master) {
                self.perform_master_effect(master, effect);
            }
        }
    }

    fn perform_master_effect(&mut self, master: usize, effect: master::Effect) {
        let incarnation = self.masters[master].incarnation;
        match effect {
            master::Effect::ToScheduler { connection, event } => {
                self.assert_leads(master);
                self.checkers.sent_to_scheduler(&event);
                self.watch_offers(master, &event);
                if let Some(at) = self.arrival(connection, true) {
                    self.at(at, Happening::ToScheduler(connection, event));
                }
            }
            master::Effect::AwaitRoom { connection } => {
                if let Some(at) = self.arrival(connection, true) {
                    let event = Box::new(master::Event::SchedulerHasRoom { connection });
                    self.at(at, Happening::Master(master, incarnation, event));
                }
            }
            master::Effect::ToAgent {
                connection,
                message,
            } => {
                self.assert_leads(master);
                self.watch_registration(master, &message);
                self.watch_launch(connection, &message);
                self.repeat_run(connection, &message);
                if let Some(at) = self.arrival(connection, true) {
                    self.at(at, Happening::ToAgent(connection, message));
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
            master::Effect::Persist { token, operation } => self.submit(master, token, operation),
            master::Effect::SetTimer { key, at } => {
                let generation = self.id();
                let at = self.masters[master].clock.reaches(at);
                let node = &mut self.masters[master];
                node.timers.insert(key.clone(), generation);
                self.at(
                    at,
                    Happening::MasterTimer(master, incarnation, key, generation),
                );
            }
            master::Effect::CancelTimer { key } => {
                self.masters[master].timers.remove(&key);
            }
            master::Effect::Reply { request, result } => self.replied(master, request, result),
            master::Effect::Publish(event) => self.published(master, &event),
        }
    }

    fn replied(
        &mut self,
        master: usize,
        request: RequestId,
        result: Result<master::Reply, master::CallError>,
    ) {
        self.assert_leads(master);
        let name = self.requests.remove(&request);
        assert!(
            name != Some(faults::FENCED) || result.is_err(),
            "a framework's older instance was heard"
        );
        match result {
            Ok(_) => self.order_confirmed(request),
            Err(error) => {
                self.note(|| format!("{name:?} refused: {error}"));
                self.count("refused call");
            }
        }
        self.orders.remove(&request);
    }

    /// Nobody promises anything whose candidate is not the first. Masters that believe on are stopped
    /// by the epoch instead.
    fn assert_leads(&self, master: usize) {
        if !self.elects() || self.options.believes {
            return;
        }
        assert!(
            self.ensemble.first_owner() == Some(self.clients[master].session),
            "master {master} promises, and another one may lead"
        );
    }

    /// What an agent is told of its registration is durable; and who is back counts for the hold.
    fn watch_registration(&mut self, master: usize, message: &link::from_master::Message) {
        use link::from_master::Message;
        self.checkers.said_to_agent(message);
        let (agent_id, fresh) = match message {
            Message::Registered(registered) => (&registered.agent_id, true),
            Message::Reregistered(registered) => (&registered.agent_id, false),
            _ => return,
        };
        let id = AgentId::new(agent_id.value.as_str());
        if fresh {
            let stored = self.ensemble.stored(&Subject::Agent(id.clone()));
            assert!(
                stored.agents.contains_key(&id),
                "agent {id} may use an id that the registry does not have"
            );
        }
        self.masters[master].watch.back.insert(id);
    }

    /// With quota nothing is offered before most agents are back or the hold has passed; and a
    /// framework that subscribes is there.
    fn watch_offers(&mut self, master: usize, event: &v1::scheduler::Event) {
        let now = self.master_now(master).mono;
        let hold = self.options.recovery_hold;
        let watch = &mut self.masters[master].watch;
        if let Some(subscribed) = &event.subscribed {
            let id = FrameworkId::new(subscribed.framework_id.value.as_str());
            watch.subscribed.insert(id);
        }
        if event.offers.is_some() && watch.held_for > 0 {
            let (back, held_for) = (watch.back.len(), watch.held_for);
            assert!(
                back >= held_for || now.since(watch.began) >= hold,
                "offers are made with {back} of {held_for} agents back, though there is quota"
            );
            self.count("offers after a hold");
        }
    }

    fn published(&mut self, master: usize, event: &master::OperatorEvent) {
        self.checkers.published(event);
        let master::OperatorEvent::FrameworkRemoved(info) = event else {
            return;
        };
        let Some(id) = &info.id else {
            return;
        };
        let id = FrameworkId::new(id.value.as_str());
        let watch = &self.masters[master].watch;
        if watch.subscribed.contains(&id) || watch.torn_down.contains(&id) {
            return;
        }
        let lived = self.master_now(master).mono.since(watch.began);
        assert!(
            lived >= self.options.reregister,
            "framework {id} is removed {lived:?} after the election, though it had {:?} to come back",
            self.options.reregister
        );
        self.count("framework that did not come back");
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
}
