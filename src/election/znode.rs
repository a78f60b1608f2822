//! Names of candidates' znodes: a label, an underscore, and the number that ZooKeeper gave.

/// What the names of candidates begin with.
pub const CANDIDATE: &str = "json.info_";
/// As masters before Mesos 0.24 named theirs, with a binary content.
const BINARY: &str = "info_";

/// The number in a candidate's name; none for every other child of the path.
fn number(name: &str) -> Option<u64> {
    let digits = name
        .strip_prefix(CANDIDATE)
        .or_else(|| name.strip_prefix(BINARY))?;
    let good = digits.len() >= 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| good)
}

/// True for a candidate whose content is binary.
pub(super) fn is_binary(name: &str) -> bool {
    name.starts_with(BINARY)
}

/// The candidate with the smallest number, who leads.
#[must_use]
pub fn first<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let numbered = names
        .into_iter()
        .filter_map(|name| Some((number(name)?, name)));
    numbered.min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_number_leads_whatever_the_label() {
        let names = [
            "registry",
            "log_replicas",
            "json.info_0000000010",
            "json.info_0000000009",
            "info_0000000011",
            "json.info_x",
            "json.info_1",
            "json.info_-000000001",
        ];
        assert_eq!(first(names), Some("json.info_0000000009"));
        let older = ["json.info_0000000010", "info_0000000009"];
        assert_eq!(first(older), Some("info_0000000009"));
        assert_eq!(first(["registry", "log_replicas"]), None);
    }
}
