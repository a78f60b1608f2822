//! `mesosd run --local` as people type it: exit codes, output, signals, and nothing left behind.
#![expect(clippy::unwrap_used, reason = "tests")]

mod scene;

use std::time::{Duration, Instant};

use scene::Scene;

#[test]
fn exit_status_is_that_of_the_command() {
    for (line, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -9 $$", 137),
        ("kill -15 $$", 143),
    ] {
        let scene = Scene::new();
        let done = scene.run(&["sh", "-c", line]);
        assert_eq!(done.code, code, "{line}: {}", done.stderr);
        assert_eq!(done.stdout, "", "{line}");
        scene.assert_clean();
    }
}

#[test]
fn output_and_environment_come_through() {
    let scene = Scene::new();
    let done = scene.run_with(
        &["--name", "greeting", "--env", "WHO=world"],
        &[
            "sh",
            "-c",
            "echo hello $WHO from $MESOS_TASK_ID; echo oops >&2; test -d \"$MESOS_SANDBOX\"",
        ],
    );
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.stdout, "hello world from greeting-1\n");
    assert!(done.stderr.ends_with("oops\n"), "{}", done.stderr);
    scene.assert_clean();
}

#[test]
fn large_output_is_complete_and_in_order() {
    let scene = Scene::new();
    let done = scene.run(&["sh", "-c", "seq 1 600000; seq 1 1000 >&2"]);
    assert_eq!(done.code, 0);
    let wanted: String = (1..=600_000).map(|n| format!("{n}\n")).collect();
    assert!(
        done.stdout == wanted,
        "{} instead of {} bytes",
        done.stdout.len(),
        wanted.len()
    );
    let wanted: String = (1..=1000).map(|n| format!("{n}\n")).collect();
    assert!(done.stderr.ends_with(&wanted));
}

#[test]
fn output_arrives_while_the_task_runs() {
    let scene = Scene::new();
    let mut process = scene.start(&["sh", "-c", "echo early; sleep 1000"]);
    assert_eq!(process.line(), "early");
    process.signal(libc::SIGINT);
    assert_eq!(process.wait().code, 130);
    scene.assert_clean();
}

#[test]
fn command_that_does_not_exist_is_named() {
    let scene = Scene::new();
    let done = scene.run(&["/no/such/program"]);
    assert_eq!(done.code, 127, "{}", done.stderr);
    assert!(done.stderr.contains("/no/such/program"), "{}", done.stderr);
    scene.assert_clean();
}

#[test]
fn task_without_a_place_is_explained() {
    let scene = Scene::new();
    let begin = Instant::now();
    let done = scene.run_with(&["--cpus", "100000"], &["true"]);
    assert_eq!(done.code, 75, "{}", done.stderr);
    assert!(
        done.stderr.contains("it needs 100000 cpus"),
        "{}",
        done.stderr
    );
    assert!(begin.elapsed() < Duration::from_secs(10));
    scene.assert_clean();
    let done = scene.run_with(&["--attribute-constraint", "rack=r1"], &["true"]);
    assert_eq!(done.code, 75, "{}", done.stderr);
    assert!(done.stderr.contains("rack=r1"), "{}", done.stderr);
}

#[test]
fn several_instances_end_with_the_first_failure() {
    let scene = Scene::new();
    let done = scene.run_with(
        &["--instances", "3", "--cpus", "0.1", "--mem", "32"],
        &[
            "sh",
            "-c",
            "echo $MESOS_TASK_ID; test $MESOS_TASK_ID != sh-2 || exit 9",
        ],
    );
    assert_eq!(done.code, 9, "{}", done.stderr);
    let mut lines: Vec<_> = done.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["sh-1", "sh-2", "sh-3"]);
    scene.assert_clean();
}

#[test]
fn files_are_fetched_first() {
    let scene = Scene::new();
    let file = scene.directory().join("data.txt");
    std::fs::write(&file, "fetched\n").unwrap();
    let uri = format!("file://{}", file.display());
    let done = scene.run_with(&["--uri", &uri], &["cat", "data.txt"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.stdout, "fetched\n");
    let done = scene.run_with(&["--uri", "/no/such/file"], &["true"]);
    assert_ne!(done.code, 0);
    assert!(done.stderr.contains("/no/such/file"), "{}", done.stderr);
}

#[test]
fn interruption_leaves_nothing_behind() {
    for (signal, code) in [(libc::SIGINT, 130), (libc::SIGTERM, 143)] {
        let scene = Scene::new();
        let mark = scene.mark();
        let line = format!(
            "cat /proc/self/cgroup; setsid sleep {mark} & (trap '' TERM; sleep {mark}) & \
             echo ready; sleep {mark}"
        );
        let mut process = scene.start(&["sh", "-c", &line]);
        let mut groups = Vec::new();
        loop {
            let line = process.line();
            if line == "ready" {
                break;
            }
            groups.push(line);
        }
        assert!(!scene.processes().is_empty(), "the task runs");
        process.signal(signal);
        let done = process.wait();
        assert_eq!(done.code, code, "{}", done.stderr);
        assert_eq!(scene.processes(), Vec::<String>::new());
        for group in groups {
            let path = group.rsplit(':').next().unwrap();
            assert!(
                !path.contains("mesos") || scene::groups_ending_with(path).is_empty(),
                "{path} is left"
            );
        }
        scene.assert_clean();
    }
}

/// The signal comes while the cluster starts, while tasks are launched, while they run.
#[test]
fn interruption_at_any_moment_leaves_nothing_behind() {
    let moments = [0, 7, 15, 25, 40, 60, 90, 130, 190, 280, 400, 600];
    for (turn, moment) in moments.into_iter().enumerate() {
        let (signal, code) = [(libc::SIGINT, 130), (libc::SIGTERM, 143)][turn % 2];
        let scene = Scene::new();
        let containers = scene.containers();
        let mark = scene.mark();
        let line = format!("setsid sleep {mark} & sleep {mark}");
        let words = "run --local --cpus 0.01 --mem 32 --instances 10 -- sh -c";
        let words: Vec<&str> = words.split(' ').chain([line.as_str()]).collect();
        let process = scene.start_words(&words);
        std::thread::sleep(Duration::from_millis(moment));
        process.signal(signal);
        if turn % 3 == 0 {
            process.signal(signal);
        }
        let done = process.wait();
        // Before the first instruction of its own it dies of the signal, and has made nothing.
        let at_once = done.code == -1 && moment < 20;
        assert!(done.code == code || at_once, "{moment} ms: {done:?}");
        assert_eq!(scene.processes(), Vec::<String>::new(), "{moment} ms");
        containers.assert_gone();
        scene.assert_clean();
    }
}

#[test]
fn two_hundred_instances_come_and_go() {
    let scene = Scene::new();
    let containers = scene.containers();
    let line = format!("echo out; : {}", scene.mark());
    let words = "run --local --cpus 0.01 --mem 32 --instances 200 -- sh -c";
    let words: Vec<&str> = words.split(' ').chain([line.as_str()]).collect();
    let done = scene.start_words(&words).wait();
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.stdout.matches("out\n").count(), 200);
    assert_eq!(scene.processes(), Vec::<String>::new());
    containers.assert_gone();
    scene.assert_clean();
}

#[test]
fn what_a_task_leaves_running_ends_with_it() {
    let scene = Scene::new();
    let mark = scene.mark();
    let line = format!("setsid sleep {mark} & exit 3");
    let done = scene.run(&["sh", "-c", &line]);
    assert_eq!(done.code, 3, "{}", done.stderr);
    assert_eq!(scene.processes(), Vec::<String>::new());
    scene.assert_clean();
}

#[test]
fn closed_output_ends_the_task() {
    let scene = Scene::new();
    let mut process = scene.start(&["sh", "-c", "while echo line; do sleep 0.01; done"]);
    assert_eq!(process.line(), "line");
    process.close_output();
    assert_eq!(process.wait().code, 141);
    scene.assert_clean();
}

#[test]
fn absent_master_is_named_until_interrupted() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let scene = Scene::new();
    let mut process = scene.start_words(&["run", "--master", &address, "--", "true"]);
    assert!(process.error_line().contains(&address));
    process.signal(libc::SIGINT);
    assert_eq!(process.wait().code, 130);
}
