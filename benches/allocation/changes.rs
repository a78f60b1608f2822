//! Workloads about what changes outside of passes: reservations, revives, the order of clients.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant as Clock};

use criterion::Criterion;
use mesosd::allocator::{Allocation, AllocatorConfig};
use mesosd::base::Rng;
use mesosd::resources::{Conversion, Label, Reservation, Resource, Resources, Scalar};
use mesosd::roles::Role;

use crate::workload::{Samples, Workload, agent_id, bag, framework_id};

const SECOND: Duration = Duration::from_secs(1);

fn letters(rng: &mut Rng) -> String {
    (0..36)
        .map(|_| char::from(b'a' + u8::try_from(rng.below(26)).expect("a letter")))
        .collect()
}

/// `alloc/update-op/ROLES-RESERVATIONS`: one agent where every role has labelled reservations of
/// four objects each; one more is reserved and unreserved, 20 times.
pub(crate) fn update_operations(criterion: &mut Criterion, roles: usize, each: usize) {
    let id = format!("alloc/update-op/{roles}-{each}");
    let (mut reserve, mut unreserve) = (Samples::default(), Samples::default());
    let mut rng = Rng::seeded(1, "update-op");
    let names: Vec<Role> = (0..roles)
        .map(|_| Role::parse(&format!("role-{}", letters(&mut rng))).expect("letters"))
        .collect();
    let objects = |role: &Role, rng: &mut Rng, count: usize| -> Resources {
        let mut level = Reservation::dynamic(role.clone(), None);
        level.labels = [Label {
            key: letters(rng),
            value: None,
        }]
        .into_iter()
        .collect();
        let ports = 31_000 + count;
        let plain = bag(&format!("cpus:1;mem:32;disk:32;ports:[{ports}-{ports}]"));
        let reserved = |item: Resource| item.reserve(level.clone()).expect("plain resources");
        plain.map(reserved)
    };
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let mut work = Workload::new(AllocatorConfig::default());
                let free = 31_000 + roles * each;
                let mut total = bag(&format!(
                    "cpus:100000;mem:10000000;disk:10000000;ports:[20000-30999,{free}-39999]"
                ));
                for (at, name) in names.iter().enumerate() {
                    for which in 0..each {
                        total += &objects(name, &mut rng, at * each + which);
                    }
                    work.add_framework(at, std::slice::from_ref(name), &[]);
                }
                work.add_agent_of(0, total.clone(), &BTreeMap::new());
                work.pass(SECOND);
                let plain = |offer: &&Allocation| offer.resources.cpus() > Scalar::whole(1000);
                let offer = work
                    .offers
                    .iter()
                    .find(plain)
                    .expect("somebody has it")
                    .clone();
                let reserved = objects(&offer.role, &mut rng, roles * each);
                let level = Conversion {
                    consumed: reserved.map(Resource::unreserved).allocate(&offer.role),
                    converted: reserved.allocate(&offer.role),
                };
                let back = Conversion {
                    consumed: level.converted.clone(),
                    converted: level.consumed.clone(),
                };
                let mut change = |conversion: &Conversion| {
                    let clock = Clock::now();
                    let (who, whose) = (&offer.framework, &offer.agent);
                    work.allocator.convert_allocated(who, whose, conversion);
                    clock.elapsed()
                };
                let (mut in_all, mut out_all) = (Duration::ZERO, Duration::ZERO);
                for _ in 0..20 {
                    in_all += change(&level);
                    out_all += change(&back);
                }
                reserve.0.push(in_all);
                unreserve.0.push(out_all);
                sum += in_all + out_all;
            }
            sum
        });
    });
    reserve.report(&id, "20 RESERVE");
    unreserve.report(&id, "20 UNRESERVE");
}

/// `alloc/backlog/AxF`: every framework revives with nothing to give; the passes are coalesced.
pub(crate) fn backlog(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    let id = format!("alloc/backlog/{agents}x{frameworks}");
    let (mut calls, mut passes) = (Samples::default(), Samples::default());
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let mut work = Workload::new(AllocatorConfig::default());
                for number in 0..frameworks {
                    work.add_framework(number, &[Role::DEFAULT], &[]);
                }
                let used = bag("cpus:24;mem:4096").allocate(&Role::DEFAULT);
                for number in 0..agents {
                    let used = BTreeMap::from([(framework_id(number % frameworks), used.clone())]);
                    work.add_agent(number, "cpus:24;mem:4096", used);
                }
                work.pass(SECOND);
                let runs = work.allocator.metrics().passes;
                let clock = Clock::now();
                for number in 0..frameworks {
                    let id = framework_id(number);
                    work.allocator.revive(&id, &BTreeSet::new());
                }
                calls.0.push(clock.elapsed());
                passes.0.push(work.pass(Duration::from_millis(10)));
                sum += clock.elapsed();
                let more = work.allocator.metrics().passes - runs;
                assert!(more <= 1, "{frameworks} revives gave {more} passes");
            }
            sum
        });
    });
    calls.report(&id, "F revives");
    passes.report(&id, "the pass after them");
}

/// The roles of a tree of this height, where every role but the lowest has so many below it.
fn tree(height: usize, branching: usize) -> Vec<Role> {
    let mut level = vec![String::new()];
    let mut all = Vec::new();
    for _ in 1..height {
        level = level
            .iter()
            .flat_map(|above| (0..branching).map(move |at| format!("{above}/r{at}")))
            .collect();
        all.extend_from_slice(&level);
    }
    let roles = all.iter();
    roles
        .map(|path| Role::parse(path.trim_start_matches('/')).expect("the bench's own path"))
        .collect()
}

/// `sorter/flat/AxC` and `sorter/tree/AxHEIGHT-BRANCHING`: FullSort and HierarchyFullSort. Clients
/// in one role, or one per role at the ends of a tree.
pub(crate) fn sort(criterion: &mut Criterion, agents: usize, shape: Result<usize, (usize, usize)>) {
    let (id, roles) = match shape {
        Ok(clients) => (
            format!("sorter/flat/{agents}x{clients}"),
            vec![Role::DEFAULT; clients],
        ),
        Err((height, branching)) => (
            format!("sorter/tree/{agents}x{height}-{branching}"),
            tree(height, branching),
        ),
    };
    let names = [
        "add clients",
        "add agents with allocations",
        "full sort",
        "sort of what is sorted",
        "remove agents with allocations",
        "remove clients",
    ];
    let mut samples: [Samples; 6] = Default::default();
    let ports: Vec<String> = (0..100)
        .map(|at| format!("{}-{}", 31_000 + at * 10, 31_000 + at * 10 + 4))
        .collect();
    let used = bag(&format!(
        "cpus:16;mem:2014;disk:1024;ports:[{}]",
        ports.join(",")
    ));
    let total = bag("cpus:24;mem:4096;disk:4096;ports:[31000-32000]");
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let mut work = Workload::new(AllocatorConfig {
                    // Sorted, not visited: one agent is.
                    slice_agents: 1,
                    ..AllocatorConfig::default()
                });
                let started = Clock::now();
                let mut clock = Clock::now();
                let mut lap = |at: usize| {
                    samples[at].0.push(clock.elapsed());
                    clock = Clock::now();
                };
                for (number, role) in roles.iter().enumerate() {
                    work.add_framework(number, std::slice::from_ref(role), &[]);
                }
                lap(0);
                for number in 0..agents {
                    let client = number % roles.len();
                    let used = [(framework_id(client), used.allocate(&roles[client]))];
                    work.add_agent_of(number, total.clone(), &used.into());
                }
                lap(1);
                work.now = work.now.after(SECOND);
                work.allocator.run(work.now, &mut work.offers);
                lap(2);
                work.allocator.run(work.now, &mut work.offers);
                lap(3);
                for number in 0..agents {
                    work.allocator.remove_agent(&agent_id(number));
                }
                lap(4);
                for number in 0..roles.len() {
                    work.allocator.remove_framework(&framework_id(number));
                }
                lap(5);
                sum += started.elapsed();
            }
            sum
        });
    });
    for (samples, what) in samples.into_iter().zip(names) {
        samples.report(&id, what);
    }
}
