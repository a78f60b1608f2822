//! The maintenance schedule: which machines, when, and which of them are down.
//!
//! ```text
//! up --schedule--> draining --start--> down --stop--> up (and out of the schedule)
//! ```
//!
//! The clock never changes a machine's mode; operators do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::Timestamp;
use crate::proto::v1;
use crate::proto::v1::maintenance as wire;

/// Why a message names no machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// Neither host name nor address.
    #[error("a machine needs a hostname, an ip or both")]
    Nameless,
    /// The address is none.
    #[error("machine ip '{0}' is not an IP address")]
    BadIp(String),
}

/// A machine by its host name (in lower case), its address or both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MachineId {
    hostname: Option<String>,
    ip: Option<IpAddr>,
}

impl MachineId {
    /// Checks and takes a machine's name; an empty host name or address counts as none.
    pub fn from_proto(id: &v1::MachineId) -> Result<Self, MachineError> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let ip = match given(&id.ip) {
            Some(text) => Some(text.parse().map_err(|_| MachineError::BadIp(text))?),
            None => None,
        };
        let hostname = given(&id.hostname).map(|name| name.to_lowercase());
        if hostname.is_none() && ip.is_none() {
            return Err(MachineError::Nameless);
        }
        Ok(Self { hostname, ip })
    }

    /// The machine's name on the wire.
    #[must_use]
    pub fn to_proto(&self) -> v1::MachineId {
        v1::MachineId {
            hostname: self.hostname.clone(),
            ip: self.ip.map(|ip| ip.to_string()),
        }
    }

    /// The names that a machine may have whose agent has this host name and address.
    fn names_of(hostname: &str, ip: Option<IpAddr>) -> impl Iterator<Item = Self> {
        let hostname = Some(hostname.to_lowercase());
        let both = [(hostname.clone(), ip), (hostname, None), (None, ip)];
        let named = both
            .into_iter()
            .filter(|(hostname, ip)| hostname.is_some() || ip.is_some());
        named.map(|(hostname, ip)| Self { hostname, ip })
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.hostname, self.ip) {
            (Some(hostname), Some(ip)) => write!(f, "{hostname} ({ip})"),
            (Some(hostname), None) => f.write_str(hostname),
            (None, Some(ip)) => write!(f, "{ip}"),
            (None, None) => f.write_str("(no machine)"),
        }
    }
}

/// Machines that are maintained together, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The machines, in the order in which they were given.
    pub machines: Vec<MachineId>,
    /// When it begins.
    pub start: Timestamp,
    /// How long it takes; for ever when it is not said.
    pub duration: Option<Duration>,
}

impl Window {
    /// The time of the window on the wire.
    #[must_use]
    pub fn unavailability(&self) -> v1::Unavailability {
        v1::Unavailability {
            start: self.start.into(),
            duration: self.duration.map(v1::DurationInfo::from),
        }
    }
}

/// Why a schedule or a change of machines is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaintenanceRefused {
    /// A machine's name is wrong.
    #[error("window {window}: {source}")]
    Machine {
        /// Number of the window, from 0.
        window: usize,
        /// What is wrong.
        #[source]
        source: MachineError,
    },
    /// A machine's name in a list is wrong.
    #[error("machine {number}: {source}")]
    Name {
        /// Its place in the list, from 0.
        number: usize,
        /// What is wrong.
        #[source]
        source: MachineError,
    },
    /// A window without machines.
    #[error("window {0} names no machine; leave it out or name one")]
    EmptyWindow(usize),
    /// A negative duration.
    #[error("window {window}: a duration of {nanoseconds} ns is negative")]
    NegativeDuration {
        /// Number of the window, from 0.
        window: usize,
        /// The duration.
        nanoseconds: i64,
    },
    /// A machine in two places.
    #[error("machine {0} is in the schedule twice; a machine may be in one window only")]
    Twice(MachineId),
    /// A machine that is down is missing from a new schedule.
    #[error("machine {0} is down and must stay in the schedule; stop its maintenance first")]
    DownMustStay(MachineId),
    /// Maintenance of a machine begins that no schedule announced.
    #[error(
        "machine {0} is not in the maintenance schedule; put it there before its maintenance starts"
    )]
    NotScheduled(MachineId),
    /// Maintenance of a machine begins twice.
    #[error("machine {0} is down already")]
    AlreadyDown(MachineId),
    /// Maintenance of a machine ends that has not begun.
    #[error("machine {0} is not down; only maintenance that was started can be stopped")]
    NotDown(MachineId),
    /// A list without machines.
    #[error("no machine is named")]
    NoMachines,
}

/// The schedule and the machines that are down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintenance {
    windows: Vec<Window>,
    /// The window of each machine.
    scheduled: BTreeMap<MachineId, usize>,
    down: BTreeSet<MachineId>,
}

impl Maintenance {
    /// The windows, in the order in which they were given.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The machines that are down.
    #[must_use]
    pub fn down(&self) -> &BTreeSet<MachineId> {
        &self.down
    }

    /// The machines that wait for their maintenance.
    pub fn draining(&self) -> impl Iterator<Item = &MachineId> {
        let machines = self.windows.iter().flat_map(|window| &window.machines);
        machines.filter(|machine| !self.down.contains(*machine))
    }

    /// The scheduled machine that an agent with this host name and address lives on: what the
    /// schedule names of a machine must fit.
    #[must_use]
    pub fn machine_of(&self, hostname: &str, ip: Option<IpAddr>) -> Option<&MachineId> {
        let mut names = MachineId::names_of(hostname, ip);
        names.find_map(|name| Some(self.scheduled.get_key_value(&name)?.0))
    }

    /// The window of a machine.
    #[must_use]
    pub fn window_of(&self, machine: &MachineId) -> Option<&Window> {
        self.windows.get(*self.scheduled.get(machine)?)
    }

    /// Whether the machine that an agent lives on is down.
    #[must_use]
    pub fn is_down(&self, hostname: &str, ip: Option<IpAddr>) -> bool {
        MachineId::names_of(hostname, ip).any(|name| self.down.contains(&name))
    }

    /// The schedule on the wire.
    #[must_use]
    pub fn schedule(&self) -> wire::Schedule {
        let window = |window: &Window| wire::Window {
            machine_ids: window.machines.iter().map(MachineId::to_proto).collect(),
            unavailability: window.unavailability(),
        };
        wire::Schedule {
            windows: self.windows.iter().map(window).collect(),
        }
    }

    /// The windows of a schedule from outside.
    pub fn read_schedule(schedule: &wire::Schedule) -> Result<Vec<Window>, MaintenanceRefused> {
        let mut known = BTreeSet::new();
        let mut windows = Vec::with_capacity(schedule.windows.len());
        for (number, window) in schedule.windows.iter().enumerate() {
            if window.machine_ids.is_empty() {
                return Err(MaintenanceRefused::EmptyWindow(number));
            }
            let mut machines = Vec::with_capacity(window.machine_ids.len());
            for id in &window.machine_ids {
                let machine =
                    MachineId::from_proto(id).map_err(|source| MaintenanceRefused::Machine {
                        window: number,
                        source,
                    })?;
                if !known.insert(machine.clone()) {
                    return Err(MaintenanceRefused::Twice(machine));
                }
                machines.push(machine);
            }
            let duration = window.unavailability.duration;
            if let Some(negative) = duration.filter(|duration| duration.nanoseconds < 0) {
                return Err(MaintenanceRefused::NegativeDuration {
                    window: number,
                    nanoseconds: negative.nanoseconds,
                });
            }
            windows.push(Window {
                machines,
                start: window.unavailability.start.into(),
                duration: duration.map(v1::DurationInfo::to_duration),
            });
        }
        Ok(windows)
    }

    /// The machines of a list from outside.
    pub fn read_machines(ids: &[v1::MachineId]) -> Result<Vec<MachineId>, MaintenanceRefused> {
        let read = |(number, id)| {
            MachineId::from_proto(id).map_err(|source| MaintenanceRefused::Name { number, source })
        };
        ids.iter().enumerate().map(read).collect()
    }

    fn new(windows: Vec<Window>, down: BTreeSet<MachineId>) -> Self {
        let mut scheduled = BTreeMap::new();
        for (number, window) in windows.iter().enumerate() {
            let machines = window.machines.iter().cloned();
            scheduled.extend(machines.map(|machine| (machine, number)));
        }
        Self {
            windows,
            scheduled,
            down,
        }
    }

    /// The maintenance with another schedule.
    pub fn rescheduled(&self, windows: Vec<Window>) -> Result<Self, MaintenanceRefused> {
        let next = Self::new(windows, self.down.clone());
        let mut down = self.down.iter();
        if let Some(missing) = down.find(|down| !next.scheduled.contains_key(down)) {
            return Err(MaintenanceRefused::DownMustStay(missing.clone()));
        }
        Ok(next)
    }

    /// The maintenance once these machines are down.
    pub fn started(&self, machines: &[MachineId]) -> Result<Self, MaintenanceRefused> {
        if machines.is_empty() {
            return Err(MaintenanceRefused::NoMachines);
        }
        let mut next = self.clone();
        for machine in machines {
            if !self.scheduled.contains_key(machine) {
                return Err(MaintenanceRefused::NotScheduled(machine.clone()));
            }
            if !next.down.insert(machine.clone()) {
                return Err(MaintenanceRefused::AlreadyDown(machine.clone()));
            }
        }
        Ok(next)
    }

    /// The maintenance once these machines are up again.
    pub fn stopped(&self, machines: &[MachineId]) -> Result<Self, MaintenanceRefused> {
        if machines.is_empty() {
            return Err(MaintenanceRefused::NoMachines);
        }
        let mut down = self.down.clone();
        for machine in machines {
            if !down.remove(machine) {
                return Err(MaintenanceRefused::NotDown(machine.clone()));
            }
        }
        let up: BTreeSet<&MachineId> = machines.iter().collect();
        let mut windows = self.windows.clone();
        for window in &mut windows {
            window.machines.retain(|machine| !up.contains(machine));
        }
        windows.retain(|window| !window.machines.is_empty());
        Ok(Self::new(windows, down))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn id(hostname: &str, ip: &str) -> v1::MachineId {
        v1::MachineId {
            hostname: Some(hostname.to_owned()),
            ip: Some(ip.to_owned()),
        }
    }

    fn schedule(windows: &[&[(&str, &str)]]) -> wire::Schedule {
        let window = |machines: &&[(&str, &str)]| wire::Window {
            machine_ids: machines.iter().map(|(name, ip)| id(name, ip)).collect(),
            unavailability: v1::Unavailability {
                start: v1::TimeInfo { nanoseconds: 7 },
                duration: None,
            },
        };
        wire::Schedule {
            windows: windows.iter().map(window).collect(),
        }
    }

    fn machine(hostname: &str, ip: &str) -> MachineId {
        MachineId::from_proto(&id(hostname, ip)).unwrap()
    }

    #[test]
    fn machines_are_found_by_what_is_named() {
        let ip = |text: &str| Some(text.parse().unwrap());
        let (both, name) = (machine("Node1", "10.0.0.1"), machine("node2", ""));
        let address = machine("", "10.0.0.3");
        assert_eq!(both, machine("node1", "10.0.0.1"));
        let window = Window {
            machines: vec![both.clone(), name.clone(), address.clone()],
            start: Timestamp(1),
            duration: None,
        };
        let maintenance = Maintenance::new(vec![window], BTreeSet::from([address.clone()]));
        let found = |hostname, text| maintenance.machine_of(hostname, ip(text));
        assert_eq!(found("NODE1", "10.0.0.1"), Some(&both));
        assert_eq!(found("node1", "10.0.0.2"), None);
        assert_eq!(maintenance.machine_of("node1", None), None);
        assert_eq!(found("node2", "10.0.0.2"), Some(&name));
        assert_eq!(found("any", "10.0.0.3"), Some(&address));
        assert!(maintenance.is_down("any", ip("10.0.0.3")));
        assert!(!maintenance.is_down("node1", ip("10.0.0.1")));
        let wrong = MachineId::from_proto(&id("a", "10.0.0")).unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "machine ip '10.0.0' is not an IP address"
        );
        let nameless = MachineId::from_proto(&id("", ""));
        assert_eq!(nameless, Err(MachineError::Nameless));
    }

    #[test]
    fn schedules_are_checked() {
        let read = |windows: &[&[(&str, &str)]]| Maintenance::read_schedule(&schedule(windows));
        assert_eq!(read(&[&[]]), Err(MaintenanceRefused::EmptyWindow(0)));
        let twice = read(&[&[("a", "")], &[("A", "")]]);
        assert_eq!(twice, Err(MaintenanceRefused::Twice(machine("a", ""))));
        let mut negative = schedule(&[&[("a", "")]]);
        negative.windows[0].unavailability.duration = Some(v1::DurationInfo { nanoseconds: -1 });
        assert_eq!(
            Maintenance::read_schedule(&negative),
            Err(MaintenanceRefused::NegativeDuration {
                window: 0,
                nanoseconds: -1
            })
        );
        let wanted = schedule(&[&[("a", "10.0.0.1")], &[("b", "")]]);
        let maintenance = Maintenance::default()
            .rescheduled(Maintenance::read_schedule(&wanted).unwrap())
            .unwrap();
        let mut shown = maintenance.schedule();
        shown.windows[1].machine_ids[0].ip = Some(String::new());
        assert_eq!(shown, wanted);
    }

    #[test]
    fn machines_go_down_and_come_up() {
        let (a, b) = (machine("a", ""), machine("b", ""));
        let windows = Maintenance::read_schedule(&schedule(&[&[("a", ""), ("b", "")]])).unwrap();
        let empty = Maintenance::default();
        let refused = empty.started(std::slice::from_ref(&a));
        assert_eq!(refused, Err(MaintenanceRefused::NotScheduled(a.clone())));
        let draining = empty.rescheduled(windows).unwrap();
        assert_eq!(draining.draining().count(), 2);
        let refused = draining.stopped(std::slice::from_ref(&a));
        assert_eq!(refused, Err(MaintenanceRefused::NotDown(a.clone())));
        let down = draining.started(std::slice::from_ref(&a)).unwrap();
        assert!(down.is_down("a", None) && !down.is_down("b", None));
        assert_eq!(
            down.started(std::slice::from_ref(&a)),
            Err(MaintenanceRefused::AlreadyDown(a.clone()))
        );
        assert_eq!(
            down.rescheduled(Vec::new()),
            Err(MaintenanceRefused::DownMustStay(a.clone()))
        );
        let up = down.stopped(std::slice::from_ref(&a)).unwrap();
        assert_eq!(up.draining().collect::<Vec<_>>(), [&b]);
        let all = up.started(std::slice::from_ref(&b)).unwrap();
        let none = all.stopped(&[b]).unwrap();
        assert_eq!(none, Maintenance::default());
        assert_eq!(none.started(&[]), Err(MaintenanceRefused::NoMachines));
    }
}
