//! Schedulers and executors of the v0 driver protocol.

use std::path::Path;
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

/// A driver from PyPI, unmodified. It needs Python 2.7, which not every machine has: `tests/run` says so.
#[test]
fn pesos_schedules_and_executes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pesos = folder.join("target/pesos");
    let python = pesos.join("python");
    if !python.exists() {
        eprintln!("target/pesos is missing: tests/run makes it where there is a Python 2.7");
        return;
    }
    let cluster = Cluster::start(1, "cpus:2;mem:1024;disk:1024");
    let output = Command::new(python)
        .arg("tests/python/pesos_framework.py")
        .arg(cluster.address())
        .arg(&pesos)
        .current_dir(folder)
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
