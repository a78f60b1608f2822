//! Reservations and persistent volumes, made by an operator over HTTP: a task writes to a volume, its
//! agent is killed, and volume and data are there for the next task of the role, and for no other.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use mesosd::proto::v1;
use mesosd::proto::v1::TaskState;
use mesosd::proto::v1::framework_info::capability;
use mesosd::resources::{ReservationForm, Resources};

use crate::cluster::Cluster;
use crate::scheduler::{Scheduler, task};

const RESERVED: &str = r#"[
    {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.5},
     "reservations": [{"type": "DYNAMIC", "role": "dev"}]},
    {"name": "disk", "type": "SCALAR", "scalar": {"value": 64},
     "reservations": [{"type": "DYNAMIC", "role": "dev"}]}]"#;

const VOLUME: &str = r#"[
    {"name": "disk", "type": "SCALAR", "scalar": {"value": 64},
     "reservations": [{"type": "DYNAMIC", "role": "dev"}],
     "disk": {"persistence": {"id": "v1"},
              "volume": {"container_path": "data", "mode": "RW"}}}]"#;

/// Posts a form; gives status code and body.
fn post(cluster: &Cluster, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let encode =
        |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let pairs = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)));
    let body = pairs.collect::<Vec<_>>().join("&");
    let mut stream = TcpStream::connect(cluster.master.address).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let code = reply.split(' ').nth(1).unwrap().parse().unwrap();
    (code, reply)
}

fn subscriber(cluster: &Cluster, name: &str, role: &str) -> Scheduler {
    Scheduler::with(cluster, name, |info| {
        info.roles = vec![role.to_owned()];
        for kind in [
            capability::Type::MultiRole,
            capability::Type::ReservationRefinement,
        ] {
            if info.capabilities.iter().all(|have| have.r#type() != kind) {
                info.capabilities.push(v1::framework_info::Capability {
                    r#type: Some(kind.into()),
                });
            }
        }
    })
}

fn on_volume(id: &str, command: &str) -> v1::TaskInfo {
    let mut task = task(id, command);
    let volume = Resources::from_json(VOLUME).unwrap();
    task.resources
        .extend(volume.to_proto(ReservationForm::Stack));
    task
}

#[test]
fn a_volume_and_its_data_outlive_their_agents_process() {
    outlive(&["--launcher=posix"]);
    // Here the volume is mounted; the work directory of tests is below /tmp, of which tasks have their own.
    if mesosd::testing::is_root() {
        outlive(&["--launcher=linux"]);
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("/volumes/roles/dev/v1"), "{mounts}");
}

fn outlive(agent_flags: &[&str]) {
    let mut cluster = Cluster::with_flags(1, "cpus:2;mem:512;disk:1024", &[], agent_flags);
    let agents = cluster.json(&["agents"]);
    let agent = agents[0]["id"].as_str().unwrap().to_owned();
    let with = |field, json| [("slaveId", agent.as_str()), (field, json)];
    let cases = [
        ("/create-volumes", "volumes", VOLUME, 409),
        ("/reserve", "resources", RESERVED, 202),
        ("/create-volumes", "volumes", VOLUME, 202),
        ("/create-volumes", "volumes", VOLUME, 400),
        ("/unreserve", "resources", "[]", 400),
        ("/reserve", "resources", "{", 400),
    ];
    for (path, field, json, expected) in cases {
        let (code, reply) = post(&cluster, path, &with(field, json));
        assert_eq!(code, expected, "{path} {json}: {reply}");
    }
    let mut dev = subscriber(&cluster, "dev", "dev");
    dev.submit(on_volume(
        "writer",
        "echo kept > data/file && echo here > local",
    ));
    dev.wait_for("writer", TaskState::TaskFinished);
    let volume = cluster.work_dir(0).join("volumes/roles/dev/v1");
    let kept = || std::fs::read_to_string(volume.join("file")).unwrap();
    assert_eq!(kept(), "kept\n");

    dev.teardown();
    cluster.agents[0].crash_and_restart();
    let limit = Duration::from_secs(20);
    cluster.wait_until("the agent is back", limit, || {
        cluster.agents[0]
            .log()
            .matches("registered with the master")
            .count()
            == 2
    });
    assert_eq!(kept(), "kept\n");
    let mut dev = subscriber(&cluster, "dev again", "dev");
    dev.submit(on_volume("reader", "cat data/file && ls -A data"));
    dev.wait_for("reader", TaskState::TaskFinished);
    assert_eq!(dev.text("reader", "stdout"), "kept\nfile\n");

    dev.teardown();
    let mut ops = subscriber(&cluster, "ops", "ops");
    ops.submit(on_volume("thief", "cat data/file"));
    assert_eq!(ops.end_of("thief").state(), TaskState::TaskError);
    ops.teardown();
    let destroyed = || post(&cluster, "/destroy-volumes", &with("volumes", VOLUME)).0;
    cluster.wait_until("the volume is free", limit, || destroyed() == 202);
    cluster.wait_until("the volume is gone", limit, || !volume.exists());
    cluster.stop();
}

/// A volume that is taken read-only can be read, and neither written nor removed, by the task that has it.
#[test]
fn a_volume_that_is_read_only_stays_as_it_is() {
    if !mesosd::testing::is_root() {
        mesosd::testing::skip("a_volume_that_is_read_only_stays_as_it_is", "needs root");
        return;
    }
    let flags = ["--launcher=linux"];
    let cluster = Cluster::with_flags(1, "cpus:2;mem:512;disk:1024", &[], &flags);
    let agents = cluster.json(&["agents"]);
    let agent = agents[0]["id"].as_str().unwrap().to_owned();
    let with = |field, json| [("slaveId", agent.as_str()), (field, json)];
    for (path, field, json) in [
        ("/reserve", "resources", RESERVED),
        ("/create-volumes", "volumes", VOLUME),
    ] {
        let (code, reply) = post(&cluster, path, &with(field, json));
        assert_eq!(code, 202, "{path}: {reply}");
    }
    let mut dev = subscriber(&cluster, "dev", "dev");
    dev.submit(on_volume("writer", "echo kept > data/file"));
    dev.wait_for("writer", TaskState::TaskFinished);

    let words = "cat data/file; touch data/new || echo refused; rm -f data/file || echo refused; \
                 echo more > data/file || echo refused; cat data/file; ls data";
    let mut reader = on_volume("reader", words);
    for resource in &mut reader.resources {
        if let Some(disk) = &mut resource.disk
            && let Some(volume) = &mut disk.volume
        {
            volume.mode = v1::volume::Mode::Ro.into();
        }
    }
    dev.submit(reader);
    let end = dev.end_of("reader");
    assert_eq!(end.state(), TaskState::TaskFinished, "{end:?}");
    let said = dev.text("reader", "stdout");
    assert_eq!(said, "kept\nrefused\nrefused\nrefused\nkept\nfile\n");
    let volume = cluster.work_dir(0).join("volumes/roles/dev/v1");
    assert_eq!(
        std::fs::read_to_string(volume.join("file")).unwrap(),
        "kept\n"
    );
    dev.teardown();
    cluster.stop();
}
