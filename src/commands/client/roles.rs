//! `mesosd roles`.

use serde_json::{Value, json};

use super::connect::Session;
use super::error::ClientError;
use super::output::{Format, Output};
use super::quantities::Quantities;
use super::table::{Cell, Table, decimal};
use crate::proto::v1;

/// Lists the roles.
pub(super) async fn list(session: &mut Session, output: &mut Output) -> Result<(), ClientError> {
    let answer = session.ask(v1::master::call::Type::GetRoles).await?;
    let roles = answer.get_roles.ok_or(ClientError::Incomplete {
        what: "master",
        field: "get_roles",
    })?;
    match output.format() {
        Format::Json => output.json(&roles.roles.iter().map(json).collect()),
        Format::Text => output.table(&table(&roles.roles)),
    }
}

/// Stable keys for scripts.
fn json(role: &v1::Role) -> Value {
    let frameworks: Vec<_> = role.frameworks.iter().map(|id| &id.value).collect();
    json!({
        "name": role.name,
        "weight": role.weight,
        "frameworks": frameworks,
        "resources": Quantities::of(&role.resources).json(),
    })
}

fn table(roles: &[v1::Role]) -> Table {
    let mut table = Table::new(&["ROLE", "WEIGHT", "FRAMEWORKS", "CPUS", "MEM", "DISK"]);
    for role in roles {
        let held = Quantities::of(&role.resources);
        table.row(vec![
            Cell::text(&role.name),
            Cell::number(decimal(role.weight)),
            Cell::number(role.frameworks.len().to_string()),
            Cell::number(held.cpus()),
            Cell::number(held.megabytes("mem")),
            Cell::number(held.megabytes("disk")),
        ]);
    }
    table
}
