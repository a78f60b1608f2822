//! The flags of a role as one clap command, and questions about it.

use std::any::TypeId;

use clap::{Arg, Args, Command, FromArgMatches};

use super::agent::AgentFlags;
use super::containers::ContainerizerKind;
use super::local::LocalFlags;
use super::master::MasterFlags;
use super::sources::{LoggingFlags, SourceFlags};
use super::{AGENT_PORT, COMPATIBILITY};

const HOW: &str = "Every flag may also be written with dashes (--work-dir), and given as environment \
    variable MESOS_<NAME>, as a key of --config, or as a file of a --config_dir. The first of these \
    that has it wins, in this order. A boolean is given as --name, --no-name or --name=true|false. \
    A value file:///path is read from that file.\n\
    Durations are a number and a unit of ns, us, ms, secs, mins, hrs, days or weeks; sizes a number \
    and a unit of B, KB, MB, GB or TB.";

/// The flags of one role of `mesosd`.
pub trait RoleFlags: Args + FromArgMatches + Clone + std::fmt::Debug {
    /// The role's name on the command line.
    const ROLE: &'static str;
    /// What stands above the flags in `--help`.
    const ABOUT: &'static str;
    /// Directory below `/etc` that belongs to this role alone, where Mesos' packages put it.
    const OWN_DIRECTORY: Option<&'static str>;
    /// Names of a shared directory that stand for a flag with another name in this role.
    const SHARED_NAMES: &'static [(&'static str, &'static str)] = &[];

    /// Defaults in which this role differs from the common definition.
    #[must_use]
    fn adjust(command: Command) -> Command {
        command
    }

    /// Rules between flags: the name of the flag that breaks one, and why.
    fn check(&self) -> Result<(), (&'static str, String)> {
        Ok(())
    }

    /// Where the configuration came from.
    fn sources(&self) -> &SourceFlags;

    /// How to log.
    fn logging(&self) -> &LoggingFlags;
}

impl RoleFlags for MasterFlags {
    const ROLE: &'static str = "master";
    const ABOUT: &'static str = "The master: who is in the cluster, and who is offered what.";
    const OWN_DIRECTORY: Option<&'static str> = Some("mesos-master");

    fn sources(&self) -> &SourceFlags {
        &self.sources
    }

    fn logging(&self) -> &LoggingFlags {
        &self.logging
    }
}

impl RoleFlags for AgentFlags {
    const ROLE: &'static str = "agent";
    const ABOUT: &'static str = "The agent: brings this host's resources into the cluster and runs \
                                 tasks on them.";
    const OWN_DIRECTORY: Option<&'static str> = Some("mesos-slave");
    const SHARED_NAMES: &'static [(&'static str, &'static str)] = &[("zk", "master")];

    fn adjust(command: Command) -> Command {
        command.mut_arg("port", |port| port.default_value(AGENT_PORT.to_string()))
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        self.offering.check()?;
        check_containerizers(&self.containers.containerizers)
    }

    fn sources(&self) -> &SourceFlags {
        &self.sources
    }

    fn logging(&self) -> &LoggingFlags {
        &self.logging
    }
}

impl RoleFlags for LocalFlags {
    const ROLE: &'static str = "local";
    const ABOUT: &'static str = "Master and agent in one process: for a laptop, for CI, for a first \
                                 try.";
    const OWN_DIRECTORY: Option<&'static str> = None;

    fn check(&self) -> Result<(), (&'static str, String)> {
        self.offering.check()?;
        check_containerizers(&self.containers.containerizers)
    }

    fn sources(&self) -> &SourceFlags {
        &self.sources
    }

    fn logging(&self) -> &LoggingFlags {
        &self.logging
    }
}

fn check_containerizers(kinds: &[ContainerizerKind]) -> Result<(), (&'static str, String)> {
    if kinds.contains(&ContainerizerKind::Mesos) {
        return Ok(());
    }
    let reason = "'docker' alone is refused: this version has only the containerizer 'mesos'";
    Err(("containerizers", reason.to_owned()))
}

/// The flags of a role as a clap command: for help, completions and samples.
#[must_use]
pub fn definition<F: RoleFlags>() -> Command {
    let command = Command::new("mesosd")
        .bin_name(format!("mesosd --role={}", F::ROLE))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .after_help(HOW);
    // The description of the flags' struct is for readers of the code.
    let command = F::augment_args(command)
        .about(F::ABOUT)
        .override_usage(format!("mesosd --role={} [--NAME=VALUE ...]", F::ROLE));
    F::adjust(command).mut_args(|arg| {
        let dashed = arg.get_long().unwrap_or_default().replace('_', "-");
        let aliases = arg
            .get_all_aliases()
            .unwrap_or_default()
            .iter()
            .map(|alias| alias.replace('_', "-"))
            .collect::<Vec<_>>();
        let plain = arg.get_long() == Some(dashed.as_str());
        let arg = if plain { arg } else { arg.alias(dashed) };
        let arg = arg.aliases(aliases);
        if is_boolean(&arg) {
            return arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_name("true|false")
                .hide_possible_values(true);
        }
        arg
    })
}

/// Whether the flag takes `--name` and `--no-name`.
pub(super) fn is_boolean(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<bool>()
}

/// Why the flag is taken without having an effect: what its help says after the colon.
pub(super) fn reason_without_effect(arg: &Arg) -> Option<String> {
    if arg.get_help_heading() != Some(COMPATIBILITY) {
        return None;
    }
    let help = arg.get_help()?.to_string();
    Some(help.split_once(": ")?.1.to_owned())
}

/// The flag of this name, of an older name of it, or of either with dashes.
pub(super) fn find<'a>(command: &'a Command, written: &str) -> Option<&'a Arg> {
    let wanted = written.replace('-', "_");
    command.get_arguments().find(|arg| {
        arg.get_long() == Some(wanted.as_str())
            || arg
                .get_all_aliases()
                .is_some_and(|aliases| aliases.contains(&wanted.as_str()))
    })
}

/// Like [`find`], but not the flags that say where to look: those have no meaning in a file.
pub(super) fn find_in_file<'a>(command: &'a Command, written: &str) -> Option<&'a Arg> {
    find(command, written)
        .filter(|arg| !matches!(arg.get_long(), Some("role" | "config" | "config_dir")))
}

/// `, did you mean 'x'?` for the flag whose name is nearest to `written`, if one is near.
pub(super) fn nearest(command: &Command, written: &str) -> String {
    let written = written.replace('-', "_");
    command
        .get_arguments()
        .filter_map(Arg::get_long)
        .map(|name| (distance(name, &written), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 5)
        .map_or_else(String::new, |(_, name)| format!(", did you mean '{name}'?"))
}

/// Edits between two names; letters that changed places are one.
fn distance(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let width = right.len() + 1;
    let mut before = vec![0; width];
    let mut above: Vec<usize> = (0..width).collect();
    for (i, from) in left.iter().enumerate() {
        let mut row = vec![i + 1; width];
        for (j, to) in right.iter().enumerate() {
            let replaced = above[j] + usize::from(from != to);
            row[j + 1] = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == right[j - 1] && left[i - 1] == *to {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[right.len()]
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use super::super::{Request, World, load};
    use super::*;

    /// What the samples say for flags that must be given.
    const REQUIRED: [(&str, &str); 2] =
        [("master", "127.0.0.1:5050"), ("work_dir", "/var/lib/mesos")];

    /// A sample of all flags of a role with their help; what has a default is commented out.
    fn sample<F: RoleFlags>() -> String {
        let mut text = format!(
            "# Every flag of `mesosd --role={role}`, for `mesosd --role={role} --config=FILE`. What must be\n\
             # given is given; everything else is a comment with its default, if it has one.\n",
            role = F::ROLE
        );
        let mut heading = None;
        for arg in definition::<F>().get_arguments() {
            let name = arg.get_long().unwrap();
            if find_in_file(&definition::<F>(), name).is_none() {
                continue;
            }
            if arg.get_help_heading() != heading {
                heading = arg.get_help_heading();
                write!(text, "\n## {}\n", heading.unwrap()).unwrap();
            }
            let help = arg.get_long_help().or(arg.get_help()).unwrap().to_string();
            text.push('\n');
            for line in wrap(&help) {
                writeln!(text, "# {line}").unwrap();
            }
            let default = arg.get_default_values().first();
            let default = default.map(|value| value.to_str().unwrap());
            let shown = match default {
                Some(value @ ("true" | "false")) => value.to_owned(),
                Some(value) if value.parse::<f64>().is_ok() => value.to_owned(),
                Some(value) => format!("{value:?}"),
                None => String::new(),
            };
            let given = REQUIRED.iter().find(|(known, _)| *known == name);
            match given.filter(|_| arg.is_required_set()) {
                Some((_, value)) => writeln!(text, "{name} = {value:?}").unwrap(),
                None => writeln!(text, "{}", format!("# {name} = {shown}").trim_end()).unwrap(),
            }
        }
        text
    }

    fn wrap(text: &str) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in text.split_whitespace() {
            let last = lines.last_mut().unwrap();
            if !last.is_empty() && last.len() + 1 + word.len() > 96 {
                lines.push(word.to_owned());
            } else {
                if !last.is_empty() {
                    last.push(' ');
                }
                last.push_str(word);
            }
        }
        lines
    }

    /// The sample in `config/` is what the definition says; `UPDATE_EXPECT=1` writes it anew.
    fn check_sample<F: RoleFlags>() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = path.join("config").join(format!("{}.toml", F::ROLE));
        let wanted = sample::<F>();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &wanted).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            found,
            wanted,
            "{} is stale: run this test with UPDATE_EXPECT=1",
            path.display()
        );
        let sample = format!("--config={}", path.display());
        let role = format!("--role={}", F::ROLE);
        let words = [role.into(), sample.into()];
        let world = World {
            environment: Vec::new(),
            etc: "/nonexistent".into(),
        };
        let loaded = load::<F>(&words, &world).unwrap();
        assert!(matches!(loaded, Request::Run(loaded) if loaded.notes.is_empty()));
    }

    #[test]
    fn samples_name_every_flag() {
        check_sample::<MasterFlags>();
        check_sample::<AgentFlags>();
    }

    #[test]
    fn definitions_are_sound() {
        definition::<MasterFlags>().debug_assert();
        definition::<AgentFlags>().debug_assert();
        definition::<LocalFlags>().debug_assert();
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        let command = definition::<MasterFlags>();
        assert_eq!(nearest(&command, "work-dri"), ", did you mean 'work_dir'?");
        assert_eq!(nearest(&command, "completely_other"), "");
        assert_eq!(nearest(&command, "prot"), ", did you mean 'port'?");
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "ab"), 2);
    }
}
