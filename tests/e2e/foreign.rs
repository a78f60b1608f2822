//! Programs that are not ours: what must be installed for one, and one run of it against a cluster.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{Cluster, python};

/// What `tests/run` has installed below `target/`.
pub(crate) fn installed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target")
        .join(path)
}

/// A program with its arguments.
pub(crate) struct Foreign(Command);

impl Foreign {
    /// A program with what it needs below `target/`; without it the test `test` counts as skipped.
    pub(crate) fn new(test: &str, program: impl AsRef<OsStr>, needs: &[&str]) -> Option<Self> {
        if let Some(missing) = needs.iter().find(|path| !installed(path).exists()) {
            mesosd::testing::skip(
                test,
                &format!("target/{missing} is missing: tests/run makes it"),
            );
            return None;
        }
        let mut command = Command::new(program);
        command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("MESOSD_PROTO", "proto");
        Some(Self(command))
    }

    /// A script of ours in the Python environment of `tests/run`.
    pub(crate) fn python(test: &str, script: &str) -> Option<Self> {
        let foreign = Self::new(test, python(test)?, &[])?;
        Some(foreign.args([format!("tests/python/{script}")]))
    }

    /// A script of ours in the Python environment of `tests/run`, with packages of its own: those that
    /// `tests/run` has put into `target/foreign/<packages>`.
    pub(crate) fn python_with(test: &str, script: &str, packages: &str) -> Option<Self> {
        let folder = format!("foreign/{packages}");
        let foreign = Self::new(test, python(test)?, &[&folder])?;
        let foreign = foreign.env("PYTHONPATH", installed(&folder));
        Some(foreign.args([format!("tests/python/{script}")]))
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.0.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn current_dir(mut self, folder: &Path) -> Self {
        self.0.current_dir(folder);
        self
    }

    /// Runs it; it must end with success. Gives what it has written to its standard output.
    pub(crate) fn run(mut self, cluster: &Cluster) -> String {
        let output = self.0.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{:?}: {}\n{text}\n{}\n{}",
            self.0,
            output.status,
            String::from_utf8_lossy(&output.stderr),
            cluster.logs()
        );
        text
    }

    /// Runs it; its last word must be `ok`.
    pub(crate) fn succeeds(self, cluster: &Cluster) {
        let text = self.run(cluster);
        assert!(text.ends_with("ok\n"), "{text}\n{}", cluster.logs());
    }
}
