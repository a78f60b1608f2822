//! `/state-summary`: agents and frameworks with counts in place of tasks.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::agents;
use super::frameworks;
use super::pieces::{optional, text, texts};
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use super::state::flag;
use super::tasks::StateCounts;
use crate::api::http::shared::Shared;
use crate::base::{AgentId, FrameworkId};
use crate::master::Snapshot;
use crate::master::framework::Framework;
use crate::master::task::Task;

/// Who runs where, and how many tasks are in which state.
#[derive(Default)]
struct Counts<'a> {
    agents: HashMap<&'a AgentId, (StateCounts, BTreeSet<&'a FrameworkId>)>,
    frameworks: HashMap<&'a FrameworkId, (StateCounts, BTreeSet<&'a AgentId>)>,
}

impl<'a> Counts<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let mut counts = Self::default();
        for framework in snapshot.frameworks.values() {
            counts.add_framework(framework);
        }
        for (_, framework) in snapshot.completed_frameworks.iter() {
            let mut tasks = framework.completed_tasks.iter().map(|(_, task)| task);
            tasks.by_ref().for_each(|task| counts.add_to_agent(task));
        }
        for agent in snapshot.agents.values() {
            for (framework_id, _) in agent.executors.keys() {
                counts.meet(&agent.id, framework_id);
            }
        }
        counts
    }

    fn add_framework(&mut self, framework: &'a Framework) {
        let lost = framework.unreachable_tasks.iter().map(|(_, task)| task);
        let ended = framework.completed_tasks.iter().map(|(_, task)| task);
        let (counts, met) = self.frameworks.entry(&framework.id).or_default();
        let mut seen: HashSet<&AgentId> = HashSet::new();
        for task in framework.tasks.values().chain(lost).chain(ended) {
            counts.add(task.state);
            let (counts, there) = self.agents.entry(&task.agent_id).or_default();
            counts.add(task.state);
            if seen.insert(&task.agent_id) {
                there.insert(&framework.id);
            }
        }
        met.extend(seen);
    }

    fn add_to_agent(&mut self, task: &'a Arc<Task>) {
        let (counts, _) = self.agents.entry(&task.agent_id).or_default();
        counts.add(task.state);
    }

    fn meet(&mut self, agent: &'a AgentId, framework: &'a FrameworkId) {
        self.agents.entry(agent).or_default().1.insert(framework);
        self.frameworks
            .entry(framework)
            .or_default()
            .1
            .insert(agent);
    }
}

/// `/state-summary`.
pub(super) async fn answer(shared: Shared, request: Request) -> Result<Reply, Refusal> {
    let parameters = String::new();
    let reply = Reply::of_state(
        &shared,
        &request,
        "/state-summary",
        parameters,
        move |parts, snapshot, calls| {
            let counts = Arc::new(Counts::of(snapshot));
            let w = parts.text();
            w.open();
            text(w, "\"hostname\":", snapshot.master.hostname());
            optional(w, "\"cluster\":", flag(calls.daemon(), "cluster"));
            w.key("\"slaves\":");
            let shared = Arc::clone(&counts);
            let all = snapshot.agents.values().map(Arc::as_ref);
            parts.list(all.collect(), move |w, agent| {
                w.open();
                agents::members(w, agent, &agents::Shares::of(snapshot, agent));
                let none = Default::default();
                let (states, met) = shared.agents.get(&agent.id).unwrap_or(&none);
                states.write(w);
                texts(w, "\"framework_ids\":", met.iter().map(|id| id.as_str()));
                w.close();
            });
            parts.text().key("\"frameworks\":");
            let all = snapshot.frameworks.values().map(Arc::as_ref);
            parts.list(all.collect(), move |w, framework| {
                w.open();
                frameworks::members(w, framework, &frameworks::Shares::of(snapshot, framework));
                let none = Default::default();
                let (states, met) = counts.frameworks.get(&framework.id).unwrap_or(&none);
                states.write(w);
                texts(w, "\"slave_ids\":", met.iter().map(|id| id.as_str()));
                w.close();
            });
            parts.text().close();
        },
    );
    Ok(reply.await?)
}
