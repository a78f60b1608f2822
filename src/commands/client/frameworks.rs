//! `mesosd frameworks`, and finding a framework by what a person types.

use clap::Args;
use serde_json::{Value, json};

use super::agents::seconds;
use super::connect::Session;
use super::error::ClientError;
use super::output::{Format, Output};
use super::quantities::Quantities;
use super::table::{Cell, Table, ago};
use crate::proto::v1;
use crate::proto::v1::master::response::GetFrameworks;
use crate::proto::v1::master::response::get_frameworks::Framework;

/// Which frameworks to list.
#[derive(Args, Clone, Debug)]
pub(in crate::commands) struct FrameworkFilter {
    /// Also those that have ended.
    #[arg(long)]
    all: bool,
}

/// All frameworks of the master.
pub(super) async fn fetch(session: &mut Session) -> Result<GetFrameworks, ClientError> {
    let answer = session.ask(v1::master::call::Type::GetFrameworks).await?;
    answer.get_frameworks.ok_or(ClientError::Incomplete {
        what: "master",
        field: "get_frameworks",
    })
}

/// Lists the frameworks.
pub(super) async fn list(
    session: &mut Session,
    output: &mut Output,
    filter: &FrameworkFilter,
) -> Result<(), ClientError> {
    let found = fetch(session).await?;
    let live = found.frameworks.iter().map(|framework| (framework, true));
    let over = found.completed_frameworks.iter().filter(|_| filter.all);
    let rows: Vec<_> = live
        .chain(over.map(|framework| (framework, false)))
        .collect();
    match output.format() {
        Format::Json => {
            let rows = rows.iter().map(|(framework, live)| json(framework, *live));
            output.json(&rows.collect())
        }
        Format::Text => output.table(&table(&rows)),
    }
}

/// The framework's id, empty if the master does not say it.
pub(super) fn id(framework: &Framework) -> &str {
    let id = framework.framework_info.id.as_ref();
    id.map_or("", |id| &id.value)
}

/// The roles of a framework.
pub(super) fn roles(info: &v1::FrameworkInfo) -> Vec<&str> {
    if info.roles.is_empty() {
        vec![info.role()]
    } else {
        info.roles.iter().map(String::as_str).collect()
    }
}

/// The one framework that `name` means: its id, else the beginning of one id, else its name.
pub(super) fn find<'a>(
    frameworks: &'a [Framework],
    name: &str,
) -> Result<&'a Framework, ClientError> {
    let tests: [&dyn Fn(&Framework) -> bool; 3] = [
        &|framework| id(framework) == name,
        &|framework| id(framework).starts_with(name),
        &|framework| framework.framework_info.name == name,
    ];
    for fits in tests {
        let found: Vec<_> = frameworks.iter().filter(|row| fits(row)).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one),
            several => {
                let ids: Vec<_> = several.iter().take(5).map(|one| id(one)).collect();
                return Err(ClientError::Ambiguous {
                    kind: "framework",
                    name: name.to_owned(),
                    found: ids.join(", "),
                    hint: "",
                });
            }
        }
    }
    Err(ClientError::NotFound {
        kind: "framework",
        name: name.to_owned(),
        hint: ": 'mesosd frameworks' lists those that there are",
    })
}

/// Stable keys for scripts.
pub(super) fn json(framework: &Framework, live: bool) -> Value {
    let info = &framework.framework_info;
    json!({
        "id": id(framework),
        "name": info.name,
        "user": info.user,
        "roles": roles(info),
        "hostname": info.hostname,
        "principal": info.principal,
        "live": live,
        "active": framework.active,
        "connected": framework.connected,
        "failover_timeout": info.failover_timeout(),
        "registered": seconds(framework.registered_time.as_ref()),
        "reregistered": seconds(framework.reregistered_time.as_ref()),
        "unregistered": seconds(framework.unregistered_time.as_ref()),
        "allocated": Quantities::of(&framework.allocated_resources).json(),
        "offered": Quantities::of(&framework.offered_resources).json(),
    })
}

fn table(rows: &[(&Framework, bool)]) -> Table {
    let mut table = Table::new(&["ID", "NAME", "STATE", "ROLES", "CPUS", "MEM", "SINCE"]);
    for (framework, live) in rows {
        let info = &framework.framework_info;
        let held = Quantities::of(&framework.allocated_resources);
        let state = match (live, framework.connected, framework.active) {
            (false, ..) => Cell::text("ended").faint(),
            (true, true, true) => Cell::text("active").good(),
            (true, true, false) => Cell::text("inactive").bad(),
            (true, false, _) => Cell::text("disconnected").bad(),
        };
        let since = framework
            .unregistered_time
            .as_ref()
            .or(framework.reregistered_time.as_ref())
            .or(framework.registered_time.as_ref());
        table.row(vec![
            Cell::text(id(framework)),
            Cell::text(&info.name),
            state,
            Cell::text(roles(info).join(",")),
            Cell::number(held.cpus()),
            Cell::number(held.megabytes("mem")),
            Cell::number(ago(seconds(since))),
        ]);
    }
    table
}
