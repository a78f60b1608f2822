//! What must be true of a run, from what frameworks and tasks have written down.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use super::framework::{is_terminal, records};

/// What is known of one task.
#[derive(Debug, Default)]
struct Task {
    accepted: bool,
    /// What the framework was told, in order: state, reason, message.
    updates: Vec<(String, String, String)>,
    /// It may be said to be lost with the link to its agent, and come back.
    careless: bool,
    /// The processes that said that they started, and that they ended.
    starts: Vec<String>,
    ends: Vec<String>,
}

/// Of a whole run.
#[derive(Debug, Default)]
pub(crate) struct History {
    tasks: BTreeMap<String, Task>,
    /// What no framework should have heard.
    wrong: Vec<String>,
}

/// The numbers of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count {
    pub(crate) asked: usize,
    pub(crate) accepted: usize,
    pub(crate) started: usize,
    pub(crate) ends: BTreeMap<String, usize>,
}

impl fmt::Display for Count {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (asked, accepted, started) = (self.asked, self.accepted, self.started);
        write!(to, "{asked} tasks, {accepted} accepted, {started} started;")?;
        for (state, count) in &self.ends {
            write!(to, " {state} {count}")?;
        }
        Ok(())
    }
}

impl History {
    /// Adds what one framework and its tasks have written.
    pub(crate) fn read(&mut self, framework: &Path, careless: bool) {
        let text = fs::read_to_string(framework.join("history")).unwrap_or_default();
        for line in text.lines() {
            let mut words = line.splitn(3, ' ').skip(1);
            let (word, rest) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            let mut parts = rest.splitn(5, ' ');
            let mut part = || parts.next().unwrap_or("").to_owned();
            let name = part();
            match word {
                "asks" => self.tasks.entry(name).or_default().careless = careless,
                "accepted" => self.tasks.entry(name).or_default().accepted = true,
                "update" => {
                    let (state, reason, _, message) = (part(), part(), part(), part());
                    let task = self.tasks.entry(name).or_default();
                    task.updates.push((state, reason, message));
                }
                "ended" => self.wrong.push(format!("{}: {line}", framework.display())),
                _ => {}
            }
        }
        for entry in fs::read_dir(records(framework))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let task = self.tasks.entry(name).or_default();
            for line in text.lines() {
                match line.split_once(' ') {
                    Some(("start", process)) => task.starts.push(process.to_owned()),
                    Some(("end", process)) => task.ends.push(process.to_owned()),
                    _ => self.wrong.push(format!("a record says: {line}")),
                }
            }
        }
    }

    /// How many tasks have not ended, as their frameworks know.
    pub(crate) fn open(&self) -> usize {
        let tasks = self.tasks.values();
        tasks.filter(|task| task.end().is_none()).count()
    }

    pub(crate) fn count(&self) -> Count {
        let tasks = self.tasks.values();
        let mut count = Count {
            asked: self.tasks.len(),
            accepted: tasks.clone().filter(|task| task.accepted).count(),
            started: tasks.clone().filter(|task| !task.starts.is_empty()).count(),
            ends: BTreeMap::new(),
        };
        for task in tasks {
            let state = task.last().unwrap_or("nothing").trim_start_matches("TASK_");
            *count.ends.entry(state.to_owned()).or_default() += 1;
        }
        count
    }

    /// Everything that must not be.
    pub(crate) fn check(&self) -> Vec<String> {
        let mut wrong = self.wrong.clone();
        for (name, task) in &self.tasks {
            wrong.extend(task.check().map(|what| format!("{name}: {what}: {task:?}")));
        }
        wrong
    }
}

/// Whether an update answers that the task is not known (any more). A framework asks for those only of whose
/// end it has not heard; the end may be on its way meanwhile.
fn is_unknown((state, reason, _): &(String, String, String)) -> bool {
    let states = ["TASK_GONE", "TASK_UNREACHABLE", "TASK_UNKNOWN", "TASK_LOST"];
    reason == "REASON_RECONCILIATION" && states.contains(&state.as_str())
}

impl Task {
    fn last(&self) -> Option<&str> {
        self.updates.last().map(|(state, _, _)| state.as_str())
    }

    /// Whether an update is the master's guess. Of tasks that end with their agent it says, as Mesos does,
    /// that they are lost when the link to the agent breaks, and from then on that they are gone; the agent
    /// may have been alive.
    fn is_guess(&self, (state, reason, _): &(String, String, String)) -> bool {
        let guesses = [
            ("TASK_LOST", "REASON_AGENT_DISCONNECTED"),
            ("TASK_GONE", "REASON_RECONCILIATION"),
        ];
        self.careless && guesses.contains(&(state.as_str(), reason.as_str()))
    }

    /// Where in the updates it has ended: guesses count when nothing better is known.
    fn end(&self) -> Option<usize> {
        let known = self
            .updates
            .iter()
            .position(|update| is_terminal(&update.0) && !self.is_guess(update));
        let last = self.updates.len().checked_sub(1)?;
        known.or_else(|| is_terminal(&self.updates[last].0).then_some(last))
    }

    fn check(&self) -> Option<&'static str> {
        let Some(end) = self.end() else {
            return Some("no terminal state has come");
        };
        let (state, reason, _) = &self.updates[end];
        let mut later = self.updates[end..].iter();
        if later.any(|update| update.0 != *state && !is_unknown(update) && !self.is_guess(update)) {
            return Some("it has changed its state after its end");
        }
        if self.starts.len() > 1 {
            return Some("it was started twice");
        }
        let never_ran = matches!(&**state, "TASK_DROPPED" | "TASK_LOST" | "TASK_GONE");
        // The agent could not even make its sandbox: its disk was full.
        let refused = state == "TASK_FAILED" && reason == "REASON_CONTAINER_LAUNCH_FAILED";
        if self.starts.is_empty() && !never_ran && !refused {
            return Some("it has never started, and is not said to be lost");
        }
        if !self.starts.is_empty() && state == "TASK_DROPPED" {
            return Some("it is said to be dropped, and has started");
        }
        if state == "TASK_FINISHED" && self.ends.is_empty() {
            return Some("it is said to be finished, and has not ended");
        }
        None
    }
}
