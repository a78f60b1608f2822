//! Prints what a task prints: follows its sandbox's stdout and stderr over the agent's gRPC API while
//! it runs, and reads the rest when it has ended.

use std::io::{self, Write as _};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use crate::proto::v1::agent as wire;
use wire::agent_service_client::AgentServiceClient;

/// Pause before a file that is not there yet, or an agent that does not answer, is tried again.
const PAUSE: Duration = Duration::from_millis(50);
/// Attempts to read the rest from an agent that does not answer.
const ATTEMPTS: u32 = 40;
/// Longest part of a line that waits for its end.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Our own outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// For a task's stdout.
    Stdout,
    /// For its stderr.
    Stderr,
}

impl Output {
    /// The file of the sandbox that is printed here.
    fn file(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// Writes on a thread of its own: a reader that pauses must stop nothing else.
    async fn write(self, bytes: Vec<u8>) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let write = move || match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&bytes)?;
                stdout.flush()
            }
            Self::Stderr => io::stderr().lock().write_all(&bytes),
        };
        tokio::task::spawn_blocking(write)
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

/// Where a task's sandbox is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `host:port` of the agent.
    pub(super) agent: String,
    /// Virtual path of the sandbox.
    pub(super) sandbox: String,
}

/// Why output is missing.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutputError {
    /// The agent does not give it.
    #[error("the agent at {agent} does not give {path}: {}", status.message())]
    Agent {
        agent: String,
        path: String,
        status: Box<Status>,
    },
    /// Our own output is closed.
    #[error("cannot write to our own output")]
    Closed(#[source] io::Error),
}

/// Prints one file of one task.
#[derive(Debug)]
pub(super) struct Printer {
    output: Output,
    client: AgentServiceClient<Channel>,
    agent: String,
    path: String,
    offset: u64,
    /// Print whole lines only, so that the lines of several tasks do not mix.
    by_line: bool,
    partial: Vec<u8>,
}

impl Printer {
    /// For the file of the sandbox that belongs to `output`.
    pub(super) fn new(place: &Place, output: Output, by_line: bool) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", place.agent))
            .unwrap_or_else(|_| Endpoint::from_static("http://127.0.0.1:5051"));
        Self {
            client: AgentServiceClient::new(endpoint.connect_lazy()),
            agent: place.agent.clone(),
            path: format!("{}/{}", place.sandbox, output.file()),
            output,
            offset: 0,
            by_line,
            partial: Vec::new(),
        }
    }

    /// Prints until `ended` is true and everything is printed.
    pub(super) async fn print(
        mut self,
        mut ended: watch::Receiver<bool>,
    ) -> Result<(), OutputError> {
        loop {
            let followed = tokio::select! {
                biased;
                _ = ended.wait_for(|ended| *ended) => break,
                followed = self.follow() => followed,
            };
            if let Ok(mut chunks) = followed {
                loop {
                    let chunk = tokio::select! {
                        biased;
                        _ = ended.wait_for(|ended| *ended) => break,
                        chunk = chunks.message() => chunk,
                    };
                    let Ok(Some(chunk)) = chunk else { break };
                    self.write(chunk.offset, &chunk.data).await?;
                }
            }
            tokio::select! {
                _ = ended.wait_for(|ended| *ended) => break,
                () = sleep(PAUSE) => {}
            }
        }
        self.rest().await
    }

    async fn follow(&mut self) -> Result<Streaming<wire::FileChunk>, Status> {
        let wanted = wire::FollowFile {
            path: self.path.clone(),
            offset: Some(self.offset),
        };
        Ok(self.client.follow_file(wanted).await?.into_inner())
    }

    /// Reads from where we are to the end. A file that does not exist is an empty one: a task whose
    /// container was never made has printed nothing.
    async fn rest(&mut self) -> Result<(), OutputError> {
        let mut attempts = 0;
        loop {
            let call = wire::Call {
                r#type: Some(wire::call::Type::ReadFile.into()),
                read_file: Some(wire::call::ReadFile {
                    path: self.path.clone(),
                    offset: self.offset,
                    length: None,
                }),
                ..Default::default()
            };
            match self.client.call(call).await {
                Ok(answer) => {
                    let slice = answer.into_inner().read_file.unwrap_or_default();
                    if slice.data.is_empty() {
                        return self.finish().await;
                    }
                    let offset = self.offset;
                    self.write(offset, &slice.data).await?;
                }
                Err(status) if status.code() == Code::NotFound => return self.finish().await,
                Err(status) => {
                    attempts += 1;
                    if status.code() != Code::Unavailable || attempts == ATTEMPTS {
                        return Err(OutputError::Agent {
                            agent: self.agent.clone(),
                            path: self.path.clone(),
                            status: Box::new(status),
                        });
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), OutputError> {
        // A chunk that overlaps what is printed already is cut.
        let known = usize::try_from(self.offset.saturating_sub(offset)).unwrap_or(usize::MAX);
        let news = data.get(known..).unwrap_or_default();
        self.offset = self.offset.max(offset + data.len() as u64);
        let ready = if self.by_line {
            self.partial.extend_from_slice(news);
            let whole = match self.partial.iter().rposition(|byte| *byte == b'\n') {
                Some(end) => end + 1,
                None if self.partial.len() > LINE_BYTES_MAX => self.partial.len(),
                None => 0,
            };
            self.partial.drain(..whole).collect()
        } else {
            news.to_vec()
        };
        let written = self.output.write(ready).await;
        written.map_err(OutputError::Closed)
    }

    async fn finish(&mut self) -> Result<(), OutputError> {
        let partial = std::mem::take(&mut self.partial);
        let written = self.output.write(partial).await;
        written.map_err(OutputError::Closed)
    }
}
