//! Flags and files that are wrong: one line, exit code 64, nothing bound or written; and which source
//! wins when all are right.

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::api::flag;
use crate::binary::{Daemon, Folder, command, refused};

/// The line for a master with these words.
fn master(words: &[&str]) -> String {
    let mut all = vec!["--role=master"];
    all.extend(words);
    refused(&mut command(&all))
}

#[test]
fn wrong_command_lines_are_one_line_and_64() {
    let dir = Folder::new();
    let work = dir.flag("work_dir", "work");
    let cases: &[(&[&str], &str)] = &[
        (
            &["--role=queen"],
            "--role=queen: choose one of master, agent, local",
        ),
        (&["--role"], "--role: a value is missing, write --role=..."),
        (
            &[&work],
            "'--work_dir' is a flag of a daemon: say which with --role=master, --role=agent or \
             --role=local",
        ),
        (
            &["--role=master"],
            "--work_dir is missing: give --work_dir=... or set MESOS_WORK_DIR",
        ),
        (
            &["--role=master", "--work_dir="],
            "--work_dir: the value is empty",
        ),
        (&["--role=master", &work, &work], "--work_dir: given twice"),
        (
            &["--role=master", &work, "ps_"],
            "'ps_' is not a flag: a daemon takes only --name=value",
        ),
        (
            &["--role=master", &work, "--port=abc"],
            "--port: 'abc' is not a whole number of 0 or more",
        ),
        (
            &["--role=master", &work, "--port=70000"],
            "--port: 70000 is not in 0..=65535",
        ),
        (
            &["--role=master", &work, "--quorum=0"],
            "--quorum: '0' must be at least 1",
        ),
        (
            &["--role=master", &work, "--hostname="],
            "--hostname: '' is not the name of a host: write letters, digits, '-', '_' and '.', up to \
             255",
        ),
        (
            &["--role=master", &work, "--agent_ping_timeout=5"],
            "--agent_ping_timeout: '5' is not a duration: write a number and a unit of ns, us, ms, \
             secs, mins, hrs, days or weeks, like '5mins'",
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
        assert_eq!(refused(&mut command(words)), *wanted);
    }
    assert!(!dir.path("work").exists(), "nothing is written before");
}

#[test]
fn wrong_values_of_an_agent_are_named() {
    let dir = Folder::new();
    let work = dir.flag("work_dir", "work");
    for (flag, part) in [
        (
            "--resources=cpus:many",
            "--resources: resource 'cpus:many': ",
        ),
        (
            "--resources=cpus:-1",
            "--resources: resource 'cpus:-1': -1 is negative",
        ),
        (
            "--resources=ports:[9-1]",
            "--resources: resource 'ports:[9-1]': range 9-1 ends before",
        ),
        (
            "--resources=[{\"name\":",
            "--resources: not a JSON list of resources: ",
        ),
        (
            "--resources=/no/such",
            "--resources: /no/such cannot be read: ",
        ),
        ("--attributes=:", "--attributes: "),
        (
            "--attributes=rack",
            "--attributes: attribute 'rack': write name:value",
        ),
        (
            "--attributes=[{\"name\":1}]",
            "--attributes: not a JSON list of attributes: ",
        ),
        (
            "--isolation=magic",
            "--isolation: there is no isolator \"magic\"",
        ),
        (
            "--containerizers=docker",
            "--containerizers: 'docker' alone is refused",
        ),
        (
            "--launcher=rocket",
            "--launcher: 'rocket' is not one of linux, posix",
        ),
        (
            "--executor_environment_variables={\"A\":1}",
            "--executor_environment_variables: '{\"A\":1}' ",
        ),
        (
            "--gc_disk_headroom=2",
            "--gc_disk_headroom: '2' is not a fraction",
        ),
        ("--credential=/etc/secret", "--credential: refused, "),
        ("--acls={}", "--acls: refused, "),
        (
            "--config=/no/such/file.toml",
            "/no/such/file.toml cannot be read: ",
        ),
        ("--config_dir=/no/such", "/no/such cannot be read: "),
        (
            "--hostname=a b",
            "--hostname: 'a b' is not the name of a host: write letters",
        ),
    ] {
        let words = ["--role=agent", "--master=127.0.0.1:1", &work, flag];
        let line = refused(&mut command(&words));
        assert!(line.starts_with(part), "{line}");
    }
    let mut variable = command(&["--role=agent", &work]);
    let line = refused(variable.env("MESOS_MASTER", "a:b:c"));
    assert!(
        line.starts_with("MESOS_MASTER: 'a:b:c' is not an address of a master"),
        "{line}"
    );
    let mut zookeeper = command(&["--role=agent", &work]);
    let line = refused(zookeeper.env("MESOS_MASTER", "zk://joe:secret@h1:2181,h2/mesos"));
    assert_eq!(
        line,
        "MESOS_MASTER: not a ZooKeeper address: server 2 of the list is no host:port; write \
         zk://[user:password@]host:port[,host:port...]/path"
    );
    assert!(!dir.path("work").exists(), "nothing is written before");
}

#[test]
fn wrong_files_are_named_with_line_or_key() {
    let dir = Folder::new();
    let file = dir.path("a.toml");
    let shown = file.display().to_string();
    let given = format!("--config={shown}");
    let large = "#".repeat(2 << 20);
    for (content, wanted) in [
        ("work_dir = '/x'\nfoo\n", ": not TOML: line 2: "),
        (
            "wrk_dir = '/x'",
            ": wrk_dir: master has no such flag, did you mean 'work_dir'?; ",
        ),
        (
            "work_dir = '/x'\nagent_ping_timeout = '1y'",
            ": agent_ping_timeout: '1y' is not a duration: ",
        ),
        (
            "work_dir = '/x'\nport = 'x'",
            ": port: 'x' is not a whole number of 0 or more",
        ),
        (
            "work_dir = '/x'\nwork-dir = '/y'",
            ": work_dir: given twice",
        ),
        (
            "work_dir = 2026-01-01",
            ": work_dir: 2026-01-01 is a date, which no flag takes",
        ),
        (
            &large,
            " is larger than 1048576 bytes, which no flag's value needs",
        ),
    ] {
        dir.write("a.toml", content);
        let line = master(&[&given]);
        assert!(line.starts_with(&format!("{shown}{wanted}")), "{line}");
    }
    std::fs::write(&file, b"work_dir = '\xff'").unwrap();
    assert_eq!(
        master(&[&given]),
        format!("{shown} cannot be read: not UTF-8 text")
    );
    let line = master(&["--config=/dev/zero"]);
    assert!(line.starts_with("/dev/zero is larger than"), "{line}");
    // Nobody writes into this one: to open it would never end.
    let pipe = dir.path("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let pipe = pipe.display();
    assert_eq!(
        master(&[&format!("--config={pipe}")]),
        format!("{pipe} cannot be read: a pipe or a socket, write it to a file")
    );
    assert_eq!(
        master(&[&format!("--work_dir=file://{pipe}")]),
        format!("--work_dir: {pipe} cannot be read: a pipe or a socket, write it to a file")
    );
}

#[test]
fn the_first_source_wins() {
    let dir = Folder::new();
    let work = dir.path("work").display().to_string();
    dir.write("conf/cluster", "directory");
    dir.write("conf/max_completed_frameworks", "5\n");
    dir.write("conf/agent_ping_timeout", "21secs");
    dir.write("conf/max_agent_ping_timeouts", "7");
    dir.write("conf/?no-root_submissions", "");
    let toml = format!(
        "work-dir = '{work}'\ncluster = 'file'\nmax_completed_frameworks = 4\n\
         agent_ping_timeout = '20secs'\n"
    );
    dir.write("master.toml", &toml);
    let directory = dir.flag("config_dir", "conf");
    let mut start = command(&[
        "--role=master",
        "--ip=127.0.0.1",
        "--port",
        "0",
        "--cluster=words",
        &directory,
    ]);
    start
        .env("MESOS_CONFIG", dir.path("master.toml"))
        .env("MESOS_CLUSTER", "variable")
        .env("MESOS_MAX_COMPLETED_FRAMEWORKS", "3")
        .env("MESOS_NO_SUCH_FLAG", "1");
    let mut daemon = Daemon::start(start, &dir.path("log"));
    let address = daemon.address();
    for (name, wanted) in [
        ("cluster", "words"),
        ("max_completed_frameworks", "3"),
        ("agent_ping_timeout", "20secs"),
        ("max_agent_ping_timeouts", "7"),
        ("root_submissions", "false"),
        ("allocation_interval", "1secs"),
        ("work_dir", &work),
    ] {
        assert_eq!(flag(address, name).as_deref(), Some(wanted), "{name}");
    }
    daemon.line("MESOS_NO_SUCH_FLAG");
    assert_eq!(daemon.stop(), Some(0));
}
