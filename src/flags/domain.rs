//! `--domain`: where a host stands.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::files::read_bounded;
use crate::proto::v1;
use crate::proto::v1::domain_info::FaultDomain;
use crate::proto::v1::domain_info::fault_domain::{RegionInfo, ZoneInfo};

/// How it is written.
const SHAPE: &str = r#"{"fault_domain": {"region": {"name": "eu"}, "zone": {"name": "b"}}}"#;

/// A region and a zone of it: as JSON, or the path of a file with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain(pub v1::DomainInfo);

impl FromStr for Domain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            let content = read_bounded(text.as_ref()).map_err(|error| error.to_string())?;
            return parse(&content);
        }
        parse(text)
    }
}

fn parse(text: &str) -> Result<Domain, String> {
    let wrong = |what: &str| format!("'{text}' is no domain: {what}; write {SHAPE}");
    let value: Value =
        serde_json::from_str(text).map_err(|error| wrong(&format!("it is no JSON: {error}")))?;
    let member = |within: &Value, key: &str, all: &[&str]| -> Result<Value, String> {
        let map = within.as_object().map_or_else(Map::new, Clone::clone);
        if let Some(other) = map.keys().find(|key| !all.contains(&key.as_str())) {
            return Err(wrong(&format!("'{other}' is not known")));
        }
        map.get(key)
            .cloned()
            .ok_or_else(|| wrong(&format!("'{key}' is missing")))
    };
    let fault = member(&value, "fault_domain", &["fault_domain"])?;
    let name = |key: &str| {
        let place = member(&fault, key, &["region", "zone"])?;
        match member(&place, "name", &["name"])?.as_str() {
            Some(name) if !name.is_empty() => Ok(name.to_owned()),
            _ => Err(wrong(&format!("the name of the {key} must be a text"))),
        }
    };
    let (region, zone) = (name("region")?, name("zone")?);
    Ok(Domain(v1::DomainInfo {
        fault_domain: Some(FaultDomain {
            region: RegionInfo { name: region },
            zone: ZoneInfo { name: zone },
        }),
    }))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_domain_has_a_region_and_a_zone() {
        let Domain(info) = SHAPE.parse().unwrap();
        let fault = info.fault_domain.unwrap();
        assert_eq!(
            (fault.region.name.as_str(), fault.zone.name.as_str()),
            ("eu", "b")
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), SHAPE).unwrap();
        let path = file.path().to_str().unwrap();
        assert_eq!(path.parse::<Domain>(), SHAPE.parse());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, said) in [
            ("eu", "it is no JSON"),
            ("{}", "'fault_domain' is missing"),
            (
                r#"{"fault_domain": {"region": {"name": "eu"}}}"#,
                "'zone' is missing",
            ),
            (
                r#"{"fault_domain": {"region": {"name": ""}, "zone": {"name": "b"}}}"#,
                "the name of the region must be a text",
            ),
            (
                r#"{"fault_domain": {"region": {"name": "eu"}, "rack": {}, "zone": {"name": "b"}}}"#,
                "'rack' is not known",
            ),
            ("/no/such/file", "/no/such/file"),
        ] {
            let error = text.parse::<Domain>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
