//! Hosts with cgroup version 2 only: a virtual machine, since the kernel that runs the tests may have
//! bound its controllers to version 1.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const NAME: &str = "tasks_are_isolated_on_cgroup_v2";

fn is_there(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output()
        .unwrap();
    found.status.success()
}

#[test]
fn tasks_are_isolated_on_cgroup_v2() {
    if cfg!(not(target_arch = "x86_64")) {
        mesosd::testing::skip(NAME, "the machine's kernel is for x86_64");
        return;
    }
    for program in ["qemu-system-x86_64", "busybox", "cpio", "apt-get", "dpkg"] {
        if !is_there(program) {
            mesosd::testing::skip(NAME, &format!("needs {program}: tests/run installs it"));
            return;
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("tests/containers/vm/boot"))
        .arg(env!("CARGO_BIN_EXE_mesosd"))
        .arg(root.join("target/vm"))
        .output()
        .unwrap();
    let console = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(console.contains("VM-DONE"), "{console}\n{errors}");
    let sections: BTreeMap<&str, &str> = console
        .split("=== ")
        .filter_map(|section| section.split_once('\n'))
        .collect();

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
