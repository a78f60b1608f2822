//! Contender and detector, one step at a time.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{Instant, Now, Timestamp};
use crate::election::contender::{self, Contender, Deposed, Timer};
use crate::election::detector::{self, Detector};
use crate::election::info;
use crate::proto::v1;

const TIMEOUT: Duration = Duration::from_secs(10);

fn at(millis: u64) -> Now {
    Now {
        mono: Instant(millis * 1_000_000),
        wall: Timestamp(0),
    }
}

fn contend(
    contender: &mut Contender,
    millis: u64,
    event: contender::Event,
) -> Vec<contender::Effect> {
    let mut effects = Vec::new();
    contender.step(at(millis), event, &mut effects);
    contender.check_invariants();
    effects
}

fn listed(names: &[&str], asked: u64) -> contender::Event {
    contender::Event::Listed {
        nodes: names.iter().map(|&name| name.to_owned()).collect(),
        asked: at(asked).mono,
    }
}

fn answered(sent: u64) -> contender::Event {
    contender::Event::Answered {
        sent: at(sent).mono,
    }
}

const FIRST: &str = "json.info_0000000001";
const SECOND: &str = "json.info_0000000002";

/// A master that leads from millisecond 300 on; its last answered heartbeat was sent at 100.
fn leader() -> Contender {
    let mut contender = Contender::new();
    let opened = contender::Event::Opened { timeout: TIMEOUT };
    let effects = contend(&mut contender, 100, opened);
    assert!(effects.contains(&contender::Effect::Enter));
    assert!(effects.contains(&contender::Effect::Beat));
    let entered = contender::Event::Entered(FIRST.to_owned());
    let effects = contend(&mut contender, 150, entered);
    assert_eq!(effects, [contender::Effect::List]);
    contend(&mut contender, 200, answered(100));
    let effects = contend(
        &mut contender,
        300,
        listed(&[SECOND, FIRST, "registry"], 200),
    );
    let until = at(100 + 6_000).mono;
    let lead = contender::Effect::Lead {
        node: FIRST.to_owned(),
        until,
    };
    assert_eq!(
        effects,
        [lead, contender::Effect::SetTimer(Timer::Lease, until)]
    );
    contender
}

#[test]
fn the_lease_counts_from_when_the_answered_heartbeat_was_sent() {
    let mut contender = leader();
    let effects = contend(&mut contender, 5_000, answered(2_000));
    let until = at(8_000).mono;
    assert_eq!(effects[0], contender::Effect::Extend { until });
    assert_eq!(contend(&mut contender, 5_001, answered(1_000)), []);
    let early = contend(
        &mut contender,
        6_100,
        contender::Event::TimerFired(Timer::Lease),
    );
    assert_eq!(early, [contender::Effect::SetTimer(Timer::Lease, until)]);
    let late = contend(
        &mut contender,
        8_000,
        contender::Event::TimerFired(Timer::Lease),
    );
    assert!(late.contains(&contender::Effect::StepDown(Deposed::Lease)));
    assert!(!contender.leads());
}

#[test]
fn who_stepped_down_leads_again_only_by_a_new_listing() {
    let mut contender = leader();
    contend(
        &mut contender,
        7_000,
        contender::Event::TimerFired(Timer::Lease),
    );
    assert_eq!(
        contend(&mut contender, 7_500, answered(7_400)),
        [contender::Effect::List]
    );
    assert_eq!(contend(&mut contender, 7_600, listed(&[FIRST], 6_900)), []);
    let effects = contend(&mut contender, 7_700, listed(&[FIRST], 7_500));
    assert!(matches!(effects[0], contender::Effect::Lead { .. }));
}

#[test]
fn an_answer_that_comes_after_the_end_of_the_lease_does_not_mend_it() {
    let mut contender = leader();
    // The process stood still: it hears the answer to a later heartbeat before its timer.
    let effects = contend(&mut contender, 6_500, answered(5_000));
    assert!(effects.contains(&contender::Effect::StepDown(Deposed::Lease)));
    assert_eq!(effects.last(), Some(&contender::Effect::List));
    let effects = contend(&mut contender, 6_700, listed(&[FIRST], 6_500));
    assert!(matches!(effects[0], contender::Effect::Lead { .. }));
}

#[test]
fn without_an_answer_nobody_leads() {
    let mut contender = Contender::new();
    contend(
        &mut contender,
        0,
        contender::Event::Opened { timeout: TIMEOUT },
    );
    contend(
        &mut contender,
        1,
        contender::Event::Entered(FIRST.to_owned()),
    );
    assert_eq!(contend(&mut contender, 2, listed(&[FIRST], 1)), []);
    assert_eq!(
        contend(&mut contender, 3, answered(1)),
        [contender::Effect::List]
    );
}

#[test]
fn a_deleted_znode_deposes_and_is_made_again() {
    let mut contender = leader();
    let effects = contend(&mut contender, 400, listed(&[SECOND], 350));
    assert!(effects.contains(&contender::Effect::StepDown(Deposed::Node)));
    assert!(effects.contains(&contender::Effect::Enter));
    let mut contender = leader();
    let effects = contend(
        &mut contender,
        400,
        listed(&[FIRST, "info_0000000000"], 350),
    );
    assert!(effects.contains(&contender::Effect::StepDown(Deposed::Node)));
}

#[test]
fn a_lost_answer_is_looked_for_and_not_guessed() {
    let mut contender = Contender::new();
    contend(
        &mut contender,
        0,
        contender::Event::Opened { timeout: TIMEOUT },
    );
    let lost = contend(&mut contender, 10, contender::Event::EnterLost);
    assert_eq!(lost, [contender::Effect::Find]);
    let failed = contend(&mut contender, 20, contender::Event::FindFailed);
    assert!(matches!(
        failed[0],
        contender::Effect::SetTimer(Timer::Retry, _)
    ));
    let again = contend(
        &mut contender,
        1_020,
        contender::Event::TimerFired(Timer::Retry),
    );
    assert_eq!(again, [contender::Effect::Find]);
    let mut other = Contender::new();
    contend(&mut other, 0, contender::Event::Opened { timeout: TIMEOUT });
    contend(&mut other, 10, contender::Event::EnterLost);
    let nothing = contend(&mut other, 30, contender::Event::Found(None));
    assert_eq!(nothing, [contender::Effect::Enter]);
    let found = contender::Event::Found(Some(FIRST.to_owned()));
    assert_eq!(
        contend(&mut contender, 1_030, found),
        [contender::Effect::List]
    );
}

#[test]
fn the_end_of_the_session_ends_the_leadership() {
    let mut contender = leader();
    let effects = contend(&mut contender, 400, contender::Event::Ended);
    assert_eq!(effects[0], contender::Effect::StepDown(Deposed::Session));
    let mut contender = leader();
    let effects = contend(&mut contender, 400, contender::Event::Resign);
    assert_eq!(effects[0], contender::Effect::StepDown(Deposed::Resigned));
    assert!(effects.contains(&contender::Effect::CloseSession));
    assert_eq!(contend(&mut contender, 401, answered(399)), []);
}

fn detect(detector: &mut Detector, event: detector::Event) -> Vec<detector::Effect> {
    let mut effects = Vec::new();
    detector.step(at(0), event, &mut effects);
    detector.check_invariants();
    effects
}

fn names(names: &[&str]) -> detector::Event {
    detector::Event::Listed(names.iter().map(|&name| name.to_owned()).collect())
}

fn master(port: u32) -> v1::MasterInfo {
    v1::MasterInfo {
        id: port.to_string(),
        ip: u32::from_le_bytes([127, 0, 0, 1]),
        port,
        ..v1::MasterInfo::default()
    }
}

fn content(port: u32) -> Option<Vec<u8>> {
    Some(info::write(&master(port)))
}

#[test]
fn the_first_candidate_is_told_once() {
    use detector::{Effect, Event};
    let mut detector = Detector::new();
    assert_eq!(detect(&mut detector, Event::Opened), [Effect::List]);
    assert_eq!(detect(&mut detector, names(&["registry"])), []);
    assert_eq!(detect(&mut detector, Event::Changed), [Effect::List]);
    let read = detect(&mut detector, names(&[SECOND, FIRST]));
    assert_eq!(read, [Effect::Read(FIRST.to_owned())]);
    let told = detect(&mut detector, Event::Read(FIRST.to_owned(), content(1)));
    assert_eq!(told, [Effect::Leader(Some(Arc::new(master(1))))]);
    detect(&mut detector, Event::Changed);
    assert_eq!(detect(&mut detector, names(&[FIRST])), []);
    detect(&mut detector, Event::Changed);
    let next = detect(&mut detector, names(&[SECOND]));
    assert_eq!(next, [Effect::Read(SECOND.to_owned())]);
    // It goes before it is read.
    let gone = detect(&mut detector, Event::Read(SECOND.to_owned(), None));
    assert_eq!(gone, [Effect::List]);
    assert_eq!(detect(&mut detector, names(&[])), [Effect::Leader(None)]);
}

#[test]
fn an_ensemble_that_is_down_deposes_nobody() {
    use detector::{Effect, Event};
    let mut detector = Detector::new();
    detect(&mut detector, Event::Opened);
    detect(&mut detector, names(&[FIRST]));
    detect(&mut detector, Event::Read(FIRST.to_owned(), content(1)));
    assert_eq!(detect(&mut detector, Event::Ended), []);
    assert_eq!(detect(&mut detector, Event::TimerFired), []);
    assert_eq!(detect(&mut detector, Event::Opened), [Effect::List]);
    assert_eq!(detect(&mut detector, names(&[FIRST])), []);
    detect(&mut detector, Event::Changed);
    let failed = detect(&mut detector, Event::ListFailed);
    assert!(matches!(failed[..], [Effect::SetTimer(_)]));
}

#[test]
fn what_changes_while_it_is_asked_is_asked_again() {
    use detector::{Effect, Event};
    let mut detector = Detector::new();
    detect(&mut detector, Event::Opened);
    assert_eq!(detect(&mut detector, Event::Refresh), []);
    let effects = detect(&mut detector, names(&[FIRST]));
    assert_eq!(effects, [Effect::Read(FIRST.to_owned()), Effect::List]);
}

#[test]
fn a_candidate_that_is_no_master_leads_nobody() {
    use detector::{Effect, Event};
    let mut detector = Detector::new();
    detect(&mut detector, Event::Opened);
    detect(&mut detector, names(&[FIRST]));
    let effects = detect(
        &mut detector,
        Event::Read(FIRST.to_owned(), Some(b"x".to_vec())),
    );
    assert!(matches!(
        effects[..],
        [Effect::Unreadable(_), Effect::Leader(None)]
    ));
}
