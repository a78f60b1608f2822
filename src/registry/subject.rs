//! What a record is about.

use std::fmt;

use crate::base::{AgentId, FrameworkId};
use crate::roles::Role;

/// One thing that has a record of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An agent: admitted, unreachable or gone.
    Agent(AgentId),
    /// A framework.
    Framework(FrameworkId),
    /// The weight of a role.
    Weight(Role),
    /// The quota of a role.
    Quota(Role),
    /// The maintenance of all machines.
    Maintenance,
}

impl Subject {
    /// The kinds, as [`Subject::kind`] says them.
    pub const KINDS: [&'static str; 5] = ["agent", "framework", "weight", "quota", "maintenance"];

    /// What kind of thing it is: part of a record's key.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Agent(_) => "agent",
            Self::Framework(_) => "framework",
            Self::Weight(_) => "weight",
            Self::Quota(_) => "quota",
            Self::Maintenance => "maintenance",
        }
    }

    /// Which one of its kind: the rest of a record's key. A role's name may hold slashes.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Agent(id) => id.as_str(),
            Self::Framework(id) => id.as_str(),
            Self::Weight(role) | Self::Quota(role) => role.as_str(),
            Self::Maintenance => "schedule",
        }
    }

    /// The subject with this kind and name; none if there can be no such one.
    #[must_use]
    pub fn parse(kind: &str, name: &str) -> Option<Self> {
        match kind {
            "agent" => AgentId::parse(name).ok().map(Self::Agent),
            "framework" => FrameworkId::parse(name).ok().map(Self::Framework),
            "weight" => Role::parse(name).ok().map(Self::Weight),
            "quota" => Role::parse(name).ok().map(Self::Quota),
            "maintenance" if name == "schedule" => Some(Self::Maintenance),
            _ => None,
        }
    }

    /// The subject with this key, as [`fmt::Display`] writes it.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        let (kind, name) = key.split_once('/')?;
        Self::parse(kind, name)
    }
}

impl fmt::Display for Subject {
    /// The record's key: kind, slash, name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind(), self.name())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back() {
        let role = Role::parse("ads/batch").unwrap();
        let all = [
            Subject::Agent(AgentId::new("m-S0")),
            Subject::Framework(FrameworkId::new("m-0000")),
            Subject::Weight(role.clone()),
            Subject::Quota(Role::DEFAULT),
            Subject::Quota(role),
            Subject::Maintenance,
        ];
        for subject in all {
            assert!(Subject::KINDS.contains(&subject.kind()));
            assert_eq!(Subject::from_key(&subject.to_string()), Some(subject));
        }
        for wrong in [
            "",
            "agent",
            "agent/",
            "agent/a/b",
            "quota/-a",
            "other/x",
            "maintenance/x",
        ] {
            assert_eq!(Subject::from_key(wrong), None, "{wrong}");
        }
    }
}
