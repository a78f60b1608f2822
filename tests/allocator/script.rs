//! The commands of scenario scripts.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;
use std::time::Duration;

use mesosd::allocator::{
    AgentSpec, Allocation, AllocationOrder, Allocator, AllocatorConfig, Capability, Filter,
    FrameworkSpec, Weight,
};
use mesosd::attributes::{OfferConstraints, PatternLimits};
use mesosd::base::{AgentId, FrameworkId, Instant, format_duration, parse_duration};
use mesosd::proto::v1;
use mesosd::proto::v1::scheduler::offer_constraints::{RoleConstraints, role_constraints::Group};
use mesosd::quota::Quota;
use mesosd::resources::{
    Quantities, Reservation, Resource, ResourceName, Resources, Scalar, parse,
};
use mesosd::roles::Role;

use crate::special;

/// An allocator, the offers that are out and the time.
#[derive(Debug)]
pub(crate) struct Script {
    allocator: Allocator,
    offers: Vec<Allocation>,
    now: Instant,
}

/// The words of a command after its name: plain ones by position, `key=value` by key.
struct Words<'a> {
    plain: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

type Shown = Result<Vec<String>, String>;

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn bag(resources: &str) -> Result<Resources, String> {
    parse(resources, &Role::DEFAULT).map_err(text)
}

fn roles(list: &str) -> Result<BTreeSet<Role>, String> {
    let names = list.split(',').filter(|name| !name.is_empty());
    names.map(|name| Role::parse(name).map_err(text)).collect()
}

/// `cpus:1;mem:5|disk:3`: one of these; `any`: anything.
fn minimums(list: &str) -> Result<Vec<Quantities>, String> {
    if list == "any" {
        return Ok(Vec::new());
    }
    list.split('|')
        .map(|one| Ok(bag(one)?.quantities()))
        .collect()
}

/// `ROLE@CONSTRAINT&CONSTRAINT|CONSTRAINT`: groups of constraints, each `SELECTOR` and one of
/// `:TEXT`, `!:TEXT`, `~PATTERN`, `!~PATTERN`, `+` (exists), `-` (does not).
fn wanted(text_form: &str, roles: &BTreeSet<Role>) -> Result<OfferConstraints, String> {
    let Some((role, groups)) = text_form.split_once('@') else {
        return Ok(OfferConstraints::default());
    };
    let groups = groups.split('|').map(|group| {
        let constraints = group.split('&').map(constraint);
        Ok(Group {
            attribute_constraints: constraints.collect::<Result<_, String>>()?,
        })
    });
    let constraints = RoleConstraints {
        groups: groups.collect::<Result<_, String>>()?,
    };
    let message = v1::scheduler::OfferConstraints {
        role_constraints: [(role.to_owned(), constraints)].into(),
    };
    OfferConstraints::from_proto(&message, roles, PatternLimits::default()).map_err(text)
}

fn constraint(text_form: &str) -> Result<v1::scheduler::AttributeConstraint, String> {
    use v1::scheduler::attribute_constraint::predicate as kinds;
    use v1::scheduler::attribute_constraint::predicate::Predicate;
    use v1::scheduler::attribute_constraint::selector::{PseudoattributeType, Selector};

    let end = text_form.find([':', '!', '~', '+', '-']);
    let (name, rest) = text_form.split_at(end.ok_or("no predicate")?);
    let selector = match PseudoattributeType::from_str_name(name) {
        Some(kind) => Selector::PseudoattributeType(kind.into()),
        None => Selector::AttributeName(name.to_owned()),
    };
    let found = [":", "!:", "~", "!~", "+", "-"]
        .into_iter()
        .find_map(|sign| {
            let rest = rest.strip_prefix(sign)?.to_owned();
            Some((sign, rest))
        });
    let (sign, rest) = found.ok_or("no predicate")?;
    let predicate = match sign {
        ":" => Predicate::TextEquals(kinds::TextEquals { value: rest }),
        "!:" => Predicate::TextNotEquals(kinds::TextNotEquals { value: rest }),
        "~" => Predicate::TextMatches(kinds::TextMatches { regex: rest }),
        "!~" => Predicate::TextNotMatches(kinds::TextNotMatches { regex: rest }),
        "+" => Predicate::Exists(kinds::Exists {}),
        _ => Predicate::NotExists(kinds::NotExists {}),
    };
    Ok(v1::scheduler::AttributeConstraint {
        selector: v1::scheduler::attribute_constraint::Selector {
            selector: Some(selector),
        },
        predicate: v1::scheduler::attribute_constraint::Predicate {
            predicate: Some(predicate),
        },
    })
}

/// Amounts by name, zero included.
fn amounts(list: &str) -> Result<Vec<(ResourceName, Scalar)>, String> {
    let items = list.split(';').filter(|item| !item.is_empty());
    items
        .map(|item| {
            let (name, amount) = item.split_once(':').ok_or("write name:amount")?;
            let name = ResourceName::parse(name).map_err(text)?;
            Ok((name, Scalar::parse(amount).map_err(text)?))
        })
        .collect()
}

impl<'a> Words<'a> {
    fn plain(&self, at: usize, what: &str) -> Result<&'a str, String> {
        self.plain.get(at).copied().ok_or(format!("no {what}"))
    }

    fn framework(&self) -> Result<FrameworkId, String> {
        self.plain(0, "framework").map(FrameworkId::new)
    }

    fn agent(&self, at: usize) -> Result<AgentId, String> {
        self.plain(at, "agent").map(AgentId::new)
    }

    fn option(&self, key: &str) -> &'a str {
        self.options.get(key).copied().unwrap_or_default()
    }

    fn agent_spec(&self) -> Result<AgentSpec, String> {
        let mut total = bag(self.plain(1, "resources")?)?;
        for item in &bag(self.option("revocable"))? {
            total.add(item.clone().with_revocable(true).map_err(text)?);
        }
        if let Some((roles, resources)) = self.option("refined").split_once('=') {
            let stack = roles.split(',').enumerate().map(|(depth, role)| {
                let role = Role::parse(role).map_err(text)?;
                let level = |role| match depth {
                    0 => Reservation::fixed(role),
                    _ => Reservation::dynamic(role, None),
                };
                Ok(level(role))
            });
            let stack: Vec<Reservation> = stack.collect::<Result<_, String>>()?;
            for item in &bag(resources)? {
                let item: Resource = item.clone();
                total.add(item.with_reservations(stack.clone()).map_err(text)?);
            }
        }
        total.add_all(&special::shared(self.option("shared"))?);
        if let Some(disk) = self.options.get("mount") {
            total.add_all(&special::mount(disk)?);
        }
        let region = self.options.get("region");
        Ok(AgentSpec {
            total,
            attributes: mesosd::attributes::parse(self.option("attributes")).map_err(text)?,
            hostname: self.option("host").into(),
            region: region.map(|name| (*name).into()),
            zone: self.options.get("zone").map(|name| (*name).into()),
        })
    }

    fn framework_spec(&self) -> Result<FrameworkSpec, String> {
        let can = self
            .option("can")
            .split(',')
            .filter(|name| !name.is_empty());
        let named = |name: &str| Capability::ALL.into_iter().find(|one| one.as_str() == name);
        let can = can.map(|name| named(name).ok_or(format!("no capability {name}")));
        let mut min_allocatable = BTreeMap::new();
        if let Some((role, least)) = self.option("least").split_once('=') {
            min_allocatable.insert(Role::from_str(role).map_err(text)?, minimums(least)?);
        }
        let named = roles(self.plain(1, "roles")?)?;
        Ok(FrameworkSpec {
            constraints: wanted(self.option("want"), &named)?,
            roles: named,
            suppressed_roles: roles(self.option("suppressed"))?,
            capabilities: can.collect::<Result<_, String>>()?,
            min_allocatable,
        })
    }

    /// `used=WHO/ROLE/RESOURCES`, one.
    fn used(&self) -> Result<Option<(&'a str, Resources)>, String> {
        let used = self.option("used");
        let Some((who, rest)) = used.split_once('@') else {
            return Ok(None);
        };
        let (role, resources) = rest.split_once('@').ok_or("used=WHO@ROLE@RESOURCES")?;
        let role = Role::parse(role).map_err(text)?;
        Ok(Some((who, bag(resources)?.allocate(&role))))
    }
}

impl Script {
    pub(crate) fn new() -> Self {
        Self {
            allocator: Allocator::new(AllocatorConfig::default()),
            offers: Vec::new(),
            now: Instant(0),
        }
    }

    /// Carries out one command, and says what it shows.
    pub(crate) fn command(&mut self, line: &str) -> Shown {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        let (options, plain): (Vec<&str>, Vec<&str>) = words.partition(|word| word.contains('='));
        let words = Words {
            plain,
            options: options
                .iter()
                .filter_map(|word| word.split_once('='))
                .collect(),
        };
        let shown = match name {
            "config" => self.config(&words),
            "agent" | "readd-agent" | "update-agent" | "remove-agent" | "activate-agent"
            | "deactivate-agent" => self.agent(name, &words),
            "framework"
            | "update-framework"
            | "remove-framework"
            | "activate-framework"
            | "deactivate-framework"
            | "suppress"
            | "revive" => self.framework(name, &words),
            "weight" => self.weight(&words),
            "quota" => self.quota(&words),
            "consumed" => self.consumed(&words),
            "accept" | "decline" | "rescind" | "end" => self.give_back(name, &words),
            "rescind-all" => self.rescind_all(),
            "advance" => self.advance(&words),
            "run" => {
                self.now = self.now.after(Duration::from_millis(10));
                Ok(self.run())
            }
            "run-now" => Ok(self.run()),
            "show" => self.show(&words),
            "explain" => self.explain(&words),
            "report" => Ok(vec![self.allocator.last_report().to_string()]),
            _ => Err("not a command".to_owned()),
        };
        self.allocator.check_invariants();
        shown
    }

    /// `quota ROLE guarantee=cpus:2 limit=cpus:4;mem:0`; without both, none.
    fn quota(&mut self, words: &Words<'_>) -> Shown {
        let role = Role::parse(words.plain(0, "role")?).map_err(text)?;
        let guarantees = amounts(words.option("guarantee"))?.into_iter().collect();
        let limits = amounts(words.option("limit"))?.into_iter().collect();
        let quota = Quota::new(&role, guarantees, limits).map_err(text)?;
        self.allocator.set_quota(&role, &quota);
        Ok(Vec::new())
    }

    /// What counts against the quota of roles.
    fn consumed(&mut self, words: &Words<'_>) -> Shown {
        let shown = words.plain.iter().map(|name| {
            let role = Role::parse(name).map_err(text)?;
            Ok(format!("{name} {}", self.allocator.consumed_quota(&role)))
        });
        shown.collect()
    }

    fn config(&mut self, words: &Words<'_>) -> Shown {
        let mut config = AllocatorConfig::default();
        for (key, value) in &words.options {
            match *key {
                "least" => config.min_allocatable = minimums(value)?,
                "interval" => config.allocation_interval = parse_duration(value).map_err(text)?,
                "order" => config.order = AllocationOrder::from_str(value).map_err(text)?,
                "gap" => config.min_pass_gap = parse_duration(value).map_err(text)?,
                "roles" => config.role_sorter = value.parse().map_err(text)?,
                "frameworks" => config.framework_sorter = value.parse().map_err(text)?,
                "seed" => config.seed = value.parse().map_err(text)?,
                "gpus" => config.filter_gpus = *value == "filtered",
                "excluded" => {
                    let names = value.split(',').map(ResourceName::parse);
                    config.excluded_from_shares = names.collect::<Result<_, _>>().map_err(text)?;
                }
                "region" => config.region = Some((*value).into()),
                "slice" => config.slice_agents = value.parse().map_err(text)?,
                _ => return Err(format!("no option {key}")),
            }
        }
        self.allocator = Allocator::new(config);
        Ok(Vec::new())
    }

    fn agent(&mut self, name: &str, words: &Words<'_>) -> Shown {
        let id = words.agent(0)?;
        match name {
            "agent" | "readd-agent" => {
                let used = words.used()?;
                let used = used.map(|(who, what)| (FrameworkId::new(who), what));
                let (spec, used) = (words.agent_spec()?, used.into_iter().collect());
                if name == "agent" {
                    self.allocator.add_agent(id, spec, &used);
                } else {
                    self.offers.retain(|offer| offer.agent != id);
                    self.allocator.readd_agent(id, spec, &used);
                }
            }
            "update-agent" => self.allocator.update_agent(&id, words.agent_spec()?),
            "remove-agent" => {
                self.allocator.remove_agent(&id);
                self.offers.retain(|offer| offer.agent != id);
            }
            "activate-agent" => self.allocator.activate_agent(&id),
            _ => self.allocator.deactivate_agent(&id),
        }
        Ok(Vec::new())
    }

    fn framework(&mut self, name: &str, words: &Words<'_>) -> Shown {
        let id = words.framework()?;
        let named = roles(words.plain.get(1).copied().unwrap_or_default());
        let allocator = &mut self.allocator;
        match name {
            "framework" => {
                let used = words.used()?;
                let used = used.map(|(who, what)| (AgentId::new(who), what));
                let used = used.into_iter().collect();
                allocator.add_framework(&id, &words.framework_spec()?, &used);
            }
            "update-framework" => allocator.update_framework(&id, &words.framework_spec()?),
            "remove-framework" => {
                allocator.remove_framework(&id);
                self.offers.retain(|offer| offer.framework != id);
            }
            "activate-framework" => allocator.activate_framework(&id),
            "deactivate-framework" => allocator.deactivate_framework(&id),
            "suppress" => allocator.suppress(&id, &named?),
            _ => allocator.revive(&id, &named?),
        }
        Ok(Vec::new())
    }

    /// `weight ROLE NUMBER`.
    fn weight(&mut self, words: &Words<'_>) -> Shown {
        let role = Role::from_str(words.plain(0, "role")?).map_err(text)?;
        let weight: f64 = words.plain(1, "weight")?.parse().map_err(text)?;
        let weights = BTreeMap::from([(role, Weight::new(weight).map_err(text)?)]);
        self.allocator.set_weights(&weights);
        Ok(Vec::new())
    }

    /// `accept F A RESOURCES [refuse=5secs]` uses a part of an offer (`keep=shared` instead of
    /// resources: the shared part) and declines the rest,
    /// `decline F A [refuse=5secs]` all of it, `rescind F A` takes it back; `end F A ROLE RESOURCES`
    /// ends a task.
    fn give_back(&mut self, name: &str, words: &Words<'_>) -> Shown {
        let (framework, agent) = (words.framework()?, words.agent(1)?);
        if name == "end" {
            let role = Role::parse(words.plain(2, "role")?).map_err(text)?;
            let ended = bag(words.plain(3, "resources")?)?.allocate(&role);
            self.allocator
                .recover(&framework, &agent, &ended, None, self.now);
            self.allocator.demand_changed(&framework, &[role].into());
            return Ok(Vec::new());
        }
        let at = self
            .offers
            .iter()
            .position(|offer| offer.framework == framework && offer.agent == agent)
            .ok_or("no such offer")?;
        let offer = self.offers.remove(at);
        let mut rest = offer.resources;
        if name == "accept" {
            let launched = match words.option("keep") {
                "shared" => rest.shared(),
                _ => bag(words.plain(2, "resources")?)?.allocate(&offer.role),
            };
            rest = rest.checked_sub(&launched).ok_or("not in the offer")?;
        }
        let refuse_for = match words.options.get("refuse") {
            Some(duration) => parse_duration(duration).map_err(text)?,
            None => Duration::from_secs(5),
        };
        let filter = (name != "rescind").then_some(Filter {
            refuse_for,
            offer: 0,
        });
        let allocator = &mut self.allocator;
        match name {
            "decline" => allocator.decline(&framework, &agent, &rest, filter, self.now),
            "rescind" => allocator.recover(&framework, &agent, &rest, None, self.now),
            _ => {
                allocator.demand_changed(&framework, &[offer.role].into());
                allocator.recover(&framework, &agent, &rest, filter, self.now);
            }
        }
        Ok(Vec::new())
    }

    /// Takes back every offer that is out.
    fn rescind_all(&mut self) -> Shown {
        for Allocation {
            framework,
            agent,
            resources,
            ..
        } in self.offers.drain(..)
        {
            self.allocator
                .recover(&framework, &agent, &resources, None, self.now);
        }
        Ok(Vec::new())
    }

    fn advance(&mut self, words: &Words<'_>) -> Shown {
        let duration = parse_duration(words.plain(0, "duration")?).map_err(text)?;
        self.now = self.now.after(duration);
        Ok(Vec::new())
    }

    /// Shows allocations by agent, or when to try again. `run` does it 10 ms later, when the
    /// minimum gap is over, `run-now` at once.
    fn run(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        let mut outcome = self.allocator.run(self.now, &mut found);
        while outcome.more {
            outcome = self.allocator.run(self.now, &mut found);
        }
        let mut shown: Vec<(String, String)> = Vec::new();
        for one in &found {
            let resources = one.resources.unallocated();
            let line = format!("{} {} {} {resources}", one.framework, one.role, one.agent);
            shown.push((one.agent.to_string(), line));
        }
        // The order of visits is random; that on one agent is not.
        shown.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.offers.extend(found);
        let mut shown: Vec<String> = shown.into_iter().map(|(_, line)| line).collect();
        if shown.is_empty() {
            shown.push(match outcome.next_wake {
                None => "nothing, and nothing to wait for".to_owned(),
                Some(at) => format!("nothing, again in {}", format_duration(at.since(self.now))),
            });
        }
        shown
    }

    fn show(&self, words: &Words<'_>) -> Shown {
        let id = words.agent(0)?;
        let unknown = "no such agent";
        let total = self.allocator.total(&id).ok_or(unknown)?;
        let available = self.allocator.available(&id).ok_or(unknown)?;
        let mut shown = vec![format!("total {total}"), format!("available {available}")];
        for (framework, held) in self.allocator.allocations(&id) {
            shown.push(format!("{framework} {held}"));
        }
        Ok(shown)
    }

    fn explain(&self, words: &Words<'_>) -> Shown {
        let Some(explained) = self.allocator.explain(&words.framework()?, self.now) else {
            return Ok(vec!["no such framework".to_owned()]);
        };
        let mut shown = Vec::new();
        for role in explained.roles {
            shown.push(format!("role {}", role.role));
            shown.extend(role.position.iter().map(|level| format!("  {level}")));
            let demand = role.demand;
            if demand.behind_on + demand.due_on > 0 {
                let (behind, due) = (demand.behind_on, demand.due_on);
                let next = demand.next_due.map(|due| due.since(self.now));
                let next = next.map(|left| format!(", next in {}", format_duration(left)));
                let next = next.unwrap_or_default();
                shown.push(format!("  demand: behind on {behind}, due on {due}{next}"));
            }
            for (reason, agents) in role.agents {
                let reason = reason.map_or("can be offered".to_owned(), text);
                let agents: Vec<&str> = agents.iter().map(AgentId::as_str).collect();
                shown.push(format!("  {}: {reason}", agents.join(" ")));
            }
        }
        Ok(shown)
    }
}
