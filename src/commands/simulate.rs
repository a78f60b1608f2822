//! `mesosd simulate`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::cli::printed;
use super::client::Format;
use super::say::say;
use crate::runtime::ExitCode;
use crate::simulate::{self, Figures, Scenario, ScenarioError};

/// After the scenario's name in the names of the what-if's files.
const WHAT_IF: &str = ".what-if";

/// Largest scenario file that is read.
const BYTES_MAX: u64 = 16 << 20;

/// What to play.
#[derive(Args, Clone, Debug)]
pub(super) struct SimulateArgs {
    /// The scenario: agents, frameworks and how they behave; see config/simulate/ci.toml.
    scenario: PathBuf,
    /// Play it a second time with this value and show both, like `weights.web=2`,
    /// `frameworks.0.tasks=50` or `allocation_order=strict`; several change one what-if.
    #[arg(long, value_name = "KEY=VALUE")]
    what_if: Vec<String>,
    /// Directory for SCENARIO.csv and SCENARIO.svg, the shares over time.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
enum SimulateError {
    #[error("{path}: cannot be read: {source}")]
    Read {
        path: String,
        source: std::io::Error,
    },
    #[error("{path}: cannot be written: {source}")]
    Write {
        path: String,
        source: std::io::Error,
    },
    #[error("{path}: {source}")]
    Scenario { path: String, source: ScenarioError },
}

/// Plays a scenario and says what came of it.
pub(super) fn main(arguments: &SimulateArgs, format: Format) -> ExitCode {
    let answer = match play(arguments) {
        Ok((base, other)) => match format {
            Format::Json => {
                let mut answer = json_of(&base);
                answer["plots"] = json!(plots(arguments, ""));
                if let Some(other) = &other {
                    answer["what_if"] = json_of(other);
                    answer["what_if"]["plots"] = json!(plots(arguments, WHAT_IF));
                }
                format!("{answer:#}\n")
            }
            Format::Text => {
                let mut plots = plots(arguments, "").join(", ");
                if other.is_some() {
                    plots = format!("{plots}, {}", self::plots(arguments, WHAT_IF).join(", "));
                }
                let table = table(&arguments.what_if, &base, other.as_ref());
                format!("{table}shares over time in {plots}\n")
            }
        },
        Err(error) => {
            say(&error);
            return match error {
                SimulateError::Scenario { .. } => ExitCode::Usage,
                SimulateError::Read { .. } | SimulateError::Write { .. } => ExitCode::Io,
            };
        }
    };
    printed(std::io::Write::write_all(
        &mut std::io::stdout(),
        answer.as_bytes(),
    ))
}

fn play(arguments: &SimulateArgs) -> Result<(Figures, Option<Figures>), SimulateError> {
    let path = arguments.scenario.display().to_string();
    let text = read(&arguments.scenario).map_err(|source| SimulateError::Read {
        path: path.clone(),
        source,
    })?;
    let wrong = |source| SimulateError::Scenario {
        path: path.clone(),
        source,
    };
    let parsed = text.parse::<toml::Table>();
    let mut scenario = parsed.map_err(|error| {
        let line = error.to_string();
        let line: Vec<&str> = line.split_whitespace().collect();
        wrong(ScenarioError::Toml(line.join(" ")))
    })?;
    let run = |table: &toml::Table| simulate::simulate(&Scenario::from_table(table.clone())?);
    let base = run(&scenario).map_err(wrong)?;
    write(arguments, "", &base)?;
    if arguments.what_if.is_empty() {
        return Ok((base, None));
    }
    for change in &arguments.what_if {
        simulate::change(&mut scenario, change).map_err(wrong)?;
    }
    let other = run(&scenario).map_err(wrong)?;
    write(arguments, WHAT_IF, &other)?;
    Ok((base, Some(other)))
}

fn read(path: &Path) -> std::io::Result<String> {
    if fs::metadata(path)?.len() > BYTES_MAX {
        return Err(std::io::Error::other("is larger than 16 MiB"));
    }
    fs::read_to_string(path)
}

/// The scenario's name with what tells the what-if apart.
fn title(arguments: &SimulateArgs, suffix: &str) -> String {
    let stem = arguments.scenario.file_stem().unwrap_or_default();
    format!("{}{suffix}", stem.to_string_lossy())
}

/// The files with the shares over time.
fn plots(arguments: &SimulateArgs, suffix: &str) -> [String; 2] {
    let title = title(arguments, suffix);
    let path = |ending| arguments.out.join(format!("{title}.{ending}"));
    ["csv", "svg"].map(|ending| path(ending).display().to_string())
}

fn write(arguments: &SimulateArgs, suffix: &str, figures: &Figures) -> Result<(), SimulateError> {
    let texts = [
        simulate::csv(figures),
        simulate::svg(figures, &title(arguments, suffix)),
    ];
    for (path, text) in plots(arguments, suffix).into_iter().zip(texts) {
        let written = fs::create_dir_all(&arguments.out).and_then(|()| fs::write(&path, text));
        written.map_err(|source| SimulateError::Write { path, source })?;
    }
    Ok(())
}

/// Stable keys for scripts.
fn json_of(figures: &Figures) -> Value {
    let waits = figures.waits;
    let jain_by_role = figures.jain_by_role.iter();
    let jain_by_role = jain_by_role.map(|(role, fairness)| (role, fairness.jain));
    json!({
        "seconds": figures.lasted.as_secs_f64(),
        "tasks_wanted": figures.tasks_wanted,
        "tasks_launched": figures.tasks_launched,
        "tasks_finished": figures.tasks_finished,
        "passes": figures.passes,
        "offers": figures.offers,
        "offers_declined": figures.offers_declined,
        "offers_rescinded": figures.offers_rescinded,
        "utilisation": {"cpus": figures.cpus, "mem": figures.mem},
        "jain_index": figures.jain,
        "jain_by_role": jain_by_role.collect::<BTreeMap<_, _>>(),
        "mean_shares": mean_shares(figures).into_iter().collect::<BTreeMap<_, _>>(),
        "wait_ms": {"p50": waits.p50, "p90": waits.p90, "p99": waits.p99, "max": waits.max},
    })
}

/// One figure a line; with a what-if, both side by side.
fn table(changes: &[String], base: &Figures, other: Option<&Figures>) -> String {
    let mut rows: Vec<(String, String, String)> = rows(base)
        .into_iter()
        .map(|(name, value)| (name, value, String::new()))
        .collect();
    for (at, (name, value)) in other.map(self::rows).into_iter().flatten().enumerate() {
        match rows.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, _, changed)) => *changed = value,
            // A role or group that only the changed scenario has.
            None => rows.insert(at.min(rows.len()), (name, String::new(), value)),
        }
    }
    let width = rows.iter().map(|(name, ..)| name.chars().count()).max();
    let width = width.unwrap_or(0).max(24);
    let mut text = String::new();
    if other.is_some() {
        text.push_str(&format!("what if {}\n\n", changes.join(", ")));
        text.push_str(&format!(
            "{:<width$}{:>14}{:>14}\n",
            "", "as it is", "what if"
        ));
    }
    for (name, value, changed) in rows {
        let line = match other {
            Some(_) => format!("{name:<width$}{value:>14}{changed:>14}"),
            None => format!("{name:<width$}{value:>14}"),
        };
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn rows(figures: &Figures) -> Vec<(String, String)> {
    let percent = |part: f64| format!("{:.1} %", part * 100.0);
    let millis = |wait: f64| format!("{wait:.0} ms");
    let waits = figures.waits;
    let mut rows = vec![
        (
            "lasted".to_owned(),
            format!("{:.0} s", figures.lasted.as_secs_f64()),
        ),
        ("tasks wanted".to_owned(), figures.tasks_wanted.to_string()),
        (
            "tasks launched".to_owned(),
            figures.tasks_launched.to_string(),
        ),
        (
            "tasks finished".to_owned(),
            figures.tasks_finished.to_string(),
        ),
        ("allocation passes".to_owned(), figures.passes.to_string()),
        ("offers".to_owned(), figures.offers.to_string()),
        (
            "offers declined".to_owned(),
            figures.offers_declined.to_string(),
        ),
        (
            "offers rescinded".to_owned(),
            figures.offers_rescinded.to_string(),
        ),
        ("cpus used".to_owned(), percent(figures.cpus)),
        ("mem used".to_owned(), percent(figures.mem)),
        (
            "Jain's fairness index".to_owned(),
            format!("{:.3}", figures.jain),
        ),
        ("wait p50".to_owned(), millis(waits.p50)),
        ("wait p90".to_owned(), millis(waits.p90)),
        ("wait p99".to_owned(), millis(waits.p99)),
        ("wait max".to_owned(), millis(waits.max)),
    ];
    let roles = figures.jain_by_role.iter();
    let crowded = roles.filter(|(_, fairness)| fairness.frameworks > 1);
    for (role, fairness) in crowded {
        let jain = fairness.jain;
        rows.push((format!("fairness in {role}"), format!("{jain:.3}")));
    }
    for (group, share) in mean_shares(figures) {
        rows.push((format!("mean share of {group}"), percent(share)));
    }
    rows
}

/// The dominant share of each group's tasks, mean over time.
fn mean_shares(figures: &Figures) -> Vec<(&str, f64)> {
    let mean = |at: usize| {
        let sum: f64 = figures.samples.iter().map(|sample| sample.shares[at]).sum();
        sum / figures.samples.len().max(1) as f64
    };
    let groups = figures.groups.iter().enumerate();
    groups
        .map(|(at, group)| (group.as_str(), mean(at)))
        .collect()
}
