//! Operators of the world: they decide about roles and agents at random, and believe what they are told.

use mesosd::master::OperatorCall;
use mesosd::registry::{MachineId, Standing, Subject, Window};
use mesosd::roles::{Role, Weight};

use super::*;

/// Time between two decisions at most.
const PAUSE: Duration = Duration::from_secs(8);

impl World {
    pub(super) fn operator_decides(&mut self) {
        if !self.faults_on {
            return;
        }
        let pause = self.operators.up_to(PAUSE);
        self.after(pause, Happening::Operator);
        let Some(master) = self.leading().filter(|master| self.accepts(*master)) else {
            return;
        };
        let Some(call) = self.decision(master) else {
            return;
        };
        self.order(master, call);
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        let number = usize::try_from(self.operators.below(from.len().max(1) as u64)).unwrap();
        from.get(number).cloned()
    }

    fn decision(&mut self, master: usize) -> Option<OperatorCall> {
        let core = self.masters[master].core.as_ref()?;
        let snapshot = core.snapshot(self.master_now(master));
        let agents: Vec<AgentId> = snapshot.agents.keys().cloned().collect();
        let agent_id = self.pick(&agents)?;
        let role = Role::parse(&format!("role-{}", self.operators.below(3))).unwrap();
        Some(match self.operators.below(28) {
            0 | 1 => OperatorCall::DrainAgent {
                agent_id,
                grace_max: Some(Duration::from_secs(1)),
                mark_gone: self.operators.chance(1, 4),
            },
            2 | 3 => OperatorCall::DeactivateAgent { agent_id },
            4..=10 => OperatorCall::ReactivateAgent { agent_id },
            11 => {
                let weight = 1 + 500 * u32::try_from(self.operators.below(9)).unwrap();
                OperatorCall::UpdateWeights {
                    weights: [(role, Weight::from_thousandths(weight))].into(),
                }
            }
            12..=14 => self.quota(&role),
            15 => OperatorCall::MarkAgentGone { agent_id },
            24 => OperatorCall::SetQuota {
                role,
                quota: mesosd::quota::Quota::default(),
                force: true,
            },
            25 => OperatorCall::RemoveQuota { role },
            26 => OperatorCall::Operate {
                agent_id,
                operation: Box::new(crate::operations::reserve_cpus(&role.to_string())),
            },
            27 => {
                self.read(master, &snapshot);
                return None;
            }
            16 | 17 => self.schedule(),
            18 => OperatorCall::StartMaintenance {
                machines: vec![self.machine()],
            },
            19 | 20 => OperatorCall::StopMaintenance {
                machines: vec![self.machine()],
            },
            21 => {
                let frameworks: Vec<_> = snapshot.frameworks.keys().cloned().collect();
                let framework_id = self.pick(&frameworks)?;
                if self.operators.chance(9, 10) {
                    return None;
                }
                OperatorCall::Teardown { framework_id }
            }
            _ => {
                let tasks: Vec<_> = snapshot
                    .tasks()
                    .map(|task| (task.framework_id.clone(), task.id.clone()))
                    .collect();
                let (framework_id, task_id) = self.pick(&tasks)?;
                OperatorCall::KillTask {
                    framework_id,
                    task_id,
                    kill_policy: None,
                }
            }
        })
    }

    /// Somebody looks at the state, and asks why a framework gets what it gets.
    fn read(&mut self, master: usize, snapshot: &master::Snapshot) {
        let request = RequestId(self.id());
        self.step_master(master, master::Event::SnapshotRequested { request });
        let frameworks: Vec<_> = snapshot.frameworks.keys().cloned().collect();
        if let Some(framework_id) = self.pick(&frameworks) {
            let request = RequestId(self.id());
            let question = master::Question {
                framework_id,
                role: None,
                agent_id: None,
            };
            self.step_master(
                master,
                master::Event::ExplainRequested { request, question },
            );
        }
        for index in 0..self.agents.len() {
            let request = RequestId(self.id());
            self.step_agent(index, agent::Event::SnapshotRequested { request });
        }
    }

    /// A guarantee below the limit, or none.
    fn quota(&mut self, role: &Role) -> OperatorCall {
        let cpus = |value: f64| ("cpus".to_owned(), v1::value::Scalar { value });
        let config = if self.operators.chance(1, 3) {
            v1::quota::QuotaConfig {
                role: role.to_string(),
                ..v1::quota::QuotaConfig::default()
            }
        } else {
            let limit = 2.0 + self.operators.below(20) as f64;
            v1::quota::QuotaConfig {
                role: role.to_string(),
                guarantees: [cpus(self.operators.below(2) as f64)].into(),
                limits: [cpus(limit)].into(),
            }
        };
        OperatorCall::UpdateQuota {
            quotas: mesosd::quota::from_configs(&[config]).unwrap(),
            force: true,
        }
    }

    fn machine(&mut self) -> MachineId {
        let agent = self.operators.below(self.agents.len() as u64);
        let id = v1::MachineId {
            hostname: Some(format!("agent-{agent}")),
            ip: None,
        };
        MachineId::from_proto(&id).unwrap()
    }

    fn schedule(&mut self) -> OperatorCall {
        let windows = if self.operators.chance(1, 2) {
            Vec::new()
        } else {
            let start = Clock::default().now(self.now).wall;
            vec![Window {
                machines: vec![self.machine()],
                start: start.after(self.operators.up_to(Duration::from_secs(600))),
                duration: Some(Duration::from_secs(60)),
            }]
        };
        OperatorCall::UpdateMaintenanceSchedule { windows }
    }

    /// What operators have decided is taken back, so that the history can end.
    pub(super) fn operator_repairs(&mut self) {
        self.wedged_executors_are_killed();
        let Some(master) = self.leading().filter(|master| self.accepts(*master)) else {
            return;
        };
        let Some(core) = &self.masters[master].core else {
            return;
        };
        let snapshot = core.snapshot(self.master_now(master));
        let agents: Vec<AgentId> = snapshot.agents.keys().cloned().collect();
        let machines: Vec<MachineId> = (0..self.agents.len())
            .map(|agent| {
                MachineId::from_proto(&v1::MachineId {
                    hostname: Some(format!("agent-{agent}")),
                    ip: None,
                })
                .unwrap()
            })
            .collect();
        for machine in machines {
            let machines = vec![machine];
            self.order(master, OperatorCall::StopMaintenance { machines });
        }
        let windows = Vec::new();
        self.order(master, OperatorCall::UpdateMaintenanceSchedule { windows });
        for agent_id in agents {
            self.order(master, OperatorCall::ReactivateAgent { agent_id });
        }
    }

    fn order(&mut self, master: usize, call: OperatorCall) {
        let request = RequestId(self.id());
        self.requests.insert(request, call.name());
        self.orders.insert(request, call.clone());
        self.checkers.hit("operator call", call.name());
        self.note(|| format!("operator: {call:?}"));
        self.step_master(master, master::Event::OperatorCall { request, call });
    }

    /// An operator was told that a decision stands: then the registry has it.
    pub(super) fn order_confirmed(&mut self, request: RequestId) {
        let Some(call) = self.orders.remove(&request) else {
            return;
        };
        self.count("confirmed order");
        let standing = |agent_id: &AgentId| -> Standing {
            let stored = self.ensemble.stored(&Subject::Agent(agent_id.clone()));
            stored.standings.get(agent_id).copied().unwrap_or_default()
        };
        let stored = match &call {
            OperatorCall::UpdateWeights { weights } => weights.iter().all(|(role, weight)| {
                let stored = self.ensemble.stored(&Subject::Weight(role.clone()));
                stored.weights.get(role) == Some(weight)
            }),
            OperatorCall::UpdateQuota { quotas, .. } => quotas.iter().all(|(role, quota)| {
                let stored = self.ensemble.stored(&Subject::Quota(role.clone()));
                stored.quotas.get(role).cloned().unwrap_or_default() == *quota
            }),
            OperatorCall::DrainAgent { agent_id, .. } => standing(agent_id).drain.is_some(),
            OperatorCall::DeactivateAgent { agent_id } => standing(agent_id).deactivated,
            OperatorCall::ReactivateAgent { agent_id } => !standing(agent_id).deactivated,
            OperatorCall::MarkAgentGone { agent_id } => {
                let stored = self.ensemble.stored(&Subject::Agent(agent_id.clone()));
                stored.gone.contains_key(agent_id)
            }
            _ => true,
        };
        assert!(
            stored || self.options.believes,
            "{call:?} was promised, but the registry does not have it"
        );
    }
}
