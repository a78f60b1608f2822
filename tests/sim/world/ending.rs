//! The end of a history: faults stop, and everything must converge.

use super::*;
use crate::operations::OperationView;
use crate::scheduler::TaskView;

impl World {
    /// No more faults: what is down comes back by itself, nobody wants new tasks, everybody asks.
    pub(crate) fn heal(&mut self) {
        self.faults_on = false;
        self.note(|| "faults end".to_owned());
        for scheduler in &mut self.schedulers {
            scheduler.winding_down = true;
        }
        for client in &mut self.clients {
            client.cut_until = client.cut_until.min(self.now);
        }
        for pause in [3, 60, 200, 400] {
            self.after(Duration::from_secs(pause), Happening::OperatorRepairs);
        }
    }

    /// Runs until a launch has reached the first agent, and so many happenings further.
    pub(crate) fn run_to_launch(&mut self, further: u64) -> bool {
        for _ in 0..10_000 {
            if self.checkers.saw("to agent", "RunTask")
                || self.checkers.saw("to agent", "RunTaskGroup")
            {
                for _ in 0..further {
                    self.step();
                }
                return true;
            }
            self.step();
        }
        false
    }

    /// A byte of an agent's journal changes while it is down: what it will count as errors.
    pub(crate) fn corrupt(&mut self, index: usize, part: u64) -> u64 {
        self.agents[index].disk.corrupt(part);
        self.agents[index].disk.state().errors
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
        let leading: Vec<usize> = (0..self.masters.len())
            .filter(|master| self.masters[*master].core.is_some())
            .collect();
        assert_eq!(leading.len(), 1, "{leading:?} lead in the end");
        let core = self.masters[leading[0]].core.as_ref().expect("it leads");
        core.snapshot(self.master_now(leading[0]))
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
            let live: Vec<_> = scheduler
                .live()
                .filter(|(_, view)| !Self::is_beyond_asking(&snapshot, view))
                .collect();
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
        let frameworks = self.schedulers.iter().filter_map(|it| it.id.clone());
        let agents = snapshot.agents.keys().cloned();
        self.checkers
            .assert_delivered(&frameworks.collect(), &agents.collect());
        self.assert_operations_settled(&snapshot);
    }

    /// A task of an agent that will never be back under its id: whoever asks is told that the agent is
    /// unreachable, or, once the registry has forgotten it, that nothing is known (facts/mesos.md 6.3,
    /// the last rows of the table). No answer is final; that nothing runs is judged elsewhere.
    fn is_beyond_asking(snapshot: &master::Snapshot, view: &TaskView) -> bool {
        let agent = AgentId::new(view.agent_id.value.as_str());
        let said = matches!(
            view.state,
            TaskState::TaskUnreachable | TaskState::TaskUnknown
        );
        said && !snapshot.agents.contains_key(&agent)
    }

    /// Every operation has ended, its framework knows, and master and agents agree on what is there:
    /// what was acknowledged has outlived every crash.
    fn assert_operations_settled(&self, snapshot: &master::Snapshot) {
        for scheduler in &self.schedulers {
            // As with tasks: an agent that is never back leaves its operations unreachable.
            let lost = |view: &OperationView| {
                let agent = AgentId::new(view.agent_id.value.as_str());
                view.state == v1::OperationState::OperationUnreachable
                    && !snapshot.agents.contains_key(&agent)
            };
            let open: Vec<_> = scheduler
                .operations
                .iter()
                .filter(|(_, view)| !lost(view))
                .collect();
            assert!(
                open.is_empty(),
                "framework {:?} never heard the end of {open:?}",
                scheduler.id
            );
        }
        for (index, node) in self.agents.iter().enumerate() {
            let core = node.core.as_ref().expect("the agents are up again");
            let own = core.snapshot(self.agent_now(index));
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
            let disk = node.disk.state();
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
