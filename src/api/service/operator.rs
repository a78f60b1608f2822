//! Operators' calls to the master: reads from a snapshot, writes to the master's loop.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::daemon::{Daemon, metrics_to_proto};
use super::files::FileCalls;
use super::leadership::Leadership;
use super::operations;
use super::operator_metrics;
use super::operator_views as views;
use super::orders;
use crate::api::error::ApiError;
use crate::api::events::{EventStream, HEARTBEAT_INTERVAL};
use crate::base::{AgentId, FrameworkId, TaskId};
use crate::files::Slice;
use crate::master::driver::Watch;
use crate::master::{Handle, OperatorCall, Question, Snapshot};
use crate::proto::v1::master::{Call, Event, KillTask, Response, call, event, response};
use crate::roles::Role;
use crate::runtime::background;
use crate::telemetry::Sample;

/// What serves operators; cheap to clone.
#[derive(Clone, Debug)]
pub struct OperatorCalls {
    master: Handle,
    daemon: Daemon,
    files: FileCalls,
    leadership: Leadership,
}

/// News about the cluster, first its whole state.
pub type OperatorEvents = EventStream<Watch>;

impl OperatorCalls {
    /// Serves the operators of this master, which has no rivals.
    #[must_use]
    pub fn new(master: Handle, daemon: Daemon) -> Self {
        Self {
            files: FileCalls::of_master(&daemon),
            leadership: Leadership::always(),
            master,
            daemon,
        }
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> &FileCalls {
        &self.files
    }

    /// Serves the operators of a master that stands for election.
    #[must_use]
    pub fn with_leadership(mut self, leadership: Leadership) -> Self {
        self.leadership = leadership;
        self
    }

    /// Whether this master leads.
    #[must_use]
    pub fn leadership(&self) -> &Leadership {
        &self.leadership
    }

    /// What the daemon says about itself.
    #[must_use]
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// The master's state at this moment.
    ///
    /// # Errors
    ///
    /// The master is shutting down.
    pub async fn snapshot(&self) -> Result<Snapshot, ApiError> {
        Ok(self.master.snapshot().await?)
    }

    /// The master's metrics under Mesos' names.
    ///
    /// # Errors
    ///
    /// The master is shutting down.
    pub async fn metrics(&self) -> Result<BTreeMap<String, f64>, ApiError> {
        let (snapshot, filters) = (self.master.snapshot().await?, self.master.filters().await?);
        Ok(background(move || operator_metrics::by_name(&snapshot, &filters)).await)
    }

    /// The master's metrics with their explanations.
    ///
    /// # Errors
    ///
    /// The master is shutting down.
    pub async fn samples(&self) -> Result<Vec<Sample>, ApiError> {
        let (snapshot, filters) = (self.master.snapshot().await?, self.master.filters().await?);
        Ok(background(move || operator_metrics::samples(&snapshot, &filters)).await)
    }

    /// SUBSCRIBE.
    ///
    /// # Errors
    ///
    /// A call of another type, or a master that is shutting down.
    pub async fn subscribe(&self, call: &Call) -> Result<OperatorEvents, ApiError> {
        let kind = kind(call)?;
        if kind != call::Type::Subscribe {
            let name = kind.as_str_name();
            let message = format!("type: {name} is not for Subscribe; send it with Call");
            return Err(ApiError::field("type", message));
        }
        let (snapshot, news) = self.master.watch().await?;
        let state = aside(move || views::state(&snapshot)).await;
        let first = Event {
            r#type: Some(event::Type::Subscribed.into()),
            subscribed: Some(event::Subscribed {
                get_state: Some(state),
                heartbeat_interval_seconds: Some(HEARTBEAT_INTERVAL.as_secs_f64()),
            }),
            ..Event::default()
        };
        Ok(EventStream::starting_with(news, Arc::new(first)))
    }

    /// Ends one task.
    ///
    /// # Errors
    ///
    /// Malformed ids, or no such framework or task.
    pub async fn kill_task(&self, kill: KillTask) -> Result<(), ApiError> {
        let task_id = TaskId::parse(&kill.task_id.value)
            .map_err(|error| ApiError::field("task_id", format!("task_id: {error}")))?;
        let call = OperatorCall::KillTask {
            framework_id: framework_id(&kill.framework_id.value, "framework_id")?,
            task_id,
            kill_policy: kill.kill_policy,
        };
        self.master.operator_call(call).await?;
        Ok(())
    }

    /// Asks this master to hand its leadership over.
    ///
    /// # Errors
    ///
    /// It leads without an election.
    pub fn handover(&self) -> Result<(), ApiError> {
        let Some(handover) = &self.daemon.handover else {
            let message = "this master has no rivals: it was started without --zk";
            return Err(ApiError::NotSubscribed(message.to_owned()));
        };
        handover.ask();
        Ok(())
    }

    /// Every other call. Orders are answered by a response without type.
    ///
    /// # Errors
    ///
    /// The call is malformed, not served by this version, or refused by the master.
    pub async fn call(&self, mut call: Call) -> Result<Response, ApiError> {
        let kind = kind(&call)?;
        if let Some(operate) = operations::operate(kind, &mut call)? {
            self.master.operator_call(operate).await?;
            return Ok(Response::default());
        }
        if let Some(answer) = self.about_daemon(kind, &call)? {
            return Ok(answer);
        }
        if let Some(order) = orders::order(kind, &mut call)? {
            self.master.operator_call(order).await?;
            return Ok(Response::default());
        }
        match kind {
            call::Type::Teardown => {
                let teardown = call.teardown.ok_or_else(|| ApiError::missing("teardown"))?;
                let id = framework_id(&teardown.framework_id.value, "teardown.framework_id")?;
                let call = OperatorCall::Teardown { framework_id: id };
                self.master.operator_call(call).await?;
                Ok(Response::default())
            }
            call::Type::GetMetrics => {
                let all = self.daemon.all_metrics(self.metrics().await?);
                Ok(Response {
                    r#type: Some(response::Type::GetMetrics.into()),
                    get_metrics: Some(response::GetMetrics {
                        metrics: metrics_to_proto(all),
                    }),
                    ..Response::default()
                })
            }
            call::Type::GetState
            | call::Type::GetAgents
            | call::Type::GetFrameworks
            | call::Type::GetExecutors
            | call::Type::GetTasks
            | call::Type::GetOperations
            | call::Type::GetRoles
            | call::Type::GetWeights
            | call::Type::GetQuota
            | call::Type::GetMaintenanceSchedule
            | call::Type::GetMaintenanceStatus
            | call::Type::GetMaster => {
                let snapshot = self.master.snapshot().await?;
                // Encoding a large cluster takes long; the threads that serve connections must not wait.
                Ok(aside(move || of_state(kind, &snapshot)).await)
            }
            call::Type::Explain => self.explain(call).await,
            call::Type::ListFiles | call::Type::ReadFile => self.of_files(kind, call).await,
            _ => Err(not_served(kind)),
        }
    }

    /// EXPLAIN, mesosd's own.
    async fn explain(&self, call: Call) -> Result<Response, ApiError> {
        let part = call.explain.ok_or_else(|| ApiError::missing("explain"))?;
        let role = part.role.as_deref().map(Role::parse).transpose();
        let agent_id = part.agent_id.as_ref();
        let agent_id = agent_id.map(|id| AgentId::parse(&id.value)).transpose();
        let question = Question {
            framework_id: framework_id(&part.framework_id.value, "explain.framework_id")?,
            role: role.map_err(|error| {
                ApiError::field("explain.role", format!("explain.role: {error}"))
            })?,
            agent_id: agent_id.map_err(|error| {
                ApiError::field("explain.agent_id", format!("explain.agent_id: {error}"))
            })?,
        };
        Ok(Response {
            r#type: Some(response::Type::Explain.into()),
            explain: Some(self.master.explain(question).await?),
            ..Response::default()
        })
    }

    async fn of_files(&self, kind: call::Type, call: Call) -> Result<Response, ApiError> {
        let mut answer = Response::default();
        let of = if kind == call::Type::ListFiles {
            let part = call.list_files;
            let part = part.ok_or_else(|| ApiError::missing("list_files"))?;
            let file_infos = self.files.list(part.path).await?;
            answer.list_files = Some(response::ListFiles { file_infos });
            response::Type::ListFiles
        } else {
            let part = call.read_file;
            let part = part.ok_or_else(|| ApiError::missing("read_file"))?;
            let read = self.files.read(part.path, Some(part.offset), part.length);
            let Slice { size, data } = read.await?;
            answer.read_file = Some(response::ReadFile { size, data });
            response::Type::ReadFile
        };
        answer.r#type = Some(of.into());
        Ok(answer)
    }

    /// The calls that the daemon answers without asking the master's loop.
    fn about_daemon(&self, kind: call::Type, call: &Call) -> Result<Option<Response>, ApiError> {
        let mut answer = Response::default();
        let kind = match kind {
            call::Type::GetHealth => {
                answer.get_health = Some(response::GetHealth { healthy: true });
                response::Type::GetHealth
            }
            call::Type::GetVersion => {
                let version_info = self.daemon.version.clone();
                answer.get_version = Some(response::GetVersion { version_info });
                response::Type::GetVersion
            }
            call::Type::GetFlags => {
                let flags = self.daemon.flags.to_vec();
                answer.get_flags = Some(response::GetFlags { flags });
                response::Type::GetFlags
            }
            call::Type::GetLoggingLevel => {
                let level = self.daemon.logging_level();
                answer.get_logging_level = Some(response::GetLoggingLevel { level });
                response::Type::GetLoggingLevel
            }
            call::Type::SetLoggingLevel => {
                let part = call.set_logging_level.as_ref();
                let part = part.ok_or_else(|| ApiError::missing("set_logging_level"))?;
                self.daemon.set_logging_level(part.level, part.duration)?;
                return Ok(Some(answer));
            }
            _ => return Ok(None),
        };
        answer.r#type = Some(kind.into());
        Ok(Some(answer))
    }
}

/// Runs work that keeps a processor busy where it delays nobody.
pub(in crate::api) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

fn kind(call: &Call) -> Result<call::Type, ApiError> {
    let number = call.r#type.ok_or_else(|| ApiError::missing("type"))?;
    match call::Type::try_from(number) {
        Ok(call::Type::Unknown) | Err(_) => Err(ApiError::Unimplemented(format!(
            "type: there is no call with number {number}"
        ))),
        Ok(kind) => Ok(kind),
    }
}

fn framework_id(text: &str, field: &str) -> Result<FrameworkId, ApiError> {
    FrameworkId::parse(text).map_err(|error| ApiError::field(field, format!("{field}: {error}")))
}

fn of_state(kind: call::Type, snapshot: &Snapshot) -> Response {
    if let Some(answer) = orders::shown(kind, snapshot) {
        return answer;
    }
    let mut answer = Response::default();
    let kind = match kind {
        call::Type::GetAgents => {
            answer.get_agents = Some(views::agents(snapshot));
            response::Type::GetAgents
        }
        call::Type::GetFrameworks => {
            answer.get_frameworks = Some(views::frameworks(snapshot));
            response::Type::GetFrameworks
        }
        call::Type::GetExecutors => {
            answer.get_executors = Some(views::executors(snapshot));
            response::Type::GetExecutors
        }
        call::Type::GetTasks => {
            answer.get_tasks = Some(views::tasks(snapshot));
            response::Type::GetTasks
        }
        call::Type::GetOperations => {
            answer.get_operations = Some(views::operations(snapshot));
            response::Type::GetOperations
        }
        call::Type::GetRoles => {
            answer.get_roles = Some(views::roles(snapshot));
            response::Type::GetRoles
        }
        call::Type::GetMaster => {
            answer.get_master = Some(views::master(snapshot));
            response::Type::GetMaster
        }
        _ => {
            answer.get_state = Some(views::state(snapshot));
            response::Type::GetState
        }
    };
    answer.r#type = Some(kind.into());
    answer
}

/// Why a call is not served here.
fn not_served(kind: call::Type) -> ApiError {
    if kind == call::Type::Subscribe {
        let message = "type: SUBSCRIBE opens a stream; send it with Subscribe";
        return ApiError::field("type", message);
    }
    let name = kind.as_str_name();
    ApiError::Unimplemented(format!("{name} is not served by this version"))
}
