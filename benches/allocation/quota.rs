//! Workloads with quota: LargeAndSmallQuota and NonQuotaVsQuota.

use std::collections::BTreeMap;
use std::time::{Duration, Instant as Clock};

use criterion::Criterion;
use mesosd::allocator::{AllocatorConfig, Sorter};
use mesosd::quota::Quota;
use mesosd::roles::Role;

use crate::workload::{Samples, Workload, agent_id, bag, framework_id};

fn role(number: usize) -> Role {
    Role::parse(&format!("role{number}")).expect("the bench's own name")
}

/// The roles of LargeAndSmallQuota with their quotas. By name the large ones come first.
fn large_and_small_roles(small: usize, large: usize) -> Vec<(Role, Quota)> {
    let named = |kind: &str, count: usize, amounts: &str| -> Vec<(Role, Quota)> {
        let names = (0..count).map(|number| format!("{kind}-quota-role-{number}"));
        let roles = names.map(|name| Role::parse(&name).expect("the bench's own name"));
        roles
            .map(|role| (role.clone(), whole(&role, amounts)))
            .collect()
    };
    let mut all = named("large", large, "cpus:4;mem:4096;disk:4096");
    all.extend(named("small", small, "cpus:1;mem:1024;disk:1024"));
    all
}

/// True when every role has what it is guaranteed.
fn all_is_met(work: &Workload) -> bool {
    let mut quotas = work.allocator.quotas().iter();
    quotas.all(|(role, quota)| {
        let consumed = work.allocator.consumed_quota(role);
        consumed.contains(quota.guarantees())
    })
}

/// Guaranteed and not more.
fn whole(role: &Role, amounts: &str) -> Quota {
    let amounts = bag(amounts).quantities();
    let limits = amounts.iter().map(|(name, most)| (name.clone(), most));
    let limits = limits.collect();
    Quota::new(role, amounts, limits).expect("the bench's own quota")
}

/// `alloc/quota/SMALL-LARGE`, `alloc/quota-random/SMALL-LARGE`.
pub(crate) fn large_and_small(
    criterion: &mut Criterion,
    small: usize,
    large: usize,
    sorter: Sorter,
) {
    let name = match sorter {
        Sorter::Drf => "quota",
        Sorter::Random => "quota-random",
    };
    let id = format!("alloc/{name}/{small}-{large}");
    let agents = small / 5 + 5 * large;
    let names = [
        "set quotas",
        "add A agents",
        "add F frameworks",
        "first pass",
        "nothing to give, nothing touched",
        "nothing to give, one agent touched",
        "nothing to give, 1000 agents touched",
        "nothing to give, periodic pass over all",
        "one task ends, its role is offered that",
    ];
    let mut samples: [Samples; 9] = Default::default();
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                sum += large_and_small_once((small, large, agents), sorter, &mut samples);
            }
            sum
        });
    });
    for (samples, what) in samples.into_iter().zip(names) {
        samples.report(&id, what);
    }
}

fn large_and_small_once(
    (small, large, agents): (usize, usize, usize),
    sorter: Sorter,
    samples: &mut [Samples; 9],
) -> Duration {
    let mut work = Workload::new(AllocatorConfig {
        role_sorter: sorter,
        framework_sorter: sorter,
        ..AllocatorConfig::default()
    });
    let mut clock = Clock::now();
    let lap = |samples: &mut Samples, clock: &mut Clock| {
        let took = clock.elapsed();
        samples.0.push(took);
        *clock = Clock::now();
        took
    };
    let roles = large_and_small_roles(small, large);
    for (role, quota) in &roles {
        work.allocator.set_quota(role, quota);
    }
    lap(&mut samples[0], &mut clock);
    for number in 0..agents {
        work.add_agent(number, "cpus:2;mem:2048;disk:2048", BTreeMap::new());
    }
    lap(&mut samples[1], &mut clock);
    for (number, (role, _)) in roles.iter().enumerate() {
        work.add_framework(number, std::slice::from_ref(role), &[]);
    }
    lap(&mut samples[2], &mut clock);
    let first = work.pass(Duration::from_secs(1));
    samples[3].0.push(first);
    assert!(all_is_met(&work), "everybody has its quota");
    if sorter == Sorter::Drf {
        assert_eq!(work.offers.len(), small + 2 * large, "as in Mesos");
    }
    let given = work.offers.len();
    for (at, touched) in [(4, 0), (5, 1), (6, 1000.min(agents))] {
        for number in 0..touched {
            work.allocator.activate_agent(&agent_id(number));
        }
        samples[at].0.push(work.pass(Duration::from_millis(10)));
    }
    samples[7].0.push(work.pass(Duration::from_secs(2)));
    assert_eq!(work.offers.len(), given, "nothing more is given");
    let ended = work.offers.swap_remove(0);
    work.give_back(&ended, None);
    samples[8].0.push(work.pass(Duration::from_millis(10)));
    assert!(all_is_met(&work), "it is given again");
    first
}

/// `alloc/quota-vs-not/ROLES-on|off`.
pub(crate) fn quota_or_not(criterion: &mut Criterion, roles: usize, with_quota: bool) {
    let id = format!(
        "alloc/quota-vs-not/{roles}-{}",
        if with_quota { "on" } else { "off" }
    );
    let (mut first, mut second) = (Samples::default(), Samples::default());
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let mut work = Workload::new(AllocatorConfig::default());
                for number in 0..roles {
                    let role = role(number);
                    if with_quota {
                        let quota = whole(&role, "cpus:4;mem:4096;disk:4096");
                        work.allocator.set_quota(&role, &quota);
                    }
                    work.add_framework(2 * number, std::slice::from_ref(&role), &[]);
                    work.add_framework(2 * number + 1, &[role], &[]);
                }
                for number in 0..2 * roles {
                    work.add_agent(number, "cpus:2;mem:2048;disk:2048", BTreeMap::new());
                }
                let took = work.pass(Duration::from_secs(1));
                assert_eq!(work.offers.len(), 2 * roles, "every agent is offered");
                first.0.push(took);
                second.0.push(work.pass(Duration::from_secs(1)));
                sum += took;
            }
            sum
        });
    });
    first.report(&id, "first pass");
    second.report(&id, "pass with nothing to give");
}

/// `alloc/metrics/AxF`.
pub(crate) fn metrics(criterion: &mut Criterion, agents: usize, roles: usize) {
    let id = format!("alloc/metrics/{agents}x{roles}");
    let (mut set, mut read) = (Samples::default(), Samples::default());
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let mut work = Workload::new(AllocatorConfig::default());
                for number in 0..agents {
                    let used = bag("cpus:1;mem:512;disk:256").allocate(&role(number % roles));
                    let used = BTreeMap::from([(framework_id(number % roles), used)]);
                    work.add_agent(number, "cpus:2;mem:1024;disk:4096", used);
                }
                let clock = Clock::now();
                for number in 0..roles {
                    let role = role(number);
                    let quota = whole(&role, "cpus:1;mem:512;disk:256");
                    work.allocator.set_quota(&role, &quota);
                }
                set.0.push(clock.elapsed());
                let clock = Clock::now();
                let allocator = &work.allocator;
                let consumed = allocator
                    .quotas()
                    .keys()
                    .map(|r| allocator.consumed_quota(r));
                assert_eq!(
                    consumed.filter(|sum| !sum.is_empty()).count(),
                    roles.min(agents)
                );
                assert!(allocator.metrics().rejections().count() > 0);
                read.0.push(clock.elapsed());
                sum += clock.elapsed();
            }
            sum
        });
    });
    set.report(&id, "set F quotas");
    read.report(&id, "read what every role consumes");
}
