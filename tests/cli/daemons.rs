//! Daemons: ready means ready, SIGTERM drains, logs as told, and what is in the way is said.

use std::net::TcpListener;
use std::time::Duration;

use mesosd::proto::v1;
use v1::master::call;

use crate::api::{ask, of_type, watch};
use crate::binary::{Daemon, Folder, command, master, mesosd, text, until, unused};

#[test]
fn a_taken_port_and_a_bad_directory_are_named() {
    let dir = Folder::new();
    let work = dir.flag("work_dir", "work");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let at = format!("--port={port}");
    let file = dir.write("file", "");
    let below = format!("--work_dir={}/work", file.display());
    let run = format!("--runtime_dir={}/run", file.display());
    let log = format!("--log_dir={}", file.display());
    let agent = ["--role=agent", "--master=127.0.0.1:1", "--ip=127.0.0.1"];
    let master = ["--role=master", "--ip=127.0.0.1"];
    let not_ours = ["--role=master", "--ip=192.0.2.7"];
    let below_shown = below.replacen("--work_dir=", "", 1);
    let run_shown = run.replacen("--runtime_dir=", "", 1);
    for (first, more, code, wanted) in [
        (
            &master[..],
            [&*work, &*at],
            69,
            format!("port {port} on 127.0.0.1 is taken: "),
        ),
        (
            &agent,
            [&work, &at],
            69,
            format!("port {port} on 127.0.0.1 is taken: "),
        ),
        (
            &not_ours,
            [&work, "--port=0"],
            69,
            "192.0.2.7 is no address of this host: ".to_owned(),
        ),
        (
            &master,
            [&below, "--port=0"],
            74,
            format!("--work_dir: {below_shown} cannot be used: "),
        ),
        (
            &agent,
            [&below, "--port=0"],
            74,
            format!("--work_dir: {below_shown} cannot be used: "),
        ),
        (
            &agent,
            [&work, &run],
            74,
            format!("--runtime_dir: {run_shown} cannot be used: "),
        ),
        (
            &master,
            [&work, &log],
            74,
            format!("log file {}/mesosd-master.log cannot be", file.display()),
        ),
    ] {
        let words = [first, &more].concat();
        let mut start = command(&words);
        if !words.iter().any(|word| word.starts_with("--port=")) {
            start.env("MESOS_PORT", "0");
        }
        let output = start.output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{words:?}: {stderr}");
        assert!(stderr.contains(&wanted), "{words:?}: {stderr}");
    }
    // With nothing in the log, the line is said all the same.
    let output = mesosd(&["--role=master", &work, "--ip=127.0.0.1", &at, "--quiet"]);
    let stderr = text(&output.stderr);
    assert!(
        stderr.starts_with(&format!("mesosd: port {port} on")),
        "{stderr}"
    );
}

#[test]
fn a_directory_without_rights_is_named() {
    if !mesosd::testing::is_root() {
        mesosd::testing::skip("daemons: a directory without rights", "needs another user");
        return;
    }
    let dir = Folder::new();
    // Root may write everywhere, nobody (65534) may not.
    let nobody = 65_534;
    let mut start = command(&["--role=master", &dir.flag("work_dir", "work"), "--port=0"]);
    std::os::unix::process::CommandExt::uid(&mut start, nobody);
    let output = match start.output() {
        Ok(output) => output,
        Err(error) => {
            // The build's directory may be closed to others.
            mesosd::testing::skip("daemons: a directory without rights", &error.to_string());
            return;
        }
    };
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(74), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.contains("cannot be used: Permission denied"),
        "{stderr}"
    );
}

#[test]
fn a_master_drains_on_sigterm_and_logs_as_told() {
    let dir = Folder::new();
    std::fs::create_dir(dir.path("logs")).unwrap();
    let mut daemon = master(
        &dir,
        &[
            "--webui_dir=/srv/pages",
            "--log_format=json",
            &dir.flag("log_dir", "logs"),
        ],
    );
    daemon.address();
    assert_eq!(daemon.stop(), Some(0));
    let log = daemon.log();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let level_of = |wanted: &str| {
        let line = lines
            .iter()
            .find(|line| line["message"].as_str().unwrap().contains(wanted));
        line.map(|line| line["level"].clone())
    };
    assert_eq!(
        level_of("--webui_dir has no effect in this version").unwrap(),
        "WARN"
    );
    assert_eq!(level_of("master serves on 127.0.0.1:").unwrap(), "INFO");
    assert_eq!(level_of("draining").unwrap(), "INFO");
    let file = std::fs::read_to_string(dir.path("logs/mesosd-master.log")).unwrap();
    assert_eq!(file.lines().count(), lines.len(), "{file}");
    for (line, other) in lines.iter().zip(file.lines()) {
        let other: serde_json::Value = serde_json::from_str(other).unwrap();
        assert_eq!(
            line["message"], other["message"],
            "the file has what stderr has"
        );
    }
}

#[test]
fn the_level_of_the_log_is_switched_while_it_runs() {
    let dir = Folder::new();
    let mut daemon = master(&dir, &["--logging_level=WARNING"]);
    // Nothing says where it listens: the file is quiet, the file of descriptors is not.
    let address = until("it listens", || listening(&daemon));
    assert_eq!(daemon.log(), "");
    let level = || {
        let answer = ask(address, of_type(call::Type::GetLoggingLevel)).unwrap();
        answer.get_logging_level.unwrap().level
    };
    let set = |level: u32, milliseconds: i64| {
        let mut call = of_type(call::Type::SetLoggingLevel);
        let nanoseconds = milliseconds * 1_000_000;
        call.set_logging_level = Some(call::SetLoggingLevel {
            level,
            duration: v1::DurationInfo { nanoseconds },
        });
        ask(address, call)
    };
    assert_eq!(level(), 0);
    set(1, 1_500).unwrap();
    assert_eq!(level(), 1);
    // An HTTP request that is none is worth a line at this level only.
    let garbage = || {
        use std::io::{Read as _, Write as _};
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        socket
            .write_all(b"\x16\x03\x01 no TLS here\r\n\r\n")
            .unwrap();
        // However it is closed.
        let _ = socket.read_to_end(&mut Vec::new());
    };
    garbage();
    daemon.line("DEBUG");
    until("the level comes back", || (level() == 0).then_some(()));
    let lines = daemon.log().matches("DEBUG").count();
    garbage();
    assert_eq!(level(), 0);
    assert_eq!(
        daemon.log().matches("DEBUG").count(),
        lines,
        "{}",
        daemon.log()
    );
    let error = set(9, 1_000).unwrap_err();
    assert_eq!(
        error.message(),
        "set_logging_level.level: 9 is not a level; 0 to 3 are"
    );
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn the_oldest_stream_of_events_makes_room() {
    let dir = Folder::new();
    let mut daemon = master(&dir, &["--max_operator_event_stream_subscribers=1"]);
    let address = daemon.address();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut first = watch(address).await;
        assert!(first.message().await.unwrap().is_some(), "it is subscribed");
        let mut second = watch(address).await;
        assert!(second.message().await.unwrap().is_some());
        while let Ok(Some(_)) = first.message().await {}
        let more = tokio::time::timeout(Duration::from_millis(100), second.message()).await;
        assert!(
            !matches!(more, Ok(Ok(None) | Err(_))),
            "the second one stays"
        );
    });
    assert_eq!(daemon.stop(), Some(0));
}

/// Where a daemon that does not say so listens: its socket among those of the host.
fn listening(daemon: &Daemon) -> Option<std::net::SocketAddr> {
    let links = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).ok()?;
    let sockets: Vec<_> = links
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .map(|link| link.to_string_lossy().into_owned())
        .collect();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let inode = format!("socket:[{}]", fields[9]);
        // 0A is LISTEN.
        let found = fields[3] == "0A" && sockets.contains(&inode);
        let port = fields[1].rsplit(':').next()?;
        let port = u16::from_str_radix(port, 16).ok()?;
        found.then(|| ([127, 0, 0, 1], port).into())
    })
}

#[test]
fn an_agent_waits_for_its_master() {
    let dir = Folder::new();
    let address = unused();
    let mut agent = Daemon::start(
        command(&[
            "--role=agent",
            &format!("--master={address}"),
            "--ip=127.0.0.1",
            "--port=0",
            "--launcher=posix",
            "--registration_backoff_factor=100ms",
            &dir.flag("work_dir", "agent"),
            &dir.flag("runtime_dir", "run"),
        ]),
        &dir.path("agent.log"),
    );
    agent.line(&format!(
        "the master at {address} cannot be reached: Connection refused (os error 111); trying again"
    ));
    let port = format!("--port={}", address.port());
    let work = dir.flag("work_dir", "master");
    let mut master = Daemon::start(
        command(&["--role=master", "--ip=127.0.0.1", &port, &work]),
        &dir.path("master.log"),
    );
    agent.line("registered with the master");
    // It does not hide behind the master's end either.
    assert_eq!(master.stop(), Some(0));
    assert_eq!(agent.stop(), Some(0));
}
