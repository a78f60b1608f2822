//! What a user waits for, measured on the real binary: a whole `mesosd run --local`, accept to
//! TASK_RUNNING on a real agent, tasks per second on one agent, launches per second through a master
//! with emulated agents in another process, the restart of an agent with 100 tasks, the change of the
//! leading master with 10,000 emulated agents, and memory.
//!
//! `cargo bench --bench cluster -- [run-local|latency|burst|launches|restart|failover|memory]`; results go
//! to stdout and, one JSON line each, to `target/bench-results.jsonl`. `failover` is in `failover.rs`.

mod daemons;
mod failover;
#[path = "../results/mod.rs"]
mod results;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mesosd::proto::link;
use mesosd::proto::link::agent_link_client::AgentLinkClient;
use mesosd::proto::v1;
use mesosd::proto::v1::scheduler::scheduler_service_client::SchedulerServiceClient;
use mesosd::proto::v1::scheduler::{Call, Event, call};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic::transport::Channel;

use daemons::{
    MESOSD, agent, agent_flags, daemon_at, master, metric, proc_kib, pss_of_all, wait_until,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    if let [mode, master, agents] = arguments.as_slice()
        && mode == "emulate"
    {
        return runtime.block_on(emulate(master.clone(), agents.parse()?));
    }
    if let [mode, url, agents, answers] = arguments.as_slice()
        && mode == "emulate-elected"
    {
        return runtime.block_on(failover::emulate(url, agents.parse()?, answers.as_ref()));
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|one| one == name);
    if wanted("run-local") {
        run_local()?;
    }
    if wanted("latency") {
        runtime.block_on(latency())?;
    }
    if wanted("burst") {
        runtime.block_on(burst())?;
    }
    if wanted("launches") {
        runtime.block_on(launches())?;
    }
    if wanted("restart") {
        runtime.block_on(restart())?;
    }
    if wanted("failover") {
        runtime.block_on(failover::run())?;
    }
    if wanted("memory") {
        runtime.block_on(memory())?;
    }
    Ok(())
}

// Reporting.

fn report(id: &str, parameters: &str, millis: Vec<f64>) -> Result<(), Failure> {
    let times = millis.into_iter().map(|millis| millis / 1e3);
    let times: Vec<Duration> = times.map(Duration::from_secs_f64).collect();
    let shown = results::times(id, parameters, None, &times)?;
    println!("{id:<10} {parameters:<46} {shown}");
    Ok(())
}

fn report_value(id: &str, parameters: &str, value: f64, unit: &str) -> Result<(), Failure> {
    println!("{id:<10} {parameters:<46} {value:.1} {unit}");
    let value = serde_json::json!({
        "id": id, "parameters": parameters, "value": value, "unit": unit,
    });
    Ok(results::line(value)?)
}

// A framework without comfort.

struct Framework {
    client: SchedulerServiceClient<Channel>,
    events: tonic::Streaming<Event>,
    id: v1::FrameworkId,
    stream_id: tonic::metadata::MetadataValue<tonic::metadata::Ascii>,
}

impl Framework {
    async fn subscribe(address: SocketAddr) -> Result<Self, Failure> {
        let channel = Channel::from_shared(format!("http://{address}"))?
            .connect()
            .await?;
        let mut client = SchedulerServiceClient::new(channel);
        let response = client
            .subscribe(Call {
                r#type: Some(call::Type::Subscribe as i32),
                subscribe: Some(call::Subscribe {
                    framework_info: v1::FrameworkInfo {
                        user: "root".into(),
                        name: "bench".into(),
                        checkpoint: Some(true),
                        roles: vec!["bench".into()],
                        capabilities: vec![v1::framework_info::Capability {
                            r#type: Some(v1::framework_info::capability::Type::MultiRole as i32),
                        }],
                        ..v1::FrameworkInfo::default()
                    },
                    ..call::Subscribe::default()
                }),
                ..Call::default()
            })
            .await?;
        let stream_id = response
            .metadata()
            .get("mesos-stream-id")
            .ok_or("no stream id")?
            .clone();
        let mut events = response.into_inner();
        let first = events.next().await.ok_or("no first event")??;
        let subscribed = first
            .subscribed
            .ok_or("the first event is not SUBSCRIBED")?;
        Ok(Self {
            client,
            events,
            id: subscribed.framework_id,
            stream_id,
        })
    }

    async fn call(&mut self, call: Call) -> Result<(), Failure> {
        let mut request = Request::new(Call {
            framework_id: Some(self.id.clone()),
            ..call
        });
        let stream_id = self.stream_id.clone();
        request.metadata_mut().insert("mesos-stream-id", stream_id);
        self.client.call(request).await?;
        Ok(())
    }

    async fn next(&mut self) -> Result<Event, Failure> {
        Ok(self.events.next().await.ok_or("the stream ended")??)
    }

    async fn offer(&mut self) -> Result<v1::Offer, Failure> {
        loop {
            let event = self.next().await?;
            if let Some(offer) = event
                .offers
                .and_then(|offers| offers.offers.into_iter().next())
            {
                return Ok(offer);
            }
        }
    }

    async fn acknowledge(&mut self, status: &v1::TaskStatus) -> Result<(), Failure> {
        let (Some(uuid), Some(agent_id)) = (status.uuid.clone(), status.agent_id.clone()) else {
            return Ok(());
        };
        self.call(Call {
            r#type: Some(call::Type::Acknowledge as i32),
            acknowledge: Some(call::Acknowledge {
                agent_id,
                task_id: status.task_id.clone(),
                uuid,
            }),
            ..Call::default()
        })
        .await
    }

    async fn launch(
        &mut self,
        offer: &v1::Offer,
        task_infos: Vec<v1::TaskInfo>,
    ) -> Result<(), Failure> {
        self.call(Call {
            r#type: Some(call::Type::Accept as i32),
            accept: Some(call::Accept {
                offer_ids: vec![offer.id.clone()],
                operations: vec![v1::offer::Operation {
                    r#type: Some(v1::offer::operation::Type::Launch as i32),
                    launch: Some(v1::offer::operation::Launch { task_infos }),
                    ..v1::offer::Operation::default()
                }],
                filters: Some(v1::Filters {
                    refuse_seconds: Some(0.0),
                }),
            }),
            ..Call::default()
        })
        .await
    }

    async fn plain(&mut self, kind: call::Type) -> Result<(), Failure> {
        self.call(Call {
            r#type: Some(kind as i32),
            ..Call::default()
        })
        .await
    }
}

fn scalar(name: &str, value: f64) -> v1::Resource {
    v1::Resource {
        name: name.into(),
        r#type: v1::value::Type::Scalar as i32,
        scalar: Some(v1::value::Scalar { value }),
        ..v1::Resource::default()
    }
}

fn task(offer: &v1::Offer, name: String, command: &str) -> v1::TaskInfo {
    let allocated = |name, value| v1::Resource {
        allocation_info: Some(v1::resource::AllocationInfo {
            role: Some("bench".into()),
        }),
        ..scalar(name, value)
    };
    v1::TaskInfo {
        name: name.clone(),
        task_id: v1::TaskId { value: name },
        agent_id: offer.agent_id.clone(),
        resources: vec![allocated("cpus", 0.01), allocated("mem", 32.0)],
        command: Some(v1::CommandInfo {
            value: Some(command.into()),
            ..v1::CommandInfo::default()
        }),
        ..v1::TaskInfo::default()
    }
}

// The measurements.

fn run_local() -> Result<(), Failure> {
    let mut millis = Vec::new();
    for _ in 0..30 {
        let start = Instant::now();
        let status = Command::new(MESOSD.as_path())
            .args(["run", "--local", "--", "true"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(format!("run --local: {status}").into());
        }
        millis.push(start.elapsed().as_secs_f64() * 1e3);
    }
    report("run-local", "mesosd run --local -- true", millis)
}

/// One task after another: each is launched on the first offer that comes once the last one has ended.
async fn latency() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let master = master(dir.path())?;
    let _agent = agent(dir.path(), &master)?;
    let mut framework = Framework::subscribe(master.address).await?;
    let (mut running, mut offered) = (Vec::new(), Vec::new());
    let mut offer = Some(framework.offer().await?);
    for number in 0..200 {
        let bundle = offer.take().ok_or("no offer to launch on")?;
        let one = task(&bundle, format!("latency-{number}"), "true");
        let start = Instant::now();
        framework.launch(&bundle, vec![one]).await?;
        let mut ended = None;
        while ended.is_none() || offer.is_none() {
            let event = framework.next().await?;
            if let Some(offers) = event.offers {
                if let Some(ended) = ended {
                    offered.push(millis_since(ended));
                }
                offer = offers.offers.into_iter().next();
            }
            let Some(status) = event.update.map(|update| update.status) else {
                continue;
            };
            match status.state() {
                v1::TaskState::TaskRunning => running.push(millis_since(start)),
                v1::TaskState::TaskFinished => ended = Some(Instant::now()),
                _ => {}
            }
            framework.acknowledge(&status).await?;
        }
    }
    report(
        "latency",
        "accept to TASK_RUNNING, one after another",
        running,
    )?;
    if !offered.is_empty() {
        report("latency", "TASK_FINISHED to the next offer", offered)?;
    }
    framework.plain(call::Type::Teardown).await
}

fn millis_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

async fn burst() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let master = master(dir.path())?;
    let _agent = agent(dir.path(), &master)?;
    let mut framework = Framework::subscribe(master.address).await?;
    let offer = framework.offer().await?;
    let tasks = (0..200)
        .map(|number| task(&offer, format!("burst-{number}"), "sleep 1"))
        .collect();
    let start = Instant::now();
    framework.launch(&offer, tasks).await?;
    let mut millis = Vec::new();
    let mut ended = 0;
    while ended < 200 {
        let event = framework.next().await?;
        if let Some(update) = event.update {
            let status = update.status;
            match status.state() {
                v1::TaskState::TaskRunning => millis.push(millis_since(start)),
                v1::TaskState::TaskFinished => ended += 1,
                v1::TaskState::TaskStarting => {}
                other => return Err(format!("{other:?}: {:?}", status.message).into()),
            }
            framework.acknowledge(&status).await?;
        }
    }
    let last = millis.iter().copied().fold(0.0, f64::max);
    report(
        "burst",
        "200 tasks in one accept, accept to RUNNING",
        millis,
    )?;
    report_value(
        "burst",
        "tasks started per second and agent",
        200.0 / last * 1e3,
        "/s",
    )?;
    framework.plain(call::Type::Teardown).await
}

async fn memory() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let master = master(dir.path())?;
    let agent = agent(dir.path(), &master)?;
    let mut framework = Framework::subscribe(master.address).await?;
    let mut offer = framework.offer().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (name, daemon) in [("master", &master), ("agent", &agent)] {
        let resident = proc_kib(daemon.child.id(), "status", "VmRSS") as f64 / 1024.0;
        report_value("memory", &format!("resident, idle {name}"), resident, "MiB")?;
    }
    let mut at = BTreeMap::new();
    let mut number = 0;
    for count in [20, 120] {
        let tasks: Vec<_> = (number..count)
            .map(|number| task(&offer, format!("memory-{number}"), "sleep 600"))
            .collect();
        number = count;
        let mut left = tasks.len();
        framework.launch(&offer, tasks).await?;
        let mut next = None;
        while left > 0 || next.is_none() {
            let event = framework.next().await?;
            if let Some(offers) = event.offers {
                next = offers.offers.into_iter().next();
            }
            let Some(status) = event.update.map(|update| update.status) else {
                continue;
            };
            if status.state() == v1::TaskState::TaskRunning {
                left -= 1;
            }
            framework.acknowledge(&status).await?;
        }
        offer = next.ok_or("no offer")?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        at.insert(count, pss_of_all());
    }
    let growth = (at[&120].saturating_sub(at[&20])) as f64 / 100.0 / 1024.0;
    report_value(
        "memory",
        "Pss per task, 20 to 120 sleeping tasks",
        growth,
        "MiB",
    )?;
    framework.plain(call::Type::Teardown).await?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    Ok(())
}

/// An agent with 100 tasks is killed and started again: until it has them all back and is registered.
async fn restart() -> Result<(), Failure> {
    const TASKS: usize = 100;
    let dir = tempfile::tempdir()?;
    let master = master(dir.path())?;
    let mut first = agent(dir.path(), &master)?;
    let mut framework = Framework::subscribe(master.address).await?;
    let offer = framework.offer().await?;
    let tasks = (0..TASKS)
        .map(|number| task(&offer, format!("restart-{number}"), "sleep 600"))
        .collect();
    framework.launch(&offer, tasks).await?;
    let mut left = TASKS;
    while left > 0 {
        if let Some(update) = framework.next().await?.update {
            left -= usize::from(update.status.state() == v1::TaskState::TaskRunning);
            framework.acknowledge(&update.status).await?;
        }
    }
    let (mut millis, address) = (Vec::new(), first.address);
    for _ in 0..5 {
        first.child.kill()?;
        first.child.wait()?;
        let start = Instant::now();
        first = daemon_at(
            address,
            dir.path(),
            "agent",
            &agent_flags(dir.path(), &master),
        )?;
        let back = || {
            metric(address, "slave/registered") == Some(1.0)
                && metric(address, "slave/tasks_running") == Some(TASKS as f64)
        };
        wait_until("the tasks are back", Duration::from_secs(60), back).await?;
        millis.push(millis_since(start));
    }
    report(
        "restart",
        "agent with 100 tasks, start to registered",
        millis,
    )?;
    framework.plain(call::Type::Teardown).await?;
    let gone = || metric(address, "slave/executors_running") == Some(0.0);
    wait_until("the tasks end", Duration::from_secs(60), gone).await
}

async fn launches() -> Result<(), Failure> {
    const AGENTS: usize = 100;
    const TASKS: usize = 50_000;
    let dir = tempfile::tempdir()?;
    let master = master(dir.path())?;
    let mut emulator = Command::new(std::env::current_exe()?)
        .args(["emulate", &master.address.to_string(), &AGENTS.to_string()])
        .spawn()?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut framework = Framework::subscribe(master.address).await?;
    let start = Instant::now();
    let (mut launched, mut running) = (0, 0);
    while running < TASKS {
        let event = framework.next().await?;
        if let Some(offers) = event.offers {
            for offer in offers.offers {
                let count = (TASKS - launched).min(100);
                let tasks = (launched..launched + count)
                    .map(|number| task(&offer, format!("launch-{number}"), "true"))
                    .collect();
                launched += count;
                framework.launch(&offer, tasks).await?;
            }
        } else if let Some(update) = event.update
            && update.status.state() == v1::TaskState::TaskRunning
        {
            running += 1;
        }
    }
    let rate = TASKS as f64 / start.elapsed().as_secs_f64();
    report_value(
        "launches",
        "through a master, 100 emulated agents",
        rate,
        "/s",
    )?;
    let _ = emulator.kill();
    let _ = emulator.wait();
    Ok(())
}

/// Agents that say RUNNING to everything, in a process of their own.
async fn emulate(master: String, agents: usize) -> Result<(), Failure> {
    let mut links = Vec::new();
    for number in 0..agents {
        let address = format!("http://{master}");
        links.push(tokio::spawn(async move {
            emulate_one(address, number)
                .await
                .map_err(|error| error.to_string())
        }));
    }
    for link in links {
        link.await??;
    }
    Ok(())
}

async fn emulate_one(address: String, number: usize) -> Result<(), Failure> {
    use link::from_agent::Message as Say;
    use link::from_master::Message as Hear;
    let channel = Channel::from_shared(address)?.connect().await?;
    let (say, said) = mpsc::channel(1024);
    let send = |message| link::FromAgent {
        message: Some(message),
    };
    say.send(send(Say::Register(link::Register {
        agent: v1::AgentInfo {
            hostname: format!("emulated-{number}"),
            ..v1::AgentInfo::default()
        },
        total: vec![scalar("cpus", 1000.0), scalar("mem", 1_000_000.0)],
        version: env!("CARGO_PKG_VERSION").into(),
    })))
    .await?;
    let mut heard = AgentLinkClient::new(channel)
        .connect(ReceiverStream::new(said))
        .await?
        .into_inner();
    let mut draw = 0_u128;
    while let Some(message) = heard.next().await {
        match message?.message {
            Some(Hear::RunTask(run)) => {
                draw += 1;
                let uuid = ((draw << 64) | number as u128).to_be_bytes().to_vec();
                say.send(send(Say::StatusUpdate(link::StatusUpdate {
                    framework_id: run.framework.id.clone().ok_or("a framework without id")?,
                    executor_id: None,
                    status: v1::TaskStatus {
                        task_id: run.task.task_id,
                        agent_id: Some(run.task.agent_id),
                        state: v1::TaskState::TaskRunning as i32,
                        uuid: Some(uuid),
                        ..v1::TaskStatus::default()
                    },
                    latest_state: v1::TaskState::TaskRunning as i32,
                })))
                .await?;
            }
            Some(Hear::Ping(ping)) => {
                let pong = link::Pong {
                    sequence: ping.sequence,
                };
                say.send(send(Say::Pong(pong))).await?;
            }
            _ => {}
        }
    }
    Ok(())
}
