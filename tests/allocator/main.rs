//! Scenario scripts of the allocator: `tests/scenarios/allocator/*.txt`.
//!
//! A script is a list of commands, each followed by what it shows, indented. `UPDATE_EXPECT=1`
//! rewrites the scripts. After every command the allocator's invariants are checked.

mod script;
mod special;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use script::Script;

/// The script's text with what its commands really show.
fn play(text: &str) -> Result<String, String> {
    let mut script = Script::new();
    let mut played = String::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("  ") {
            continue;
        }
        played.push_str(line);
        played.push('\n');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let shown = script
            .command(line)
            .map_err(|problem| format!("line {}: {line}: {problem}", number + 1))?;
        for line in shown {
            writeln!(played, "  {line}").map_err(|error| error.to_string())?;
        }
    }
    Ok(played)
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/allocator");
    let entries = std::fs::read_dir(&folder).expect("the folder of scripts is there");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|p| p.extension() == Some("txt".as_ref()))
        .collect();
    paths.sort();
    paths
}

#[test]
fn scripts_show_what_they_say() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    let scripts = scripts();
    assert!(scripts.len() >= 10, "{} scripts", scripts.len());
    for path in scripts {
        let text = std::fs::read_to_string(&path).expect("a readable script");
        let name = path.file_name().expect("a file").to_string_lossy();
        assert!(text.starts_with("# "), "{name} says what it shows");
        match play(&text) {
            Err(problem) => wrong.push(format!("{name}: {problem}")),
            Ok(played) if played == text => {}
            Ok(played) if update => std::fs::write(&path, played).expect("a writable script"),
            Ok(played) => wrong.push(format!("{name} shows something else:\n{played}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_wrong_expectation_is_noticed() {
    let text = "agent a1 cpus:4\nframework f1 dev\nrun\n  f1 dev a1 cpus:3\n";
    assert_ne!(play(text).as_deref(), Ok(text));
    assert!(play("agent a1 cpus:four\n").is_err());
    assert!(play("dance\n").is_err());
}
