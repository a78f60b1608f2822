//! The registry at the size of a large cluster: agents are admitted, marked unreachable, taken back, and
//! half of those that are gone are forgotten, through the same task that a master uses; in a file, and in
//! a real ZooKeeper of one and of three servers. Then the whole is read, as a new leader does.
//!
//! `cargo bench --bench registry -- [agents]`, 50,000 without. Results go to stdout and, one JSON line
//! each, to `target/bench-results.jsonl`.

#[path = "results/mod.rs"]
mod results;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mesosd::base::{AgentId, Timestamp};
use mesosd::election::ZooKeeperUrl;
use mesosd::election::session::{Ensemble as Access, Session};
use mesosd::proto::v1;
use mesosd::registrar::{EmbeddedStorage, Storage, ZooKeeperStorage, recover};
use mesosd::registry::Operation;
use mesosd::testing::ensemble::Ensemble;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let agents = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let agents: usize = agents.unwrap_or(50_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run(agents))
}

async fn run(agents: usize) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let storage = EmbeddedStorage::open(folder.path(), 1)?;
    measure("redb", agents, storage).await?;
    let begin = Instant::now();
    let mut storage = EmbeddedStorage::open(folder.path(), 1)?;
    let read = storage.load().await?;
    report("redb", "open and load", read.agents.len(), begin.elapsed())?;
    let size = std::fs::metadata(folder.path().join("registry.redb"))?.len();
    println!("redb: the file has {} MB", size >> 20);

    for servers in [1, 3] {
        let name = format!("zookeeper-{servers}");
        let Some(ensemble) = Ensemble::start("benches: registry", servers) else {
            println!("{name}: there is no ZooKeeper here");
            continue;
        };
        let url = ensemble.url("/mesos");
        measure(&name, agents, lead(&url).await?).await?;
        let begin = Instant::now();
        let mut storage = lead(&url).await?;
        let read = storage.load().await?;
        report(
            &name,
            "take over and load",
            read.agents.len(),
            begin.elapsed(),
        )?;
    }
    Ok(())
}

async fn lead(url: &str) -> Result<ZooKeeperStorage, Failure> {
    let url: ZooKeeperUrl = url.parse()?;
    let session = Session::open(&Access::new(url, Duration::from_secs(30))).await?;
    session.make_path("/mesos").await?;
    let node = session.enter("/mesos", b"{}").await?;
    let node = format!("/mesos/{node}");
    Ok(ZooKeeperStorage::open(session, &node, "/mesos/registry", 1).await?)
}

/// An agent of the usual size.
fn info(number: usize) -> Arc<v1::AgentInfo> {
    let resource = |name: &str, value| v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..v1::Resource::default()
    };
    let attribute = |name: &str, value: String| v1::Attribute {
        name: name.to_owned(),
        r#type: v1::value::Type::Text.into(),
        text: Some(v1::value::Text { value }),
        ..v1::Attribute::default()
    };
    Arc::new(v1::AgentInfo {
        hostname: format!("agent-{number}.cluster.example"),
        port: Some(5051),
        resources: vec![
            resource("cpus", 64.0),
            resource("mem", 262_144.0),
            resource("disk", 1_000_000.0),
        ],
        attributes: vec![
            attribute("rack", format!("r{}", number / 40)),
            attribute("zone", format!("z{}", number % 3)),
        ],
        ..v1::AgentInfo::default()
    })
}

/// What it is called, how many operations it is, and each of them.
type Step<'a> = (&'a str, usize, &'a dyn Fn(usize) -> Operation);

async fn measure(id: &str, agents: usize, storage: impl Storage) -> Result<(), Failure> {
    let mut recovered = recover::<usize>(storage).await?;
    let name =
        |number: usize| AgentId::new(format!("8f1b3d2c-0000-4000-8000-000000000000-S{number}"));
    let infos: Vec<_> = (0..agents).map(info).collect();
    let at = Timestamp(1_700_000_000_000_000_000);
    let half: Vec<AgentId> = (0..agents / 2).map(name).collect();
    let admit = |number: usize| Operation::AdmitAgent {
        agent_id: name(number),
        info: Arc::clone(&infos[number]),
    };
    let lose = |number: usize| Operation::MarkUnreachable {
        agent_id: name(number),
        at,
    };
    let back = |number: usize| Operation::MarkReachable {
        agent_id: name(number),
        info: Arc::clone(&infos[number]),
    };
    let forget = |_| Operation::Prune {
        agents: half.clone(),
    };
    let steps: [Step<'_>; 5] = [
        ("admit", agents, &admit),
        ("mark unreachable", agents, &lose),
        ("mark reachable", agents, &back),
        ("mark unreachable again", agents, &lose),
        ("forget half of them in one operation", 1, &forget),
    ];
    for (what, count, operation) in steps {
        let begin = Instant::now();
        for number in 0..count {
            recovered.registrar.submit(number, operation(number));
        }
        for _ in 0..count {
            let answer = recovered
                .answers
                .recv()
                .await
                .ok_or("the store has failed")?;
            answer.result?;
        }
        report(id, what, agents, begin.elapsed())?;
    }
    // All are back, so that there is something to load.
    for number in 0..agents {
        recovered.registrar.submit(number, back(number));
    }
    for _ in 0..agents {
        recovered
            .answers
            .recv()
            .await
            .ok_or("the store has failed")?;
    }
    drop(recovered.registrar);
    recovered.task.await??;
    Ok(())
}

fn report(id: &str, what: &str, agents: usize, took: Duration) -> Result<(), Failure> {
    let parameters = format!("{agents} agents: {what}");
    results::times(&format!("registry/{id}"), &parameters, None, &[took])?;
    let seconds = took.as_secs_f64();
    println!("registry/{id:<12} {what:<40} {agents} agents {seconds:8.3} s");
    Ok(())
}
