//! The style that a machine can check: purity of cores, layers, docs, names, sizes, dependencies.
//!
//! Each rule lists every place that breaks it.

#![expect(clippy::unwrap_used, reason = "tests")]

mod layers;
mod source;

use std::fs;
use std::path::Path;
use std::process::Command;

use source::{Kind, Source, kinds, read_all};

/// Longest file, in lines.
const LINES_MAX: usize = 700;
/// Longest function, in lines. The aim is 70; a match over many messages may need more.
const FUNCTION_LINES_MAX: usize = 90;
/// Largest file in the repository, in bytes.
const FILE_BYTES_MAX: u64 = 500_000;

/// What a core must not name.
const IMPURE: [&str; 20] = [
    "tokio",
    "async fn",
    "async move",
    ".await",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os::unix::net",
    "std::thread",
    "std::env",
    "std::process",
    "std::io::stdin",
    "Instant::now",
    "SystemTime",
    "HashMap",
    "HashSet",
    "Mutex",
    "RwLock",
    "thread_rng",
    "static mut",
];

/// What nobody writes, with what to write instead.
const BANNED: [(&str, &str); 5] = [
    ("dbg!", "tracing"),
    ("todo!", "the code, or an error"),
    ("unimplemented!", "the code, or an error"),
    ("#[allow(", "#[expect(lint, reason = \"...\")]"),
    ("#![allow(", "#![expect(lint, reason = \"...\")]"),
];

/// Marks of unfinished work, looked for in comments too.
const MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Words that say nothing about what a file or a type does.
const EMPTY_WORDS: [&str; 6] = ["util", "utils", "helper", "helpers", "manager", "common"];

fn all() -> Vec<Source> {
    read_all(&["src", "tests", "benches", "proto"])
}

fn report(mut wrong: Vec<String>) {
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Every place of `code` where one of `words` stands as a word of its own.
fn places<'a>(code: &'a str, words: &'a [&'a str]) -> impl Iterator<Item = (usize, &'a str)> {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    code.lines().enumerate().flat_map(move |(number, line)| {
        words.iter().filter_map(move |word| {
            line.match_indices(word)
                .any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    let after = line[at + word.len()..].chars().next();
                    let starts =
                        !word.starts_with(part_of_word) || !before.is_some_and(part_of_word);
                    let ends = !word.ends_with(part_of_word)
                        || !after.is_some_and(part_of_word)
                        || word.ends_with("Tcp")
                        || word.ends_with("Udp");
                    starts && ends
                })
                .then_some((number + 1, *word))
        })
    })
}

#[test]
fn every_file_says_its_duty() {
    report(without_docs(&all()));
}

fn without_docs(sources: &[Source]) -> Vec<String> {
    let without = |source: &&Source| !source.text.starts_with("//! ");
    let names = sources.iter().filter(without);
    names
        .map(|source| format!("{}: begins without //!", source.path))
        .collect()
}

#[test]
fn every_folder_says_its_kind() {
    report(without_kind(&read_all(&["src"])));
}

fn without_kind(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .filter(|source| source.path.ends_with("/mod.rs") && !source.is_test())
        .filter(|source| source.declared().is_none() && source.path != "src/testing/mod.rs")
        .map(|source| format!("{}: begins with neither Core: nor Shell:", source.path))
        .collect()
}

#[test]
fn cores_are_pure() {
    report(impure(&read_all(&["src"])));
}

fn impure(sources: &[Source]) -> Vec<String> {
    let kinds = kinds(sources);
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        if kinds.get(&source.path) == Some(&Kind::Core) {
            for (line, word) in places(&source.product, &IMPURE) {
                wrong.push(format!("{}:{line}: a core names {word}", source.path));
            }
        }
    }
    wrong
}

#[test]
fn nothing_banned() {
    report(banned(&all()));
}

fn banned(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    let banned: Vec<&str> = BANNED.iter().map(|(word, _)| *word).collect();
    for source in sources {
        let of_rules = source.path.starts_with("tests/tidy/");
        for (line, word) in places(&source.code, &banned) {
            let better = BANNED.iter().find(|(bad, _)| *bad == word).unwrap().1;
            wrong.push(format!("{}:{line}: {word}; write {better}", source.path));
        }
        for (line, mark) in places(&source.text, &MARKS).filter(|_| !of_rules) {
            wrong.push(format!("{}:{line}: {mark}", source.path));
        }
        if source.path.starts_with("src/") && !source.is_test() {
            for (line, word) in places(&source.product, &[".unwrap()"]) {
                wrong.push(format!(
                    "{}:{line}: {word}; handle it or expect()",
                    source.path
                ));
            }
        }
    }
    wrong
}

#[test]
fn only_commands_print() {
    report(printing(&read_all(&["src"])));
}

fn printing(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        if source.path.starts_with("src/commands/") || source.path == "src/main.rs" {
            continue;
        }
        for (line, word) in places(&source.product, &["println!", "print!"]) {
            wrong.push(format!("{}:{line}: {word}", source.path));
        }
    }
    wrong
}

/// What the service layer leaves to its front ends.
const WIRES: [&str; 5] = ["axum", "hyper", "prost", "tonic", "tower"];

#[test]
fn the_service_layer_knows_no_wire() {
    report(wire_in_service(&read_all(&["src/api/service"])));
}

fn wire_in_service(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        for (line, word) in places(&source.product, &WIRES) {
            wrong.push(format!(
                "{}:{line}: the service layer names {word}",
                source.path
            ));
        }
    }
    wrong
}

#[test]
fn every_flag_has_an_effect() {
    report(flags_without_effect(&read_all(&["src"])));
}

/// Fields of the flags' structs that nothing reads, but for those that say so in their help.
fn flags_without_effect(sources: &[Source]) -> Vec<String> {
    let honest = [
        "CompatibilityFlags",
        "AccessFlags",
        "SecretFlags",
        "SourceFlags",
    ];
    let mut wrong = Vec::new();
    for file in sources.iter().filter(|s| s.path.starts_with("src/flags/")) {
        let mut known = false;
        for (number, line) in file.product.lines().enumerate() {
            if let Some(name) = line.strip_prefix("pub struct ") {
                let name = name.trim_end_matches(" {");
                known = name.ends_with("Flags") && !honest.iter().any(|end| name.ends_with(end));
            }
            let field = line.strip_prefix("    pub ").filter(|_| known);
            let Some((name, kind)) = field.and_then(|field| field.split_once(": ")) else {
                continue;
            };
            let read = format!(".{name}");
            let reads = |source: &Source| places(&source.product, &[&read]).next().is_some();
            let is_read = sources.iter().any(reads);
            if !is_read && !kind.ends_with("Flags,") {
                let at = number + 1;
                wrong.push(format!("{}:{at}: nothing reads {name}", file.path));
            }
        }
    }
    wrong
}

#[test]
fn every_counter_is_counted() {
    report(uncounted(&read_all(&["src"])));
}

/// Counters of a `metrics.rs` that nothing in its folder adds to.
fn uncounted(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for metrics in sources.iter().filter(|s| s.path.ends_with("/metrics.rs")) {
        let folder = metrics.path.trim_end_matches("metrics.rs");
        let users: Vec<&Source> = sources
            .iter()
            .filter(|source| source.path.starts_with(folder))
            .collect();
        for (number, line) in metrics.product.lines().enumerate() {
            let line = line.trim();
            let field = match line.split_once(" => ") {
                Some((name, _)) => Some(name),
                None => line
                    .strip_prefix("pub ")
                    .and_then(|field| field.strip_suffix(": u64,")),
            };
            let Some(name) =
                field.filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
            else {
                continue;
            };
            let counts = |source: &&&Source| {
                let added = [format!(".{name} += "), format!(".{name} = ")];
                let lent = source.product.lines().any(|line| {
                    let field = line.split(&format!(".{name}")).nth(1);
                    let ends = field.is_some_and(|after| {
                        !after.starts_with(|c: char| c == '_' || c.is_alphanumeric())
                    });
                    ends && line.contains("&mut ")
                });
                lent || added.iter().any(|added| source.product.contains(added))
            };
            let is_counted = users.iter().find(counts).is_some();
            if !is_counted {
                let at = number + 1;
                wrong.push(format!("{}:{at}: nothing counts {name}", metrics.path));
            }
        }
    }
    wrong
}

#[test]
fn names_say_something() {
    report(empty_names(&all()));
}

fn empty_names(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        let stem = Path::new(&source.path)
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap();
        if EMPTY_WORDS.contains(&stem) {
            wrong.push(format!("{}: the name says nothing", source.path));
        }
        for (number, line) in source.code.lines().enumerate() {
            let words: Vec<&str> = line
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .filter(|word| !word.is_empty())
                .collect();
            for pair in words.windows(2) {
                let bad = match pair {
                    ["fn", name] => name.starts_with("do_") || name.starts_with("handle_"),
                    ["struct" | "enum" | "trait", name] => {
                        name.ends_with("Manager") || name.ends_with("Helper")
                    }
                    ["mod", name] => EMPTY_WORDS.contains(name),
                    _ => false,
                };
                if bad {
                    let (at, name) = (number + 1, pair[1]);
                    wrong.push(format!(
                        "{}:{at}: the name {name} says nothing",
                        source.path
                    ));
                }
            }
        }
    }
    wrong
}

#[test]
fn files_and_functions_are_short() {
    report(long_parts(&all()));
}

fn long_parts(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        let lines: Vec<&str> = source.code.lines().collect();
        if lines.len() > LINES_MAX {
            let length = lines.len();
            wrong.push(format!(
                "{}: {length} lines, {LINES_MAX} at most",
                source.path
            ));
        }
        if source.is_test() {
            continue;
        }
        // As rustfmt writes it, a function ends with a brace as far left as it began.
        let lines: Vec<&str> = source.product.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let names_function = words.windows(2).any(|pair| {
                pair[0] == "fn" && pair[1].starts_with(|c: char| c.is_alphabetic() || c == '_')
            });
            if !names_function || line.trim_end().ends_with(';') {
                continue;
            }
            let indent = line.len() - line.trim_start().len();
            let close = format!("{}}}", " ".repeat(indent));
            let length = lines[start..]
                .iter()
                .position(|line| line.trim_end() == close);
            if let Some(length) = length.filter(|length| *length + 1 > FUNCTION_LINES_MAX) {
                let (at, length) = (start + 1, length + 1);
                wrong.push(format!(
                    "{}:{at}: a function of {length} lines",
                    source.path
                ));
            }
        }
    }
    wrong
}

#[test]
fn dependencies_are_sorted_and_caret_only() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    let mut wrong = Vec::new();
    let mut table = String::new();
    let mut last = String::new();
    for line in manifest.unwrap().lines() {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_end_matches(']').to_owned();
            last.clear();
        } else if table.ends_with("dependencies")
            && let Some((name, version)) = line.split_once('=')
            && !line.starts_with([' ', '#', ']'])
        {
            let name = name.trim().to_owned();
            if name < last {
                wrong.push(format!("{table}: {name} comes after {last}"));
            }
            if version.contains("git =") || version.contains("\"*\"") || version.contains("\"=") {
                wrong.push(format!("{table}: {name} is not a caret requirement"));
            }
            last = name;
        }
    }
    report(wrong);
}

#[test]
fn the_repository_holds_no_large_files_and_no_machine_paths() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root)
        .output();
    let Some(listed) = listed.ok().filter(|output| output.status.success()) else {
        mesosd::testing::skip("tidy: large files", "not a git checkout");
        return;
    };
    let mut wrong = Vec::new();
    for name in String::from_utf8(listed.stdout)
        .unwrap()
        .split_terminator('\0')
    {
        let Ok(meta) = fs::metadata(root.join(name)) else {
            continue;
        };
        if meta.len() > FILE_BYTES_MAX {
            wrong.push(format!(
                "{name}: {} bytes, {FILE_BYTES_MAX} at most",
                meta.len()
            ));
        }
        let text = fs::read_to_string(root.join(name)).unwrap_or_default();
        if text.contains(env!("CARGO_MANIFEST_DIR")) {
            wrong.push(format!("{name}: names the folder that it was written in"));
        }
    }
    report(wrong);
}

#[test]
fn planted_flaws_are_found() {
    let long = format!(
        "//! x\nfn f() {{\n{}}}\n",
        "    g();\n".repeat(FUNCTION_LINES_MAX)
    );
    let sources = [
        Source::new("src/a/mod.rs", "fn f() {}"),
        Source::new(
            "src/b/mod.rs",
            "//! Core: x\nuse std::collections::HashMap;",
        ),
        Source::new(
            "src/b/c.rs",
            "//! x\nasync fn f() { x.unwrap() }\n// HashSet",
        ),
        Source::new(
            "src/b/d.rs",
            "//! Shell: x\nuse tokio::fs;\n// TO\u{44}O later",
        ),
        Source::new(
            "src/b/e.rs",
            "//! x\n#[cfg(test)]\nmod tests { use std::fs; fn f() { x.unwrap() } }",
        ),
        Source::new(
            "src/util.rs",
            "//! x\nstruct BookManager;\nfn do_it() { println!(); dbg!(1) }",
        ),
        Source::new("src/long.rs", &long),
    ];
    let counters = [
        Source::new(
            "src/m/metrics.rs",
            "//! x\npub struct M {\n    pub a: u64,\n    pub b: u64,\n}",
        ),
        Source::new("src/m/core.rs", "//! x\nfn f() { self.metrics.a += 1 }"),
    ];
    assert_eq!(
        uncounted(&counters),
        ["src/m/metrics.rs:4: nothing counts b"]
    );
    let flags = [
        Source::new(
            "src/flags/x.rs",
            "//! x\npub struct XFlags {\n    pub read: u64,\n    pub port: u64,\n}",
        ),
        Source::new(
            "src/y.rs",
            "//! x\nfn f() { g(flags.read, flags.ports) } // .port",
        ),
    ];
    assert_eq!(
        flags_without_effect(&flags),
        ["src/flags/x.rs:4: nothing reads port"]
    );
    let service = [Source::new(
        "src/api/service/x.rs",
        "//! x\nuse tonic::Status;",
    )];
    assert_eq!(
        wire_in_service(&service),
        ["src/api/service/x.rs:2: the service layer names tonic"]
    );
    assert_eq!(without_docs(&sources), ["src/a/mod.rs: begins without //!"]);
    assert_eq!(
        without_kind(&sources),
        ["src/a/mod.rs: begins with neither Core: nor Shell:"]
    );
    let expected = [
        "src/b/mod.rs:2: a core names HashMap",
        "src/b/c.rs:2: a core names async fn",
    ];
    assert_eq!(impure(&sources), expected);
    let expected = [
        "src/b/c.rs:2: .unwrap(); handle it or expect()",
        "src/b/d.rs:3: TO\u{44}O",
        "src/util.rs:3: dbg!; write tracing",
    ];
    assert_eq!(banned(&sources), expected);
    assert_eq!(printing(&sources), ["src/util.rs:3: println!"]);
    let expected = [
        "src/util.rs: the name says nothing",
        "src/util.rs:2: the name BookManager says nothing",
        "src/util.rs:3: the name do_it says nothing",
    ];
    assert_eq!(empty_names(&sources), expected);
    assert_eq!(
        long_parts(&sources),
        ["src/long.rs:2: a function of 92 lines"]
    );
}

#[test]
fn words_are_told_from_parts_of_words() {
    let found = |line| places(line, &["HashMap", ".unwrap()", "std::net::Tcp"]).count();
    assert_eq!(found("let x: HashMap<A, B>;"), 1);
    assert_eq!(found("let x: MyHashMap<A, B>;"), 0);
    assert_eq!(found("x.unwrap_or(1)"), 0);
    assert_eq!(found("x.unwrap()"), 1);
    assert_eq!(found("std::net::TcpStream"), 1);
}
