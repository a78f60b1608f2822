//! SUBSCRIBE and what ends a subscription: failover, disconnection, removal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use crate::allocator::{self, FrameworkSpec};
use crate::base::{AgentId, ConnectionId, FrameworkId};
use crate::proto::{link, v1};
use crate::validation::framework::{self as check, ValidFramework};

use super::call::{CallError, CallErrorKind};
use super::core::{Master, Step};
use super::effect::{Effect, OperatorEvent};
use super::framework::{Capabilities, Framework, FrameworkStatus};
use super::framework_metrics::FrameworkMetrics;
use super::history::History;
use super::timer::TimerKey;

impl Master {
    /// A scheduler's first call on a new stream.
    pub(super) fn subscribe(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        mut info: v1::FrameworkInfo,
        suppressed_roles: &[String],
        constraints: Option<&v1::scheduler::OfferConstraints>,
        principal: Option<String>,
    ) {
        if info.id.is_some() {
            self.metrics.messages_reregister_framework += 1;
        } else {
            self.metrics.messages_register_framework += 1;
        }
        let (roles, info) = (suppressed_roles, &mut info);
        let taken = self.try_subscribe(step, connection, info, (roles, constraints), principal);
        if let Err(message) = taken {
            tracing::info!(framework = info.name, %message, "subscription refused");
            step.send_error(connection, message);
        }
    }

    fn try_subscribe(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        info: &mut v1::FrameworkInfo,
        (suppressed_roles, constraints): (&[String], Option<&v1::scheduler::OfferConstraints>),
        principal: Option<String>,
    ) -> Result<(), String> {
        if self.draining {
            return Err("the master is shutting down".to_owned());
        }
        match (&info.principal, principal) {
            (None, authenticated) => info.principal = authenticated,
            (Some(claimed), Some(authenticated)) if *claimed != authenticated => {
                return Err(format!(
                    "framework_info.principal: '{claimed}' is not the authenticated '{authenticated}'"
                ));
            }
            (Some(_), _) => {}
        }
        if !self.config.root_submissions && info.user == "root" {
            return Err(
                "framework_info.user: frameworks may not run as root (--root_submissions=false)"
                    .to_owned(),
            );
        }
        let constraints = constraints.map(|message| (message, self.config.constraint_patterns));
        let valid =
            check::check(info, suppressed_roles, constraints).map_err(|error| error.to_string())?;
        let Some(framework_id) = valid.id.clone() else {
            let framework_id = self.mint_framework_id();
            self.add_framework(step, &framework_id, info, valid, Some(connection));
            step.send_subscribed(connection, &framework_id, &self.info);
            return Ok(());
        };
        if self.completed.contains(&framework_id) {
            return Err("Framework has been removed".to_owned());
        }
        let Some(known) = self.frameworks.get(&framework_id) else {
            self.add_framework(step, &framework_id, info, valid, Some(connection));
            step.send_subscribed(connection, &framework_id, &self.info);
            return Ok(());
        };
        if known.info.principal != info.principal {
            return Err(format!(
                "framework_info.principal: framework {framework_id} belongs to another principal"
            ));
        }
        self.resubscribe(step, connection, &framework_id, info, valid);
        Ok(())
    }

    fn mint_framework_id(&mut self) -> FrameworkId {
        let id = FrameworkId::new(format!(
            "{}-{:04}",
            self.config.uuid, self.minted.frameworks
        ));
        self.minted.frameworks += 1;
        id
    }

    /// Adds a framework that the master does not know; without a stream it is a recovered one.
    pub(super) fn add_framework(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        info: &v1::FrameworkInfo,
        valid: ValidFramework,
        connection: Option<ConnectionId>,
    ) {
        let mut info = info.clone();
        info.id = Some(framework_id.into());
        let framework = Arc::new(Framework {
            id: framework_id.clone(),
            capabilities: Capabilities::of(&info),
            status: connection.map_or(FrameworkStatus::Recovered, FrameworkStatus::Connected),
            process: None,
            registered: step.now.wall,
            reregistered: None,
            unregistered: None,
            tasks: OrdMap::new(),
            unreachable_tasks: History::new(self.config.unreachable_tasks_max),
            completed_tasks: History::new(self.config.completed_tasks_max),
            completed_count: 0,
            executors: OrdSet::new(),
            offers: OrdSet::new(),
            metrics: FrameworkMetrics::default(),
            failover_timeout: valid.failover_timeout,
            min_allocatable: valid.min_allocatable,
            constraints: valid.constraints,
            roles: valid.roles,
            suppressed_roles: valid.suppressed_roles,
            info: Arc::new(info),
        });
        self.allocator
            .add_framework(framework_id, &spec(&framework), &BTreeMap::new());
        match connection {
            Some(connection) => {
                self.schedulers.insert(connection, framework_id.clone());
            }
            None => self.allocator.deactivate_framework(framework_id),
        }
        let recovered = connection.is_none();
        tracing::info!(%framework_id, name = framework.info.name, "framework added");
        self.frameworks
            .insert(framework_id.clone(), Arc::clone(&framework));
        step.push(Effect::Publish(OperatorEvent::FrameworkAdded(framework)));
        self.keep_framework(step, framework_id);
        if recovered {
            self.await_scheduler(step, framework_id);
        }
    }

    /// A scheduler takes a known framework over, from another one or after a break.
    fn resubscribe(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        framework_id: &FrameworkId,
        info: &v1::FrameworkInfo,
        valid: ValidFramework,
    ) {
        let former = self
            .frameworks
            .get(framework_id)
            .and_then(|framework| framework.status.connection());
        if let Some(former) = former {
            self.schedulers.remove(&former);
            self.reconciling.remove(&former);
            step.send_error(former, "Framework failed over");
        }
        self.discard_offers_of(step, framework_id);
        self.drop_inverse_offers_to(step, framework_id);
        self.cancel_timer(step, TimerKey::Failover(framework_id.clone()));
        self.change_framework(step, framework_id, info, valid);
        self.schedulers.insert(connection, framework_id.clone());
        let at = step.now.wall;
        if let Some(framework) = self.framework_mut(framework_id) {
            let next = FrameworkStatus::Connected(connection);
            assert!(
                framework.status.may_follow(next),
                "{framework_id}: {next:?}"
            );
            framework.status = next;
            framework.process = None;
            framework.reregistered = Some(at);
        }
        self.allocator.activate_framework(framework_id);
        tracing::info!(%framework_id, "framework subscribed again");
        step.send_subscribed(connection, framework_id, &self.info);
        if let Some(framework) = self.frameworks.get(framework_id) {
            let updated = OperatorEvent::FrameworkUpdated(Arc::clone(framework));
            step.push(Effect::Publish(updated));
        }
    }

    /// Takes over a new description, but for what must not change, and tells the agents.
    fn change_framework(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        info: &v1::FrameworkInfo,
        valid: ValidFramework,
    ) {
        let Some(framework) = self.framework_mut(framework_id) else {
            return;
        };
        let mut info = info.clone();
        info.id = Some(framework_id.into());
        if info.user != framework.info.user || info.checkpoint() != framework.info.checkpoint() {
            tracing::warn!(%framework_id, "user and checkpoint cannot change, the change is ignored");
            info.user.clone_from(&framework.info.user);
            info.checkpoint = framework.info.checkpoint;
        }
        let changed = *framework.info != info;
        framework.capabilities = Capabilities::of(&info);
        framework.info = Arc::new(info);
        framework.roles = valid.roles;
        framework.suppressed_roles = valid.suppressed_roles;
        framework.failover_timeout = valid.failover_timeout;
        framework.min_allocatable = valid.min_allocatable;
        framework.constraints = valid.constraints;
        let spec = spec(framework);
        self.allocator.update_framework(framework_id, &spec);
        if !changed {
            return;
        }
        self.keep_framework(step, framework_id);
        let Some(framework) = self.frameworks.get(framework_id) else {
            return;
        };
        for agent_id in involved_agents(framework) {
            self.send_agent(
                step,
                &agent_id,
                link::from_master::Message::UpdateFramework(link::UpdateFramework {
                    framework: v1::FrameworkInfo::clone(&framework.info),
                }),
            );
        }
    }

    /// UPDATE_FRAMEWORK: as a resubscription, but refuses what must not change.
    pub(super) fn update_framework(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        call: &v1::scheduler::call::UpdateFramework,
    ) -> Result<(), CallError> {
        let info = &call.framework_info;
        let constraints = call.offer_constraints.as_ref();
        let constraints = constraints.map(|message| (message, self.config.constraint_patterns));
        let valid = check::check(info, &call.suppressed_roles, constraints)
            .map_err(|error| CallError::invalid(error.to_string()))?;
        if valid.id.as_ref() != Some(framework_id) {
            return Err(CallError::invalid(format!(
                "framework_info.id: must be {framework_id}"
            )));
        }
        let Some(framework) = self.frameworks.get(framework_id) else {
            return Ok(());
        };
        check::check_change(&framework.info, info)
            .map_err(|error| CallError::new(CallErrorKind::Conflict, error.to_string()))?;
        let lost: Vec<_> = framework
            .offers
            .iter()
            .filter(|id| {
                self.offers
                    .get(*id)
                    .is_some_and(|offer| !valid.roles.contains(&offer.role))
            })
            .cloned()
            .collect();
        for offer_id in lost {
            self.rescind(step, &offer_id);
        }
        self.change_framework(step, framework_id, info, valid);
        if let Some(framework) = self.frameworks.get(framework_id) {
            let updated = OperatorEvent::FrameworkUpdated(Arc::clone(framework));
            step.push(Effect::Publish(updated));
        }
        Ok(())
    }

    /// Notes the process of a subscribed v0 driver, for readers.
    pub(super) fn name_scheduler(&mut self, connection: ConnectionId, process: String) {
        let framework_id = self.schedulers.get(&connection).cloned();
        if let Some(framework) = framework_id.and_then(|id| self.framework_mut(&id)) {
            framework.process = Some(process);
        }
    }

    /// A scheduler's stream ended.
    pub(super) fn scheduler_disconnected(&mut self, step: &mut Step<'_>, connection: ConnectionId) {
        self.reconciling.remove(&connection);
        let Some(framework_id) = self.schedulers.remove(&connection) else {
            return;
        };
        let Some(framework) = self.framework_mut(&framework_id) else {
            return;
        };
        framework.status = FrameworkStatus::Disconnected;
        let timeout = framework.failover_timeout;
        tracing::info!(%framework_id, "scheduler disconnected");
        self.allocator.deactivate_framework(&framework_id);
        self.discard_offers_of(step, &framework_id);
        self.drop_inverse_offers_to(step, &framework_id);
        if timeout.is_zero() {
            self.remove_framework(step, &framework_id);
        } else {
            let deadline = step.now.mono.after(timeout);
            self.set_timer(step, TimerKey::Failover(framework_id), deadline);
        }
    }
}

/// What the allocator has to know of a framework.
fn spec(framework: &Framework) -> FrameworkSpec {
    FrameworkSpec {
        roles: framework.roles.clone(),
        suppressed_roles: framework.suppressed_roles.clone(),
        capabilities: allocator::Capabilities::from_wire(&framework.info.capabilities),
        min_allocatable: framework.min_allocatable.clone(),
        constraints: framework.constraints.clone(),
    }
}

/// The agents that run something for a framework.
pub(super) fn involved_agents(framework: &Framework) -> BTreeSet<AgentId> {
    let tasks = framework.tasks.values().map(|task| task.agent_id.clone());
    let executors = framework
        .executors
        .iter()
        .map(|(agent_id, _)| agent_id.clone());
    tasks.chain(executors).collect()
}
