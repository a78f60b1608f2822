//! `mesosd registry` on the file of a master that leads alone, and files that are damaged or old.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use mesosd::base::{AgentId, FrameworkId, Timestamp};
use mesosd::proto::v1;
use mesosd::registrar::{EmbeddedStorage, Storage as _};
use mesosd::registry::{Operation, Registry};
use mesosd::roles::{Role, Weight};
use redb::{Database, TableDefinition};
use serde_json::{Value, json};

use crate::binary::{Folder, master, mesosd, text};

const FILE: &str = "registry.redb";

fn agent(number: u32) -> AgentId {
    AgentId::new(format!("m-S{number}"))
}

fn operations() -> Vec<Operation> {
    let admit = |number| Operation::AdmitAgent {
        agent_id: agent(number),
        info: Arc::new(v1::AgentInfo {
            hostname: format!("host-{number}.example"),
            ..v1::AgentInfo::default()
        }),
    };
    let mut operations: Vec<Operation> = (0..3).map(admit).collect();
    operations.push(Operation::MarkUnreachable {
        agent_id: agent(1),
        at: Timestamp(1_700_000_000_000_000_000),
    });
    operations.push(Operation::MarkGone {
        agent_id: agent(2),
        at: Timestamp(1_700_000_000_000_000_000),
    });
    operations.push(Operation::SetWeights {
        weights: [(Role::parse("ads/batch").unwrap(), Weight::new(2.5).unwrap())].into(),
    });
    operations.push(Operation::KeepFramework {
        framework_id: FrameworkId::new("m-0000"),
        info: Arc::new(v1::FrameworkInfo {
            name: "shop".to_owned(),
            ..v1::FrameworkInfo::default()
        }),
    });
    operations
}

/// Fills the registry of a work directory.
fn fill(work_dir: &Path) {
    std::fs::create_dir_all(work_dir).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut storage = EmbeddedStorage::open(work_dir, 41).unwrap();
        let mut registry = storage.load().await.unwrap();
        let operations = operations();
        for operation in &operations {
            operation.apply(&mut registry).unwrap();
        }
        storage.store(&operations, &registry).await.unwrap();
    });
}

/// `mesosd registry WORDS`: the exit code, stdout, stderr.
fn registry(words: &[&str]) -> (Option<i32>, String, String) {
    let output = mesosd(&[&["registry"], words].concat());
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn done(words: &[&str]) -> String {
    let (code, out, err) = registry(words);
    assert_eq!((code, &*err), (Some(0), ""), "{words:?}");
    out
}

/// A refusal: one line, with the exit code `code`.
fn refused(words: &[&str], code: i32) -> String {
    let (found, _, err) = registry(words);
    assert_eq!(found, Some(code), "{words:?}: {err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    err
}

fn shown(at: &str) -> Vec<(String, Value)> {
    let shown: Value = serde_json::from_str(&done(&["show", at, "-o", "json"])).unwrap();
    let records = shown["records"].as_array().unwrap().iter();
    records
        .map(|record| {
            (
                record["key"].as_str().unwrap().to_owned(),
                record["value"].clone(),
            )
        })
        .collect()
}

#[test]
fn a_registry_is_shown_copied_and_checked() {
    let folder = Folder::new();
    fill(&folder.path("one"));
    let (one, two) = (
        folder.flag("work_dir", "one"),
        folder.flag("work_dir", "two"),
    );
    let shown_one = shown(&one);
    let keys: Vec<&str> = shown_one.iter().map(|(key, _)| &**key).collect();
    let wanted = [
        "agent/m-S0",
        "agent/m-S1",
        "agent/m-S2",
        "framework/m-0000",
        "weight/ads/batch",
    ];
    assert_eq!(keys, wanted);
    let value = |key| &shown_one.iter().find(|(known, _)| known == key).unwrap().1;
    assert_eq!(value("agent/m-S0")["info"]["hostname"], "host-0.example");
    for (key, state) in [
        ("agent/m-S0", "admitted"),
        ("agent/m-S1", "unreachable"),
        ("agent/m-S2", "gone"),
    ] {
        assert_eq!(value(key)["state"], state);
    }
    assert_eq!(value("agent/m-S1")["since"], json!(1.7e9));
    assert_eq!(*value("weight/ads/batch"), json!(2.5));
    assert_eq!(done(&["check", &one]), "5 records, 0 of them damaged\n");
    assert!(done(&["show", &one]).starts_with("agent/m-S0  {"));

    // Out, into another directory, and out again: nothing is lost.
    let exported = done(&["export", &one]);
    let file = folder.write("exported.json", &exported);
    std::fs::create_dir(folder.path("two")).unwrap();
    assert_eq!(
        done(&["import", &two, file.to_str().unwrap()]),
        "5 records imported\n"
    );
    assert_eq!(shown(&two), shown_one);
    assert_eq!(done(&["export", &two]), exported);

    // A master reads it, and keeps others out meanwhile.
    std::fs::rename(folder.path("two"), folder.path("master")).unwrap();
    let mut leader = master(&folder, &[]);
    leader.address();
    let at = folder.flag("work_dir", "master");
    assert!(refused(&["show", &at], 74).contains("is open in another master"));
    let import = ["import", &at, file.to_str().unwrap()];
    assert!(refused(&import, 74).contains("is open in another master"));
    assert_eq!(leader.stop(), Some(0));
    assert_eq!(done(&["check", &at]), "5 records, 0 of them damaged\n");
}

#[test]
fn what_is_no_registry_is_refused_with_the_way_out() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("none")).unwrap();
    let none = folder.flag("work_dir", "none");
    for command in ["show", "export", "check"] {
        let said = refused(&[command, &none], 74);
        assert!(said.contains(FILE), "{said}");
    }
    assert!(
        !folder.path("none").join(FILE).exists(),
        "looking makes nothing"
    );
    refused(&["show"], 64);

    for (name, content, wanted) in [
        ("words", "not JSON", "cannot be imported: expected"),
        (
            "newer",
            r#"{"format":9,"records":[]}"#,
            "format 9 is newer than this mesosd",
        ),
        (
            "key",
            r#"{"format":1,"records":[{"key":"x/y","data":""}]}"#,
            "no record is 'x/y'",
        ),
        (
            "base64",
            r#"{"format":1,"records":[{"key":"agent/a","data":"?"}]}"#,
            "agent/a: ",
        ),
        (
            "record",
            r#"{"format":1,"records":[{"key":"agent/a","data":"/w=="}]}"#,
            "agent/a",
        ),
    ] {
        let file = folder.write(name, content);
        let said = refused(&["import", &none, file.to_str().unwrap()], 64);
        assert!(said.contains(wanted), "{said}");
    }
    assert!(!folder.path("none").join(FILE).exists(), "all or nothing");
}

#[test]
fn a_damaged_registry_is_mended() {
    let folder = Folder::new();
    let work = folder.path("master");
    fill(&work);
    let at = folder.flag("work_dir", "master");
    let database = Database::open(work.join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    let records: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
    let mut table = transaction.open_table(records).unwrap();
    table.insert("agent/m-S0", &b"\xff\xff"[..]).unwrap();
    drop(table);
    transaction.commit().unwrap();
    drop(database);

    // The master says which record, and that is not tried again by itself.
    let mut leader = master(&folder, &[]);
    assert_eq!(leader.wait(), Some(74), "{}", leader.log());
    let log = leader.log();
    assert!(
        log.contains("agent/m-S0") && log.contains("mesosd registry check"),
        "{log}"
    );

    let (code, out, err) = registry(&["check", &at]);
    assert_eq!(code, Some(1), "{err}");
    assert!(
        out.contains("agent/m-S0: ") && out.ends_with("5 records, 1 of them damaged\n"),
        "{out}"
    );
    assert!(err.contains("'mesosd registry export' prints"), "{err}");
    let damaged = shown(&at);
    assert!(damaged[0].1["damaged"].is_string(), "{damaged:?}");
    assert_eq!(damaged[1].1["state"], "unreachable", "one hides no other");

    // The way out that is said works.
    let exported: Value = serde_json::from_str(&done(&["export", &at])).unwrap();
    let mut mended = exported;
    mended["records"].as_array_mut().unwrap().remove(0);
    let file = folder.write("mended.json", &mended.to_string());
    assert_eq!(
        done(&["import", &at, file.to_str().unwrap()]),
        "4 records imported\n"
    );
    let mut leader = master(&folder, &[]);
    leader.address();
    assert_eq!(leader.stop(), Some(0));

    // Of a file that is none, what is left is to begin anew.
    std::fs::write(work.join(FILE), "no database at all").unwrap();
    for command in ["show", "check"] {
        let said = refused(&[command, &at], 74);
        assert!(said.contains("with the file moved away"), "{said}");
    }
    let mut leader = master(&folder, &[]);
    assert_eq!(leader.wait(), Some(74), "{}", leader.log());
    assert!(
        leader.log().contains("with the file moved away"),
        "{}",
        leader.log()
    );
}

/// Format 1, as the versions wrote it that knew agents only.
fn write_format_1(path: &Path) {
    let database = Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    let table = TableDefinition::<&str, u64>::new("numbers");
    let mut numbers = transaction.open_table(table).unwrap();
    numbers.insert("format", 1).unwrap();
    numbers.insert("epoch", 41).unwrap();
    drop(numbers);
    let table = TableDefinition::<&str, &[u8]>::new("agents");
    let mut agents = transaction.open_table(table).unwrap();
    // AgentInfo.hostname is field 1.
    agents
        .insert("m-S0", &b"\x0a\x0ehost-0.example"[..])
        .unwrap();
    drop(agents);
    let table = TableDefinition::<&str, u64>::new("unreachable");
    let mut unreachable = transaction.open_table(table).unwrap();
    unreachable
        .insert("m-S1", 1_700_000_000_000_000_000)
        .unwrap();
    drop(unreachable);
    transaction.commit().unwrap();
}

/// The file of `tests/golden/registry` for a format. Made with UPDATE_EXPECT=1 if it is missing, and then
/// never again: later versions must read what this one has written.
fn golden(format: u32) -> Vec<u8> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/registry");
    let golden = golden.join(format!("format-{format}.redb.gz"));
    if !golden.exists() && std::env::var_os("UPDATE_EXPECT").is_some() {
        let folder = Folder::new();
        match format {
            1 => write_format_1(&folder.path(FILE)),
            _ => fill(&folder.path("")),
        }
        let file = std::fs::File::create(&golden).unwrap();
        let mut file = flate2::write::GzEncoder::new(file, flate2::Compression::best());
        file.write_all(&std::fs::read(folder.path(FILE)).unwrap())
            .unwrap();
        file.finish().unwrap();
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(golden).unwrap();
    flate2::read::GzDecoder::new(file)
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

#[test]
fn registries_of_older_versions_are_read() {
    let folder = Folder::new();
    for (format, keys) in [
        (1, &["agent/m-S0", "agent/m-S1"][..]),
        (
            2,
            &[
                "agent/m-S0",
                "agent/m-S1",
                "agent/m-S2",
                "framework/m-0000",
                "weight/ads/batch",
            ],
        ),
    ] {
        let bytes = golden(format);
        let name = format!("work-{format}");
        std::fs::create_dir(folder.path(&name)).unwrap();
        std::fs::write(folder.path(&name).join(FILE), bytes).unwrap();
        let at = folder.flag("work_dir", &name);
        let shown = shown(&at);
        assert_eq!(
            shown.iter().map(|(key, _)| &**key).collect::<Vec<_>>(),
            keys
        );
        assert_eq!(shown[0].1["info"]["hostname"], "host-0.example");
        assert_eq!(shown[1].1["state"], "unreachable");
        assert!(done(&["check", &at]).ends_with(" 0 of them damaged\n"));

        // A master takes it over, and counts on from its epoch.
        std::fs::rename(folder.path(&name), folder.path("master")).unwrap();
        let mut leader = master(&folder, &[]);
        leader.address();
        assert_eq!(leader.stop(), Some(0));
        let at = folder.flag("work_dir", "master");
        assert_eq!(self::shown(&at)[1], shown[1], "unreachable since then");
        let mut storage = EmbeddedStorage::open(&folder.path("master"), 1).unwrap();
        assert!(storage.epoch() > 41);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let registry: Registry = runtime.block_on(storage.load()).unwrap();
        assert!(registry.unreachable.contains_key(&agent(1)));
        drop(storage);
        std::fs::remove_dir_all(folder.path("master")).unwrap();
    }
}
