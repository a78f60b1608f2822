//! The arguments of `mesosd run`.

use std::str::FromStr;

use clap::Args;

use crate::proto::v1;

/// What to run, and with what.
#[derive(Args, Clone, Debug)]
pub(in crate::commands) struct RunArgs {
    /// Start a master and an agent in this process and end them with the command.
    #[arg(long)]
    pub(super) local: bool,
    /// How many tasks to run.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) instances: u32,
    /// Cpus of each task.
    #[arg(long, value_name = "CPUS", default_value = "1", value_parser = amount)]
    pub(super) cpus: f64,
    /// Memory of each task, in megabytes.
    #[arg(long, value_name = "MB", default_value = "128", value_parser = amount)]
    pub(super) mem: f64,
    /// Disk space of each task, in megabytes.
    #[arg(long, value_name = "MB", default_value = "0", value_parser = amount)]
    pub(super) disk: f64,
    /// A variable of the command's environment; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(super) env: Vec<(String, String)>,
    /// Something to fetch into the sandbox first, http, https, file or a path; archives are unpacked;
    /// may be repeated.
    #[arg(long, value_name = "URI")]
    pub(super) uri: Vec<String>,
    /// Name of the tasks and of the framework; without it the command's own.
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// The role whose share of the cluster is used.
    #[arg(long, value_name = "ROLE", default_value = "*")]
    pub(super) role: String,
    /// Only agents whose attribute (or `hostname`) is so: NAME=VALUE, NAME!=VALUE, NAME or !NAME; may be
    /// repeated.
    #[arg(long, value_name = "CONSTRAINT")]
    pub(super) attribute_constraint: Vec<Constraint>,
    /// The command and its arguments; for a shell's line: sh -c 'LINE'.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub(super) command: Vec<String>,
}

/// A number of cpus or megabytes.
fn amount(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("want a number that is not negative".to_owned()),
    }
}

/// `NAME=VALUE`.
fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("want NAME=VALUE".to_owned()),
    }
}

/// What an agent's attribute must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Constraint {
    Is(String, String),
    IsNot(String, String),
    Exists(String),
    ExistsNot(String),
}

impl FromStr for Constraint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let constraint = if let Some((name, value)) = text.split_once("!=") {
            Self::IsNot(name.to_owned(), value.to_owned())
        } else if let Some((name, value)) = text.split_once('=') {
            Self::Is(name.to_owned(), value.to_owned())
        } else if let Some(name) = text.strip_prefix('!') {
            Self::ExistsNot(name.to_owned())
        } else {
            Self::Exists(text.to_owned())
        };
        if constraint.name().is_empty() {
            return Err("want NAME=VALUE, NAME!=VALUE, NAME or !NAME".to_owned());
        }
        Ok(constraint)
    }
}

impl std::fmt::Display for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Is(name, value) => write!(f, "{name}={value}"),
            Self::IsNot(name, value) => write!(f, "{name}!={value}"),
            Self::Exists(name) => f.write_str(name),
            Self::ExistsNot(name) => write!(f, "!{name}"),
        }
    }
}

impl Constraint {
    fn name(&self) -> &str {
        match self {
            Self::Is(name, _)
            | Self::IsNot(name, _)
            | Self::Exists(name)
            | Self::ExistsNot(name) => name,
        }
    }

    /// Whether an agent satisfies it. An agent without the attribute is not `NAME=VALUE`, and is
    /// `NAME!=VALUE`, as in Mesos.
    pub(super) fn admits(&self, attributes: &[v1::Attribute], hostname: &str) -> bool {
        let mut values: Vec<String> = attributes
            .iter()
            .filter(|attribute| attribute.name == self.name())
            .map(value)
            .collect();
        if values.is_empty() && self.name() == "hostname" {
            values.push(hostname.to_owned());
        }
        match self {
            Self::Is(_, wanted) => values.contains(wanted),
            Self::IsNot(_, unwanted) => !values.contains(unwanted),
            Self::Exists(_) => !values.is_empty(),
            Self::ExistsNot(_) => values.is_empty(),
        }
    }
}

/// The text of an attribute's value, as `--attributes` takes it.
fn value(attribute: &v1::Attribute) -> String {
    if let Some(text) = &attribute.text {
        return text.value.clone();
    }
    if let Some(scalar) = &attribute.scalar {
        return scalar.value.to_string();
    }
    let ranges: Vec<_> = attribute
        .ranges
        .iter()
        .flat_map(|ranges| &ranges.range)
        .map(|range| format!("{}-{}", range.begin, range.end))
        .collect();
    format!("[{}]", ranges.join(","))
}

impl RunArgs {
    /// The name of tasks and framework, fit to be part of an id.
    pub(super) fn task_name(&self) -> String {
        let own = self.command.first().map_or("", String::as_str);
        let own = own.rsplit('/').next().unwrap_or(own);
        let name = self.name.as_deref().unwrap_or(own);
        let name: String = name
            .chars()
            .take(200)
            .map(|c| {
                if c == '/' || c == '\\' || c.is_control() {
                    '_'
                } else {
                    c
                }
            })
            .collect();
        if name.is_empty() {
            "task".to_owned()
        } else {
            name
        }
    }

    /// The tasks' command.
    pub(super) fn command_info(&self) -> v1::CommandInfo {
        let variables = self
            .env
            .iter()
            .map(|(name, value)| v1::environment::Variable {
                name: name.clone(),
                value: Some(value.clone()),
                ..Default::default()
            })
            .collect();
        v1::CommandInfo {
            uris: self
                .uri
                .iter()
                .map(|value| v1::command_info::Uri {
                    value: value.clone(),
                    ..Default::default()
                })
                .collect(),
            environment: Some(v1::Environment { variables }),
            shell: Some(false),
            value: self.command.first().cloned(),
            arguments: self.command.clone(),
            ..Default::default()
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        run: RunArgs,
    }

    fn parse(words: &[&str]) -> Result<RunArgs, clap::Error> {
        let words = std::iter::once("run").chain(words.iter().copied());
        Cli::try_parse_from(words).map(|cli| cli.run)
    }

    #[test]
    fn command_may_look_like_flags() {
        let run = parse(&["--cpus", "0.5", "--", "sh", "-c", "echo --local"]).unwrap();
        assert_eq!(run.command, ["sh", "-c", "echo --local"]);
        assert!(!run.local);
        let run = parse(&["--local", "ls", "-l", "--color"]).unwrap();
        assert_eq!(run.command, ["ls", "-l", "--color"]);
        assert!(run.local);
        let command = run.command_info();
        assert!(!command.shell());
        assert_eq!(command.value(), "ls");
        assert_eq!(command.arguments, ["ls", "-l", "--color"]);
    }

    #[test]
    fn bad_values_are_refused() {
        for words in [
            ["--cpus", "-1", "x"],
            ["--mem", "lots", "x"],
            ["--env", "=x", "x"],
            ["--instances", "0", "x"],
            ["--attribute-constraint", "=x", "x"],
        ] {
            assert!(parse(&words).is_err(), "{words:?}");
        }
        assert!(parse(&[]).is_err());
    }

    #[test]
    fn name_is_the_programs_own_or_made_fit() {
        assert_eq!(parse(&["/usr/bin/env"]).unwrap().task_name(), "env");
        assert_eq!(parse(&["--name", "a/b", "x"]).unwrap().task_name(), "a_b");
    }

    #[test]
    fn constraints_look_at_attributes_and_the_host_name() {
        let rack = v1::Attribute {
            name: "rack".to_owned(),
            text: Some(v1::value::Text {
                value: "r1".to_owned(),
            }),
            ..Default::default()
        };
        let attributes = [rack];
        for (text, admitted) in [
            ("rack=r1", true),
            ("rack=r2", false),
            ("rack!=r1", false),
            ("zone!=z", true),
            ("rack", true),
            ("!rack", false),
            ("!zone", true),
            ("hostname=h", true),
            ("hostname=g", false),
        ] {
            let constraint: Constraint = text.parse().unwrap();
            assert_eq!(constraint.admits(&attributes, "h"), admitted, "{text}");
            assert_eq!(constraint.to_string(), text);
        }
    }
}
