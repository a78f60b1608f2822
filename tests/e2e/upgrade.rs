//! Another version of mesosd takes over what an earlier one has started: its agent ends, the other one
//! starts, tasks go on under the supervisors of the earlier version.
//!
//! `MESOSD_EARLIER=PATH` names the earlier binary. CI builds one version only: there it is a copy of the one
//! under test. What earlier versions wrote to disks and said on sockets is kept in `tests/golden/upgrade` and
//! `tests/golden/registry`, and read by the agent's unit tests and by `tests/cli`.

use std::path::PathBuf;
use std::time::Duration;

use mesosd::proto::v1::TaskState::{TaskFailed, TaskFinished, TaskKilled, TaskRunning};
use nix::sys::signal::Signal;

use crate::agent_recovery::{let_end, shared, starts, wait_for_registrations, waits};
use crate::cluster::{Cluster, MESOSD};
use crate::groups::executor;
use crate::leftovers::processes_of;
use crate::scheduler::{Scheduler, task};

const AGENT: &str = "cpus:4;mem:2048;disk:1024";
const LIMIT: Duration = Duration::from_secs(20);

fn earlier(cluster: &Cluster) -> PathBuf {
    if let Some(path) = std::env::var_os("MESOSD_EARLIER") {
        return path.into();
    }
    let copy = cluster.dir().join("mesosd-earlier");
    std::fs::copy(MESOSD, &copy).unwrap();
    copy
}

#[test]
fn tasks_go_on_under_another_version() {
    let mut cluster = Cluster::start(0, AGENT);
    let earlier = earlier(&cluster);
    cluster.add_agent_of(&earlier, AGENT, &[]);
    cluster.wait_for_agents(1);
    let dir = shared();
    let dir = dir.path();
    let mut scheduler = Scheduler::start(&cluster, "upgrade");
    let single = ["before", "away", "after", "killed"];
    for name in single {
        scheduler.submit(waits(dir, name, 3));
    }
    let members = vec![waits(dir, "a", 0), waits(dir, "b", 0)];
    scheduler.submit_group(executor("pod"), members);
    for name in single.into_iter().chain(["a", "b"]) {
        scheduler.wait_for(name, TaskRunning);
    }
    let_end(dir, "before");
    assert_eq!(scheduler.end_of("before").state(), TaskFailed);

    let agent = &mut cluster.agents[0];
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.wait(LIMIT), Some(0), "{}", agent.log());
    // Nothing of the earlier version is left but what runs.
    if std::env::var_os("MESOSD_EARLIER").is_none() {
        std::fs::remove_file(&earlier).unwrap();
    }
    let_end(dir, "away");
    let_end(dir, "a");
    std::thread::sleep(Duration::from_millis(500));
    agent.set_program(&[MESOSD]);
    agent.start_again(&[]);
    wait_for_registrations(&cluster, 2);
    let away = scheduler.end_of("away");
    assert_eq!(away.state(), TaskFailed, "{away:?}\n{}", cluster.logs());
    assert_eq!(away.message(), "Command exited with status 3");
    assert_eq!(scheduler.end_of("a").state(), TaskFinished);

    // And once more, without a word.
    cluster.agents[0].restart(Signal::SIGKILL, &[]);
    wait_for_registrations(&cluster, 3);
    let_end(dir, "after");
    let_end(dir, "b");
    assert_eq!(scheduler.end_of("after").state(), TaskFailed);
    assert_eq!(scheduler.end_of("b").state(), TaskFinished);
    scheduler.kill("killed", None);
    let killed = scheduler.end_of("killed");
    assert_eq!(killed.state(), TaskKilled);
    for name in single.into_iter().chain(["a", "b"]) {
        assert_eq!(starts(dir, name), 1, "{name}");
        assert_eq!(processes_of(&scheduler, name), [""; 0], "{name}");
    }
    assert!(scheduler.no_more_than(&killed));
    scheduler.submit(task("next", "true"));
    assert_eq!(scheduler.end_of("next").state(), TaskFinished);
    scheduler.teardown();
    cluster.stop();
}
