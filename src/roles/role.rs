//! A role: the path under which frameworks share a cluster (`ads/batch/nightly`).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The role of everything that is reserved to nobody.
const DEFAULT: &str = "*";

/// Why a text is not a role name (Mesos' roles documentation, "invalid role names").
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// The text is empty.
    #[error("a role name must not be empty")]
    Empty,
    /// A leading, trailing or doubled slash leaves a component empty.
    #[error("role '{0}' must not begin or end with '/' nor hold '//'")]
    EmptyComponent(String),
    /// A component is `.`, `..` or, in a longer path, `*`.
    #[error("role '{role}' must not have the component '{component}'")]
    ReservedComponent {
        /// The whole name.
        role: String,
        /// The component that is not allowed.
        component: String,
    },
    /// A component starts with a dash.
    #[error("role '{0}' must not have a component that starts with '-'")]
    LeadingDash(String),
    /// White space or a control character.
    #[error("role {0:?} must not hold white space or control characters")]
    BadCharacter(String),
}

/// A checked role name. Cloning costs at most one reference count; roles sort by their text.
#[derive(Clone, Default)]
pub struct Role {
    /// `None` is the default role `*`.
    path: Option<Arc<str>>,
}

impl Role {
    /// The default role `*`.
    pub const DEFAULT: Self = Self { path: None };

    /// Checks and takes a role name.
    pub fn parse(text: &str) -> Result<Self, RoleError> {
        if text == DEFAULT {
            return Ok(Self::DEFAULT);
        }
        if text.is_empty() {
            return Err(RoleError::Empty);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(RoleError::BadCharacter(text.to_owned()));
        }
        for component in text.split('/') {
            match component {
                "" => return Err(RoleError::EmptyComponent(text.to_owned())),
                "." | ".." | DEFAULT => {
                    return Err(RoleError::ReservedComponent {
                        role: text.to_owned(),
                        component: component.to_owned(),
                    });
                }
                _ if component.starts_with('-') => {
                    return Err(RoleError::LeadingDash(text.to_owned()));
                }
                _ => {}
            }
        }
        Ok(Self {
            path: Some(text.into()),
        })
    }

    /// The role's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.path.as_deref().unwrap_or(DEFAULT)
    }

    /// True for `*`.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.path.is_none()
    }

    /// True for a role without `/`; also for `*`.
    #[must_use]
    pub fn is_top_level(&self) -> bool {
        !self.as_str().contains('/')
    }

    /// The path's components, top first; `*` has one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.as_str().split('/')
    }

    /// The role one level up: `a/b` for `a/b/c`, none for a top-level role.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.as_str().rsplit_once('/')?;
        Some(Self {
            path: Some(parent.into()),
        })
    }

    /// The roles above this one, nearest first: `a/b`, `a` for `a/b/c`. `*` is above nobody.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// The first component as a role: `a` for `a/b/c`; the role itself when it is top-level.
    #[must_use]
    pub fn top_level(&self) -> Self {
        match self.as_str().split_once('/') {
            Some((top, _)) => Self {
                path: Some(top.into()),
            },
            None => self.clone(),
        }
    }

    /// True when `other` lies below this role; no role is its own strict ancestor.
    #[must_use]
    pub fn is_strict_ancestor_of(&self, other: &Self) -> bool {
        other
            .as_str()
            .strip_prefix(self.as_str())
            .is_some_and(|rest| rest.starts_with('/'))
    }

    /// True when `other` is this role or lies below it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self == other || self.is_strict_ancestor_of(other)
    }
}

impl PartialEq for Role {
    fn eq(&self, other: &Self) -> bool {
        match (&self.path, &other.path) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
            (None, None) => true,
            _ => false,
        }
    }
}

impl Eq for Role {}

impl Hash for Role {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for Role {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Role {
    fn cmp(&self, other: &Self) -> Ordering {
        if self == other {
            return Ordering::Equal;
        }
        self.as_str().cmp(other.as_str())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        Self::parse(text)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn role(text: &str) -> Role {
        Role::parse(text).unwrap()
    }

    #[test]
    fn good_names() {
        for text in ["*", "a", "a/b/c", "ads-batch", "a.b", "...", "rôle", "a*"] {
            assert_eq!(role(text).to_string(), text);
        }
        assert!(role("*").is_default());
        assert_eq!(Role::default(), role("*"));
    }

    #[test]
    fn bad_names() {
        let name = str::to_owned;
        let component = |role: &str, component: &str| RoleError::ReservedComponent {
            role: role.to_owned(),
            component: component.to_owned(),
        };
        let cases = [
            ("", RoleError::Empty),
            ("/a", RoleError::EmptyComponent(name("/a"))),
            ("a/", RoleError::EmptyComponent(name("a/"))),
            ("a//b", RoleError::EmptyComponent(name("a//b"))),
            (".", component(".", ".")),
            ("a/..", component("a/..", "..")),
            ("a/*", component("a/*", "*")),
            ("*/a", component("*/a", "*")),
            ("-a", RoleError::LeadingDash(name("-a"))),
            ("a/-b", RoleError::LeadingDash(name("a/-b"))),
            ("a b", RoleError::BadCharacter(name("a b"))),
            ("a\tb", RoleError::BadCharacter(name("a\tb"))),
            ("a\u{7f}", RoleError::BadCharacter(name("a\u{7f}"))),
            ("a\u{8}", RoleError::BadCharacter(name("a\u{8}"))),
        ];
        for (text, error) in cases {
            assert_eq!(Role::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn ancestry() {
        let deep = role("a/b/c");
        let above: Vec<String> = deep.ancestors().map(|role| role.to_string()).collect();
        assert_eq!(above, ["a/b", "a"]);
        assert_eq!(deep.top_level(), role("a"));
        assert!(role("a").is_strict_ancestor_of(&deep));
        assert!(!role("a").is_strict_ancestor_of(&role("ab")));
        assert!(!deep.is_strict_ancestor_of(&deep));
        assert!(deep.covers(&deep));
        assert!(!Role::DEFAULT.is_strict_ancestor_of(&role("a")));
        assert_eq!(Role::DEFAULT.ancestors().count(), 0);
        assert_eq!(Role::DEFAULT.top_level(), Role::DEFAULT);
    }

    proptest! {
        #[test]
        fn ancestors_agree_with_the_predicate(text in "[ab](/[ab]){0,4}", other in "[ab](/[ab]){0,4}") {
            let (text, other) = (role(&text), role(&other));
            let listed = other.ancestors().any(|above| above == text);
            prop_assert_eq!(listed, text.is_strict_ancestor_of(&other));
        }

        #[test]
        fn order_is_by_text(a in "[a-b*/]{1,4}", b in "[a-b*/]{1,4}") {
            if let (Ok(left), Ok(right)) = (Role::parse(&a), Role::parse(&b)) {
                prop_assert_eq!(left.cmp(&right), a.cmp(&b));
            }
        }
    }
}
