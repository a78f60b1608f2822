//! Hosts with cgroup version 2 only: virtual machines, since the kernel that runs the tests may have
//! bound its controllers to version 1. One has systemd as process 1 and our units.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

fn is_there(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output()
        .unwrap();
    found.status.success()
}

/// The console of a virtual machine whose process 1 is `first`; none, and a note, where there can be none.
fn console(test: &str, first: &str, programs: &[&str]) -> Option<String> {
    if cfg!(not(target_arch = "x86_64")) {
        mesosd::testing::skip(test, "the machine's kernel is for x86_64");
        return None;
    }
    let needed = ["qemu-system-x86_64", "busybox", "cpio", "apt-get", "dpkg"];
    for program in needed.iter().chain(programs) {
        if !is_there(program) {
            mesosd::testing::skip(test, &format!("needs {program}: tests/run installs it"));
            return None;
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("tests/containers/vm/boot"))
        .arg(env!("CARGO_BIN_EXE_mesosd"))
        .arg(root.join("target/vm"))
        .arg(first)
        .output()
        .unwrap();
    let console = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(console.contains("VM-DONE"), "{console}\n{errors}");
    Some(console)
}

/// What it says after each headline.
fn sections(console: &str) -> BTreeMap<&str, &str> {
    let sections = console.split("=== ");
    sections
        .filter_map(|section| section.split_once('\n'))
        .collect()
}

#[test]
fn tasks_are_isolated_on_cgroup_v2() {
    let Some(console) = console("cgroup v2", "init", &[]) else {
        return;
    };
    let sections = sections(&console);

    let hello = sections["hello"];
    assert!(hello.contains("hello from "), "{console}");
    assert!(hello.contains("0::/mesos/"), "{console}");
    assert!(hello.contains("/task\n"), "{console}");
    // Process 1, the shell, ls and wc.
    assert!(hello.contains("\n4\ncode 0\n"), "{console}");

    let memory = sections["memory"];
    // The task's 64 MB and the executor's 32 MB.
    let bytes = (96 << 20).to_string();
    assert!(
        memory.contains(&format!("{bytes} bytes allowed")),
        "{console}"
    );
    assert!(!memory.contains("survived"), "{console}");

    let limits = sections["limits"];
    for line in [
        format!("memory.max {bytes}"),
        format!("memory.low {bytes}"),
        "pids.max 20".to_owned(),
        "cpu.weight 50".to_owned(),
        "cpu.max 50000 100000".to_owned(),
        "code 3".to_owned(),
        "left 0 processes, 0 groups".to_owned(),
        "local ended with 0".to_owned(),
    ] {
        assert!(
            limits.lines().any(|found| found == line),
            "{line}: {console}"
        );
    }
    assert!(limits.to_lowercase().contains("fork"), "{console}");
    assert!(!console.contains("the root group is left"), "{console}");
}

#[test]
fn tasks_outlive_their_agent_under_systemd_and_cgroup_v2() {
    let programs = ["systemctl", "/lib/systemd/systemd"];
    let Some(console) = console("cgroup v2 with systemd", "systemd", &programs) else {
        return;
    };
    let sections = sections(&console);
    let has = |section: &str, lines: &[&str]| {
        for line in lines {
            let found = sections[section].lines().any(|found| found == *line);
            assert!(found, "no '{line}' in {section}: {console}");
        }
    };
    let goes_on = |section: &str, restarts: u32, registered: u32| {
        let agent = format!("agent active, restarts {restarts}, registered {registered}");
        has(section, &[&agent, "task goes on"]);
    };
    // The unit's group has no groups below it, so that it can be started again.
    has(
        "start",
        &[
            "started 0",
            "unit /system.slice/mesosd-agent.service",
            "unit's controllers ''",
            "task in /mesos/ID/task",
        ],
    );
    goes_on("start", 0, 1);
    goes_on("restart", 0, 2);
    goes_on("kill", 1, 3);
    goes_on("upgrade", 0, 4);
    goes_on("reload", 0, 4);
    has("reload", &["reloaded 0"]);
    // A wrong configuration is not tried again.
    has("wrong", &["agent failed, exit 64, restarts 0"]);
    goes_on("wrong", 0, 5);
    has(
        "end",
        &[
            "run ended with 3",
            "left 0 groups",
            "stopped 0, success, success",
            "left 0 processes",
        ],
    );
}
