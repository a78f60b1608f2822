//! Three masters, two agents, a framework with tasks that note their own starts: leaders are killed,
//! stopped and sent away, and no task notices.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mesosd::frameworks::sdk::{self, Config, Event, Handle};
use mesosd::proto::v1;
use mesosd::testing::ensemble::Ensemble;
use nix::sys::signal::Signal;

use super::cluster::{Cluster, Daemon};

const SECOND: Duration = Duration::from_secs(1);
/// Of the masters, as the cluster starts them.
const SESSION: Duration = Duration::from_secs(3);

/// A framework that launches what it is given and remembers every state.
pub(crate) struct Framework {
    pub(crate) handle: Handle,
    pending: Arc<Mutex<VecDeque<v1::TaskInfo>>>,
    states: Arc<Mutex<BTreeMap<String, Vec<v1::TaskState>>>>,
}

impl Framework {
    pub(crate) fn start(url: &str) -> Self {
        let mut config = Config::new(url, "root", "failover");
        config.framework.failover_timeout = Some(600.0);
        let (handle, mut events) = sdk::start(config);
        let framework = Self {
            handle: handle.clone(),
            pending: Arc::default(),
            states: Arc::default(),
        };
        let (pending, states) = (
            Arc::clone(&framework.pending),
            Arc::clone(&framework.states),
        );
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Event::Offers(offers) => {
                        for offer in offers {
                            let task = pending.lock().unwrap().pop_front();
                            // What is refused comes again with the next offers.
                            let Some(mut task) = task else {
                                let _ = handle.decline(vec![offer.id], None).await;
                                continue;
                            };
                            task.agent_id = offer.agent_id;
                            let _ = handle.launch(vec![offer.id], vec![task], None).await;
                        }
                    }
                    Event::Update(status) => {
                        let mut states = states.lock().unwrap();
                        let known = states.entry(status.task_id.value.clone()).or_default();
                        known.push(status.state());
                    }
                    _ => {}
                }
            }
        });
        framework
    }

    /// A task that notes its start and lives.
    pub(crate) async fn launch(&self, name: &str, marks: &Path) {
        let mark = marks.join(name).display().to_string();
        let task = v1::TaskInfo {
            name: name.to_owned(),
            task_id: name.into(),
            resources: vec![sdk::scalar("cpus", 0.1), sdk::scalar("mem", 32.0)],
            command: Some(v1::CommandInfo {
                value: Some(format!("echo started >> {mark}; exec sleep 1000")),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.pending.lock().unwrap().push_back(task);
        // Between two masters there is nobody to ask; offers come by themselves then.
        let _ = self.handle.revive(Vec::new()).await;
    }

    /// The last state of a task.
    pub(crate) fn state(&self, name: &str) -> Option<v1::TaskState> {
        let states = self.states.lock().unwrap();
        states.get(name)?.last().copied()
    }

    pub(crate) fn is_running(&self, name: &str) -> bool {
        let states = self.states.lock().unwrap();
        let known = states.get(name);
        known.is_some_and(|known| known.contains(&v1::TaskState::TaskRunning))
    }
}

/// Both agents are active and all tasks run, as the leader says.
fn is_whole(cluster: &Cluster, tasks: usize) -> bool {
    let agents = cluster.ask(&["agents"]).unwrap_or_default();
    let active = agents.as_array().into_iter().flatten();
    let active = active.filter(|agent| agent["active"] == true).count();
    let running = cluster
        .ask(&["ps", "--state", "running"])
        .unwrap_or_default();
    active == 2
        && running
            .as_array()
            .is_some_and(|running| running.len() == tasks)
}

pub(crate) async fn until(
    cluster: &Cluster,
    what: &str,
    limit: Duration,
    mut done: impl FnMut() -> bool,
) -> Duration {
    let begin = Instant::now();
    while !tokio::task::block_in_place(&mut done) {
        assert!(
            begin.elapsed() < limit,
            "timed out: {what}\n{}",
            cluster.logs()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begin.elapsed()
}

/// A scheduler by hand, connected to one master only, which has declined its offers for half a second.
struct Stubborn {
    stream: TcpStream,
    framework: String,
    stream_id: String,
}

impl Stubborn {
    fn subscribe(master: &Daemon) -> Self {
        let body = r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"stubborn","roles":["stubborn"],"capabilities":[{"type":"MULTI_ROLE"}]}}}"#;
        let mut stream = TcpStream::connect(("127.0.0.1", master.port)).unwrap();
        stream.set_read_timeout(Some(10 * SECOND)).unwrap();
        stream.write_all(&Self::request(body, "")).unwrap();
        let mut text = String::new();
        let mut buffer = [0_u8; 65_536];
        while !text.contains("\"type\":\"OFFERS\"") {
            let size = stream.read(&mut buffer).unwrap();
            assert!(size > 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..size]));
        }
        let after = |mark: &str| {
            let at = text.to_ascii_lowercase().find(mark).unwrap() + mark.len();
            let end = text[at..].find(['"', '\r']).unwrap();
            text[at..at + end].trim().to_owned()
        };
        let framework = after("\"framework_id\":{\"value\":\"");
        let stream_id = after("mesos-stream-id:");
        let offers: Vec<String> = text
            .split('"')
            .filter(|word| word.contains("-O"))
            .map(|id| format!("{{\"value\":\"{id}\"}}"))
            .collect();
        let stubborn = Self {
            stream,
            framework,
            stream_id,
        };
        let decline = format!(
            r#""type":"DECLINE","decline":{{"offer_ids":[{}],"filters":{{"refuse_seconds":0.5}}}}"#,
            offers.join(",")
        );
        let (head, _) = master.exchange(&stubborn.call(&decline));
        assert!(head.starts_with("HTTP/1.1 202"), "{head}");
        stubborn
    }

    fn request(body: &str, headers: &str) -> Vec<u8> {
        format!(
            "POST /api/v1/scheduler HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    fn call(&self, rest: &str) -> Vec<u8> {
        let body = format!(
            r#"{{"framework_id":{{"value":"{}"}},{rest}}}"#,
            self.framework
        );
        let headers = format!(
            "Mesos-Stream-Id: {}\r\nConnection: close\r\n",
            self.stream_id
        );
        Self::request(&body, &headers)
    }

    /// Everything that still comes.
    fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        // The end may be a reset.
        let _ = self.stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn leaders_die_freeze_and_leave_and_no_task_notices() {
    let Some(ensemble) = Ensemble::start("zookeeper: failover", 1) else {
        return;
    };
    let mut cluster = Cluster::start(&ensemble.url("/mesos"), 3, 2);
    let marks = tempfile::tempdir().unwrap();
    let framework = Framework::start(&cluster.url);
    let mut tasks: Vec<String> = Vec::new();
    for number in 0..4 {
        tasks.push(format!("task-{number}"));
        framework.launch(&tasks[number], marks.path()).await;
    }
    let running = |tasks: &[String]| tasks.iter().all(|task| framework.is_running(task));
    until(&cluster, "the tasks run", 60 * SECOND, || running(&tasks)).await;
    until(&cluster, "all is there", 20 * SECOND, || {
        is_whole(&cluster, 4)
    })
    .await;

    // Standbys answer for themselves and send others on.
    let leader = cluster.leader().unwrap();
    let standby = &cluster.masters[(leader + 1) % 3];
    let at = format!("127.0.0.1:{}", cluster.masters[leader].port);
    let (head, _) = standby.get("/state?jsonp=x");
    assert!(head.starts_with("HTTP/1.1 307"), "{head}");
    let head = head.to_ascii_lowercase();
    assert!(
        head.contains(&format!("location: //{at}/master/state?jsonp=x\r\n")),
        "{head}"
    );
    let subscribe = "POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                     Content-Length: 0\r\n\r\n";
    let (head, _) = standby.exchange(subscribe.as_bytes());
    let head = head.to_ascii_lowercase();
    let there = format!("location: //{at}/master/api/v1/scheduler\r\n");
    assert!(
        head.starts_with("http/1.1 307") && head.contains(&there),
        "{head}"
    );
    let (head, _) = standby.get("/redirect");
    assert!(
        head.to_ascii_lowercase()
            .contains(&format!("location: //{at}\r\n")),
        "{head}"
    );
    let (head, _) = standby.get("/health");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let (_, metrics) = standby.get("/metrics/snapshot");
    assert!(metrics.contains("\"master/elected\":0"), "{metrics}");

    // Killed.
    let begin = Instant::now();
    cluster.masters[leader].signal(Signal::SIGKILL);
    cluster.masters.remove(leader);
    until(&cluster, "all is back after a kill", 60 * SECOND, || {
        is_whole(&cluster, 4)
    })
    .await;
    let back = begin.elapsed();
    eprintln!("leader killed, all is back after {back:?} (session {SESSION:?})");
    // What comes after the session is a second on a quiet machine; pauses that grew meanwhile were five.
    assert!(back < SESSION + 3 * SECOND, "{back:?}\n{}", cluster.logs());
    tasks.push("after-kill".to_owned());
    framework.launch("after-kill", marks.path()).await;
    until(&cluster, "a new task runs", 60 * SECOND, || running(&tasks)).await;
    eprintln!(
        "leader killed, a new task runs after {:?} (session {SESSION:?})",
        begin.elapsed()
    );
    cluster.add_master();

    // Stopped for longer than its session, then woken.
    let leader = cluster.leader().unwrap();
    let stubborn = tokio::task::block_in_place(|| Stubborn::subscribe(&cluster.masters[leader]));
    let begin = Instant::now();
    cluster.masters[leader].signal(Signal::SIGSTOP);
    let elected = || {
        let others = cluster.masters.iter().enumerate();
        others
            .filter(|(number, _)| *number != leader)
            .any(|(_, master)| master.is_elected())
    };
    until(&cluster, "another master leads", 30 * SECOND, elected).await;
    until(&cluster, "all is back after a stop", 60 * SECOND, || {
        is_whole(&cluster, 5)
    })
    .await;
    eprintln!("leader stopped, all is back after {:?}", begin.elapsed());
    let mut question = TcpStream::connect(("127.0.0.1", cluster.masters[leader].port)).unwrap();
    question.set_read_timeout(Some(10 * SECOND)).unwrap();
    question
        .write_all(&stubborn.call(r#""type":"REVIVE","revive":{}"#))
        .unwrap();
    cluster.masters[leader].signal(Signal::SIGCONT);
    let (said, answer) = tokio::task::block_in_place(|| {
        let mut answer = String::new();
        let _ = question.read_to_string(&mut answer);
        (stubborn.rest(), answer)
    });
    for promise in [
        "OFFERS",
        "UPDATE",
        "RESCIND",
        "SUBSCRIBED",
        "MESSAGE",
        "FAILURE",
    ] {
        assert!(
            !said.contains(&format!("\"type\":\"{promise}\"")),
            "woken, it says: {said}"
        );
    }
    let refused = answer.starts_with("HTTP/1.1 307") || answer.starts_with("HTTP/1.1 503");
    assert!(refused, "woken, it answers: {answer}");
    until(&cluster, "one leads", 20 * SECOND, || {
        cluster
            .masters
            .iter()
            .filter(|master| master.is_elected())
            .count()
            == 1
    })
    .await;
    until(&cluster, "all stays", 20 * SECOND, || is_whole(&cluster, 5)).await;

    // Sent away: the others need not wait for the session.
    let leader = cluster.leader().unwrap();
    let begin = Instant::now();
    cluster.masters[leader].signal(Signal::SIGTERM);
    let mut old = cluster.masters.remove(leader);
    until(&cluster, "another master leads", 20 * SECOND, || {
        cluster.leader().is_some()
    })
    .await;
    let elected = begin.elapsed();
    until(
        &cluster,
        "all is back after a handover",
        30 * SECOND,
        || is_whole(&cluster, 5),
    )
    .await;
    eprintln!(
        "handed over: elected after {elected:?}, all is back after {:?}",
        begin.elapsed()
    );
    assert_eq!(old.wait(10 * SECOND), Some(0), "{}", old.log());
    assert!(elected < SESSION, "{elected:?}");

    // By word: the leader stays in the queue, another one leads.
    let before = cluster.leader().unwrap();
    let said = cluster.ask(&["handover"]).unwrap_or_default();
    until(&cluster, "the other master leads", 20 * SECOND, || {
        cluster.leader().is_some_and(|leader| leader != before)
    })
    .await;
    let port = cluster.masters[cluster.leader().unwrap()].port;
    assert_eq!(said["leader"], format!("127.0.0.1:{port}"), "{said}");
    until(&cluster, "all is back after the order", 30 * SECOND, || {
        is_whole(&cluster, 5)
    })
    .await;

    for task in &tasks {
        let mark = std::fs::read_to_string(marks.path().join(task)).unwrap();
        assert_eq!(mark, "started\n", "{task} was started once");
        let states = framework.states.lock().unwrap();
        let bad = states[task].iter().find(|state| state.is_terminal());
        assert_eq!(bad, None, "{task}: {:?}", states[task]);
    }
    let torn_down = framework.handle.teardown().await;
    assert!(torn_down.is_ok(), "{torn_down:?}");
    let none = || is_whole(&cluster, 0);
    until(&cluster, "the tasks are gone", 30 * SECOND, none).await;
    // The registry is readable for people, whoever leads.
    let shown = cluster
        .ask(&["registry", "show", &format!("--zk={}", cluster.url)])
        .unwrap();
    let agents = shown["records"].as_array().unwrap().iter();
    let agents = agents.filter(|record| record["key"].as_str().unwrap().starts_with("agent/"));
    assert_eq!(agents.count(), 2, "{shown}");
    for agent in &mut cluster.agents {
        agent.signal(Signal::SIGTERM);
        assert_eq!(agent.wait(20 * SECOND), Some(0));
    }
}
