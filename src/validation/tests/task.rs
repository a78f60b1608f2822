//! Tasks of a LAUNCH.

use super::super::task::{ValidTask, check};
use super::*;

fn launch(task: &v1::TaskInfo, world: &World) -> Result<ValidTask, String> {
    with_context(world, |context| check(task, context, &offered()))
        .map_err(|invalid| invalid.to_string())
}

#[test]
fn a_command_task_takes_its_resources() {
    let valid = launch(&sleeper("t"), &World::default()).unwrap();
    assert_eq!(valid.id, TaskId::new("t"));
    assert_eq!(valid.consumed.unallocated(), bag("cpus:1;mem:64"));
    assert_eq!(valid.consumed.allocated_role().unwrap().as_str(), "ads");
    assert_eq!(valid.user, "nobody");
    let said = &valid.info.resources[0].allocation_info;
    assert_eq!(said.as_ref().unwrap().role(), "ads");
}

#[test]
fn the_first_problem_is_named() {
    type Change = fn(&mut v1::TaskInfo);
    let cases: &[(Change, &str)] = &[
        (
            |t| t.task_id = "a/b".into(),
            "task_id: id \"a/b\" must not hold",
        ),
        (
            |t| t.agent_id = "s2".into(),
            "agent_id: must be the offers' agent 's', not 's2'",
        ),
        (|t| t.resources.clear(), "resources: must not be empty"),
        (
            |t| t.resources = messages("cpus:5"),
            "resources: cpus:5 asked for, but the offers have only cpus:4;",
        ),
        (
            |t| t.resources[0].scalar = None,
            "resources: resource 'cpus': scalar must be set",
        ),
        (
            |t| t.resources[0].scalar = Some(v1::value::Scalar { value: f64::NAN }),
            "resources: resource 'cpus': NaN is not a finite number",
        ),
        (
            |t| {
                t.resources[0].allocation_info = Some(v1::resource::AllocationInfo {
                    role: Some("web".to_owned()),
                })
            },
            "resources[cpus]: allocated to role 'web', but the offers are for 'ads'",
        ),
        (
            |t| {
                t.resources.push(v1::Resource {
                    revocable: Some(Default::default()),
                    ..t.resources[0].clone()
                });
            },
            "resources: cpus is used both revocable and non-revocable",
        ),
        (
            |t| t.command = None,
            "task: exactly one of command and executor must be set",
        ),
        (
            |t| t.executor = Some(executor("e")),
            "task: exactly one of command and executor must be set",
        ),
        (
            |t| t.command = Some(v1::CommandInfo::default()),
            "command.value: must be set",
        ),
        (
            |t| t.command = Some(shell("")),
            "command.value: must be set",
        ),
        (
            |t| {
                t.command = Some(v1::CommandInfo {
                    shell: Some(false),
                    ..Default::default()
                })
            },
            "command.value: must be set",
        ),
        (
            |t| t.command = Some(shell("a\0b")),
            "command.value: \"a\\0b\" must hold neither NUL",
        ),
        (
            |t| {
                t.kill_policy = Some(v1::KillPolicy {
                    grace_period: Some(v1::DurationInfo { nanoseconds: -1 }),
                })
            },
            "kill_policy.grace_period: must be a finite number, not negative, but is -1 ns",
        ),
        (
            |t| t.max_completion_time = Some(v1::DurationInfo { nanoseconds: -5 }),
            "max_completion_time: must be a finite number",
        ),
        (
            |t| t.command.as_mut().unwrap().user = Some("root".to_owned()),
            "command.user: tasks may not run as root",
        ),
        (
            |t| {
                t.container = Some(v1::ContainerInfo {
                    r#type: 2,
                    linux_info: Some(v1::LinuxInfo {
                        share_cgroups: Some(false),
                        ..Default::default()
                    }),
                    ..Default::default()
                });
            },
            "container.linux_info.share_cgroups: must not be false outside task groups",
        ),
    ];
    for (change, message) in cases {
        let mut task = sleeper("t");
        change(&mut task);
        let answer = launch(&task, &World::default()).unwrap_err();
        assert!(answer.starts_with(message), "{answer} is not {message}");
        assert!(!answer.contains('\n'));
    }
}

#[test]
fn ids_in_use_are_refused() {
    let world = World {
        live: [TaskId::new("live")].into(),
        unreachable: [TaskId::new("lost")].into(),
        ..World::default()
    };
    let message = |id: &str| launch(&sleeper(id), &world).unwrap_err();
    assert!(message("live").starts_with("task_id: task 'live' is already running"));
    assert!(message("lost").starts_with("task_id: task 'lost' is unreachable"));
    assert!(launch(&sleeper("ended"), &world).is_ok());
}

#[test]
fn environment_variables_have_what_their_type_says() {
    let variable = |name: &str, value: Option<&str>, kind: Option<i32>, secret: bool| {
        let mut task = sleeper("t");
        task.command.as_mut().unwrap().environment = Some(v1::Environment {
            variables: vec![v1::environment::Variable {
                name: name.to_owned(),
                value: value.map(str::to_owned),
                r#type: kind,
                secret: secret.then(Default::default),
            }],
        });
        launch(&task, &World::default()).err().unwrap_or_default()
    };
    let path = "command.environment.variables";
    assert_eq!(variable("A", Some(""), None, false), "");
    assert_eq!(variable("A", None, Some(2), true), "");
    assert_eq!(
        variable("A", None, None, false),
        format!("{path}[A].value: must be set")
    );
    assert!(variable("A", Some("x"), Some(1), true).starts_with(&format!("{path}[A].secret")));
    assert!(
        variable("A", None, Some(2), false).starts_with(&format!("{path}[A].secret: must be set"))
    );
    assert!(variable("A", Some("x"), Some(2), true).starts_with(&format!("{path}[A].value")));
    assert!(variable("A", Some("x"), Some(0), false).starts_with(&format!("{path}[A].type")));
    assert!(variable("", Some("x"), None, false).starts_with(&format!("{path}.name")));
    assert!(variable("A=B", Some("x"), None, false).starts_with(&format!("{path}.name")));
    assert!(variable("A", Some("a\0b"), None, false).starts_with(&format!("{path}[A].value")));
}

#[test]
fn probes_have_the_part_of_their_type() {
    let health = |health: v1::HealthCheck| {
        let mut task = sleeper("t");
        task.health_check = Some(health);
        launch(&task, &World::default()).err().unwrap_or_default()
    };
    let http = |path: &str, scheme: &str, port: u32| v1::HealthCheck {
        r#type: Some(2),
        http: Some(v1::health_check::HttpCheckInfo {
            port,
            path: Some(path.to_owned()),
            scheme: Some(scheme.to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(health(http("/x", "https", 80)), "");
    assert!(health(http("x", "http", 80)).starts_with("health_check.http.path: must be a path"));
    assert!(health(http("/x", "ftp", 80)).starts_with("health_check.http.scheme: must be http or"));
    assert!(health(http("/x", "http", 99_999)).starts_with("health_check.http.port: 99999 is not"));
    assert_eq!(health(Default::default()), "health_check.type: must be set");
    let of_type = |kind| v1::HealthCheck {
        r#type: Some(kind),
        ..Default::default()
    };
    assert_eq!(health(of_type(1)), "health_check.command: must be set");
    assert_eq!(health(of_type(3)), "health_check.tcp: must be set");
    assert_eq!(
        health(of_type(0)),
        "health_check.type: has the unknown value 0"
    );
    assert_eq!(
        health(of_type(9)),
        "health_check.type: has the unknown value 9"
    );
    let mut both = http("/x", "http", 80);
    both.command = Some(shell("true"));
    assert_eq!(
        health(both),
        "health_check.command: must not be set with this type"
    );
    for late in [-1.0, f64::NAN, f64::INFINITY] {
        let mut slow = http("/x", "http", 80);
        slow.interval_seconds = Some(late);
        assert!(health(slow).starts_with("health_check.interval_seconds: must be a finite"));
    }
    let check = |check: v1::CheckInfo| {
        let mut task = sleeper("t");
        task.check = Some(check);
        launch(&task, &World::default()).err().unwrap_or_default()
    };
    let command = |text: &str| v1::CheckInfo {
        r#type: Some(1),
        command: Some(v1::check_info::Command {
            command: shell(text),
        }),
        ..Default::default()
    };
    assert_eq!(check(command("true")), "");
    assert_eq!(
        check(command("")),
        "check.command.command.value: must be set"
    );
    let slow = v1::CheckInfo {
        delay_seconds: Some(-1.0),
        ..command("true")
    };
    assert!(check(slow).starts_with("check.delay_seconds"));
    assert_eq!(check(Default::default()), "check.type: must be set");
}

#[test]
fn containers_are_consistent() {
    let container = |container: v1::ContainerInfo| {
        let mut task = sleeper("t");
        task.container = Some(container);
        launch(&task, &World::default()).err().unwrap_or_default()
    };
    let mesos = || v1::ContainerInfo {
        r#type: 2,
        ..Default::default()
    };
    assert_eq!(container(mesos()), "");
    let docker = v1::ContainerInfo {
        r#type: 1,
        ..Default::default()
    };
    assert_eq!(container(docker), "container.docker: must be set");
    let unknown = v1::ContainerInfo {
        r#type: 7,
        ..Default::default()
    };
    assert_eq!(
        container(unknown),
        "container.type: has the unknown value 7"
    );

    let volume = |change: fn(&mut v1::Volume)| {
        let mut volume = v1::Volume {
            container_path: "/data".to_owned(),
            mode: 1,
            ..Default::default()
        };
        change(&mut volume);
        container(v1::ContainerInfo {
            volumes: vec![volume],
            ..mesos()
        })
    };
    assert_eq!(volume(|v| v.host_path = Some("/srv".to_owned())), "");
    let one = "container.volumes./data: exactly one of host_path, image and source must be set";
    assert_eq!(volume(|_| {}), one);
    let both: fn(&mut v1::Volume) = |v| {
        v.host_path = Some("/srv".to_owned());
        v.source = Some(Default::default());
    };
    assert_eq!(volume(both), one);
    assert_eq!(
        volume(|v| v.source = Some(Default::default())),
        "container.volumes.source.type: must be set"
    );
    assert_eq!(
        volume(|v| v.source = Some(v1::volume::Source {
            r#type: Some(2),
            ..Default::default()
        })),
        "container.volumes.source.sandbox_path: must be set"
    );

    let linux = |linux: v1::LinuxInfo| {
        container(v1::ContainerInfo {
            linux_info: Some(linux),
            ..mesos()
        })
    };
    let set = |capabilities: &[i32]| {
        Some(v1::CapabilityInfo {
            capabilities: capabilities.to_vec(),
        })
    };
    let capabilities = |effective: &[i32], bounding: &[i32]| v1::LinuxInfo {
        effective_capabilities: set(effective),
        bounding_capabilities: set(bounding),
        ..Default::default()
    };
    assert_eq!(linux(capabilities(&[1000], &[1000, 1001])), "");
    assert!(linux(capabilities(&[1002], &[1000])).contains("must be among the bounding"));
    let shm = v1::LinuxInfo {
        shm_size: Some(64),
        ipc_mode: Some(2),
        ..Default::default()
    };
    assert!(linux(shm).starts_with("container.linux_info.shm_size: must not be set unless"));

    let rlimit = |soft: Option<u64>, hard: Option<u64>, kind: Option<i32>| {
        let limits = vec![v1::r_limit_info::RLimit {
            r#type: kind,
            soft,
            hard,
        }];
        let rlimit_info = Some(v1::RLimitInfo { rlimits: limits });
        container(v1::ContainerInfo {
            rlimit_info,
            ..mesos()
        })
    };
    assert_eq!(rlimit(Some(1), Some(2), Some(10)), "");
    assert_eq!(rlimit(None, None, Some(10)), "");
    assert!(
        rlimit(Some(3), Some(2), Some(10)).ends_with("RLMT_NOFILE: soft must not be above hard")
    );
    assert!(rlimit(Some(3), None, Some(10)).ends_with("soft and hard must be set together"));
    assert!(rlimit(None, None, None).ends_with("type: must be set"));
    assert!(rlimit(None, None, Some(0)).ends_with("type: has the unknown value 0"));
}

#[test]
fn limits_are_above_requests() {
    let limit = |name: &str, value: f64| {
        let mut task = sleeper("t");
        task.limits
            .insert(name.to_owned(), v1::value::Scalar { value });
        launch(&task, &World::default()).err().unwrap_or_default()
    };
    assert_eq!(limit("cpus", 1.0), "");
    assert_eq!(limit("mem", f64::INFINITY), "");
    assert_eq!(
        limit("cpus", 0.5),
        "limits[cpus]: the limit 0.5 is below the requested 1"
    );
    assert!(limit("mem", f64::NAN).starts_with("limits[mem]: the limit NaN is below"));
    assert_eq!(
        limit("disk", 5.0),
        "limits[disk]: only cpus and mem can have a limit"
    );
    let mut task = sleeper("t");
    task.resources = messages("mem:64");
    task.limits
        .insert("cpus".to_owned(), v1::value::Scalar { value: 1.0 });
    let answer = launch(&task, &World::default()).unwrap_err();
    assert_eq!(
        answer,
        "limits[cpus]: a limit needs a request of the same resource"
    );
}

#[test]
fn a_new_executor_is_paid_for_and_a_running_one_is_not() {
    let mut task = sleeper("t");
    task.command = None;
    task.executor = Some(executor("e"));
    let fresh = launch(&task, &World::default()).unwrap();
    assert_eq!(fresh.consumed.unallocated(), bag("cpus:1.1;mem:96;disk:10"));
    let started = fresh.executor.unwrap();
    assert!(started.is_new);
    assert_eq!(started.info.framework_id.as_ref().unwrap().value, "f");

    let mut world = World::default();
    world
        .executors
        .insert(started.id.clone(), (*started.info).clone());
    let second = launch(&task, &world).unwrap();
    assert_eq!(second.consumed.unallocated(), bag("cpus:1;mem:64"));
    assert!(!second.executor.unwrap().is_new);

    task.executor.as_mut().unwrap().name = Some("other".to_owned());
    let answer = launch(&task, &world).unwrap_err();
    assert_eq!(
        answer,
        "executor.executor_id: executor 'e' already runs on this agent with another description"
    );
}

#[test]
fn bad_executors_are_named() {
    type Change = fn(&mut v1::ExecutorInfo);
    let cases: &[(Change, &str)] = &[
        (
            |e| e.executor_id = "".into(),
            "executor.executor_id: id must not be empty",
        ),
        (
            |e| e.framework_id = Some("g".into()),
            "executor.framework_id: must be f, not 'g'",
        ),
        (
            |e| e.set_type(v1::executor_info::Type::Default),
            "executor.type: must be CUSTOM, not DEFAULT",
        ),
        (|e| e.command = None, "executor.command: must be set"),
        (
            |e| e.shutdown_grace_period = Some(v1::DurationInfo { nanoseconds: -1 }),
            "executor.shutdown_grace_period: must be a finite number",
        ),
        (|e| e.resources = messages("cpus:-0"), ""),
        (
            |e| {
                e.container = Some(v1::ContainerInfo {
                    r#type: 2,
                    linux_info: Some(v1::LinuxInfo {
                        share_cgroups: Some(true),
                        ..Default::default()
                    }),
                    ..Default::default()
                });
            },
            "executor.container.linux_info.share_cgroups: must not be set to true on executors",
        ),
        (
            |e| e.command.as_mut().unwrap().user = Some("root".to_owned()),
            "command.user: tasks may not run as root",
        ),
    ];
    for (change, message) in cases {
        let mut task = sleeper("t");
        task.command = None;
        let mut own = executor("e");
        change(&mut own);
        task.executor = Some(own);
        let answer = launch(&task, &World::default()).err().unwrap_or_default();
        assert!(answer.starts_with(message), "{answer} is not {message}");
        assert_eq!(answer.is_empty(), message.is_empty(), "{answer}");
    }
}

#[test]
fn the_first_user_said_counts() {
    let mut task = sleeper("t");
    task.command = None;
    task.executor = Some(executor("e"));
    let user = |task: &v1::TaskInfo| launch(task, &World::default()).unwrap().user;
    assert_eq!(user(&task), "nobody");
    let command = task.executor.as_mut().unwrap().command.as_mut().unwrap();
    command.user = Some("alice".to_owned());
    assert_eq!(user(&task), "alice");
}
