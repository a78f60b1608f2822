//! A simple condition on an agent, as `mesosd run --attribute-constraint` takes it.

use std::fmt;

use super::{AttributeError, AttributeValue, Attributes};

/// The name that stands for the agent's host name when no attribute is called so.
const HOSTNAME: &str = "hostname";

/// `name:value`, `name=value` or, for any value, `name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    name: String,
    value: Option<AttributeValue>,
}

impl Constraint {
    /// Reads a constraint; the first `:` or `=` divides.
    pub fn parse(text: &str) -> Result<Self, AttributeError> {
        let wrong = |error: AttributeError| error.of_item(text);
        let (name, value) = match text.split_once([':', '=']) {
            Some((name, value)) => (name, Some(AttributeValue::parse(value).map_err(wrong)?)),
            None => (text, None),
        };
        let name = name.trim();
        if name.is_empty() {
            return Err(wrong(AttributeError::EmptyName));
        }
        Ok(Self {
            name: name.to_owned(),
            value,
        })
    }

    /// True when some attribute of that name is the value, or has it among its ranges.
    #[must_use]
    pub fn matches(&self, attributes: &Attributes, hostname: &str) -> bool {
        let mut named = attributes
            .iter()
            .filter(|attribute| *attribute.name == *self.name)
            .peekable();
        if named.peek().is_none() && self.name == HOSTNAME {
            return match &self.value {
                None => true,
                Some(wanted) => wanted.to_string() == hostname,
            };
        }
        named.any(|attribute| match (&attribute.value, &self.value) {
            (_, None) => true,
            (AttributeValue::Ranges(have), Some(AttributeValue::Ranges(wanted))) => {
                have.contains(wanted)
            }
            (AttributeValue::Ranges(have), Some(AttributeValue::Scalar { negative, size })) => {
                !negative && size.is_whole() && have.has(size.thousandths().unsigned_abs() / 1000)
            }
            (have, Some(wanted)) => have == wanted,
        })
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.value {
            Some(value) => write!(f, ":{value}"),
            None => Ok(()),
        }
    }
}

impl std::str::FromStr for Constraint {
    type Err = AttributeError;

    fn from_str(text: &str) -> Result<Self, AttributeError> {
        Self::parse(text)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn matches_by_kind() {
        let agent = super::super::parse("rack:r1;rack:r2;level:10;vlan:[5-9];neg:-1.5").unwrap();
        let cases = [
            ("rack:r1", true),
            ("rack=r2", true),
            ("rack=r3", false),
            ("rack", true),
            ("zone", false),
            ("level:10.0", true),
            ("level=11", false),
            ("vlan:7", true),
            ("vlan:7.5", false),
            ("vlan:[6-8]", true),
            ("vlan:[8-10]", false),
            ("neg=-1.5", true),
            ("hostname:h1", true),
            ("hostname:h2", false),
            ("hostname", true),
        ];
        for (text, expected) in cases {
            let constraint = Constraint::parse(text).unwrap();
            assert_eq!(constraint.matches(&agent, "h1"), expected, "{text}");
        }
        let named = super::super::parse("hostname:mine").unwrap();
        assert!(
            !Constraint::parse("hostname:h1")
                .unwrap()
                .matches(&named, "h1")
        );
    }

    #[test]
    fn bad_constraints_are_named() {
        let message = |text: &str| Constraint::parse(text).unwrap_err().to_string();
        assert_eq!(
            message(":x"),
            "attribute ':x': an attribute name must not be empty"
        );
        assert_eq!(
            message("x="),
            "attribute 'x=': an attribute value must not be empty"
        );
        assert!(message("x=[1]").starts_with("attribute 'x=[1]': '1' is not a range"));
    }
}
