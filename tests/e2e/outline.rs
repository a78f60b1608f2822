//! The structure of a JSON text: which paths it has, with which types, in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value that keeps the order of its members.
enum Ordered {
    Leaf(&'static str),
    List(Vec<Ordered>),
    Object(Vec<(String, Ordered)>),
}

/// Paths with types, and the members of each object in their order.
#[derive(Default)]
pub(crate) struct Shape {
    paths: BTreeSet<String>,
    orders: BTreeMap<String, Vec<String>>,
}

/// The structure of a text; none if it is no JSON.
pub(crate) fn shape(text: &str) -> Option<Shape> {
    let value: Ordered = serde_json::from_str(text).ok()?;
    let mut shape = Shape::default();
    shape.add("", &value);
    Some(shape)
}

impl Shape {
    fn add(&mut self, path: &str, value: &Ordered) {
        match value {
            Ordered::Leaf(kind) => {
                self.paths.insert(format!("{path}: {kind}"));
            }
            Ordered::List(entries) => {
                self.paths.insert(format!("{path}: list"));
                for entry in entries {
                    self.add(&format!("{path}[]"), entry);
                }
            }
            Ordered::Object(members) => {
                self.paths.insert(format!("{path}: object"));
                let names: Vec<String> = members.iter().map(|(name, _)| name.clone()).collect();
                // The fullest object of a list says the order.
                let known = self.orders.entry(path.to_owned()).or_default();
                if known.len() < names.len() {
                    *known = names;
                }
                for (name, member) in members {
                    self.add(&format!("{path}.{name}"), member);
                }
            }
        }
    }

    /// For texts whose order means nothing.
    pub(crate) fn forget_order(&mut self) {
        self.orders.clear();
    }

    /// What this has more (`+`) and less (`-`) than the other, and where the order differs.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let mut all = Vec::new();
        for path in self.paths.difference(&other.paths) {
            all.push(format!("+{path}"));
        }
        for path in other.paths.difference(&self.paths) {
            all.push(format!("-{path}"));
        }
        for (path, ours) in &self.orders {
            let Some(theirs) = other.orders.get(path) else {
                continue;
            };
            let ours: Vec<_> = ours.iter().filter(|name| theirs.contains(name)).collect();
            let theirs: Vec<_> = theirs.iter().filter(|name| ours.contains(name)).collect();
            if ours != theirs {
                all.push(format!("order of {path}: {ours:?}"));
            }
        }
        all
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Ordered;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Ordered, E> {
        Ok(Ordered::Leaf("truth"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Ordered, E> {
        Ok(Ordered::Leaf("integer"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Ordered, E> {
        Ok(Ordered::Leaf("integer"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Ordered, E> {
        Ok(Ordered::Leaf("fraction"))
    }

    fn visit_str<E>(self, _: &str) -> Result<Ordered, E> {
        Ok(Ordered::Leaf("text"))
    }

    fn visit_unit<E>(self) -> Result<Ordered, E> {
        Ok(Ordered::Leaf("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Ordered, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            entries.push(entry);
        }
        Ok(Ordered::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Ordered::Object(members))
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

#[test]
fn differences_are_named() {
    let theirs = shape(r#"{"a":1,"b":{"c":[{"x":1.0,"y":true}]},"d":"t"}"#).unwrap();
    let ours = shape(r#"{"a":"1","b":{"c":[{"y":true,"x":2.0},{}]}}"#).unwrap();
    assert_eq!(
        ours.differences(&theirs),
        [
            "+.a: text",
            "-.a: integer",
            "-.d: text",
            r#"order of .b.c[]: ["y", "x"]"#,
        ]
    );
    assert!(theirs.differences(&theirs).is_empty());
}
