//! Proof that the check of a history finds each thing that must not be, and nothing in a good one.

use std::fs;
use std::time::Duration;

use super::faults::plan;
use super::framework::records;
use super::history::History;

type Case = (&'static str, &'static str, Option<&'static str>);

/// What a framework wrote of its task `t`, what the task wrote, and what is to be found.
const CASES: [Case; 14] = [
    (
        "asks t a|accepted t|update t TASK_RUNNING R S|update t TASK_FINISHED R S",
        "start 1|end 1",
        None,
    ),
    (
        "asks t a|unanswered t x|update t TASK_GONE R S it is gone",
        "",
        None,
    ),
    (
        "asks t a|accepted t|update t TASK_DROPPED R S|update t TASK_DROPPED R S",
        "",
        None,
    ),
    (
        "asks t a|accepted t|update t TASK_FAILED REASON_CONTAINER_LAUNCH_FAILED S",
        "",
        None,
    ),
    (
        "asks t a|accepted t|update t TASK_RUNNING R S",
        "start 1",
        Some("no terminal state"),
    ),
    (
        "asks t a|accepted t|update t TASK_FINISHED R S",
        "start 1|start 2|end 2",
        Some("twice"),
    ),
    (
        "asks t a|unanswered t x|update t TASK_LOST R S",
        "start 1|start 1",
        Some("twice"),
    ),
    (
        "asks t a|accepted t|update t TASK_FAILED R S",
        "",
        Some("never started"),
    ),
    (
        "asks t a|accepted t|update t TASK_DROPPED R S",
        "start 1",
        Some("dropped, and has started"),
    ),
    (
        "asks t a|accepted t|update t TASK_FINISHED R S",
        "start 1",
        Some("has not ended"),
    ),
    (
        "asks t a|accepted t|update t TASK_GONE R S|update t TASK_FINISHED R S",
        "start 1|end 1",
        Some("after its end"),
    ),
    (
        "asks t a|accepted t|update t TASK_DROPPED R S|update t TASK_UNREACHABLE REASON_RECONCILIATION S",
        "",
        None,
    ),
    (
        "asks t a|accepted t|update t TASK_GONE REASON_RECONCILIATION S|update t TASK_FINISHED R S",
        "start 1|end 1",
        Some("after its end"),
    ),
    (
        "asks t a|accepted t|update t TASK_LOST REASON_AGENT_DISCONNECTED S|update t TASK_FINISHED R S",
        "start 1|end 1",
        Some("after its end"),
    ),
];

/// Of a framework whose tasks end with their agents.
const CARELESS: [Case; 6] = [
    (
        "asks t a|accepted t|update t TASK_LOST REASON_AGENT_DISCONNECTED S",
        "start 1",
        None,
    ),
    (
        "asks t a|accepted t|update t TASK_LOST REASON_AGENT_DISCONNECTED S|update t TASK_RUNNING R S|\
         update t TASK_FINISHED R S",
        "start 1|end 1",
        None,
    ),
    (
        "asks t a|accepted t|update t TASK_LOST REASON_AGENT_DISCONNECTED S|update t TASK_RUNNING R S",
        "start 1",
        Some("no terminal state"),
    ),
    (
        "asks t a|accepted t|update t TASK_FINISHED R S|update t TASK_GONE REASON_RECONCILIATION S",
        "start 1|end 1",
        None,
    ),
    (
        "asks t a|accepted t|update t TASK_FINISHED R S|update t TASK_RUNNING REASON_RECONCILIATION S",
        "start 1|end 1",
        Some("after its end"),
    ),
    (
        "asks t a|accepted t|update t TASK_LOST REASON_OTHER S|update t TASK_FINISHED R S",
        "start 1|end 1",
        Some("after its end"),
    ),
];

/// True when all of them are judged as they should be.
pub(crate) fn holds() -> bool {
    let mut holds = true;
    let all = CASES.map(|case| (case, false)).into_iter();
    for ((history, record, expected), careless) in all.chain(CARELESS.map(|case| (case, true))) {
        let dir = tempfile::tempdir().unwrap();
        let lines = |text: &str| {
            let lines = text.split('|').filter(|line| !line.is_empty());
            lines.map(|line| format!("{line}\n")).collect::<Vec<_>>()
        };
        let stamped = lines(history).into_iter().map(|line| format!("1 {line}"));
        fs::write(dir.path().join("history"), stamped.collect::<String>()).unwrap();
        fs::create_dir(records(dir.path())).unwrap();
        if !record.is_empty() {
            fs::write(records(dir.path()).join("t"), lines(record).concat()).unwrap();
        }
        let mut read = History::default();
        read.read(dir.path(), careless);
        let found = read.check();
        let right = match expected {
            None => found.is_empty(),
            Some(part) => found.len() == 1 && found[0].contains(part),
        };
        if !right {
            println!("of {history} with {record}: {found:?} instead of {expected:?}");
            holds = false;
        }
    }
    let minute = Duration::from_secs(60);
    let text = |seed| format!("{:?}", plan(seed, minute));
    if text(1) != text(1) || text(1) == text(2) {
        println!("a plan is not a matter of its seed");
        holds = false;
    }
    holds
}
