//! What a resource amounts to: a scalar, ranges or a set.

use std::fmt;

use super::{Range, Ranges, Scalar, Set};

/// Why a value is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a decimal number.
    #[error("'{0}' is not a number")]
    NotANumber(String),
    /// Infinity or not a number.
    #[error("{0} is not a finite number")]
    NotFinite(String),
    /// Below zero.
    #[error("{0} is negative")]
    Negative(String),
    /// Above 2^40.
    #[error("{0} is too large: at most 1099511627776 can be given")]
    TooLarge(String),
    /// Not `first-last`.
    #[error("'{0}' is not a range: write first-last, like 31000-32000")]
    NotARange(String),
    /// The end comes before the beginning.
    #[error("range {0}-{1} ends before it begins")]
    ReversedRange(u64, u64),
    /// Two intervals share numbers.
    #[error("ranges {0} and {1} overlap")]
    OverlappingRanges(Range, Range),
    /// More intervals than the bound.
    #[error("{0} ranges are too many: at most {1} can be given")]
    TooManyRanges(usize, usize),
    /// Not `{a,b}`.
    #[error("'{0}' is not a set: write items in braces, like {{a,b}}")]
    NotASet(String),
    /// An item without text.
    #[error("a set must not hold an empty item")]
    EmptyItem,
    /// The same item twice.
    #[error("set item '{0}' is given twice")]
    RepeatedItem(String),
    /// More items than the bound.
    #[error("{0} set items are too many: at most {1} can be given")]
    TooManyItems(usize, usize),
}

/// The kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A divisible amount.
    Scalar,
    /// Whole numbers in intervals.
    Ranges,
    /// Named items.
    Set,
}

/// An amount of one kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A divisible amount.
    Scalar(Scalar),
    /// Whole numbers in intervals.
    Ranges(Ranges),
    /// Named items.
    Set(Set),
}

impl Value {
    /// Reads `4`, `[1-10]` or `{a,b}`; the first character tells the kind.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        match text.trim_start().chars().next() {
            Some('[') => Ranges::parse(text).map(Self::Ranges),
            Some('{') => Set::parse(text).map(Self::Set),
            _ => Scalar::parse(text).map(Self::Scalar),
        }
    }

    /// The value's kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Scalar(_) => Kind::Scalar,
            Self::Ranges(_) => Kind::Ranges,
            Self::Set(_) => Kind::Set,
        }
    }

    /// The amount of a scalar.
    #[must_use]
    pub fn as_scalar(&self) -> Option<Scalar> {
        match self {
            Self::Scalar(scalar) => Some(*scalar),
            _ => None,
        }
    }

    /// The intervals of ranges.
    #[must_use]
    pub fn as_ranges(&self) -> Option<&Ranges> {
        match self {
            Self::Ranges(ranges) => Some(ranges),
            _ => None,
        }
    }

    /// The items of a set.
    #[must_use]
    pub fn as_set(&self) -> Option<&Set> {
        match self {
            Self::Set(set) => Some(set),
            _ => None,
        }
    }

    /// True for nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(scalar) => scalar.is_zero(),
            Self::Ranges(ranges) => ranges.is_empty(),
            Self::Set(set) => set.is_empty(),
        }
    }

    /// True when `other` is of the same kind and not more than this.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => a >= b,
            (Self::Ranges(a), Self::Ranges(b)) => a.contains(b),
            (Self::Set(a), Self::Set(b)) => a.contains(b),
            _ => false,
        }
    }

    /// The sum of values, leaving out those of another kind.
    pub(super) fn sum<'a>(kind: Kind, values: impl Iterator<Item = &'a Self>) -> Self {
        match kind {
            Kind::Scalar => Self::Scalar(values.filter_map(Self::as_scalar).sum()),
            Kind::Ranges => {
                let ranges = values.filter_map(Self::as_ranges);
                Self::Ranges(ranges.flat_map(Ranges::iter).collect())
            }
            Kind::Set => {
                let items = values.filter_map(Self::as_set).flat_map(Set::iter);
                Self::Set(items.map(str::to_owned).collect())
            }
        }
    }

    /// Adds a value of the same kind; one of another kind changes nothing.
    pub(super) fn add(&mut self, other: &Self) {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => *a += *b,
            (Self::Ranges(a), Self::Ranges(b)) => *a = a.union(b),
            (Self::Set(a), Self::Set(b)) => *a = a.union(b),
            _ => {}
        }
    }

    /// Takes away a value of the same kind, down to nothing; one of another kind changes nothing.
    pub(super) fn subtract(&mut self, other: &Self) {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => *a -= *b,
            (Self::Ranges(a), Self::Ranges(b)) => *a = a.difference(b),
            (Self::Set(a), Self::Set(b)) => *a = a.difference(b),
            _ => {}
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "SCALAR",
            Self::Ranges => "RANGES",
            Self::Set => "SET",
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => scalar.fmt(f),
            Self::Ranges(ranges) => ranges.fmt(f),
            Self::Set(set) => set.fmt(f),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
