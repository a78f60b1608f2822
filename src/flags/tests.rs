//! Precedence of the sources, every error line, and directories as Mesos' packages lay them out.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::{AgentFlags, Loaded, LocalFlags, MasterFlags, Request, RoleFlags, World, load};

/// A world of its own: a directory that stands for `/etc`, and an environment.
struct Place {
    etc: TempDir,
    environment: Vec<(OsString, OsString)>,
}

impl Place {
    fn new() -> Self {
        Self {
            etc: TempDir::new().unwrap(),
            environment: Vec::new(),
        }
    }

    fn file(&self, path: &str, content: &str) -> String {
        let path = self.etc.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn path(&self) -> &Path {
        self.etc.path()
    }

    fn load<F: RoleFlags>(&self, words: &[&str]) -> Result<Loaded<F>, String> {
        let role = format!("--role={}", F::ROLE);
        let words: Vec<OsString> = std::iter::once(role.as_str())
            .chain(words.iter().copied())
            .map(OsString::from)
            .collect();
        let world = World {
            environment: self.environment.clone(),
            etc: self.etc.path().to_owned(),
        };
        match load::<F>(&words, &world) {
            Ok(Request::Run(loaded)) => Ok(*loaded),
            Ok(Request::Help(_)) => Err("help".to_owned()),
            Err(error) => {
                let line = error.to_string();
                assert!(!line.contains('\n'), "one line: {line}");
                Err(line.replace(self.path().to_str().unwrap(), "ETC"))
            }
        }
    }

    fn master(&self, words: &[&str]) -> Result<Loaded<MasterFlags>, String> {
        let mut all = vec!["--work_dir=/w"];
        all.extend(words);
        self.load(&all)
    }

    fn agent(&self, words: &[&str]) -> Result<Loaded<AgentFlags>, String> {
        let mut all = vec!["--work_dir=/w"];
        all.extend(words);
        self.load(&all)
    }
}

#[test]
fn defaults_are_those_of_mesos() {
    let master = Place::new().master(&[]).unwrap().flags;
    assert_eq!(master.network.port, 5050);
    assert_eq!(master.cluster.agent_ping_timeout, Duration::from_secs(15));
    assert_eq!(master.cluster.max_agent_ping_timeouts.get(), 5);
    assert_eq!(master.cluster.offer_timeout, None);
    let agent = Place::new().agent(&["--master=m:1"]).unwrap().flags;
    assert_eq!(agent.network.port, 5051);
    assert_eq!(agent.sandboxes.gc_delay, Duration::from_secs(7 * 86_400));
    assert!(agent.containers.isolation.is_empty());
    let local: LocalFlags = Place::new().load(&[]).unwrap().flags;
    assert_eq!((local.network.port, local.agent_port), (5050, 5051));
}

#[test]
fn the_first_source_wins() {
    let place = Place::new();
    place.file("mesos/cluster", "shared\n");
    let cluster = |place: &Place, words: &[&str]| {
        let flags = place.master(words).unwrap().flags;
        flags.cluster.cluster.unwrap()
    };
    assert_eq!(cluster(&place, &[]), "shared");
    place.file("mesos-master/cluster", "own\n");
    assert_eq!(cluster(&place, &[]), "own");
    let config = format!("--config={}", place.file("m.toml", "cluster = 'toml'\n"));
    assert_eq!(cluster(&place, &[&config]), "toml");
    let place = place.variable("MESOS_CLUSTER", "environment");
    assert_eq!(cluster(&place, &[&config]), "environment");
    let words = [config.as_str(), "--cluster=line"];
    assert_eq!(cluster(&place, &words), "line");
}

#[test]
fn a_flag_may_be_written_in_many_ways() {
    let place = Place::new();
    let lookup = |words: &[&str]| place.master(words).unwrap().flags.network.hostname_lookup;
    for word in [
        "--no-hostname_lookup",
        "--no-hostname-lookup",
        "--hostname_lookup=false",
        "--hostname-lookup=false",
        "--hostname_lookup=0",
    ] {
        assert!(!lookup(&[word]), "{word}");
    }
    for word in [
        "--hostname_lookup",
        "--hostname_lookup=true",
        "--hostname_lookup=1",
    ] {
        assert!(lookup(&[word]), "{word}");
    }
    let ping = |words: &[&str]| {
        place
            .master(words)
            .unwrap()
            .flags
            .cluster
            .agent_ping_timeout
    };
    for words in [
        vec!["--agent_ping_timeout=20secs"],
        vec!["--agent_ping_timeout", "20secs"],
        vec!["--agent-ping-timeout=20secs"],
        vec!["--slave_ping_timeout=20secs"],
        vec!["--slave-ping-timeout=20secs"],
    ] {
        assert_eq!(ping(&words), Duration::from_secs(20), "{words:?}");
    }
}

#[test]
fn every_error_is_one_line_that_names_flag_place_and_value() {
    let place = Place::new()
        .variable("MESOS_MAX_COMPLETED_FRAMEWORKS", "many")
        .variable("MESOS_AGENT_PORT", "99");
    assert_eq!(
        place.master(&[]).unwrap_err(),
        "MESOS_MAX_COMPLETED_FRAMEWORKS: 'many' is not a whole number of 0 or more"
    );
    let place = Place::new();
    let help = "'mesosd --role=master --help' lists all";
    let cases: [(&[&str], String); 15] = [
        (&["--bogus"], format!("--bogus: master has no such flag; {help}")),
        (
            &["--agent_ping_timout=1secs"],
            format!(
                "--agent_ping_timout: master has no such flag, did you mean 'agent_ping_timeout'?; {help}"
            ),
        ),
        (&["--master=x:1"], format!("--master: master has no such flag; {help}")),
        (&["--port=abc"], "--port: 'abc' is not a whole number of 0 or more".to_owned()),
        (&["--port=70000"], "--port: 70000 is not in 0..=65535".to_owned()),
        (
            &["--agent_ping_timeout=15"],
            "--agent_ping_timeout: '15' is not a duration: write a number and a unit of ns, us, \
             ms, secs, mins, hrs, days or weeks, like '5mins'"
                .to_owned(),
        ),
        (
            &["--agent_reregister_timeout=1mins"],
            "--agent_reregister_timeout: '1mins' is out of bounds: at least 10mins, at most 365days"
                .to_owned(),
        ),
        (&["--cluster"], "--cluster: a value is missing, write --cluster=...".to_owned()),
        (&["--port=1", "--port=2"], "--port: given twice".to_owned()),
        (&["stray"], "'stray' is not a flag: a daemon takes only --name=value".to_owned()),
        (
            &["--log_format=xml"],
            "--log_format: 'xml' is not one of text, json".to_owned(),
        ),
        (
            &["--quiet=maybe"],
            "--quiet: 'maybe' is not one of true, false".to_owned(),
        ),
        (
            &["--authenticate_frameworks"],
            "--authenticate_frameworks: 'true' is refused: this version does not authenticate \
             anybody, so only 'false' is honest"
                .to_owned(),
        ),
        (
            &["--acls={}"],
            "--acls: refused, this version does not enforce it: remove the flag to run without"
                .to_owned(),
        ),
        (
            &["--ip=127.0.0.1", "--ip_discovery_command=x"],
            "--ip: cannot be given together with --ip_discovery_command".to_owned(),
        ),
    ];
    for (words, wanted) in cases {
        assert_eq!(place.master(words).unwrap_err(), wanted, "{words:?}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let place = Place::new();
    let error = |result: Result<Loaded<AgentFlags>, String>| result.unwrap_err();
    assert_eq!(
        error(place.load(&["--master=m:1"])),
        "--work_dir is missing: give --work_dir=... or set MESOS_WORK_DIR"
    );
    assert_eq!(
        error(place.agent(&[])),
        "--master is missing: give --master=... or set MESOS_MASTER"
    );
    assert_eq!(
        error(place.agent(&["--master=zk://joe:secret@h/mesos"])),
        "--master: not a ZooKeeper address: server 1 of the list is no host:port; write \
         zk://[user:password@]host:port[,host:port...]/path"
    );
    assert_eq!(
        error(place.agent(&["--master=m:1", "--containerizers=docker"])),
        "--containerizers: 'docker' alone is refused: this version has only the containerizer \
         'mesos'"
    );
    assert_eq!(
        error(place.agent(&[
            "--master=m:1",
            "--isolation=cgroups/cpu",
            "--default_role=a b"
        ])),
        "--default_role: role \"a b\" must not hold white space or control characters"
    );
}

#[test]
fn a_secret_is_not_repeated() {
    let place = Place::new();
    let error = place.master(&["--zk=zk://joe:secret@h"]).unwrap_err();
    assert!(
        error.starts_with("--zk: not a ZooKeeper address"),
        "{error}"
    );
    assert!(!error.contains("secret"), "{error}");
    let loaded = place.master(&["--zk=zk://joe:secret@h:1/m"]).unwrap();
    assert!(!format!("{loaded:?}").contains("secret"));
}

#[test]
fn toml_files_are_strict() {
    let place = Place::new();
    let read = |content: &str| {
        let path = place.file("m.toml", content);
        place.master(&[&format!("--config={path}")])
    };
    let flags =
        read("cluster = 'a'\nhostname-lookup = false\nport = 0\nagent_ping_timeout = '20secs'\n")
            .unwrap()
            .flags;
    assert_eq!(flags.network.port, 0);
    assert!(!flags.network.hostname_lookup);
    let cases = [
        (
            "clutser = 'a'",
            "ETC/m.toml: clutser: master has no such flag, did you mean 'cluster'?; \
             'mesosd --role=master --help' lists all",
        ),
        (
            "config_dir = '/x'",
            "ETC/m.toml: config_dir: master has no such flag, did you mean 'config_dir'?; \
             'mesosd --role=master --help' lists all",
        ),
        (
            "port = 1\nlog_dir = 1979-05-27",
            "ETC/m.toml: log_dir: 1979-05-27 is a date, which no flag takes",
        ),
        (
            "port = 'x'",
            "ETC/m.toml: port: 'x' is not a whole number of 0 or more",
        ),
        (
            "log_dir = 'a'\nlog-dir = 'b'",
            "ETC/m.toml: log_dir: given twice",
        ),
    ];
    for (content, wanted) in cases {
        if content.starts_with("config_dir") {
            let error = read(content).unwrap_err();
            assert!(error.starts_with("ETC/m.toml: config_dir: master has no such flag"));
            continue;
        }
        assert_eq!(read(content).unwrap_err(), wanted);
    }
    let error = read("port = 1\nport").unwrap_err();
    assert!(
        error.starts_with("ETC/m.toml: not TOML: line 2: "),
        "{error}"
    );
    let error = place.master(&["--config=/does/not/exist"]).unwrap_err();
    assert!(
        error.starts_with("/does/not/exist cannot be read: "),
        "{error}"
    );
}

#[test]
fn toml_lists_and_tables_become_texts() {
    let place = Place::new();
    let path = place.file(
        "a.toml",
        "master = 'm:1'\nisolation = ['cgroups/cpu', 'cgroups/mem']\n\
         executor_environment_variables = { A = 'b' }\n",
    );
    let flags = place.agent(&[&format!("--config={path}")]).unwrap().flags;
    assert_eq!(flags.containers.isolation, ["cgroups/cpu", "cgroups/mem"]);
    let variables = flags.executors.executor_environment_variables.unwrap().0;
    assert_eq!(variables["A"], "b");
}

#[test]
fn packages_of_mesos_are_understood() {
    let place = Place::new();
    place.file("mesos/zk", "10.0.0.1:5050\n");
    place.file("mesos/quorum", "2\n");
    place.file("mesos/.hidden", "x");
    place.file("mesos-slave/?no-hostname_lookup", "");
    place.file("mesos-slave/?cgroups_enable_cfs", "");
    place.file("mesos-slave/executor_registration_timeout", "5mins\n");
    place.file("mesos-slave/.gitkeep", "");
    place.file("mesos-slave/attributes/rack", "r1\n");
    place.file("mesos-slave/attributes/zone", "z2\n");
    place.file("mesos-slave/resources/ports", "[1-2]");
    let agent = place.agent(&[]).unwrap();
    assert_eq!(agent.flags.master.to_string(), "10.0.0.1:5050");
    assert!(!agent.flags.network.hostname_lookup);
    assert!(agent.flags.cgroups.cgroups_enable_cfs);
    let timeout = agent.flags.executors.executor_registration_timeout;
    assert_eq!(timeout, Duration::from_secs(300));
    assert_eq!(
        agent.flags.offering.attributes.unwrap().0,
        "rack:r1;zone:z2"
    );
    assert_eq!(agent.flags.offering.resources.unwrap().0, "ports:[1-2]");
    let note = format!(
        "{}/mesos/quorum: ignored, agent has no such flag",
        place.path().display()
    );
    assert_eq!(agent.notes, [note]);
    // The master reads the same shared directory.
    let master = place.master(&[]).unwrap();
    let election = &master.flags.election;
    assert_eq!(election.quorum.unwrap().get(), 2);
    let note = "--quorum=2 has no effect without --zk: this master leads alone";
    assert_eq!(election.note().unwrap(), note);
    assert!(
        master
            .notes
            .iter()
            .any(|note| note.ends_with("zk: ignored, it is no zk:// address"))
    );
}

#[test]
fn a_quorum_that_does_not_fit_the_ensemble_is_noted() {
    let place = Place::new();
    let note = |quorum: &str| {
        let zk = "--zk=zk://a:1,b:1,c:1/m";
        let loaded = place.master(&[zk, quorum]).unwrap();
        loaded.flags.election.note()
    };
    assert_eq!(note("--quorum=2"), None);
    assert!(
        note("--quorum=1")
            .unwrap()
            .contains("3 servers decide by 2")
    );
    let error = place
        .agent(&["--master=m:1", "--zk_key_file=x"])
        .unwrap_err();
    assert!(error.contains("is missing"), "{error}");
}

#[test]
fn the_agents_own_directory_is_strict_and_wins() {
    let place = Place::new();
    place.file("mesos/zk", "a:1");
    place.file("mesos-slave/master", "b:2");
    assert_eq!(place.agent(&[]).unwrap().flags.master.to_string(), "b:2");
    place.file("mesos-slave/quorum", "2");
    assert_eq!(
        place.agent(&[]).unwrap_err(),
        "ETC/mesos-slave/quorum: agent has no such flag; 'mesosd --role=agent --help' lists all"
    );
    // Nobody reads the directories of others.
    place.file("mesos-master/bogus", "1");
    fs::remove_file(place.path().join("mesos-slave/quorum")).unwrap();
    assert!(place.agent(&[]).is_ok());
    assert!(place.load::<LocalFlags>(&[]).is_ok());
}

#[test]
fn given_directories_replace_those_of_the_packages() {
    let place = Place::new();
    place.file("mesos-master/bogus", "1");
    place.file("shared/cluster", "one");
    place.file("shared/bogus", "1");
    place.file("own/cluster", "two");
    let directory = |name: &str| format!("--config_dir={}", place.path().join(name).display());
    let both = place
        .master(&[&directory("shared"), &directory("own")])
        .unwrap();
    assert_eq!(both.flags.cluster.cluster.as_deref(), Some("two"));
    assert_eq!(both.flags.sources.config_dir.len(), 2);
    assert_eq!(both.notes.len(), 1, "{:?}", both.notes);
    assert_eq!(
        place.master(&[&directory("shared")]).unwrap_err(),
        "ETC/shared/bogus: master has no such flag; 'mesosd --role=master --help' lists all"
    );
    let error = place.master(&[&directory("nowhere")]).unwrap_err();
    assert!(error.starts_with("ETC/nowhere cannot be read: "), "{error}");
}

#[test]
fn values_may_stand_in_files() {
    let place = Place::new();
    let address = place.file("secrets/master", "m9:5050\n");
    let resources = place.file("resources.txt", "cpus:2;mem:512\n");
    let flags = place
        .agent(&[
            &format!("--master=file://{address}"),
            &format!("--resources={resources}"),
        ])
        .unwrap()
        .flags;
    assert_eq!(flags.master.to_string(), "m9:5050");
    assert_eq!(flags.offering.resources.unwrap().0, "cpus:2;mem:512");
    let error = place.agent(&["--master=file:///no/such"]).unwrap_err();
    assert!(
        error.starts_with("--master: /no/such cannot be read: "),
        "{error}"
    );
}

#[test]
fn flags_are_shown_by_name_without_passwords() {
    let place = Place::new();
    let shown = place
        .master(&["--zk=zk://joe:secret@h:1/m", "--no-hostname_lookup"])
        .unwrap()
        .shown;
    let value = |name: &str| {
        shown
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, v)| v.as_str())
    };
    assert_eq!(value("zk"), Some("zk://<hidden>@h:1/m"));
    assert_eq!(value("hostname_lookup"), Some("false"));
    assert_eq!(value("agent_ping_timeout"), Some("15secs"));
    assert_eq!(value("work_dir"), Some("/w"));
    assert_eq!(value("cluster"), None);
    assert!(shown.is_sorted());
}

#[test]
fn strangers_in_the_environment_are_named_once() {
    let place = Place::new()
        .variable("MESOS_FOO", "1")
        .variable("MESOS_BAR", "2")
        .variable("MESOS_NATIVE_JAVA_LIBRARY", "/lib")
        .variable("OTHER", "3");
    assert_eq!(
        place.master(&[]).unwrap().notes,
        ["environment: no flags of this role: MESOS_BAR, MESOS_FOO"]
    );
}

#[test]
fn help_names_every_flag() {
    fn check<F: RoleFlags>() {
        let words = [OsString::from("--help")];
        let Ok(Request::Help(help)) = load::<F>(&words, &World::of_this_process()) else {
            panic!("no help");
        };
        for arg in super::definition::<F>().get_arguments() {
            let name = arg.get_long().unwrap();
            assert!(help.contains(&format!("--{name}")), "{name}");
            assert!(arg.get_help().is_some(), "{name} has no help");
        }
    }
    check::<MasterFlags>();
    check::<AgentFlags>();
    check::<LocalFlags>();
}
