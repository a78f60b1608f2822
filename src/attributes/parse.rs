//! Reads attributes as the `--attributes` flag gives them (Mesos' attributes documentation).

use serde::Deserialize;

use crate::resources::{Range, Ranges};

use super::{Attribute, AttributeError, AttributeValue, Attributes};

/// Most attributes of one text.
const ATTRIBUTES_MAX: usize = 10_000;

/// Reads `rack:abc;level:10;range:[1-3]`, or a JSON list when the text begins with a bracket.
pub fn parse(text: &str) -> Result<Attributes, AttributeError> {
    if text.trim_start().starts_with('[') {
        return parse_json(text);
    }
    let mut attributes = Vec::new();
    for item in text.split([';', '\n']) {
        let item = item.trim();
        if item.is_empty() {
            continue;
        }
        if attributes.len() == ATTRIBUTES_MAX {
            return Err(AttributeError::TooMany(ATTRIBUTES_MAX));
        }
        attributes.push(parse_item(item).map_err(|error| error.of_item(item))?);
    }
    Ok(attributes.into_iter().collect())
}

fn parse_item(item: &str) -> Result<Attribute, AttributeError> {
    let (name, value) = item.split_once(':').ok_or(AttributeError::NotAnItem)?;
    let name = name.trim();
    if name.is_empty() {
        return Err(AttributeError::EmptyName);
    }
    Ok(Attribute {
        name: name.into(),
        value: AttributeValue::parse(value)?,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    name: Option<String>,
    r#type: Option<String>,
    scalar: Option<Holder<f64>>,
    ranges: Option<RangesItem>,
    text: Option<Holder<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Holder<T> {
    value: T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RangesItem {
    range: Vec<RangeItem>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeItem {
    begin: u64,
    end: u64,
}

fn parse_json(text: &str) -> Result<Attributes, AttributeError> {
    let items: Vec<Item> =
        serde_json::from_str(text).map_err(|error| AttributeError::Json(error.to_string()))?;
    if items.len() > ATTRIBUTES_MAX {
        return Err(AttributeError::TooMany(ATTRIBUTES_MAX));
    }
    items
        .into_iter()
        .enumerate()
        .map(|(index, item)| {
            let name = item.name.clone();
            of_item(item)
                .map_err(|error| error.of_item(&name.unwrap_or(format!("number {}", index + 1))))
        })
        .collect()
}

fn of_item(item: Item) -> Result<Attribute, AttributeError> {
    let name = item.name.ok_or(AttributeError::Missing("name"))?;
    if name.is_empty() {
        return Err(AttributeError::EmptyName);
    }
    let kind = item.r#type.ok_or(AttributeError::Missing("type"))?;
    let value = match kind.as_str() {
        "SCALAR" => {
            let scalar = item.scalar.ok_or(AttributeError::Missing("scalar"))?;
            AttributeValue::from_f64(scalar.value)?
        }
        "RANGES" => {
            let ranges = item.ranges.ok_or(AttributeError::Missing("ranges"))?;
            let ranges: Result<Vec<Range>, _> = ranges
                .range
                .iter()
                .map(|range| Range::new(range.begin, range.end))
                .collect();
            AttributeValue::Ranges(Ranges::checked(ranges?)?)
        }
        "TEXT" => {
            let text = item.text.ok_or(AttributeError::Missing("text"))?;
            AttributeValue::Text(text.value.into())
        }
        _ => return Err(AttributeError::UnknownKind(kind)),
    };
    Ok(Attribute {
        name: name.into(),
        value,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn kinds_are_told_by_their_text() {
        let attributes =
            parse("rack:abc;zone:west ; level:10;range:[1-3];url:http://x:80;").unwrap();
        assert_eq!(
            attributes.to_string(),
            "rack:abc;zone:west;level:10;range:[1-3];url:http://x:80"
        );
        assert_eq!(attributes.get("rack").unwrap().as_text(), Some("abc"));
        assert_eq!(attributes.get("level").unwrap().as_f64(), Some(10.0));
        for text in [
            "inf",
            "nan",
            "-infinity",
            "1e999",
            "12345678901234567890",
            "1.2.3",
        ] {
            let value = AttributeValue::parse(text).unwrap();
            assert_eq!(value.as_text(), Some(text));
        }
        assert_eq!(AttributeValue::parse("-1.5").unwrap().as_f64(), Some(-1.5));
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn json_form() {
        let text = r#"[{"name":"rack","type":"TEXT","text":{"value":"abc"}},
            {"name":"level","type":"SCALAR","scalar":{"value":-2}},
            {"name":"vlan","type":"RANGES","ranges":{"range":[{"begin":1,"end":3}]}}]"#;
        assert_eq!(
            parse(text).unwrap().to_string(),
            "rack:abc;level:-2;vlan:[1-3]"
        );
    }

    #[test]
    fn bad_texts_name_the_item() {
        let cases = [
            (
                "rack",
                "attribute 'rack': write name:value, like rack:r1 or zone:west",
            ),
            (":a", "attribute ':a': an attribute name must not be empty"),
            ("a:", "attribute 'a:': an attribute value must not be empty"),
            (
                "a:[3-1]",
                "attribute 'a:[3-1]': range 3-1 ends before it begins",
            ),
            ("[1", "not a JSON list of attributes: "),
            (
                r#"[{"name":"a","type":"SET"}]"#,
                "attribute 'a': type must be SCALAR, RANGES or TEXT, not SET",
            ),
            (
                r#"[{"name":"a","type":"TEXT"}]"#,
                "attribute 'a': text must be set",
            ),
            (
                r#"[{"type":"TEXT"}]"#,
                "attribute 'number 1': name must be set",
            ),
        ];
        for (text, message) in cases {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(text in "([a-z]{1,4}:([0-9.-]{1,6}|[a-z:]{1,5}|\\[[1-4]-[5-9]\\]);){0,5}|[a-z0-9:;\\[\\]\\n-]{0,40}") {
            if let Ok(attributes) = parse(&text) {
                prop_assert_eq!(parse(&attributes.to_string()), Ok(attributes.clone()));
                let messages = attributes.to_proto();
                prop_assert_eq!(Attributes::from_proto(&messages), Ok(attributes));
            }
        }
    }
}
