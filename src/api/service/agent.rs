//! Operators' calls to an agent: its state, its containers, the files of its sandboxes.

use super::agent_views as views;
use super::daemon::{Daemon, metrics_to_proto};
use super::executor::recovered;
use super::files::FileCalls;
use super::guests::GuestCalls;
use super::measure::Measurements;
pub use super::measure::{Measured, Statistics};
use super::operator::aside;
use crate::agent::{Handle, Snapshot};
use crate::api::error::ApiError;
use crate::containerizer::guests::Guests;
use crate::files::Slice;
use crate::proto::v1::agent::{Call, Response, call, response};

/// What serves an agent's operators; cheap to clone.
#[derive(Clone, Debug)]
pub struct AgentCalls {
    agent: Handle,
    daemon: Daemon,
    measurements: Measurements,
    files: FileCalls,
    guests: GuestCalls,
}

impl AgentCalls {
    /// Serves the operators of this agent.
    #[must_use]
    pub fn new(
        agent: Handle,
        daemon: Daemon,
        statistics: Statistics,
        guests: Option<Guests>,
    ) -> Self {
        let guests = GuestCalls::new(guests);
        Self {
            files: FileCalls::of_agent(&daemon, agent.clone(), guests.clone()),
            guests,
            agent,
            daemon,
            measurements: Measurements::new(statistics),
        }
    }

    /// What the daemon says about itself.
    #[must_use]
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> &FileCalls {
        &self.files
    }

    /// Its nested containers.
    #[must_use]
    pub fn guests(&self) -> &GuestCalls {
        &self.guests
    }

    /// The agent's state at this moment.
    ///
    /// # Errors
    ///
    /// The agent is shutting down.
    pub async fn snapshot(&self) -> Result<Snapshot, ApiError> {
        Ok(self.agent.snapshot().await?)
    }

    /// Whether the agent has recovered: before that it serves no calls.
    ///
    /// # Errors
    ///
    /// Not yet, or it is shutting down.
    pub async fn check_recovered(&self) -> Result<(), ApiError> {
        recovered(&self.snapshot().await?)
    }

    /// Every container of an executor with what it uses.
    ///
    /// # Errors
    ///
    /// The agent is shutting down.
    pub async fn measured(&self) -> Result<Vec<Measured>, ApiError> {
        Ok(self.measurements.all(self.snapshot().await?).await)
    }

    /// One call. Orders are answered by a response without type.
    ///
    /// # Errors
    ///
    /// The call is malformed, names what is not there, or is not served by this version.
    pub async fn call(&self, call: Call) -> Result<Response, ApiError> {
        let number = call.r#type.ok_or_else(|| ApiError::missing("type"))?;
        let kind = match call::Type::try_from(number) {
            Ok(call::Type::Unknown) | Err(_) => {
                let message = format!("type: there is no call with number {number}");
                return Err(ApiError::Unimplemented(message));
            }
            Ok(kind) => kind,
        };
        let mut answer = Response::default();
        let of = match kind {
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
                let part = call.set_logging_level;
                let part = part.ok_or_else(|| ApiError::missing("set_logging_level"))?;
                self.daemon.set_logging_level(part.level, part.duration)?;
                return Ok(answer);
            }
            call::Type::ListFiles => {
                let part = call
                    .list_files
                    .ok_or_else(|| ApiError::missing("list_files"))?;
                let file_infos = self.files.list(part.path).await?;
                answer.list_files = Some(response::ListFiles { file_infos });
                response::Type::ListFiles
            }
            call::Type::ReadFile => {
                let part = call
                    .read_file
                    .ok_or_else(|| ApiError::missing("read_file"))?;
                let read = self.files.read(part.path, Some(part.offset), part.length);
                let Slice { size, data } = read.await?;
                answer.read_file = Some(response::ReadFile { size, data });
                response::Type::ReadFile
            }
            call::Type::GetContainers => {
                let wanted = call.get_containers.unwrap_or_default();
                answer.get_containers = Some(self.containers(&wanted).await?);
                response::Type::GetContainers
            }
            call::Type::PruneImages => {
                let message = "PRUNE_IMAGES: this agent keeps no images: no provider is configured";
                return Err(ApiError::invalid(message));
            }
            _ => return self.of_guests(kind, call).await,
        };
        answer.r#type = Some(of.into());
        Ok(answer)
    }

    /// The calls about containers that operators have started.
    async fn of_guests(&self, kind: call::Type, call: Call) -> Result<Response, ApiError> {
        let mut answer = Response::default();
        let of = match kind {
            call::Type::WaitContainer => {
                answer.wait_container = Some(self.guests.wait(&call).await?);
                response::Type::WaitContainer
            }
            call::Type::WaitNestedContainer => {
                let ended = self.guests.wait(&call).await?;
                answer.wait_nested_container = Some(response::WaitNestedContainer {
                    exit_status: ended.exit_status,
                    state: ended.state,
                    reason: ended.reason,
                    limitation: ended.limitation,
                    message: ended.message,
                });
                response::Type::WaitNestedContainer
            }
            call::Type::KillContainer | call::Type::KillNestedContainer => {
                self.guests.kill(&call)?;
                return Ok(answer);
            }
            call::Type::RemoveContainer | call::Type::RemoveNestedContainer => {
                self.guests.remove(&call).await?;
                return Ok(answer);
            }
            call::Type::LaunchContainer | call::Type::LaunchNestedContainer => {
                self.guests.launch(call).await?;
                return Ok(answer);
            }
            call::Type::LaunchNestedContainerSession
            | call::Type::AttachContainerInput
            | call::Type::AttachContainerOutput => {
                let name = kind.as_str_name();
                let message = format!(
                    "type: {name} is a stream: send it to POST /api/v1, or call the gRPC method of its name"
                );
                return Err(ApiError::field("type", message));
            }
            call::Type::AddResourceProviderConfig
            | call::Type::UpdateResourceProviderConfig
            | call::Type::RemoveResourceProviderConfig
            | call::Type::MarkResourceProviderGone => return Err(no_resource_providers(&call)),
            _ => return self.of_state(kind).await,
        };
        answer.r#type = Some(of.into());
        Ok(answer)
    }

    /// GET_CONTAINERS.
    async fn containers(
        &self,
        wanted: &call::GetContainers,
    ) -> Result<response::GetContainers, ApiError> {
        let measured = self.measured().await?;
        let nested = wanted.show_nested.unwrap_or(false);
        let guests = self.guests.running();
        let guests = if nested { guests } else { Vec::new() };
        let mut shown = views::containers(&measured, nested, &guests);
        if wanted.show_standalone.unwrap_or(false) {
            let standalone = self.guests.standalone();
            let measured = self.measurements.standalone(standalone).await;
            let standalone = views::standalone_containers(&measured, &guests);
            shown.containers.extend(standalone);
        }
        Ok(shown)
    }

    /// The calls that are answered from a snapshot.
    async fn of_state(&self, kind: call::Type) -> Result<Response, ApiError> {
        let snapshot = self.agent.snapshot().await?;
        let mut answer = Response::default();
        let of = match kind {
            call::Type::GetState => {
                answer.get_state = Some(aside(move || views::state(&snapshot)).await);
                response::Type::GetState
            }
            call::Type::GetAgent => {
                answer.get_agent = Some(views::agent(&snapshot));
                response::Type::GetAgent
            }
            call::Type::GetFrameworks => {
                answer.get_frameworks = Some(views::frameworks(&snapshot));
                response::Type::GetFrameworks
            }
            call::Type::GetExecutors => {
                answer.get_executors = Some(views::executors(&snapshot));
                response::Type::GetExecutors
            }
            call::Type::GetTasks => {
                answer.get_tasks = Some(aside(move || views::tasks(&snapshot)).await);
                response::Type::GetTasks
            }
            call::Type::GetMetrics => {
                let metrics = metrics_to_proto(self.daemon.all_metrics(snapshot.metrics()));
                answer.get_metrics = Some(response::GetMetrics { metrics });
                response::Type::GetMetrics
            }
            call::Type::GetOperations => {
                let operations = snapshot.operations.values();
                answer.get_operations = Some(response::GetOperations {
                    operations: operations.map(|operation| operation.to_proto()).collect(),
                });
                response::Type::GetOperations
            }
            call::Type::GetResourceProviders => {
                let none = response::GetResourceProviders::default();
                answer.get_resource_providers = Some(none);
                response::Type::GetResourceProviders
            }
            _ => {
                let name = kind.as_str_name();
                let message = format!("{name} is not served by this version");
                return Err(ApiError::Unimplemented(message));
            }
        };
        answer.r#type = Some(of.into());
        Ok(answer)
    }
}

/// Why a call about resource providers fails on an agent that has none.
fn no_resource_providers(call: &Call) -> ApiError {
    let field = match call.r#type() {
        call::Type::AddResourceProviderConfig if call.add_resource_provider_config.is_none() => {
            "add_resource_provider_config"
        }
        call::Type::UpdateResourceProviderConfig
            if call.update_resource_provider_config.is_none() =>
        {
            "update_resource_provider_config"
        }
        call::Type::RemoveResourceProviderConfig
            if call.remove_resource_provider_config.is_none() =>
        {
            "remove_resource_provider_config"
        }
        call::Type::MarkResourceProviderGone => match &call.mark_resource_provider_gone {
            Some(part) => {
                let id = &part.resource_provider_id.value;
                let message = format!("this agent has no resource provider '{id}'");
                return ApiError::NotFound(message);
            }
            None => "mark_resource_provider_gone",
        },
        kind => {
            let name = kind.as_str_name();
            let message = format!("{name}: this agent has no folder of resource providers");
            return ApiError::invalid(message);
        }
    };
    ApiError::missing(field)
}
