//! The agent's side of the executor socket.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesosd::proto::v1;
use mesosd::proto::v1::executor::{Call, Event, call, event};
use prost::Message as _;

/// A listening socket and the connection of one executor.
pub(crate) struct Agent {
    path: PathBuf,
    listener: UnixListener,
    stream: Option<UnixStream>,
    updates: Vec<v1::TaskStatus>,
}

impl Agent {
    pub(crate) fn listen(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            listener: UnixListener::bind(path).unwrap(),
            stream: None,
            updates: Vec::new(),
        }
    }

    /// Takes the next connection and its SUBSCRIBE.
    pub(crate) fn accept(&mut self) -> call::Subscribe {
        let (stream, _) = self.listener.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        self.stream = Some(stream);
        let call = self.receive();
        assert_eq!(call.r#type(), call::Type::Subscribe);
        call.subscribe.unwrap()
    }

    pub(crate) fn hang_up(&mut self) {
        self.stream = None;
    }

    fn receive(&mut self) -> Call {
        let stream = self.stream.as_mut().unwrap();
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut frame = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        stream.read_exact(&mut frame).unwrap();
        Call::decode(frame.as_slice()).unwrap()
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn send(&mut self, kind: event::Type, mut event: Event) {
        event.r#type = Some(kind.into());
        let mut frame = u32::try_from(event.encoded_len())
            .unwrap()
            .to_be_bytes()
            .to_vec();
        event.encode(&mut frame).unwrap();
        self.send_bytes(&frame);
    }

    pub(crate) fn subscribed(&mut self) {
        let subscribed = Some(event::Subscribed::default());
        self.send(
            event::Type::Subscribed,
            Event {
                subscribed,
                ..Default::default()
            },
        );
    }

    pub(crate) fn launch(&mut self, task: v1::TaskInfo) {
        let launch = Some(event::Launch { task });
        self.send(
            event::Type::Launch,
            Event {
                launch,
                ..Default::default()
            },
        );
    }

    pub(crate) fn kill(&mut self, task: &v1::TaskInfo, grace: Duration) {
        let kill = Some(event::Kill {
            task_id: task.task_id.clone(),
            kill_policy: Some(v1::KillPolicy {
                grace_period: Some(v1::DurationInfo {
                    nanoseconds: i64::try_from(grace.as_nanos()).unwrap(),
                }),
            }),
        });
        self.send(
            event::Type::Kill,
            Event {
                kill,
                ..Default::default()
            },
        );
    }

    /// The next UPDATE.
    pub(crate) fn update(&mut self) -> v1::TaskStatus {
        let call = self.receive();
        assert_eq!(call.r#type(), call::Type::Update);
        let status = call.update.unwrap().status;
        self.updates.push(status.clone());
        status
    }

    /// The terminal UPDATE, others passed over.
    pub(crate) fn update_of_end(&mut self) -> v1::TaskStatus {
        loop {
            let status = self.update();
            if !matches!(
                status.state(),
                v1::TaskState::TaskStarting
                    | v1::TaskState::TaskRunning
                    | v1::TaskState::TaskKilling
            ) {
                return status;
            }
        }
    }

    pub(crate) fn acknowledge(&mut self, status: &v1::TaskStatus) {
        let acknowledged = Some(event::Acknowledged {
            task_id: status.task_id.clone(),
            uuid: status.uuid().to_vec(),
        });
        self.send(
            event::Type::Acknowledged,
            Event {
                acknowledged,
                ..Default::default()
            },
        );
    }

    pub(crate) fn acknowledge_all(&mut self) {
        for status in std::mem::take(&mut self.updates) {
            self.acknowledge(&status);
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).unwrap();
    }
}
