//! What a scenario file says.
//!
//! ```toml
//! duration = "1hrs"
//!
//! [[agents]]
//! count = 10
//! resources = "cpus:8;mem:16000"
//!
//! [[frameworks]]
//! name = "jenkins"
//! count = 50
//! role = "ci"
//! tasks = 5
//! task = "cpus:1;mem:1000"
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::allocator::AllocationOrder;
use crate::base::parse_duration;
use crate::resources::{Quantities, Resources, parse};
use crate::roles::{Role, Weight};

/// Most agents, frameworks, and tasks of a scenario.
const COUNT_MAX: u64 = 1_000_000;

/// Why a text is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The text is no TOML, has unknown keys, or values that do not fit.
    #[error("{0}")]
    Toml(String),
    /// A value that makes no sense.
    #[error("{0}")]
    Wrong(String),
}

/// A cluster, its frameworks and what is wanted of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Of everything that is random.
    #[serde(default)]
    pub seed: u64,
    /// When it ends at the latest.
    #[serde(deserialize_with = "duration")]
    pub duration: Duration,
    /// Whether it ends as soon as everything that is wanted was launched.
    #[serde(default)]
    pub stop_when_launched: bool,
    /// Time between two samples of shares and utilisation.
    #[serde(default = "second", deserialize_with = "duration")]
    pub sample: Duration,
    /// `--allocation_order`.
    #[serde(default, deserialize_with = "order")]
    pub allocation_order: AllocationOrder,
    /// `--allocation_interval`.
    #[serde(default = "second", deserialize_with = "duration")]
    pub allocation_interval: Duration,
    /// `--offer_timeout`; none by default.
    #[serde(default, deserialize_with = "optional_duration")]
    pub offer_timeout: Option<Duration>,
    /// `--offer_hoarding_timeout`.
    #[serde(default = "ten_minutes", deserialize_with = "duration")]
    pub offer_hoarding_timeout: Duration,
    /// The agents.
    pub agents: Vec<AgentGroup>,
    /// The frameworks.
    pub frameworks: Vec<FrameworkGroup>,
    /// Weights of roles; the others weigh 1.
    #[serde(default)]
    pub weights: BTreeMap<String, f64>,
    /// Quotas of roles.
    #[serde(default)]
    pub quota: BTreeMap<String, QuotaOf>,
}

/// Equal agents.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentGroup {
    /// How many.
    pub count: u64,
    /// What each has, as in `--resources`.
    pub resources: String,
    /// What each is like, as in `--attributes`.
    #[serde(default)]
    pub attributes: String,
}

/// What a role is sure to get and may not exceed, as `cpus:4;mem:1000`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaOf {
    /// What it is sure to get.
    #[serde(default)]
    pub guarantee: String,
    /// What it may not exceed; names that are not there have no limit.
    #[serde(default)]
    pub limit: String,
}

/// Frameworks that behave alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameworkGroup {
    /// Name of the group; the third is `name-3`.
    pub name: String,
    /// How many.
    #[serde(default = "one")]
    pub count: u64,
    /// The role; `{n}` stands for the framework's number, so that each has a role of its own.
    pub role: String,
    /// Tasks that each wants at once, in each batch.
    pub tasks: u64,
    /// How many batches there are.
    #[serde(default = "one")]
    pub batches: u64,
    /// Time between two batches; half of it to one and a half, at random.
    #[serde(default, deserialize_with = "duration")]
    pub every: Duration,
    /// What a task needs.
    pub task: String,
    /// How long a task runs; half of it to one and a half, at random. Without it, for ever.
    #[serde(default, deserialize_with = "optional_duration")]
    pub runs: Option<Duration>,
    /// Most tasks that are launched from one offer.
    #[serde(default = "unbounded")]
    pub tasks_per_offer: u64,
    /// When each subscribes.
    #[serde(default, deserialize_with = "duration")]
    pub starts: Duration,
    /// Time until an offer is answered.
    #[serde(default = "ten_millis", deserialize_with = "duration")]
    pub answers: Duration,
    /// `refuse_seconds` of what is not used.
    #[serde(default = "five_seconds", deserialize_with = "duration")]
    pub refuses: Duration,
    /// Whether it suppresses offers while it wants nothing, and revives them when it does.
    #[serde(default)]
    pub suppresses: bool,
    /// Whether it keeps offers that it cannot use.
    #[serde(default)]
    pub hoards: bool,
    /// Uses only agents with this attribute, like `disk:ssd`.
    #[serde(default)]
    pub only: String,
}

fn one() -> u64 {
    1
}

fn unbounded() -> u64 {
    u64::MAX
}

fn second() -> Duration {
    Duration::from_secs(1)
}

fn ten_millis() -> Duration {
    Duration::from_millis(10)
}

fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}

fn duration<'de, D: Deserializer<'de>>(value: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(value)?;
    parse_duration(&text).map_err(D::Error::custom)
}

fn optional_duration<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Duration>, D::Error> {
    duration(value).map(Some)
}

fn order<'de, D: Deserializer<'de>>(value: D) -> Result<AllocationOrder, D::Error> {
    String::deserialize(value)?
        .parse()
        .map_err(D::Error::custom)
}

fn wrong(place: &str, error: impl std::fmt::Display) -> ScenarioError {
    ScenarioError::Wrong(format!("{place}: {error}"))
}

/// Resources as in `--resources`.
pub(super) fn resources(place: &str, text: &str) -> Result<Resources, ScenarioError> {
    if text.is_empty() {
        return Ok(Resources::new());
    }
    parse(text, &Role::DEFAULT).map_err(|error| wrong(place, error))
}

/// Amounts like `cpus:4;mem:1000`.
pub(super) fn quantities(place: &str, text: &str) -> Result<Quantities, ScenarioError> {
    Ok(resources(place, text)?.quantities())
}

impl FrameworkGroup {
    /// The role of one of them.
    pub(super) fn role_of(&self, number: u64) -> Result<Role, ScenarioError> {
        let name = self.role.replace("{n}", &number.to_string());
        Role::parse(&name)
            .map_err(|error| wrong(&format!("frameworks '{}': role", self.name), error))
    }
}

impl Scenario {
    /// Reads a scenario that was parsed as TOML.
    pub fn from_table(table: toml::Table) -> Result<Self, ScenarioError> {
        let scenario: Self = table
            .try_into()
            .map_err(|error: toml::de::Error| ScenarioError::Toml(one_line(&error)))?;
        scenario.check()?;
        Ok(scenario)
    }

    /// The weights, checked.
    pub(super) fn weights(&self) -> Result<BTreeMap<Role, Weight>, ScenarioError> {
        let weights = self.weights.iter();
        let weights = weights.map(|(name, weight)| {
            let place = format!("weights.{name}");
            let role = Role::parse(name).map_err(|error| wrong(&place, error))?;
            Ok((
                role,
                Weight::new(*weight).map_err(|error| wrong(&place, error))?,
            ))
        });
        weights.collect()
    }

    fn check(&self) -> Result<(), ScenarioError> {
        self.weights()?;
        super::world::quotas(self)?;
        if self.sample.is_zero() || self.duration.is_zero() {
            return Err(wrong("duration, sample", "must be longer than zero"));
        }
        if self.duration.as_nanos() / self.sample.as_nanos() > u128::from(COUNT_MAX) {
            return Err(wrong("sample", "too short for so long a duration"));
        }
        let mut count = 0_u64;
        for agents in &self.agents {
            count = count.saturating_add(agents.count);
            resources("agents: resources", &agents.resources)?;
            crate::attributes::parse(&agents.attributes)
                .map_err(|error| wrong("agents: attributes", error))?;
        }
        for group in &self.frameworks {
            let place = format!("frameworks '{}'", group.name);
            let tasks = group.count.saturating_mul(group.tasks);
            count = count.saturating_add(tasks.saturating_mul(group.batches).max(group.count));
            group.role_of(1)?;
            let task = quantities(&format!("{place}: task"), &group.task)?;
            if task.is_empty() {
                return Err(wrong(&format!("{place}: task"), "needs nothing"));
            }
            if group.tasks_per_offer == 0 || group.answers.is_zero() {
                let message = "tasks_per_offer and answers must be more than zero";
                return Err(wrong(&place, message));
            }
            if group.batches > 1 && group.every.is_zero() {
                return Err(wrong(&place, "several batches need 'every'"));
            }
            crate::attributes::parse(&group.only)
                .map_err(|error| wrong(&format!("{place}: only"), error))?;
        }
        if count > COUNT_MAX {
            let message = format!("{count} agents, frameworks and tasks; {COUNT_MAX} are the most");
            return Err(ScenarioError::Wrong(message));
        }
        Ok(())
    }
}

fn one_line(error: &toml::de::Error) -> String {
    error
        .to_string()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Sets one value of a scenario, for a what-if: `weights.web=2`, `frameworks.0.tasks=50`.
///
/// # Errors
///
/// The text is no `KEY=VALUE`, or the key leads through something that is neither table nor list.
pub fn change(table: &mut toml::Table, text: &str) -> Result<(), ScenarioError> {
    let usage = || wrong(text, "must be KEY=VALUE, like weights.web=2");
    let (path, value) = text.split_once('=').ok_or_else(usage)?;
    // What is no TOML value is a text: durations and resources need no quotes.
    let parsed = format!("v = {value}").parse::<toml::Table>().ok();
    let value = parsed.and_then(|mut table| table.remove("v"));
    let value = value.unwrap_or_else(|| {
        let (_, text) = text.split_once('=').unwrap_or_default();
        toml::Value::String(text.to_owned())
    });
    let keys: Vec<&str> = path.split('.').collect();
    let (last, above) = keys.split_last().ok_or_else(usage)?;
    if keys.iter().any(|key| key.is_empty()) {
        return Err(usage());
    }
    let mut root = toml::Value::Table(std::mem::take(table));
    let done = set(&mut root, above, last, value);
    if let toml::Value::Table(changed) = root {
        *table = changed;
    }
    done.ok_or_else(|| wrong(text, "the scenario has no such place"))
}

fn set(root: &mut toml::Value, above: &[&str], last: &str, value: toml::Value) -> Option<()> {
    let mut at = root;
    for key in above {
        at = match at {
            toml::Value::Table(table) => table
                .entry(*key)
                .or_insert_with(|| toml::Value::Table(toml::Table::new())),
            toml::Value::Array(list) => list.get_mut(key.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    match at {
        toml::Value::Table(table) => {
            table.insert(last.to_owned(), value);
        }
        toml::Value::Array(list) => *list.get_mut(last.parse::<usize>().ok()?)? = value,
        _ => return None,
    }
    Some(())
}
