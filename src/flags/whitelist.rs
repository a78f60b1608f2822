//! `--whitelist`: the file with the host names whose agents are offered.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::error::FlagError;
use super::files::read_bounded;

/// A file with one host name a line; none for all agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whitelist(pub Option<PathBuf>);

impl Whitelist {
    /// The host names that the file has now; none without a file.
    pub fn read(&self) -> Result<Option<BTreeSet<String>>, FlagError> {
        self.0.as_deref().map(hosts).transpose()
    }
}

fn hosts(path: &Path) -> Result<BTreeSet<String>, FlagError> {
    let text = read_bounded(path)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}

impl FromStr for Whitelist {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self(None));
        }
        let path = PathBuf::from(text.strip_prefix("file://").unwrap_or(text));
        hosts(&path).map_err(|error| error.to_string())?;
        Ok(Self(Some(path)))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_host_a_line() {
        assert_eq!("*".parse::<Whitelist>().unwrap().read().unwrap(), None);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "h1\n\n  h2 \nh1\n").unwrap();
        let path = file.path().to_str().unwrap();
        for text in [path.to_owned(), format!("file://{path}")] {
            let whitelist: Whitelist = text.parse().unwrap();
            let hosts = whitelist.read().unwrap().unwrap();
            assert_eq!(hosts.into_iter().collect::<Vec<_>>(), ["h1", "h2"]);
        }
        let error = "/no/such".parse::<Whitelist>().unwrap_err();
        assert!(error.contains("/no/such"), "{error}");
    }
}
