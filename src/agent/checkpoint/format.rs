//! Records as bytes: `length (4, little endian) | crc32 (4) | JournalRecord`. A pure codec. After the last
//! record there may be zeros: room that was set aside.

use std::sync::Arc;

use prost::Message as _;

use crate::base::{ContainerId, ExecutorId, FrameworkId, TaskId, Uuid};
use crate::proto::link::{JournalRecord, journal_record as wire};
use crate::proto::{decode, v1};

use super::fold::Checkpointed;
use super::record::Record;

/// First bytes of a journal. The number changes when what follows cannot be read by earlier versions in
/// any way; new kinds of records and new fields need no new number.
pub const MAGIC: &[u8] = b"mesosd agent journal 1\n";
/// First bytes of any version's journal.
const FAMILY: &[u8] = b"mesosd agent journal ";
/// Longest record that is believed; a larger length is damage.
const RECORD_MAX: usize = 64 << 20;
const HEADER: usize = 8;
/// How far after a damaged length it is looked for a whole record, and how long that may be.
const SEARCH_MAX: usize = 64 << 10;

/// Why reading stopped before the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The last record is incomplete: the agent or the machine ended while it was written. Nothing but
    /// zeros follows it.
    Torn,
    /// A record is whole but wrong.
    Corrupt,
}

/// The number of a version that is not this one, if `bytes` are a journal of it.
pub(super) fn other_version(bytes: &[u8]) -> Option<u32> {
    let digits = bytes
        .strip_prefix(FAMILY)?
        .split(|byte| *byte == b'\n')
        .next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What a journal says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replayed {
    /// Everything that can be read.
    pub state: Checkpointed,
    /// Why reading stopped before the end, and how many bytes were lost.
    pub damage: Option<(Damage, usize)>,
}

/// Reads a journal; damage ends the reading and is counted, unless it is a torn end. `None` for what
/// is no journal.
#[must_use]
pub fn replay(bytes: &[u8]) -> Option<Replayed> {
    let mut replayed = Replayed::default();
    if bytes.is_empty() {
        return Some(replayed);
    }
    let mut rest = bytes.strip_prefix(MAGIC)?;
    loop {
        match decode_next(rest) {
            Ok(None) => return Some(replayed),
            Ok(Some((record, length))) => {
                match record {
                    Some(record) => replayed.state.apply(&record),
                    None => replayed.state.errors += 1,
                }
                rest = &rest[length..];
            }
            Err(damage) => {
                if damage == Damage::Corrupt {
                    replayed.state.errors += 1;
                }
                replayed.damage = Some((damage, rest.len()));
                return Some(replayed);
            }
        }
    }
}

/// Appends one record to `journal`, which begins with the first one.
pub fn append(record: &Record, journal: &mut Vec<u8>) {
    if journal.is_empty() {
        journal.extend_from_slice(MAGIC);
    }
    encode(record, journal);
}

/// Appends one record to `bytes`.
pub(super) fn encode(record: &Record, bytes: &mut Vec<u8>) {
    let body = to_wire(record).encode_to_vec();
    let length = u32::try_from(body.len()).expect("records are far below four gigabytes");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
}

/// Reads the first record of `bytes`: the record (`None` for a kind that this version does not know) and
/// its length. `Ok(None)` at the end.
///
/// # Errors
///
/// [`Damage`] when no record can be read here.
pub(super) fn decode_next(bytes: &[u8]) -> Result<Option<(Option<Record>, usize)>, Damage> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER) else {
        return if blank(bytes) {
            Ok(None)
        } else {
            Err(Damage::Torn)
        };
    };
    let number = |part: &[u8]| part.try_into().map(u32::from_le_bytes);
    let (Ok(length), Ok(expected)) = (number(&header[..4]), number(&header[4..])) else {
        return Err(Damage::Corrupt);
    };
    let length = usize::try_from(length).map_err(|_| Damage::Corrupt)?;
    if length == 0 {
        // No record is without a body: it begins with its kind.
        let blank = blank(header) && blank(rest);
        return if blank {
            Ok(None)
        } else {
            Err(Damage::Corrupt)
        };
    }
    if length > RECORD_MAX {
        return Err(Damage::Corrupt);
    }
    let Some((body, after)) = rest.split_at_checked(length) else {
        return Err(damage_before(rest));
    };
    if checksum(body) != expected {
        let last = blank(after);
        return Err(if last {
            damage_before(rest)
        } else {
            Damage::Corrupt
        });
    }
    let message: JournalRecord = decode(body).map_err(|_| Damage::Corrupt)?;
    Ok(Some((from_wire(message), HEADER + length)))
}

/// What a record is that goes, by its own length, up to the end: torn, unless whole records come after
/// its beginning. Then it is the length that is wrong.
fn damage_before(rest: &[u8]) -> Damage {
    let searched = rest.len().min(SEARCH_MAX);
    let whole = |at: usize| {
        let begin = &rest[at..];
        begin.len() > HEADER
            && matches!(
                begin[..4].try_into().map(u32::from_le_bytes),
                Ok(length) if (1..=SEARCH_MAX as u32).contains(&length)
            )
            && matches!(decode_next_whole(begin), Some(Some(_)))
    };
    if (0..searched).any(whole) {
        Damage::Corrupt
    } else {
        Damage::Torn
    }
}

/// The record at the beginning of `bytes`, if there is a whole one: `Some(None)` of an unknown kind.
fn decode_next_whole(bytes: &[u8]) -> Option<Option<Record>> {
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let number = |part: &[u8]| part.try_into().map(u32::from_le_bytes).ok();
    let length = usize::try_from(number(&header[..4])?).ok()?;
    let body = rest.get(..length)?;
    let whole = checksum(body) == number(&header[4..])?;
    whole.then(|| decode(body).ok().and_then(from_wire))
}

/// True for room that nothing has been written to.
fn blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn checksum(body: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(body);
    crc.sum()
}

fn to_wire(record: &Record) -> JournalRecord {
    let record = match record {
        Record::Agent {
            info,
            boot_id,
            epoch,
        } => agent_to_wire(info, boot_id, *epoch),
        Record::AgentRemoved => wire::Record::AgentRemoved(wire::AgentRemoved {}),
        Record::Restarted => wire::Record::Restarted(wire::Restarted {}),
        Record::Draining { config, since } => wire::Record::Draining(wire::Draining {
            config: *config,
            since: (*since).into(),
        }),
        Record::Drained => wire::Record::Drained(wire::Drained {}),
        Record::Framework { info } => wire::Record::Framework(wire::Framework {
            info: (**info).clone(),
        }),
        Record::FrameworkEnded { framework_id } => {
            wire::Record::FrameworkEnded(wire::FrameworkEnded {
                framework_id: framework_id.into(),
            })
        }
        Record::Executor {
            framework_id,
            info,
            container_id,
            command_executor,
        } => wire::Record::Executor(wire::Executor {
            framework_id: framework_id.into(),
            info: (**info).clone(),
            container_id: container_id.to_string(),
            command_executor: *command_executor,
        }),
        Record::Launched { container_id, pid } => wire::Record::Launched(wire::Launched {
            container_id: container_id.to_string(),
            pid: *pid,
        }),
        Record::Driver {
            container_id,
            driver,
        } => driver_to_wire(container_id, driver),
        Record::ExecutorEnded {
            framework_id,
            executor_id,
            container_id,
        } => wire::Record::ExecutorEnded(wire::ExecutorEnded {
            framework_id: framework_id.into(),
            executor_id: executor_id.into(),
            container_id: container_id.to_string(),
        }),
        Record::Task {
            framework_id,
            executor_id,
            task,
        } => wire::Record::Task(wire::Task {
            framework_id: framework_id.into(),
            executor_id: executor_id.into(),
            task: (**task).clone(),
        }),
        Record::Update {
            framework_id,
            executor_id,
            status,
        } => update_to_wire(framework_id, executor_id.as_ref(), status),
        Record::Acknowledged {
            framework_id,
            task_id,
            uuid,
        } => wire::Record::Acknowledged(wire::Acknowledged {
            framework_id: framework_id.into(),
            task_id: task_id.into(),
            uuid: uuid.0.to_vec(),
        }),
        Record::Operation {
            operation,
            converted,
        } => wire::Record::Operation(wire::Operation {
            operation: (**operation).clone(),
            converted: converted.clone(),
        }),
        Record::OperationAcknowledged { uuid } => {
            let operation_uuid = uuid.0.to_vec();
            wire::Record::OperationAcknowledged(wire::OperationAcknowledged { operation_uuid })
        }
    };
    JournalRecord {
        record: Some(record),
    }
}

fn update_to_wire(
    framework_id: &FrameworkId,
    executor_id: Option<&ExecutorId>,
    status: &v1::TaskStatus,
) -> wire::Record {
    wire::Record::Update(wire::Update {
        framework_id: framework_id.into(),
        executor_id: executor_id.map(Into::into),
        status: status.clone(),
    })
}

fn driver_to_wire(container_id: &ContainerId, driver: &str) -> wire::Record {
    wire::Record::Driver(wire::Driver {
        container_id: container_id.to_string(),
        driver: driver.to_owned(),
    })
}

fn agent_to_wire(info: &v1::AgentInfo, boot_id: &str, epoch: u64) -> wire::Record {
    wire::Record::Agent(wire::Agent {
        info: info.clone(),
        boot_id: boot_id.to_owned(),
        epoch,
    })
}

/// Ids were checked before they were written: they are taken as they are.
fn from_wire(message: JournalRecord) -> Option<Record> {
    let framework = |id: v1::FrameworkId| FrameworkId::new(id.value);
    let executor = |id: v1::ExecutorId| ExecutorId::new(id.value);
    Some(match message.record? {
        wire::Record::Agent(agent) => Record::Agent {
            info: Arc::new(agent.info),
            boot_id: agent.boot_id,
            epoch: agent.epoch,
        },
        wire::Record::AgentRemoved(_) => Record::AgentRemoved,
        wire::Record::Restarted(_) => Record::Restarted,
        wire::Record::Draining(draining) => Record::Draining {
            config: draining.config,
            since: draining.since.into(),
        },
        wire::Record::Drained(_) => Record::Drained,
        wire::Record::Framework(framework) => Record::Framework {
            info: Arc::new(framework.info),
        },
        wire::Record::FrameworkEnded(ended) => Record::FrameworkEnded {
            framework_id: framework(ended.framework_id),
        },
        wire::Record::Executor(run) => Record::Executor {
            framework_id: framework(run.framework_id),
            info: Arc::new(run.info),
            container_id: ContainerId::new(run.container_id),
            command_executor: run.command_executor,
        },
        wire::Record::Launched(launched) => Record::Launched {
            container_id: ContainerId::new(launched.container_id),
            pid: launched.pid,
        },
        wire::Record::Driver(driver) => Record::Driver {
            container_id: ContainerId::new(driver.container_id),
            driver: driver.driver,
        },
        wire::Record::ExecutorEnded(ended) => Record::ExecutorEnded {
            framework_id: framework(ended.framework_id),
            executor_id: executor(ended.executor_id),
            container_id: ContainerId::new(ended.container_id),
        },
        wire::Record::Task(task) => Record::Task {
            framework_id: framework(task.framework_id),
            executor_id: executor(task.executor_id),
            task: Arc::new(task.task),
        },
        wire::Record::Update(update) => Record::Update {
            framework_id: framework(update.framework_id),
            executor_id: update.executor_id.map(executor),
            status: Arc::new(update.status),
        },
        wire::Record::Acknowledged(acknowledged) => Record::Acknowledged {
            framework_id: framework(acknowledged.framework_id),
            task_id: TaskId::new(acknowledged.task_id.value),
            uuid: Uuid::from_slice(&acknowledged.uuid)?,
        },
        wire::Record::Operation(message) => Record::Operation {
            operation: Arc::new(message.operation),
            converted: message.converted,
        },
        wire::Record::OperationAcknowledged(message) => Record::OperationAcknowledged {
            uuid: Uuid::from_slice(&message.operation_uuid)?,
        },
    })
}
