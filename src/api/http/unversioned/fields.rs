//! Names and values of a query or a form, decoded within bounds.

use std::borrow::Cow;

use crate::api::error::ApiError;

/// Most names of one query or form.
const FIELDS_MAX: usize = 1000;

/// What a query or a form says, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `name=value&name=value`; `;` separates as well, `+` is a space.
    ///
    /// # Errors
    ///
    /// A malformed escape, bytes that are no UTF-8, or too many names.
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        let mut fields = Vec::new();
        for pair in text.split(['&', ';']).filter(|pair| !pair.is_empty()) {
            if fields.len() == FIELDS_MAX {
                let message = format!("more than {FIELDS_MAX} parameters are given");
                return Err(ApiError::invalid(message));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            fields.push((decode(name, true)?, decode(value, true)?));
        }
        Ok(Self(fields))
    }

    /// The last value of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut named = self.0.iter().rev().filter(|(known, _)| known == name);
        named.next().map(|(_, value)| value.as_str())
    }

    /// The value of a name that must be there.
    ///
    /// # Errors
    ///
    /// It is not.
    pub(super) fn require(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name)
            .ok_or_else(|| ApiError::field(name, format!("parameter '{name}' is missing")))
    }
}

/// Resolves `%XX`, and `+` where it is a space.
///
/// # Errors
///
/// A malformed escape, or bytes that are no UTF-8.
pub(super) fn decode(text: &str, plus_is_space: bool) -> Result<String, ApiError> {
    let text = if plus_is_space {
        Cow::Owned(text.replace('+', " "))
    } else {
        Cow::Borrowed(text)
    };
    if !text.contains('%') {
        return Ok(text.into_owned());
    }
    let malformed = || {
        let shown: String = text.chars().take(100).collect();
        ApiError::invalid(format!("'{shown}' has a malformed '%' escape"))
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(malformed)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(malformed());
        }
        let digits = std::str::from_utf8(digits).map_err(|_| malformed())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| malformed())?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_name_counts() {
        let fields = Fields::parse("a=1&b=x%20y+z;a=2&&c&d=%25%c3%a4&e=a=b").unwrap();
        assert_eq!(fields.get("a"), Some("2"));
        assert_eq!(fields.get("b"), Some("x y z"));
        assert_eq!(fields.get("c"), Some(""));
        assert_eq!(fields.get("d"), Some("%\u{e4}"));
        assert_eq!(fields.get("e"), Some("a=b"));
        assert_eq!(fields.get("f"), None);
        let error = fields.require("frameworkId").unwrap_err();
        assert_eq!(error.to_string(), "parameter 'frameworkId' is missing");
    }

    #[test]
    fn malformed_escapes_and_floods_are_refused() {
        for text in ["a=%", "a=%1", "%zz=1", "a=%+1", "a=%ff"] {
            let error = Fields::parse(text).unwrap_err().to_string();
            assert!(error.contains("malformed '%' escape"), "{text}: {error}");
        }
        let flood = "a&".repeat(FIELDS_MAX + 1);
        assert!(Fields::parse(&flood).is_err());
        assert!(Fields::parse(&flood[2..]).is_ok());
    }
}
