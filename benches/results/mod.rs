//! Where measurements go: one JSON line each, at the end of `bench-results.jsonl` in Cargo's target folder.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

/// Appends one measurement, with the commit that was measured. That of a build without optimisation is
/// shown and not kept.
pub(crate) fn line(mut value: Value) -> std::io::Result<()> {
    if cfg!(debug_assertions) {
        println!("not kept: this is no release build");
        return Ok(());
    }
    value["commit"] = commit().into();
    let folder = std::env::var_os("CARGO_TARGET_DIR");
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/target").into();
    let folder: PathBuf = folder.map_or_else(beside, PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("bench-results.jsonl"))?;
    writeln!(file, "{value}")
}

/// The commit, as Git abbreviates it; `-dirty` behind it when something differs from it.
fn commit() -> &'static str {
    static COMMIT: OnceLock<String> = OnceLock::new();
    COMMIT.get_or_init(|| {
        let described = Command::new("git")
            .args(["describe", "--always", "--dirty", "--exclude=*"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output();
        // A copy without Git's data has none.
        described.map_or_else(
            |_| String::new(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    })
}

/// Times of equal things, in milliseconds: what to print, after the line was written. `what` tells
/// several distributions of one id apart.
pub(crate) fn times(
    id: &str,
    parameters: &str,
    what: Option<&str>,
    times: &[Duration],
) -> std::io::Result<String> {
    let mut millis: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    millis.sort_by(f64::total_cmp);
    let n = millis.len();
    if n == 0 {
        let message = format!("{id}: nothing was measured");
        return Err(std::io::Error::other(message));
    }
    let quantile = |hundredths: usize| millis[((n - 1) * hundredths).div_ceil(100)];
    let [min, p50, p90, p99, max] = [0, 50, 90, 99, 100].map(quantile);
    let mut value = serde_json::json!({
        "id": id, "parameters": parameters,
        "min": min, "p50": p50, "p90": p90, "p99": p99, "max": max, "n": n,
    });
    if let Some(what) = what {
        value["what"] = what.into();
    }
    line(value)?;
    Ok(format!(
        "p50 {p50:9.3} ms  p90 {p90:9.3}  p99 {p99:9.3}  min {min:9.3}  max {max:9.3}  n {n}"
    ))
}
