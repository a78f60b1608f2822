//! `mesosd simulate`: the samples that ship, through the real binary.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn sample(name: &str) -> PathBuf {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/simulate");
    samples.join(name)
}

fn simulate(scenario: &Path, out: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mesosd"))
        .arg("simulate")
        .arg(scenario)
        .arg("--out")
        .arg(out)
        .args(more)
        .output()
        .unwrap()
}

fn json(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Everything is launched where Mesos launches 4,210 of 19,500 tasks.
#[test]
fn all_tasks_of_the_multi_framework_sample_are_launched() {
    let out = tempfile::tempdir().unwrap();
    let answer = json(&simulate(
        &sample("multi-framework.toml"),
        out.path(),
        &["-o", "json"],
    ));
    assert_eq!(answer["tasks_wanted"], 19_500, "{answer}");
    assert_eq!(answer["tasks_launched"], 19_500, "{answer}");
    assert!(answer["passes"].as_u64().unwrap() > 0);
    let jain = answer["jain_index"].as_f64().unwrap();
    assert!(jain > 0.0 && jain <= 1.0 + 1e-9, "{jain}");
    for percentile in ["p50", "p90", "p99", "max"] {
        assert!(answer["wait_ms"][percentile].as_f64().is_some(), "{answer}");
    }
    let csv = std::fs::read_to_string(out.path().join("multi-framework.csv")).unwrap();
    assert!(csv.starts_with("seconds,cpus,mem,\"marathon\",\"jenkins\",\"spark\"\n"));
    let plots: Vec<&str> = answer["plots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| path.as_str().unwrap())
        .collect();
    assert!(
        plots.iter().all(|path| Path::new(path).exists()),
        "{plots:?}"
    );
    assert!(
        answer["mean_shares"]["spark"].as_f64().unwrap() > 0.0,
        "{answer}"
    );
    let svg = std::fs::read_to_string(out.path().join("multi-framework.svg")).unwrap();
    assert!(svg.starts_with("<svg"), "{svg}");
}

#[test]
fn the_ci_sample_builds_everything_and_compares() {
    let out = tempfile::tempdir().unwrap();
    let short = ["-o", "json", "--what-if", "weights.services=2"];
    let answer = json(&simulate(&sample("ci.toml"), out.path(), &short));
    for played in [&answer, &answer["what_if"]] {
        let (wanted, launched) = (&played["tasks_wanted"], &played["tasks_launched"]);
        assert!(wanted.as_u64().unwrap() > 300, "{answer}");
        assert_eq!(wanted, launched, "{answer}");
    }
    assert!(out.path().join("ci.what-if.svg").exists());
}

#[test]
fn what_ifs_stand_side_by_side() {
    let out = tempfile::tempdir().unwrap();
    let scenario = out.path().join("tiny.toml");
    let text = "duration = \"1mins\"\n[[agents]]\ncount = 1\nresources = \"cpus:4;mem:400\"\n\
                [[frameworks]]\nname = \"f\"\nrole = \"r\"\ntasks = 3\ntask = \"cpus:1\"\n";
    std::fs::write(&scenario, text).unwrap();
    let output = simulate(
        &scenario,
        out.path(),
        &["--what-if", "frameworks.0.tasks=2"],
    );
    let shown = String::from_utf8(output.stdout).unwrap();
    let line = shown
        .lines()
        .find(|line| line.starts_with("tasks launched"))
        .unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words, ["tasks", "launched", "3", "2"], "{shown}");

    // A role that only one of the two has is not mistaken for another.
    let text = "duration = \"1mins\"\n[[agents]]\ncount = 1\nresources = \"cpus:4;mem:400\"\n\
                [[frameworks]]\nname = \"f\"\ncount = 2\nrole = \"b\"\ntasks = 1\ntask = \"cpus:1\"\n";
    std::fs::write(&scenario, text).unwrap();
    let change = ["--what-if", "frameworks.0.role=a"];
    let output = simulate(&scenario, out.path(), &change);
    let shown = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], "what if frameworks.0.role=a");
    let row = |name: &str| {
        let found = lines.iter().find(|line| line.starts_with(name));
        found.unwrap_or_else(|| panic!("{name} in {shown}"))
    };
    assert!(row("fairness in b").len() < row("fairness in a").len());
    assert!(row("mean share of f").contains('%'), "{shown}");

    for (change, named) in [
        ("frameworks.7.tasks=1", "frameworks.7"),
        ("duration=soon", "soon"),
    ] {
        let output = simulate(&scenario, out.path(), &["--what-if", change]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{stderr}");
        assert!(
            stderr.lines().count() == 1 && stderr.contains(named),
            "{stderr}"
        );
    }
    let output = simulate(&out.path().join("none.toml"), out.path(), &[]);
    assert_eq!(output.status.code(), Some(74));
}
