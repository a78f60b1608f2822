//! Custom executors: processes of the framework's own that speak the executor API.

use std::collections::BTreeMap;
use std::time::Duration;

use mesosd::proto::v1;
use mesosd::proto::v1::TaskState::TaskFailed;
use mesosd::proto::v1::task_status::Reason;

use crate::cluster::Cluster;
use crate::foreign::{Foreign, installed};
use crate::scheduler::{Scheduler, resources, shell, task};

#[test]
fn two_tasks_under_a_python_executor() {
    let name = "two_tasks_under_a_python_executor";
    let Some(program) = Foreign::python(name, "executor_framework.py") else {
        return;
    };
    let cluster = Cluster::start(1, "cpus:2;mem:1024;disk:1024");
    let text = program
        .args([cluster.address().into(), installed("venv/bin/python")])
        .run(&cluster);
    assert!(text.contains("launch first-"), "{text}");
    assert!(text.contains("launch second-"), "{text}");
    cluster.stop();
}

/// Which names an executor finds, besides its own variables; recorded of a Mesos agent, less what only
/// Mesos' own libraries use.
const NAMES: &[&str] = &[
    "LIBPROCESS_IP",
    "LIBPROCESS_PORT",
    "MESOS_AGENT_ENDPOINT",
    "MESOS_CHECKPOINT",
    "MESOS_DIRECTORY",
    "MESOS_EXECUTOR_ID",
    "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD",
    "MESOS_FRAMEWORK_ID",
    "MESOS_HTTP_COMMAND_EXECUTOR",
    "MESOS_SANDBOX",
    "MESOS_SLAVE_ID",
    "MESOS_SLAVE_PID",
    "PATH",
];

/// More names if the framework checkpoints.
const CHECKPOINT_NAMES: &[&str] = &["MESOS_RECOVERY_TIMEOUT", "MESOS_SUBSCRIPTION_BACKOFF_MAX"];

#[test]
fn environment_is_as_mesos_gives_it_and_silence_has_a_limit() {
    let flags = ["--executor_registration_timeout=2secs"];
    let cluster = Cluster::with_flags(1, "cpus:2;mem:1024;disk:1024", &[], &flags);
    for checkpoint in [false, true] {
        let mut scheduler = Scheduler::with(&cluster, "silent", |info| {
            info.checkpoint = Some(checkpoint);
        });
        let mut waiting = task("waiting", "");
        waiting.command = None;
        waiting.executor = Some(v1::ExecutorInfo {
            r#type: Some(v1::executor_info::Type::Custom.into()),
            executor_id: "mute".into(),
            resources: resources(0.1, 32.0),
            shutdown_grace_period: Some(Duration::from_secs(7).into()),
            command: Some(v1::CommandInfo {
                environment: Some(v1::Environment {
                    variables: vec![v1::environment::Variable {
                        name: "OWN".to_owned(),
                        value: Some("a b\"c".to_owned()),
                        ..Default::default()
                    }],
                }),
                ..shell("env -0; setsid sleep 1000 & exec sleep 1001")
            }),
            ..Default::default()
        });
        scheduler.submit(waiting);
        let end = scheduler.end_of("waiting");
        assert_eq!(end.state(), TaskFailed);
        assert_eq!(end.reason(), Reason::ExecutorRegistrationTimeout, "{end:?}");
        let text = String::from_utf8(scheduler.read_of("waiting", "mute", "stdout")).unwrap();
        let all: BTreeMap<&str, &str> = text
            .split_terminator('\0')
            .map(|line| line.split_once('=').unwrap())
            // The shell's own.
            .filter(|(name, _)| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name))
            .collect();
        let mut names: Vec<&str> = NAMES.to_vec();
        if checkpoint {
            names.extend(CHECKPOINT_NAMES);
            assert_eq!(all["MESOS_RECOVERY_TIMEOUT"], "15mins");
            assert_eq!(all["MESOS_SUBSCRIPTION_BACKOFF_MAX"], "2secs");
        }
        names.push("OWN");
        names.sort_unstable();
        assert_eq!(all.keys().copied().collect::<Vec<_>>(), names);
        let agent = cluster.agents[0].address.to_string();
        let run = end.container_status.unwrap().container_id.unwrap().value;
        for (name, value) in [
            ("OWN", "a b\"c".to_owned()),
            ("LIBPROCESS_PORT", "0".to_owned()),
            ("MESOS_AGENT_ENDPOINT", agent.clone()),
            ("MESOS_CHECKPOINT", u8::from(checkpoint).to_string()),
            ("MESOS_EXECUTOR_ID", "mute".to_owned()),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "7secs".to_owned()),
            ("MESOS_FRAMEWORK_ID", scheduler.id()),
            ("MESOS_SLAVE_ID", scheduler.agent("waiting")),
            ("MESOS_SLAVE_PID", format!("slave(1)@{agent}")),
            ("MESOS_DIRECTORY", all["MESOS_SANDBOX"].to_owned()),
        ] {
            assert_eq!(all[name], value, "{name}");
        }
        let sandbox = format!(
            "/slaves/{}/frameworks/{}/executors/mute/runs/{run}",
            scheduler.agent("waiting"),
            scheduler.id()
        );
        assert!(
            all["MESOS_SANDBOX"].ends_with(&sandbox),
            "{}",
            all["MESOS_SANDBOX"]
        );
        cluster.wait_until("the container is gone", Duration::from_secs(10), || {
            cluster.containers().is_empty()
        });
        scheduler.teardown();
    }
    cluster.stop();
}
