//! Workloads about who is offered what: labels, suppressed frameworks, persistent volumes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant as Clock};

use criterion::Criterion;
use mesosd::allocator::{AgentSpec, AllocatorConfig, Capability};
use mesosd::resources::{
    Disk, Label, Persistence, Reservation, Resource, Resources, Scalar, Volume,
};
use mesosd::roles::Role;

use crate::workload::{FOR_GOOD, Samples, Workload, agent_id, bag, framework_id};

const SECOND: Duration = Duration::from_secs(1);
const TOTAL: &str = "cpus:24;mem:4096;disk:4096;ports:[31000-32000]";

fn role(name: &str) -> Role {
    Role::parse(name).expect("the bench's own name")
}

/// Two reservations of 8 cpus, of which only the last of 12 labels differs.
fn labelled(agent: usize) -> Resources {
    (0..2)
        .map(|which| {
            let mut level = Reservation::dynamic(role("role1"), None);
            let label = |number: usize| Label {
                key: format!("key{number}"),
                value: Some(match number {
                    11 => format!("agent{agent}-{which}"),
                    _ => "value".to_owned(),
                }),
            };
            level.labels = (0..12).map(label).collect();
            let cpus = Resource::cpus(Scalar::whole(8));
            cpus.reserve(level).expect("cpus can be reserved")
        })
        .collect()
}

/// `alloc/labels/AxF`: DeclineOffers, with what is in use reserved under long labels.
pub(crate) fn labels(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    let id = format!("alloc/labels/{agents}x{frameworks}");
    let rounds = 2 * frameworks;
    let (mut giving, mut idle) = (Samples::default(), Samples::default());
    let mut state: Option<(Workload, usize)> = None;
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let (work, round) =
                    state.get_or_insert_with(|| (labelled_cluster(agents, frameworks), 0));
                work.give_all_back(Some(FOR_GOOD));
                for number in 0..agents {
                    work.allocator.activate_agent(&agent_id(number));
                }
                let took = work.pass(SECOND);
                let samples = if *round < frameworks {
                    &mut giving
                } else {
                    &mut idle
                };
                samples.0.push(took);
                sum += took;
                *round += 1;
                if *round == rounds {
                    state = None;
                }
            }
            sum
        });
    });
    giving.report(&id, "rounds 0 to F-1, all offered");
    idle.report(&id, "rounds F to 2F, nothing to give");
}

fn labelled_cluster(agents: usize, frameworks: usize) -> Workload {
    let mut work = Workload::new(AllocatorConfig::default());
    for number in 0..frameworks {
        work.add_framework(number, &[role("role1")], &[]);
    }
    for number in 0..agents {
        let reserved = labelled(number);
        let used = &bag("mem:2014;disk:1024;ports:[31000-31029,31060-31089]") + &reserved;
        let used = [(
            framework_id(number % frameworks),
            used.allocate(&role("role1")),
        )];
        let total = &bag("cpus:8;mem:4096;disk:4096;ports:[31000-32000]") + &reserved;
        work.add_agent_of(number, total, &used.into());
    }
    work
}

/// `alloc/suppress/AxF`: before each of 5 rounds a fifth of the frameworks suppresses; or
/// `alloc/suppress99/AxF`: 99 of 100 have from the start. Offers come back without filters.
pub(crate) fn suppress(criterion: &mut Criterion, agents: usize, frameworks: usize, extreme: bool) {
    let name = if extreme { "suppress99" } else { "suppress" };
    let id = format!("alloc/{name}/{agents}x{frameworks}");
    let mut passes: [Samples; 5] = Default::default();
    let mut calls = Samples::default();
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let mut work = suppressing_cluster(agents, frameworks);
                for (round, samples) in passes.iter_mut().enumerate() {
                    let (from, to) = match (extreme, round) {
                        (true, 0) => (0, frameworks * 99 / 100),
                        (true, _) => (0, 0),
                        (false, _) => (round * frameworks / 5, (round + 1) * frameworks / 5),
                    };
                    let clock = Clock::now();
                    for number in from..to {
                        let id = framework_id(number);
                        work.allocator.suppress(&id, &BTreeSet::new());
                    }
                    calls.0.push(clock.elapsed());
                    let took = work.pass(SECOND);
                    samples.0.push(took);
                    sum += took;
                    work.give_all_back(None);
                }
            }
            sum
        });
    });
    for (round, samples) in passes.into_iter().enumerate() {
        samples.report(&id, &format!("pass {round}"));
    }
    calls.report(&id, "the calls of a round");
}

fn suppressing_cluster(agents: usize, frameworks: usize) -> Workload {
    let mut work = Workload::new(AllocatorConfig::default());
    for number in 0..frameworks {
        work.add_framework(number, &[Role::DEFAULT], &[]);
    }
    let used = bag("cpus:16;mem:1024;disk:1024;ports:[31000-31029,31060-31089]");
    let used = used.allocate(&Role::DEFAULT);
    for number in 0..agents {
        let used = BTreeMap::from([(framework_id(number % frameworks), used.clone())]);
        work.add_agent(number, TOTAL, used);
    }
    work
}

/// What volumes an agent has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Volumes {
    Regular,
    Shared,
    Mixed,
}

fn volume(agent: usize, which: usize, shared: bool) -> Resource {
    let disk = Resource::disk_space(Scalar::whole(1024));
    let level = Reservation::dynamic(role("test"), None);
    let disk = disk.reserve(level).expect("disk can be reserved");
    let info = Disk {
        persistence: Some(Persistence {
            id: format!("volume-{agent}-{which}"),
            principal: None,
        }),
        volume: Some(Volume {
            container_path: "path".to_owned(),
            read_only: false,
        }),
        ..Disk::default()
    };
    let volume = disk.with_disk(Some(info)).expect("reserved disk");
    volume.with_shared(shared).expect("a persistent volume")
}

/// `alloc/volumes/AxF-KIND`: six rounds over agents with volumes, returned without filters.
pub(crate) fn volumes(criterion: &mut Criterion, agents: usize, frameworks: usize, kind: Volumes) {
    let id = format!("alloc/volumes/{agents}x{frameworks}-{kind:?}").to_lowercase();
    let (mut add, mut passes) = (Samples::default(), Samples::default());
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let mut work = Workload::new(AllocatorConfig::default());
                for number in 0..frameworks {
                    work.add_framework(number, &[role("test")], &[Capability::SharedResources]);
                }
                let clock = Clock::now();
                for number in 0..agents {
                    let mut total =
                        bag("cpus(test):24;mem(test):4096;disk(test):2048;ports:[31000-32000]");
                    let (regular, shared) = match kind {
                        Volumes::Regular => (true, false),
                        Volumes::Shared => (false, true),
                        Volumes::Mixed => (true, true),
                    };
                    if regular {
                        total.add(volume(number, 0, false));
                    }
                    if shared {
                        total.add(volume(number, 1, true));
                    }
                    work.add_agent_of(number, total, &BTreeMap::new());
                }
                add.0.push(clock.elapsed());
                for _ in 0..6 {
                    let took = work.pass(SECOND);
                    assert_eq!(work.offers.len(), agents, "every agent is offered");
                    passes.0.push(took);
                    sum += took;
                    work.give_all_back(None);
                }
            }
            sum
        });
    });
    add.report(&id, "add A agents");
    passes.report(&id, "pass");
}

/// `alloc/agents/AxF`: AddAndUpdateSlave: frameworks, agents that are partly in use, then 10 more
/// revocable cpus on each.
pub(crate) fn add_and_update(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    let id = format!("alloc/agents/{agents}x{frameworks}");
    let names = ["add F frameworks", "add A agents", "update A agents"];
    let mut samples: [Samples; 3] = Default::default();
    let total = bag("cpus:2;mem:1024;disk:4096;ports:[31000-32000]");
    let used = "cpus:1;mem:128;disk:1024;\
                ports:[31126-31510,31512-31623,31810-31852,31854-31964]";
    let used = bag(used).allocate(&Role::DEFAULT);
    let more = bag("cpus:10").map(|item| item.with_revocable(true).expect("plain cpus"));
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let mut work = Workload::new(AllocatorConfig::default());
                let started = Clock::now();
                for number in 0..frameworks {
                    let can = [Capability::RevocableResources];
                    work.add_framework(number, &[Role::DEFAULT], &can);
                }
                samples[0].0.push(started.elapsed());
                let clock = Clock::now();
                for number in 0..agents {
                    let used = [(framework_id(number % frameworks), used.clone())];
                    work.add_agent_of(number, total.clone(), &used.into());
                }
                samples[1].0.push(clock.elapsed());
                let clock = Clock::now();
                for number in 0..agents {
                    let spec = AgentSpec {
                        total: &total + &more,
                        ..AgentSpec::default()
                    };
                    work.allocator.update_agent(&agent_id(number), spec);
                }
                samples[2].0.push(clock.elapsed());
                sum += started.elapsed();
            }
            sum
        });
    });
    for (samples, what) in samples.into_iter().zip(names) {
        samples.report(&id, what);
    }
}
