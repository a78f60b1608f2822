//! Histories of the command executor, step by step.

use super::super::checks::Probe;
use super::*;
use crate::base::Timestamp;
use crate::base::{ExecutorId, FrameworkId};
use v1::TaskState::{TaskFailed, TaskFinished, TaskKilled, TaskKilling, TaskRunning, TaskStarting};

/// An executor with its clock and everything that it has sent.
struct Bench {
    executor: Executor,
    now: Now,
    effects: Effects,
    timers: std::collections::BTreeMap<TimerKey, Instant>,
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Bench {
    fn new(checkpoint: bool) -> Self {
        let now = Now {
            mono: Instant(1),
            wall: Timestamp(1_000_000_000),
        };
        let mut effects = Effects::new();
        let config = Config {
            framework_id: FrameworkId::new("f"),
            executor_id: ExecutorId::new("t"),
            checkpoint,
            recovery_timeout: secs(900),
            shutdown_grace: secs(5),
            seed: 1,
        };
        let executor = Executor::new(config, now, &mut effects);
        let mut bench = Self {
            executor,
            now,
            effects,
            timers: std::collections::BTreeMap::new(),
        };
        bench.collect_timers(0);
        bench
    }

    fn collect_timers(&mut self, from: usize) {
        for effect in &self.effects[from..] {
            match effect {
                Effect::SetTimer { key, at } => {
                    self.timers.insert(*key, *at);
                }
                Effect::CancelTimer(key) => {
                    self.timers.remove(key);
                }
                _ => {}
            }
        }
    }

    /// One step; gives the effects of it.
    fn step(&mut self, event: Event) -> Vec<Effect> {
        let from = self.effects.len();
        self.executor.step(self.now, event, &mut self.effects);
        self.executor.check_invariants();
        self.collect_timers(from);
        self.effects[from..].to_vec()
    }

    /// Lets time pass and fires what is due, in order.
    fn wait(&mut self, duration: Duration) -> Vec<Effect> {
        let from = self.effects.len();
        let end = self.now.mono.after(duration);
        while let Some((key, at)) = self
            .timers
            .iter()
            .map(|(key, at)| (*key, *at))
            .filter(|(_, at)| *at <= end)
            .min_by_key(|(key, at)| (*at, *key))
        {
            self.timers.remove(&key);
            self.now.mono = at.max(self.now.mono);
            self.step(Event::TimerFired(key));
        }
        self.now.mono = end;
        self.effects[from..].to_vec()
    }

    fn agent(&mut self, event: wire::Event) -> Vec<Effect> {
        self.step(Event::Agent(Box::new(event)))
    }

    fn subscribe(&mut self, capabilities: &[v1::framework_info::capability::Type]) -> Vec<Effect> {
        self.step(Event::AgentConnected);
        let framework_info = v1::FrameworkInfo {
            capabilities: capabilities
                .iter()
                .map(|kind| v1::framework_info::Capability {
                    r#type: Some((*kind).into()),
                })
                .collect(),
            ..Default::default()
        };
        self.agent(wire::Event {
            r#type: Some(wire::event::Type::Subscribed.into()),
            subscribed: Some(wire::event::Subscribed {
                framework_info,
                container_id: Some(v1::ContainerId {
                    value: "c".into(),
                    parent: None,
                }),
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    fn launch(&mut self, task: v1::TaskInfo) -> Vec<Effect> {
        self.agent(wire::Event {
            r#type: Some(wire::event::Type::Launch.into()),
            launch: Some(wire::event::Launch { task }),
            ..Default::default()
        })
    }

    fn kill(&mut self, grace: Option<Duration>) -> Vec<Effect> {
        self.agent(wire::Event {
            r#type: Some(wire::event::Type::Kill.into()),
            kill: Some(wire::event::Kill {
                task_id: task("t").task_id,
                kill_policy: grace.map(policy),
            }),
            ..Default::default()
        })
    }

    fn shutdown(&mut self) -> Vec<Effect> {
        self.agent(wire::Event {
            r#type: Some(wire::event::Type::Shutdown.into()),
            ..Default::default()
        })
    }

    fn acknowledge_all(&mut self) -> Vec<Effect> {
        let from = self.effects.len();
        for (uuid, update) in self.executor.unacknowledged.clone() {
            self.agent(wire::Event {
                r#type: Some(wire::event::Type::Acknowledged.into()),
                acknowledged: Some(wire::event::Acknowledged {
                    task_id: update.status.task_id,
                    uuid: uuid.0.to_vec(),
                }),
                ..Default::default()
            });
        }
        self.effects[from..].to_vec()
    }

    /// Subscribed with a running task.
    fn running(task: v1::TaskInfo) -> Self {
        let mut bench = Self::new(true);
        bench.subscribe(&[v1::framework_info::capability::Type::TaskKillingState]);
        bench.launch(task);
        bench.step(Event::Started { pid: 7 });
        bench
    }
}

fn task(id: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        name: id.to_owned(),
        task_id: v1::TaskId {
            value: id.to_owned(),
        },
        ..Default::default()
    }
}

fn policy(grace: Duration) -> v1::KillPolicy {
    v1::KillPolicy {
        grace_period: Some(v1::DurationInfo {
            nanoseconds: i64::try_from(grace.as_nanos()).unwrap(),
        }),
    }
}

/// The statuses among effects.
fn statuses(effects: &[Effect]) -> Vec<v1::TaskStatus> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::ToAgent(call) => call.update.clone().map(|update| update.status),
            _ => None,
        })
        .collect()
}

fn states(effects: &[Effect]) -> Vec<v1::TaskState> {
    statuses(effects)
        .iter()
        .map(v1::TaskStatus::state)
        .collect()
}

fn signals(effects: &[Effect]) -> Vec<Signal> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::SignalTask(signal) => Some(*signal),
            _ => None,
        })
        .collect()
}

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

#[test]
fn task_runs_from_launch_to_acknowledged_end() {
    let mut bench = Bench::new(true);
    bench.subscribe(&[]);
    let effects = bench.launch(task("t"));
    assert_eq!(states(&effects), [TaskStarting]);
    assert!(matches!(effects.last(), Some(Effect::Start(info)) if info.name == "t"));
    let effects = bench.step(Event::Started { pid: 7 });
    let running = statuses(&effects).remove(0);
    assert_eq!(running.state(), TaskRunning);
    assert_eq!(running.uuid().len(), 16);
    assert_eq!(running.source(), v1::task_status::Source::Executor);
    assert_eq!(running.executor_id.unwrap().value, "t");
    assert_eq!(
        running
            .container_status
            .unwrap()
            .container_id
            .unwrap()
            .value,
        "c"
    );
    let effects = bench.step(Event::Ended { wait_status: 0 });
    let last = statuses(&effects).remove(0);
    assert_eq!(last.state(), TaskFinished);
    assert_eq!(last.message(), "Command exited with status 0");
    assert_eq!(last.reason, None);
    assert_eq!(bench.acknowledge_all().last(), Some(&Effect::Exit));
}

#[test]
fn exit_status_and_signal_fail_the_task() {
    for (status, message) in [
        (7 << 8, "Command exited with status 7"),
        (SIGKILL, "Command terminated with signal Killed"),
    ] {
        let mut bench = Bench::running(task("t"));
        let effects = bench.step(Event::Ended {
            wait_status: status,
        });
        let last = statuses(&effects).remove(0);
        assert_eq!(last.state(), TaskFailed);
        assert_eq!(last.message(), message);
    }
}

#[test]
fn kill_escalates_after_the_grace_period() {
    let mut bench = Bench::running(task("t"));
    let effects = bench.kill(None);
    assert_eq!(states(&effects), [TaskKilling]);
    assert_eq!(signals(&effects), [Signal::Terminate]);
    assert_eq!(signals(&bench.wait(Duration::from_millis(2999))), []);
    assert_eq!(signals(&bench.wait(secs(1))), [Signal::Kill]);
    let effects = bench.step(Event::Ended {
        wait_status: SIGKILL,
    });
    assert_eq!(states(&effects), [TaskKilled]);
}

#[test]
fn second_kill_shortens_the_grace_but_never_lengthens_it() {
    let mut bench = Bench::running(v1::TaskInfo {
        kill_policy: Some(policy(secs(20))),
        ..task("t")
    });
    bench.kill(None);
    assert_eq!(signals(&bench.wait(secs(2))), []);
    assert_eq!(bench.kill(Some(secs(30))), []);
    assert_eq!(states(&bench.kill(Some(secs(5)))), []);
    assert_eq!(signals(&bench.wait(Duration::from_millis(2999))), []);
    assert_eq!(signals(&bench.wait(secs(1))), [Signal::Kill]);

    let mut bench = Bench::running(task("t"));
    bench.kill(Some(secs(20)));
    bench.wait(secs(10));
    bench.kill(Some(secs(5)));
    assert_eq!(signals(&bench.wait(Duration::ZERO)), [Signal::Kill]);
}

#[test]
fn killing_is_told_only_to_who_understands_it() {
    let mut bench = Bench::new(true);
    bench.subscribe(&[]);
    bench.launch(task("t"));
    bench.step(Event::Started { pid: 7 });
    assert_eq!(states(&bench.kill(None)), []);
}

#[test]
fn task_that_exits_well_while_being_killed_has_finished() {
    let mut bench = Bench::running(task("t"));
    bench.kill(None);
    let effects = bench.step(Event::Ended { wait_status: 0 });
    assert_eq!(states(&effects), [TaskFinished]);
}

#[test]
fn kill_before_the_start_is_remembered() {
    let mut bench = Bench::new(true);
    bench.subscribe(&[]);
    bench.launch(task("t"));
    assert_eq!(signals(&bench.kill(None)), []);
    let effects = bench.step(Event::Started { pid: 7 });
    assert_eq!(states(&effects), [TaskRunning]);
    assert_eq!(signals(&effects), [Signal::Terminate]);
}

#[test]
fn kill_of_another_task_is_ignored() {
    let mut bench = Bench::running(task("t"));
    let effects = bench.agent(wire::Event {
        r#type: Some(wire::event::Type::Kill.into()),
        kill: Some(wire::event::Kill {
            task_id: task("other").task_id,
            kill_policy: None,
        }),
        ..Default::default()
    });
    assert_eq!(effects, []);
}

#[test]
fn shutdown_leaves_time_for_the_forced_kill() {
    let mut bench = Bench::running(v1::TaskInfo {
        kill_policy: Some(policy(secs(60))),
        ..task("t")
    });
    assert_eq!(signals(&bench.shutdown()), [Signal::Terminate]);
    assert_eq!(signals(&bench.wait(Duration::from_millis(3999))), []);
    assert_eq!(
        signals(&bench.wait(Duration::from_millis(1))),
        [Signal::Kill]
    );
    let effects = bench.step(Event::Ended {
        wait_status: SIGKILL,
    });
    assert_eq!(states(&effects), [TaskKilled]);
    assert_eq!(bench.acknowledge_all().last(), Some(&Effect::Exit));
}

#[test]
fn shutdown_without_a_task_is_the_end() {
    let mut bench = Bench::new(true);
    bench.subscribe(&[]);
    assert_eq!(bench.shutdown(), [Effect::Exit]);
    assert_eq!(bench.launch(task("t")), []);
}

#[test]
fn task_out_of_time_fails_without_grace() {
    let mut bench = Bench::running(v1::TaskInfo {
        max_completion_time: Some(v1::DurationInfo {
            nanoseconds: 2_000_000_000,
        }),
        kill_policy: Some(policy(secs(60))),
        ..task("t")
    });
    assert_eq!(bench.wait(Duration::from_millis(1999)), []);
    assert_eq!(
        signals(&bench.wait(Duration::from_millis(1))),
        [Signal::Kill]
    );
    let effects = bench.step(Event::Ended {
        wait_status: SIGKILL,
    });
    let last = statuses(&effects).remove(0);
    assert_eq!(last.state(), TaskFailed);
    assert_eq!(last.reason(), Reason::MaxCompletionTimeReached);
}

#[test]
fn second_task_is_refused_and_the_first_goes_on() {
    let mut bench = Bench::running(task("t"));
    let effects = bench.launch(task("u"));
    let refused = statuses(&effects).remove(0);
    assert_eq!(refused.task_id.value, "u");
    assert_eq!(refused.state(), TaskFailed);
    assert!(refused.message().contains("one task only"));
    assert!(!effects.iter().any(|e| matches!(e, Effect::Start(_))));
    assert_eq!(bench.launch(task("t")), [], "a repeated LAUNCH is no news");
    let effects = bench.step(Event::Ended { wait_status: 0 });
    assert_eq!(states(&effects), [TaskFinished]);
}

#[test]
fn no_second_terminal_update() {
    let mut bench = Bench::running(task("t"));
    bench.step(Event::Ended { wait_status: 0 });
    let mut later = bench.step(Event::Ended { wait_status: 256 });
    later.extend(bench.kill(None));
    later.extend(bench.step(Event::StartFailed {
        message: "late".into(),
    }));
    later.extend(bench.wait(secs(10)));
    assert_eq!(states(&later), []);
    assert_eq!(signals(&later), []);
}

#[test]
fn failed_start_names_the_cause() {
    let mut bench = Bench::new(true);
    bench.subscribe(&[]);
    bench.launch(task("t"));
    let effects = bench.step(Event::StartFailed {
        message: "no such file".into(),
    });
    let last = statuses(&effects).remove(0);
    assert_eq!(last.state(), TaskFailed);
    assert_eq!(last.message(), "no such file");
    assert_eq!(last.reason(), Reason::ContainerLaunchFailed);
}

#[test]
fn lost_agent_hears_everything_again() {
    let mut bench = Bench::running(task("t"));
    assert_eq!(signals(&bench.step(Event::AgentDisconnected)), []);
    let effects = bench.step(Event::Ended { wait_status: 256 });
    assert_eq!(states(&effects), [], "nobody is there to hear it");
    let effects = bench.step(Event::AgentConnected);
    let Some(Effect::ToAgent(call)) = effects.first() else {
        panic!("no SUBSCRIBE");
    };
    let subscribe = call.subscribe.clone().unwrap();
    assert_eq!(subscribe.unacknowledged_tasks.len(), 1);
    let repeated: Vec<_> = subscribe
        .unacknowledged_updates
        .iter()
        .map(|update| update.status.state())
        .collect();
    assert_eq!(repeated, [TaskStarting, TaskRunning, TaskFailed]);
    bench.subscribe(&[]);
    assert_eq!(bench.acknowledge_all().last(), Some(&Effect::Exit));
}

#[test]
fn acknowledged_tasks_and_updates_are_not_repeated() {
    let mut bench = Bench::running(task("t"));
    bench.acknowledge_all();
    bench.step(Event::AgentDisconnected);
    let effects = bench.step(Event::AgentConnected);
    let Some(Effect::ToAgent(call)) = effects.first() else {
        panic!("no SUBSCRIBE");
    };
    assert_eq!(call.subscribe, Some(wire::call::Subscribe::default()));
}

#[test]
fn agent_that_stays_away_ends_the_task() {
    let mut bench = Bench::running(task("t"));
    bench.step(Event::AgentDisconnected);
    assert_eq!(signals(&bench.wait(secs(899))), []);
    assert_eq!(
        signals(&bench.wait(secs(60))),
        [Signal::Terminate, Signal::Kill]
    );
    let effects = bench.step(Event::Ended {
        wait_status: SIGTERM,
    });
    assert_eq!(effects.last(), Some(&Effect::Exit));
}

#[test]
fn without_checkpoint_the_task_ends_with_its_agent() {
    let mut bench = Bench::new(false);
    bench.subscribe(&[]);
    bench.launch(task("t"));
    bench.step(Event::Started { pid: 7 });
    assert_eq!(
        bench.step(Event::AgentDisconnected),
        [Effect::SignalTask(Signal::Kill), Effect::Exit]
    );
}

#[test]
fn agent_that_never_answers_is_given_up() {
    let mut bench = Bench::new(true);
    bench.step(Event::AgentConnected);
    assert_eq!(bench.wait(secs(900)), [Effect::Exit]);
}

#[test]
fn last_acknowledgement_is_not_waited_for_forever() {
    let mut bench = Bench::running(task("t"));
    bench.step(Event::Ended { wait_status: 0 });
    assert_eq!(bench.wait(secs(59)), []);
    assert_eq!(bench.wait(secs(1)), [Effect::Exit]);
}

fn with_health_check(failures: u32, grace: f64) -> v1::TaskInfo {
    v1::TaskInfo {
        health_check: Some(v1::HealthCheck {
            r#type: Some(v1::health_check::Type::Tcp.into()),
            tcp: Some(v1::health_check::TcpCheckInfo {
                port: 80,
                ..Default::default()
            }),
            delay_seconds: Some(1.0),
            interval_seconds: Some(2.0),
            timeout_seconds: Some(5.0),
            consecutive_failures: Some(failures),
            grace_period_seconds: Some(grace),
            ..Default::default()
        }),
        ..task("t")
    }
}

fn unhealthy() -> Event {
    Event::ProbeEnded {
        kind: ProbeKind::Health,
        outcome: Outcome::Tcp(false),
    }
}

fn healthy() -> Event {
    Event::ProbeEnded {
        kind: ProbeKind::Health,
        outcome: Outcome::Tcp(true),
    }
}

#[test]
fn failed_health_checks_kill_the_task() {
    let mut bench = Bench::running(with_health_check(2, 0.0));
    let effects = bench.wait(secs(1));
    assert!(effects.contains(&Effect::RunProbe {
        kind: ProbeKind::Health,
        probe: Probe::Tcp {
            ipv6: false,
            port: 80
        }
    }));
    let first = statuses(&bench.step(unhealthy())).remove(0);
    assert_eq!(first.state(), TaskRunning);
    assert_eq!(first.healthy, Some(false));
    assert_eq!(first.reason(), Reason::TaskHealthCheckStatusUpdated);
    bench.wait(secs(2));
    let effects = bench.step(unhealthy());
    assert_eq!(states(&effects), [TaskRunning, TaskKilling]);
    assert_eq!(signals(&effects), [Signal::Terminate]);
    let effects = bench.step(Event::Ended {
        wait_status: SIGTERM,
    });
    let last = statuses(&effects).remove(0);
    assert_eq!(last.state(), TaskKilled);
    assert_eq!(last.healthy, Some(false));
}

#[test]
fn health_is_told_once_and_failures_in_the_grace_period_never() {
    let mut bench = Bench::running(with_health_check(1, 10.0));
    bench.wait(secs(1));
    assert_eq!(states(&bench.step(unhealthy())), []);
    bench.wait(secs(2));
    let first = statuses(&bench.step(healthy())).remove(0);
    assert_eq!(first.healthy, Some(true));
    bench.wait(secs(2));
    assert_eq!(states(&bench.step(healthy())), []);
    bench.wait(secs(2));
    assert_eq!(signals(&bench.step(unhealthy())), [Signal::Terminate]);
}

#[test]
fn slow_probe_is_stopped_and_counts_as_failed() {
    let mut bench = Bench::running(with_health_check(1, 0.0));
    bench.wait(secs(1));
    let effects = bench.wait(secs(5));
    assert!(effects.contains(&Effect::StopProbe(ProbeKind::Health)));
    assert_eq!(signals(&effects), [Signal::Terminate]);
}

#[test]
fn probes_pause_while_the_task_is_killed() {
    let mut bench = Bench::running(with_health_check(9, 0.0));
    bench.wait(secs(1));
    let effects = bench.kill(Some(secs(60)));
    assert!(effects.contains(&Effect::StopProbe(ProbeKind::Health)));
    assert_eq!(bench.step(unhealthy()), []);
    assert_eq!(bench.wait(secs(30)), []);
}

#[test]
fn check_reports_changes_only() {
    let mut bench = Bench::new(true);
    bench.subscribe(&[]);
    bench.launch(v1::TaskInfo {
        check: Some(v1::CheckInfo {
            r#type: Some(v1::check_info::Type::Command.into()),
            command: Some(v1::check_info::Command::default()),
            ..Default::default()
        }),
        ..task("t")
    });
    let running = statuses(&bench.step(Event::Started { pid: 7 })).remove(0);
    let empty = running.check_status.unwrap();
    assert_eq!(empty.command.unwrap().exit_code, None);
    let result = |code| Event::ProbeEnded {
        kind: ProbeKind::Check,
        outcome: Outcome::Command(code),
    };
    bench.wait(secs(15));
    let first = statuses(&bench.step(result(3))).remove(0);
    assert_eq!(first.reason(), Reason::TaskCheckStatusUpdated);
    assert_eq!(
        first.check_status.unwrap().command.unwrap().exit_code,
        Some(3)
    );
    bench.wait(secs(10));
    assert_eq!(states(&bench.step(result(3))), []);
    bench.wait(secs(10));
    assert_eq!(states(&bench.step(result(0))), [TaskRunning]);
}

#[test]
fn check_results_for_an_absent_agent_are_bounded() {
    let mut bench = Bench::running(with_health_check(1_000_000, 0.0));
    bench.step(Event::AgentDisconnected);
    for _ in 0..500 {
        bench.step(unhealthy());
    }
    bench.step(Event::Ended { wait_status: 0 });
    assert_eq!(bench.executor.unacknowledged.len(), UNACKNOWLEDGED_MAX + 1);
}
