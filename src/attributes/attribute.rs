//! What an operator says about an agent; frameworks read it, nobody consumes it.

use std::fmt;
use std::sync::Arc;

use crate::resources::{Ranges, Scalar, ValueError};

/// Why something is not an attribute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// A problem of one item of a list; names the item.
    #[error("attribute '{item}': {cause}")]
    Item {
        /// The item's text or name.
        item: String,
        /// What is wrong with it.
        #[source]
        cause: Box<AttributeError>,
    },
    /// The value is wrong.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// Not `name:value`.
    #[error("write name:value, like rack:r1 or zone:west")]
    NotAnItem,
    /// More items than the bound.
    #[error("more than {0} attributes are given")]
    TooMany(usize),
    /// A name without text.
    #[error("an attribute name must not be empty")]
    EmptyName,
    /// A value without text.
    #[error("an attribute value must not be empty")]
    EmptyValue,
    /// The whole text is not a JSON list of attributes.
    #[error("not a JSON list of attributes: {0}")]
    Json(String),
    /// A field that must be set is not.
    #[error("{0} must be set")]
    Missing(&'static str),
    /// A kind that attributes cannot have.
    #[error("type must be SCALAR, RANGES or TEXT, not {0}")]
    UnknownKind(String),
}

impl AttributeError {
    /// Names the item that the error is about.
    pub(super) fn of_item(self, item: &str) -> Self {
        const SHOWN: usize = 200;
        let mut item: String = item.chars().take(SHOWN + 1).collect();
        if item.chars().count() > SHOWN {
            item.pop();
            item.push_str("...");
        }
        Self::Item {
            item,
            cause: Box::new(self),
        }
    }
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// A number; its sign is kept apart, as amounts are never negative.
    Scalar {
        /// Below zero.
        negative: bool,
        /// The distance from zero.
        size: Scalar,
    },
    /// Whole numbers.
    Ranges(Ranges),
    /// Anything else.
    Text(Arc<str>),
}

impl AttributeValue {
    /// A number, rounded to thousandths.
    pub fn from_f64(value: f64) -> Result<Self, ValueError> {
        let size = Scalar::from_f64(value.abs())?;
        Ok(Self::Scalar {
            negative: value < 0.0 && !size.is_zero(),
            size,
        })
    }

    /// Reads `[1-3]` as ranges, a number as a scalar and everything else as text, as Mesos does.
    pub fn parse(text: &str) -> Result<Self, AttributeError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AttributeError::EmptyValue);
        }
        if text.starts_with('[') {
            return Ok(Self::Ranges(Ranges::parse(text)?));
        }
        // `inf` and `nan` are numbers to Rust only; what no scalar can hold stays text.
        let number: Option<f64> = text.parse().ok();
        let number = number.filter(|_| text.contains(|c: char| c.is_ascii_digit()));
        let scalar = number.and_then(|number| Self::from_f64(number).ok());
        Ok(scalar.unwrap_or_else(|| Self::Text(text.into())))
    }

    /// The number of a scalar.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Scalar { negative, size } if *negative => Some(-size.as_f64()),
            Self::Scalar { size, .. } => Some(size.as_f64()),
            _ => None,
        }
    }

    /// The text of a text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A name and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Names may repeat; the first counts where only one can.
    pub name: Arc<str>,
    /// The value.
    pub value: AttributeValue,
}

/// The attributes of an agent, in the order given. Cloning is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Arc<[Attribute]>);

impl Attributes {
    /// The attributes, in the order given.
    pub fn iter(&self) -> std::slice::Iter<'_, Attribute> {
        self.0.iter()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of the first attribute with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&AttributeValue> {
        self.iter()
            .find(|attribute| &*attribute.name == name)
            .map(|attribute| &attribute.value)
    }
}

impl FromIterator<Attribute> for Attributes {
    fn from_iter<I: IntoIterator<Item = Attribute>>(attributes: I) -> Self {
        Self(attributes.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Attributes {
    type Item = &'a Attribute;
    type IntoIter = std::slice::Iter<'a, Attribute>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar { negative, size } => {
                write!(f, "{}{size}", if *negative { "-" } else { "" })
            }
            Self::Ranges(ranges) => ranges.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.value)
    }
}

/// The text form that `parse` reads.
impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attribute) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(";")?;
            }
            attribute.fmt(f)?;
        }
        Ok(())
    }
}
