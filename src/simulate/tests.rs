//! Scenarios that are small enough to be followed by hand.

use std::time::Duration;

use super::*;

fn scenario(text: &str) -> Scenario {
    Scenario::from_table(text.parse().unwrap()).unwrap()
}

const SMALL: &str = r#"
    duration = "2mins"
    [[agents]]
    count = 2
    resources = "cpus:4;mem:4000"
    attributes = "disk:ssd"
    [[agents]]
    count = 2
    resources = "cpus:4;mem:4000"
    [[frameworks]]
    name = "web"
    role = "web"
    tasks = 4
    task = "cpus:1;mem:100"
    [[frameworks]]
    name = "ci"
    count = 3
    role = "ci-{n}"
    tasks = 6
    batches = 2
    every = "20secs"
    task = "cpus:1;mem:500"
    runs = "5secs"
    tasks_per_offer = 2
    refuses = "1secs"
    suppresses = true
"#;

#[test]
fn everything_is_launched_and_counted() {
    let figures = simulate(&scenario(SMALL)).unwrap();
    assert_eq!(figures.tasks_wanted, 4 + 3 * 12);
    assert_eq!(figures.tasks_launched, figures.tasks_wanted);
    assert_eq!(figures.tasks_finished, 36);
    assert_eq!(figures.lasted.as_secs(), 120);
    assert!(figures.passes > 0 && figures.offers > 12);
    assert!(figures.jain > 0.8 && figures.jain <= 1.0 + 1e-9);
    assert_eq!(figures.jain_by_role.len(), 4);
    let last = figures.samples.last().unwrap();
    assert_eq!((last.cpus, last.shares[1]), (0.25, 0.0));
    let Waits { p50, p90, p99, max } = figures.waits;
    assert!(p50 <= p90 && p90 <= p99 && p99 <= max && max < 60_000.0);
    let csv = csv(&figures);
    assert_eq!(csv.lines().next(), Some("seconds,cpus,mem,\"web\",\"ci\""));
    assert_eq!(csv.lines().count(), 1 + figures.samples.len());
    let picture = svg(&figures, "a < b");
    assert!(picture.starts_with("<svg") && picture.contains("a &lt; b"));
    assert_eq!(picture.matches("<polyline").count(), 3);
    for label in [
        "share of the cluster",
        "virtual time",
        "120 s",
        "75 %",
        ">ci</text>",
    ] {
        assert!(picture.contains(label), "{label}");
    }
}

#[test]
fn one_scenario_is_one_history() {
    let again = || simulate(&scenario(SMALL)).unwrap();
    assert_eq!(again(), again());
}

#[test]
fn pickiness_and_hoarding_are_played() {
    let text = r#"
        duration = "30mins"
        offer_hoarding_timeout = "1mins"
        [[agents]]
        count = 1
        resources = "cpus:4;mem:4000"
        attributes = "disk:hdd"
        [[frameworks]]
        name = "hoarder"
        role = "a"
        tasks = 1
        task = "cpus:1;mem:100"
        only = "disk:ssd"
        hoards = true
        [[frameworks]]
        name = "worker"
        role = "b"
        starts = "10secs"
        tasks = 4
        task = "cpus:1;mem:100"
    "#;
    let figures = simulate(&scenario(text)).unwrap();
    assert_eq!(figures.tasks_launched, 4, "the worker's");
    assert!(figures.offers_rescinded >= 1);
    assert!(figures.waits.max >= 50_000.0, "{:?}", figures.waits);
}

#[test]
fn weights_divide_the_cluster() {
    let text = r#"
        duration = "1mins"
        [[agents]]
        count = 12
        resources = "cpus:1;mem:100"
        [[frameworks]]
        name = "a"
        role = "a"
        tasks = 12
        task = "cpus:1;mem:100"
        [[frameworks]]
        name = "b"
        role = "b"
        tasks = 12
        task = "cpus:1;mem:100"
    "#;
    let mut table: toml::Table = text.parse().unwrap();
    let shares = |table: &toml::Table| {
        let figures = simulate(&Scenario::from_table(table.clone()).unwrap()).unwrap();
        figures.samples.last().unwrap().shares.clone()
    };
    assert_eq!(shares(&table), [0.5, 0.5]);
    change(&mut table, "weights.b=2").unwrap();
    let weighted = shares(&table);
    assert!((weighted[1] - 2.0 / 3.0).abs() < 0.09, "{weighted:?}");
}

#[test]
fn a_change_sets_one_value() {
    let mut table: toml::Table = SMALL.parse().unwrap();
    change(&mut table, "frameworks.1.tasks=7").unwrap();
    change(&mut table, "duration=90secs").unwrap();
    change(&mut table, "allocation_order=strict").unwrap();
    let changed = Scenario::from_table(table.clone()).unwrap();
    assert_eq!(changed.frameworks[1].tasks, 7);
    assert_eq!(changed.duration, Duration::from_secs(90));
    for wrong in [
        "duration",
        "=3",
        "frameworks.9.tasks=1",
        "duration.x=1",
        "a..b=1",
    ] {
        let error = change(&mut table, wrong).unwrap_err();
        assert!(error.to_string().contains(wrong), "{error}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (change_to, named) in [
        ("duraton=1secs", "duraton"),
        ("agents.0.resources=cpus:x", "resources"),
        ("frameworks.0.role=a b", "role"),
        ("frameworks.0.task=cpus:0", "task"),
        ("frameworks.1.every=0secs", "every"),
        ("frameworks.0.tasks_per_offer=0", "tasks_per_offer"),
        ("weights.a=0", "weights.a"),
        ("sample=0secs", "sample"),
        ("frameworks.0.tasks=100000000", "tasks"),
        ("allocation_order=fair", "fair"),
    ] {
        let mut table: toml::Table = SMALL.parse().unwrap();
        change(&mut table, change_to).unwrap();
        let error = Scenario::from_table(table).unwrap_err().to_string();
        assert!(error.contains(named) && !error.contains('\n'), "{error}");
    }
}
