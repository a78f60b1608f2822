//! Structure of JSON replies: keys and types, compared with those of a recording.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What is known of a value that was seen several times.
#[derive(Debug, Default)]
struct Shape {
    kinds: BTreeSet<&'static str>,
    /// Of objects: each key with its shape and how many of the objects had it.
    members: BTreeMap<String, (Shape, usize)>,
    objects: usize,
    /// Of lists: all their entries together.
    entries: Option<Box<Shape>>,
}

impl Shape {
    fn see(&mut self, value: &Value) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(number) if number.is_f64() => "fraction",
            Value::Number(_) => "integer",
            Value::String(_) => "text",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
        };
        self.kinds.insert(kind);
        match value {
            Value::Array(list) => {
                let shape = self.entries.get_or_insert_default();
                list.iter().for_each(|entry| shape.see(entry));
            }
            Value::Object(object) => {
                self.objects += 1;
                for (key, member) in object {
                    let (shape, count) = self.members.entry(key.clone()).or_default();
                    shape.see(member);
                    *count += 1;
                }
            }
            _ => {}
        }
    }

    fn compare(&self, theirs: &Self, path: &str, found: &mut Vec<String>) {
        if self.kinds.is_empty() || theirs.kinds.is_empty() {
            return;
        }
        for kind in self.kinds.difference(&theirs.kinds) {
            found.push(format!("{path}: is {kind}, not {:?}", theirs.kinds));
        }
        if let (Some(own), Some(theirs)) = (&self.entries, &theirs.entries) {
            own.compare(theirs, &format!("{path}[]"), found);
        }
        if self.objects == 0 || theirs.objects == 0 {
            return;
        }
        for (key, (shape, _)) in &self.members {
            match theirs.members.get(key) {
                Some((other, _)) => shape.compare(other, &format!("{path}.{key}"), found),
                None => found.push(format!("{path}.{key}: is not in Mesos' reply")),
            }
        }
        for (key, (_, count)) in &theirs.members {
            let always = *count == theirs.objects;
            let ours = self.members.get(key).map_or(0, |(_, count)| *count);
            if always && ours < self.objects {
                found.push(format!("{path}.{key}: is missing"));
            }
        }
    }
}

/// How `ours` differs in structure from the recording, one line for each difference. What only some
/// objects of the recording have may be missing.
pub(crate) fn differences(ours: &Value, theirs: &Value) -> Vec<String> {
    let (mut own, mut other) = (Shape::default(), Shape::default());
    own.see(ours);
    other.see(theirs);
    let mut found = Vec::new();
    own.compare(&other, "", &mut found);
    found
}

/// Fails unless the differences are exactly those that are expected.
pub(crate) fn assert_same_shape(what: &str, ours: &Value, theirs: &Value, expected: &[&str]) {
    let found = differences(ours, theirs);
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, expected, "{what}");
}

#[test]
fn keys_and_types_are_compared() {
    let theirs = serde_json::json!({"a": [{"x": 1, "y": "t"}, {"x": 2}], "b": 1.5});
    let same = serde_json::json!({"a": [{"x": 7}], "b": 0.0});
    assert_eq!(differences(&same, &theirs), [""; 0]);
    let other = serde_json::json!({"a": [{"y": 1}, {"x": 1.5, "z": {}}], "c": []});
    assert_eq!(
        differences(&other, &theirs),
        [
            ".a[].x: is fraction, not {\"integer\"}",
            ".a[].y: is integer, not {\"text\"}",
            ".a[].z: is not in Mesos' reply",
            ".a[].x: is missing",
            ".c: is not in Mesos' reply",
            ".b: is missing",
        ]
    );
}
