//! Tests of the allocator as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::{AgentId, FrameworkId, Instant};
use crate::resources::{Resources, parse};
use crate::roles::Role;

use super::*;

mod demand;
mod evidence;
mod laws;
mod lessons;
mod load;
mod multi_framework;
mod properties;
mod reference;

fn bag(text: &str) -> Resources {
    parse(text, &Role::DEFAULT).unwrap()
}

fn role(text: &str) -> Role {
    Role::parse(text).unwrap()
}

fn agent(number: u32) -> AgentId {
    AgentId::new(format!("a{number}"))
}

fn framework(number: u32) -> FrameworkId {
    FrameworkId::new(format!("f{number}"))
}

fn spec(roles: &[&str]) -> FrameworkSpec {
    FrameworkSpec {
        roles: roles.iter().map(|text| role(text)).collect(),
        ..FrameworkSpec::default()
    }
}

fn total(text: &str) -> AgentSpec {
    AgentSpec {
        total: bag(text),
        ..AgentSpec::default()
    }
}

fn at(millis: u64) -> Instant {
    Instant(millis * 1_000_000)
}

fn pass(allocator: &mut Allocator, now: Instant) -> Vec<Allocation> {
    let mut all = Vec::new();
    while allocator.run(now, &mut all).more {}
    allocator.check_invariants();
    all
}

#[test]
fn a_lone_framework_gets_everything_and_nothing_comes_back_at_once() {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    assert_eq!(allocator.next_wake(), None);
    allocator.add_agent(
        agent(1),
        total("cpus:2;mem:100;ports:[1-9]"),
        &BTreeMap::new(),
    );
    assert_eq!(pass(&mut allocator, at(0)), []);
    allocator.add_framework(&framework(1), &spec(&["dev"]), &BTreeMap::new());
    let all = pass(&mut allocator, at(10));
    assert_eq!(all.len(), 1);
    assert_eq!(
        all[0].resources,
        bag("cpus:2;mem:100;ports:[1-9]").allocate(&role("dev"))
    );
    assert!(allocator.available(&agent(1)).unwrap().is_empty());

    let filter = Some(Filter {
        refuse_for: Duration::ZERO,
        offer: 0,
    });
    allocator.recover(&framework(1), &agent(1), &all[0].resources, filter, at(20));
    assert_eq!(pass(&mut allocator, at(30)), []);
    allocator.add_framework(&framework(2), &spec(&["dev"]), &BTreeMap::new());
    let others = pass(&mut allocator, at(40));
    assert_eq!(others[0].framework, framework(2));
    allocator.recover(
        &framework(2),
        &agent(1),
        &others[0].resources,
        filter,
        at(50),
    );
    assert_eq!(pass(&mut allocator, at(60)), []);
    assert_eq!(pass(&mut allocator, at(1019)), []);
    assert_eq!(pass(&mut allocator, at(1030))[0].framework, framework(1));
}

#[test]
fn revive_ends_filters() {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    allocator.add_agent(agent(1), total("cpus:2"), &BTreeMap::new());
    allocator.add_framework(&framework(1), &spec(&["dev"]), &BTreeMap::new());
    let all = pass(&mut allocator, at(0));
    let filter = Some(Filter {
        refuse_for: Duration::from_secs(3600),
        offer: 0,
    });
    allocator.recover(&framework(1), &agent(1), &all[0].resources, filter, at(0));
    assert_eq!(pass(&mut allocator, at(2000)), []);
    allocator.revive(&framework(1), &BTreeSet::new());
    assert_eq!(pass(&mut allocator, at(2010)).len(), 1);
}
