//! Masters, an ensemble and a network in virtual time: sessions expire, answers are lost, watches come
//! late, masters stand still (SIGSTOP) and go on. At no moment may a master promise anything while its
//! znode is not the first one of the ensemble; and when the faults end somebody leads.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::{Instant, Now, Rng, Timestamp};
use crate::election::contender::{Contender, Effect, Event, Planted, Timer};

/// Session timeout, in milliseconds.
const TIMEOUT: u64 = 1_000;
/// Faults end then; half a minute later it is over.
const FAULTS: u64 = 20_000;
const END: u64 = 30_000;
const MASTERS: usize = 3;

#[derive(Clone, Debug)]
enum Request {
    Open,
    Enter,
    Find,
    List { asked: u64 },
    Beat { sent: u64 },
    Close,
}

#[derive(Clone, Debug)]
enum Reply {
    Opened(u64),
    Contender(Event),
    Changed,
    Expired,
}

#[derive(Clone, Debug)]
enum Happening {
    ToEnsemble(usize, u64, Request),
    ToMaster(usize, u64, Reply),
    Fire(usize, u64, Timer, u64),
    Fault,
    Promise(usize),
    Expire,
}

#[derive(Default)]
struct Master {
    contender: Contender,
    /// Zero while there is none.
    session: u64,
    heard: u64,
    timers: BTreeMap<Timer, u64>,
    lease: Option<u64>,
    /// It stands still until then, and cannot be reached until then.
    frozen: u64,
    cut: u64,
    promises: u32,
    /// When it last stopped leading: what it asked before then says nothing to it.
    left: u64,
}

#[derive(Default)]
struct Ensemble {
    sessions: BTreeMap<u64, u64>,
    nodes: BTreeMap<String, u64>,
    next_session: u64,
    next_node: u64,
    watches: Vec<(usize, u64)>,
}

struct World {
    now: u64,
    seed: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    rng: Rng,
    masters: Vec<Master>,
    ensemble: Ensemble,
    wrong: Option<String>,
}

impl World {
    fn new(seed: u64, planted: Planted) -> Self {
        let mut world = Self {
            now: 0,
            seed,
            order: 0,
            queue: BTreeMap::new(),
            rng: Rng::seeded(seed, "election"),
            masters: (0..MASTERS).map(|_| Master::default()).collect(),
            ensemble: Ensemble::default(),
            wrong: None,
        };
        for number in 0..MASTERS {
            world.masters[number].contender.planted = planted;
            world.later(0, Happening::Promise(number));
            world.ask(number, 0, Request::Open);
        }
        world.later(50, Happening::Fault);
        world.later(10, Happening::Expire);
        world
    }

    fn later(&mut self, delay: u64, happening: Happening) {
        self.order += 1;
        self.queue.insert((self.now + delay, self.order), happening);
    }

    /// Milliseconds on the way: mostly few, sometimes many.
    fn delay(&mut self) -> u64 {
        if self.now < FAULTS && self.rng.chance(1, 20) {
            self.rng.below(900)
        } else {
            1 + self.rng.below(5)
        }
    }

    fn is_lost(&mut self, master: usize) -> bool {
        self.masters[master].cut > self.now || self.now < FAULTS && self.rng.chance(1, 50)
    }

    fn ask(&mut self, master: usize, session: u64, request: Request) {
        let delay = self.delay();
        if self.is_lost(master) {
            // The client finds out by its own time limit; for a new session it tries again.
            let reply = match request {
                Request::Open => {
                    self.later(300, Happening::ToMaster(master, 0, Reply::Expired));
                    return;
                }
                Request::Enter => Reply::Contender(Event::EnterLost),
                Request::Find => Reply::Contender(Event::FindFailed),
                Request::List { .. } => Reply::Changed,
                Request::Beat { .. } | Request::Close => return,
            };
            self.later(400, Happening::ToMaster(master, session, reply));
            return;
        }
        self.later(delay, Happening::ToEnsemble(master, session, request));
    }

    fn answer(&mut self, master: usize, session: u64, reply: Reply) {
        let delay = self.delay();
        if self.is_lost(master) {
            let instead = match reply {
                Reply::Contender(Event::Entered(_)) => Reply::Contender(Event::EnterLost),
                Reply::Contender(Event::Found(_)) => Reply::Contender(Event::FindFailed),
                Reply::Contender(Event::Listed { .. }) | Reply::Changed => Reply::Changed,
                Reply::Opened(_) => Reply::Expired,
                Reply::Contender(_) | Reply::Expired => return,
            };
            self.later(400, Happening::ToMaster(master, session, instead));
            return;
        }
        self.later(delay, Happening::ToMaster(master, session, reply));
    }

    fn changed(&mut self) {
        for (master, session) in std::mem::take(&mut self.ensemble.watches) {
            self.answer(master, session, Reply::Changed);
        }
    }

    fn end_session(&mut self, session: u64) {
        self.ensemble.sessions.remove(&session);
        self.ensemble.nodes.retain(|_, owner| *owner != session);
        self.changed();
    }

    fn serve(&mut self, master: usize, session: u64, request: Request) {
        if matches!(request, Request::Open) {
            self.ensemble.next_session += 1;
            let session = self.ensemble.next_session;
            self.ensemble.sessions.insert(session, self.now);
            self.answer(master, session, Reply::Opened(session));
            return;
        }
        // Others hear of a client up to half a tick later, if its server lives to tell.
        let lag = self.rng.below(TIMEOUT / 4);
        let heard = self.now.saturating_sub(lag);
        let Some(last) = self.ensemble.sessions.get_mut(&session) else {
            self.answer(master, session, Reply::Expired);
            return;
        };
        *last = heard.max(*last);
        let reply = match request {
            Request::Open => return,
            Request::Close => return self.end_session(session),
            Request::Enter => {
                let name = format!("json.info_{:010}", self.ensemble.next_node);
                self.ensemble.next_node += 1;
                self.ensemble.nodes.insert(name.clone(), session);
                self.changed();
                Event::Entered(name)
            }
            Request::Find => {
                let mut nodes = self.ensemble.nodes.iter();
                let found = nodes.find(|(_, owner)| **owner == session);
                Event::Found(found.map(|(name, _)| name.clone()))
            }
            Request::List { asked } => {
                self.ensemble.watches.push((master, session));
                Event::Listed {
                    nodes: self.ensemble.nodes.keys().cloned().collect(),
                    asked: Instant(asked * 1_000_000),
                }
            }
            Request::Beat { sent } => Event::Answered {
                sent: Instant(sent * 1_000_000),
            },
        };
        self.answer(master, session, Reply::Contender(reply));
    }

    fn step(&mut self, master: usize, event: Event) {
        let now = Now {
            mono: Instant(self.now * 1_000_000),
            wall: Timestamp(0),
        };
        let mut effects = Vec::new();
        let contender = &mut self.masters[master].contender;
        contender.step(now, event, &mut effects);
        contender.check_invariants();
        let session = self.masters[master].session;
        for effect in effects {
            let asked = self.now;
            match effect {
                Effect::Enter => self.ask(master, session, Request::Enter),
                Effect::Find => self.ask(master, session, Request::Find),
                Effect::List => self.ask(master, session, Request::List { asked }),
                Effect::Beat => self.ask(master, session, Request::Beat { sent: asked }),
                Effect::Lead { until, .. } | Effect::Extend { until } => {
                    self.masters[master].lease = Some(until.0 / 1_000_000);
                }
                Effect::StepDown(_) => {
                    self.masters[master].lease = None;
                    self.masters[master].left = self.now;
                }
                Effect::CloseSession => {
                    self.ask(master, session, Request::Close);
                    self.reopen(master);
                }
                Effect::SetTimer(timer, at) => {
                    let at = at.0.div_ceil(1_000_000);
                    self.masters[master].timers.insert(timer, at);
                    let delay = at.saturating_sub(self.now);
                    self.later(delay, Happening::Fire(master, session, timer, at));
                }
                Effect::CancelTimer(timer) => {
                    self.masters[master].timers.remove(&timer);
                }
            }
        }
    }

    fn reopen(&mut self, master: usize) {
        self.masters[master].session = 0;
        self.step(master, Event::Ended);
        self.ask(master, 0, Request::Open);
    }

    fn hear(&mut self, master: usize, session: u64, reply: Reply) {
        if let Reply::Opened(session) = reply {
            if self.masters[master].session == 0 {
                self.masters[master].session = session;
                self.masters[master].heard = self.now;
                let timeout = Duration::from_millis(TIMEOUT);
                self.step(master, Event::Opened { timeout });
            }
            return;
        }
        if session != self.masters[master].session {
            return;
        }
        match reply {
            Reply::Expired => self.reopen(master),
            Reply::Changed => {
                let asked = self.now;
                self.ask(master, session, Request::List { asked });
            }
            Reply::Contender(event) => {
                self.masters[master].heard = self.now;
                self.step(master, event);
            }
            Reply::Opened(_) => {}
        }
    }

    /// A master promises whenever it may; only the first of the ensemble may.
    fn promise(&mut self, master: usize) {
        let one = &mut self.masters[master];
        if one.lease.is_some_and(|end| end > self.now) {
            one.promises += 1;
            let first = self.ensemble.nodes.values().next();
            if first != Some(&one.session) && self.wrong.is_none() {
                self.wrong = Some(format!(
                    "seed {}: at {} ms master {master} promises, and its znode is not the first",
                    self.seed, self.now
                ));
            }
        }
        // As the crate does, a session without any sign of life is given up.
        if one.session != 0 && one.heard + TIMEOUT * 7 / 5 < self.now {
            self.reopen(master);
        }
        self.later(3, Happening::Promise(master));
    }

    fn fault(&mut self) {
        if self.now >= FAULTS {
            return;
        }
        let master = usize::try_from(self.rng.below(MASTERS as u64)).unwrap();
        let length = self.rng.below(2 * TIMEOUT);
        match self.rng.below(4) {
            0 => self.masters[master].frozen = self.now + length,
            1 => self.masters[master].cut = self.now + length,
            2 => {
                let node = self.ensemble.nodes.keys().next().cloned();
                // An operator deletes the leader's znode; the leader learns it in its own time, so this
                // is tried with nobody leading, and nobody about to by a listing that is on its way.
                let listed = |happening: &Happening| match happening {
                    Happening::ToMaster(to, _, Reply::Contender(Event::Listed { asked, .. })) => {
                        asked.0 >= self.masters[*to].left * 1_000_000
                    }
                    _ => false,
                };
                if self.masters.iter().all(|master| master.lease.is_none())
                    && !self.queue.values().any(listed)
                    && let Some(node) = node
                {
                    self.ensemble.nodes.remove(&node);
                    self.changed();
                }
            }
            _ => {}
        }
        let pause = self.rng.below(600);
        self.later(pause, Happening::Fault);
    }

    fn run(mut self) -> Self {
        while let Some(((at, order), happening)) = self.queue.pop_first() {
            if at > END || self.wrong.is_some() {
                break;
            }
            self.now = at;
            let master = match &happening {
                Happening::ToMaster(master, ..)
                | Happening::Fire(master, ..)
                | Happening::Promise(master) => Some(*master),
                _ => None,
            };
            if let Some(master) = master
                && self.masters[master].frozen > at
            {
                // It happens when the master goes on, in the same order.
                let key = (self.masters[master].frozen, order);
                self.queue.insert(key, happening);
                continue;
            }
            match happening {
                Happening::ToEnsemble(master, session, request) => {
                    self.serve(master, session, request);
                }
                Happening::ToMaster(master, session, reply) => self.hear(master, session, reply),
                Happening::Fire(master, session, timer, at) => {
                    let one = &mut self.masters[master];
                    if one.session == session && one.timers.get(&timer) == Some(&at) {
                        one.timers.remove(&timer);
                        self.step(master, Event::TimerFired(timer));
                    }
                }
                Happening::Promise(master) => self.promise(master),
                Happening::Fault => self.fault(),
                Happening::Expire => {
                    let now = self.now;
                    let sessions = self.ensemble.sessions.iter();
                    let expired: Vec<u64> = sessions
                        .filter(|(_, heard)| **heard + TIMEOUT < now)
                        .map(|(session, _)| *session)
                        .collect();
                    for session in expired {
                        self.end_session(session);
                    }
                    self.later(10, Happening::Expire);
                }
            }
        }
        self
    }
}

#[test]
fn nobody_promises_who_does_not_lead_and_somebody_leads_in_the_end() {
    let mut led = [false; MASTERS];
    for seed in 0..60 {
        let world = World::new(seed, Planted::default()).run();
        assert_eq!(world.wrong, None);
        let leading = world.masters.iter().enumerate();
        let leading: Vec<usize> = leading
            .filter(|(_, master)| master.lease.is_some_and(|end| end > world.now))
            .map(|(number, _)| number)
            .collect();
        assert_eq!(leading.len(), 1, "seed {seed}: {leading:?} lead in the end");
        for (number, master) in world.masters.iter().enumerate() {
            led[number] |= master.promises > 0;
        }
    }
    assert_eq!(led, [true; MASTERS], "each has led once");
}

#[test]
fn a_planted_bug_is_found() {
    let planted = Planted {
        lease_from_answer: true,
    };
    assert!((0..400).any(|seed| World::new(seed, planted).run().wrong.is_some()));
}
