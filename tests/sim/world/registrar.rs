//! One leadership's registry: taken over, read, written in batches, fenced, as the registrar and the
//! storage in ZooKeeper do it.

use std::collections::BTreeSet;

use mesosd::registrar::fence::{Fence, Found, Stamp, TakeOver, Verdict};
use mesosd::registry::{Mutated, Operation, Registry, RegistryRefused};
use mesosd::testing::planted::Bug;

use super::*;
use crate::ensemble::{Changes, Question, Stored, Storing};

const FORMAT: u64 = 1;
/// From a lost answer to the next question.
const PAUSE: Duration = Duration::from_millis(50);
/// From a failed leadership to the next.
const RECOVERY: Duration = Duration::from_secs(1);

/// One leadership of a master.
pub(super) struct Term {
    /// Unlike that of any other leadership of any master.
    pub(super) number: u64,
    pub(super) node: Option<String>,
    /// Its end on the master's clock; zero when it was revoked.
    pub(super) lease: u64,
    stage: Stage,
}

/// How far a leadership has come.
enum Stage {
    /// The registry is being taken over; the stamp that was set last, if its answer was lost, and the
    /// one that is being set.
    Taking {
        asked: Option<Stamp>,
        setting: Option<(Stamp, Option<i32>)>,
    },
    Loading(Fence),
    Running(Box<Registrar>),
}

struct Registrar {
    fence: Fence,
    registry: Registry,
    known: BTreeSet<String>,
    queue: VecDeque<(master::Token, Operation)>,
    batch: Option<Batch>,
}

/// What is being written.
struct Batch {
    answers: Vec<(master::Token, Result<(), RegistryRefused>)>,
    changes: Changes,
}

impl World {
    /// A master is elected, or leads because it is the only one.
    pub(super) fn elected(&mut self, master: usize, node: Option<String>, until: Instant) {
        self.count("election");
        self.note(|| format!("master {master} is elected"));
        // A former leadership that has not noticed its end.
        self.stop_core(master);
        let number = self.id();
        self.masters[master].term = Some(Term {
            number,
            node,
            lease: until.0,
            stage: Stage::Taking {
                asked: None,
                setting: None,
            },
        });
        self.ask(master, Question::Registry(number, Storing::Place(None)));
    }

    pub(super) fn extend_lease(&mut self, master: usize, until: Instant) {
        if let Some(term) = &mut self.masters[master].term
            && term.lease != 0
        {
            term.lease = term.lease.max(until.0);
        }
    }

    /// The election says that the leadership is over. One that believes on goes on for a while.
    pub(super) fn step_down(&mut self, master: usize) {
        let Some(term) = &mut self.masters[master].term else {
            return;
        };
        term.lease = 0;
        let number = term.number;
        if self.faults_on && self.options.believes {
            self.count("believes on");
            let pause = self.faults.up_to(Duration::from_secs(60));
            self.after(pause, Happening::Deposed(master, number));
        } else {
            self.deposed(master, number);
        }
    }

    pub(super) fn deposed(&mut self, master: usize, number: u64) {
        let term = self.masters[master].term.as_ref();
        if term.is_some_and(|term| term.number == number) {
            self.stop_core(master);
            self.masters[master].term = None;
        }
    }

    /// A candidate whose core has ended gives up what the election still believes.
    pub(super) fn leads_no_more(&mut self, master: usize, number: u64) {
        let term = self.masters[master].term.as_ref();
        if term.is_some_and(|term| term.number == number) {
            self.count("leadership given up");
            self.masters[master].term = None;
            self.contend(master, mesosd::election::contender::Event::Resign);
        }
    }

    /// The registry failed under a leadership: it is given up, and tried again.
    fn broken(&mut self, master: usize) {
        self.note(|| format!("master {master} cannot go on without its registry"));
        self.stop_core(master);
        self.masters[master].term = None;
        if self.elects() {
            self.contend(master, mesosd::election::contender::Event::Resign);
        } else {
            self.crash_master(master, RECOVERY);
        }
    }

    /// True while this master may promise something.
    pub(super) fn may_promise(&self, master: usize) -> bool {
        if self.options.believes || self.bugs.has(Bug::PromiseWithoutLease) {
            return true;
        }
        let node = &self.masters[master];
        let now = node.clock.now(self.now).mono.0;
        node.term.as_ref().is_some_and(|term| now < term.lease)
    }

    fn later(&mut self, master: usize, number: u64, storing: Storing) {
        self.after(PAUSE, Happening::AskRegistry(master, number, storing));
    }

    pub(super) fn ask_registry(&mut self, master: usize, number: u64, storing: Storing) {
        let term = self.masters[master].term.as_ref();
        if term.is_some_and(|term| term.number == number) {
            self.ask(master, Question::Registry(number, storing));
        }
    }

    pub(super) fn registry_answers(&mut self, master: usize, number: u64, stored: Stored) {
        let Some(term) = &mut self.masters[master].term else {
            return;
        };
        if term.number != number {
            return;
        }
        if matches!(stored, Stored::Failed) {
            return self.broken(master);
        }
        match &mut term.stage {
            Stage::Taking { .. } => self.taking(master, number, stored),
            Stage::Loading(_) => match stored {
                Stored::Loaded(registry) => self.loaded(master, *registry),
                _ => self.later(master, number, Storing::Load),
            },
            Stage::Running(_) => self.writing(master, number, stored),
        }
    }

    fn taking(&mut self, master: usize, number: u64, stored: Stored) {
        let silent = self.bugs.has(Bug::NoEpochBump);
        let term = self.masters[master]
            .term
            .as_mut()
            .expect("it was looked at");
        let Stage::Taking { asked, setting } = &mut term.stage else {
            return;
        };
        let fence = match stored {
            Stored::Place(Some((stamp, version))) if silent => {
                self.ensemble.taken_silently(number);
                Fence::taken(stamp, version)
            }
            Stored::Place(found) => {
                let name = number.to_string();
                match Fence::take_over(&found, asked.as_ref(), 1, FORMAT, &name) {
                    TakeOver::Done(fence) => fence,
                    TakeOver::Set(stamp, condition) => {
                        *asked = None;
                        *setting = Some((stamp.clone(), condition));
                        let node = term.node.clone();
                        let take = Storing::Take {
                            node,
                            stamp,
                            condition,
                        };
                        return self.ask(master, Question::Registry(number, take));
                    }
                }
            }
            Stored::Set(true) => {
                let (stamp, condition) = setting.take().expect("it was asked for");
                Fence::taken(stamp, Fence::version_after(condition))
            }
            Stored::Set(false) => {
                self.count("beaten to the registry");
                return self.later(master, number, Storing::Place(None));
            }
            Stored::Deposed => {
                self.count("deposed before the registry was taken");
                return self.deposed(master, number);
            }
            _ => {
                if let Some((stamp, _)) = setting.take() {
                    *asked = Some(stamp);
                }
                return self.later(master, number, Storing::Place(None));
            }
        };
        term.stage = Stage::Loading(fence);
        self.ask(master, Question::Registry(number, Storing::Load));
    }

    fn loaded(&mut self, master: usize, registry: Registry) {
        let term = self.masters[master]
            .term
            .as_mut()
            .expect("it was looked at");
        let Stage::Loading(fence) = &term.stage else {
            return;
        };
        let fence = fence.clone();
        let epoch = fence.epoch();
        let known = registry.subjects().map(|subject| subject.to_string());
        let registrar = Registrar {
            fence,
            registry: registry.clone(),
            known: known.collect(),
            queue: VecDeque::new(),
            batch: None,
        };
        term.stage = Stage::Running(Box::new(registrar));
        self.start_core(master, epoch, registry);
    }

    fn registrar(&mut self, master: usize) -> Option<&mut Registrar> {
        match &mut self.masters[master].term.as_mut()?.stage {
            Stage::Running(registrar) => Some(registrar),
            _ => None,
        }
    }

    /// The core wants a change stored.
    pub(super) fn submit(&mut self, master: usize, token: master::Token, operation: Operation) {
        self.checkers.hit("operation", operation_name(&operation));
        if let Some(registrar) = self.registrar(master) {
            registrar.queue.push_back((token, operation));
            self.next_batch(master);
        }
    }

    fn next_batch(&mut self, master: usize) {
        let large = self.chance(self.options.record_too_large);
        let Some(registrar) = self.registrar(master) else {
            return;
        };
        if registrar.batch.is_some() || registrar.queue.is_empty() {
            return;
        }
        let mut batch = Batch {
            answers: Vec::new(),
            changes: Changes::new(),
        };
        for (token, operation) in registrar.queue.drain(..) {
            if large {
                let subject = operation.subjects().remove(0);
                let refused = RegistryRefused::TooLarge {
                    subject,
                    bytes: 2_000_000,
                    bytes_max: 1_000_000,
                };
                batch.answers.push((token, Err(refused)));
                continue;
            }
            let outcome = operation.apply(&mut registrar.registry);
            if outcome == Ok(Mutated::Yes) {
                for subject in operation.subjects() {
                    let record = registrar.registry.record(&subject);
                    let key = subject.to_string();
                    if record.is_some() || registrar.known.contains(&key) {
                        batch.changes.insert(key, record);
                    }
                }
            }
            batch.answers.push((token, outcome.map(|_| ())));
        }
        if large {
            self.count("record too large");
        }
        if batch.changes.is_empty() {
            return self.answer(master, batch.answers);
        }
        let early = self.bugs.has(Bug::AcknowledgedBeforeStored);
        let answers = early.then(|| std::mem::take(&mut batch.answers));
        if let Some(registrar) = self.registrar(master) {
            registrar.batch = Some(batch);
        }
        self.write_batch(master);
        if let Some(answers) = answers {
            self.assert_landed(master);
            self.answer(master, answers);
        }
    }

    fn write_batch(&mut self, master: usize) {
        let Some(term) = &self.masters[master].term else {
            return;
        };
        let number = term.number;
        let Some(registrar) = self.registrar(master) else {
            return;
        };
        let Some(batch) = &registrar.batch else {
            return;
        };
        let write = Storing::Write {
            stamp: registrar.fence.next(),
            condition: registrar.fence.version(),
            changes: batch.changes.clone(),
        };
        self.ask(master, Question::Registry(number, write));
    }

    /// What is told to be stored is stored.
    fn assert_landed(&mut self, master: usize) {
        let Some(term) = &self.masters[master].term else {
            return;
        };
        if let Stage::Running(registrar) = &term.stage {
            let stamp = registrar.fence.next();
            assert!(
                self.ensemble.has_landed(term.number, &stamp),
                "a write is acknowledged that is not stored: {stamp:?}"
            );
        }
    }

    fn writing(&mut self, master: usize, number: u64, stored: Stored) {
        let believes = self.bugs.has(Bug::BelieveLostReply);
        match stored {
            Stored::Set(true) => self.written(master),
            Stored::Lost if believes => self.written(master),
            Stored::Place(found) => self.decided(master, number, &found),
            // Not there, or nobody knows: the place says which.
            _ => {
                let seen = self.registrar(master).map(|it| it.fence.version());
                self.later(master, number, Storing::Place(seen));
            }
        }
    }

    fn decided(&mut self, master: usize, number: u64, found: &Found) {
        let Some(registrar) = self.registrar(master) else {
            return;
        };
        if registrar.batch.is_none() {
            return;
        }
        match registrar.fence.verdict(found) {
            Verdict::Done => {
                self.count("write done, reply lost");
                self.written(master);
            }
            Verdict::Again => {
                self.count("write sent again");
                self.write_batch(master);
            }
            Verdict::Fenced => {
                self.count("write refused by epoch");
                self.deposed(master, number);
            }
        }
    }

    fn written(&mut self, master: usize) {
        self.assert_landed(master);
        let Some(registrar) = self.registrar(master) else {
            return;
        };
        registrar.fence.written();
        let Some(batch) = registrar.batch.take() else {
            return;
        };
        for (key, record) in &batch.changes {
            if record.is_some() {
                registrar.known.insert(key.clone());
            } else {
                registrar.known.remove(key);
            }
        }
        self.answer(master, batch.answers);
        self.next_batch(master);
    }

    fn answer(
        &mut self,
        master: usize,
        answers: Vec<(master::Token, Result<(), RegistryRefused>)>,
    ) {
        let incarnation = self.masters[master].incarnation;
        for (token, result) in answers {
            let event = master::Event::Persisted { token, result };
            self.after(
                Duration::ZERO,
                Happening::Master(master, incarnation, Box::new(event)),
            );
        }
    }
}

fn operation_name(operation: &Operation) -> &'static str {
    match operation {
        Operation::AdmitAgent { .. } => "AdmitAgent",
        Operation::UpdateAgent { .. } => "UpdateAgent",
        Operation::MarkUnreachable { .. } => "MarkUnreachable",
        Operation::MarkReachable { .. } => "MarkReachable",
        Operation::RemoveAgent { .. } => "RemoveAgent",
        Operation::MarkGone { .. } => "MarkGone",
        Operation::SetStanding { .. } => "SetStanding",
        Operation::Prune { .. } => "Prune",
        Operation::KeepFramework { .. } => "KeepFramework",
        Operation::ForgetFramework { .. } => "ForgetFramework",
        Operation::SetWeights { .. } => "SetWeights",
        Operation::SetQuotas { .. } => "SetQuotas",
        Operation::SetSchedule { .. } => "SetSchedule",
        Operation::StartMaintenance { .. } => "StartMaintenance",
        Operation::StopMaintenance { .. } => "StopMaintenance",
    }
}
