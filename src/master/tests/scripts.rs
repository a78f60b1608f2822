//! Scenario scripts of what the master does about allocation: `tests/scenarios/master/*.txt`. A
//! script is a list of commands, each followed by what schedulers hear and what is refused, indented.
//! `UPDATE_EXPECT=1` rewrites the scripts.

use std::fmt::Write as _;
use std::path::Path;

use super::policy::config;
use super::standing::{deactivate, drain, reactivate};
use super::*;
use crate::base::parse_duration;
use crate::proto::v1::scheduler::call::{AcceptInverseOffers, DeclineInverseOffers};
use crate::quota::from_configs;
use crate::registry::Maintenance;
use crate::resources::{Label, Labels, Reservation, Resources};

/// A master, its agents and schedulers by name.
struct Script {
    bench: Bench,
    agents: BTreeMap<String, AgentPeer>,
    schedulers: BTreeMap<String, Scheduler>,
    /// The offers that each scheduler holds.
    offers: BTreeMap<String, Vec<v1::Offer>>,
    inverse: BTreeMap<String, Vec<v1::InverseOffer>>,
    /// How many there were before this one.
    masters: usize,
}

/// The words of a command: plain ones by position, `key=value` by key.
struct Words<'a> {
    plain: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Self {
        let words = line.split_whitespace();
        let (options, plain): (Vec<&str>, Vec<&str>) = words.partition(|word| word.contains('='));
        let options = options.iter().filter_map(|word| word.split_once('='));
        Self {
            plain,
            options: options.collect(),
        }
    }

    fn plain(&self, at: usize) -> &'a str {
        self.plain.get(at).copied().unwrap_or_default()
    }

    fn number(&self, key: &str) -> Option<f64> {
        Some(self.options.get(key)?.parse().unwrap())
    }

    fn labels(&self) -> Labels {
        let words = self.options.get("labels").into_iter();
        let words = words.flat_map(|words| words.split(','));
        words
            .map(|word| match word.split_once(':') {
                Some((key, value)) => (key, Some(value)),
                None => (word, None),
            })
            .map(|(key, value)| Label {
                key: key.to_owned(),
                value: value.map(str::to_owned),
            })
            .collect()
    }

    fn filters(&self) -> Option<v1::Filters> {
        Some(v1::Filters {
            refuse_seconds: Some(self.number("refuse")?),
        })
    }
}

impl Script {
    fn new() -> Self {
        Self {
            bench: Bench::with(lasting("m"), Registry::default()),
            agents: BTreeMap::new(),
            schedulers: BTreeMap::new(),
            offers: BTreeMap::new(),
            inverse: BTreeMap::new(),
            masters: 0,
        }
    }

    /// Carries out one command, and says what follows.
    fn command(&mut self, line: &str) -> Vec<String> {
        let words = Words::of(line);
        let name = words.plain(1);
        let result = match words.plain(0) {
            "agent" => {
                let agent = self.bench.agent(name, words.plain(2));
                self.agents.insert(name.to_owned(), agent);
                Ok(Reply::Accepted)
            }
            "disconnect-agent" => {
                self.bench.disconnect_agent(&self.agents[name]);
                Ok(Reply::Accepted)
            }
            "return-agent" => {
                let agent = self.agents.get_mut(name).unwrap();
                self.bench.return_agent(agent, Vec::new(), Vec::new());
                Ok(Reply::Accepted)
            }
            "deactivate" => self.bench.operator_call(deactivate(&self.agents[name])),
            "drain" => self.bench.operator_call(drain(&self.agents[name], false)),
            "reactivate" => self.bench.operator_call(reactivate(&self.agents[name])),
            "framework" => {
                let info = v1::FrameworkInfo {
                    roles: vec![words.plain(2).to_owned()],
                    ..framework(name)
                };
                let scheduler = self.bench.subscribe(info);
                self.schedulers.insert(name.to_owned(), scheduler);
                Ok(Reply::Accepted)
            }
            "quota" => {
                let guarantee = words.number("guarantee").unwrap_or(0.0);
                let config = config(name, guarantee, words.number("limit"));
                let force = words.plain(2) == "force";
                match from_configs(&[config]) {
                    Ok(quotas) => {
                        let call = OperatorCall::UpdateQuota { quotas, force };
                        self.bench.operator_call(call)
                    }
                    Err(error) => Err(CallError::invalid(error.to_string())),
                }
            }
            "whitelist" => {
                let hosts = words.plain[1..].iter().map(|host| (*host).to_owned());
                let hosts = (name != "*").then(|| hosts.collect());
                self.bench.step(Event::Whitelisted(hosts));
                Ok(Reply::Accepted)
            }
            "schedule" => self.bench.operator_call(schedule(&words.plain[1..])),
            "new-master" => self.new_master(),
            "advance" => {
                self.bench.advance(parse_duration(name).unwrap());
                Ok(Reply::Accepted)
            }
            "accept" | "accept-badly" | "reserve" | "unreserve" | "decline"
                if !self.holds(name) =>
            {
                Err(CallError::invalid("it holds no offer"))
            }
            call => {
                let call = self.scheduler_call(call, name, &words);
                self.bench.call(&self.schedulers[name], call)
            }
        };
        self.bench.settle();
        let refused = result.err().map(|error| format!("refused: {error}"));
        let mut shown: Vec<String> = refused.into_iter().collect();
        shown.extend(self.heard());
        shown
    }

    fn holds(&self, name: &str) -> bool {
        self.offers.get(name).is_some_and(|held| !held.is_empty())
    }

    /// What a scheduler says; `accept WHO HOST TASK RESOURCES` launches a task, `accept-badly WHO`
    /// one from an offer besides that there is not, `reserve WHO HOST RESOURCES labels=KEY:VALUE,KEY`
    /// reserves to the offer's role, and `unreserve` ends that.
    fn scheduler_call(&mut self, call: &str, name: &str, words: &Words<'_>) -> SchedulerCall {
        let operation_id = format!("o{}", self.bench.number());
        let mut held = || self.offers.remove(name).unwrap_or_default();
        let roles = || words.plain[2..].iter().map(|role| (*role).to_owned());
        let ids = |offers: &[v1::Offer]| offers.iter().map(|offer| offer.id.clone()).collect();
        let mut inverse = || {
            let offers = self.inverse.remove(name).unwrap_or_default();
            offers.into_iter().map(|offer| offer.id).collect()
        };
        match call {
            "decline" => SchedulerCall::Decline(call::Decline {
                offer_ids: ids(&held()),
                filters: words.filters(),
            }),
            "accept" | "accept-badly" => {
                let offers = held();
                let (on, kept): (Vec<_>, Vec<_>) = offers
                    .into_iter()
                    .partition(|offer| call != "accept" || offer.hostname == words.plain(2));
                let mut task = task("t", &self.agents[&on[0].hostname], "cpus:1");
                let mut offer_ids = ids(&on);
                if call == "accept" {
                    task.task_id.value = words.plain(3).to_owned();
                    task.resources = resources(words.plain(4));
                } else {
                    offer_ids.push("nowhere-O7".into());
                }
                self.offers.insert(name.to_owned(), kept);
                SchedulerCall::Accept(call::Accept {
                    offer_ids,
                    operations: vec![launch(vec![task])],
                    filters: words.filters(),
                })
            }
            "reserve" | "unreserve" => {
                let offers = held();
                let role = offers[0].allocation_info.as_ref().unwrap().role();
                let role = Role::parse(role).unwrap();
                let level = Reservation {
                    labels: words.labels(),
                    ..Reservation::dynamic(role, None)
                };
                let what = Resources::from_proto(&resources(words.plain(3))).unwrap();
                let what = what.map(|item| item.reserve(level.clone()).unwrap());
                let operation = match call {
                    "reserve" => operations::reserve(&what),
                    _ => operations::unreserve(&what),
                };
                SchedulerCall::Accept(call::Accept {
                    offer_ids: ids(&offers),
                    operations: vec![operations::named(operation, &operation_id)],
                    filters: words.filters(),
                })
            }
            "suppress" => SchedulerCall::Suppress {
                roles: roles().collect(),
            },
            "revive" => SchedulerCall::Revive {
                roles: roles().collect(),
            },
            "accept-inverse" => SchedulerCall::AcceptInverseOffers(AcceptInverseOffers {
                inverse_offer_ids: inverse(),
                filters: words.filters(),
            }),
            "decline-inverse" => SchedulerCall::DeclineInverseOffers(DeclineInverseOffers {
                inverse_offer_ids: inverse(),
                filters: words.filters(),
            }),
            other => panic!("{other} is no command"),
        }
    }

    /// Another master takes over with what the registry holds; agents and schedulers are gone.
    fn new_master(&mut self) -> Result<Reply, CallError> {
        let registry = self.bench.registry.clone();
        self.masters += 1;
        self.bench = Bench::with(lasting(&format!("m{}", self.masters)), registry);
        self.schedulers.clear();
        self.offers.clear();
        self.inverse.clear();
        Ok(Reply::Accepted)
    }

    /// What schedulers have heard of offers.
    fn heard(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, scheduler) in &self.schedulers {
            let offers = self.offers.entry(name.clone()).or_default();
            let inverse = self.inverse.entry(name.clone()).or_default();
            for event in self.bench.events(scheduler.connection) {
                for offer in event.offers.into_iter().flat_map(|event| event.offers) {
                    let what = Resources::from_proto(&offer.resources).unwrap();
                    let what = what.unallocated();
                    let host = &offer.hostname;
                    let leaves = offer.unavailability.map(|_| ", to be maintained");
                    let leaves = leaves.unwrap_or_default();
                    lines.push(format!("{name} is offered {host}: {what}{leaves}"));
                    offers.push(offer);
                }
                if let Some(rescind) = event.rescind {
                    let at = offers.iter().position(|one| one.id == rescind.offer_id);
                    let host = at.map(|at| offers.remove(at).hostname).unwrap_or_default();
                    lines.push(format!("{name} loses its offer of {host}"));
                }
                if let Some(status) = event.update.map(|update| update.status) {
                    let task = status.task_id.value.clone();
                    lines.push(format!(
                        "{name}'s {task} is {}",
                        status.state().as_str_name()
                    ));
                }
                if let Some(status) = event.update_operation_status.map(|update| update.status) {
                    let state = status.state().as_str_name().to_owned();
                    let why = status.message.map(|why| format!(": {why}"));
                    lines.push(format!("{name} hears {state}{}", why.unwrap_or_default()));
                }
                let asked = event.inverse_offers.into_iter();
                for offer in asked.flat_map(|event| event.inverse_offers) {
                    lines.push(format!("{name} is asked to leave"));
                    inverse.push(offer);
                }
                if let Some(rescind) = event.rescind_inverse_offer {
                    inverse.retain(|one| one.id != rescind.inverse_offer_id);
                    lines.push(format!("{name} is no longer asked to leave"));
                }
            }
        }
        // Which agent is visited first is random.
        lines.sort();
        lines
    }
}

/// Agents that need no pings.
fn lasting(uuid: &str) -> MasterConfig {
    let mut config = MasterConfig::new(uuid);
    config.agent_ping_timeout = Duration::from_secs(100_000);
    config
}

/// The maintenance of these hosts, from an hour on.
fn schedule(hosts: &[&str]) -> OperatorCall {
    let machine = |host: &&str| v1::MachineId {
        hostname: Some((*host).to_owned()),
        ip: None,
    };
    let window = v1::maintenance::Window {
        machine_ids: hosts.iter().map(machine).collect(),
        unavailability: v1::Unavailability {
            start: v1::TimeInfo {
                nanoseconds: 3_600_000_000_000,
            },
            duration: None,
        },
    };
    let windows = if hosts.is_empty() {
        vec![]
    } else {
        vec![window]
    };
    OperatorCall::UpdateMaintenanceSchedule {
        windows: Maintenance::read_schedule(&v1::maintenance::Schedule { windows }).unwrap(),
    }
}

/// The script's text with what its commands really show.
fn play(text: &str) -> String {
    let mut script = Script::new();
    let mut played = String::new();
    for line in text.lines().filter(|line| !line.starts_with("  ")) {
        writeln!(played, "{line}").unwrap();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        for shown in script.command(line) {
            writeln!(played, "  {shown}").unwrap();
        }
    }
    played
}

#[test]
fn scripts_show_what_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/master");
    let mut scripts = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# "), "{path:?} says what it shows");
        let played = play(&text);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, played).unwrap();
        } else {
            assert_eq!(played, text, "{path:?}");
        }
        scripts += 1;
    }
    assert!(scripts >= 2, "{scripts} scripts");
}
