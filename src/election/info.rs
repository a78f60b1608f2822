//! What a candidate's znode contains: Mesos' MasterInfo as JSON with sorted keys, byte for byte as
//! Mesos writes it, so that every tool that reads Mesos' znodes reads ours.

use std::net::{IpAddr, Ipv4Addr};

use crate::proto::json::{from_json, to_json};
use crate::proto::{decode, v1};

use super::znode::is_binary;

/// Largest content that is read, in bytes.
const BYTES_MAX: usize = 64 << 10;

/// Why a candidate cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the znode {name} does not describe a master: {reason}")]
pub struct InfoError {
    name: String,
    reason: String,
}

/// The content of a candidate's znode.
#[must_use]
pub fn write(info: &v1::MasterInfo) -> Vec<u8> {
    let text = to_json(info);
    // Through a map, which sorts the keys.
    let sorted = serde_json::from_slice::<serde_json::Value>(&text);
    sorted.map_or(text, |value| value.to_string().into_bytes())
}

/// Reads the content of the candidate `name`.
///
/// # Errors
///
/// A content that is too large, that cannot be decoded, or that names no address.
pub fn read(name: &str, content: &[u8]) -> Result<v1::MasterInfo, InfoError> {
    let wrong = |reason: String| InfoError {
        name: name.to_owned(),
        reason,
    };
    if content.len() > BYTES_MAX {
        return Err(wrong(format!("{} bytes are too many", content.len())));
    }
    let info: v1::MasterInfo = if is_binary(name) {
        decode(content).map_err(|error| wrong(error.to_string()))?
    } else {
        from_json(content).map_err(|error| wrong(error.to_string()))?
    };
    match address(&info) {
        Some(_) => Ok(info),
        None => Err(wrong("it names no address and port".to_owned())),
    }
}

/// Where a master is reached, `host:port`: its address if it tells one, else its name.
#[must_use]
pub fn address(info: &v1::MasterInfo) -> Option<String> {
    let told = info.address.as_ref();
    let port = told.map_or(i64::from(info.port), |address| i64::from(address.port));
    let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
    let ip = told.and_then(|address| address.ip.as_deref());
    let ip = ip.and_then(|ip| ip.parse::<IpAddr>().ok());
    let older = (info.ip != 0).then(|| IpAddr::V4(Ipv4Addr::from(info.ip.to_le_bytes())));
    match ip.or(older).filter(|ip| !ip.is_unspecified()) {
        Some(IpAddr::V6(ip)) => Some(format!("[{ip}]:{port}")),
        Some(ip) => Some(format!("{ip}:{port}")),
        None => hostname(info).map(|name| format!("{name}:{port}")),
    }
}

/// `name:port`, for people and their browsers: its host's name if it tells one, else its address.
#[must_use]
pub fn location(info: &v1::MasterInfo) -> Option<String> {
    let address = address(info)?;
    let (_, port) = address.rsplit_once(':')?;
    match hostname(info) {
        Some(name) if !name.contains(':') => Some(format!("{name}:{port}")),
        _ => Some(address),
    }
}

fn hostname(info: &v1::MasterInfo) -> Option<&str> {
    let told = info.address.as_ref();
    let name = told.and_then(|address| address.hostname.as_deref());
    name.or(info.hostname.as_deref())
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// As a real Mesos wrote it (`golden/zookeeper.json`).
    const GOLDEN: &str = concat!(
        r#"{"address":{"hostname":"127.0.0.1","ip":"127.0.0.1","port":25060},"#,
        r#""capabilities":[{"type":"AGENT_UPDATE"},{"type":"AGENT_DRAINING"},{"type":"QUOTA_V2"}],"#,
        r#""hostname":"127.0.0.1","id":"00fa3ac9-74aa-4e6e-a799-e540ae237b5c","ip":16777343,"#,
        r#""pid":"master@127.0.0.1:25060","port":25060,"version":"1.12.0"}"#
    );

    #[test]
    fn reads_and_writes_as_mesos_does() {
        let info = read("json.info_0000000007", GOLDEN.as_bytes()).unwrap();
        assert_eq!(info.id, "00fa3ac9-74aa-4e6e-a799-e540ae237b5c");
        assert_eq!(info.capabilities.len(), 3);
        assert_eq!(String::from_utf8(write(&info)).unwrap(), GOLDEN);
        assert_eq!(address(&info).unwrap(), "127.0.0.1:25060");
    }

    #[test]
    fn a_master_says_where_it_is_in_several_ways() {
        let mut info = v1::MasterInfo {
            id: "m".to_owned(),
            ip: u32::from_le_bytes([10, 0, 0, 7]),
            port: 5050,
            ..v1::MasterInfo::default()
        };
        assert_eq!(address(&info).unwrap(), "10.0.0.7:5050");
        assert_eq!(location(&info).unwrap(), "10.0.0.7:5050");
        info.address = Some(v1::Address {
            hostname: Some("m1.example".to_owned()),
            ip: Some("fd00::1".to_owned()),
            port: 5051,
        });
        assert_eq!(address(&info).unwrap(), "[fd00::1]:5051");
        assert_eq!(location(&info).unwrap(), "m1.example:5051");
        info.ip = 0;
        info.address.as_mut().unwrap().ip = Some("::".to_owned());
        assert_eq!(address(&info).unwrap(), "m1.example:5051");
        info.address.as_mut().unwrap().port = 0;
        assert_eq!(address(&info), None);
    }

    #[test]
    fn older_masters_wrote_binary() {
        let info = read("json.info_0000000007", GOLDEN.as_bytes()).unwrap();
        let bytes = prost::Message::encode_to_vec(&info);
        assert_eq!(read("info_0000000007", &bytes), Ok(info));
    }

    #[test]
    fn what_is_no_master_is_named() {
        for content in [
            &b""[..],
            b"{",
            b"{\"id\":\"x\",\"ip\":0,\"port\":5050}",
            b"[]",
        ] {
            let error = read("json.info_0000000001", content).unwrap_err();
            assert!(
                error.to_string().contains("json.info_0000000001"),
                "{error}"
            );
        }
        let large = vec![b' '; BYTES_MAX + 1];
        assert!(read("json.info_0000000001", &large).is_err());
    }
}
