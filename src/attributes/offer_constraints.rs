//! Which agents a framework wants offers of: conditions on attributes, host name and fault domain
//! (`OfferConstraints` of SUBSCRIBE and UPDATE_FRAMEWORK).
//!
//! An agent is admitted to a role when all constraints of one of the role's groups hold. Patterns
//! are matched in linear time and compiled within a bound, so a framework cannot make passes slow.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::proto::v1;
use crate::roles::{Role, RoleError};

use super::pattern::{Pattern, PatternLimits};
use super::{AttributeValue, Attributes};

/// Most constraints of one framework.
const CONSTRAINTS_MAX: usize = 1000;

/// Why constraints are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferConstraintError {
    /// A key that is no role.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// A role that the framework is not subscribed to.
    #[error("the framework is not subscribed to role '{0}'")]
    ForeignRole(Role),
    /// A role without groups.
    #[error("role '{0}' has no group: without constraints leave the role out")]
    NoGroups(Role),
    /// A group without constraints.
    #[error("role '{0}' has a group without constraints")]
    EmptyGroup(Role),
    /// More constraints than the bound.
    #[error("more than {CONSTRAINTS_MAX} constraints are given")]
    TooMany,
    /// A selector that selects nothing.
    #[error("role '{role}': the selector must name an attribute, HOSTNAME, REGION or ZONE")]
    NoSelector {
        /// The role.
        role: Role,
    },
    /// A predicate that says nothing.
    #[error("role '{role}': the constraint on {selector} has no predicate that is known")]
    NoPredicate {
        /// The role.
        role: Role,
        /// What it is about.
        selector: String,
    },
    /// A pattern that is none, or too large.
    #[error("role '{role}': the pattern '{pattern}' for {selector} is refused: {reason}")]
    Pattern {
        /// The role.
        role: Role,
        /// What it is about.
        selector: String,
        /// The beginning of the pattern.
        pattern: String,
        /// What is wrong with it, in one line.
        reason: String,
    },
}

/// What constraints look at.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The agent's attributes.
    pub attributes: &'a Attributes,
    /// Its host name.
    pub hostname: &'a str,
    /// The region of its fault domain.
    pub region: Option<&'a str>,
    /// The zone of its fault domain.
    pub zone: Option<&'a str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Selector {
    Attribute(String),
    Hostname,
    Region,
    Zone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Predicate {
    Exists,
    NotExists,
    Equals(String),
    NotEquals(String),
    Matches(Pattern),
    NotMatches(Pattern),
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AttributeConstraint {
    selector: Selector,
    predicate: Predicate,
}

/// What a selector finds.
#[derive(Clone, Copy, Debug)]
enum Found<'a> {
    Nothing,
    Text(&'a str),
    /// A number or ranges: text predicates pass over it.
    Other,
}

type Groups = Vec<Vec<AttributeConstraint>>;

/// The constraints of a framework by role; a role that is not here wants all agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfferConstraints(BTreeMap<Role, Arc<RoleConstraints>>);

impl OfferConstraints {
    /// Reads a message for a framework with these roles.
    pub fn from_proto(
        message: &v1::scheduler::OfferConstraints,
        roles: &BTreeSet<Role>,
        limits: PatternLimits,
    ) -> Result<Self, OfferConstraintError> {
        let mut by_role = BTreeMap::new();
        let mut count = 0;
        for (name, constraints) in &message.role_constraints {
            let role = Role::parse(name)?;
            if !roles.contains(&role) {
                return Err(OfferConstraintError::ForeignRole(role));
            }
            if constraints.groups.is_empty() {
                return Err(OfferConstraintError::NoGroups(role));
            }
            let mut groups = Groups::new();
            for group in &constraints.groups {
                let constraints = &group.attribute_constraints;
                if constraints.is_empty() {
                    return Err(OfferConstraintError::EmptyGroup(role));
                }
                count += constraints.len();
                if count > CONSTRAINTS_MAX {
                    return Err(OfferConstraintError::TooMany);
                }
                let read = constraints.iter().map(|one| read(&role, one, limits));
                groups.push(read.collect::<Result<_, _>>()?);
            }
            by_role.insert(role, Arc::new(RoleConstraints(groups)));
        }
        Ok(Self(by_role))
    }

    /// The constraints for one role; none when all agents are wanted.
    #[must_use]
    pub fn of(&self, role: &Role) -> Option<&Arc<RoleConstraints>> {
        self.0.get(role)
    }

    /// The message that they were read from.
    #[must_use]
    pub fn to_proto(&self) -> v1::scheduler::OfferConstraints {
        use v1::scheduler::offer_constraints::{RoleConstraints, role_constraints::Group};

        let group = |group: &Vec<AttributeConstraint>| Group {
            attribute_constraints: group.iter().map(AttributeConstraint::to_proto).collect(),
        };
        let by_role = self.0.iter().map(|(role, constraints)| {
            let groups = constraints.0.iter().map(group).collect();
            (role.to_string(), RoleConstraints { groups })
        });
        v1::scheduler::OfferConstraints {
            role_constraints: by_role.collect(),
        }
    }

    /// True without constraints.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The constraints for one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleConstraints(Groups);

impl RoleConstraints {
    /// True when all constraints of some group hold.
    #[must_use]
    pub fn admit(&self, place: &Place<'_>) -> bool {
        let holds = |group: &Vec<AttributeConstraint>| group.iter().all(|one| one.holds(place));
        self.0.iter().any(holds)
    }

    /// For an agent that is not admitted: the first constraint of each group that does not hold.
    #[must_use]
    pub fn failed(&self, place: &Place<'_>) -> Vec<String> {
        let first = |group: &Vec<AttributeConstraint>| {
            let mut failed = group.iter().filter(|one| !one.holds(place));
            failed.next().map(ToString::to_string)
        };
        self.0.iter().filter_map(first).collect()
    }
}

impl Selector {
    fn find<'a>(&self, place: &Place<'a>) -> Found<'a> {
        let text = |found: Option<&'a str>| found.map_or(Found::Nothing, Found::Text);
        match self {
            Self::Attribute(name) => match place.attributes.get(name) {
                None => Found::Nothing,
                Some(AttributeValue::Text(text)) => Found::Text(text),
                Some(_) => Found::Other,
            },
            Self::Hostname => Found::Text(place.hostname),
            Self::Region => text(place.region),
            Self::Zone => text(place.zone),
        }
    }
}

impl AttributeConstraint {
    fn to_proto(&self) -> v1::scheduler::AttributeConstraint {
        use v1::scheduler::attribute_constraint as wire;
        use wire::predicate::{self as kinds, Predicate as Wire};
        use wire::selector::{PseudoattributeType, Selector as WireSelector};

        let pseudo = |kind: PseudoattributeType| WireSelector::PseudoattributeType(kind.into());
        let selector = match &self.selector {
            Selector::Attribute(name) => WireSelector::AttributeName(name.clone()),
            Selector::Hostname => pseudo(PseudoattributeType::Hostname),
            Selector::Region => pseudo(PseudoattributeType::Region),
            Selector::Zone => pseudo(PseudoattributeType::Zone),
        };
        let regex = |pattern: &Pattern| pattern.text().to_owned();
        let predicate = match &self.predicate {
            Predicate::Exists => Wire::Exists(kinds::Exists {}),
            Predicate::NotExists => Wire::NotExists(kinds::NotExists {}),
            Predicate::Equals(value) => Wire::TextEquals(kinds::TextEquals {
                value: value.clone(),
            }),
            Predicate::NotEquals(value) => Wire::TextNotEquals(kinds::TextNotEquals {
                value: value.clone(),
            }),
            Predicate::Matches(pattern) => Wire::TextMatches(kinds::TextMatches {
                regex: regex(pattern),
            }),
            Predicate::NotMatches(pattern) => Wire::TextNotMatches(kinds::TextNotMatches {
                regex: regex(pattern),
            }),
        };
        v1::scheduler::AttributeConstraint {
            selector: wire::Selector {
                selector: Some(selector),
            },
            predicate: wire::Predicate {
                predicate: Some(predicate),
            },
        }
    }

    fn holds(&self, place: &Place<'_>) -> bool {
        let found = self.selector.find(place);
        let (wanted, test): (bool, &dyn Fn(&str) -> bool) = match &self.predicate {
            Predicate::Exists => return !matches!(found, Found::Nothing),
            Predicate::NotExists => return matches!(found, Found::Nothing),
            Predicate::Equals(value) => (true, &move |text| text == value),
            Predicate::NotEquals(value) => (false, &move |text| text == value),
            Predicate::Matches(pattern) => (true, &|text| pattern.matches(text)),
            Predicate::NotMatches(pattern) => (false, &|text| pattern.matches(text)),
        };
        match found {
            Found::Nothing => !wanted,
            Found::Text(text) => test(text) == wanted,
            Found::Other => true,
        }
    }
}

fn read(
    role: &Role,
    message: &v1::scheduler::AttributeConstraint,
    limits: PatternLimits,
) -> Result<AttributeConstraint, OfferConstraintError> {
    use v1::scheduler::attribute_constraint::predicate::Predicate as Wire;
    use v1::scheduler::attribute_constraint::selector::{
        PseudoattributeType, Selector as WireSelector,
    };

    let selector = match &message.selector.selector {
        Some(WireSelector::AttributeName(name)) => Selector::Attribute(name.clone()),
        Some(WireSelector::PseudoattributeType(kind)) => {
            match PseudoattributeType::try_from(*kind) {
                Ok(PseudoattributeType::Hostname) => Selector::Hostname,
                Ok(PseudoattributeType::Region) => Selector::Region,
                Ok(PseudoattributeType::Zone) => Selector::Zone,
                _ => return Err(OfferConstraintError::NoSelector { role: role.clone() }),
            }
        }
        None => return Err(OfferConstraintError::NoSelector { role: role.clone() }),
    };
    let pattern = |text: &str| {
        Pattern::compile(text, limits).map_err(|reason| OfferConstraintError::Pattern {
            role: role.clone(),
            selector: selector.to_string(),
            pattern: text.chars().take(100).collect(),
            reason,
        })
    };
    let predicate = match &message.predicate.predicate {
        Some(Wire::Exists(_)) => Predicate::Exists,
        Some(Wire::NotExists(_)) => Predicate::NotExists,
        Some(Wire::TextEquals(wanted)) => Predicate::Equals(wanted.value.clone()),
        Some(Wire::TextNotEquals(wanted)) => Predicate::NotEquals(wanted.value.clone()),
        Some(Wire::TextMatches(wanted)) => Predicate::Matches(pattern(&wanted.regex)?),
        Some(Wire::TextNotMatches(wanted)) => Predicate::NotMatches(pattern(&wanted.regex)?),
        None => {
            return Err(OfferConstraintError::NoPredicate {
                role: role.clone(),
                selector: selector.to_string(),
            });
        }
    };
    Ok(AttributeConstraint {
        selector,
        predicate,
    })
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(name) => write!(f, "attribute '{name}'"),
            Self::Hostname => f.write_str("HOSTNAME"),
            Self::Region => f.write_str("REGION"),
            Self::Zone => f.write_str("ZONE"),
        }
    }
}

impl fmt::Display for AttributeConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.selector)?;
        match &self.predicate {
            Predicate::Exists => f.write_str("exists"),
            Predicate::NotExists => f.write_str("does not exist"),
            Predicate::Equals(value) => write!(f, "equals '{value}'"),
            Predicate::NotEquals(value) => write!(f, "does not equal '{value}'"),
            Predicate::Matches(pattern) => write!(f, "matches '{}'", pattern.text()),
            Predicate::NotMatches(pattern) => write!(f, "does not match '{}'", pattern.text()),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use v1::scheduler::attribute_constraint::predicate::{self, Predicate as Wire};
    use v1::scheduler::attribute_constraint::selector::{
        PseudoattributeType, Selector as WireSelector,
    };
    use v1::scheduler::attribute_constraint::{Predicate as WirePredicate, Selector as WireOuter};
    use v1::scheduler::offer_constraints::{RoleConstraints as WireRole, role_constraints::Group};

    use super::*;

    fn attribute(name: &str) -> WireSelector {
        WireSelector::AttributeName(name.to_owned())
    }

    fn pseudo(kind: PseudoattributeType) -> WireSelector {
        WireSelector::PseudoattributeType(kind.into())
    }

    fn equals(value: &str) -> Wire {
        let value = value.to_owned();
        Wire::TextEquals(predicate::TextEquals { value })
    }

    fn differs(value: &str) -> Wire {
        let value = value.to_owned();
        Wire::TextNotEquals(predicate::TextNotEquals { value })
    }

    fn matches(regex: &str) -> Wire {
        let regex = regex.to_owned();
        Wire::TextMatches(predicate::TextMatches { regex })
    }

    fn mismatches(regex: &str) -> Wire {
        let regex = regex.to_owned();
        Wire::TextNotMatches(predicate::TextNotMatches { regex })
    }

    fn one(selector: WireSelector, predicate: Wire) -> v1::scheduler::AttributeConstraint {
        v1::scheduler::AttributeConstraint {
            selector: WireOuter {
                selector: Some(selector),
            },
            predicate: WirePredicate {
                predicate: Some(predicate),
            },
        }
    }

    fn constraints(
        role: &str,
        groups: Vec<Vec<v1::scheduler::AttributeConstraint>>,
    ) -> Result<OfferConstraints, OfferConstraintError> {
        let group = |attribute_constraints| Group {
            attribute_constraints,
        };
        let groups = groups.into_iter().map(group).collect();
        let message = v1::scheduler::OfferConstraints {
            role_constraints: [(role.to_owned(), WireRole { groups })].into(),
        };
        let roles = ["dev", "ops"].map(|name| Role::parse(name).unwrap());
        let read = OfferConstraints::from_proto(&message, &roles.into(), PatternLimits::default())?;
        assert_eq!(read.to_proto(), message);
        Ok(read)
    }

    fn admits(groups: Vec<Vec<v1::scheduler::AttributeConstraint>>) -> bool {
        let attributes = crate::attributes::parse("rack:r1;rack:r2;level:10;vlan:[5-9]").unwrap();
        let place = Place {
            attributes: &attributes,
            hostname: "host-17.example",
            region: Some("north"),
            zone: None,
        };
        let all = constraints("dev", groups).unwrap();
        let of_role = all.of(&Role::parse("dev").unwrap()).unwrap();
        assert!(of_role.admit(&place) || !of_role.failed(&place).is_empty());
        of_role.admit(&place)
    }

    #[test]
    fn predicates_on_what_is_there_is_not_there_and_is_no_text() {
        let exists = || Wire::Exists(predicate::Exists {});
        let absent = || Wire::NotExists(predicate::NotExists {});
        let cases = [
            // The first attribute of a name counts.
            (attribute("rack"), equals("r1"), true),
            (attribute("rack"), equals("r2"), false),
            (attribute("rack"), differs("r1"), false),
            (attribute("rack"), differs("r2"), true),
            (attribute("rack"), exists(), true),
            (attribute("rack"), absent(), false),
            (attribute("rack"), matches("r[0-9]"), true),
            // As a whole.
            (attribute("rack"), matches("r"), false),
            (attribute("rack"), matches("x|r"), false),
            (attribute("rack"), mismatches("r"), true),
            (attribute("rack"), mismatches(".*"), false),
            (attribute("none"), exists(), false),
            (attribute("none"), absent(), true),
            (attribute("none"), equals("x"), false),
            (attribute("none"), differs("x"), true),
            (attribute("none"), matches(".*"), false),
            (attribute("none"), mismatches(".*"), true),
            (attribute("level"), exists(), true),
            (attribute("level"), equals("x"), true),
            (attribute("level"), differs("10"), true),
            (attribute("vlan"), matches("x"), true),
            (attribute("vlan"), mismatches(".*"), true),
            (
                pseudo(PseudoattributeType::Hostname),
                matches(r"host-\d+\.example"),
                true,
            ),
            (pseudo(PseudoattributeType::Region), equals("north"), true),
            (pseudo(PseudoattributeType::Zone), exists(), false),
            (pseudo(PseudoattributeType::Zone), differs("z"), true),
        ];
        for (selector, predicate, expected) in cases {
            let constraint = one(selector, predicate);
            assert_eq!(
                admits(vec![vec![constraint.clone()]]),
                expected,
                "{constraint:?}"
            );
        }
    }

    #[test]
    fn all_of_any_group() {
        let yes = || one(attribute("rack"), equals("r1"));
        let no = || one(attribute("rack"), equals("r2"));
        assert!(admits(vec![vec![no()], vec![yes()]]));
        assert!(!admits(vec![vec![no(), yes()], vec![yes(), no()]]));
        let all = constraints("dev", vec![vec![yes()]]).unwrap();
        assert_eq!(all.of(&Role::parse("ops").unwrap()), None);
    }

    #[test]
    fn bad_constraints_are_refused_by_name() {
        let said = |role: &str, groups| constraints(role, groups).unwrap_err().to_string();
        let rack = |predicate| vec![vec![one(attribute("rack"), predicate)]];
        assert_eq!(
            said("web", rack(equals("r1"))),
            "the framework is not subscribed to role 'web'"
        );
        assert_eq!(
            said("dev", vec![]),
            "role 'dev' has no group: without constraints leave the role out"
        );
        assert_eq!(
            said("dev", vec![vec![]]),
            "role 'dev' has a group without constraints"
        );
        assert_eq!(
            said("dev", rack(matches("("))),
            "role 'dev': the pattern '(' for attribute 'rack' is refused: unclosed group"
        );
        assert_eq!(
            said("dev", rack(matches("a)(b"))),
            "role 'dev': the pattern 'a)(b' for attribute 'rack' is refused: unopened group"
        );
        assert_eq!(
            said("dev", rack(mismatches("(a{100}){9}"))),
            "role 'dev': the pattern '(a{100}){9}' for attribute 'rack' is refused: its program \
             has about 922 instructions, more than the 100 of \
             --offer_constraints_re2_max_program_size"
        );
        let many = vec![one(attribute("rack"), equals("r1")); CONSTRAINTS_MAX + 1];
        assert_eq!(
            said("dev", vec![many]),
            "more than 1000 constraints are given"
        );
        let unknown = one(WireSelector::PseudoattributeType(99), equals("x"));
        assert_eq!(
            said("dev", vec![vec![unknown]]),
            "role 'dev': the selector must name an attribute, HOSTNAME, REGION or ZONE"
        );
    }
}
