//! The only master dies and comes back: its registry tells who belongs to the cluster, nothing is lost.

use std::io::Read as _;
use std::process::Stdio;
use std::time::Duration;

use crate::cluster::Cluster;

const LIMIT: Duration = Duration::from_secs(20);

fn agent_ids(cluster: &Cluster) -> Vec<String> {
    let agents = cluster.json(&["agents"]);
    let mut ids: Vec<String> = agents
        .as_array()
        .unwrap()
        .iter()
        .filter(|agent| agent["active"] == true)
        .map(|agent| agent["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

#[test]
fn a_killed_master_finds_its_agents_and_tasks_again() {
    let mut cluster = Cluster::start(2, "cpus:2;mem:512;disk:1024");
    cluster.wait_for_agents(2);
    let before = agent_ids(&cluster);
    assert_eq!(before.len(), 2);
    let mut run = cluster
        .command(&["run", "--name", "lasting", "--cpus", "1", "--mem", "64"])
        .args([
            "--",
            "sh",
            "-c",
            "echo begin; until [ -e go ]; do sleep 0.05; done; echo end; exit 3",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let running = |cluster: &Cluster| {
        let tasks = cluster.json(&["ps", "--state", "running"]);
        tasks.as_array().unwrap().len() == 1
    };
    cluster.wait_until("the task runs", LIMIT, || running(&cluster));

    cluster.master.crash_and_restart();
    cluster.wait_until("the agents and the task are back", LIMIT, || {
        agent_ids(&cluster) == before && running(&cluster)
    });
    let sandboxes = std::process::Command::new("find")
        .args([
            cluster.dir().as_os_str(),
            "-name".as_ref(),
            "stdout".as_ref(),
        ])
        .output()
        .unwrap();
    let stdout = String::from_utf8(sandboxes.stdout).unwrap();
    // `latest` is a link to the run: one sandbox, one file.
    let [sandbox] = stdout.lines().collect::<Vec<_>>()[..] else {
        panic!("one task, one sandbox: {stdout}");
    };
    std::fs::write(sandbox.replace("stdout", "go"), "").unwrap();
    let status = run.wait().unwrap();
    let mut printed = String::new();
    run.stdout
        .take()
        .unwrap()
        .read_to_string(&mut printed)
        .unwrap();
    assert_eq!((status.code(), printed.as_str()), (Some(3), "begin\nend\n"));
    cluster.stop();
}

#[test]
fn a_second_master_of_the_same_work_dir_is_refused() {
    let mut cluster = Cluster::start(0, "cpus:1;mem:128");
    let work_dir = cluster.dir().join("master");
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_mesosd"))
        .args(["--role=master", "--ip=127.0.0.1", "--port=0"])
        .arg(format!("--work_dir={}", work_dir.display()))
        .output()
        .unwrap();
    let text = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success());
    assert!(text.contains("is open in another master"), "{text}");
    cluster.master.crash_and_restart();
    cluster.stop();
}
