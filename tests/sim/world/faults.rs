//! What goes wrong: machines that crash, processes that are killed or stand still, links that break,
//! disks that are full, clocks that jump.

use super::*;

/// A call that must be refused.
pub(super) const FENCED: &str = "call of an older instance";
/// Time between two looks at what might go wrong.
const TICK: Duration = Duration::from_millis(500);

impl World {
    pub(super) fn fault(&mut self) {
        if !self.faults_on {
            return;
        }
        self.after(TICK, Happening::Fault);
        for connection in self.links.keys().copied().collect::<Vec<_>>() {
            if self.chance(self.options.disconnect) {
                self.break_link(connection, true);
            }
        }
        for index in 0..self.agents.len() {
            if self.agents[index].core.is_some() {
                self.agent_fault(index);
            }
        }
        for master in 0..self.masters.len() {
            if self.masters[master].up {
                self.master_fault(master);
            }
        }
        for index in 0..self.schedulers.len() {
            if self.chance(self.options.second_instance) {
                self.second_instance(index);
            }
        }
        if self.elects() {
            for index in 0..self.agents.len() {
                if self.agents[index].core.is_some() && self.chance(self.options.misled) {
                    self.mislead(index);
                }
            }
            for client in 0..self.clients.len() {
                if self.chance(self.options.zookeeper_cut) {
                    let pause = self.faults.up_to(self.options.session * 3);
                    self.cut_client(client, pause);
                }
            }
            if self.chance(self.options.znode_deletion) {
                self.delete_first_node();
            }
        }
    }

    fn agent_fault(&mut self, index: usize) {
        if self.chance(self.options.agent_crash) {
            return self.crash_agent(index);
        }
        if self.chance(self.options.agent_kill) {
            return self.kill_agent(index);
        }
        // Not while it stands still: what waits for its end would be overtaken.
        if self.agents[index].frozen_until <= self.now && self.chance(self.options.suspension) {
            self.count("suspended agent");
            let pause = self.faults.up_to(Duration::from_secs(60));
            self.note(|| format!("agent {index} stands still for {pause:?}"));
            self.agents[index].frozen_until = self.now + nanos(pause);
        }
        if self.chance(self.options.agent_cut) {
            self.count("agent cut off");
            let pause = self.faults.up_to(Duration::from_secs(150));
            self.agents[index].cut_until = self.now + nanos(pause);
            if let Some(connection) = self.agents[index].link {
                self.break_link(connection, true);
            }
        }
        if self.chance(self.options.full_disk) {
            self.count("full disk");
            let pause = self.faults.up_to(Duration::from_secs(20));
            self.agents[index].full_until = self.now + nanos(pause);
        }
        if self.chance(self.options.clock_jump) {
            let hour = self.jump();
            self.agents[index].clock.wall = hour;
        }
        let boot = self.agents[index].boot;
        let ids: Vec<_> = self.agents[index].containers.keys().cloned().collect();
        for id in ids {
            if self.chance(self.options.container_crash) {
                self.count("container crash");
                self.container_ends(index, boot, id, killed());
            } else if self.chance(self.options.disconnect) {
                self.executor_link_breaks(index, &id);
            }
        }
    }

    fn master_fault(&mut self, master: usize) {
        if self.chance(self.options.master_crash) {
            self.count("master crash");
            let pause = self.faults.up_to(Duration::from_secs(20));
            return self.crash_master(master, pause);
        }
        if self.masters[master].frozen_until <= self.now && self.chance(self.options.suspension) {
            self.count("suspended master");
            let pause = self.faults.up_to(Duration::from_secs(40));
            self.note(|| format!("master {master} stands still for {pause:?}"));
            self.masters[master].frozen_until = self.now + nanos(pause);
        }
        if self.elects() && self.chance(self.options.handover) {
            self.count("handover");
            self.contend(master, mesosd::election::contender::Event::Resign);
        }
        if self.chance(self.options.clock_jump) {
            let hour = self.jump();
            self.masters[master].clock.wall = hour;
        }
    }

    /// Another process subscribes with the same framework id: what the first one says counts no more.
    fn second_instance(&mut self, index: usize) {
        let scheduler = &self.schedulers[index];
        let (Some(old), Some(framework_id)) = (scheduler.connection, scheduler.id.clone()) else {
            return;
        };
        let Some(link) = self.links.get(&old).filter(|link| link.up) else {
            return;
        };
        let master = link.master;
        if !self.accepts(master) {
            return;
        }
        self.count("second instance");
        self.note(|| format!("another instance of framework {index} subscribes"));
        self.schedulers[index].disconnected();
        self.schedulers[index].epoch += 1;
        let epoch = self.schedulers[index].epoch;
        self.scheduler_connects_to(index, epoch, master);
        let request = RequestId(self.id());
        self.requests.insert(request, FENCED);
        let call = SchedulerCall::Teardown;
        let event = master::Event::SchedulerCall {
            request,
            framework_id,
            connection: Some(old),
            call,
        };
        self.step_master(master, event);
    }

    /// Where the wall clock is from now on: up to an hour off.
    fn jump(&mut self) -> i64 {
        self.count("clock jump");
        let hour = Duration::from_secs(3600);
        let offset = i64::try_from(nanos(self.faults.up_to(hour))).unwrap();
        if self.faults.chance(1, 2) {
            offset
        } else {
            -offset
        }
    }

    /// The machine goes down: processes, links and what was not on disk are gone.
    pub(crate) fn crash_agent(&mut self, index: usize) {
        self.note(|| format!("agent {index} crashes"));
        self.count("agent crash");
        self.agents[index].boot += 1;
        let all: Vec<_> = self.agents[index].containers.keys().cloned().collect();
        for id in all {
            self.container_vanishes(index, &id);
        }
        if self.agents[index].disk.lose_power(&mut self.faults) {
            self.count("torn record");
        }
        self.checkers.power_lost = true;
        self.stop_agent(index, Duration::from_secs(60));
    }

    /// The agent's process is killed: the executors of checkpointing frameworks go on without it.
    pub(crate) fn kill_agent(&mut self, index: usize) {
        self.note(|| format!("agent {index} is killed"));
        self.count("agent kill");
        self.end_agent(index);
    }

    /// The agent's process ends.
    pub(super) fn end_agent(&mut self, index: usize) {
        let node = &mut self.agents[index];
        let mut ending = Vec::new();
        for (id, container) in &mut node.containers {
            container.connection = None;
            if !container.config.checkpoint {
                ending.push(id.clone());
            }
        }
        for id in ending {
            self.container_vanishes(index, &id);
        }
        self.stop_agent(index, Duration::from_secs(20));
    }

    /// People end executors that hear nothing any more: an agent gives them no time for a KILL
    /// (facts/mesos.md 6.7).
    pub(super) fn wedged_executors_are_killed(&mut self) {
        for index in 0..self.agents.len() {
            let node = &self.agents[index];
            let boot = node.boot;
            let wedged = node.containers.iter().filter(|(_, it)| it.wedged);
            for id in wedged.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
                self.container_ends(index, boot, id, killed());
            }
        }
    }

    fn stop_agent(&mut self, index: usize, pause_max: Duration) {
        let node = &mut self.agents[index];
        node.core = None;
        node.timers.clear();
        node.frozen_until = 0;
        if let Some(connection) = node.link.take() {
            self.break_link(connection, false);
        }
        let client = self.agent_client(index);
        self.stop_client(client);
        let pause = self.faults.up_to(pause_max);
        let incarnation = self.agents[index].incarnation;
        self.after(pause, Happening::AgentStarts(index, incarnation));
    }
}

/// How a container ends that was killed from outside.
fn killed() -> Ended {
    Ended {
        wait_status: Some(9),
        reason: None,
        message: "killed by the simulation".into(),
    }
}
