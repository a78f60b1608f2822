//! What is read from disks, from ZooKeeper and from the command line: damaged, it is refused or survived.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;

use mesosd::agent::checkpoint::{CheckpointToken, Journal, Keeping, Paths, Record};
use mesosd::attributes::{OfferConstraints, PatternLimits, Place};
use mesosd::base::Timestamp;
use mesosd::election::{ZooKeeperUrl, info};
use mesosd::flags::{AgentFlags, MasterFlags, World, load};
use mesosd::proto::json::from_json;
use mesosd::proto::v1;
use mesosd::registry::{Registry, Subject};
use mesosd::roles::Role;
use mesosd::simulate::{Scenario, change};

use crate::{fuzz, fuzz_some, recordings};

#[test]
fn records_of_the_registry() {
    let samples = recordings("v1", ".pb");
    let subjects = [
        "agent/a",
        "framework/f",
        "weight/r",
        "quota/r",
        "maintenance/schedule",
    ];
    let subjects = subjects.map(|key| Subject::from_key(key).unwrap());
    fuzz("registry/record", &samples, |bytes| {
        for subject in &subjects {
            let mut registry = Registry::default();
            if registry.restore(subject, bytes).is_err() {
                continue;
            }
            // What was read is written, and that is read as the same.
            let Some(record) = registry.record(subject) else {
                continue;
            };
            let mut again = Registry::default();
            again.restore(subject, &record).unwrap();
            assert_eq!(again.record(subject), Some(record));
        }
    });
    let keys = [&b"agent/a"[..], b"weight/a/b", b"maintenance/schedule"].map(<[u8]>::to_vec);
    fuzz("registry/key", &keys, |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes)
            && let Some(subject) = Subject::from_key(text)
        {
            assert_eq!(subject.to_string(), text);
        }
    });
}

#[test]
fn nodes_of_candidates() {
    let text = fs::read("tests/golden/zookeeper.json").unwrap();
    let mut samples = vec![
        br#"{"address":{"hostname":"m","ip":"10.0.0.1","port":5050},"hostname":"m","id":"i","ip":16777343,"pid":"master@10.0.0.1:5050","port":5050,"version":"1.12.0"}"#.to_vec(),
        b"\x0a\x01i\x10\x01\x18\xba\x27".to_vec(),
    ];
    samples.push(text[..text.len().min(4_096)].to_vec());
    fuzz("zookeeper/node", &samples, |bytes| {
        for name in ["json.info_0000000007", "info_0000000007"] {
            if let Ok(master) = info::read(name, bytes) {
                let _place = (info::address(&master), info::location(&master));
                info::read("json.info_0000000007", &info::write(&master)).unwrap();
            }
        }
    });
    let urls = [&b"zk://u:p@h1:2181,h2/mesos"[..], b"zk://[::1]:1/a/b"].map(<[u8]>::to_vec);
    fuzz("zookeeper/url", &urls, |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            let _read = text.parse::<ZooKeeperUrl>();
        }
    });
}

#[test]
fn journals_of_agents() {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths::new(dir.path());
    let keeping = |strict| Keeping {
        lasting: false,
        strict,
    };
    let (journal, _) = Journal::open(&paths, keeping(true), |_| {}).unwrap();
    let grace = v1::DurationInfo { nanoseconds: 7 };
    let config = v1::DrainConfig {
        max_grace_period: Some(grace),
        mark_gone: Some(true),
    };
    for token in 0..3 {
        let agent = v1::AgentInfo {
            hostname: "host".to_owned(),
            id: Some(format!("S{token}").as_str().into()),
            ..v1::AgentInfo::default()
        };
        let known = Record::Agent {
            info: agent.into(),
            boot_id: "b".to_owned(),
            epoch: token,
        };
        journal.write(CheckpointToken(2 * token), known);
        let since = Timestamp(token);
        journal.write(
            CheckpointToken(2 * token + 1),
            Record::Draining { config, since },
        );
    }
    drop(journal);
    let mut sample = fs::read(paths.journal()).unwrap();
    // Behind the records are zeros, as many as one likes.
    let end = sample.iter().rposition(|&byte| byte != 0).unwrap();
    sample.truncate(end + 1);
    fuzz_some("journal", 300, &[sample], |bytes| {
        for strict in [true, false] {
            fs::write(paths.journal(), bytes).unwrap();
            // A damaged one is refused, or read as far as it goes and can be written on.
            if let Ok((journal, _)) = Journal::open(&paths, keeping(strict), |_| {}) {
                journal.write(CheckpointToken(1), Record::Drained);
                drop(journal);
                Journal::open(&paths, keeping(true), |_| {}).unwrap();
            }
        }
    });
}

#[test]
fn scenarios() {
    let ci = fs::read("config/simulate/ci.toml").unwrap();
    fuzz_some("scenario", 500, &[ci], |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        if let Ok(table) = text.parse::<toml::Table>() {
            let _read = Scenario::from_table(table);
        }
    });
    let changes = [
        &b"weights.web=2"[..],
        b"frameworks.0.tasks=50",
        b"duration=\"1hrs\"",
    ];
    let ci: toml::Table = fs::read_to_string("config/simulate/ci.toml")
        .unwrap()
        .parse()
        .unwrap();
    fuzz("scenario/change", &changes.map(<[u8]>::to_vec), |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            let _changed = change(&mut ci.clone(), text);
        }
    });
}

#[test]
fn configurations() {
    let dir = tempfile::tempdir().unwrap();
    let world = World {
        environment: Vec::new(),
        etc: dir.path().join("etc"),
    };
    let words = [
        &b"--zk=zk://h:1/m --quorum=2 --work_dir=/w --allocation_interval=1secs"[..],
        b"--master=zk://h/m --resources=cpus:4;mem:512 --attributes=rack:r1 --isolation=posix/cpu",
        b"--offer_timeout=1mins --weights=a=2,b=1 --rate_limits={\"limits\":[]} --no-cgroups_enable_cfs",
    ];
    fuzz_some("flags/words", 200, &words.map(<[u8]>::to_vec), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        // None that has a file read or another program asked.
        let words: Vec<OsString> = text.split_whitespace().map(OsString::from).collect();
        let _read = load::<MasterFlags>(&words, &world);
        let _read = load::<AgentFlags>(&words, &world);
    });
    let file = dir.path().join("flags.toml");
    let samples = ["config/master.toml", "config/agent.toml"].map(|path| {
        let text = fs::read_to_string(path).unwrap();
        // The samples are comments: without their marks they are settings.
        let lines = text
            .lines()
            .map(|line| line.strip_prefix("# ").unwrap_or(line));
        let lines: Vec<&str> = lines.filter(|line| line.contains(" = ")).take(40).collect();
        lines.join("\n").into_bytes()
    });
    let words = [OsString::from(format!("--config={}", file.display()))];
    fuzz_some("flags/file", 200, &samples, |bytes| {
        fs::write(&file, bytes).unwrap();
        let _read = load::<MasterFlags>(&words, &world);
        let _read = load::<AgentFlags>(&words, &world);
    });
}

#[test]
fn constraints_of_offers() {
    let sample = br#"{"role_constraints":{"r":{"groups":[{"attribute_constraints":[
        {"selector":{"attribute_name":"rack"},"predicate":{"text_matches":{"regex":"(r[0-9]+|x{1,9})*y?"}}},
        {"selector":{"pseudoattribute_type":"HOSTNAME"},"predicate":{"text_not_equals":{"value":"h"}}}]}]}}}"#;
    let attributes = mesosd::attributes::parse("rack:r1").unwrap();
    let place = Place {
        attributes: &attributes,
        hostname: "h",
        region: None,
        zone: None,
    };
    fuzz("constraints", &[sample.to_vec()], |bytes| {
        let Ok(wanted) = from_json::<v1::scheduler::OfferConstraints>(bytes) else {
            return;
        };
        let roles = wanted.role_constraints.keys();
        let roles: BTreeSet<Role> = roles.filter_map(|role| Role::parse(role).ok()).collect();
        let limits = PatternLimits::default();
        let Ok(read) = OfferConstraints::from_proto(&wanted, &roles, limits) else {
            return;
        };
        for role in &roles {
            if let Some(of) = read.of(role) {
                assert_eq!(of.admit(&place), of.failed(&place).is_empty());
            }
        }
    });
}
