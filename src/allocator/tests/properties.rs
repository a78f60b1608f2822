//! The allocator against the slow, obvious one: same calls, same allocations; and after every call
//! its invariants.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use crate::attributes::{OfferConstraints, PatternLimits};
use crate::base::Instant;
use crate::proto::v1::scheduler;
use crate::quota::Quota;
use crate::resources::{Disk, Persistence, Reservation, ResourceName, Resources, Scalar, Volume};

use super::super::*;
use super::reference::Reference;
use super::{agent, at, bag, framework, role};

const ROLES: [&str; 5] = ["*", "a", "a/b", "a/b/c", "d"];
const TOTALS: [&str; 9] = [
    "cpus:4;mem:1000",
    "cpus:4;mem:500;ports:[1-20]",
    "cpus:2;mem:8000;disk:100;cpus(a):2;mem(a):100",
    "cpus:1;mem:100;mem(a/b):500;disk(d):50",
    "cpus:8;gpus:2;mem:100",
    "cpus:0.005;mem:31;disk:5",
    "cpus:2;mem:500",
    "cpus:3;mem:300;disk:10",
    "cpus:2;mem:200",
];

/// What some kinds of agents have besides: revocable cpus, a shared volume, a refined reservation.
fn special(at: usize) -> Resources {
    let level = |name| Reservation::dynamic(role(name), None);
    match at {
        6 => bag("cpus:4").map(|item| item.with_revocable(true).unwrap()),
        7 => bag("disk:100").map(|item| {
            let disk = Disk {
                persistence: Some(Persistence {
                    id: "v".to_owned(),
                    principal: None,
                }),
                volume: Some(Volume {
                    container_path: "data".to_owned(),
                    read_only: false,
                }),
                source: None,
            };
            let item = item.reserve(level("a")).unwrap();
            item.with_disk(Some(disk))
                .unwrap()
                .with_shared(true)
                .unwrap()
        }),
        8 => bag("cpus:2;mem:64").map(|item| {
            let item = item.reserve(level("a")).unwrap();
            item.reserve(level("a/b")).unwrap()
        }),
        _ => Resources::new(),
    }
}

#[derive(Clone, Debug)]
enum Call {
    AddAgent(u32, usize, Option<(u32, usize)>),
    ReaddAgent(u32, usize, Option<(u32, usize)>),
    UpdateAgent(u32, usize),
    RemoveAgent(u32),
    SetAgentActive(u32, bool),
    AddFramework(u32, FrameworkSpec),
    UpdateFramework(u32, FrameworkSpec),
    RemoveFramework(u32),
    SetFrameworkActive(u32, bool),
    Suppress(u32, BTreeSet<usize>),
    Revive(u32, BTreeSet<usize>),
    /// In thousandths.
    SetWeight(usize, u32),
    /// Guarantees and limits of cpus and mem, in units; without limit where it is below.
    SetQuota(usize, [u32; 2], [u32; 2]),
    /// Which holding, all of it or one entry, with which filter in milliseconds.
    Recover(usize, bool, Option<u64>, Why),
    DemandChanged(u32, BTreeSet<usize>),
    /// After so many milliseconds.
    Run(u64),
}

/// Why something comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Declined, or accepted without having launched anything.
    Unused,
    /// The rest after a launch, or the end of a task.
    Used,
    /// Rescinded.
    Rescinded,
}

fn why() -> impl Strategy<Value = Why> {
    prop_oneof![4 => Just(Why::Unused), 1 => Just(Why::Used), 1 => Just(Why::Rescinded)]
}

fn spec() -> impl Strategy<Value = FrameworkSpec> {
    let roles = proptest::collection::btree_set(0..ROLES.len(), 0..4);
    let own = proptest::option::weighted(0.2, any::<bool>());
    let can = any::<[bool; 5]>();
    let host = proptest::option::weighted(0.2, 0..TOTALS.len());
    (roles, 0_usize..8, can, own, host).prop_map(|(roles, suppressed, can, own, host)| {
        let named: BTreeSet<_> = roles.iter().map(|at| role(ROLES[*at])).collect();
        let least = |any| {
            if any {
                vec![]
            } else {
                vec![bag("mem:200").quantities()]
            }
        };
        FrameworkSpec {
            suppressed_roles: named.iter().skip(suppressed).cloned().collect(),
            min_allocatable: own
                .and_then(|any| Some((named.first()?.clone(), least(any))))
                .into_iter()
                .collect(),
            constraints: host.map(|at| avoiding(at, &named)).unwrap_or_default(),
            roles: named,
            capabilities: [
                Capability::GpuResources,
                Capability::RegionAware,
                Capability::RevocableResources,
                Capability::SharedResources,
                Capability::ReservationRefinement,
            ]
            .into_iter()
            .zip(can)
            .filter_map(|(capability, has)| has.then_some(capability))
            .collect(),
        }
    })
}

/// Wants all agents but those of this kind, under the first of its roles.
fn avoiding(at: usize, roles: &BTreeSet<crate::roles::Role>) -> OfferConstraints {
    use scheduler::attribute_constraint::predicate::{Predicate, TextNotEquals};
    use scheduler::attribute_constraint::selector::{PseudoattributeType, Selector};
    use scheduler::offer_constraints::{RoleConstraints, role_constraints::Group};

    let value = host(at);
    let hostname = Selector::PseudoattributeType(PseudoattributeType::Hostname.into());
    let constraint = scheduler::AttributeConstraint {
        selector: scheduler::attribute_constraint::Selector {
            selector: Some(hostname),
        },
        predicate: scheduler::attribute_constraint::Predicate {
            predicate: Some(Predicate::TextNotEquals(TextNotEquals { value })),
        },
    };
    let groups = vec![Group {
        attribute_constraints: vec![constraint],
    }];
    let first = roles.first().map(ToString::to_string).into_iter();
    let message = scheduler::OfferConstraints {
        role_constraints: first
            .map(|r| {
                (
                    r,
                    RoleConstraints {
                        groups: groups.clone(),
                    },
                )
            })
            .collect(),
    };
    OfferConstraints::from_proto(&message, roles, PatternLimits::default()).unwrap()
}

fn host(kind: usize) -> String {
    format!("host-{kind}")
}

fn call() -> impl Strategy<Value = Call> {
    let roles = || proptest::collection::btree_set(0..ROLES.len(), 0..3);
    let used = || proptest::option::weighted(0.3, (0_u32..6, 0..ROLES.len()));
    prop_oneof![
        3 => (0_u32..6, 0..TOTALS.len(), used()).prop_map(|(a, t, u)| Call::AddAgent(a, t, u)),
        1 => (0_u32..6, 0..TOTALS.len(), used()).prop_map(|(a, t, u)| Call::ReaddAgent(a, t, u)),
        1 => (0_u32..6, 0..TOTALS.len()).prop_map(|(a, t)| Call::UpdateAgent(a, t)),
        1 => (0_u32..6).prop_map(Call::RemoveAgent),
        1 => (0_u32..6, any::<bool>()).prop_map(|(a, on)| Call::SetAgentActive(a, on)),
        3 => (0_u32..6, spec()).prop_map(|(f, s)| Call::AddFramework(f, s)),
        1 => (0_u32..6, spec()).prop_map(|(f, s)| Call::UpdateFramework(f, s)),
        1 => (0_u32..6).prop_map(Call::RemoveFramework),
        1 => (0_u32..6, any::<bool>()).prop_map(|(f, on)| Call::SetFrameworkActive(f, on)),
        1 => (0_u32..6, roles()).prop_map(|(f, r)| Call::Suppress(f, r)),
        1 => (0_u32..6, roles()).prop_map(|(f, r)| Call::Revive(f, r)),
        6 => (any::<usize>(), any::<bool>(), proptest::option::of(0_u64..5000), why())
            .prop_map(|(at, all, filter, why)| Call::Recover(at, all, filter, why)),
        1 => (0_u32..6, roles()).prop_map(|(f, r)| Call::DemandChanged(f, r)),
        1 => (0..ROLES.len(), 1_u32..5000).prop_map(|(r, weight)| Call::SetWeight(r, weight)),
        2 => (0..ROLES.len(), quota_amounts(), quota_amounts())
            .prop_map(|(r, guarantees, limits)| Call::SetQuota(r, guarantees, limits)),
        6 => (0_u64..1500).prop_map(Call::Run),
    ]
}

fn sorter() -> impl Strategy<Value = Sorter> {
    prop_oneof![4 => Just(Sorter::Drf), 1 => Just(Sorter::Random)]
}

fn quota_amounts() -> impl Strategy<Value = [u32; 2]> {
    let cpus = prop_oneof![2 => Just(0_u32), 3 => 1_u32..12];
    let mem = prop_oneof![2 => Just(0_u32), 3 => 1_u32..3000];
    (cpus, mem).prop_map(|(cpus, mem)| [cpus, mem])
}

/// A quota of cpus and mem. A limit below the guarantee is none.
fn quota(guarantees: [u32; 2], limits: [u32; 2]) -> Quota {
    let names = [ResourceName::CPUS, ResourceName::MEM];
    let amounts = names.clone().into_iter().zip(guarantees.map(Scalar::whole));
    let limits = names.into_iter().zip(limits.map(Scalar::whole));
    let limits = limits.zip(guarantees).filter(|((_, limit), least)| {
        *limit >= Scalar::whole(*least) && (!limit.is_zero() || least % 2 == 1)
    });
    let limits = limits.map(|(limit, _)| limit).collect();
    Quota::new(&role("a"), amounts.collect(), limits).unwrap()
}

const STRICT: AllocationOrder = AllocationOrder::Strict;

fn is_sorted(config: &AllocatorConfig) -> bool {
    (config.role_sorter, config.framework_sorter) == (Sorter::Drf, Sorter::Drf)
}

/// Both allocators and the time.
struct Pair {
    fast: Allocator,
    slow: Reference,
    now: Instant,
}

fn named(roles: &BTreeSet<usize>) -> BTreeSet<crate::roles::Role> {
    roles.iter().map(|at| role(ROLES[*at])).collect()
}

fn total(at: usize) -> AgentSpec {
    let mut spec = AgentSpec {
        hostname: host(at).into(),
        region: (at % 3 == 1).then(|| "abroad".into()),
        attributes: crate::attributes::parse(["rack:r1", "rack:r2"][at % 2]).unwrap(),
        ..super::total(TOTALS[at])
    };
    spec.total.add_all(&special(at));
    spec
}

fn used_by(used: Option<(u32, usize)>) -> BTreeMap<crate::base::FrameworkId, Resources> {
    used.map(|(f, r)| (framework(f), bag("cpus:1;mem:64").allocate(&role(ROLES[r]))))
        .into_iter()
        .collect()
}

impl Pair {
    fn new(config: AllocatorConfig) -> Self {
        Self {
            slow: Reference::new(config.clone()),
            fast: Allocator::new(config),
            now: Instant(0),
        }
    }

    fn make(&mut self, call: &Call) {
        match call {
            Call::AddAgent(a, t, used) => {
                if !self.slow.has_agent(&agent(*a)) {
                    let used = used_by(*used);
                    self.fast.add_agent(agent(*a), total(*t), &used);
                    self.slow.add_agent(agent(*a), total(*t), &used);
                }
            }
            Call::ReaddAgent(a, t, used) => {
                let used = used_by(*used);
                self.fast.readd_agent(agent(*a), total(*t), &used);
                self.slow.readd_agent(agent(*a), total(*t), &used);
            }
            Call::UpdateAgent(a, t) => {
                self.fast.update_agent(&agent(*a), total(*t));
                self.slow.update_agent(&agent(*a), total(*t));
            }
            Call::RemoveAgent(a) => {
                self.fast.remove_agent(&agent(*a));
                self.slow.remove_agent(&agent(*a));
            }
            Call::SetAgentActive(a, active) => {
                if *active {
                    self.fast.activate_agent(&agent(*a));
                } else {
                    self.fast.deactivate_agent(&agent(*a));
                }
                self.slow.set_agent_active(&agent(*a), *active);
            }
            Call::AddFramework(f, spec) => {
                self.fast
                    .add_framework(&framework(*f), spec, &BTreeMap::new());
                self.slow.add_framework(&framework(*f), spec);
            }
            Call::UpdateFramework(f, spec) => {
                self.fast.update_framework(&framework(*f), spec);
                self.slow.update_framework(&framework(*f), spec);
            }
            Call::RemoveFramework(f) => {
                self.fast.remove_framework(&framework(*f));
                self.slow.remove_framework(&framework(*f));
            }
            Call::SetFrameworkActive(f, active) => {
                if *active {
                    self.fast.activate_framework(&framework(*f));
                } else {
                    self.fast.deactivate_framework(&framework(*f));
                }
                self.slow.set_framework_active(&framework(*f), *active);
            }
            Call::Suppress(f, roles) => {
                self.fast.suppress(&framework(*f), &named(roles));
                self.slow.suppress(&framework(*f), &named(roles));
            }
            Call::Revive(f, roles) => {
                self.fast.revive(&framework(*f), &named(roles));
                self.slow.revive(&framework(*f), &named(roles));
            }
            Call::SetWeight(at, thousandths) => {
                let weight = Weight::new(f64::from(*thousandths) / 1000.0).unwrap();
                let weights = BTreeMap::from([(role(ROLES[*at]), weight)]);
                self.fast.set_weights(&weights);
                self.slow.set_weight(&role(ROLES[*at]), weight);
            }
            Call::SetQuota(at, guarantees, limits) => {
                let quota = quota(*guarantees, *limits);
                self.fast.set_quota(&role(ROLES[*at]), &quota);
                self.slow.set_quota(&role(ROLES[*at]), &quota);
            }
            Call::Recover(at, all, filter, why) => self.recover(*at, *all, *filter, *why),
            Call::DemandChanged(f, roles) => {
                self.fast.demand_changed(&framework(*f), &named(roles));
                self.slow.demand_changed(&framework(*f), &named(roles));
            }
            Call::Run(millis) => {
                self.now = self.now.after(Duration::from_millis(*millis));
                self.run();
            }
        }
        self.fast.check_invariants();
    }

    fn recover(&mut self, at: usize, all: bool, filter: Option<u64>, why: Why) {
        let count = self.slow.held.len().max(1);
        let Some(((client, on), held)) = self.slow.held.iter().nth(at % count) else {
            return;
        };
        let (client, on) = (client.clone(), on.clone());
        let part: Resources = held.iter().take(if all { 9 } else { 1 }).cloned().collect();
        let refuse_for = filter.map(Duration::from_millis);
        let until = refuse_for.map(|long| self.now.after(long.max(Duration::from_secs(1))));
        let filter = refuse_for.map(|refuse_for| Filter {
            refuse_for,
            offer: 0,
        });
        let given = part.allocate(&client.1);
        let Self { fast, slow, now } = self;
        // Who was asked is not known when the order is random.
        if why == Why::Unused && (is_sorted(&fast.config) || fast.config.order == STRICT) {
            fast.decline(&client.0, &on, &given, filter, *now);
            slow.decline(&client, &on, &part, (until, *now));
            return;
        }
        if why == Why::Used {
            let roles = [client.1.clone()].into();
            fast.demand_changed(&client.0, &roles);
            slow.demand_changed(&client.0, &roles);
        }
        fast.recover(&client.0, &on, &given, filter, *now);
        slow.recover(&client, &on, &part, until);
    }

    /// Runs a slice of both and compares. When the fast one sees no reason for a pass, the slow
    /// one must not find anything to give either, on any agent.
    fn run(&mut self) {
        let mut probe = self.fast.clone();
        probe.expire_filters(self.now);
        let known = probe.pass.take();
        let begins = known.is_none();
        let pass = known.or_else(|| probe.begin(self.now));
        let gap_is_over = self.now >= probe.candidates.earliest(probe.config.min_pass_gap);
        let slice = probe.config.slice_agents;
        if let Some(pass) = pass.as_ref().filter(|_| begins) {
            let agents = pass
                .agents
                .iter()
                .filter_map(|slot| probe.agents.get(*slot));
            let agents: Vec<_> = agents.map(|agent| agent.id.clone()).collect();
            self.slow.begin_pass(&agents);
        }
        let visited: Vec<_> = pass.iter().flat_map(|p| &p.agents[p.next..]).collect();
        let visited = visited.into_iter().take(slice);
        let ids = visited.filter_map(|slot| probe.agents.get(*slot));
        let ids: Vec<_> = ids.map(|agent| agent.id.clone()).collect();

        let guarantees = pass.as_ref().is_some_and(|pass| pass.stage == 0);
        let mut found = Vec::new();
        let outcome = self.fast.run(self.now, &mut found);
        if pass.is_some() {
            self.slow.level();
        }
        if is_sorted(&self.fast.config) {
            let mut expected = Vec::new();
            for id in &ids {
                expected.extend(self.slow.visit(id, guarantees, self.now));
            }
            assert_eq!(found, expected, "at {:?}", self.now);
        } else {
            let mut left = &found[..];
            for id in &ids {
                let here = left.iter().take_while(|one| one.agent == *id).count();
                let (here, others) = left.split_at(here);
                self.slow.follow(id, guarantees, self.now, here);
                left = others;
            }
            assert_eq!(left, [], "at {:?}", self.now);
        }
        if !outcome.more && gap_is_over && !self.fast.candidates.is_dirty() {
            let agents: Vec<_> = self.fast.agent_slots.keys().cloned().collect();
            for id in agents.iter().filter(|id| !ids.contains(id)) {
                for guarantees in [true, false] {
                    let more = self.slow.visit(id, guarantees, self.now);
                    assert_eq!(more, [], "{id} was overlooked");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn gives_what_the_obvious_allocator_gives(
        calls in proptest::collection::vec(call(), 0..80),
        seed: u64,
        slice in prop_oneof![Just(1_usize), Just(1000)],
        gap in prop_oneof![Just(0_u64), Just(400)],
        order in prop_oneof![Just(STRICT), Just(AllocationOrder::Demand)],
        (excluded, filter_gpus, at_home) in any::<(bool, bool, bool)>(),
        (role_sorter, framework_sorter) in (sorter(), sorter()),
    ) {
        let mut pair = Pair::new(AllocatorConfig {
            seed,
            slice_agents: slice,
            order,
            excluded_from_shares: excluded.then_some(ResourceName::MEM).into_iter().collect(),
            filter_gpus,
            role_sorter,
            framework_sorter,
            region: at_home.then(|| "home".into()),
            min_pass_gap: Duration::from_millis(gap),
            ..AllocatorConfig::default()
        });
        for call in &calls {
            pair.make(call);
        }
    }
}

/// A cluster in which most of what happens is that offers come back unused, and time goes by until
/// somebody is asked again.
fn demand_call() -> impl Strategy<Value = Call> {
    let roles = || proptest::collection::btree_set(0..ROLES.len(), 0..3);
    let filter = proptest::option::weighted(0.2, 0_u64..5000);
    prop_oneof![
        2 => call(),
        8 => (any::<usize>(), prop_oneof![6 => Just(true), 1 => Just(false)], filter, why())
            .prop_map(|(at, all, filter, why)| Call::Recover(at, all, filter, why)),
        1 => (0_u32..6, roles()).prop_map(|(f, r)| Call::Suppress(f, r)),
        2 => (0_u32..6, roles()).prop_map(|(f, r)| Call::Revive(f, r)),
        6 => (0_u64..3000).prop_map(Call::Run),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn gives_in_order_of_demand_what_the_obvious_allocator_gives(
        agents in proptest::collection::vec(0..TOTALS.len(), 1..6),
        frameworks in proptest::collection::vec(spec(), 1..6),
        calls in proptest::collection::vec(demand_call(), 0..150),
        seed: u64,
        slice in prop_oneof![Just(1_usize), Just(1000)],
    ) {
        let mut pair = Pair::new(AllocatorConfig {
            seed,
            slice_agents: slice,
            min_pass_gap: Duration::ZERO,
            ..AllocatorConfig::default()
        });
        for (number, at) in (0..).zip(agents) {
            pair.make(&Call::AddAgent(number, at, None));
        }
        for (number, mut spec) in (0..).zip(frameworks) {
            spec.suppressed_roles.clear();
            pair.make(&Call::AddFramework(number, spec));
        }
        for call in &calls {
            pair.make(call);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn same_calls_and_seed_give_the_same(
        calls in proptest::collection::vec(call(), 0..60),
        seed: u64,
    ) {
        let config = AllocatorConfig { seed, ..AllocatorConfig::default() };
        let (mut one, mut other) = (Pair::new(config.clone()), Pair::new(config));
        for call in &calls {
            one.make(call);
            other.make(call);
        }
        prop_assert_eq!(one.slow.held, other.slow.held);
        prop_assert_eq!(one.fast.metrics(), other.fast.metrics());
    }

    #[test]
    fn reservations_stay_in_their_branch(
        calls in proptest::collection::vec(call(), 0..60),
    ) {
        let mut pair = Pair::new(AllocatorConfig::default());
        for call in &calls {
            pair.make(call);
            for ((client, _), held) in &pair.slow.held {
                for item in held {
                    prop_assert!(item.reserved_role().is_none_or(|r| r.covers(&client.1)));
                }
            }
        }
    }

    /// No role has more of what passes gave it than its limit, and what the allocator says of it is
    /// what a sum over everything says.
    #[test]
    fn limits_hold_at_every_level(calls in proptest::collection::vec(call(), 0..80)) {
        let mut pair = Pair::new(AllocatorConfig::default());
        let mut before = BTreeMap::new();
        for call in &calls {
            pair.make(call);
            for (role, quota) in pair.fast.quotas() {
                let consumed = pair.fast.consumed_quota(role);
                for name in [ResourceName::CPUS, ResourceName::MEM] {
                    let now = i128::from(consumed.get(&name).thousandths());
                    prop_assert_eq!(now, pair.slow.consumed(role, &name));
                    let key = (role.clone(), name.clone());
                    let limit = quota.limits().get(&name).map(|limit| limit.thousandths().into());
                    let had = before.insert(key, now).unwrap_or(i128::MAX);
                    if let (Some(limit), Call::Run(_)) = (limit, call) {
                        prop_assert!(now <= had.max(limit), "{role} has {now} of {limit} {name}");
                    }
                }
            }
        }
    }

    #[test]
    fn asking_why_changes_nothing(calls in proptest::collection::vec(call(), 0..60)) {
        let (mut asked, mut other) = (
            Pair::new(AllocatorConfig::default()),
            Pair::new(AllocatorConfig::default()),
        );
        for call in &calls {
            asked.make(call);
            other.make(call);
            for number in 0..6 {
                let _ = asked.fast.explain(&framework(number), asked.now);
            }
        }
        prop_assert_eq!(asked.slow.held, other.slow.held);
    }

    /// After a pass nobody has a reason to expect more: every agent has one for every framework.
    #[test]
    fn every_framework_gets_a_reason(calls in proptest::collection::vec(call(), 0..60)) {
        let mut pair = Pair::new(AllocatorConfig::default());
        for call in &calls {
            pair.make(call);
        }
        // The first may be one that has begun before the last call.
        for _ in 0..2 {
            pair.now = pair.now.after(Duration::from_secs(1));
            pair.run();
            while pair.fast.pass.is_some() {
                pair.run();
            }
        }
        for number in 0..6 {
            let explained = pair.fast.explain(&framework(number), pair.now);
            for role in explained.into_iter().flat_map(|explained| explained.roles) {
                prop_assert!(role.agents.iter().all(|(reason, _)| reason.is_some()));
            }
        }
    }
}

/// With so many refusals, clients are found by their bits instead of one by one.
#[test]
fn finds_the_few_who_have_not_refused() {
    let mut pair = Pair::new(AllocatorConfig::default());
    for number in 0..5 {
        pair.make(&Call::AddAgent(number, (number % 2) as usize, None));
    }
    for number in 0..70 {
        let mut spec = super::spec(if number % 3 == 0 { &["a"] } else { &["a/b"] });
        if number % 7 == 0 {
            let least = vec![bag("mem:600").quantities()];
            spec.min_allocatable = spec
                .roles
                .iter()
                .map(|r| (r.clone(), least.clone()))
                .collect();
        }
        pair.make(&Call::AddFramework(number, spec));
    }
    let mut given = 0;
    for round in 0..90 {
        pair.make(&Call::Run(10));
        given += pair.slow.held.len();
        let keep = usize::from(round % 9 == 0);
        while pair.slow.held.len() > keep {
            pair.make(&Call::Recover(round, true, Some(3_600_000), Why::Rescinded));
        }
    }
    assert!(given > 300, "{given}");
}

#[test]
fn refusing_for_no_time_cannot_spin() {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    allocator.add_agent(agent(1), total(0), &BTreeMap::new());
    for number in 0..3 {
        let spec = super::spec(&["dev"]);
        allocator.add_framework(&framework(number), &spec, &BTreeMap::new());
    }
    let filter = Some(Filter {
        refuse_for: Duration::ZERO,
        offer: 0,
    });
    let mut offers = 0;
    for millis in 0..10_000 {
        let mut found = Vec::new();
        allocator.run(at(millis), &mut found);
        for one in &found {
            offers += 1;
            allocator.recover(
                &one.framework,
                &one.agent,
                &one.resources,
                filter,
                at(millis),
            );
        }
    }
    // Ten seconds, three frameworks: each once per second.
    assert_eq!(offers, 30);
}
