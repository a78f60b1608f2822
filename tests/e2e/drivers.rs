//! Schedulers and executors of the v0 driver protocol.

use std::process::Command;

use crate::cluster::{Cluster, python};

#[test]
fn v0_drivers_schedule_and_execute() {
    let Some(python) = python("v0_drivers_schedule_and_execute") else {
        return;
    };
    let cluster = Cluster::start(1, "cpus:2;mem:1024;disk:1024");
    let output = Command::new(&python)
        .arg("tests/python/v0_framework.py")
        .arg(cluster.address())
        .arg(&python)
        .env("MESOSD_PROTO", "proto")
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
