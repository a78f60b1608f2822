//! The end of a history: faults stop, and everything must converge.

use super::*;

impl World {
    /// No more faults: what is down comes back by itself, nobody wants new tasks, everybody asks.
    pub(crate) fn heal(&mut self) {
        self.faults_on = false;
        self.note(|| "faults end".to_owned());
        for scheduler in &mut self.schedulers {
            scheduler.winding_down = true;
        }
    }

    /// Lets virtual time pass.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + nanos(duration);
        while self.queue.peek().is_some_and(|Reverse(due)| due.at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Every framework asks for what it believes to be alive.
    pub(crate) fn reconcile_all(&mut self) {
        for index in 0..self.schedulers.len() {
            let scheduler = &self.schedulers[index];
            let calls = [scheduler.reconcile(), scheduler.reconcile_operations()];
            let deeds = calls.map(|call| Deed::Call(Duration::ZERO, call));
            self.perform_scheduler(index, deeds.into());
        }
    }

    /// Every framework ends for good, its custom executors with it.
    pub(crate) fn teardown_all(&mut self) {
        for index in 0..self.schedulers.len() {
            let call = SchedulerCall::Teardown;
            self.perform_scheduler(index, vec![Deed::Call(Duration::ZERO, call)]);
        }
    }

    fn snapshot(&self) -> master::Snapshot {
        let core = self.master.core.as_ref().expect("the master is up again");
        core.snapshot(self.now())
    }

    /// Once everything has had its time: all agents are back, every task has ended, and its framework
    /// knows.
    pub(crate) fn assert_settled(&self) {
        let snapshot = self.snapshot();
        let active = snapshot.agents.values().filter(|agent| agent.is_active());
        assert_eq!(
            active.count(),
            self.agents.len(),
            "every agent is registered and active: {:?}",
            snapshot.agents
        );
        for scheduler in &self.schedulers {
            let live: Vec<_> = scheduler.live().collect();
            assert!(
                live.is_empty(),
                "framework {:?} never heard the end of {live:?}",
                scheduler.id
            );
        }
        let live: Vec<_> = snapshot
            .tasks()
            .filter(|task| task.holds_resources())
            .map(|task| (task.id.clone(), task.state))
            .collect();
        assert!(live.is_empty(), "the master still has {live:?}");
        self.checkers.assert_nothing_runs();
        self.assert_operations_settled(&snapshot);
    }

    /// Every operation has ended, its framework knows, and master and agents agree on what is there:
    /// what was acknowledged has outlived every crash.
    fn assert_operations_settled(&self, snapshot: &master::Snapshot) {
        for scheduler in &self.schedulers {
            let open = &scheduler.operations;
            assert!(
                open.is_empty(),
                "framework {:?} never heard the end of {open:?}",
                scheduler.id
            );
        }
        for node in &self.agents {
            let core = node.core.as_ref().expect("the agents are up again");
            let own = core.snapshot(self.now());
            assert!(
                own.operations.is_empty(),
                "open on the agent: {:?}",
                own.operations
            );
            let id = own.info.id.as_ref().expect("it is registered");
            let known = &snapshot.agents[&AgentId::new(id.value.as_str())];
            assert!(
                known.operations.is_empty(),
                "open on the master: {:?}",
                known.operations
            );
            assert_eq!(known.total, own.total, "total of agent {}", id.value);
            let mut disk = agent::checkpoint::Checkpointed::default();
            for record in &node.disk {
                disk.apply(record);
            }
            let written = mesosd::resources::Resources::from_proto(&disk.converted);
            assert_eq!(
                written,
                Ok(own.total.converted()),
                "what the disk has of {}",
                id.value
            );
        }
    }

    /// Once the frameworks are gone too: nothing is held, nothing runs.
    pub(crate) fn assert_empty(&self) {
        let snapshot = self.snapshot();
        for (id, agent) in &snapshot.agents {
            let held = snapshot.agent_allocated(agent);
            assert!(held.is_empty(), "agent {id} still holds {held}");
        }
        for (index, node) in self.agents.iter().enumerate() {
            let left: Vec<_> = node.containers.keys().collect();
            assert!(left.is_empty(), "agent {index} still runs {left:?}");
        }
    }
}
