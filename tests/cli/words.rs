//! Help, version, completions, usage errors of the client, and readers that go away.

use std::process::Stdio;

use crate::binary::{Folder, command, mesosd, text, unused};

/// Every command of the client.
const COMMANDS: [&str; 14] = [
    "run",
    "ps",
    "tasks",
    "agents",
    "frameworks",
    "offers",
    "roles",
    "state",
    "logs",
    "cat",
    "ls",
    "kill",
    "teardown",
    "completions",
];

#[test]
fn the_version_names_the_commit() {
    let version = mesosd(&["--version"]);
    assert!(version.status.success());
    let line = text(&version.stdout);
    let start = format!("mesosd {} (", env!("CARGO_PKG_VERSION"));
    let commit = line
        .strip_prefix(&start)
        .unwrap()
        .strip_suffix(")\n")
        .unwrap();
    let is_commit = commit.len() == 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    let git = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".git");
    assert!(
        is_commit || (commit == "unknown" && !git.exists()),
        "{line}"
    );
    for words in [["--role=agent", "--version"], ["-V", ""]] {
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        assert_eq!(mesosd(&words).stdout, version.stdout);
    }
}

#[test]
fn an_archive_of_the_repository_names_its_commit() {
    let git = |words: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(words);
        command
            .output()
            .ok()
            .filter(|output| output.status.success())
    };
    let checkout = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".git");
    if !checkout.exists() {
        mesosd::testing::skip("words: archive", "not a git checkout");
        return;
    }
    let head = git(&["rev-parse", "HEAD"]).unwrap();
    let archive = git(&["archive", "--format=tar", "HEAD", ".commit"]).unwrap();
    let archive = String::from_utf8_lossy(&archive.stdout);
    assert!(archive.contains(text(&head.stdout).trim()), "{archive}");
}

#[test]
fn help_is_complete() {
    let help = text(&mesosd(&["--help"]).stdout);
    for wanted in [
        "--role=master",
        "--role=agent",
        "--role=local",
        "--master",
        "-o, --output",
    ] {
        assert!(help.contains(wanted), "{wanted}\n{help}");
    }
    for name in COMMANDS {
        assert!(help.contains(&format!("\n  {name} ")), "{name}\n{help}");
        let output = mesosd(&[name, "--help"]);
        assert!(output.status.success(), "{name}");
        let help = text(&output.stdout);
        assert!(help.contains(&format!("Usage: mesosd {name}")), "{help}");
        assert_eq!(output.stdout, mesosd(&["help", name]).stdout, "{name}");
    }
    let samples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for role in ["master", "agent", "local"] {
        let output = mesosd(&[&format!("--role={role}"), "--help"]);
        assert!(output.status.success());
        let help = text(&output.stdout);
        // The samples name every flag, and are compared with the definition elsewhere.
        let Ok(sample) = std::fs::read_to_string(samples.join(format!("{role}.toml"))) else {
            continue;
        };
        let names = sample.lines().filter_map(|line| {
            let (name, _) = line.trim_start_matches("# ").split_once(" =")?;
            let is_name = name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            is_name.then_some(name)
        });
        let count = names
            .inspect(|name| {
                let forms = [format!("--{name} <"), format!("--{name}[=")];
                assert!(
                    forms.iter().any(|form| help.contains(form)),
                    "{role} {name}"
                );
            })
            .count();
        assert!(count > 30, "{role}: {count} flags");
    }
    assert_eq!(mesosd(&[]).status.code(), Some(64));
}

#[test]
fn client_commands_say_what_is_wrong() {
    let address = unused().to_string();
    let zookeeper = "zk://joe:secret@h/m";
    for (words, code, part) in [
        (vec!["ps", "--master", &address], 69, "no master answers at"),
        (
            vec!["ps", "--master", zookeeper],
            64,
            "not a ZooKeeper address",
        ),
        (
            vec!["run", "--master", zookeeper, "true"],
            64,
            "not a ZooKeeper address",
        ),
        (
            vec!["ps", "--master", "a b"],
            64,
            "is not an address of a master",
        ),
        (vec!["nonsense"], 64, "unrecognized subcommand 'nonsense'"),
        (vec!["--nonsense"], 64, "unexpected argument '--nonsense'"),
        (vec!["kill"], 64, "<TASK>"),
        (
            vec!["kill", "t", "--grace", "soon"],
            64,
            "'soon' is not a duration",
        ),
        (
            vec!["ps", "--state", "happy"],
            64,
            "'happy' is not a state of a task",
        ),
        (vec!["ps", "-o", "xml"], 64, "'xml'"),
        (
            vec!["logs", "t", "-o", "json"],
            64,
            "-o json: 'logs' prints what the task has written",
        ),
        (vec!["run", "--cpus", "many", "true"], 64, "'many'"),
        (vec!["run"], 64, "<COMMAND>"),
        (vec!["completions", "tcsh"], 64, "'tcsh'"),
    ] {
        let output = mesosd(&words);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {stderr}");
        assert!(stderr.starts_with("mesosd: "), "{words:?}: {stderr}");
        assert!(stderr.contains(part), "{words:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{words:?}: {stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
    }
}

#[test]
fn a_server_that_is_not_mesosd_is_told_apart() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answers: [&[u8]; 2] = [b"", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"];
    std::thread::spawn(move || {
        for answer in answers {
            let (mut socket, _) = listener.accept().unwrap();
            // The client may have gone already.
            let _ = std::io::Read::read(&mut socket, &mut [0; 100]);
            let _ = std::io::Write::write_all(&mut socket, answer);
        }
    });
    for _ in answers {
        let output = mesosd(&["ps", "--master", &address]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(69), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        let wanted = "mesosd: no mesosd answers there: ";
        assert!(stderr.starts_with(wanted), "{stderr}");
    }
}

#[test]
fn shells_understand_their_completions() {
    let dir = Folder::new();
    for shell in ["bash", "zsh", "fish"] {
        let output = mesosd(&["completions", shell]);
        assert!(output.status.success());
        let script = text(&output.stdout);
        for word in ["frameworks", "teardown", "work_dir"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let script = dir.path("mesosd.bash");
    std::fs::write(&script, mesosd(&["completions", "bash"]).stdout).unwrap();
    let typed = "source \"$1\"; COMP_WORDS=(mesosd frame); COMP_CWORD=1; \
                 _mesosd mesosd frame mesosd; echo \"${COMPREPLY[@]}\"; \
                 COMP_WORDS=(mesosd --agent_po); _mesosd mesosd --agent_po mesosd; \
                 echo \"${COMPREPLY[@]}\"";
    let output = std::process::Command::new("bash")
        .args(["--norc", "-c", typed, "bash"])
        .arg(&script)
        .output()
        .unwrap();
    let shown = text(&output.stdout);
    assert_eq!(
        shown,
        "frameworks\n--agent_port\n",
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn readers_that_go_away_cause_no_panic() {
    let address = unused().to_string();
    for (words, code) in [
        (vec!["--help"], 0),
        (vec!["--role=master", "--help"], 0),
        (vec!["--version"], 0),
        (vec!["completions", "bash"], 0),
        (vec!["nonsense"], 64),
        (vec!["--role=queen"], 64),
        (vec!["--role=master"], 64),
        (vec!["--role=master", "--work_dir=/proc/no/such"], 74),
        (vec!["ps", "--master", &address], 69),
        (vec!["run", "--master", "zk://h/m", "true"], 64),
    ] {
        let mut child = command(&words)
            .stdout(closed_pipe())
            .stderr(closed_pipe())
            .spawn()
            .unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(code), "{words:?}: {status}");
    }
}

/// A pipe that nobody reads.
fn closed_pipe() -> Stdio {
    let (_, writer) = std::io::pipe().unwrap();
    writer.into()
}

#[test]
fn a_full_disk_is_said() {
    let full = || {
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    for words in [
        &["completions", "bash"][..],
        &["--role=agent", "--help"],
        &["ps", "--help"],
    ] {
        let output = command(words)
            .stdout(full())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(74), "{words:?}");
        let stderr = text(&output.stderr);
        assert!(
            stderr.starts_with("mesosd: the output cannot be written: "),
            "{stderr}"
        );
    }
}
