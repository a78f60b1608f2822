//! Resources as short texts and as JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::table::{decimal, megabytes};
use crate::proto::v1;

/// Resources summed by name, over all roles and reservations.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Quantities {
    /// In thousandths, as Mesos counts.
    scalars: BTreeMap<String, i64>,
    ranges: BTreeMap<String, Vec<(u64, u64)>>,
    sets: BTreeMap<String, Vec<String>>,
}

impl Quantities {
    pub(super) fn of<'a>(resources: impl IntoIterator<Item = &'a v1::Resource>) -> Self {
        let mut sum = Self::default();
        for resource in resources {
            if let Some(scalar) = &resource.scalar {
                let thousandths = (scalar.value * 1000.0).round() as i64;
                *sum.scalars.entry(resource.name.clone()).or_default() += thousandths;
            }
            if let Some(ranges) = &resource.ranges {
                let found = sum.ranges.entry(resource.name.clone()).or_default();
                found.extend(ranges.range.iter().map(|range| (range.begin, range.end)));
                found.sort_unstable();
            }
            if let Some(set) = &resource.set {
                let found = sum.sets.entry(resource.name.clone()).or_default();
                found.extend(set.item.iter().cloned());
                found.sort_unstable();
            }
        }
        sum
    }

    /// The amount of a scalar, zero if there is none.
    pub(super) fn scalar(&self, name: &str) -> f64 {
        let thousandths = self.scalars.get(name).copied().unwrap_or_default();
        thousandths as f64 / 1000.0
    }

    /// The cpus, for a table.
    pub(super) fn cpus(&self) -> String {
        decimal(self.scalar("cpus"))
    }

    /// A scalar that counts megabytes, for a table.
    pub(super) fn megabytes(&self, name: &str) -> String {
        megabytes(self.scalar(name))
    }

    /// The ranges of a name as `31000-31009,31020`, for a table.
    pub(super) fn range(&self, name: &str) -> String {
        let ranges = self.ranges.get(name).map(Vec::as_slice).unwrap_or_default();
        let texts: Vec<_> = ranges.iter().map(|range| range_text(*range)).collect();
        texts.join(",")
    }

    /// `{"cpus": 1.5, "ports": "31000-31009", ...}`.
    pub(super) fn json(&self) -> Value {
        let mut map = Map::new();
        for (name, thousandths) in &self.scalars {
            map.insert(name.clone(), json!(*thousandths as f64 / 1000.0));
        }
        for name in self.ranges.keys() {
            map.insert(name.clone(), json!(self.range(name)));
        }
        for (name, items) in &self.sets {
            map.insert(name.clone(), json!(items));
        }
        Value::Object(map)
    }
}

fn range_text((begin, end): (u64, u64)) -> String {
    if begin == end {
        begin.to_string()
    } else {
        format!("{begin}-{end}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(name: &str, value: f64) -> v1::Resource {
        v1::Resource {
            name: name.to_owned(),
            scalar: Some(v1::value::Scalar { value }),
            ..v1::Resource::default()
        }
    }

    #[test]
    fn amounts_are_summed_by_name() {
        let ports = v1::Resource {
            name: "ports".to_owned(),
            ranges: Some(v1::value::Ranges {
                range: vec![
                    v1::value::Range { begin: 9, end: 9 },
                    v1::value::Range { begin: 1, end: 3 },
                ],
            }),
            ..v1::Resource::default()
        };
        let sum = Quantities::of(&[
            scalar("cpus", 0.1),
            scalar("cpus", 0.2),
            scalar("mem", 512.0),
            ports,
        ]);
        assert_eq!(sum.cpus(), "0.3");
        assert_eq!(sum.megabytes("mem"), "512 MB");
        assert_eq!(sum.range("ports"), "1-3,9");
        assert_eq!(
            sum.json(),
            json!({"cpus": 0.3, "mem": 512.0, "ports": "1-3,9"})
        );
    }
}
