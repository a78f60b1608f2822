//! What all workloads are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant as Clock};

use mesosd::allocator::{
    AgentSpec, Allocation, Allocator, AllocatorConfig, Capabilities, Capability, Filter,
    FrameworkSpec,
};
use mesosd::attributes::parse as parse_attributes;
use mesosd::base::{AgentId, FrameworkId, Instant};
use mesosd::resources::{Resources, parse};
use mesosd::roles::Role;

/// Mesos' benchmark declines for `INT_MAX` seconds.
pub(crate) const FOR_GOOD: Filter = Filter {
    refuse_for: Duration::from_secs(i32::MAX as u64),
    offer: 0,
};

/// Resources in Mesos' text form.
pub(crate) fn bag(text: &str) -> Resources {
    parse(text, &Role::DEFAULT).expect("the bench's own text")
}

/// An agent's id as a master gives it.
pub(crate) fn agent_id(number: usize) -> AgentId {
    AgentId::new(format!("8e4a9f6e-5c32-4ae1-8e3b-000000000000-S{number}"))
}

/// A framework's id as a master gives it.
pub(crate) fn framework_id(number: usize) -> FrameworkId {
    FrameworkId::new(format!("8e4a9f6e-5c32-4ae1-8e3b-000000000000-{number:04}"))
}

/// A number in the environment.
pub(crate) fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// An allocator, the offers that are out and the time.
pub(crate) struct Workload {
    pub(crate) allocator: Allocator,
    pub(crate) now: Instant,
    pub(crate) offers: Vec<Allocation>,
}

impl Workload {
    pub(crate) fn new(config: AllocatorConfig) -> Self {
        Self {
            allocator: Allocator::new(config),
            now: Instant(0),
            offers: Vec::new(),
        }
    }

    /// Adds a framework that can handle these things.
    pub(crate) fn add_framework(&mut self, number: usize, roles: &[Role], can: &[Capability]) {
        let spec = FrameworkSpec {
            roles: roles.iter().cloned().collect::<BTreeSet<Role>>(),
            capabilities: can.iter().copied().collect::<Capabilities>(),
            ..FrameworkSpec::default()
        };
        let id = framework_id(number);
        self.allocator.add_framework(&id, &spec, &BTreeMap::new());
    }

    /// Adds an agent with what frameworks use on it.
    pub(crate) fn add_agent(
        &mut self,
        number: usize,
        total: &str,
        used: BTreeMap<FrameworkId, Resources>,
    ) {
        self.add_agent_of(number, bag(total), &used);
    }

    /// The same, from resources that have no text form.
    pub(crate) fn add_agent_of(
        &mut self,
        number: usize,
        total: Resources,
        used: &BTreeMap<FrameworkId, Resources>,
    ) {
        let spec = AgentSpec {
            total,
            ..AgentSpec::default()
        };
        self.allocator.add_agent(agent_id(number), spec, used);
    }

    /// Adds an idle agent that is described like this.
    pub(crate) fn add_agent_with(&mut self, number: usize, total: &str, attributes: &str) {
        let spec = AgentSpec {
            total: bag(total),
            attributes: parse_attributes(attributes).expect("the bench's own text"),
            ..AgentSpec::default()
        };
        let id = agent_id(number);
        self.allocator.add_agent(id, spec, &BTreeMap::new());
    }

    /// One pass, all of its slices, so long after the last.
    pub(crate) fn pass(&mut self, later: Duration) -> Duration {
        self.now = self.now.after(later);
        let started = Clock::now();
        while self.allocator.run(self.now, &mut self.offers).more {}
        started.elapsed()
    }

    /// Gives one offer back.
    pub(crate) fn give_back(&mut self, offer: &Allocation, filter: Option<Filter>) {
        self.allocator.recover(
            &offer.framework,
            &offer.agent,
            &offer.resources,
            filter,
            self.now,
        );
    }

    /// Gives one offer back of which nothing was used, as a scheduler's DECLINE does.
    pub(crate) fn decline(&mut self, offer: &Allocation, filter: Filter) {
        let (who, whose) = (&offer.framework, &offer.agent);
        let filter = Some(filter);
        self.allocator
            .decline(who, whose, &offer.resources, filter, self.now);
    }

    /// Gives all offers back.
    pub(crate) fn give_all_back(&mut self, filter: Option<Filter>) {
        for offer in std::mem::take(&mut self.offers) {
            self.give_back(&offer, filter);
        }
    }
}

/// Individual times of one kind of event.
#[derive(Default)]
pub(crate) struct Samples(pub(crate) Vec<Duration>);

impl Samples {
    fn at(&self, per_mille: usize) -> f64 {
        let last = self.0.len() - 1;
        self.0[(last * per_mille).div_ceil(1000)].as_secs_f64() * 1e3
    }

    /// Prints and keeps the distribution.
    pub(crate) fn report(mut self, id: &str, what: &str) {
        if self.0.is_empty() {
            return;
        }
        self.0.sort_unstable();
        let [p50, p90, p99, max] = [500, 900, 990, 1000].map(|per_mille| self.at(per_mille));
        let (min, n) = (self.at(0), self.0.len());
        println!(
            "{id} {what}: min {min:.3} ms, p50 {p50:.3} ms, p90 {p90:.3} ms, p99 {p99:.3} ms, max {max:.3} ms, n {n}"
        );
        if cfg!(debug_assertions) {
            println!("not kept: this is no release build");
            return;
        }
        let commit = std::process::Command::new("git")
            .args(["rev-parse", "--short", "HEAD"])
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
            .unwrap_or_default();
        // `alloc/decline/1000x100` is the bench `alloc/decline` with the parameters `1000x100`.
        let (bench, parameters) = id.rsplit_once('/').unwrap_or((id, ""));
        let line = serde_json::json!({
            "id": bench, "parameters": parameters, "what": what, "commit": commit,
            "min": min, "p50": p50, "p90": p90, "p99": p99, "max": max, "n": n,
        });
        let folder = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let path = Path::new(&folder).join("bench-results.jsonl");
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(path);
        if let Ok(mut file) = file {
            // A result that cannot be kept was printed all the same.
            let _ = writeln!(file, "{line}");
        }
    }
}
