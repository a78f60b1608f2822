//! As a service: the units of `config/systemd/`, what starts them, and what systemd hears.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use mesosd::proto::v1::master::call;
use nix::sys::signal::{Signal, kill};

use crate::api::{ask, of_type};
use crate::binary::{Daemon, Folder, MESOSD, clean, command, text, until};

const ROLES: [&str; 2] = ["master", "agent"];

fn config(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/systemd");
    folder.join(name)
}

/// `systemd-analyze WORDS UNIT` of a unit that starts what is here; none without systemd.
fn analyze(test: &str, words: &[&str], role: &str) -> Option<Output> {
    let found = Command::new("systemd-analyze").arg("--version").output();
    if found.is_err() {
        mesosd::testing::skip(test, "needs systemd-analyze: tests/run installs it");
        return None;
    }
    let folder = Folder::new();
    let name = format!("mesosd-{role}.service");
    let unit = std::fs::read_to_string(config(&name)).unwrap();
    let here = config("mesosd-service").display().to_string();
    let unit = folder.write(
        &name,
        &unit.replace("/usr/lib/mesosd/mesosd-service", &here),
    );
    let analyzed = Command::new("systemd-analyze")
        .args(words)
        .arg(unit)
        .output();
    Some(analyzed.unwrap())
}

#[test]
fn systemd_takes_the_units() {
    for role in ROLES {
        let Some(output) = analyze("systemd: verify", &["verify", "--man=no"], role) else {
            return;
        };
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{role}: {said}");
        assert_eq!(said, "", "{role}");
    }
}

#[test]
fn the_master_can_do_little_harm() {
    let words = ["security", "--offline=yes", "--no-pager", "--threshold=25"];
    let Some(output) = analyze("systemd: security", &words, "master") else {
        return;
    };
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}");
    let level = said
        .lines()
        .find(|line| line.contains("Overall exposure level"));
    eprintln!("{}", level.unwrap());
}

/// What a daemon would get: its arguments, its soft limit of open files, its environment.
fn started(folder: &Folder, role: &str) -> Output {
    let fake = folder.write(
        "mesosd",
        "#!/bin/sh\necho \"args $*\"\necho \"files $(ulimit -n)\"\nenv\n",
    );
    std::fs::set_permissions(&fake, PermissionsExt::from_mode(0o755)).unwrap();
    let mut start = Command::new(config("mesosd-service"));
    start.arg(role);
    clean(&mut start);
    start
        .env("MESOSD", fake)
        .env("MESOSD_ETC", folder.path("etc"));
    start.output().unwrap()
}

#[test]
fn what_packages_set_becomes_flags() {
    let folder = Folder::new();
    let zk = "zk://h1:2181,h2:2181/mesos";
    folder.write("etc/mesos/zk", &format!("{zk}\n"));
    let zk_file = folder.path("etc/mesos/zk").display().to_string();
    folder.write(
        "etc/default/mesos",
        "# Comments stay.\nLOGS=/var/log/mesos\nULIMIT=\"-n 512\"\nMESOS_HOSTNAME=shared.example\n",
    );
    folder.write(
        "etc/default/mesos-master",
        &format!("PORT=5055\nZK=`cat {zk_file}`\nCLUSTER='two words'\nMESOS_QUORUM=2\n"),
    );
    folder.write(
        "etc/default/mesos-slave",
        &format!(
            "MASTER=$(cat {zk_file})\nPORT=5056\nMESOS_PORT=5057\nRESOURCES='cpus:2;mem:64'\n\
             ISOLATION=posix/cpu\nexport MESOS_ATTRIBUTES=rack:r1\nATTRIBUTES=rack:r2\n"
        ),
    );
    let all = |role| {
        let output = started(&folder, role);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let both = [
        "files 512",
        "MESOS_LOG_DIR=/var/log/mesos",
        "MESOS_HOSTNAME=shared.example",
    ];
    let master = [
        "args --role=master",
        "MESOS_PORT=5055",
        "MESOS_CLUSTER=two words",
        "MESOS_QUORUM=2",
    ];
    let agent = [
        "args --role=agent",
        "MESOS_PORT=5057",
        "MESOS_RESOURCES=cpus:2;mem:64",
        "MESOS_ISOLATION=posix/cpu",
        "MESOS_ATTRIBUTES=rack:r1",
    ];
    for (role, own, elected) in [
        ("master", &master[..], format!("MESOS_ZK={zk}")),
        ("agent", &agent, format!("MESOS_MASTER={zk}")),
    ] {
        let said = all(role);
        let lines: Vec<&str> = said.lines().collect();
        for wanted in both.iter().chain(own).chain([&&*elected]) {
            assert!(lines.contains(wanted), "{role}: no '{wanted}' in\n{said}");
        }
        let short = lines.iter().find(|line| {
            let name = line.split('=').next().unwrap();
            ["PORT", "LOGS", "ULIMIT", "ZK", "MASTER", "RESOURCES"].contains(&name)
        });
        assert_eq!(short, None, "{role}");
    }
    assert!(!all("agent").contains("MESOS_QUORUM"));
    assert!(!all("master").contains("MESOS_MASTER"));
    // Without MASTER, ZK says where the agent's master is; without any file nothing is said.
    folder.write("etc/default/mesos-slave", "ZK=zk://h3:2181/m\n");
    assert!(all("agent").contains("MESOS_MASTER=zk://h3:2181/m\n"));
    std::fs::remove_dir_all(folder.path("etc")).unwrap();
    assert!(!all("agent").contains("MESOS_"));
}

#[test]
fn a_wrong_service_file_is_one_line_and_not_tried_again() {
    let folder = Folder::new();
    let refused = |role| {
        let output = started(&folder, role);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{said}");
        said
    };
    assert!(refused("slave").contains("'slave' is no role: write master or agent"));
    folder.write("etc/default/mesos", "ULIMIT='-n many'\n");
    let said = refused("agent");
    assert!(
        said.contains("ULIMIT=\"-n many\" cannot be set; write for example"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    folder.write("etc/default/mesos", "ZK='zk://unclosed\n");
    assert!(refused("agent").contains("etc/default/mesos is no shell script"));
    for role in ROLES {
        let unit = std::fs::read_to_string(config(&format!("mesosd-{role}.service"))).unwrap();
        assert!(
            unit.contains("\nRestartPreventExitStatus=64 78\n"),
            "{unit}"
        );
    }
}

/// What a daemon tells systemd.
struct Notices(UnixDatagram);

impl Notices {
    fn next(&self) -> String {
        let mut bytes = [0; 1000];
        let length = self.0.recv(&mut bytes).unwrap();
        text(&bytes[..length])
    }

    /// The next one that is not the watchdog's.
    fn told(&self) -> String {
        loop {
            let said = self.next();
            if said.trim() != "WATCHDOG=1" {
                return said;
            }
        }
    }
}

/// A daemon that `mesosd-service` starts, and what it tells.
fn service(folder: &Folder, role: &str, watchdog: Duration) -> (Daemon, Notices) {
    let path = folder.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let patience = Duration::from_secs(20);
    socket.set_read_timeout(Some(patience)).unwrap();
    let mut start = Command::new(config("mesosd-service"));
    let work = folder.flag("work_dir", "work");
    start.args([role, "--ip=127.0.0.1", "--port=0", &work]);
    if role == "agent" {
        let run = folder.flag("runtime_dir", "run");
        start.args(["--master=127.0.0.1:1", "--launcher=posix", &run]);
    }
    clean(&mut start);
    start
        .env("MESOSD", MESOSD)
        .env("MESOSD_ETC", folder.path("etc"))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", watchdog.as_micros().to_string());
    (Daemon::start(start, &folder.path("log")), Notices(socket))
}

#[test]
fn systemd_hears_what_becomes_of_a_service() {
    for role in ROLES {
        let folder = Folder::new();
        std::fs::create_dir(folder.path("logs")).unwrap();
        let logs = folder.path("logs").display().to_string();
        folder.write("etc/default/mesos", &format!("LOGS={logs}\n"));
        let period = Duration::from_millis(600);
        let (mut daemon, notices) = service(&folder, role, period);
        let ready = notices.told();
        assert!(ready.starts_with("READY=1\n"), "{ready}");
        let serves = format!("STATUS={role} serves on 127.0.0.1:");
        assert!(ready.contains(&serves), "{ready}");

        // The watchdog hears of it in time, every time.
        for _ in 0..6 {
            let begin = Instant::now();
            assert_eq!(notices.next().trim(), "WATCHDOG=1");
            assert!(begin.elapsed() < period, "{:?}", begin.elapsed());
        }

        // The log is rotated: what comes next is in a new file.
        let file = format!("logs/mesosd-{role}.log");
        std::fs::rename(folder.path(&file), folder.path("logs/old")).unwrap();
        kill(daemon.pid(), Signal::SIGHUP).unwrap();
        let reloading = notices.told();
        assert!(
            reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
            "{reloading}"
        );
        assert_eq!(notices.told().trim(), "READY=1");
        let new = until("a new file", || {
            std::fs::read_to_string(folder.path(&file)).ok()
        });
        assert!(new.contains("the log file is opened anew"), "{new}");
        let old = std::fs::read_to_string(folder.path("logs/old")).unwrap();
        assert!(old.contains("serves on") && !old.contains("anew"), "{old}");

        kill(daemon.pid(), Signal::SIGTERM).unwrap();
        let stopping = notices.told();
        assert!(stopping.starts_with("STOPPING=1\n"), "{stopping}");
        assert_eq!(daemon.wait(), Some(0));
    }
}

#[test]
fn ready_means_ready() {
    let folder = Folder::new();
    let (mut daemon, notices) = service(&folder, "master", Duration::from_secs(60));
    notices.told();
    // No second try.
    let answer = ask(daemon.address(), of_type(call::Type::GetHealth)).unwrap();
    assert!(answer.get_health.unwrap().healthy);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn without_systemd_nobody_is_told() {
    let folder = Folder::new();
    let work = folder.flag("work_dir", "work");
    let words = ["--role=master", "--ip=127.0.0.1", "--port=0", &work];
    let mut daemon = Daemon::start(command(&words), &folder.path("log"));
    daemon.address();
    kill(daemon.pid(), Signal::SIGHUP).unwrap();
    daemon.line("the log file is opened anew");
    assert_eq!(daemon.stop(), Some(0));
    assert!(!daemon.log().contains("systemd"), "{}", daemon.log());
}
