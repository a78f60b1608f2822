//! Workloads in which time passes: a busy cluster, frameworks that refuse for no time, and Mesos'
//! MultiFrameworkAllocations. Time is virtual; what the allocator's own work takes is added to it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant as Clock};

use criterion::Criterion;
use mesosd::allocator::{Allocation, AllocationOrder, AllocatorConfig, Filter, FrameworkSpec};
use mesosd::attributes::{OfferConstraints, PatternLimits};
use mesosd::base::{AgentId, FrameworkId, Instant, Rng};
use mesosd::proto::v1::scheduler;
use mesosd::resources::Resources;
use mesosd::roles::Role;

use crate::rounds::touch;
use crate::workload::{Samples, Workload, bag, framework_id};

const SECOND: Duration = Duration::from_secs(1);

/// Runs slices until the pass is over; each takes as long as it takes.
fn pass(work: &mut Workload, found: &mut Vec<Allocation>) -> Duration {
    let mut sum = Duration::ZERO;
    loop {
        let clock = Clock::now();
        let more = work.allocator.run(work.now, found).more;
        let took = clock.elapsed();
        sum += took;
        work.now = work.now.after(took);
        if !more {
            return sum;
        }
    }
}

/// `alloc/steady/AxF`: a full cluster of 2 tasks per agent, of which 1 % end per second. Of two
/// frameworks one declines with the default filter of 5 s, the other takes what it is offered.
/// Measured is the time from a task's end, or a decline, until somebody is offered the resources.
pub(crate) fn steady(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    let id = format!("alloc/steady/{agents}x{frameworks}");
    let (mut latency, mut passes) = (Samples::default(), Samples::default());
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            if latency.0.is_empty() {
                steadily(agents, frameworks, &mut latency, &mut passes);
            }
            passes
                .0
                .iter()
                .cycle()
                .take(usize::try_from(times).unwrap_or(1))
                .sum()
        });
    });
    latency.report(&id, "event to offer");
    passes.report(&id, "pass");
}

fn steadily(agents: usize, frameworks: usize, latency: &mut Samples, passes: &mut Samples) {
    const SECONDS: u32 = 10;
    let mut work = Workload::new(AllocatorConfig::default());
    for number in 0..frameworks {
        work.add_framework(number, &[Role::DEFAULT], &[]);
    }
    let task = bag("cpus:2;mem:1024").allocate(&Role::DEFAULT);
    let mut tasks: Vec<(FrameworkId, AgentId)> = Vec::new();
    for number in 0..agents {
        let used = [number, number + frameworks / 2].map(|at| framework_id(at % frameworks));
        let agent = crate::workload::agent_id(number);
        tasks.extend(used.iter().map(|id| (id.clone(), agent.clone())));
        let used = used.map(|id| (id, task.clone()));
        work.add_agent(number, "cpus:4;mem:2048", BTreeMap::from(used));
    }
    let busy: BTreeMap<FrameworkId, bool> = (0..frameworks)
        .map(|number| (framework_id(number), number % 2 == 0))
        .collect();
    work.pass(SECOND);
    let mut rng = Rng::seeded(3, "steady");
    let between = SECOND * 100 / u32::try_from(tasks.len()).expect("a cluster");
    let mut due = work.now.after(between);
    let end = work.now.after(SECOND * SECONDS);
    let mut waiting: BTreeMap<AgentId, Instant> = BTreeMap::new();
    while work.now < end {
        let wake = work.allocator.next_wake().map(|at| at.max(work.now));
        if wake.is_none_or(|at| due <= at) {
            work.now = work.now.max(due);
            let at = usize::try_from(rng.below(tasks.len() as u64)).expect("an index");
            let (framework, agent) = tasks.swap_remove(at);
            work.allocator
                .recover(&framework, &agent, &task, None, work.now);
            waiting.entry(agent).or_insert(due);
            due = due.after(between);
            continue;
        }
        work.now = work.now.max(wake.expect("there is one"));
        let mut found = Vec::new();
        passes.0.push(pass(&mut work, &mut found));
        for offer in found {
            if let Some(since) = waiting.remove(&offer.agent) {
                latency.0.push(work.now.since(since));
            }
            if busy[&offer.framework] {
                let pieces = offer.resources.unallocated().quantities();
                let roles = [offer.role].into();
                work.allocator.demand_changed(&offer.framework, &roles);
                let two = bag("cpus:4;mem:2048").quantities() == pieces;
                let held = (offer.framework, offer.agent);
                tasks.extend(std::iter::repeat_n(held, if two { 2 } else { 1 }));
            } else {
                let filter = Filter {
                    refuse_for: SECOND * 5,
                    offer: 0,
                };
                work.decline(&offer, filter);
                waiting.insert(offer.agent, work.now);
            }
        }
    }
}

/// `alloc/refuse-zero/AxF`: everybody declines everything with `refuse_seconds=0` for 10 s. Passes
/// are no more than the minimum gap allows, and nobody sees an agent more than once a second.
pub(crate) fn refuse_zero(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    let id = format!("alloc/refuse-zero/{agents}x{frameworks}");
    let (mut passes, mut offered) = (Samples::default(), 0);
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            if passes.0.is_empty() {
                offered = refusing(agents, frameworks, &mut passes);
            }
            passes
                .0
                .iter()
                .cycle()
                .take(usize::try_from(times).unwrap_or(1))
                .sum()
        });
    });
    if !passes.0.is_empty() {
        let what = format!(
            "pass; {} passes and {offered} offers in 10 s",
            passes.0.len()
        );
        passes.report(&id, &what);
    }
}

fn refusing(agents: usize, frameworks: usize, passes: &mut Samples) -> usize {
    let config = AllocatorConfig::default();
    let (gap, interval) = (config.min_pass_gap, config.allocation_interval);
    let mut work = Workload::new(config);
    for number in 0..frameworks {
        work.add_framework(number, &[Role::DEFAULT], &[]);
    }
    for number in 0..agents {
        work.add_agent(number, "cpus:4;mem:2048", BTreeMap::new());
    }
    let end = work.now.after(10 * SECOND);
    let mut offered = 0;
    while let Some(wake) = work.allocator.next_wake().filter(|wake| *wake < end) {
        work.now = work.now.max(wake);
        let mut found = Vec::new();
        passes.0.push(pass(&mut work, &mut found));
        offered += found.len();
        let filter = Filter {
            refuse_for: Duration::ZERO,
            offer: 0,
        };
        for offer in &found {
            work.decline(offer, filter);
        }
        if work.now >= end {
            break;
        }
    }
    let most = 10 * SECOND.as_millis() / gap.as_millis() + 1;
    let ran = work.allocator.metrics().passes;
    assert!(u128::from(ran) <= most, "{ran} passes");
    let each = 10 * SECOND.as_millis() / interval.as_millis() + 1;
    assert!(
        offered as u128 <= each * (agents * frameworks) as u128,
        "{offered} offers"
    );
    offered
}

/// One kind of frameworks of MultiFrameworkAllocations: name, whether each has a role of its own,
/// how many, tasks of each, one task, tasks per offer.
const KINDS: [(&str, bool, usize, usize, &str, usize); 3] = [
    ("marathon", true, 4, 4000, "cpus:0.07;mem:400", 100),
    ("jenkins", false, 500, 5, "cpus:0.1;mem:4000", 1),
    ("spark", true, 50, 20, "cpus:1;mem:1000", 5),
];

/// What one framework still wants: so many of these tasks, so many at once.
struct Wish(usize, Resources, usize);

/// `alloc/mixed/554-demand|strict`: MultiFrameworkAllocations, 19,500 tasks, until all are launched
/// or for 100 rounds.
pub(crate) fn mixed(criterion: &mut Criterion, order: AllocationOrder) {
    let id = format!("alloc/mixed/554-{order}");
    let mut passes = Samples::default();
    let mut launched = 0;
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            if passes.0.is_empty() {
                launched = mix(order, &mut passes);
            }
            passes
                .0
                .iter()
                .cycle()
                .take(usize::try_from(times).unwrap_or(1))
                .sum()
        });
    });
    if !passes.0.is_empty() {
        let rounds = passes.0.len();
        passes.report(&id, &format!("pass; {launched} tasks in {rounds} rounds"));
    }
}

fn mix(order: AllocationOrder, passes: &mut Samples) -> usize {
    let mut work = Workload::new(AllocatorConfig {
        order,
        ..AllocatorConfig::default()
    });
    for number in 0..80 {
        work.add_agent(number, "cpus:64;mem:488000", BTreeMap::new());
    }
    let mut wishes = BTreeMap::new();
    for (name, own_role, frameworks, tasks, task, at_once) in KINDS {
        for number in 0..frameworks {
            let role = if own_role {
                format!("{name}-{number}")
            } else {
                name.to_owned()
            };
            let role = Role::parse(&role).expect("the bench's own name");
            let at = wishes.len();
            let wish = Wish(tasks, bag(task).allocate(&role), at_once);
            work.add_framework(at, &[role], &[]);
            wishes.insert(framework_id(at), wish);
        }
    }
    let mut launched = 0;
    while launched < 19_500 && passes.0.len() < 100 {
        passes.0.push(work.pass(SECOND));
        for offer in std::mem::take(&mut work.offers) {
            let Wish(left, task, at_once) = wishes.get_mut(&offer.framework).expect("known");
            let (mut rest, mut now) = (offer.resources.clone(), 0);
            while now < (*at_once).min(*left) && rest.contains(task) {
                rest.subtract_all(task);
                now += 1;
            }
            *left -= now;
            launched += now;
            let (who, whose) = (&offer.framework, &offer.agent);
            if now == 0 {
                work.allocator.decline(who, whose, &rest, None, work.now);
            } else {
                work.allocator
                    .demand_changed(who, &[offer.role.clone()].into());
                work.allocator.recover(who, whose, &rest, None, work.now);
            }
        }
    }
    launched
}

/// Three constraints, two of them patterns, that one agent in two satisfies.
fn picky(role: &Role, framework: usize) -> OfferConstraints {
    use scheduler::attribute_constraint::predicate::{
        Exists, Predicate, TextMatches, TextNotMatches,
    };
    use scheduler::attribute_constraint::selector::Selector;
    use scheduler::offer_constraints::{RoleConstraints, role_constraints::Group};

    let constraint = |name: &str, predicate: Predicate| scheduler::AttributeConstraint {
        selector: scheduler::attribute_constraint::Selector {
            selector: Some(Selector::AttributeName(name.to_owned())),
        },
        predicate: scheduler::attribute_constraint::Predicate {
            predicate: Some(predicate),
        },
    };
    let regex = if framework.is_multiple_of(2) {
        "r[02468]"
    } else {
        "r[13579]"
    };
    let group = Group {
        attribute_constraints: vec![
            constraint("os", Predicate::Exists(Exists {})),
            constraint(
                "os",
                Predicate::TextNotMatches(TextNotMatches {
                    regex: "win.*".to_owned(),
                }),
            ),
            constraint(
                "rack",
                Predicate::TextMatches(TextMatches {
                    regex: regex.to_owned(),
                }),
            ),
        ],
    };
    let groups = RoleConstraints {
        groups: vec![group],
    };
    let message = scheduler::OfferConstraints {
        role_constraints: [(role.to_string(), groups)].into(),
    };
    OfferConstraints::from_proto(&message, &[role.clone()].into(), PatternLimits::default())
        .expect("the bench's own constraints")
}

/// `alloc/constraints/AxF`: every framework has three offer constraints; every agent is visited.
pub(crate) fn constraints(criterion: &mut Criterion, agents: usize, frameworks: usize) {
    for wanted in ["any", "picky"] {
        let id = format!("alloc/constraints/{agents}x{frameworks}-{wanted}");
        let mut passes = Samples::default();
        criterion.bench_function(&id, |bencher| {
            bencher.iter_custom(|times| {
                let mut work = Workload::new(AllocatorConfig::default());
                for number in 0..frameworks {
                    let mut spec = FrameworkSpec {
                        roles: [Role::DEFAULT].into(),
                        ..FrameworkSpec::default()
                    };
                    if wanted == "picky" {
                        spec.constraints = picky(&Role::DEFAULT, number);
                    }
                    let id = framework_id(number);
                    work.allocator.add_framework(&id, &spec, &BTreeMap::new());
                }
                for number in 0..agents {
                    let attributes = format!("os:linux;rack:r{}", number % 10);
                    work.add_agent_with(number, "cpus:4;mem:2048", &attributes);
                }
                let mut sum = Duration::ZERO;
                for _ in 0..times {
                    touch(&mut work, agents);
                    let took = work.pass(SECOND);
                    assert_eq!(work.offers.len(), agents, "every agent is offered");
                    work.give_all_back(None);
                    passes.0.push(took);
                    sum += took;
                }
                sum
            });
        });
        passes.report(&id, "pass, all offered");
    }
}
