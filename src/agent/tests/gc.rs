//! Sandboxes go by age, sooner on a full disk.

use super::*;

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// A rig with one abandoned sandbox.
fn abandoned() -> Rig {
    let mut rig = Rig::registered();
    let container = rig.running(framework(), "t");
    rig.ended(&container, Ended::default());
    rig.take();
    rig
}

fn removals(effects: &[Effect]) -> Vec<std::path::PathBuf> {
    let path = |effect: &Effect| match effect {
        Effect::RemovePath { path } => Some(path.clone()),
        _ => None,
    };
    effects.iter().filter_map(path).collect()
}

#[test]
fn the_fuller_the_disk_the_younger_they_go() {
    // Headroom 0.1: nothing used allows 0.9 weeks, half used 0.4, nearly full none.
    for (permille, tenths) in [(0, 9), (500, 4), (900, 0), (1000, 0)] {
        let mut rig = abandoned();
        if tenths > 0 {
            rig.pass(WEEK / 10 * tenths - Duration::from_secs(1));
            rig.step(Event::DiskUsage { permille });
            assert!(removals(&rig.take()).is_empty(), "young at {permille}");
        }
        rig.pass(Duration::from_secs(1));
        rig.step(Event::DiskUsage { permille });
        assert_eq!(removals(&rig.take()).len(), 1, "old at {permille}");
    }
}

#[test]
fn a_failed_deletion_is_tried_again() {
    let mut rig = abandoned();
    rig.pass(WEEK);
    for result in [Err("busy".to_owned()), Ok(())] {
        rig.step(Event::DiskUsage { permille: 0 });
        let path = removals(&rig.take()).remove(0);
        // While it is being deleted nobody asks again.
        rig.step(Event::DiskUsage { permille: 0 });
        assert!(removals(&rig.take()).is_empty());
        rig.step(Event::PathRemoved { path, result });
    }
    let snapshot = rig.snapshot();
    assert_eq!(snapshot.gc_pending, 0);
    assert_eq!(snapshot.counters.path_removals_failed, 1);
    assert_eq!(snapshot.counters.path_removals_succeeded, 1);
}

#[test]
fn the_disk_is_looked_at_every_minute() {
    let mut rig = Rig::registered();
    let mut effects = Effects::new();
    rig.agent.start(rig.now, &mut effects);
    let at = timer_at(effects.as_slice(), &TimerKey::GarbageCollection).unwrap();
    assert_eq!(at.since(rig.now.mono), Duration::from_secs(60));
    rig.step(Event::TimerFired(TimerKey::GarbageCollection));
    assert!(matches!(rig.take()[..], [Effect::MeasureDisk]));
    rig.step(Event::DiskUsage { permille: 0 });
    assert!(timer_at(&rig.take(), &TimerKey::GarbageCollection).is_some());
}

#[test]
fn what_earlier_lives_left_has_its_age_and_the_living_stay() {
    let mut rig = Rig::registered();
    rig.run(framework(), command_task("t"));
    let live = launched(&rig.take()).sandbox.clone();
    let (old, young) = (std::path::PathBuf::from("/w/old"), "/w/young".into());
    rig.step(Event::SandboxesFound {
        sandboxes: vec![
            (live, WEEK),
            (old.clone(), WEEK),
            (young, Duration::from_secs(60)),
        ],
    });
    rig.take();
    rig.step(Event::DiskUsage { permille: 0 });
    assert_eq!(removals(&rig.take()), [old]);
    rig.pass(WEEK);
    rig.step(Event::DiskUsage { permille: 0 });
    assert_eq!(
        removals(&rig.take()),
        [std::path::PathBuf::from("/w/young")]
    );
}
