//! Third-party clients from package registries, unmodified, against a real cluster.

use std::process::Command;

use crate::cluster::{Cluster, python};

#[test]
fn pymesos_schedules_executes_and_operates() {
    let name = "pymesos_schedules_executes_and_operates";
    let Some(python) = python(name) else {
        return;
    };
    let import = Command::new(&python)
        .args(["-c", "import pymesos"])
        .output();
    if !import.unwrap().status.success() {
        mesosd::testing::skip(name, "pymesos is not in target/venv: tests/run installs it");
        return;
    }
    let cluster = Cluster::start(1, "cpus:2;mem:1024;disk:1024");
    let output = Command::new(&python)
        .arg("tests/python/pymesos_framework.py")
        .arg(cluster.address())
        .arg(cluster.agents[0].address.to_string())
        .arg(&python)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.ends_with("ok\n"),
        "{text}\n{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        cluster.logs()
    );
    cluster.stop();
}
