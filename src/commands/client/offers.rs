//! `mesosd offers`.

use serde_json::{Value, json};

use super::connect::Session;
use super::error::ClientError;
use super::frameworks;
use super::output::{Format, Output};
use super::quantities::Quantities;
use super::table::{Cell, Table};
use crate::proto::v1;

/// Lists the offers that frameworks hold.
pub(super) async fn list(session: &mut Session, output: &mut Output) -> Result<(), ClientError> {
    let found = frameworks::fetch(session).await?;
    let rows: Vec<_> = found
        .frameworks
        .iter()
        .flat_map(|framework| {
            let name = framework.framework_info.name.as_str();
            framework.offers.iter().map(move |offer| (offer, name))
        })
        .collect();
    match output.format() {
        Format::Json => output.json(&rows.iter().map(|(offer, name)| json(offer, name)).collect()),
        Format::Text => output.table(&table(&rows)),
    }
}

fn role(offer: &v1::Offer) -> &str {
    let allocation = offer.allocation_info.as_ref();
    allocation.map_or("*", v1::resource::AllocationInfo::role)
}

/// Stable keys for scripts.
fn json(offer: &v1::Offer, framework: &str) -> Value {
    json!({
        "id": offer.id.value,
        "framework_id": offer.framework_id.value,
        "framework": framework,
        "role": role(offer),
        "agent_id": offer.agent_id.value,
        "agent": offer.hostname,
        "resources": Quantities::of(&offer.resources).json(),
    })
}

fn table(rows: &[(&v1::Offer, &str)]) -> Table {
    let mut table = Table::new(&[
        "ID",
        "FRAMEWORK",
        "ROLE",
        "AGENT",
        "CPUS",
        "MEM",
        "DISK",
        "PORTS",
    ]);
    for (offer, framework) in rows {
        let offered = Quantities::of(&offer.resources);
        table.row(vec![
            Cell::text(&offer.id.value),
            Cell::text(*framework),
            Cell::text(role(offer)),
            Cell::text(&offer.hostname),
            Cell::number(offered.cpus()),
            Cell::number(offered.megabytes("mem")),
            Cell::number(offered.megabytes("disk")),
            Cell::text(offered.range("ports")),
        ]);
    }
    table
}
