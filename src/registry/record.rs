//! The records that stores keep, and back.

use std::sync::Arc;

use prost::Message as _;

use super::{Drain, MachineId, Maintenance, MaintenanceRefused, Registry, Standing, Subject};
use crate::proto::link as format;
use crate::proto::{WireError, decode};
use crate::quota::{Quota, QuotaError};
use crate::roles::Weight;

/// Why a record says nothing.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The bytes are no such message.
    #[error("{subject}: {source}")]
    Malformed {
        /// The record's key.
        subject: Subject,
        /// What is wrong with the bytes.
        #[source]
        source: WireError,
    },
    /// An agent that is neither admitted nor unreachable nor gone, or several of these.
    #[error("{0}: the record must say one of admitted, unreachable and gone")]
    Contradictory(Subject),
    /// A quota that no operation makes.
    #[error("{subject}: {source}")]
    Quota {
        /// The record's key.
        subject: Subject,
        /// What is wrong with the quota.
        #[source]
        source: QuotaError,
    },
    /// A schedule that no operation makes.
    #[error("{subject}: {source}")]
    Maintenance {
        /// The record's key.
        subject: Subject,
        /// What is wrong with the schedule.
        #[source]
        source: MaintenanceRefused,
    },
}

impl Registry {
    /// What the registry says of one thing, for a store; none when there is nothing to say.
    #[must_use]
    pub fn record(&self, subject: &Subject) -> Option<Vec<u8>> {
        match subject {
            Subject::Agent(id) => {
                let record = format::AgentRecord {
                    admitted: self.agents.get(id).map(|info| (**info).clone()),
                    unreachable_since: self.unreachable.get(id).copied().map(Into::into),
                    gone_since: self.gone.get(id).copied().map(Into::into),
                    deactivated: self.standings.get(id).map(|standing| standing.deactivated),
                    drain: self
                        .standings
                        .get(id)
                        .and_then(|standing| standing.drain)
                        .map(|drain| drain.to_proto()),
                };
                (!self.is_unknown(id)).then(|| record.encode_to_vec())
            }
            Subject::Framework(id) => {
                let info = (**self.frameworks.get(id)?).clone();
                Some(format::FrameworkRecord { info }.encode_to_vec())
            }
            Subject::Weight(role) => {
                let thousandths = self.weights.get(role)?.thousandths();
                Some(format::WeightRecord { thousandths }.encode_to_vec())
            }
            Subject::Quota(role) => {
                let config = self.quotas.get(role)?.to_config(role);
                Some(format::QuotaRecord { config }.encode_to_vec())
            }
            Subject::Maintenance => {
                if *self.maintenance == Maintenance::default() {
                    return None;
                }
                let record = format::MaintenanceRecord {
                    schedule: self.maintenance.schedule(),
                    down: self
                        .maintenance
                        .down()
                        .iter()
                        .map(MachineId::to_proto)
                        .collect(),
                };
                Some(record.encode_to_vec())
            }
        }
    }

    /// Takes over what a store kept of one thing.
    pub fn restore(&mut self, subject: &Subject, bytes: &[u8]) -> Result<(), RecordError> {
        let malformed = |source| RecordError::Malformed {
            subject: subject.clone(),
            source,
        };
        match subject {
            Subject::Agent(id) => {
                let record: format::AgentRecord = decode(bytes).map_err(malformed)?;
                let standing = Standing {
                    deactivated: record.deactivated(),
                    drain: record.drain.as_ref().map(Drain::from_proto),
                };
                match (record.admitted, record.unreachable_since, record.gone_since) {
                    (Some(info), None, None) => {
                        self.agents.insert(id.clone(), Arc::new(info));
                    }
                    (None, Some(since), None) => {
                        self.unreachable.insert(id.clone(), since.into());
                    }
                    (None, None, Some(since)) => {
                        self.gone.insert(id.clone(), since.into());
                        return Ok(());
                    }
                    _ => return Err(RecordError::Contradictory(subject.clone())),
                }
                if standing != Standing::default() {
                    self.standings.insert(id.clone(), standing);
                }
            }
            Subject::Framework(id) => {
                let record: format::FrameworkRecord = decode(bytes).map_err(malformed)?;
                self.frameworks.insert(id.clone(), Arc::new(record.info));
            }
            Subject::Weight(role) => {
                let record: format::WeightRecord = decode(bytes).map_err(malformed)?;
                let weight = Weight::from_thousandths(record.thousandths);
                self.weights.insert(role.clone(), weight);
            }
            Subject::Quota(role) => {
                let record: format::QuotaRecord = decode(bytes).map_err(malformed)?;
                let quota = Quota::from_config(&record.config);
                let (_, quota) = quota.map_err(|source| RecordError::Quota {
                    subject: subject.clone(),
                    source,
                })?;
                self.quotas.insert(role.clone(), quota);
            }
            Subject::Maintenance => {
                let record: format::MaintenanceRecord = decode(bytes).map_err(malformed)?;
                let maintenance = read_maintenance(&record);
                self.maintenance =
                    Arc::new(maintenance.map_err(|source| RecordError::Maintenance {
                        subject: subject.clone(),
                        source,
                    })?);
            }
        }
        Ok(())
    }
}

fn read_maintenance(record: &format::MaintenanceRecord) -> Result<Maintenance, MaintenanceRefused> {
    let windows = Maintenance::read_schedule(&record.schedule)?;
    let scheduled = Maintenance::default().rescheduled(windows)?;
    if record.down.is_empty() {
        return Ok(scheduled);
    }
    scheduled.started(&Maintenance::read_machines(&record.down)?)
}
