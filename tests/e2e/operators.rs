//! Operators' words on real processes: an agent is drained, kept from offers, taken back; the master
//! that is killed in between remembers.

use std::process::Stdio;
use std::time::Duration;

use crate::cluster::Cluster;

const LIMIT: Duration = Duration::from_secs(30);

fn state(cluster: &Cluster) -> String {
    let agents = cluster.json(&["agents"]);
    agents[0]["state"].as_str().unwrap_or_default().to_owned()
}

fn says(cluster: &Cluster, words: &[&str]) -> String {
    let output = cluster.command(words).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_drained_agent_stays_so_through_the_masters_death() {
    let mut cluster = Cluster::start(1, "cpus:2;mem:512;disk:1024");
    cluster.wait_for_agents(1);
    let mut run = cluster
        .command(&[
            "run", "--name", "stubborn", "--cpus", "1", "--mem", "64", "--",
        ])
        .args(["sh", "-c", "trap '' TERM; while true; do sleep 0.1; done"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    cluster.wait_until("the task runs", LIMIT, || {
        let tasks = cluster.json(&["ps", "--state", "running"]);
        tasks.as_array().unwrap().len() == 1
    });
    let agents = cluster.json(&["agents"]);
    let host = agents[0]["id"].as_str().unwrap().to_owned();
    let said = says(&cluster, &["drain", &host, "--max-grace-period=1secs"]);
    assert!(said.starts_with(&host), "{said}");
    cluster.wait_until("the agent is drained", LIMIT, || {
        state(&cluster) == "drained"
    });
    assert!(!run.wait().unwrap().success(), "the task was killed");

    let weights = says(&cluster, &["weights", "set", "ads=2.5"]);
    assert!(
        weights.contains("ads") && weights.contains("2.5"),
        "{weights}"
    );
    says(&cluster, &["quota", "set", "ads", "--limit=cpus:1"]);
    cluster.master.crash_and_restart();
    cluster.wait_until("the agent is back, drained", LIMIT, || {
        state(&cluster) == "drained"
    });
    assert_eq!(cluster.json(&["weights"])[0]["weight"], 2.5);
    assert_eq!(cluster.json(&["quota"])[0]["limits"]["cpus"], 1.0);
    says(&cluster, &["quota", "remove", "ads"]);
    says(&cluster, &["reactivate", &host]);
    assert_eq!(state(&cluster), "active");
    let ran = says(
        &cluster,
        &["run", "--cpus", "0.1", "--mem", "32", "--", "echo", "again"],
    );
    assert_eq!(ran, "again\n");
}
