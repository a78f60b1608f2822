//! The supervisor as a real process beside a fake agent: `mesosd executor` and `mesosd launch` with
//! the posix launcher, so that no privilege is needed.
#![expect(clippy::unwrap_used, reason = "tests")]

mod agent;
mod container;

use std::time::{Duration, Instant};

use agent::Agent;
use container::Container;
use mesosd::proto::v1;
use v1::TaskState::{TaskFailed, TaskFinished, TaskKilled, TaskRunning, TaskStarting};

#[test]
fn command_runs_and_its_status_is_on_disk_before_the_update() {
    let mut container = Container::new("echo out; echo err >&2; exit 7");
    let mut agent = Agent::listen(&container.socket());
    container.spawn();
    agent.accept();
    agent.subscribed();
    agent.launch(container.task());
    assert_eq!(agent.update().state(), TaskStarting);
    assert_eq!(agent.update().state(), TaskRunning);
    let last = agent.update();
    assert_eq!(container.status().as_deref(), Some("1792"));
    assert_eq!(last.state(), TaskFailed);
    assert_eq!(last.message(), "Command exited with status 7");
    assert!(container.is_alive(), "it waits for the acknowledgement");
    agent.acknowledge_all();
    container.wait_end();
    assert_eq!(container.output("stdout"), "out\n");
    assert_eq!(container.output("stderr"), "err\n");
}

#[test]
fn what_a_task_leaves_running_is_gone_when_the_end_is_told() {
    let mut container = Container::new(
        "setsid sh -c 'echo $$ > left; sleep 1000' & while [ ! -s left ]; do sleep 0.01; done",
    );
    let mut agent = Agent::listen(&container.socket());
    container.spawn();
    agent.accept();
    agent.subscribed();
    agent.launch(container.task());
    assert_eq!(agent.update_of_end().state(), TaskFinished);
    let pid = container.output("left").trim().to_owned();
    assert!(!std::path::Path::new("/proc").join(pid).exists());
}

#[test]
fn kill_terminates_the_tree_and_then_insists() {
    let mut container = Container::new("trap '' TERM; touch ready; while :; do sleep 0.1; done");
    let mut agent = Agent::listen(&container.socket());
    container.spawn();
    agent.accept();
    agent.subscribed();
    agent.launch(container.task());
    container.await_file("ready");
    let begin = Instant::now();
    agent.kill(&container.task(), Duration::from_millis(300));
    let last = agent.update_of_end();
    assert!(begin.elapsed() >= Duration::from_millis(300));
    assert_eq!(last.state(), TaskKilled);
    assert_eq!(last.message(), "Command terminated with signal Killed");
}

#[test]
fn task_outlives_its_agent_and_its_end_is_told_to_the_next() {
    let mut container = Container::new("while [ ! -e go ]; do sleep 0.02; done; exit 3");
    let mut agent = Agent::listen(&container.socket());
    container.spawn();
    agent.accept();
    agent.subscribed();
    agent.launch(container.task());
    assert_eq!(agent.update().state(), TaskStarting);
    assert_eq!(agent.update().state(), TaskRunning);
    agent.acknowledge_all();
    drop(agent);
    std::thread::sleep(Duration::from_millis(300));
    container.touch("go");
    container.await_status();
    let mut agent = Agent::listen(&container.socket());
    let subscribe = agent.accept();
    let told: Vec<_> = subscribe
        .unacknowledged_updates
        .iter()
        .map(|update| update.status.state())
        .collect();
    assert_eq!(told, [TaskFailed]);
    assert_eq!(subscribe.unacknowledged_tasks, []);
    agent.subscribed();
    agent.acknowledge(&subscribe.unacknowledged_updates[0].status);
    container.wait_end();
}

#[test]
fn silent_and_babbling_agents_do_no_harm() {
    let mut container = Container::new("exit 0");
    let mut agent = Agent::listen(&container.socket());
    container.spawn();
    agent.accept();
    agent.send_bytes(&[0xff; 64]);
    agent.accept();
    agent.send_bytes(&[0, 0, 0, 3, 0xff, 0xff, 0xff]);
    agent.accept();
    // Half a frame, then nothing.
    agent.send_bytes(&[0, 0, 1]);
    std::thread::sleep(Duration::from_millis(100));
    assert!(container.is_alive());
    agent.hang_up();
    agent.accept();
    agent.subscribed();
    agent.launch(container.task());
    assert_eq!(agent.update_of_end().state(), TaskFinished);
}

#[test]
fn command_that_does_not_exist_is_named() {
    let mut container = Container::new("");
    container.plan.command.shell = false;
    container.plan.command.value = "/no/such/program".to_owned();
    let mut agent = Agent::listen(&container.socket());
    container.spawn();
    agent.accept();
    agent.subscribed();
    agent.launch(container.task());
    assert_eq!(agent.update().state(), TaskStarting);
    let last = agent.update();
    assert_eq!(last.state(), TaskFailed);
    assert!(last.message().contains("/no/such/program"), "{last:?}");
    assert!(container.output("stderr").contains("/no/such/program"));
    assert_eq!(container.status().as_deref(), Some("32512"));
}

#[test]
fn executor_of_a_framework_is_watched_without_an_agent() {
    let mut container = Container::new("sleep 1000 & echo $! > left; exit 5");
    container.plan.executor = None;
    container.spawn();
    container.wait_end();
    assert_eq!(container.status().as_deref(), Some("1280"));
    let pid = container.output("left").trim().to_owned();
    assert!(!std::path::Path::new("/proc").join(pid).exists());
}

#[test]
fn termination_of_the_supervisor_ends_everything() {
    let mut container = Container::new("sh -c 'echo $$ > left; exec sleep 1000' & wait");
    container.plan.executor = None;
    container.spawn();
    container.await_file("left");
    container.terminate();
    container.wait_end();
    assert_eq!(container.status().as_deref(), Some("9"));
    let pid = container.output("left").trim().to_owned();
    assert!(!std::path::Path::new("/proc").join(pid).exists());
}

#[test]
fn command_check_runs_beside_the_task() {
    let mut container = Container::new("export X=1; sleep 1000");
    container
        .plan
        .environment
        .push(("WHO".into(), "task".into()));
    let mut agent = Agent::listen(&container.socket());
    container.spawn();
    agent.accept();
    agent.subscribed();
    let mut task = container.task();
    task.check = Some(v1::CheckInfo {
        r#type: Some(v1::check_info::Type::Command.into()),
        command: Some(v1::check_info::Command {
            command: v1::CommandInfo {
                value: Some("test \"$WHO\" = task && test \"$(pwd)\" = $PLACE && exit 4".into()),
                environment: Some(v1::Environment {
                    variables: vec![v1::environment::Variable {
                        name: "PLACE".into(),
                        value: Some(container.sandbox().display().to_string()),
                        ..Default::default()
                    }],
                }),
                ..Default::default()
            },
        }),
        delay_seconds: Some(0.0),
        ..Default::default()
    });
    agent.launch(task.clone());
    assert_eq!(agent.update().state(), TaskStarting);
    assert_eq!(agent.update().state(), TaskRunning);
    let checked = agent.update();
    let status = checked.check_status.unwrap().command.unwrap();
    assert_eq!(status.exit_code, Some(4));
    agent.kill(&task, Duration::ZERO);
    assert_eq!(agent.update_of_end().state(), TaskKilled);
}

#[test]
fn http_and_tcp_probes_reach_a_server() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = u32::from(server.local_addr().unwrap().port());
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1024];
            if stream.read(&mut request).unwrap_or(0) > 0 {
                let answer = "HTTP/1.1 418 teapot\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    let mut container = Container::new("sleep 1000");
    let mut agent = Agent::listen(&container.socket());
    container.spawn();
    agent.accept();
    agent.subscribed();
    let mut task = container.task();
    task.check = Some(v1::CheckInfo {
        r#type: Some(v1::check_info::Type::Http.into()),
        http: Some(v1::check_info::Http {
            port,
            path: Some("/tea".into()),
        }),
        delay_seconds: Some(0.0),
        ..Default::default()
    });
    task.health_check = Some(v1::HealthCheck {
        r#type: Some(v1::health_check::Type::Tcp.into()),
        tcp: Some(v1::health_check::TcpCheckInfo {
            port,
            ..Default::default()
        }),
        delay_seconds: Some(0.0),
        ..Default::default()
    });
    agent.launch(task.clone());
    let mut last = agent.update();
    while last.healthy.is_none()
        || last
            .check_status
            .as_ref()
            .is_none_or(|status| status.http.unwrap().status_code.is_none())
    {
        last = agent.update();
    }
    assert_eq!(last.healthy, Some(true));
    assert_eq!(
        last.check_status.unwrap().http.unwrap().status_code,
        Some(418)
    );
    agent.kill(&task, Duration::ZERO);
    assert_eq!(agent.update_of_end().state(), TaskKilled);
}
