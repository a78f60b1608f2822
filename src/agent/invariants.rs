//! What must hold after every step. Checked in tests, in the simulation, and in debug builds.

use super::core::Agent;
use super::executor::{Executor, ExecutorStatus};
use super::task::Stage;

impl Agent {
    /// Panics with the broken rule.
    pub fn check_invariants(&self) {
        for framework in self.frameworks.values() {
            assert!(
                !framework.executors.is_empty(),
                "framework {} is kept without executors",
                framework.id
            );
            for executor in framework.executors.values() {
                self.check_executor(executor);
            }
        }
        for (connection, key) in &self.connections {
            let executor = self.executor(key);
            assert!(
                executor.is_some_and(|executor| executor.connection == Some(*connection)),
                "connection {connection:?} of executor {} is not its current one",
                key.1
            );
        }
        for (container_id, key) in &self.containers {
            let executor = self.executor(key);
            assert!(
                executor.is_some_and(|executor| executor.container_id == *container_id),
                "container {container_id} belongs to no executor"
            );
        }
        for (key, stream) in &self.streams {
            assert!(
                stream.len() > 0 || self.has_live_task(key),
                "stream of {} is kept empty",
                key.1
            );
        }
    }

    fn has_live_task(&self, key: &super::core::TaskKey) -> bool {
        self.frameworks
            .get(&key.0)
            .and_then(|framework| framework.executor_of(&key.1))
            .is_some()
    }

    fn check_executor(&self, executor: &Executor) {
        let id = &executor.id;
        let tracked = self.containers.contains_key(&executor.container_id);
        assert_eq!(
            executor.status != ExecutorStatus::Terminated,
            tracked,
            "executor {id} is {:?}, its container is tracked: {tracked}",
            executor.status
        );
        if let Some(connection) = executor.connection {
            assert!(
                self.connections.contains_key(&connection),
                "executor {id} has a connection that nobody knows"
            );
            assert!(
                executor.status.has_container(),
                "executor {id} has a connection but no container"
            );
        }
        assert!(
            executor.status != ExecutorStatus::Terminated
                || executor.held.is_empty() && executor.live_tasks().next().is_none(),
            "executor {id} is over but a task of it is not"
        );
        for (task_id, task) in &executor.tasks {
            if task.state.is_terminal() {
                let key = (executor.framework_id.clone(), task_id.clone());
                assert!(
                    self.streams.contains_key(&key),
                    "task {task_id} has ended but its last update is nowhere"
                );
            }
            assert!(
                task.stage != Stage::Sent || executor.delivered,
                "task {task_id} was sent by an executor that never got one"
            );
        }
        for task_id in &executor.order {
            assert!(
                executor.tasks.contains_key(task_id),
                "task {task_id} is in the order of {id} but not among its tasks"
            );
        }
    }
}
