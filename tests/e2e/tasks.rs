//! What a task of a framework gets, end to end: command forms, environment, user, files, kill policy,
//! checks.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use mesosd::proto::v1;
use mesosd::proto::v1::TaskState::{
    TaskFailed, TaskFinished, TaskKilled, TaskKilling, TaskRunning,
};
use mesosd::proto::v1::task_status::Reason;

use crate::cluster::Cluster;
use crate::scheduler::{Scheduler, shell, task, uri};

const AGENT: &str = "cpus:4;mem:2048;disk:1024";

fn variable(name: &str, value: &str) -> v1::environment::Variable {
    v1::environment::Variable {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        ..Default::default()
    }
}

fn nanos(time: Duration) -> v1::DurationInfo {
    time.into()
}

#[test]
fn commands_users_and_environments() {
    let cluster = Cluster::start(1, AGENT);
    let mut scheduler = Scheduler::start(&cluster, "commands");
    let mut shell_form = task(
        "shell-form",
        "echo \"$WORD $(id -u) $MESOS_TASK_ID\"; pwd; exit 3",
    );
    let command = shell_form.command.as_mut().unwrap();
    command.environment = Some(v1::Environment {
        variables: vec![variable("WORD", "a b")],
    });
    let mut exec_form = task("exec-form", "printf");
    let command = exec_form.command.as_mut().unwrap();
    command.shell = Some(false);
    command.arguments = ["printf", "%s|", "$HOME", "a  b"]
        .map(str::to_owned)
        .to_vec();
    let mut other_user = task("other-user", "id -un; echo mine > own; stat -c %U own .");
    let is_root = mesosd::testing::is_root();
    if is_root {
        other_user.command.as_mut().unwrap().user = Some("nobody".to_owned());
    }
    scheduler.submit(shell_form);
    scheduler.submit(exec_form);
    scheduler.submit(other_user);

    let end = scheduler.end_of("shell-form");
    assert_eq!(
        (end.state(), end.message()),
        (TaskFailed, "Command exited with status 3")
    );
    let text = scheduler.text("shell-form", "stdout");
    let mut lines = text.lines();
    let uid = nix::unistd::geteuid();
    assert_eq!(lines.next(), Some(format!("a b {uid} shell-form").as_str()));
    let sandbox = lines.next().unwrap();
    let run = end.container_status.unwrap().container_id.unwrap().value;
    assert!(
        sandbox.ends_with(&format!("/executors/shell-form/runs/{run}")),
        "{text}"
    );

    assert_eq!(scheduler.end_of("exec-form").state(), TaskFinished);
    assert_eq!(scheduler.text("exec-form", "stdout"), "$HOME|a  b|");

    assert_eq!(scheduler.end_of("other-user").state(), TaskFinished);
    if is_root {
        assert_eq!(
            scheduler.text("other-user", "stdout"),
            "nobody\nnobody\nnobody\n"
        );
    }
    scheduler.teardown();
    cluster.stop();
}

/// Answers every request with `body`.
fn serve(body: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _request = stream.read(&mut request).unwrap();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body).unwrap();
        }
    });
    port
}

#[test]
fn files_come_over_http_and_from_disk() {
    let cluster = Cluster::start(1, AGENT);
    let mut scheduler = Scheduler::start(&cluster, "fetching");
    let packed = std::process::Command::new("sh")
        .args(["-c", "mkdir d && echo inside > d/file && tar -czf - d"])
        .current_dir(cluster.dir())
        .output()
        .unwrap();
    assert!(packed.status.success());
    let port = serve(packed.stdout);
    let script = cluster.dir().join("script");
    std::fs::write(&script, "#!/bin/sh\necho executed\n").unwrap();

    let mut fetching = task(
        "fetching",
        "cat d/file; ls *.tar.gz sub/whole.tgz; ./script",
    );
    let command = fetching.command.as_mut().unwrap();
    let archive = format!("http://127.0.0.1:{port}/path/d.tar.gz");
    command.uris = vec![
        uri(archive.as_str()),
        v1::command_info::Uri {
            extract: Some(false),
            output_file: Some("sub/whole.tgz".to_owned()),
            ..uri(archive)
        },
        v1::command_info::Uri {
            executable: Some(true),
            ..uri(format!("file://{}", script.display()))
        },
    ];
    if mesosd::testing::is_root() {
        command.user = Some("nobody".to_owned());
    }
    scheduler.submit(fetching);
    let end = scheduler.end_of("fetching");
    let stderr = scheduler.text("fetching", "stderr");
    assert_eq!(end.state(), TaskFinished, "{end:?} {stderr}");
    let expected = "inside\nd.tar.gz\nsub/whole.tgz\nexecuted\n";
    assert_eq!(scheduler.text("fetching", "stdout"), expected);

    let mut missing = task("missing", "true");
    missing.command.as_mut().unwrap().uris = vec![uri("file:///no/such/file")];
    scheduler.submit(missing);
    let end = scheduler.end_of("missing");
    assert_eq!(end.state(), TaskFailed);
    assert_eq!(end.reason(), Reason::ContainerLaunchFailed);
    assert!(end.message().contains("/no/such/file"), "{end:?}");
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn kill_policies_are_kept() {
    let cluster = Cluster::start(1, AGENT);
    let mut scheduler = Scheduler::start(&cluster, "kills");
    let stubborn = "trap 'echo asked' TERM; echo up; while :; do sleep 0.05; done";
    let mut own = task("own-grace", stubborn);
    own.kill_policy = Some(v1::KillPolicy {
        grace_period: Some(nanos(Duration::from_millis(1200))),
    });
    scheduler.submit(own);
    scheduler.submit(task("given-grace", stubborn));
    scheduler.submit(task(
        "polite",
        "trap 'echo bye; exit 0' TERM; echo up; sleep 1000 & wait",
    ));
    for id in ["own-grace", "given-grace", "polite"] {
        scheduler.wait_for(id, TaskRunning);
        cluster.wait_until("the trap is set", Duration::from_secs(10), || {
            scheduler.text(id, "stdout").starts_with("up\n")
        });
    }
    for (id, grace, least) in [("own-grace", None, 1200), ("given-grace", Some(700), 700)] {
        let begin = Instant::now();
        scheduler.kill(id, grace.map(Duration::from_millis));
        assert_eq!(scheduler.next_of(id).state(), TaskKilling);
        let end = scheduler.next_of(id);
        assert_eq!(end.state(), TaskKilled, "{end:?}");
        let took = begin.elapsed();
        // Up to a second more: a report of SIGKILL waits for a limit that may explain it.
        let bounds = Duration::from_millis(least)..Duration::from_millis(least + 2500);
        assert!(bounds.contains(&took), "{id}: {took:?}");
        assert!(scheduler.text(id, "stdout").contains("asked"));
    }
    scheduler.kill("polite", None);
    let end = scheduler.end_of("polite");
    // As Mesos has it: a task that ends well when asked to has finished.
    assert_eq!(end.state(), TaskFinished, "{end:?}");
    assert_eq!(scheduler.text("polite", "stdout"), "up\nbye\n");
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn checks_and_health_checks() {
    let cluster = Cluster::start(1, AGENT);
    let mut scheduler = Scheduler::start(&cluster, "checks");
    let mut sick = task("sick", "touch well; sleep 1; rm well; sleep 1000");
    sick.health_check = Some(v1::HealthCheck {
        r#type: Some(v1::health_check::Type::Command.into()),
        command: Some(shell("test -e well")),
        delay_seconds: Some(0.1),
        interval_seconds: Some(0.1),
        grace_period_seconds: Some(0.0),
        consecutive_failures: Some(2),
        ..Default::default()
    });
    let mut checked = task("checked", "sleep 1; echo 5 > code; sleep 1000");
    checked.check = Some(v1::CheckInfo {
        r#type: Some(v1::check_info::Type::Command.into()),
        command: Some(v1::check_info::Command {
            command: shell("exit $(cat code 2>/dev/null || echo 1)"),
        }),
        delay_seconds: Some(0.0),
        interval_seconds: Some(0.1),
        ..Default::default()
    });
    scheduler.submit(sick);
    scheduler.submit(checked);
    scheduler.wait_for("sick", TaskRunning);
    let healthy = scheduler.next_of("sick");
    assert_eq!(healthy.reason(), Reason::TaskHealthCheckStatusUpdated);
    assert_eq!(healthy.healthy, Some(true), "{healthy:?}");
    let mut last = scheduler.next_of("sick");
    while last.state() == TaskRunning {
        assert_eq!(last.healthy, Some(false), "{last:?}");
        last = scheduler.next_of("sick");
    }
    assert_eq!(last.state(), TaskKilling);
    let end = scheduler.end_of("sick");
    assert_eq!(
        (end.state(), end.healthy),
        (TaskKilled, Some(false)),
        "{end:?}"
    );

    let first = scheduler.wait_for("checked", TaskRunning);
    let empty = first.check_status.unwrap().command.unwrap();
    assert_eq!(empty.exit_code, None);
    for code in [1, 5] {
        let status = scheduler.next_of("checked");
        assert_eq!(status.reason(), Reason::TaskCheckStatusUpdated);
        let result = status.check_status.unwrap().command.unwrap();
        assert_eq!(result.exit_code, Some(code));
    }
    scheduler.teardown();
    cluster.stop();
}
