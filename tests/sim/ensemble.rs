//! A ZooKeeper in virtual time: sessions that expire, candidates' znodes, watches, and the registry's
//! place and records, written only in the version that the writer knows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesosd::base::Instant;
use mesosd::election::{contender, detector};
use mesosd::registrar::fence::{Fence, Found, Stamp};
use mesosd::registry::{Registry, Subject};

/// Records that a transaction writes; none deletes.
pub(crate) type Changes = BTreeMap<String, Option<Vec<u8>>>;

/// What is asked of the ensemble.
#[derive(Clone)]
pub(crate) enum Question {
    /// A new session.
    Open,
    /// End the session.
    Close,
    /// Make a candidate's znode.
    Enter(Vec<u8>),
    /// Is there a znode of this session?
    Find,
    /// The candidates, and a watch with this number.
    List { asked: Instant, watch: u64 },
    /// A candidate's content.
    Read(String),
    /// A sign of life, through the ensemble's leader.
    Beat { sent: Instant },
    /// The registry, for one leadership.
    Registry(u64, Storing),
}

/// What is asked of the registry.
#[derive(Clone)]
pub(crate) enum Storing {
    /// Which stamp is there? A version that was seen is the oldest possible answer.
    Place(Option<i32>),
    /// Take it over, if the candidate's znode is there.
    Take {
        node: Option<String>,
        stamp: Stamp,
        condition: Option<i32>,
    },
    /// All records.
    Load,
    /// One transaction.
    Write {
        stamp: Stamp,
        condition: i32,
        changes: Changes,
    },
}

/// What the ensemble answers.
pub(crate) enum Answer {
    Opened(u64),
    NotOpened,
    Expired,
    /// A watch fires.
    Changed(u64),
    Contender(contender::Event),
    Detector(detector::Event),
    Listed(Vec<String>, Instant, u64),
    Registry(u64, Stored),
    Nothing,
}

/// What became of a question about the registry.
pub(crate) enum Stored {
    Place(Found),
    Loaded(Box<Registry>),
    /// Done, or somebody else was quicker.
    Set(bool),
    /// The candidate's znode is not there.
    Deposed,
    /// No answer came.
    Lost,
    /// The store is broken.
    Failed,
}

struct Session {
    /// When the ensemble's leader last knew of a sign of life.
    heard: u64,
}

struct Watch {
    client: usize,
    life: u64,
    number: u64,
}

/// The ensemble.
pub(crate) struct Ensemble {
    timeout: u64,
    sessions: BTreeMap<u64, Session>,
    nodes: BTreeMap<String, (u64, Vec<u8>)>,
    /// The candidates before the last change: what a server that lags behind still says.
    nodes_before: BTreeMap<String, (u64, Vec<u8>)>,
    watches: Vec<Watch>,
    next_session: u64,
    next_node: u64,
    place: Found,
    /// What a server that lags behind may still say.
    place_before: Found,
    pub(crate) records: BTreeMap<String, Vec<u8>>,
    /// The leadership that took the registry over last.
    taken_by: u64,
    /// Every write that was ever done.
    landed: BTreeSet<(u64, u64)>,
}

impl Ensemble {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout: u64::try_from(timeout.as_nanos()).unwrap(),
            sessions: BTreeMap::new(),
            nodes: BTreeMap::new(),
            nodes_before: BTreeMap::new(),
            watches: Vec::new(),
            next_session: 0,
            next_node: 0,
            place: None,
            place_before: None,
            records: BTreeMap::new(),
            taken_by: 0,
            landed: BTreeSet::new(),
        }
    }

    /// The session whose candidate is the first.
    pub(crate) fn first_owner(&self) -> Option<u64> {
        self.nodes.values().next().map(|(owner, _)| *owner)
    }

    pub(crate) fn first_node(&self) -> Option<String> {
        self.nodes.keys().next().cloned()
    }

    pub(crate) fn has_session(&self, session: u64) -> bool {
        self.sessions.contains_key(&session)
    }

    pub(crate) fn has_landed(&self, term: u64, stamp: &Stamp) -> bool {
        self.landed.contains(&(term, stamp.writes))
    }

    /// One record as it is stored.
    pub(crate) fn stored(&self, subject: &Subject) -> Registry {
        let mut registry = Registry::default();
        if let Some(bytes) = self.records.get(&subject.to_string()) {
            registry.restore(subject, bytes).unwrap();
        }
        registry
    }

    fn load(&self) -> Registry {
        let mut registry = Registry::default();
        for (key, bytes) in &self.records {
            let subject = Subject::from_key(key).unwrap();
            registry.restore(&subject, bytes).unwrap();
        }
        registry
    }

    /// A client was heard of at this time.
    pub(crate) fn heard(&mut self, session: u64, at: u64) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.heard = session.heard.max(at);
        }
    }

    /// Sessions that have been silent for too long.
    pub(crate) fn overdue(&self, now: u64) -> Vec<u64> {
        let sessions = self.sessions.iter();
        sessions
            .filter(|(_, session)| session.heard + self.timeout < now)
            .map(|(id, _)| *id)
            .collect()
    }

    /// A session ends, and its znodes with it; true if there were any.
    pub(crate) fn end(&mut self, session: u64) -> bool {
        self.sessions.remove(&session);
        let before = self.nodes.len();
        if self.nodes.values().any(|(owner, _)| *owner == session) {
            self.nodes_before = self.nodes.clone();
        }
        self.nodes.retain(|_, (owner, _)| *owner != session);
        self.nodes.len() < before
    }

    /// Somebody deletes a znode.
    pub(crate) fn delete(&mut self, node: &str) {
        self.nodes_before = self.nodes.clone();
        self.nodes.remove(node);
    }

    /// The watches that stand: (client, its life, the watch's number).
    pub(crate) fn take_watches(&mut self) -> Vec<(usize, u64, u64)> {
        let watches = std::mem::take(&mut self.watches);
        watches
            .into_iter()
            .map(|watch| (watch.client, watch.life, watch.number))
            .collect()
    }

    /// Answers a question; true if the candidates have changed.
    pub(crate) fn serve(
        &mut self,
        now: u64,
        (client, life, session): (usize, u64, u64),
        question: Question,
        lags: bool,
    ) -> (Answer, bool) {
        let alone = session == 0 && matches!(question, Question::Registry(..));
        if matches!(question, Question::Open) {
            self.next_session += 1;
            let session = Session { heard: now };
            self.sessions.insert(self.next_session, session);
            return (Answer::Opened(self.next_session), false);
        }
        if !alone && !self.sessions.contains_key(&session) {
            return (Answer::Expired, false);
        }
        let answer = match question {
            Question::Open => Answer::NotOpened,
            Question::Close => return (Answer::Nothing, self.end(session)),
            Question::Enter(content) => {
                let name = format!("json.info_{:010}", self.next_node);
                self.next_node += 1;
                self.nodes_before = self.nodes.clone();
                self.nodes.insert(name.clone(), (session, content));
                return (Answer::Contender(contender::Event::Entered(name)), true);
            }
            Question::Find => {
                let mut nodes = self.nodes.iter();
                let found = nodes.find(|(_, (owner, _))| *owner == session);
                let found = found.map(|(name, _)| name.clone());
                Answer::Contender(contender::Event::Found(found))
            }
            Question::List { asked, watch } => {
                self.watches.push(Watch {
                    client,
                    life,
                    number: watch,
                });
                let nodes = if lags {
                    &self.nodes_before
                } else {
                    &self.nodes
                };
                Answer::Listed(nodes.keys().cloned().collect(), asked, watch)
            }
            Question::Read(name) => {
                let content = self.nodes.get(&name);
                let content = content.or_else(|| self.nodes_before.get(&name).filter(|_| lags));
                let content = content.map(|(_, content)| content.clone());
                Answer::Detector(detector::Event::Read(name, content))
            }
            Question::Beat { sent } => Answer::Contender(contender::Event::Answered { sent }),
            Question::Registry(term, storing) => {
                Answer::Registry(term, self.store(term, storing, lags))
            }
        };
        (answer, false)
    }

    fn store(&mut self, term: u64, storing: Storing, lags: bool) -> Stored {
        let version = self.place.as_ref().map(|(_, version)| *version);
        match storing {
            Storing::Place(seen) => {
                let before = self.place_before.as_ref().map(|(_, version)| *version);
                let found = if lags && before >= seen {
                    &self.place_before
                } else {
                    &self.place
                };
                Stored::Place(found.clone())
            }
            Storing::Load => Stored::Loaded(Box::new(self.load())),
            Storing::Take {
                node,
                stamp,
                condition,
            } => {
                if node.is_some_and(|node| !self.nodes.contains_key(&node)) {
                    return Stored::Deposed;
                }
                if version != condition {
                    return Stored::Set(false);
                }
                assert!(
                    self.epoch() < stamp.epoch,
                    "epoch {} follows epoch {}",
                    stamp.epoch,
                    self.epoch()
                );
                self.set(stamp, condition);
                self.taken_by = term;
                Stored::Set(true)
            }
            Storing::Write {
                stamp,
                condition,
                changes,
            } => {
                if version != Some(condition) {
                    return Stored::Set(false);
                }
                assert!(
                    self.taken_by <= term,
                    "a registry write of leadership {term} lands after {} has taken over",
                    self.taken_by
                );
                assert!(
                    self.landed.insert((term, stamp.writes)),
                    "write {} of leadership {term} lands twice",
                    stamp.writes
                );
                for (key, record) in changes {
                    match record {
                        Some(record) => drop(self.records.insert(key, record)),
                        None => drop(self.records.remove(&key)),
                    }
                }
                self.set(stamp, Some(condition));
                Stored::Set(true)
            }
        }
    }

    fn epoch(&self) -> u64 {
        self.place.as_ref().map_or(0, |(stamp, _)| stamp.epoch)
    }

    fn set(&mut self, stamp: Stamp, condition: Option<i32>) {
        let after = Fence::version_after(condition);
        self.place_before = self.place.replace((stamp, after));
    }

    /// A new leader believes that the registry is its own without saying so: what a planted bug does.
    pub(crate) fn taken_silently(&mut self, term: u64) {
        self.taken_by = term;
    }
}

/// What a client makes of a question whose answer is lost.
pub(crate) fn lost(question: Question) -> Answer {
    match question {
        Question::Open => Answer::NotOpened,
        Question::Close | Question::Beat { .. } => Answer::Nothing,
        Question::Enter(_) => Answer::Contender(contender::Event::EnterLost),
        Question::Find => Answer::Contender(contender::Event::FindFailed),
        Question::List { .. } => Answer::Detector(detector::Event::ListFailed),
        Question::Read(name) => Answer::Detector(detector::Event::ReadFailed(name)),
        Question::Registry(term, _) => Answer::Registry(term, Stored::Lost),
    }
}
