//! A scheduler of the v1 HTTP API without any library of ours: HTTP/1.1, JSON, RecordIO and redirects by
//! hand, as programs of other people speak them.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::scheduler::{Heard, Identity, Offer, Status, Task};

/// From a request to the head of its answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// Between two masters that do not serve.
const PAUSE: Duration = Duration::from_millis(200);
/// Calls that fail one after the other until the subscription is given up.
const FAILURES_MAX: u32 = 2;
/// Longest answer that is not a stream.
const ANSWER_MAX: usize = 1 << 20;
/// Heartbeats that may be missing.
const HEARTBEATS_MISSED: f64 = 2.0;

/// A subscription as it stands.
#[derive(Clone, Debug)]
struct Session {
    master: String,
    stream_id: String,
}

#[derive(Debug, Default)]
struct Shared {
    framework: Option<String>,
    session: Option<Session>,
    failures: u32,
}

/// The calls and the events of one framework.
pub(crate) struct Client {
    shared: Arc<Mutex<Shared>>,
    events: mpsc::Receiver<Heard>,
    /// Counts subscriptions that calls have given up.
    given_up: watch::Sender<u64>,
    unacknowledged: Option<Status>,
}

impl Client {
    /// Starts to look for the leader among `masters` (`HOST:PORT`).
    pub(crate) fn start(masters: Vec<String>, identity: Identity) -> Self {
        let shared = Arc::new(Mutex::new(Shared {
            framework: identity.id.clone(),
            ..Shared::default()
        }));
        let (sender, events) = mpsc::channel(1024);
        let (given_up, giving_up) = watch::channel(0);
        let stream = Stream {
            masters: masters.into(),
            identity,
            shared: Arc::clone(&shared),
            events: sender,
            giving_up,
        };
        tokio::spawn(stream.live());
        Self {
            shared,
            events,
            given_up,
            unacknowledged: None,
        }
    }

    /// The next event; acknowledges the update that was returned before.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        if let Some(status) = &self.unacknowledged
            && let (Some(uuid), Some(agent)) = (&status.uuid, &status.agent)
        {
            let acknowledge = json!({"acknowledge": {
                "agent_id": {"value": agent}, "task_id": {"value": status.task}, "uuid": uuid,
            }});
            // Lost: then the agent sends the update again.
            let _again = self.call("ACKNOWLEDGE", acknowledge).await;
            self.unacknowledged = None;
        }
        let heard = self.events.recv().await?;
        if let Heard::Update(status) = &heard {
            self.unacknowledged = Some(status.clone());
        }
        Some(heard)
    }

    pub(crate) async fn launch(
        &self,
        offer: &Offer,
        tasks: &[Task],
        refuse: f64,
    ) -> Result<(), String> {
        let tasks: Vec<Value> = tasks.iter().map(|task| info(task, offer)).collect();
        let accept = json!({"accept": {
            "offer_ids": [{"value": offer.id}],
            "operations": [{"type": "LAUNCH", "launch": {"task_infos": tasks}}],
            "filters": {"refuse_seconds": refuse},
        }});
        self.call("ACCEPT", accept).await
    }

    pub(crate) async fn decline(&self, offer: &Offer, refuse: f64) -> Result<(), String> {
        let decline = json!({"decline": {
            "offer_ids": [{"value": offer.id}], "filters": {"refuse_seconds": refuse},
        }});
        self.call("DECLINE", decline).await
    }

    pub(crate) async fn reconcile(&self, tasks: &[(String, String)]) -> Result<(), String> {
        let tasks: Vec<Value> = tasks
            .iter()
            .map(|(task, agent)| json!({"task_id": {"value": task}, "agent_id": {"value": agent}}))
            .collect();
        self.call("RECONCILE", json!({"reconcile": {"tasks": tasks}}))
            .await
    }

    pub(crate) async fn teardown(&self) -> Result<(), String> {
        self.call("TEARDOWN", json!({})).await
    }

    /// One call on a connection of its own.
    async fn call(&self, kind: &str, mut body: Value) -> Result<(), String> {
        let (session, framework) = {
            let shared = self.shared.lock().unwrap();
            (shared.session.clone(), shared.framework.clone())
        };
        let Some(session) = session else {
            return Err("not subscribed".to_owned());
        };
        body["type"] = kind.into();
        body["framework_id"] = json!({"value": framework});
        let answered = timeout(PATIENCE, answer(&session, &body)).await;
        let result = match answered {
            Ok(Ok((202, _))) => Ok(()),
            Ok(Ok((code, text))) => Err(format!("{code} {text}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        };
        let mut shared = self.shared.lock().unwrap();
        match &result {
            Ok(()) => shared.failures = 0,
            Err(_) => {
                shared.failures += 1;
                if shared.failures >= FAILURES_MAX {
                    shared.session = None;
                    shared.failures = 0;
                    self.given_up.send_modify(|count| *count += 1);
                }
            }
        }
        result
    }
}

/// A task in JSON.
fn info(task: &Task, offer: &Offer) -> Value {
    let scalar = |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}});
    let variables: Vec<Value> = task
        .environment
        .iter()
        .map(|(name, value)| json!({"name": name, "type": "VALUE", "value": value}))
        .collect();
    json!({
        "name": task.name, "task_id": {"value": task.name}, "agent_id": {"value": offer.agent},
        "resources": [scalar("cpus", task.cpus), scalar("mem", task.memory)],
        "command": {"value": task.command, "environment": {"variables": variables}},
    })
}

/// The event stream, opened again and again.
struct Stream {
    masters: VecDeque<String>,
    identity: Identity,
    shared: Arc<Mutex<Shared>>,
    events: mpsc::Sender<Heard>,
    giving_up: watch::Receiver<u64>,
}

impl Stream {
    async fn live(mut self) {
        loop {
            let Some(master) = self.masters.front().cloned() else {
                return;
            };
            self.giving_up.mark_unchanged();
            let reason = match timeout(PATIENCE, self.subscribe(&master)).await {
                Ok(Ok(Subscribed::Leader(leader))) => {
                    self.masters.retain(|known| *known != leader);
                    self.masters.push_front(leader);
                    continue;
                }
                Ok(Ok(Subscribed::Stream(body))) => self.read(&master, *body).await,
                Ok(Ok(Subscribed::Refused(reason))) => reason,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            self.shared.lock().unwrap().session = None;
            let reason = format!("{master}: {reason}");
            if self.events.send(Heard::Disconnected(reason)).await.is_err() {
                return;
            }
            self.masters.rotate_left(1);
            sleep(PAUSE).await;
        }
    }

    async fn subscribe(&self, master: &str) -> io::Result<Subscribed> {
        let framework = self.shared.lock().unwrap().framework.clone();
        let mut info = json!({
            "user": "root", "name": self.identity.name, "roles": [self.identity.name],
            "failover_timeout": 3600.0, "checkpoint": self.identity.checkpoint,
            "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}],
        });
        let mut call = json!({"type": "SUBSCRIBE"});
        if let Some(id) = framework {
            info["id"] = json!({"value": id});
            call["framework_id"] = json!({"value": id});
        }
        call["subscribe"] = json!({"framework_info": info});
        let mut body = Body::open(master, &call, None).await?;
        if body.code == 307 {
            let location = body.header("location").unwrap_or_default();
            let place = location.split("//").nth(1).unwrap_or_default();
            let leader = place.split('/').next().unwrap_or_default();
            return Ok(Subscribed::Leader(leader.to_owned()));
        }
        if body.code != 200 {
            let text = body.whole().await.unwrap_or_default();
            return Ok(Subscribed::Refused(format!("{} {text}", body.code)));
        }
        Ok(Subscribed::Stream(Box::new(body)))
    }

    /// Reads events until the stream is over; says why it is.
    async fn read(&mut self, master: &str, mut body: Body) -> String {
        let stream_id = body.header("mesos-stream-id").unwrap_or_default();
        let session = Session {
            master: master.to_owned(),
            stream_id,
        };
        let mut silence = Duration::from_secs(30);
        loop {
            let record = tokio::select! {
                record = timeout(silence, body.record()) => record,
                _ = self.giving_up.changed() => return "calls fail".to_owned(),
            };
            let event = match record {
                Ok(Ok(Some(record))) => record,
                Ok(Ok(None)) => return "the stream has ended".to_owned(),
                Ok(Err(error)) => return error.to_string(),
                Err(_) => return "no heartbeat".to_owned(),
            };
            if event["type"] == "SUBSCRIBED" {
                let subscribed = &event["subscribed"];
                let interval = subscribed["heartbeat_interval_seconds"].as_f64();
                silence = Duration::from_secs_f64(interval.unwrap_or(15.0) * HEARTBEATS_MISSED);
                let id = subscribed["framework_id"]["value"].as_str().unwrap_or("");
                let mut shared = self.shared.lock().unwrap();
                shared.framework = Some(id.to_owned());
                shared.session = Some(session.clone());
            }
            for heard in heard(&event) {
                if self.events.send(heard).await.is_err() {
                    return "the framework is gone".to_owned();
                }
            }
        }
    }
}

enum Subscribed {
    /// Ask there.
    Leader(String),
    Refused(String),
    Stream(Box<Body>),
}

/// What an event says.
fn heard(event: &Value) -> Vec<Heard> {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    match event["type"].as_str().unwrap_or("") {
        "SUBSCRIBED" => {
            let id = text(&event["subscribed"]["framework_id"]["value"]);
            vec![Heard::Subscribed(id.unwrap_or_default())]
        }
        "OFFERS" => {
            let offers = event["offers"]["offers"].as_array();
            offers.into_iter().flatten().map(offer).collect()
        }
        "UPDATE" => {
            let status = &event["update"]["status"];
            let word = |name: &str| text(&status[name]).unwrap_or_default();
            vec![Heard::Update(Status {
                task: text(&status["task_id"]["value"]).unwrap_or_default(),
                agent: text(&status["agent_id"]["value"]),
                state: word("state"),
                reason: word("reason"),
                source: word("source"),
                message: word("message"),
                uuid: text(&status["uuid"]),
            })]
        }
        "ERROR" => {
            let reason = text(&event["error"]["message"]);
            vec![Heard::Ended(reason.unwrap_or_default())]
        }
        _ => Vec::new(),
    }
}

fn offer(offer: &Value) -> Heard {
    let amount = |name: &str| -> f64 {
        let parts = offer["resources"].as_array().into_iter().flatten();
        let named = parts.filter(|part| part["name"] == name);
        named
            .filter_map(|part| part["scalar"]["value"].as_f64())
            .sum()
    };
    let id = |part: &Value| part["value"].as_str().unwrap_or_default().to_owned();
    Heard::Offer(Offer {
        id: id(&offer["id"]),
        agent: id(&offer["agent_id"]),
        cpus: amount("cpus"),
        memory: amount("mem"),
    })
}

/// Code and text of the answer to a call.
async fn answer(session: &Session, call: &Value) -> io::Result<(u16, String)> {
    let mut body = Body::open(&session.master, call, Some(&session.stream_id)).await?;
    let text = body.whole().await?;
    Ok((body.code, text))
}

/// An answer whose head has been read.
struct Body {
    socket: TcpStream,
    code: u16,
    head: String,
    /// Bytes that have arrived, as they came.
    raw: Vec<u8>,
    /// Those of the body, without chunks.
    plain: Vec<u8>,
    chunked: bool,
    /// The last chunk has come.
    over: bool,
}

impl Body {
    async fn open(master: &str, call: &Value, stream_id: Option<&str>) -> io::Result<Self> {
        let mut socket = TcpStream::connect(master).await?;
        let json = call.to_string();
        let stream_id = stream_id.map_or_else(String::new, |stream_id| {
            format!("Mesos-Stream-Id: {stream_id}\r\n")
        });
        let request = format!(
            "POST /api/v1/scheduler HTTP/1.1\r\nHost: {master}\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\n{stream_id}Content-Length: {}\r\n\r\n{json}",
            json.len()
        );
        socket.write_all(request.as_bytes()).await?;
        let mut body = Self {
            socket,
            code: 0,
            head: String::new(),
            raw: Vec::new(),
            plain: Vec::new(),
            chunked: false,
            over: false,
        };
        let end = loop {
            if let Some(end) = find(&body.raw, b"\r\n\r\n") {
                break end;
            }
            body.more().await?;
        };
        let rest = body.raw.split_off(end + 4);
        let head = std::mem::replace(&mut body.raw, rest);
        body.head = String::from_utf8_lossy(&head).into_owned();
        let code = body
            .head
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok());
        body.code = code.ok_or_else(|| bad("no status line"))?;
        body.chunked = body.header("transfer-encoding").as_deref() == Some("chunked");
        Ok(body)
    }

    fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines();
        let mut pairs = lines.filter_map(|line| line.split_once(':'));
        let (_, value) = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value.trim().to_owned())
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.socket.read_buf(&mut self.raw).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The rest of a short answer.
    async fn whole(&mut self) -> io::Result<String> {
        let length = self.header("content-length");
        let length = length.and_then(|length| length.parse::<usize>().ok());
        let length = length.unwrap_or(0).min(ANSWER_MAX);
        while self.raw.len() < length {
            self.more().await?;
        }
        Ok(String::from_utf8_lossy(&self.raw[..length]).into_owned())
    }

    /// The next record: its length in decimal digits, a line feed, JSON. None at the end.
    async fn record(&mut self) -> io::Result<Option<Value>> {
        if !self.chunked {
            return Err(bad("the stream has no chunks"));
        }
        loop {
            if let Some(end) = find(&self.plain, b"\n") {
                let digits = String::from_utf8_lossy(&self.plain[..end]).into_owned();
                let length: usize = digits.parse().map_err(|_| bad("no length"))?;
                let from = end + 1;
                if self.plain.len() >= from + length {
                    let rest = self.plain.split_off(from + length);
                    let record = std::mem::replace(&mut self.plain, rest);
                    return Ok(Some(serde_json::from_slice(&record[from..])?));
                }
            }
            if self.over {
                return Ok(None);
            }
            if !self.chunk()? {
                self.more().await?;
            }
        }
    }

    /// Takes one chunk from what has arrived; false when it is not there as a whole.
    fn chunk(&mut self) -> io::Result<bool> {
        let Some(end) = find(&self.raw, b"\r\n") else {
            return Ok(false);
        };
        let digits = String::from_utf8_lossy(&self.raw[..end]).into_owned();
        let length = usize::from_str_radix(digits.trim(), 16).map_err(|_| bad("no chunk"))?;
        let from = end + 2;
        if self.raw.len() < from + length + 2 {
            return Ok(false);
        }
        let rest = self.raw.split_off(from + length + 2);
        let chunk = std::mem::replace(&mut self.raw, rest);
        self.plain.extend_from_slice(&chunk[from..from + length]);
        self.over = length == 0;
        Ok(true)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
