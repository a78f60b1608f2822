//! Imports go down only: the layers are the table of `src/lib.rs`.

use std::collections::BTreeMap;

use crate::source::{Kind, Source, kinds, read_all};

/// Modules of `src/lib.rs`, by what the table calls them, with the number of their row; a smaller
/// number is higher.
fn table(lib: &str) -> BTreeMap<String, usize> {
    let rows = lib
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "))
        .filter(|row| row.contains('`'));
    let mut layers = BTreeMap::new();
    for (number, row) in rows.enumerate() {
        for name in row.split('`').skip(1).step_by(2) {
            layers.insert(name.to_owned(), number);
        }
    }
    layers
}

/// The paths that a file names below `crate`, braces resolved: `["master", "driver", "Handle"]`.
fn paths(code: &str, module: &[&str]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            let mut rest = &code[at..];
            let mut base: Vec<String> = Vec::new();
            if let Some(after) = rest.strip_prefix("crate::") {
                rest = after;
            } else {
                let mut up = module.to_vec();
                while let Some(after) = rest.strip_prefix("super::") {
                    rest = after;
                    up.pop();
                }
                base = up.into_iter().map(str::to_owned).collect();
            }
            expand(rest, &base, &mut |path| found.push((line, path)));
        }
    }
    found
}

/// Follows `a::{b, c::d}` to each of its ends; returns what comes after.
fn expand<'a>(text: &'a str, base: &[String], found: &mut impl FnMut(Vec<String>)) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let after = expand(rest, base, found);
            let after = after.trim_start();
            let after = match after.strip_prefix("as ") {
                Some(renamed) => {
                    renamed.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
                }
                None => after,
            };
            let after = after.trim_start();
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None if after.len() == rest.len() => return after,
                None => rest = after,
            }
        }
    }
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let mut path = base.to_vec();
    if end > 0 && &text[..end] != "self" {
        path.push(text[..end].to_owned());
    }
    match text[end..].strip_prefix("::") {
        Some(rest) if end > 0 && !rest.starts_with('<') => expand(rest, &path, found),
        _ => {
            found(path);
            &text[end..]
        }
    }
}

/// The file that a path leads into, and the path's top module.
fn target<'a>(path: &[String], files: &BTreeMap<Vec<&str>, &'a Source>) -> Option<&'a Source> {
    (1..=path.len()).rev().find_map(|length| {
        let module: Vec<&str> = path[..length].iter().map(String::as_str).collect();
        files.get(&module).copied()
    })
}

/// Where a file stands: the row of its own entry (`master::driver`), of the shells for a shell in a
/// core's folder, else of its top module.
fn layer(source: &Source, kind: Option<Kind>, layers: &BTreeMap<String, usize>) -> Option<usize> {
    let module = source.module()?;
    let top = module.first()?;
    if let Some(own) = layers.get(&module.join("::")) {
        return Some(*own);
    }
    let of_top = *layers.get(*top)?;
    let shells = layers.get(&format!("{top}::driver"));
    match (kind, shells) {
        (Some(Kind::Shell), Some(shells)) => Some(*shells),
        _ => Some(of_top),
    }
}

#[test]
fn imports_go_down() {
    crate::report(upward(&read_all(&["src"])));
}

/// Imports that go up, or sideways where they must not, or from a core into a shell.
pub(crate) fn upward(sources: &[Source]) -> Vec<String> {
    let kinds = kinds(sources);
    let lib = sources.iter().find(|source| source.path == "src/lib.rs");
    let layers = table(&lib.unwrap().text);
    let files: BTreeMap<Vec<&str>, &Source> = sources
        .iter()
        .filter_map(|source| Some((source.module()?, source)))
        .collect();
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        let Some(module) = source.module().filter(|module| !module.is_empty()) else {
            continue;
        };
        let kind = kinds.get(&source.path).copied();
        let Some(own) = layer(source, kind, &layers) else {
            let testing = module[0] == "testing";
            if !testing {
                wrong.push(format!("{}: not in the table of src/lib.rs", source.path));
            }
            continue;
        };
        for (line, path) in paths(&source.product, &module) {
            let Some(to) = target(&path, &files) else {
                continue;
            };
            let to_kind = kinds.get(&to.path).copied();
            let top = to.module().and_then(|module| module.first().copied());
            let is_root = source.path.ends_with("/mod.rs");
            if kind == Some(Kind::Core) && to_kind == Some(Kind::Shell) && !is_root {
                wrong.push(format!(
                    "{}:{line}: a core imports the shell {}",
                    source.path,
                    path.join("::")
                ));
            }
            let Some(theirs) = layer(to, to_kind, &layers) else {
                continue;
            };
            let up = theirs < own && !(is_root && top == Some(module[0]));
            let sideways =
                theirs == own && top != Some(module[0]) && !sideways_allowed(&layers, own);
            if up || sideways {
                wrong.push(format!(
                    "{}:{line}: imports {}, which is {} it",
                    source.path,
                    path.join("::"),
                    if up { "above" } else { "beside" }
                ));
            }
        }
    }
    wrong
}

/// Within the layers of shells, toolkit, algebra and base, modules may use each other: only cores
/// of machines and rules must not know their neighbours.
fn sideways_allowed(layers: &BTreeMap<String, usize>, row: usize) -> bool {
    ["commands", "api", "flags", "resources", "base"]
        .iter()
        .any(|name| layers.get(*name) == Some(&row))
}

#[test]
fn paths_are_read_with_braces_and_supers() {
    let code = "use crate::{a::{b, self, C as D}, e::F};\nuse super::super::x::{Y, Z};\n\
                fn f(m: crate::m::N) {}";
    let mut found: Vec<String> = paths(code, &["p", "q", "r"])
        .into_iter()
        .map(|(line, path)| format!("{line} {}", path.join("::")))
        .collect();
    found.sort();
    let expected = [
        "1 a",
        "1 a::C",
        "1 a::b",
        "1 e::F",
        "2 p::x::Y",
        "2 p::x::Z",
        "3 m::N",
    ];
    assert_eq!(found, expected);
}

#[test]
fn planted_imports_are_found() {
    let source = |path: &str, text: &str| Source::new(path, text);
    let lib = "//! | shells | `master::driver`, [`api`] |\n//! | machines | [`master`], [`agent`] |\n\
               //! | rules | [`allocator`] |";
    let sources = [
        source("src/lib.rs", lib),
        source("src/api/mod.rs", "//! Shell: x\nuse crate::master::Core;"),
        source("src/agent/mod.rs", "//! Core: x\nuse crate::allocator::A;"),
        source("src/agent/state.rs", "use crate::{master::M, api};"),
        source("src/master/mod.rs", "//! Core: x\npub use driver::Handle;"),
        source(
            "src/master/driver.rs",
            "//! Shell: x\nuse super::core::C; use crate::api;",
        ),
        source("src/master/core.rs", "use super::driver::Handle;"),
        source(
            "src/allocator/mod.rs",
            "//! Core: x\nfn f(c: crate::master::Core) {}",
        ),
        source("src/elsewhere.rs", "//! Core: x"),
    ];
    let mut found = upward(&sources);
    found.sort();
    let expected = [
        "src/agent/state.rs:1: a core imports the shell api",
        "src/agent/state.rs:1: imports api, which is above it",
        "src/agent/state.rs:1: imports master::M, which is beside it",
        "src/allocator/mod.rs:2: imports master::Core, which is above it",
        "src/elsewhere.rs: not in the table of src/lib.rs",
        "src/master/core.rs:1: a core imports the shell master::driver::Handle",
        "src/master/core.rs:1: imports master::driver::Handle, which is above it",
    ];
    assert_eq!(found, expected);
}
