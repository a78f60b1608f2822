//! The journal that keeps what an agent must not forget: torn, damaged, foreign, of other versions.

use std::path::Path;

use super::super::checkpoint::{Journal, JournalError, Keeping, Paths, parse};
use super::*;
use v1::TaskState;

/// What is damaged is counted.
pub(super) const KEEPING: Keeping = Keeping {
    lasting: true,
    strict: false,
};
/// What is damaged is refused.
const STRICT: Keeping = Keeping {
    lasting: false,
    strict: true,
};

/// Writes records through a journal and waits until they are answered.
fn write(paths: &Paths, records: &[Record]) -> Checkpointed {
    let (answers, answered) = std::sync::mpsc::channel();
    let (journal, before) = Journal::open(paths, KEEPING, move |answer| {
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

/// A journal that an agent with a task has left, without room, and how long its records are.
fn left_behind(paths: &Paths) -> (Vec<u8>, Vec<usize>) {
    let mut rig = Rig::registered();
    rig.running(durable(), "t");
    rig.update("t", status("t", TaskState::TaskRunning, 1));
    let records = rig.disk.records();
    let mut lengths = Vec::new();
    for count in 0..=records.len() {
        std::fs::remove_dir_all(paths.meta()).ok();
        write_kept(paths, &records[..count]);
        lengths.push(std::fs::metadata(paths.journal()).unwrap().len() as usize);
    }
    (std::fs::read(paths.journal()).unwrap(), lengths)
}

fn write_kept(paths: &Paths, records: &[Record]) {
    let (journal, _) = Journal::open(paths, STRICT, |_| ()).unwrap();
    for (number, record) in records.iter().enumerate() {
        journal.write(CheckpointToken(number as u64), record.clone());
    }
    drop(journal);
}

/// What each prefix of whole records says.
fn states(whole: &[u8], lengths: &[usize]) -> Vec<Checkpointed> {
    let states = lengths.iter().map(|length| parsed(&whole[..*length]));
    states.collect()
}

/// What bytes say that are whole or torn.
fn parsed(bytes: &[u8]) -> Checkpointed {
    let (state, damaged) = parse(Path::new("journal"), bytes, true).unwrap();
    assert!(!damaged);
    state
}

#[test]
fn a_journal_torn_at_any_byte_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    let (whole, lengths) = left_behind(&paths);
    let states = states(&whole, &lengths);
    for cut in lengths[0]..=whole.len() {
        for room in [0, 1, 100] {
            let mut torn = whole[..cut].to_vec();
            torn.resize(cut + room, 0);
            // Room reads like the zeros that a record ends with.
            let is_there = |end: &&usize| {
                **end <= cut || (**end <= torn.len() && whole[cut..**end].iter().all(|b| *b == 0))
            };
            let written = lengths.iter().filter(is_there).count();
            assert_eq!(
                parsed(&torn),
                states[written - 1],
                "torn at byte {cut}, room of {room}: what was written before is there, nothing else"
            );
        }
    }
    let last = states.last().unwrap();
    assert_eq!(
        last.records().len(),
        lengths.len() - 1,
        "all of it, in the end"
    );
}

/// A journal whose last record was torn by the end of the process takes the next ones.
#[test]
fn what_is_written_after_a_torn_end_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    let (whole, lengths) = left_behind(&paths);
    let states = states(&whole, &lengths);
    let before_last = lengths.len() - 2;
    for cut in (lengths[before_last]..whole.len()).step_by(7) {
        std::fs::write(paths.journal(), &whole[..cut]).unwrap();
        write_kept(&paths, &[Record::Drained]);
        let (_, read) = Journal::open(&paths, STRICT, |_| ()).unwrap();
        let mut expected = states[before_last].clone();
        expected.apply(&Record::Drained);
        assert_eq!(read, expected, "torn at byte {cut}");
    }
}

#[test]
fn a_byte_that_was_changed_is_refused_or_counted_and_never_believed() {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    let (whole, lengths) = left_behind(&paths);
    let before_last = lengths[lengths.len() - 2];
    let states = states(&whole, &lengths);
    let name = paths.journal();
    for at in lengths[0]..whole.len() {
        for flip in [0x01, 0x10, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] ^= flip;
            match parse(&name, &changed, true) {
                Ok((read, _)) => {
                    assert!(
                        at >= before_last,
                        "byte {at} changed by {flip:#x} was missed"
                    );
                    assert_eq!(read, states[states.len() - 2], "the last record is gone");
                }
                Err(error) => {
                    let text = error.to_string();
                    assert!(
                        text.contains("--strict=false") && text.contains("rm -f"),
                        "{text}"
                    );
                }
            }
            let (read, _) = parse(&name, &changed, false).unwrap();
            let told = Checkpointed { errors: 0, ..read };
            assert!(states.contains(&told), "byte {at}: something else was read");
        }
    }
}

#[test]
fn a_damaged_journal_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    let (mut damaged, lengths) = left_behind(&paths);
    damaged[lengths[1] - 1] ^= 1;
    std::fs::write(paths.journal(), &damaged).unwrap();
    let error = Journal::open(&paths, STRICT, |_| ()).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
    assert_eq!(std::fs::read(paths.journal()).unwrap(), damaged);
    drop(Journal::open(&paths, KEEPING, |_| ()).unwrap());
    let kept = paths.meta().join("journal.damaged");
    assert_eq!(std::fs::read(kept).unwrap(), damaged);
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
    let first = Journal::open(&paths, KEEPING, |_| ()).unwrap();
    let error = Journal::open(&paths, KEEPING, |_| ()).unwrap_err();
    assert!(matches!(error, JournalError::InUse(_)), "{error}");
    drop(first);
    let other = tempfile::tempdir().unwrap();
    let paths = Paths::new(other.path());
    std::fs::create_dir_all(paths.meta()).unwrap();
    std::fs::write(paths.journal(), "something else").unwrap();
    let error = Journal::open(&paths, KEEPING, |_| ()).unwrap_err();
    assert!(matches!(error, JournalError::Foreign(_)), "{error}");
    assert_eq!(std::fs::read(paths.journal()).unwrap(), b"something else");
}

#[test]
fn a_journal_of_another_version_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    std::fs::create_dir_all(paths.meta()).unwrap();
    for keeping in [STRICT, KEEPING] {
        let text = "mesosd agent journal 2\nwhatever that will be";
        std::fs::write(paths.journal(), text).unwrap();
        let error = Journal::open(&paths, keeping, |_| ()).unwrap_err();
        let told = error.to_string();
        let named = ["version 2", "version 1", "--recover=cleanup", "rm -f "];
        assert!(named.iter().all(|part| told.contains(part)), "{told}");
        assert_eq!(
            std::fs::read_to_string(paths.journal()).unwrap(),
            text,
            "kept"
        );
    }
}

#[test]
fn a_record_that_only_a_later_version_knows_is_refused_or_counted() {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    let (mut whole, lengths) = left_behind(&paths);
    let known = states(&whole, &lengths).pop().unwrap();
    // Field 1000, a message without fields.
    let body = [0xc2, 0x3e, 0];
    let mut crc = flate2::Crc::new();
    crc.update(&body);
    whole.extend([3, 0, 0, 0]);
    whole.extend(crc.sum().to_le_bytes());
    whole.extend(body);
    std::fs::write(paths.journal(), &whole).unwrap();
    let error = Journal::open(&paths, STRICT, |_| ()).unwrap_err();
    assert!(matches!(error, JournalError::Newer { .. }), "{error}");
    let told = error.to_string();
    assert!(
        told.contains("later mesosd") && told.contains("--strict=false"),
        "{told}"
    );
    assert_eq!(std::fs::read(paths.journal()).unwrap(), whole, "kept");
    let (_, read) = Journal::open(&paths, KEEPING, |_| ()).unwrap();
    assert_eq!(read.errors, 1);
    assert_eq!(Checkpointed { errors: 0, ..read }, known);
}

#[test]
fn a_work_dir_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Journal::open(&Paths::new(&file), KEEPING, |_| ()).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("--work_dir: cannot create"), "{text}");
    assert!(text.contains(file.to_str().unwrap()), "{text}");
}
