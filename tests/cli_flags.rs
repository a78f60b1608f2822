//! The real binary: help, version, exit codes, one line per error, nothing bound or written before the
//! configuration is right.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn mesosd(words: &[&str]) -> Output {
    command(words).output().unwrap()
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesosd"));
    command.args(words).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MESOS_") {
            command.env_remove(name);
        }
    }
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a daemon that must refuse its configuration, and gives its one line.
fn refused(words: &[&str]) -> String {
    let output = mesosd(words);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{words:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{words:?}");
    assert_eq!(stderr.lines().count(), 1, "{words:?}: {stderr}");
    let line = stderr.trim_end();
    line.strip_prefix("mesosd: ").unwrap().to_owned()
}

#[test]
fn help_and_version_answer() {
    let version = mesosd(&["--version"]);
    assert!(version.status.success());
    let line = text(&version.stdout);
    assert!(
        line.starts_with(&format!("mesosd {} (", env!("CARGO_PKG_VERSION"))),
        "{line}"
    );
    assert_eq!(
        mesosd(&["--role=agent", "--version"]).stdout,
        version.stdout
    );

    let help = text(&mesosd(&["--help"]).stdout);
    for wanted in [
        "--role=master",
        "--role=agent",
        "--role=local",
        "ps",
        "logs",
        "completions",
    ] {
        assert!(help.contains(wanted), "{wanted}\n{help}");
    }
    for (role, flags) in [
        (
            "master",
            [
                "--work_dir",
                "--agent_ping_timeout",
                "--offer_timeout",
                "--quorum",
            ],
        ),
        (
            "agent",
            ["--master", "--resources", "--isolation", "--gc_delay"],
        ),
        (
            "local",
            [
                "--agent_port",
                "--resources",
                "--offer_timeout",
                "--cgroups_root",
            ],
        ),
    ] {
        let output = mesosd(&[&format!("--role={role}"), "--help"]);
        assert!(output.status.success());
        let help = text(&output.stdout);
        for flag in flags {
            assert!(help.contains(flag), "{role} {flag}");
        }
    }
}

#[test]
fn wrong_configurations_are_one_line_and_64() {
    let dir = tempfile::tempdir().unwrap();
    let work = format!("--work_dir={}", dir.path().join("work").display());
    let cases: &[(&[&str], &str)] = &[
        (
            &["--role=queen"],
            "--role=queen: choose one of master, agent, local",
        ),
        (
            &["--role=master"],
            "--work_dir is missing: give --work_dir=... or set MESOS_WORK_DIR",
        ),
        (
            &["--role=master", &work, "--port=abc"],
            "--port: 'abc': invalid digit found in string",
        ),
        (
            &["--role=agent", &work],
            "--master is missing: give --master=... or set MESOS_MASTER",
        ),
        (
            &["--role=master", &work, "--prot=1"],
            "--prot: master has no such flag, did you mean 'port'?; \
             'mesosd --role=master --help' lists all",
        ),
    ];
    for (words, wanted) in cases {
        assert_eq!(refused(words), *wanted);
    }
    for (flag, part) in [
        ("--resources=cpus:many", "--resources: "),
        ("--attributes=:", "--attributes: "),
        (
            "--isolation=magic",
            "--isolation: there is no isolator \"magic\"",
        ),
        (
            "--config=/no/such/file.toml",
            "/no/such/file.toml cannot be read: ",
        ),
    ] {
        let line = refused(&["--role=agent", "--master=127.0.0.1:1", &work, flag]);
        assert!(line.starts_with(part), "{line}");
    }
    assert!(
        !dir.path().join("work").exists(),
        "nothing is written before"
    );
}

#[test]
fn a_taken_port_and_a_bad_directory_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let work = format!("--work_dir={}", dir.path().display());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = mesosd(&[
        "--role=master",
        &work,
        "--ip=127.0.0.1",
        &format!("--port={port}"),
    ]);
    assert_eq!(output.status.code(), Some(69));
    let last = text(&output.stderr);
    let wanted = format!("mesosd: port {port} on 127.0.0.1 is taken: ");
    assert!(last.lines().last().unwrap().starts_with(&wanted), "{last}");

    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = format!("--work_dir={}", file.join("work").display());
    let output = mesosd(&["--role=master", &below, "--port=0"]);
    assert_eq!(output.status.code(), Some(74));
    let last = text(&output.stderr);
    let wanted =
        format!("mesosd: {below} cannot be used: ").replacen("--work_dir=", "--work_dir: ", 1);
    assert!(last.lines().last().unwrap().starts_with(&wanted), "{last}");
}

#[test]
fn client_commands_say_what_is_wrong() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = unused.local_addr().unwrap().to_string();
    drop(unused);
    for (words, code, part) in [
        (vec!["ps", "--master", &address], 69, "no master answers at"),
        (vec!["ps", "--master", "zk://h:1/m"], 64, "needs ZooKeeper"),
        (
            vec!["ps", "--master", "a b"],
            64,
            "is not an address of a master",
        ),
        (vec!["nonsense"], 64, "unrecognized subcommand 'nonsense'"),
        (vec!["kill"], 64, "<TASK>"),
        (vec!["ps", "-o", "xml"], 64, "'xml'"),
    ] {
        let output = mesosd(&words);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {stderr}");
        assert!(stderr.contains(part), "{words:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{words:?}: {stderr}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let output = mesosd(&["completions", shell]);
        assert!(output.status.success());
        let script = text(&output.stdout);
        assert!(
            script.contains("frameworks") && script.contains("work_dir"),
            "{shell}"
        );
    }
}

/// Starts a daemon and waits for its log line that says where it listens.
fn until_ready(mut command: Command, log: &Path) -> std::process::Child {
    let output = std::fs::File::create(log).unwrap();
    let mut child = command
        .stderr(output)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !std::fs::read_to_string(log).unwrap().contains("serves on") {
        let log = std::fs::read_to_string(log).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "{log}");
        assert!(Instant::now() < deadline, "{log}");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

#[test]
fn a_master_drains_on_sigterm_and_logs_as_told() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("master.toml");
    let work = dir.path().join("work");
    std::fs::write(
        &config,
        format!(
            "work_dir = {:?}\nlog_format = 'json'\n",
            work.to_str().unwrap()
        ),
    )
    .unwrap();
    let log = dir.path().join("log");
    let logs = dir.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let mut start = command(&[
        "--role=master",
        "--ip=127.0.0.1",
        "--port=0",
        "--quorum=1",
        &format!("--log_dir={}", logs.display()),
    ]);
    start.env("MESOS_CONFIG", &config);
    let mut child = until_ready(start, &log);
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let log = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let message = |wanted: &str| {
        lines
            .iter()
            .any(|line| line["message"].as_str().unwrap().contains(wanted))
    };
    assert!(message("--quorum has no effect in this version"), "{log}");
    assert!(message("master serves on 127.0.0.1:"), "{log}");
    assert!(message("draining"), "{log}");
    assert!(logs.join("mesosd-master.log").metadata().unwrap().len() > 0);
}

#[test]
fn configuration_as_mesos_packages_lay_it_out() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, content: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    write("mesos/zk", "127.0.0.1:1\n");
    write("mesos-slave/?no-hostname_lookup", "");
    write("mesos-slave/bogus", "1");
    let shared = format!("--config_dir={}", dir.path().join("mesos").display());
    let own = format!("--config_dir={}", dir.path().join("mesos-slave").display());
    let line = refused(&["--role=agent", "--work_dir=/nowhere", &shared, &own]);
    assert!(
        line.contains("mesos-slave/bogus: agent has no such flag"),
        "{line}"
    );
}
