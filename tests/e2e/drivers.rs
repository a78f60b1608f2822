//! Schedulers and executors of the v0 driver protocol.

use crate::cluster::Cluster;
use crate::foreign::{Foreign, installed};

#[test]
fn v0_drivers_schedule_and_execute() {
    let name = "v0_drivers_schedule_and_execute";
    let Some(program) = Foreign::python(name, "v0_framework.py") else {
        return;
    };
    let cluster = Cluster::start(1, "cpus:2;mem:1024;disk:1024");
    program
        .args([cluster.address().into(), installed("venv/bin/python")])
        .succeeds(&cluster);
    cluster.stop();
}

/// A driver in the language that `tests/run` could install it for: Python 2.7, which not every machine has;
/// it says so.
fn old(script: &str, packages: &str) -> Option<Foreign> {
    let python = format!("{packages}/python");
    if !installed(&python).exists() {
        eprintln!("target/{python} is missing: tests/run makes it where there is a Python 2.7");
        return None;
    }
    let program = Foreign::new(script, installed(&python), &[packages])?;
    Some(program.args([format!("tests/python/{script}")]))
}

/// A driver from PyPI, unmodified.
#[test]
fn pesos_schedules_and_executes() {
    let Some(program) = old("pesos_framework.py", "pesos") else {
        return;
    };
    let cluster = Cluster::start(1, "cpus:2;mem:1024;disk:1024");
    program
        .args([cluster.address().into(), installed("pesos")])
        .succeeds(&cluster);
    cluster.stop();
}

/// The C++ driver of Mesos 1.11, unmodified: what Marathon, Chronos, Spark and Aurora are linked with.
#[test]
fn libmesos_schedules_and_fails_over() {
    let Some(program) = old("libmesos_framework.py", "libmesos") else {
        return;
    };
    let cluster = Cluster::start(1, "cpus:2;mem:1024;disk:1024");
    let packages = installed("libmesos");
    program
        .env("LD_LIBRARY_PATH", packages.join("stand-in"))
        .env("LIBPROCESS_IP", "127.0.0.1")
        .args([
            cluster.address().into(),
            packages,
            installed("venv/bin/python"),
        ])
        .succeeds(&cluster);
    cluster.stop();
}
