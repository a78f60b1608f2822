//! Frameworks in the registry: a change of master forgets none of them, nor its `failover_timeout`.
//!
//! Nothing waits for these writes: a framework without record is found again as its agents report it,
//! and only a framework with record can be given up.

use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;

use crate::base::FrameworkId;
use crate::proto::v1;
use crate::registry::Operation;
use crate::validation::framework::check;

use super::core::{Master, Step};
use super::pending::Pending;
use super::timer::TimerKey;

impl Master {
    /// Frameworks of the registry are there, without scheduler, from the start. Each has its
    /// `failover_timeout` to come back, and never less time than the agents have, so that one with a
    /// timeout of zero loses nothing by a change of master.
    pub(super) fn recover_frameworks(
        &mut self,
        step: &mut Step<'_>,
        frameworks: &OrdMap<FrameworkId, Arc<v1::FrameworkInfo>>,
    ) {
        for (framework_id, info) in frameworks {
            match check(info, &[], None) {
                Ok(valid) => self.add_framework(step, framework_id, info, valid, None),
                Err(error) => {
                    tracing::warn!(%framework_id, %error, "a framework of the registry is not valid");
                }
            }
        }
    }

    /// Starts the time that a framework without scheduler has.
    pub(super) fn await_scheduler(&mut self, step: &mut Step<'_>, framework_id: &FrameworkId) {
        let Some(framework) = self.frameworks.get(framework_id) else {
            return;
        };
        let least: Duration = self.config.agent_reregister_timeout;
        let deadline = step.now.mono.after(framework.failover_timeout.max(least));
        self.set_timer(step, TimerKey::Failover(framework_id.clone()), deadline);
    }

    /// Has the registry know a framework as it is now.
    pub(super) fn keep_framework(&mut self, step: &mut Step<'_>, framework_id: &FrameworkId) {
        let Some(framework) = self.frameworks.get(framework_id) else {
            return;
        };
        let info = Arc::clone(&framework.info);
        if self.kept.get(framework_id) == Some(&info) {
            return;
        }
        self.kept.insert(framework_id.clone(), Arc::clone(&info));
        let framework_id = framework_id.clone();
        let operation = Operation::KeepFramework { framework_id, info };
        self.persist(step, operation, Pending::Note);
    }

    /// Has the registry forget a framework that ended.
    pub(super) fn forget_framework(&mut self, step: &mut Step<'_>, framework_id: &FrameworkId) {
        if self.kept.remove(framework_id).is_some() {
            let framework_id = framework_id.clone();
            self.persist(
                step,
                Operation::ForgetFramework { framework_id },
                Pending::Note,
            );
        }
    }
}
