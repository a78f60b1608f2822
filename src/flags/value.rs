//! Types and parsers of flag values that clap does not bring along.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::base::{format_duration, parse_duration};
use crate::election::{UrlError, ZooKeeperUrl};
use crate::resources::{Quantities, ResourceName, Scalar};
use crate::roles::{Role, Weight};

/// Longest name of a host, in bytes (RFC 1035).
const HOSTNAME_BYTES_MAX: usize = 255;

/// Reads a duration and refuses one outside of `min..=max`.
pub(super) fn duration_between(
    min: Duration,
    max: Duration,
) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| {
        let duration = parse_duration(text).map_err(|error| error.to_string())?;
        if (min..=max).contains(&duration) {
            return Ok(duration);
        }
        let (min, max) = (format_duration(min), format_duration(max));
        Err(format!(
            "'{text}' is out of bounds: at least {min}, at most {max}"
        ))
    }
}

/// Reads a fraction between 0 and 1.
pub(super) fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err(format!("'{text}' is not a fraction between 0 and 1")),
    }
}

/// Reads a percentage like `25%`.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    match text.strip_suffix('%').map(str::parse::<f64>) {
        Some(Ok(value)) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err(format!("'{text}' is not a percentage: write 0% to 100%")),
    }
}

/// A name or an address that others can show and connect to.
pub(super) fn hostname(text: &str) -> Result<String, String> {
    let good = !text.is_empty() && text.len() <= HOSTNAME_BYTES_MAX && text.chars().all(is_of_host);
    if good {
        return Ok(text.to_owned());
    }
    Err(format!(
        "'{text}' is not the name of a host: write letters, digits, '-', '_' and '.', up to \
         {HOSTNAME_BYTES_MAX}"
    ))
}

/// Letters of names and of addresses, IPv6 included.
fn is_of_host(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':')
}

/// Takes `false`; says why `true` is refused. For what would be dangerous to ignore.
pub(super) fn only_false(text: &str) -> Result<bool, String> {
    match text {
        "false" => Ok(false),
        _ => Err(format!(
            "'{text}' is refused: this version does not authenticate anybody, so only 'false' is \
             honest"
        )),
    }
}

/// Why a value that may hold a secret is not taken; the value must not be printed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct HiddenValue(&'static str);

/// Refuses every value: the operator expects protection that this version does not give.
pub(super) fn refused(_text: &str) -> Result<String, HiddenValue> {
    Err(HiddenValue(
        "refused, this version does not enforce it: remove the flag to run without",
    ))
}

/// A JSON object of strings, `{"NAME": "value"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextMap(pub BTreeMap<String, String>);

impl FromStr for TextMap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map(Self).map_err(|error| {
            format!(
                "'{text}' is not a JSON object of texts like '{{\"NAME\": \"value\"}}': {error}"
            )
        })
    }
}

/// Bundles of which one must be contained in an offer: `cpus:0.01|mem:32`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MinAllocatable(pub Vec<Quantities>);

impl FromStr for MinAllocatable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |item: &str, reason: &str| {
            format!("'{item}' is not a quantity like 'cpus:0.01': {reason}")
        };
        let quantity = |item: &str| {
            let (name, amount) = item
                .split_once(':')
                .ok_or_else(|| wrong(item, "there is no ':'"))?;
            let name = ResourceName::parse(name.trim())
                .map_err(|error| wrong(item, &error.to_string()))?;
            let amount =
                Scalar::parse(amount.trim()).map_err(|error| wrong(item, &error.to_string()))?;
            Ok((name, amount))
        };
        text.split('|')
            .filter(|bundle| !bundle.trim().is_empty())
            .map(|bundle| bundle.split(';').map(quantity).collect())
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// A bound like `2/10mins`: so many in that time, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Time between two.
    pub interval: Duration,
}

impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |reason: &str| format!("'{text}' is not a rate like '1/10mins': {reason}");
        let (count, time) = text
            .split_once('/')
            .ok_or_else(|| wrong("there is no '/'"))?;
        let count: u32 = count
            .trim()
            .parse()
            .map_err(|_| wrong(&format!("'{count}' is not a count")))?;
        let time = parse_duration(time.trim()).map_err(|error| wrong(&error.to_string()))?;
        if count == 0 || time.is_zero() {
            return Err(wrong("both must be more than nothing"));
        }
        Ok(Self {
            interval: time / count,
        })
    }
}

/// Weights of roles: `ads=2,web=0.5`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights(pub BTreeMap<Role, Weight>);

impl FromStr for Weights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut weights = BTreeMap::new();
        for item in text.split(',').filter(|item| !item.trim().is_empty()) {
            let wrong = |reason: &str| format!("'{item}' is not a weight like 'ads=2': {reason}");
            let (role, weight) = item
                .split_once('=')
                .ok_or_else(|| wrong("there is no '='"))?;
            let role = Role::parse(role.trim()).map_err(|error| wrong(&error.to_string()))?;
            let number = weight.trim().parse::<f64>();
            let number = number.map_err(|_| wrong(&format!("'{weight}' is not a number")))?;
            let weight = Weight::new(number).map_err(|error| wrong(&error.to_string()))?;
            if weights.insert(role, weight).is_some() {
                return Err(wrong("the role is there twice"));
            }
        }
        Ok(Self(weights))
    }
}

/// Names of resources, joined by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceNames(pub BTreeSet<ResourceName>);

impl FromStr for ResourceNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(|name| ResourceName::parse(name.trim()).map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// Text that may also stand in a file, named by its absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextOrFile(pub String);

impl FromStr for TextOrFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Ok(Self(text.to_owned()));
        }
        super::files::read_bounded(text.as_ref())
            .map(Self)
            .map_err(|error| error.to_string())
    }
}

/// A network address of a master, or the ensemble that knows the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterAddress {
    /// `host:port`, with the port that was given or 5050.
    Direct {
        /// A name or an address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// `zk://[user:password@]host:port[,host:port...][/path]`.
    ZooKeeper(ZooKeeperUrl),
}

impl FromStr for MasterAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("file://") {
            let text = super::files::read_bounded(path.as_ref());
            let text = text.map_err(|error| error.to_string())?;
            // A file that names itself would be read for ever.
            return match text.starts_with("file://") {
                true => Err(format!(
                    "'{text}' stands in a file that is named by file://"
                )),
                false => text.parse(),
            };
        }
        if text.starts_with("zk://") {
            let url = text.parse().map(Self::ZooKeeper);
            return url.map_err(|error: UrlError| error.to_string());
        }
        let plain = text.strip_prefix("http://").unwrap_or(text);
        let plain = plain.strip_suffix('/').unwrap_or(plain);
        let (host, port) =
            host_and_port(plain, Some(crate::flags::MASTER_PORT)).ok_or_else(|| {
                format!(
                    "'{text}' is not an address of a master: write host:port, like '10.0.0.1:5050'"
                )
            })?;
        Ok(Self::Direct { host, port })
    }
}

impl fmt::Display for MasterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Direct { host, port } => write!(f, "{host}:{port}"),
            Self::ZooKeeper(url) => fmt::Display::fmt(url, f),
        }
    }
}

/// `text` with the user and password of a `zk://` address replaced.
pub(crate) fn redacted(text: &str) -> String {
    match text
        .strip_prefix("zk://")
        .and_then(|rest| rest.rsplit_once('@'))
    {
        Some((_, rest)) => format!("zk://<hidden>@{rest}"),
        None => text.to_owned(),
    }
}

/// Splits `host:port`, `[::1]:port` and, if there is a `default` port, a bare host.
fn host_and_port(text: &str, default: Option<u16>) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            match rest {
                "" => (host, default?),
                _ => (host, rest.strip_prefix(':')?.parse().ok()?),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (text, default?),
        },
    };
    let good = !host.is_empty() && host.chars().all(is_of_host) && port != 0;
    good.then(|| (host.to_owned(), port))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_masters() {
        let direct = |host: &str, port| MasterAddress::Direct {
            host: host.to_owned(),
            port,
        };
        let cases = [
            ("10.0.0.1:5050", direct("10.0.0.1", 5050)),
            ("m1.example", direct("m1.example", 5050)),
            ("http://m1:80/", direct("m1", 80)),
            ("[::1]:5051", direct("::1", 5051)),
            ("[::1]", direct("::1", 5050)),
        ];
        for (text, wanted) in cases {
            assert_eq!(text.parse(), Ok(wanted), "{text}");
        }
        assert_eq!(direct("::1", 1).to_string(), "[::1]:1");
        for text in [
            "",
            ":5050",
            "a b:1",
            "host:0",
            "host:99999",
            "::1",
            "[::1",
            "a/b",
        ] {
            let error = text.parse::<MasterAddress>().unwrap_err();
            assert!(error.contains("write host:port"), "{text}: {error}");
        }
    }

    #[test]
    fn an_address_may_stand_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master");
        let read = || format!("file://{}", path.display()).parse::<MasterAddress>();
        std::fs::write(&path, "zk://joe:secret@h1:2181/mesos\n").unwrap();
        let address = read().unwrap();
        assert_eq!(address.to_string(), "zk://<hidden>@h1:2181/mesos");
        std::fs::write(&path, format!("file://{}", path.display())).unwrap();
        assert!(read().unwrap_err().contains("named by file://"));
        assert!("file:///no/such".parse::<MasterAddress>().is_err());
        let error = "zk://joe:secret@h".parse::<MasterAddress>().unwrap_err();
        assert!(error.starts_with("not a ZooKeeper address"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn smallest_bundles_are_alternatives_of_sums() {
        let parse = |text: &str| text.parse::<MinAllocatable>();
        assert_eq!(parse("cpus:0.01;mem:4|mem:32").unwrap().0.len(), 2);
        assert_eq!(parse("").unwrap().0.len(), 0);
        for text in ["cpus", "cpus:x", ":1", "cpus:1|mem"] {
            assert!(
                parse(text).unwrap_err().contains("is not a quantity"),
                "{text}"
            );
        }
    }

    #[test]
    fn rates_are_read_and_refused_by_name() {
        let parse = |text: &str| text.parse::<RateLimit>();
        let interval = Duration::from_secs(300);
        assert_eq!(parse("2/10mins"), Ok(RateLimit { interval }));
        for (text, said) in [
            ("2", "there is no '/'"),
            ("x/1secs", "'x' is not a count"),
            ("1/x", "is not a rate like"),
            ("0/1secs", "more than nothing"),
            ("1/0secs", "more than nothing"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn weights_are_read_and_refused_by_name() {
        let parse = |text: &str| text.parse::<Weights>();
        let read = parse("ads=2, web/shop=0.5").unwrap().0;
        let shown: Vec<String> = read
            .iter()
            .map(|(role, weight)| format!("{role} {weight}"))
            .collect();
        assert_eq!(shown, ["ads 2.000", "web/shop 0.500"]);
        for (text, said) in [
            ("ads", "there is no '='"),
            ("ads=x", "'x' is not a number"),
            ("ads=0", "below 0.001"),
            ("-a=1", "starts with '-'"),
            ("a=1,a=2", "the role is there twice"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn bounds_are_named() {
        let parse = duration_between(Duration::from_secs(1), Duration::from_secs(900));
        assert_eq!(parse("15secs"), Ok(Duration::from_secs(15)));
        assert_eq!(
            parse("16mins").unwrap_err(),
            "'16mins' is out of bounds: at least 1secs, at most 15mins"
        );
        assert!(fraction("1.1").is_err() && fraction("NaN").is_err());
        assert_eq!(hostname("node-1.example"), Ok("node-1.example".to_owned()));
        for text in ["", "a b", "a\nb", &"x".repeat(256)] {
            let error = hostname(text).unwrap_err();
            assert!(error.contains("is not the name of a host"), "{error}");
        }
    }
}
