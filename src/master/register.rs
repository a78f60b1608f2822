//! Agents' links, and the registration of new agents: checked, stored in the registry, then answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use crate::allocator::AgentSpec;
use crate::attributes::Attributes;
use crate::base::{AgentId, ConnectionId, FrameworkId};
use crate::proto::link::from_agent::Message as FromAgent;
use crate::proto::link::from_master::Message as FromMaster;
use crate::proto::{link, v1};
use crate::registry::Operation;
use crate::resources::Resources;
use crate::validation::agent::{ValidAgent, check};

use super::agent::{Agent, AgentStatus};
use super::core::{Master, Step};
use super::effect::{Effect, OperatorEvent};
use super::pending::{Departure, Pending, with_id};

/// One agent's link and how far its registration has come.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: String,
    pub(super) stage: LinkStage,
}

/// How far the registration on a link has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LinkStage {
    /// Nothing was said yet.
    Open,
    /// The registry is being told.
    Registering,
    /// The link is this agent's.
    Registered(AgentId),
}

impl Master {
    pub(super) fn agent_connected(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        peer: String,
    ) {
        if self.draining {
            step.push(Effect::CloseAgent { connection });
            return;
        }
        let stage = LinkStage::Open;
        self.links.insert(connection, Link { peer, stage });
    }

    pub(super) fn agent_message(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        message: FromAgent,
    ) {
        let Some(link) = self.links.get(&connection) else {
            return;
        };
        let stage = link.stage.clone();
        match (message, stage) {
            (FromAgent::Register(message), stage) => {
                self.register(step, connection, stage, message);
            }
            (FromAgent::Reregister(message), stage) => {
                self.reregister(step, connection, &stage, message);
            }
            (message, LinkStage::Registered(agent_id)) => {
                self.registered_message(step, &agent_id, message);
            }
            (_, LinkStage::Open | LinkStage::Registering) => self.metrics.dropped_messages += 1,
        }
    }

    fn registered_message(&mut self, step: &mut Step<'_>, agent_id: &AgentId, message: FromAgent) {
        match message {
            FromAgent::StatusUpdate(message) => self.status_update(step, agent_id, message),
            FromAgent::ExecutorMessage(message) => {
                self.message_to_scheduler(step, agent_id, message)
            }
            FromAgent::ExitedExecutor(message) => self.executor_exited(step, agent_id, message),
            FromAgent::Unregister(_) => {
                self.metrics.messages_unregister_slave += 1;
                self.leave(step, agent_id, Departure::Unregistered, None);
            }
            FromAgent::Pong(message) => self.pong(step, agent_id, &message),
            FromAgent::ResourcesChanged(message) => self.total_changed(step, agent_id, &message),
            FromAgent::OperationUpdate(message) => self.operation_update(step, agent_id, message),
            FromAgent::Register(_) | FromAgent::Reregister(_) => {}
        }
    }

    /// A new agent. What is wrong is logged and the link closed; the agent tries again.
    fn register(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        stage: LinkStage,
        message: link::Register,
    ) {
        self.metrics.messages_register_slave += 1;
        match stage {
            LinkStage::Open => {}
            LinkStage::Registering => return,
            LinkStage::Registered(agent_id) => {
                self.send_registered(step, connection, &agent_id);
                return;
            }
        }
        let hostname = message.agent.hostname.clone();
        if let Err(error) = check(&message.agent, &message.total) {
            tracing::warn!(hostname, %error, "registration of an agent refused");
            self.close_link(step, connection);
            return;
        }
        if let Some(problem) = self.domain_problem(&message.agent) {
            tracing::warn!(hostname, problem, "registration of an agent refused");
            self.close_link(step, connection);
            return;
        }
        if self.is_machine_down(&message.agent, &self.peer(connection)) {
            let text = "the machine is down for maintenance".to_owned();
            self.turn_away(step, connection, &hostname, text);
            return;
        }
        let address = self.address(connection, &message.agent);
        if let Some(former) = self.addresses.get(&address).cloned() {
            let status = self.agents.get(&former).map(|agent| agent.status);
            match status {
                Some(AgentStatus::Active(_)) => {
                    tracing::warn!(hostname, agent_id = %former,
                        "a new agent registers from the address of a connected one, refused");
                    self.close_link(step, connection);
                    return;
                }
                Some(AgentStatus::Disconnected) => {
                    self.leave(step, &former, Departure::Replaced, None);
                }
                Some(AgentStatus::Leaving) | None => {}
            }
        }
        let agent_id = AgentId::new(format!("{}-S{}", self.config.uuid, self.minted.agents));
        self.minted.agents += 1;
        let operation = Operation::AdmitAgent {
            agent_id: agent_id.clone(),
            info: with_id(&message.agent, &agent_id),
        };
        self.set_stage(connection, LinkStage::Registering);
        self.writing.insert(agent_id.clone());
        if planted!(self, RegisterBeforePersisted) {
            self.send_registered(step, connection, &agent_id);
        }
        let message = Box::new(message);
        let pending = Pending::Admit {
            connection,
            agent_id,
            message,
        };
        self.persist(step, operation, pending);
    }

    /// Why an agent's `--domain` does not go with the master's, if so.
    pub(super) fn domain_problem(&self, agent: &v1::AgentInfo) -> Option<&'static str> {
        match (&agent.domain, &self.config.info.domain) {
            (Some(_), None) => Some("it has a --domain, and this master has none"),
            (None, _) if self.config.agent_domain_required => {
                Some("it has no --domain, which --require_agent_domain asks for")
            }
            _ => None,
        }
    }

    /// Tells an agent that may not be here to kill everything and end.
    pub(super) fn turn_away(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        hostname: &str,
        text: String,
    ) {
        tracing::warn!(hostname, text, "an agent is turned away");
        let message = FromMaster::Shutdown(link::Shutdown {
            message: Some(text),
        });
        step.push(Effect::ToAgent {
            connection,
            message: Box::new(message),
        });
        self.close_link(step, connection);
    }

    /// The registry knows a new agent: it may hold tasks from now on.
    pub(super) fn admitted(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        agent_id: AgentId,
        message: link::Register,
    ) {
        if !self.links.contains_key(&connection) {
            // It never learned its id and comes back as another one.
            let operation = Operation::RemoveAgent {
                agent_id: agent_id.clone(),
            };
            self.writing.insert(agent_id.clone());
            self.persist(step, operation, Pending::Forget { agent_id });
            return;
        }
        let Ok(valid) = check(&message.agent, &message.total) else {
            return;
        };
        self.metrics.slave_registrations += 1;
        let info = with_id(&message.agent, &agent_id);
        self.insert_agent(step, connection, &agent_id, info, valid, message.version);
        let spec = self.agent_spec(&agent_id);
        self.allocator
            .add_agent(agent_id.clone(), spec, &BTreeMap::new());
        if !planted!(self, RegisterBeforePersisted) {
            self.send_registered(step, connection, &agent_id);
        }
        self.start_pings(step, &agent_id);
        self.publish_agent(step, &agent_id);
        tracing::info!(%agent_id, hostname = message.agent.hostname, "agent registered");
    }

    /// Adds the record of an agent that runs nothing as far as the master knows.
    pub(super) fn insert_agent(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        agent_id: &AgentId,
        info: Arc<v1::AgentInfo>,
        valid: ValidAgent,
        version: String,
    ) {
        let address = self.address(connection, &info);
        let peer = self.peer(connection);
        let maintained = self.maintained(&info, &peer);
        self.addresses.insert(address.clone(), agent_id.clone());
        self.set_stage(connection, LinkStage::Registered(agent_id.clone()));
        let agent = Agent {
            id: agent_id.clone(),
            info,
            version,
            peer,
            address,
            status: AgentStatus::Active(connection),
            total: valid.total,
            registered: step.now.wall,
            reregistered: None,
            maintained: None,
            drain_started: None,
            tasks: OrdSet::new(),
            executors: OrdMap::new(),
            operations: OrdMap::new(),
            offers: OrdSet::new(),
            kills: BTreeMap::new(),
            ping: 0,
            pings_missed: 0,
            ping_pending: false,
        };
        self.agents.insert(agent_id.clone(), Arc::new(agent));
        self.set_maintained(agent_id, maintained);
        self.plan_inverse_offers(step, false);
    }

    /// The agent's total has changed: outstanding offers may promise too much and go back.
    fn total_changed(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        message: &link::ResourcesChanged,
    ) {
        self.metrics.messages_update_slave += 1;
        let total = match Resources::from_proto(&message.total) {
            Ok(total) => total,
            Err(error) => {
                tracing::warn!(%agent_id, %error, "change of an agent's resources refused");
                return;
            }
        };
        self.rescind_offers_of(step, agent_id);
        if let Some(agent) = self.agent_mut(agent_id) {
            agent.total = agent.with_operations_on_the_way(total, &message.operation_uuids);
        }
        let spec = self.agent_spec(agent_id);
        self.allocator.update_agent(agent_id, spec);
    }

    fn send_registered(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        agent_id: &AgentId,
    ) {
        let message = FromMaster::Registered(link::Registered {
            agent_id: agent_id.into(),
            master: v1::MasterInfo::clone(&self.info),
            epoch: self.config.epoch,
            total_ping_timeout_seconds: self.ping_timeout().as_secs_f64(),
        });
        step.push(Effect::ToAgent {
            connection,
            message: Box::new(message),
        });
    }

    /// Sends a message to an agent whose link is up; says whether it is.
    pub(super) fn send_agent(
        &self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        message: FromMaster,
    ) -> bool {
        let agent = self.agents.get(agent_id);
        let Some(connection) = agent.and_then(|agent| agent.status.connection()) else {
            return false;
        };
        step.push(Effect::ToAgent {
            connection,
            message: Box::new(message),
        });
        true
    }

    pub(super) fn publish_agent(&self, step: &mut Step<'_>, agent_id: &AgentId) {
        if let Some(agent) = self.agents.get(agent_id) {
            let added = OperatorEvent::AgentAdded(Arc::clone(agent));
            step.push(Effect::Publish(added));
        }
    }

    pub(super) fn set_stage(&mut self, connection: ConnectionId, stage: LinkStage) {
        if let Some(link) = self.links.get_mut(&connection) {
            link.stage = stage;
        }
    }

    pub(super) fn peer(&self, connection: ConnectionId) -> String {
        self.links
            .get(&connection)
            .map_or_else(String::new, |link| link.peer.clone())
    }

    /// What only one living agent can have: the host that it comes from, its name and its port.
    pub(super) fn address(&self, connection: ConnectionId, info: &v1::AgentInfo) -> String {
        let peer = self.peer(connection);
        let host = peer
            .rsplit_once(':')
            .map_or(peer.as_str(), |(host, _)| host);
        format!("{host} {}:{}", info.hostname, info.port())
    }

    /// An agent lives elsewhere, or not at all.
    pub(super) fn leave_address(&mut self, agent_id: &AgentId) {
        if let Some(agent) = self.agents.get(agent_id)
            && self.addresses.get(&agent.address) == Some(agent_id)
        {
            self.addresses.remove(&agent.address);
        }
    }

    /// What the allocator has to know of an agent.
    pub(super) fn agent_spec(&self, agent_id: &AgentId) -> AgentSpec {
        let Some(agent) = self.agents.get(agent_id) else {
            return AgentSpec::default();
        };
        let domain = agent.info.domain.as_ref();
        let fault = domain.and_then(|domain| domain.fault_domain.as_ref());
        AgentSpec {
            total: agent.total.clone(),
            attributes: Attributes::from_proto(&agent.info.attributes).unwrap_or_default(),
            hostname: agent.info.hostname.as_str().into(),
            region: fault.map(|fault| fault.region.name.as_str().into()),
            zone: fault.map(|fault| fault.zone.name.as_str().into()),
        }
    }

    /// What frameworks hold on an agent, by the master's records.
    pub(super) fn used_on(&self, agent: &Agent) -> BTreeMap<FrameworkId, Resources> {
        let mut used: BTreeMap<FrameworkId, Resources> = BTreeMap::new();
        for (framework_id, task_id) in &agent.tasks {
            let framework = self.frameworks.get(framework_id);
            let task = framework.and_then(|framework| framework.tasks.get(task_id));
            if let Some(task) = task.filter(|task| task.holds_resources()) {
                let sum = used.entry(framework_id.clone()).or_default();
                sum.add_all(&task.resources);
            }
        }
        for ((framework_id, _), executor) in &agent.executors {
            let sum = used.entry(framework_id.clone()).or_default();
            sum.add_all(&executor.resources);
        }
        used.retain(|_, held| !held.is_empty());
        used
    }
}
