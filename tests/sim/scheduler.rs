//! Model frameworks: they subscribe, use or return offers, acknowledge, kill, reconcile, break off and
//! come back, with habits drawn from the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesosd::base::{ConnectionId, FrameworkId, Rng, TaskId};
use mesosd::master::SchedulerCall;
use mesosd::proto::v1;
use mesosd::proto::v1::TaskState;
use mesosd::proto::v1::scheduler::{self, call as wire};

use crate::operations::{OperationView, is_reserved};

/// How a framework behaves.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    /// Tasks wanted at any time.
    pub(crate) parallel: usize,
    /// Chance in 100 that an offer is declined though tasks are wanted.
    pub(crate) picky: u64,
    /// Chance in 100 that an update is acknowledged late.
    pub(crate) late: u64,
    /// Chance in 100 per thought that a live task is killed.
    pub(crate) kills: u64,
    /// Chance in 100 per thought that it suppresses or revives.
    pub(crate) moody: u64,
    /// Launches tasks and groups under a custom executor instead of plain tasks.
    pub(crate) custom_executor: bool,
    /// Chance in 100 that an offer is used to reserve, unreserve, make or end volumes.
    pub(crate) converts: u64,
    /// The PARTITION_AWARE capability.
    pub(crate) partition_aware: bool,
    /// FrameworkInfo.checkpoint.
    pub(crate) checkpoint: bool,
    /// FrameworkInfo.failover_timeout, seconds.
    pub(crate) failover_timeout: f64,
}

/// What a framework knows of a task.
#[derive(Clone, Debug)]
pub(crate) struct TaskView {
    /// Where it was launched.
    pub(crate) agent_id: v1::AgentId,
    /// Its executor; a task with only a command is its own.
    pub(crate) executor_id: v1::ExecutorId,
    /// The newest state heard; STAGING until an update comes.
    pub(crate) state: TaskState,
    /// Uuids of the updates heard, in order of first arrival.
    pub(crate) uuids: Vec<Vec<u8>>,
}

/// One framework.
pub(crate) struct Scheduler {
    pub(crate) index: usize,
    pub(crate) habits: Habits,
    pub(crate) id: Option<FrameworkId>,
    pub(crate) connection: Option<ConnectionId>,
    /// Grows with every attempt to subscribe, so that thoughts of an older one stop.
    pub(crate) epoch: u32,
    pub(crate) offers: BTreeMap<String, v1::Offer>,
    pub(crate) tasks: BTreeMap<TaskId, TaskView>,
    /// Named operations whose end was not heard.
    pub(crate) operations: BTreeMap<String, OperationView>,
    /// No more launches: the history is ending.
    pub(crate) winding_down: bool,
    suppressed: bool,
    pub(crate) launched: u64,
    /// Times that it has changed its description.
    versions: u64,
    pub(crate) rng: Rng,
    /// Tasks that the model launched in a call that was sent, ever.
    pub(crate) launched_ids: BTreeSet<TaskId>,
}

/// A deed of a model framework.
pub(crate) enum Deed {
    /// Call the master after a pause.
    Call(Duration, SchedulerCall),
    /// Close the stream and subscribe again later.
    Resubscribe,
}

pub(crate) fn scalar(name: &str, value: f64, role: &str) -> v1::Resource {
    v1::Resource {
        name: name.into(),
        r#type: v1::value::Type::Scalar as i32,
        scalar: Some(v1::value::Scalar { value }),
        allocation_info: Some(v1::resource::AllocationInfo {
            role: Some(role.into()),
        }),
        ..v1::Resource::default()
    }
}

/// All of the tasks or none, in one executor.
fn launch_group(executor: v1::ExecutorInfo, mut tasks: Vec<v1::TaskInfo>) -> v1::offer::Operation {
    for task in &mut tasks {
        task.executor = None;
    }
    v1::offer::Operation {
        r#type: Some(v1::offer::operation::Type::LaunchGroup as i32),
        launch_group: Some(v1::offer::operation::LaunchGroup {
            executor,
            task_group: v1::TaskGroupInfo { tasks },
        }),
        ..v1::offer::Operation::default()
    }
}

fn amount(resources: &[v1::Resource], name: &str) -> f64 {
    resources
        .iter()
        .filter(|resource| resource.name == name && !is_reserved(resource))
        .filter_map(|resource| resource.scalar.as_ref())
        .map(|scalar| scalar.value)
        .sum()
}

impl Scheduler {
    pub(crate) fn new(seed: u64, index: usize) -> Self {
        let mut rng = Rng::seeded(seed, &format!("scheduler-{index}"));
        let habits = Habits {
            parallel: 1 + usize::try_from(rng.below(8)).unwrap(),
            picky: rng.below(60),
            late: rng.below(40),
            kills: rng.below(12),
            moody: rng.below(10),
            custom_executor: rng.chance(1, 3),
            converts: rng.below(40),
            partition_aware: rng.chance(1, 2),
            checkpoint: rng.chance(1, 2),
            // Over before the end of a history: one that was torn down while an agent was away is
            // known again through that agent, and waited for once more.
            failover_timeout: if rng.chance(1, 4) { 0.0 } else { 1800.0 },
        };
        Self {
            index,
            habits,
            id: None,
            connection: None,
            epoch: 0,
            offers: BTreeMap::new(),
            tasks: BTreeMap::new(),
            operations: BTreeMap::new(),
            winding_down: false,
            suppressed: false,
            launched: 0,
            versions: 0,
            rng,
            launched_ids: BTreeSet::new(),
        }
    }

    /// The description to subscribe with.
    pub(crate) fn info(&self) -> v1::FrameworkInfo {
        use v1::framework_info::capability::Type;
        let mut capabilities = vec![Type::MultiRole];
        if self.habits.partition_aware {
            capabilities.push(Type::PartitionAware);
        }
        v1::FrameworkInfo {
            user: "nobody".into(),
            name: format!("model-{}", self.index),
            id: self.id.as_ref().map(|id| v1::FrameworkId {
                value: id.to_string(),
            }),
            failover_timeout: Some(self.habits.failover_timeout),
            checkpoint: Some(self.habits.checkpoint),
            roles: vec![format!("role-{}", self.index % 3)],
            webui_url: Some(format!("http://model/{}", self.versions)),
            capabilities: capabilities
                .into_iter()
                .map(|capability| v1::framework_info::Capability {
                    r#type: Some(capability as i32),
                })
                .collect(),
            ..v1::FrameworkInfo::default()
        }
    }

    /// Tasks that have not ended as far as it knows.
    pub(crate) fn live(&self) -> impl Iterator<Item = (&TaskId, &TaskView)> {
        self.tasks
            .iter()
            .filter(|(_, view)| !view.state.is_terminal())
    }

    /// The stream is gone: offers with it, tasks not.
    pub(crate) fn disconnected(&mut self) {
        self.connection = None;
        self.offers.clear();
    }

    /// The framework was removed for good; it starts a new life under a new id.
    pub(crate) fn forgotten(&mut self) {
        self.disconnected();
        self.id = None;
        self.suppressed = false;
        self.tasks.clear();
        self.operations.clear();
    }

    pub(crate) fn pause(&mut self, max: Duration) -> Duration {
        self.rng.up_to(max)
    }

    /// Handles one event of the stream.
    pub(crate) fn hear(&mut self, event: &scheduler::Event) -> Vec<Deed> {
        use scheduler::event::Type;
        match event.r#type() {
            Type::Subscribed => {
                let id = &event.subscribed.as_ref().unwrap().framework_id.value;
                self.id = Some(FrameworkId::new(id.as_str()));
                vec![Deed::Call(Duration::from_secs(1), self.reconcile())]
            }
            Type::Offers => {
                let offers = event.offers.as_ref().unwrap().offers.clone();
                offers
                    .into_iter()
                    .flat_map(|offer| self.consider(offer))
                    .collect()
            }
            Type::Rescind => {
                let id = &event.rescind.as_ref().unwrap().offer_id.value;
                self.offers.remove(id);
                Vec::new()
            }
            Type::UpdateOperationStatus => {
                self.operation_ended(&event.update_operation_status.as_ref().unwrap().status)
            }
            Type::InverseOffers => {
                let offers = &event.inverse_offers.as_ref().unwrap().inverse_offers;
                self.leave(offers.iter().map(|offer| offer.id.clone()).collect())
            }
            Type::Update => self.update(&event.update.as_ref().unwrap().status),
            Type::Error => {
                let message = &event.error.as_ref().unwrap().message;
                if message.contains("removed") {
                    self.forgotten();
                }
                vec![Deed::Resubscribe]
            }
            _ => Vec::new(),
        }
    }

    /// A broken connection is its end.
    pub(crate) fn is_brief(&self) -> bool {
        self.habits.failover_timeout == 0.0
    }

    /// Everything it believes to be alive, asked for explicitly.
    pub(crate) fn reconcile(&self) -> SchedulerCall {
        SchedulerCall::Reconcile(wire::Reconcile {
            tasks: self
                .live()
                .map(|(id, view)| wire::reconcile::Task {
                    task_id: v1::TaskId {
                        value: id.to_string(),
                    },
                    agent_id: Some(view.agent_id.clone()),
                })
                .collect(),
        })
    }

    fn consider(&mut self, offer: v1::Offer) -> Vec<Deed> {
        let wanted = self.habits.parallel.saturating_sub(self.live().count());
        let pause = self.pause(Duration::from_millis(500));
        let converts = !self.winding_down && self.rng.chance(self.habits.converts, 100);
        let call = if converts {
            self.convert(&offer)
        } else if wanted > 0 && !self.winding_down && !self.rng.chance(self.habits.picky, 100) {
            self.accept(&offer, wanted)
        } else {
            let refuse_seconds = match self.rng.below(4) {
                0 => None,
                1 => Some(0.0),
                2 => Some(1.5),
                _ => Some(30.0),
            };
            SchedulerCall::Decline(wire::Decline {
                offer_ids: vec![offer.id.clone()],
                filters: refuse_seconds.map(|seconds| v1::Filters {
                    refuse_seconds: Some(seconds),
                }),
            })
        };
        // Some offers are simply kept for a long while.
        let pause = if self.rng.chance(1, 20) {
            pause + Duration::from_secs(20)
        } else {
            pause
        };
        self.offers.insert(offer.id.value.clone(), offer);
        vec![Deed::Call(pause, call)]
    }

    fn accept(&mut self, offer: &v1::Offer, wanted: usize) -> SchedulerCall {
        let role = offer
            .allocation_info
            .as_ref()
            .and_then(|info| info.role.clone());
        let role = role.unwrap_or_else(|| "*".into());
        let (mut cpus, mut mem) = (
            amount(&offer.resources, "cpus"),
            amount(&offer.resources, "mem"),
        );
        let executor = self.habits.custom_executor.then(|| {
            cpus -= 0.1;
            mem -= 32.0;
            self.executor(&role)
        });
        let executor_id = executor
            .as_ref()
            .map(|executor| executor.executor_id.clone());
        let mut tasks = Vec::new();
        for _ in 0..wanted {
            let (need_cpus, need_mem) = (
                0.1 * (1 + self.rng.below(15)) as f64,
                (32 + self.rng.below(256)) as f64,
            );
            // Now and then a task that cannot fit: the master must refuse it, and only it.
            let greedy = self.rng.chance(1, 50);
            if !greedy && (need_cpus > cpus || need_mem > mem) {
                break;
            }
            cpus -= need_cpus;
            mem -= need_mem;
            self.launched += 1;
            let id = TaskId::new(format!("s{}-t{}", self.index, self.launched));
            tasks.push(v1::TaskInfo {
                name: id.to_string(),
                task_id: v1::TaskId {
                    value: id.to_string(),
                },
                agent_id: offer.agent_id.clone(),
                resources: vec![
                    scalar("cpus", need_cpus, &role),
                    scalar("mem", need_mem, &role),
                ],
                command: executor.is_none().then(|| v1::CommandInfo {
                    value: Some("sleep 1".into()),
                    ..v1::CommandInfo::default()
                }),
                executor: executor.clone(),
                ..v1::TaskInfo::default()
            });
            self.launched_ids.insert(id.clone());
            self.tasks.insert(
                id,
                TaskView {
                    agent_id: offer.agent_id.clone(),
                    executor_id: executor_id.clone().unwrap_or_else(|| v1::ExecutorId {
                        value: format!("s{}-t{}", self.index, self.launched),
                    }),
                    state: TaskState::TaskStaging,
                    uuids: Vec::new(),
                },
            );
            if greedy {
                break;
            }
        }
        let launch = match executor.filter(|_| self.rng.chance(1, 2)) {
            Some(executor) => launch_group(executor, tasks),
            None => v1::offer::Operation {
                r#type: Some(v1::offer::operation::Type::Launch as i32),
                launch: Some(v1::offer::operation::Launch { task_infos: tasks }),
                ..v1::offer::Operation::default()
            },
        };
        SchedulerCall::Accept(wire::Accept {
            offer_ids: vec![offer.id.clone()],
            operations: vec![launch],
            filters: self.rng.chance(1, 2).then_some(v1::Filters {
                refuse_seconds: Some(0.5),
            }),
        })
    }

    /// One executor per framework and launch number, so that some are shared and some are not.
    fn executor(&mut self, role: &str) -> v1::ExecutorInfo {
        let name = format!("s{}-e{}", self.index, self.launched / 3);
        v1::ExecutorInfo {
            r#type: Some(v1::executor_info::Type::Custom as i32),
            executor_id: v1::ExecutorId { value: name },
            framework_id: self.id.as_ref().map(|id| v1::FrameworkId {
                value: id.to_string(),
            }),
            command: Some(v1::CommandInfo {
                value: Some("./executor".into()),
                ..v1::CommandInfo::default()
            }),
            resources: vec![scalar("cpus", 0.1, role), scalar("mem", 32.0, role)],
            ..v1::ExecutorInfo::default()
        }
    }

    fn update(&mut self, status: &v1::TaskStatus) -> Vec<Deed> {
        let id = TaskId::new(status.task_id.value.as_str());
        let state = status.state();
        if let Some(view) = self.tasks.get_mut(&id) {
            view.state = state;
            if let Some(uuid) = status.uuid.clone().filter(|uuid| !uuid.is_empty())
                && !view.uuids.contains(&uuid)
            {
                view.uuids.push(uuid);
            }
        }
        let (Some(uuid), Some(agent_id)) = (status.uuid.clone(), status.agent_id.clone()) else {
            return Vec::new();
        };
        if uuid.is_empty() {
            return Vec::new();
        }
        let acknowledge = SchedulerCall::Acknowledge(wire::Acknowledge {
            agent_id,
            task_id: status.task_id.clone(),
            uuid,
        });
        let pause = if self.rng.chance(self.habits.late, 100) {
            self.pause(Duration::from_secs(30))
        } else {
            Duration::from_millis(1)
        };
        vec![Deed::Call(pause, acknowledge)]
    }

    /// What it does on its own, about once a second.
    pub(crate) fn think(&mut self) -> Vec<Deed> {
        let mut deeds = Vec::new();
        if self.rng.chance(self.habits.kills, 100) {
            let live: Vec<_> = self
                .live()
                .map(|(id, view)| (id.clone(), view.clone()))
                .collect();
            if !live.is_empty() {
                let pick = usize::try_from(self.rng.below(live.len() as u64)).unwrap();
                let (id, view) = &live[pick];
                deeds.push(Deed::Call(Duration::ZERO, self.kill(id, view)));
            }
        }
        if self.rng.chance(self.habits.moody, 100) {
            let roles = Vec::new();
            self.suppressed = !self.suppressed;
            deeds.push(Deed::Call(
                Duration::ZERO,
                if self.suppressed {
                    SchedulerCall::Suppress { roles }
                } else {
                    SchedulerCall::Revive { roles }
                },
            ));
        } else if self.suppressed {
            self.suppressed = false;
            let roles = Vec::new();
            deeds.push(Deed::Call(
                Duration::from_secs(2),
                SchedulerCall::Revive { roles },
            ));
        }
        if self.rng.chance(1, 40) {
            deeds.push(Deed::Call(Duration::ZERO, self.reconcile()));
            deeds.push(Deed::Call(Duration::ZERO, self.reconcile_operations()));
        }
        if self.rng.chance(1, 60) {
            // Implicit reconciliation.
            let call = SchedulerCall::Reconcile(wire::Reconcile { tasks: Vec::new() });
            deeds.push(Deed::Call(Duration::ZERO, call));
        }
        if self.rng.chance(1, 15)
            && let Some(call) = self.rare_call()
        {
            deeds.push(Deed::Call(Duration::ZERO, call));
        }
        if !self.winding_down && self.rng.chance(1, 2_000) {
            deeds.push(Deed::Call(Duration::ZERO, SchedulerCall::Teardown));
        }
        deeds
    }

    /// Agrees to leave agents, or does not.
    fn leave(&mut self, inverse_offer_ids: Vec<v1::OfferId>) -> Vec<Deed> {
        let filters = self.rng.chance(1, 2).then_some(v1::Filters {
            refuse_seconds: Some(10.0),
        });
        let call = if self.rng.chance(1, 2) {
            SchedulerCall::AcceptInverseOffers(wire::AcceptInverseOffers {
                inverse_offer_ids,
                filters,
            })
        } else {
            SchedulerCall::DeclineInverseOffers(wire::DeclineInverseOffers {
                inverse_offer_ids,
                filters,
            })
        };
        let pause = self.pause(Duration::from_secs(2));
        vec![Deed::Call(pause, call)]
    }

    /// What frameworks seldom say.
    fn rare_call(&mut self) -> Option<SchedulerCall> {
        let live: Vec<_> = self.live().map(|(_, view)| view.clone()).collect();
        let pick = usize::try_from(self.rng.below(live.len().max(1) as u64)).unwrap();
        let view = live.get(pick);
        match self.rng.below(8) {
            0 => Some(SchedulerCall::Request),
            1 => {
                self.versions += 1;
                let framework_info = self.info();
                Some(SchedulerCall::UpdateFramework(Box::new(
                    wire::UpdateFramework {
                        framework_info,
                        ..wire::UpdateFramework::default()
                    },
                )))
            }
            2 => Some(SchedulerCall::Shutdown(wire::Shutdown {
                executor_id: view?.executor_id.clone(),
                agent_id: view?.agent_id.clone(),
            })),
            _ => Some(SchedulerCall::Message(wire::Message {
                agent_id: view?.agent_id.clone(),
                executor_id: view?.executor_id.clone(),
                data: b"are you there?".to_vec(),
            })),
        }
    }

    /// A kill of one task; every other one with a policy of its own.
    pub(crate) fn kill(&mut self, id: &TaskId, view: &TaskView) -> SchedulerCall {
        SchedulerCall::Kill(wire::Kill {
            task_id: v1::TaskId {
                value: id.to_string(),
            },
            agent_id: self.rng.chance(1, 2).then(|| view.agent_id.clone()),
            kill_policy: self.rng.chance(1, 2).then_some(v1::KillPolicy {
                grace_period: Some(v1::DurationInfo {
                    nanoseconds: 1_000_000_000,
                }),
            }),
        })
    }
}
