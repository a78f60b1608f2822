//! What an agent keeps across a restart, and the journal that keeps it.

use super::super::checkpoint::{Journal, JournalError, Paths};
use super::*;
use v1::TaskState;

#[test]
fn the_id_and_open_updates_survive() {
    let mut rig = Rig::registered();
    rig.running(durable(), "t");
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    rig.update("t", status("t", TaskState::TaskFinished, 2));
    let mut next = Rig::with(config(), rig.disk.clone());
    next.step(Event::MasterConnected { connection: MASTER });
    let effects = next.take();
    let [link::from_agent::Message::Reregister(message)] = sent(&effects)[..] else {
        panic!("re-registers: {effects:?}");
    };
    assert_eq!(message.agent.id, Some("S0".into()));
    next.master(registered(1));
    let update = update_sent(&next.take());
    assert_eq!(update.status.state(), TaskState::TaskRunning);
    next.acknowledge(&update);
    let update = update_sent(&next.take());
    assert_eq!(update.status.state(), TaskState::TaskFinished);
}

#[test]
fn a_third_life_hears_nothing_of_what_the_first_did_not_end() {
    let mut first = Rig::registered();
    first.running(durable(), "t");
    first.update("t", status("t", TaskState::TaskRunning, 1));
    assert_eq!((first.disk.updates.len(), first.disk.tasks.len()), (1, 1));
    let mut second = Rig::with(config(), first.disk.clone());
    second.step(Event::MasterConnected { connection: MASTER });
    second.take();
    second.master(registered(1));
    second.running(durable(), "u");
    let left: Vec<_> = second.disk.tasks.keys().map(|key| key.1.as_str()).collect();
    assert_eq!(left, ["u"]);
    assert!(second.disk.updates.is_empty(), "{:?}", second.disk.updates);
}

#[test]
fn another_host_name_or_less_memory_is_another_agent() {
    let rig = Rig::registered();
    let mut renamed = config();
    renamed.hostname = "other".into();
    let mut smaller = config();
    smaller.resources = resources(4.0, 1024.0);
    let mut larger = config();
    larger.resources = resources(8.0, 8192.0);
    for (config, kept) in [(renamed, false), (smaller, false), (larger, true)] {
        let next = Rig::with(config, rig.disk.clone());
        assert_eq!(next.snapshot().info.id.is_some(), kept);
    }
}

#[test]
fn the_fewest_records_say_the_same() {
    let mut rig = Rig::registered();
    rig.running(durable(), "a");
    rig.update("a", status("a", TaskState::TaskRunning, 1));
    rig.run(durable(), custom_task("b", "E"));
    let mut again = Checkpointed::default();
    for record in rig.disk.records() {
        again.apply(&record);
    }
    assert_eq!(again, rig.disk);
    assert_eq!(again.tasks.len(), 2);
    assert_eq!(again.executors.len(), 2);
}

#[test]
fn an_ended_task_leaves_nothing_behind() {
    let mut rig = Rig::registered();
    let container = rig.running(durable(), "t");
    rig.update("t", status("t", TaskState::TaskFinished, 1));
    let update = update_sent(&rig.take());
    rig.ended(&container, Ended::default());
    rig.acknowledge(&update);
    let empty = Checkpointed {
        agent: rig.disk.agent.clone(),
        ..Checkpointed::default()
    };
    assert_eq!(rig.disk, empty);
}

/// Writes records through a journal and waits until they are answered.
fn write(paths: &Paths, records: &[Record]) -> Checkpointed {
    let (answers, answered) = std::sync::mpsc::channel();
    let (journal, before) = Journal::open(paths, true, move |answer| {
        drop(answers.send(answer));
    })
    .unwrap();
    for (number, record) in records.iter().enumerate() {
        journal.write(CheckpointToken(number as u64), record.clone());
    }
    for number in 0..records.len() {
        let (token, result) = answered.recv().unwrap();
        assert_eq!(token, CheckpointToken(number as u64));
        assert_eq!(result, Ok(()));
    }
    drop(journal);
    // The thread lets go of the lock when it ends; its side of the channel goes last.
    assert!(answered.recv().is_err());
    before
}

#[test]
fn the_journal_gives_back_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    let mut rig = Rig::registered();
    rig.running(durable(), "t");
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    assert_eq!(write(&paths, &rig.disk.records()), Checkpointed::default());
    assert_eq!(write(&paths, &[]), rig.disk);
    assert_eq!(write(&paths, &[Record::Restarted]), rig.disk);
    rig.disk.restart();
    assert_eq!(write(&paths, &[Record::AgentRemoved]), rig.disk);
    assert_eq!(write(&paths, &[]), Checkpointed::default());
}

#[test]
fn a_torn_end_is_survived_and_a_damaged_middle_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    let rig = Rig::registered();
    let mut records = rig.disk.records();
    let info = std::sync::Arc::new(durable());
    records.push(Record::Framework { info });
    write(&paths, &records);
    let whole = std::fs::read(paths.journal()).unwrap();
    // After the records there is room that nothing was written to.
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    assert!(whole.len() - end > 1 << 16);
    for cut in 1..9 {
        let mut blanked = whole.clone();
        blanked[end - cut..end].fill(0);
        for torn in [&whole[..end - cut], &blanked] {
            std::fs::write(paths.journal(), torn).unwrap();
            let read = write(&paths, &[]);
            assert_eq!(read.agent, rig.disk.agent);
            assert!(read.frameworks.is_empty());
            assert_eq!(read.errors, 0);
        }
    }
    let mut damaged = whole;
    damaged[40] ^= 0xff;
    std::fs::write(paths.journal(), damaged).unwrap();
    let read = write(&paths, &[]);
    assert_eq!(read.agent, None);
    assert_eq!(read.errors, 1);
    assert!(paths.meta().join("journal.damaged").exists());
}

#[test]
fn bytes_after_room_are_damage_and_room_is_made_as_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    let rig = Rig::registered();
    let mut records = rig.disk.records();
    let info = std::sync::Arc::new(v1::FrameworkInfo {
        name: "x".repeat(100_000),
        ..durable()
    });
    let framework = Record::Framework { info };
    records.extend(vec![framework; 20]);
    write(&paths, &records);
    let mut whole = std::fs::read(paths.journal()).unwrap();
    let read = write(&paths, &[]);
    assert_eq!(read.agent, rig.disk.agent);
    assert_eq!((read.frameworks.len(), read.errors), (1, 0));
    *whole.last_mut().unwrap() = 1;
    std::fs::write(paths.journal(), whole).unwrap();
    assert_eq!(write(&paths, &[]).errors, 1);
}

#[test]
fn foreign_files_and_second_agents_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    let first = Journal::open(&paths, true, |_| ()).unwrap();
    let error = Journal::open(&paths, true, |_| ()).unwrap_err();
    assert!(matches!(error, JournalError::InUse(_)), "{error}");
    drop(first);
    let other = tempfile::tempdir().unwrap();
    let paths = Paths::new(other.path());
    std::fs::create_dir_all(paths.meta()).unwrap();
    std::fs::write(paths.journal(), "something else").unwrap();
    let error = Journal::open(&paths, true, |_| ()).unwrap_err();
    assert!(matches!(error, JournalError::Foreign(_)), "{error}");
    assert_eq!(std::fs::read(paths.journal()).unwrap(), b"something else");
}

#[test]
fn a_work_dir_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Journal::open(&Paths::new(&file), true, |_| ()).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("--work_dir: cannot create"), "{text}");
    assert!(text.contains(file.to_str().unwrap()), "{text}");
}
