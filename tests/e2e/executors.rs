//! Custom executors: processes of the framework's own that speak the executor API.

use std::process::Command;

use crate::cluster::{Cluster, python};

#[test]
fn two_tasks_under_a_python_executor() {
    let Some(python) = python("two_tasks_under_a_python_executor") else {
        return;
    };
    let cluster = Cluster::start(1, "cpus:2;mem:1024;disk:1024");
    let output = Command::new(&python)
        .arg("tests/python/executor_framework.py")
        .arg(cluster.address())
        .arg(&python)
        .env("MESOSD_PROTO", "proto")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}\n{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        cluster.logs()
    );
    assert!(text.contains("launch first-"), "{text}");
    assert!(text.contains("launch second-"), "{text}");
    cluster.stop();
}
