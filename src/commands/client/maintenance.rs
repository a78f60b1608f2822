//! `mesosd maintenance`: which machines are announced for maintenance, and which are down.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::agents::seconds;
use super::connect::Session;
use super::error::ClientError;
use super::output::{Format, Output};
use super::table::{Cell, Table};
use crate::base::{format_duration, parse_duration};
use crate::proto::v1;
use crate::proto::v1::maintenance::{ClusterStatus, Schedule, Window};
use crate::proto::v1::master::{Call, call};

/// What to do with machines.
#[derive(Args, Clone, Debug)]
pub(in crate::commands) struct MaintenanceArgs {
    #[command(subcommand)]
    change: Option<Change>,
}

/// A change of the schedule or of machines.
#[derive(Subcommand, Clone, Debug)]
enum Change {
    /// Announce the maintenance of machines: frameworks are asked to leave them.
    Schedule {
        #[command(flatten)]
        machines: Machines,
        /// When it begins, from now.
        #[arg(long = "in", value_name = "DURATION", value_parser = parse_duration, default_value = "0secs")]
        begins_in: Duration,
        /// How long it takes; without it for ever.
        #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
        lasts: Option<Duration>,
    },
    /// Take machines out of the schedule.
    Cancel(Machines),
    /// Begin: the agents of the machines end and may not come back.
    Start(Machines),
    /// End: agents of the machines may register again.
    Stop(Machines),
}

/// Which machines.
#[derive(Args, Clone, Debug)]
struct Machines {
    /// Host names; with an address as `HOST@IP`, or only an address as `@IP`.
    #[arg(required = true, value_name = "MACHINE")]
    machines: Vec<String>,
}

impl Machines {
    fn ids(&self) -> Vec<v1::MachineId> {
        let id = |text: &String| {
            let (hostname, ip) = match text.split_once('@') {
                Some((hostname, ip)) => (hostname, Some(ip.to_owned())),
                None => (text.as_str(), None),
            };
            v1::MachineId {
                hostname: Some(hostname.to_owned()).filter(|name| !name.is_empty()),
                ip,
            }
        };
        self.machines.iter().map(id).collect()
    }
}

/// Shows or changes what is maintained.
pub(super) async fn maintenance(
    session: &mut Session,
    output: &mut Output,
    arguments: &MaintenanceArgs,
) -> Result<(), ClientError> {
    match &arguments.change {
        None => {}
        Some(Change::Schedule {
            machines,
            begins_in,
            lasts,
        }) => {
            let mut schedule = without(fetch(session).await?, &machines.ids());
            let start = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                + *begins_in;
            schedule.windows.push(Window {
                machine_ids: machines.ids(),
                unavailability: v1::Unavailability {
                    start: v1::TimeInfo {
                        nanoseconds: i64::try_from(start.as_nanos()).unwrap_or(i64::MAX),
                    },
                    duration: lasts.map(v1::DurationInfo::from),
                },
            });
            update(session, schedule).await?;
        }
        Some(Change::Cancel(machines)) => {
            let schedule = without(fetch(session).await?, &machines.ids());
            update(session, schedule).await?;
        }
        Some(Change::Start(machines)) => {
            let order = Call {
                r#type: Some(call::Type::StartMaintenance.into()),
                start_maintenance: Some(call::StartMaintenance {
                    machines: machines.ids(),
                }),
                ..Call::default()
            };
            session.call(order).await?;
        }
        Some(Change::Stop(machines)) => {
            let order = Call {
                r#type: Some(call::Type::StopMaintenance.into()),
                stop_maintenance: Some(call::StopMaintenance {
                    machines: machines.ids(),
                }),
                ..Call::default()
            };
            session.call(order).await?;
        }
    }
    let schedule = fetch(session).await?;
    let answer = session.ask(call::Type::GetMaintenanceStatus).await?;
    let status = answer.get_maintenance_status.unwrap_or_default().status;
    match output.format() {
        Format::Json => output.json(&shown(&schedule, &status)),
        Format::Text => output.table(&table(&schedule, &status)),
    }
}

async fn fetch(session: &mut Session) -> Result<Schedule, ClientError> {
    let answer = session.ask(call::Type::GetMaintenanceSchedule).await?;
    let schedule = answer.get_maintenance_schedule;
    Ok(schedule.unwrap_or_default().schedule)
}

async fn update(session: &mut Session, schedule: Schedule) -> Result<(), ClientError> {
    let order = Call {
        r#type: Some(call::Type::UpdateMaintenanceSchedule.into()),
        update_maintenance_schedule: Some(call::UpdateMaintenanceSchedule { schedule }),
        ..Call::default()
    };
    session.call(order).await?;
    Ok(())
}

/// True when both name the same machine; host names are the same in any case.
fn is_same(one: &v1::MachineId, other: &v1::MachineId) -> bool {
    one.hostname().eq_ignore_ascii_case(other.hostname()) && one.ip() == other.ip()
}

/// The schedule without these machines.
fn without(mut schedule: Schedule, machines: &[v1::MachineId]) -> Schedule {
    for window in &mut schedule.windows {
        let stays = |id: &v1::MachineId| !machines.iter().any(|machine| is_same(machine, id));
        window.machine_ids.retain(stays);
    }
    schedule
        .windows
        .retain(|window| !window.machine_ids.is_empty());
    schedule
}

fn name(id: &v1::MachineId) -> String {
    match (id.hostname(), id.ip()) {
        (hostname, "") => hostname.to_owned(),
        (hostname, ip) => format!("{hostname}@{ip}"),
    }
}

fn mode(id: &v1::MachineId, status: &ClusterStatus) -> &'static str {
    if status.down_machines.iter().any(|down| is_same(down, id)) {
        "down"
    } else {
        "draining"
    }
}

/// How many frameworks have agreed to leave a machine, and how many have not.
fn answers(id: &v1::MachineId, status: &ClusterStatus) -> (usize, usize) {
    use v1::allocator::inverse_offer_status::Status;
    let mut draining = status.draining_machines.iter();
    let statuses = draining.find(|machine| is_same(&machine.id, id));
    let statuses = statuses.map_or(&[][..], |machine| &machine.statuses);
    let count = |wanted: Status| {
        let fits = statuses.iter().filter(|status| status.status() == wanted);
        fits.count()
    };
    (count(Status::Accept), count(Status::Decline))
}

fn shown(schedule: &Schedule, status: &ClusterStatus) -> Value {
    let mut machines = Vec::new();
    for window in &schedule.windows {
        for id in &window.machine_ids {
            let (accepted, declined) = answers(id, status);
            let duration = window.unavailability.duration;
            machines.push(json!({
                "hostname": id.hostname,
                "ip": id.ip,
                "mode": mode(id, status),
                "start": seconds(Some(&window.unavailability.start)),
                "duration": duration.map(|duration| duration.nanoseconds as f64 / 1e9),
                "accepted": accepted,
                "declined": declined,
            }));
        }
    }
    Value::from(machines)
}

fn table(schedule: &Schedule, status: &ClusterStatus) -> Table {
    let mut table = Table::new(&["MACHINE", "MODE", "BEGINS", "LASTS", "ACCEPTED", "DECLINED"]);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    for window in &schedule.windows {
        let start = u64::try_from(window.unavailability.start.nanoseconds).unwrap_or(0);
        let start = Duration::from_nanos(start);
        let begins = match start.checked_sub(now) {
            Some(left) => format!(
                "in {}",
                format_duration(Duration::from_secs(left.as_secs()))
            ),
            None => "now".to_owned(),
        };
        let lasts = window.unavailability.duration.map_or_else(
            || "for ever".to_owned(),
            |duration| format_duration(duration.to_duration()),
        );
        for id in &window.machine_ids {
            let mode = match mode(id, status) {
                "down" => Cell::text("down").bad(),
                other => Cell::text(other),
            };
            let (accepted, declined) = answers(id, status);
            table.row(vec![
                Cell::text(name(id)),
                mode,
                Cell::text(&begins),
                Cell::text(&lasts),
                Cell::number(accepted.to_string()),
                Cell::number(declined.to_string()),
            ]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_named_by_host_and_address() {
        let machines = Machines {
            machines: ["a", "b@10.0.0.1", "@10.0.0.2"].map(str::to_owned).to_vec(),
        };
        let ids = machines.ids();
        assert_eq!(
            ids.iter().map(name).collect::<Vec<_>>(),
            ["a", "b@10.0.0.1", "@10.0.0.2"]
        );
        assert_eq!(ids[2].hostname, None);
        let window = Window {
            machine_ids: ids.clone(),
            unavailability: v1::Unavailability::default(),
        };
        let schedule = Schedule {
            windows: vec![window],
        };
        let mut first = ids[0].clone();
        first.hostname = Some("A".to_owned());
        assert_eq!(
            without(schedule.clone(), &[first]).windows[0]
                .machine_ids
                .len(),
            2
        );
        assert!(without(schedule, &ids).windows.is_empty());
    }
}
