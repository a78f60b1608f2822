//! The framework of one `mesosd run`: places the tasks, watches them, and knows the exit code.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout, timeout_at};
use tonic::transport::Endpoint;

use super::args::RunArgs;
use super::output::{Output, OutputError, Place, Printer};
use super::placement::Needs;
use super::{Interruptions, RunError};
use crate::commands::say::say;
use crate::election::session::Ensemble;
use crate::executor::exit::Exit;
use crate::flags::MasterAddress;
use crate::frameworks::sdk::{self, Config, Event, Events, Handle, SdkError};
use crate::proto::v1;
use v1::master::operator_service_client::OperatorServiceClient;
use v1::task_status::Reason;

/// How often a task without a place asks why.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a cluster may be without agents.
const AGENTS_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a task may be without a place before that is said.
const SILENCE: Duration = Duration::from_secs(2);
/// How long killed tasks may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the teardown may take.
const TEARDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Exit code after our own output was closed: 128 plus SIGPIPE.
const OUTPUT_CLOSED: u8 = 141;
/// Exit code of a shell for a command that does not exist.
const NOT_FOUND: u8 = 127;
/// Exit code of a shell for a command that cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// Exit code of a task that was killed for its use of memory: 128 plus SIGKILL.
const OUT_OF_MEMORY: u8 = 137;

/// A task that was launched.
#[derive(Debug)]
struct Task {
    agent_id: v1::AgentId,
    place: Place,
    /// Told when the task has ended; present once its output is being printed.
    ended: Option<watch::Sender<bool>>,
    code: Option<u8>,
}

/// A job and its tasks.
#[derive(Debug)]
pub(super) struct Job<'a> {
    master: String,
    ensemble: Option<Ensemble>,
    arguments: &'a RunArgs,
    needs: Needs,
    name: String,
    tasks: BTreeMap<String, Task>,
    printers: JoinSet<Result<(), OutputError>>,
    /// Set by a signal or a closed output: what to end with, whatever the tasks say.
    verdict: Option<u8>,
    complained_of_master: bool,
    complained_of_waiting: bool,
}

impl<'a> Job<'a> {
    pub(super) fn new(master: &str, arguments: &'a RunArgs) -> Self {
        Self {
            master: master.to_owned(),
            ensemble: None,
            arguments,
            needs: Needs::new(arguments),
            name: arguments.task_name(),
            tasks: BTreeMap::new(),
            printers: JoinSet::new(),
            verdict: None,
            complained_of_master: false,
            complained_of_waiting: false,
        }
    }

    /// The same, following the leader that an ensemble names.
    pub(super) fn at(mut self, ensemble: Option<Ensemble>) -> Self {
        self.ensemble = ensemble;
        self
    }

    /// Runs all tasks to their end; the exit code is that of the first one that failed.
    pub(super) async fn run(mut self, interruptions: &mut Interruptions) -> Result<u8, RunError> {
        let user = nix::unistd::User::from_uid(nix::unistd::getuid())
            .ok()
            .flatten()
            .map_or_else(|| nix::unistd::getuid().to_string(), |user| user.name);
        let mut config = Config::new(&self.master, &user, &self.name);
        config.framework.roles = vec![self.arguments.role.clone()];
        if self.ensemble.is_some() {
            config.ensemble = self.ensemble.take();
        }
        let (handle, mut events) = sdk::start(config);
        let result = self.watch(&handle, &mut events, interruptions).await;
        let torn_down = async {
            if handle.teardown().await.is_ok() {
                while events.next().await.is_some() {}
            }
        };
        // A master that does not answer ends the framework itself when we are gone.
        let _gone = timeout(TEARDOWN_TIMEOUT, torn_down).await;
        result
    }

    async fn watch(
        &mut self,
        handle: &Handle,
        events: &mut Events,
        interruptions: &mut Interruptions,
    ) -> Result<u8, RunError> {
        let begin = Instant::now();
        let mut ticks = interval(PATIENCE);
        ticks.tick().await;
        let mut deadline = None;
        while !self.is_over() {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::Ended { reason }) => return Err(RunError::Ended(reason)),
                    Some(event) => self.event(event, handle).await,
                    None => return Err(RunError::Ended("no reason given".to_owned())),
                },
                code = interruptions.next() => {
                    if self.verdict.replace(code).is_some() {
                        // The second one is meant.
                        return Ok(code);
                    }
                    self.kill_all(handle).await;
                    deadline = Some(Instant::now() + KILL_TIMEOUT);
                }
                Some(printed) = self.printers.join_next() => {
                    if self.printed(printed) {
                        self.kill_all(handle).await;
                        deadline = Some(Instant::now() + KILL_TIMEOUT);
                    }
                }
                _ = ticks.tick(), if self.tasks.len() < self.wanted() => {
                    self.look_for_agents(begin).await?;
                }
                () = until(deadline) => break,
            }
        }
        Ok(self.verdict.unwrap_or_else(|| {
            let failed = self.tasks.values().filter_map(|task| task.code);
            failed.into_iter().find(|code| *code != 0).unwrap_or(0)
        }))
    }

    fn wanted(&self) -> usize {
        usize::try_from(self.arguments.instances).unwrap_or(usize::MAX)
    }

    /// All tasks have ended and everything is printed; after a verdict those that were launched.
    fn is_over(&self) -> bool {
        let launched_all = self.verdict.is_some() || self.tasks.len() >= self.wanted();
        let ended_all = self.tasks.values().all(|task| task.code.is_some());
        let printed_all = self.printers.is_empty() || self.verdict == Some(OUTPUT_CLOSED);
        launched_all && ended_all && printed_all
    }

    /// Takes note of a printer that is through; true if everything must be ended now.
    fn printed(&mut self, result: Result<Result<(), OutputError>, tokio::task::JoinError>) -> bool {
        match result {
            Ok(Ok(())) | Err(_) => false,
            Ok(Err(OutputError::Closed(_))) => self.verdict.replace(OUTPUT_CLOSED).is_none(),
            Ok(Err(error)) => {
                super::complain(&error);
                false
            }
        }
    }

    async fn event(&mut self, event: Event, handle: &Handle) {
        match event {
            Event::Offers(offers) => {
                for offer in offers {
                    // A call that fails with the connection: the offer is void with it.
                    let _void = self.offered(offer, handle).await;
                }
            }
            Event::Update(status) => self.updated(&status),
            Event::Disconnected { reason } => {
                if !std::mem::replace(&mut self.complained_of_master, true) {
                    say(format_args!("{reason}; trying again"));
                }
            }
            Event::Subscribed { .. } => self.complained_of_master = false,
            Event::Rescinded(_)
            | Event::InverseOffers(_)
            | Event::InverseOfferRescinded(_)
            | Event::OperationUpdate(_)
            | Event::Message { .. }
            | Event::Failure { .. }
            | Event::Ended { .. } => {}
        }
    }

    async fn offered(&mut self, offer: v1::Offer, handle: &Handle) -> Result<(), SdkError> {
        let mut rest = offer.resources.clone();
        let mut infos = Vec::new();
        let is_fit = self.needs.admit(&offer.attributes, &offer.hostname);
        while is_fit && self.verdict.is_none() && self.tasks.len() < self.wanted() {
            let Some(resources) = self.needs.take(&mut rest) else {
                break;
            };
            let id = format!("{}-{}", self.name, self.tasks.len() + 1);
            infos.push(v1::TaskInfo {
                name: self.name.clone(),
                task_id: id.as_str().into(),
                agent_id: offer.agent_id.clone(),
                resources,
                command: Some(self.arguments.command_info()),
                ..Default::default()
            });
            let framework = handle.framework_id().unwrap_or_default();
            let place = Place {
                agent: agent_address(&offer),
                sandbox: format!("/frameworks/{framework}/executors/{id}/runs/latest"),
            };
            let task = Task {
                agent_id: offer.agent_id.clone(),
                place,
                ended: None,
                code: None,
            };
            self.tasks.insert(id, task);
        }
        if self.tasks.len() >= self.wanted() {
            // Nothing more is wanted: others shall have it without delay.
            handle.suppress(Vec::new()).await?;
        }
        if infos.is_empty() {
            handle.decline(vec![offer.id], None).await
        } else {
            handle.launch(vec![offer.id], infos, None).await
        }
    }

    fn updated(&mut self, status: &v1::TaskStatus) {
        let by_line = self.wanted() > 1;
        let Some(task) = self.tasks.get_mut(&status.task_id.value) else {
            return;
        };
        if task.code.is_some() {
            return;
        }
        if task.ended.is_none() {
            let (ended, watched) = watch::channel(false);
            task.ended = Some(ended);
            for output in [Output::Stdout, Output::Stderr] {
                let printer = Printer::new(&task.place, output, by_line);
                self.printers.spawn(printer.print(watched.clone()));
            }
        }
        if status.state().is_terminal() {
            task.code = Some(exit_code(status, self.verdict.is_some()));
            if let Some(ended) = &task.ended {
                ended.send_replace(true);
            }
        }
    }

    async fn kill_all(&self, handle: &Handle) {
        for (id, task) in &self.tasks {
            if task.code.is_none() {
                let agent = Some(task.agent_id.clone());
                // The teardown kills as well.
                let _later = handle.kill(id.as_str().into(), agent, None).await;
            }
        }
    }

    /// Asks the master for its agents; an error if none of them will ever do.
    async fn look_for_agents(&mut self, begin: Instant) -> Result<(), RunError> {
        let is_long = begin.elapsed() > SILENCE;
        let Ok(Some(agents)) = timeout_at(Instant::now() + PATIENCE, self.agents()).await else {
            if is_long && !std::mem::replace(&mut self.complained_of_master, true) {
                // Without the password that it may hold.
                let shown = self.master.parse::<MasterAddress>();
                let shown = shown.map_or_else(|_| "the master".to_owned(), |at| at.to_string());
                say(format_args!("{shown} does not answer; trying on"));
            }
            return Ok(());
        };
        if agents.is_empty() && begin.elapsed() > AGENTS_TIMEOUT {
            let reason = format!("no agent has registered with {}", self.master);
            return Err(RunError::NotPlaced(reason));
        }
        if let Some(reason) = self.needs.refusal(&agents) {
            return Err(RunError::NotPlaced(reason));
        }
        if is_long && !std::mem::replace(&mut self.complained_of_waiting, true) {
            let missing = self.wanted() - self.tasks.len();
            if agents.is_empty() {
                say(format_args!(
                    "waiting for an agent to register with {}",
                    self.master
                ));
            } else {
                say(format_args!(
                    "waiting to place {missing} of {} tasks: agents that could run them have too \
                     little free now",
                    self.wanted()
                ));
            }
        }
        Ok(())
    }

    async fn agents(&self) -> Option<Vec<v1::master::response::get_agents::Agent>> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.master)).ok()?;
        let mut client = OperatorServiceClient::new(endpoint.connect().await.ok()?);
        let call = v1::master::Call {
            r#type: Some(v1::master::call::Type::GetAgents.into()),
            ..Default::default()
        };
        let answer = client.call(call).await.ok()?.into_inner();
        Some(answer.get_agents?.agents)
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// `host:port` of an offer's agent.
fn agent_address(offer: &v1::Offer) -> String {
    let Some(url) = &offer.url else {
        return format!("{}:5051", offer.hostname);
    };
    let host = url
        .address
        .ip
        .as_ref()
        .or(url.address.hostname.as_ref())
        .unwrap_or(&offer.hostname);
    format!("{host}:{}", url.address.port)
}

/// The exit code of a task that has ended, which is told unless the command says it by itself.
fn exit_code(status: &v1::TaskStatus, is_expected: bool) -> u8 {
    use v1::TaskState::{
        TaskDropped, TaskFinished, TaskGone, TaskGoneByOperator, TaskLost, TaskUnreachable,
    };
    if status.state() == TaskFinished {
        return 0;
    }
    let exit = Exit::parse(status.message());
    let reason = status.reason.map(|_| status.reason());
    if !is_expected && (exit.is_none() || reason.is_some()) {
        let state = status.state().as_str_name();
        let (task, message) = (&status.task_id, status.message());
        say(format_args!("{task}: {state}: {message}"));
    }
    match reason {
        Some(Reason::ContainerLimitationMemory) => return OUT_OF_MEMORY,
        Some(Reason::ContainerLaunchFailed) if status.message().contains("cannot execute") => {
            return if status.message().contains("No such file") {
                NOT_FOUND
            } else {
                NOT_EXECUTABLE
            };
        }
        _ => {}
    }
    match (exit, status.state()) {
        // A command that ends well while it is killed has finished; anything else has not.
        (Some(exit), _) if !exit.is_success() => exit.shell_code(),
        (_, TaskLost | TaskDropped | TaskGone | TaskGoneByOperator | TaskUnreachable) => {
            super::NOT_PLACED
        }
        _ => 1,
    }
}
