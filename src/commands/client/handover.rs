//! `mesosd handover`.

use std::time::{Duration, Instant};

use serde_json::json;

use super::connect::Session;
use super::error::ClientError;
use super::output::{Format, Output};
use crate::election::info;
use crate::flags::MasterAddress;
use crate::proto::v1::master::call;

/// Time for another master to lead.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks the leader to hand over, and says who leads then.
pub(super) async fn handover(
    session: &mut Session,
    output: &mut Output,
    master: &MasterAddress,
) -> Result<(), ClientError> {
    let before = leader(session).await?;
    session.handover().await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        tokio::time::sleep(PAUSE).await;
        let now = match Session::open(master).await {
            Ok(mut session) => leader(&mut session).await,
            Err(error) => Err(error),
        };
        match now {
            Ok(leader) if leader != before => {
                return match output.format() {
                    Format::Json => output.json(&json!({"leader": leader, "before": before})),
                    Format::Text => output.line(&format!("{leader} leads")),
                };
            }
            Ok(_) | Err(_) if Instant::now() < deadline => {}
            Ok(_) => return Err(ClientError::NoSuccessor { leader: before }),
            Err(error) => return Err(error),
        }
    }
}

/// Where the leader is.
async fn leader(session: &mut Session) -> Result<String, ClientError> {
    let reply = session.ask(call::Type::GetMaster).await?;
    let info = reply.get_master.and_then(|master| master.master_info);
    info.as_ref()
        .and_then(info::address)
        .ok_or(ClientError::Incomplete {
            what: "master",
            field: "get_master.master_info",
        })
}
