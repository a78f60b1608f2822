//! Who starves, who hoards, and why: the explanations that the master gives.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::master::Question;
use crate::proto::v1::master::Explanation;

pub(super) fn named(name: &str, role: &str) -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        roles: vec![role.to_owned()],
        ..framework(name)
    }
}

/// Agents that need no pings, so that long times can pass.
fn patient() -> MasterConfig {
    let mut config = MasterConfig::new("m");
    config.agent_ping_timeout = Duration::from_secs(3600);
    config
}

/// What is written to the log meanwhile.
fn logged(act: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Log {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    tracing::subscriber::with_default(subscriber, act);
    let bytes = log.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

/// The only line of a log that says this.
fn line<'a>(log: &'a str, what: &str) -> &'a str {
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(what)).collect();
    assert_eq!(lines.len(), 1, "{log}");
    lines[0]
}

impl Bench {
    pub(super) fn explain(&mut self, question: Question) -> Result<Explanation, CallError> {
        let request = RequestId(self.number());
        self.step(Event::ExplainRequested { request, question });
        match self.replies.remove(&request).unwrap()? {
            Reply::Explanation(explanation) => Ok(*explanation),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn about(&mut self, scheduler: &Scheduler) -> Explanation {
        let question = Question {
            framework_id: scheduler.id.clone(),
            role: None,
            agent_id: None,
        };
        self.explain(question).unwrap()
    }

    /// The words of the reasons in the first role, with the hosts that they are given for.
    fn reasons(&mut self, scheduler: &Scheduler) -> Vec<(String, Vec<String>)> {
        let explained = self.about(scheduler);
        let groups = explained.roles[0].groups.iter();
        let hosts = |group: &v1::master::explanation::Group| {
            group
                .agents
                .iter()
                .map(|agent| agent.hostname.clone())
                .collect()
        };
        groups
            .map(|group| (group.reason.clone(), hosts(group)))
            .collect()
    }

    fn warnings(&self) -> Vec<&v1::master::FrameworkStarving> {
        let events = self.published.iter();
        events
            .filter_map(|event| match event {
                OperatorEvent::FrameworkStarving(warning) => Some(&**warning),
                _ => None,
            })
            .collect()
    }
}

fn reason(word: &str, hosts: &[&str]) -> (String, Vec<String>) {
    let hosts = hosts.iter().map(|host| (*host).to_owned());
    (word.to_owned(), hosts.collect())
}

pub(super) fn decline(offers: &[v1::Offer], refuse_seconds: f64) -> SchedulerCall {
    SchedulerCall::Decline(call::Decline {
        offer_ids: offers.iter().map(|offer| offer.id.clone()).collect(),
        filters: Some(v1::Filters {
            refuse_seconds: Some(refuse_seconds),
        }),
    })
}

#[test]
fn every_agent_has_a_first_reason() {
    let mut bench = Bench::new();
    let busy = bench.agent("busy", "cpus:4;mem:1024");
    let worker = bench.subscribe(named("worker", "a"));
    let offers = bench.offers(&worker);
    let all = launch(vec![task("t", &busy, "cpus:4;mem:1024")]);
    bench.accept(&worker, &offers, vec![all]);
    bench.agent("held", "cpus:4;mem:1024");
    let held = bench.offers(&worker);
    assert_eq!(held.len(), 1);
    let asker = bench.subscribe(named("asker", "b"));
    bench.agent("mine", "cpus:4;mem:1024");
    assert_eq!(bench.offers(&asker).len(), 1);
    bench.agent("refused", "cpus:2;mem:512");
    let refused = bench.offers(&asker);
    bench.call(&asker, decline(&refused, 100.0)).unwrap();
    bench.agent("small", "cpus:0.001;mem:1");
    bench.agent("graphics", "cpus:4;mem:64;gpus:1");
    bench.advance(Duration::from_millis(500));

    let explained = bench.about(&asker);
    assert_eq!(explained.name, "asker");
    let [role] = &explained.roles[..] else {
        panic!("{explained:?}");
    };
    assert_eq!(role.position.len(), 3);
    let groups: BTreeMap<&str, &v1::master::explanation::Group> = role
        .groups
        .iter()
        .map(|group| (group.reason.as_str(), group))
        .collect();
    let agents = |word: &str| {
        let agents = groups[word].agents.iter();
        agents
            .map(|agent| agent.hostname.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(agents("in_use"), ["busy"]);
    assert_eq!(groups["in_use"].agents[0].rivals[0].name, "worker");
    // The worker took what the asker refused, too.
    assert_eq!(agents("outranked"), ["held", "refused"]);
    let rival = &groups["outranked"].agents[0].rivals[0];
    assert_eq!((rival.name.as_str(), rival.role.as_str()), ("worker", "a"));
    assert!(rival.held_seconds() >= 0.5 && rival.role_share > 0.1);
    let remedy = groups["outranked"].agents[0].would_be_offered_if();
    assert!(
        remedy.starts_with("worker returns its offer, or it is rescinded for hoarding in 599."),
        "{remedy}"
    );
    assert_eq!(agents("already_offered"), ["mine"]);
    assert_eq!(agents("below_minimum"), ["small"]);
    assert_eq!(agents("capability_missing"), ["graphics"]);
    let remedy = groups["capability_missing"].would_be_offered_if();
    assert!(remedy.contains("GPU_RESOURCES"), "{remedy}");

    // Nobody else takes it: the filter is what remains.
    bench.disconnect(&worker);
    bench.settle();
    let offers = bench.offers(&asker);
    assert!(offers.iter().all(|offer| offer.hostname == "held"));
    let reasons = bench.reasons(&asker);
    assert!(
        reasons.contains(&reason("filtered", &["refused"])),
        "{reasons:?}"
    );
    let suppress = SchedulerCall::Suppress { roles: vec![] };
    bench.call(&asker, suppress).unwrap();
    let reasons = bench.reasons(&asker);
    assert_eq!(reasons[0].0, "suppressed", "{reasons:?}");
}

#[test]
fn one_role_or_agent_can_be_asked_for() {
    let mut bench = Bench::new();
    let one = bench.agent("one", "cpus:4;mem:1024");
    bench.agent("two", "cpus:4;mem:1024");
    let scheduler = bench.subscribe(v1::FrameworkInfo {
        roles: vec!["a".to_owned(), "b".to_owned()],
        ..framework("f")
    });
    let question = Question {
        framework_id: scheduler.id.clone(),
        role: Some(Role::parse("b").unwrap()),
        agent_id: Some(crate::base::AgentId::new(&*one.id.value)),
    };
    let explained = bench.explain(question.clone()).unwrap();
    assert_eq!(explained.roles.len(), 1);
    assert_eq!(explained.roles[0].role, "b");
    assert_eq!(explained.roles[0].groups[0].agents.len(), 1);
    let wrong = [
        Question {
            framework_id: FrameworkId::new("nobody"),
            ..question.clone()
        },
        Question {
            role: Some(Role::parse("c").unwrap()),
            ..question.clone()
        },
        Question {
            agent_id: Some(crate::base::AgentId::new("nowhere")),
            ..question
        },
    ];
    for (question, name) in wrong.into_iter().zip(["nobody", "c", "nowhere"]) {
        let error = bench.explain(question).unwrap_err();
        assert!(error.message.contains(name), "{error}");
    }
}

#[test]
fn hoarded_offers_go_to_who_waits() {
    let mut bench = Bench::with(patient(), Registry::default());
    bench.agent("a", "cpus:4;mem:1024");
    let hoarder = bench.subscribe(named("hoarder", "a"));
    assert_eq!(bench.offers(&hoarder).len(), 1);
    // Nobody waits: nothing is taken back.
    bench.advance(Duration::from_secs(1200));
    assert_eq!(bench.snapshot().metrics.offers_hoarded, 0);
    let waiting = bench.subscribe(named("waiting", "b"));
    let held: Vec<_> = bench.snapshot().offers.keys().cloned().collect();
    let snapshot = bench.snapshot();
    let record = &snapshot.frameworks[&hoarder.id];
    assert!(snapshot.longest_held(record) >= Some(Duration::from_secs(1200)));
    let log = logged(|| bench.advance(Duration::from_secs(61)));
    let line = line(&log, "hoarded");
    let (holder, waits) = (&hoarder.id, &waiting.id);
    for part in [
        format!("offer_id={}", held[0]),
        format!("framework_id={holder}"),
        "resources=cpus(allocated: a):4;mem(allocated: a):1024".to_owned(),
        format!("waiting={waits}"),
    ] {
        assert!(line.contains(&part), "{part} in {line}");
    }
    let (_, seconds) = line.split_once("held_seconds=").unwrap();
    let seconds = seconds.split_whitespace().next().unwrap();
    assert!(seconds.parse::<u64>().unwrap() >= 1200, "{line}");
    let events = bench.events(hoarder.connection);
    assert!(events.iter().any(|event| event.rescind.is_some()));
    let offers = bench.offers(&waiting);
    assert_eq!(offers.len(), 1);
    let metrics = bench.snapshot().metrics;
    assert_eq!((metrics.offers_hoarded, metrics.offers_rescinded), (1, 1));
}

#[test]
fn who_returns_it_does_not_wait() {
    let mut bench = Bench::with(patient(), Registry::default());
    bench.agent("a", "cpus:4;mem:1024");
    let idle = bench.subscribe(named("idle", "a"));
    let offers = bench.offers(&idle);
    bench.call(&idle, decline(&offers, 1.0)).unwrap();
    let hoarder = bench.subscribe(named("hoarder", "b"));
    assert_eq!(bench.offers(&hoarder).len(), 1);
    bench.advance(Duration::from_secs(1200));
    assert_eq!(bench.snapshot().metrics.offers_hoarded, 0);
}

#[test]
fn starvation_is_warned_about_with_the_culprit() {
    let mut config = patient();
    config.offer_hoarding_timeout = Duration::from_secs(3600);
    let mut bench = Bench::with(config, Registry::default());
    bench.agent("a", "cpus:4;mem:1024");
    let hoarder = bench.subscribe(named("hoarder", "a"));
    assert_eq!(bench.offers(&hoarder).len(), 1);
    let starving = bench.subscribe(named("starving", "b"));
    let idle = bench.subscribe(named("idle", "c"));
    let suppress = SchedulerCall::Suppress { roles: vec![] };
    bench.call(&idle, suppress).unwrap();
    bench.advance(Duration::from_secs(290));
    assert_eq!(bench.warnings().len(), 0);
    let log = logged(|| bench.advance(Duration::from_secs(60)));
    let line = line(&log, "has had none for long");
    let (who, culprit) = (&starving.id, &hoarder.id);
    assert!(line.contains(&format!("framework_id={who}")), "{line}");
    assert!(line.contains(&format!("culprit=\"{culprit}\"")), "{line}");
    assert!(line.contains("culprit_name=\"hoarder\""), "{line}");
    let warnings = bench.warnings();
    assert_eq!(warnings.len(), 1);
    let id: v1::FrameworkId = (&starving.id).into();
    assert_eq!(warnings[0].framework_id, id);
    assert!(warnings[0].waited_seconds >= 300.0);
    assert_eq!(warnings[0].rivals[0].name, "hoarder");
    assert!(warnings[0].rivals[0].held_seconds() >= 300.0);
    assert_eq!(bench.snapshot().metrics.frameworks_starving, 1);
    // Again after the same time, not all the time.
    bench.advance(Duration::from_secs(200));
    assert_eq!(bench.warnings().len(), 1);
    bench.advance(Duration::from_secs(200));
    assert_eq!(bench.warnings().len(), 2);
}

#[test]
fn a_full_cluster_is_no_starvation() {
    let mut bench = Bench::with(patient(), Registry::default());
    let agent = bench.agent("a", "cpus:4;mem:1024");
    let worker = bench.subscribe(named("worker", "a"));
    let offers = bench.offers(&worker);
    let all = launch(vec![task("t", &agent, "cpus:4;mem:1024")]);
    bench.accept(&worker, &offers, vec![all]);
    bench.subscribe(named("waiting", "b"));
    bench.advance(Duration::from_secs(1000));
    assert_eq!(bench.warnings().len(), 0);
}
