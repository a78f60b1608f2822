//! Configuration as Mesos' packages lay it out, and our own samples, as they stand.

use std::path::Path;
use std::process::Command;

use crate::binary::{Daemon, Folder, MESOSD, clean, command, mesosd, refused, text, until, unused};

/// What name lookups want to find in `/etc`.
const OF_THE_HOST: [&str; 5] = ["hosts", "nsswitch.conf", "passwd", "group", "resolv.conf"];

/// A daemon that sees the folder's `etc` as `/etc`, in a mount namespace of its own.
fn in_etc(folder: &Folder, program: &str, words: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "sh",
            "-c",
            "mount --bind \"$0\" /etc && exec \"$@\"",
        ])
        .arg(folder.path("etc"))
        .arg(program)
        .args(words);
    clean(&mut command);
    command
}

/// A daemon as its unit in `config/systemd/` starts it.
fn of_unit(folder: &Folder, role: &str) -> Command {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/systemd");
    let unit = std::fs::read_to_string(units.join(format!("mesosd-{role}.service"))).unwrap();
    assert!(unit.lines().any(|line| line == "Type=notify"), "{unit}");
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let words: Vec<_> = line.unwrap().split(' ').collect();
    assert_eq!(words[0], "/usr/lib/mesosd/mesosd-service");
    let service = units.join("mesosd-service").display().to_string();
    let mut command = in_etc(folder, &service, &words[1..]);
    command.env("MESOSD", MESOSD);
    command
}

/// Whether this process may make mount namespaces.
fn can_mount() -> bool {
    mesosd::testing::is_root()
        && Command::new("unshare")
            .args(["--mount", "mount", "--bind", "/tmp", "/etc"])
            .status()
            .is_ok_and(|status| status.success())
}

/// `/etc` of a host with Mesos' packages: a master and an agent on free ports.
fn host(port: u16) -> Folder {
    let folder = Folder::new();
    for name in OF_THE_HOST {
        if let Ok(content) = std::fs::read_to_string(Path::new("/etc").join(name)) {
            folder.write(&format!("etc/{name}"), &content);
        }
    }
    let work = folder.path("work").display().to_string();
    for (name, content) in [
        ("mesos/zk", format!("127.0.0.1:{port}\n")),
        ("mesos/ip", "127.0.0.1\n".to_owned()),
        ("mesos/isolator_of_somebody_else", "x".to_owned()),
        ("mesos-master/port", port.to_string()),
        ("mesos-master/quorum", "1\n".to_owned()),
        ("mesos-master/work_dir", format!("{work}/master\n")),
        ("mesos-master/cluster", "west\n".to_owned()),
        // As in the packages: a script.
        ("default/mesos-slave", "PORT=$(echo 0)\n".to_owned()),
        ("mesos-slave/work_dir", format!("{work}/agent\n")),
        ("mesos-slave/runtime_dir", format!("{work}/run\n")),
        ("mesos-slave/launcher", "posix\n".to_owned()),
        ("mesos-slave/hostname", "node-1.example\n".to_owned()),
        (
            "mesos-slave/resources",
            "cpus:3;mem:512;disk:100\n".to_owned(),
        ),
        ("mesos-slave/attributes/rack", "r1\n".to_owned()),
        ("mesos-slave/attributes/zone", "z2\n".to_owned()),
        ("mesos-slave/?no-switch_user", String::new()),
        ("mesos-slave/.gitignore", "*".to_owned()),
    ] {
        folder.write(&format!("etc/{name}"), &content);
    }
    folder
}

#[test]
fn a_cluster_starts_from_etc_as_packages_lay_it_out() {
    if !can_mount() {
        mesosd::testing::skip("packages: /etc", "mount namespaces need root");
        return;
    }
    let port = unused().port();
    let folder = host(port);
    let mut master = Daemon::start(of_unit(&folder, "master"), &folder.path("m.log"));
    assert_eq!(master.address().port(), port);
    let mut agent = Daemon::start(of_unit(&folder, "agent"), &folder.path("a.log"));
    agent.line("registered with the master");

    let address = format!("--master=127.0.0.1:{port}");
    let output = mesosd(&["agents", &address, "-o", "json"]);
    let agents: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(agents[0]["hostname"], "node-1.example");
    assert_eq!(agents[0]["total"]["cpus"], 3.0);
    assert_eq!(
        agents[0]["attributes"],
        serde_json::json!({"rack": "r1", "zone": "z2"})
    );
    let ignored = "/etc/mesos/isolator_of_somebody_else: ignored, ";
    for (daemon, role) in [(&mut master, "master"), (&mut agent, "agent")] {
        daemon.line(&format!("{ignored}{role} has no such flag"));
        assert_eq!(daemon.log().matches(ignored).count(), 1, "{}", daemon.log());
    }
    assert_eq!(agent.stop(), Some(0));
    assert_eq!(master.stop(), Some(0));
}

#[test]
fn wrong_files_in_etc_are_named() {
    if !can_mount() {
        mesosd::testing::skip("packages: wrong files", "mount namespaces need root");
        return;
    }
    let folder = host(1);
    let agent = || refused(&mut in_etc(&folder, MESOSD, &["--role=agent"]));
    folder.write("etc/mesos-slave/prot", "1");
    assert_eq!(
        agent(),
        "/etc/mesos-slave/prot: agent has no such flag, did you mean 'port'?; \
         'mesosd --role=agent --help' lists all"
    );
    std::fs::remove_file(folder.path("etc/mesos-slave/prot")).unwrap();
    folder.write("etc/mesos-slave/isolation", "cgroups/magic");
    let line = agent();
    let wanted = "/etc/mesos-slave/isolation: there is no isolator \"cgroups/magic\"";
    assert!(line.starts_with(wanted), "{line}");
    std::fs::remove_file(folder.path("etc/mesos-slave/isolation")).unwrap();
    folder.write("etc/mesos-slave/hostname", "\n");
    let line = agent();
    let wanted = "/etc/mesos-slave/hostname: '' is not the name of a host: ";
    assert!(line.starts_with(wanted), "{line}");
    folder.write("etc/mesos-slave/hostname", "h");
    folder.write("etc/mesos/zk", "zk://h1,h2:2181/mesos\n");
    assert_eq!(
        agent(),
        "/etc/mesos/zk: 'zk://h1,h2:2181/mesos': not a ZooKeeper address: server 1 of the list is no host:port; write \
         zk://[user:password@]host:port[,host:port...]/path"
    );
    // What the command line says is not asked of the files.
    let mut start = in_etc(
        &folder,
        MESOSD,
        &["--role=agent", "--master=127.0.0.1:1", "--hostname=:x y"],
    );
    assert!(refused(&mut start).starts_with("--hostname: ':x y' is not"));
}

#[test]
fn directories_may_be_given() {
    let folder = Folder::new();
    folder.write("mesos/zk", "127.0.0.1:1\n");
    folder.write("mesos-slave/?no-hostname_lookup", "");
    folder.write("mesos-slave/bogus", "1");
    let shared = folder.flag("config_dir", "mesos");
    let own = folder.flag("config_dir", "mesos-slave");
    let line = refused(&mut command(&[
        "--role=agent",
        "--work_dir=/nowhere",
        &shared,
        &own,
    ]));
    assert!(
        line.contains("mesos-slave/bogus: agent has no such flag"),
        "{line}"
    );
}

#[test]
fn the_samples_start_a_cluster() {
    let folder = Folder::new();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let sample = |role: &str| {
        format!(
            "--config={}",
            samples.join(format!("{role}.toml")).display()
        )
    };
    // What belongs to this host: its directories and ports.
    let (work, config) = (folder.flag("work_dir", "master"), sample("master"));
    let words = [
        "--role=master",
        &config,
        &work,
        "--ip=127.0.0.1",
        "--port=0",
    ];
    let mut master = Daemon::start(command(&words), &folder.path("master.log"));
    let address = master.address();
    let (work, config) = (folder.flag("work_dir", "agent"), sample("agent"));
    let at = format!("--master={address}");
    let run = folder.flag("runtime_dir", "run");
    let mut agent = Daemon::start(
        command(&[
            "--role=agent",
            &config,
            &work,
            &run,
            &at,
            "--ip=127.0.0.1",
            "--port=0",
            "--launcher=posix",
        ]),
        &folder.path("agent.log"),
    );
    agent.line("registered with the master");
    let listed = until("the agent is listed", || {
        let output = mesosd(&["agents", "--master", &address.to_string()]);
        let listed = text(&output.stdout);
        listed.contains("active").then_some(listed)
    });
    assert_eq!(listed.lines().count(), 2, "{listed}");
    for daemon in [&mut agent, &mut master] {
        assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
        assert_eq!(daemon.stop(), Some(0));
    }
}
