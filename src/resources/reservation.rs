//! Reservations: who may be offered a resource, as a stack of ever narrower roles.

use std::sync::Arc;

use crate::roles::Role;

use super::ResourceError;

/// A key with or without a value, attached by frameworks and operators.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// The key.
    pub key: String,
    /// The value, if any.
    pub value: Option<String>,
}

/// Labels compare as a multiset: they are kept sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Vec<Label>);

impl Labels {
    /// The labels, sorted by key, then value.
    pub fn iter(&self) -> impl Iterator<Item = &Label> {
        self.0.iter()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Label> for Labels {
    fn from_iter<I: IntoIterator<Item = Label>>(labels: I) -> Self {
        let mut labels: Vec<Label> = labels.into_iter().collect();
        labels.sort_unstable();
        Self(labels)
    }
}

/// Who made a reservation and how it can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReservationKind {
    /// By the agent's configuration; goes when that changes.
    Static,
    /// By a call; goes by a call.
    Dynamic,
}

/// One level of a reservation stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reservation {
    /// The role that it is for, never `*`.
    pub role: Role,
    /// Static or dynamic.
    pub kind: ReservationKind,
    /// Who asked for it.
    pub principal: Option<Arc<str>>,
    /// What was attached when it was made.
    pub labels: Labels,
}

impl Reservation {
    /// A static reservation, as in `disk(role):1000`.
    #[must_use]
    pub fn fixed(role: Role) -> Self {
        Self {
            role,
            kind: ReservationKind::Static,
            principal: None,
            labels: Labels::default(),
        }
    }

    /// A dynamic reservation without labels.
    #[must_use]
    pub fn dynamic(role: Role, principal: Option<Arc<str>>) -> Self {
        Self {
            role,
            kind: ReservationKind::Dynamic,
            principal,
            labels: Labels::default(),
        }
    }
}

/// Checks a stack: no `*`, each role strictly below the one before, static only at the bottom.
pub(super) fn check_stack(stack: &[Reservation]) -> Result<(), ResourceError> {
    if stack.iter().any(|level| level.role.is_default()) {
        return Err(ResourceError::ReservedToDefault);
    }
    for pair in stack.windows(2) {
        if pair[1].kind == ReservationKind::Static {
            return Err(ResourceError::StaticRefinement(pair[1].role.clone()));
        }
        if !pair[0].role.is_strict_ancestor_of(&pair[1].role) {
            return Err(ResourceError::NotRefined {
                outer: pair[0].role.clone(),
                inner: pair[1].role.clone(),
            });
        }
    }
    Ok(())
}
