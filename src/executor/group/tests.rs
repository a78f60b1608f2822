//! Histories of the default executor, step by step.

use std::time::Duration;

use super::*;
use crate::base::{ExecutorId, FrameworkId, Timestamp};
use v1::TaskState::{TaskFailed, TaskFinished, TaskKilled, TaskRunning, TaskStarting};

struct Bench {
    machine: Groups,
    now: Now,
    effects: Effects,
}

fn event(kind: wire::event::Type) -> wire::Event {
    wire::Event {
        r#type: Some(kind.into()),
        ..Default::default()
    }
}

impl Bench {
    fn new(checkpoint: bool) -> Self {
        let now = Now {
            mono: Instant(1),
            wall: Timestamp(1_000_000_000),
        };
        let config = Config {
            framework_id: FrameworkId::new("f"),
            executor_id: ExecutorId::new("e"),
            checkpoint,
            recovery_timeout: Duration::from_secs(900),
            shutdown_grace: Duration::from_secs(5),
            seed: 1,
        };
        let mut effects = Effects::new();
        let machine = Groups::new(config, now, &mut effects);
        let mut bench = Self {
            machine,
            now,
            effects,
        };
        bench.connect();
        bench
    }

    fn step(&mut self, event: Event) {
        self.machine.step(self.now, event, &mut self.effects);
    }

    fn agent(&mut self, event: wire::Event) {
        self.step(Event::Agent(Box::new(event)));
    }

    fn connect(&mut self) {
        self.step(Event::AgentConnected);
        self.agent(wire::Event {
            subscribed: Some(wire::event::Subscribed {
                container_id: Some("outer".into()),
                ..Default::default()
            }),
            ..event(wire::event::Type::Subscribed)
        });
    }

    fn launch(&mut self, ids: &[&str]) {
        let task = |id: &&str| v1::TaskInfo {
            task_id: (*id).into(),
            ..Default::default()
        };
        self.agent(wire::Event {
            launch_group: Some(wire::event::LaunchGroup {
                task_group: v1::TaskGroupInfo {
                    tasks: ids.iter().map(task).collect(),
                },
            }),
            ..event(wire::event::Type::LaunchGroup)
        });
        for id in ids {
            self.task(id, core::Event::Started { pid: 7 });
        }
    }

    fn task(&mut self, id: &str, event: core::Event) {
        let task_id = TaskId::new(id);
        self.step(Event::Task { task_id, event });
    }

    fn ended(&mut self, id: &str, wait_status: i32) {
        self.task(id, core::Event::Ended { wait_status });
    }

    fn take(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    /// States told since the last look, and acknowledges them.
    fn told(&mut self) -> Vec<(String, v1::TaskState)> {
        let mut told = Vec::new();
        for effect in self.take() {
            let Effect::ToAgent(call) = effect else {
                continue;
            };
            let Some(update) = call.update else { continue };
            let status = update.status;
            told.push((status.task_id.value.clone(), status.state()));
            self.agent(wire::Event {
                acknowledged: Some(wire::event::Acknowledged {
                    task_id: status.task_id,
                    uuid: status.uuid.unwrap(),
                }),
                ..event(wire::event::Type::Acknowledged)
            });
        }
        told
    }
}

fn signalled(effects: &Effects) -> Vec<&str> {
    let signal = |effect| match effect {
        &Effect::Task {
            ref task_id,
            effect: core::Effect::SignalTask(_),
        } => Some(task_id.as_str()),
        _ => None,
    };
    effects.iter().filter_map(signal).collect()
}

fn named(id: &str, state: v1::TaskState) -> (String, v1::TaskState) {
    (id.to_owned(), state)
}

#[test]
fn each_task_has_a_container_of_its_own_below_the_executors() {
    let mut bench = Bench::new(true);
    bench.take();
    bench.launch(&["a", "b"]);
    let mut ids = Vec::new();
    for effect in bench.take() {
        if let Effect::ToAgent(call) = effect
            && let Some(update) = call.update
        {
            let container = update.status.container_status.unwrap();
            let id = container.container_id.unwrap();
            assert_eq!(id.parent.unwrap().value, "outer");
            ids.push(id.value);
        }
    }
    assert_eq!(ids.len(), 4);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2);
}

#[test]
fn it_leaves_when_the_last_end_is_acknowledged() {
    let mut bench = Bench::new(true);
    bench.launch(&["a", "b"]);
    let started = [TaskStarting, TaskStarting, TaskRunning, TaskRunning];
    let told: Vec<_> = bench.told().into_iter().map(|(_, state)| state).collect();
    assert_eq!(told, started);
    bench.ended("a", 0);
    assert_eq!(bench.told(), [named("a", TaskFinished)]);
    assert!(!bench.take().contains(&Effect::Exit));
    bench.ended("b", 0);
    assert_eq!(bench.told(), [named("b", TaskFinished)]);
    assert_eq!(bench.take().last(), Some(&Effect::Exit));
}

#[test]
fn a_failure_kills_its_group_only() {
    let mut bench = Bench::new(true);
    bench.launch(&["a", "b"]);
    bench.launch(&["c"]);
    bench.told();
    bench.ended("a", 1 << 8);
    assert_eq!(signalled(&bench.effects), ["b"]);
    assert_eq!(bench.told(), [named("a", TaskFailed)]);
    bench.ended("b", libc::SIGTERM);
    assert_eq!(bench.told(), [named("b", TaskKilled)]);
    assert_eq!(signalled(&bench.effects), [""; 0]);
}

#[test]
fn the_kill_of_one_is_the_kill_of_all_even_if_it_ends_well() {
    let mut bench = Bench::new(true);
    bench.launch(&["a", "b"]);
    bench.told();
    bench.agent(wire::Event {
        kill: Some(wire::event::Kill {
            task_id: "a".into(),
            kill_policy: None,
        }),
        ..event(wire::event::Type::Kill)
    });
    assert_eq!(signalled(&bench.effects), ["a"]);
    bench.take();
    bench.ended("a", 0);
    assert_eq!(signalled(&bench.effects), ["b"]);
}

#[test]
fn a_kill_before_the_start_gives_the_start_up() {
    let mut bench = Bench::new(true);
    bench.launch(&["a"]);
    bench.take();
    bench.agent(wire::Event {
        launch_group: Some(wire::event::LaunchGroup {
            task_group: v1::TaskGroupInfo {
                tasks: vec![v1::TaskInfo {
                    task_id: "slow".into(),
                    ..Default::default()
                }],
            },
        }),
        ..event(wire::event::Type::LaunchGroup)
    });
    bench.told();
    bench.agent(wire::Event {
        kill: Some(wire::event::Kill {
            task_id: "slow".into(),
            kill_policy: None,
        }),
        ..event(wire::event::Type::Kill)
    });
    let given_up = Effect::Task {
        task_id: TaskId::new("slow"),
        effect: core::Effect::CancelStart,
    };
    assert!(bench.take().contains(&given_up));
    let message = "killed".to_owned();
    bench.task("slow", core::Event::StartFailed { message });
    assert_eq!(bench.told(), [named("slow", TaskKilled)]);
}

#[test]
fn one_subscription_speaks_for_all() {
    let mut bench = Bench::new(true);
    bench.launch(&["a", "b"]);
    bench.step(Event::AgentDisconnected);
    bench.ended("b", 0);
    bench.take();
    bench.step(Event::AgentConnected);
    let effects = bench.take();
    let [Effect::ToAgent(call)] = &effects[..] else {
        panic!("{effects:?}");
    };
    let subscribe = call.subscribe.as_ref().unwrap();
    assert_eq!(subscribe.unacknowledged_tasks.len(), 2);
    assert_eq!(subscribe.unacknowledged_updates.len(), 5);
}

#[test]
fn without_checkpoints_a_lost_agent_is_the_end() {
    let mut bench = Bench::new(false);
    bench.launch(&["a", "b"]);
    bench.take();
    bench.step(Event::AgentDisconnected);
    let effects = bench.take();
    assert_eq!(signalled(&effects), ["a", "b"]);
    assert_eq!(effects.last(), Some(&Effect::Exit));
}

#[test]
fn without_tasks_shutdown_is_obeyed_at_once() {
    let mut bench = Bench::new(true);
    bench.take();
    bench.agent(event(wire::event::Type::Shutdown));
    assert_eq!(bench.take(), [Effect::Exit]);
}
