//! Where measurements go: one JSON line each, at the end of `target/bench-results.jsonl`.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// Appends one measurement.
pub(crate) fn line(value: &Value) -> std::io::Result<()> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    std::fs::create_dir_all(&dir)?;
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("bench-results.jsonl"))?;
    writeln!(file, "{value}")
}

/// Times of equal things, in milliseconds: what to print, after the line was written.
pub(crate) fn times(id: &str, parameters: &str, times: &[Duration]) -> std::io::Result<String> {
    let mut millis: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    millis.sort_by(f64::total_cmp);
    let n = millis.len();
    if n == 0 {
        let message = format!("{id}: nothing was measured");
        return Err(std::io::Error::other(message));
    }
    let quantile = |hundredths: usize| millis[(n - 1) * hundredths / 100];
    let (p50, p90, p99, max) = (quantile(50), quantile(90), quantile(99), quantile(100));
    line(&serde_json::json!({
        "id": id, "parameters": parameters, "p50": p50, "p90": p90, "p99": p99, "max": max, "n": n,
    }))?;
    Ok(format!(
        "p50 {p50:9.3} ms  p90 {p90:9.3}  p99 {p99:9.3}  max {max:9.3}  n {n}"
    ))
}
