//! `/containers` and `/monitor/statistics` of an agent.

use super::pieces::{message, text};
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use crate::api::service::agent::{AgentCalls, Measured};
use crate::proto::json::writer::Writer;

/// Which containers a query asks for; all, without parameters.
#[derive(Debug, Default)]
struct Wanted {
    container_id: Option<String>,
    framework_id: Option<String>,
    executor_id: Option<String>,
}

impl Wanted {
    fn of(request: &Request) -> Self {
        let owned = |name: &str| request.query.get(name).map(str::to_owned);
        Self {
            container_id: owned("container_id"),
            framework_id: owned("framework_id"),
            executor_id: owned("executor_id"),
        }
    }

    fn takes(&self, one: &Measured) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|id| id == is);
        let executor = &one.executor;
        same(&self.container_id, executor.container_id.as_str())
            && same(&self.framework_id, executor.framework_id.as_str())
            && same(&self.executor_id, executor.id.as_str())
    }
}

/// `/containers`: every container of an executor, what it uses, and its status.
pub(super) async fn containers(calls: AgentCalls, request: Request) -> Result<Reply, Refusal> {
    let wanted = Wanted::of(&request);
    let measured = calls.measured().await?;
    Ok(Reply::json(|w| {
        w.open_list();
        for one in measured.iter().filter(|one| wanted.takes(one)) {
            w.item();
            w.open();
            text(w, "\"container_id\":", one.executor.container_id.as_str());
            members(w, one);
            message(w, "\"status\":", Some(&one.status));
            w.close();
        }
        w.close_list();
    }))
}

/// `/monitor/statistics`: what each executor uses.
pub(super) async fn statistics(calls: AgentCalls, _: Request) -> Result<Reply, Refusal> {
    let measured = calls.measured().await?;
    Ok(Reply::json(|w| {
        w.open_list();
        for one in measured.iter().filter(|one| one.statistics.is_some()) {
            w.item();
            w.open();
            members(w, one);
            w.close();
        }
        w.close_list();
    }))
}

fn members(w: &mut Writer, one: &Measured) {
    let executor = &one.executor;
    text(w, "\"executor_id\":", executor.id.as_str());
    text(w, "\"executor_name\":", executor.info.name());
    text(w, "\"framework_id\":", executor.framework_id.as_str());
    text(w, "\"source\":", executor.info.source());
    message(w, "\"statistics\":", one.statistics.as_ref());
}
