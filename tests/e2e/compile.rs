//! Compiles a real C library on a real cluster: one task per source file over several agents, the
//! objects collected from the sandboxes, linked, and the library's own test program as the last task.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{Cluster, python};

/// zlib's translation units, without the extension.
const SOURCES: &[&str] = &[
    "adler32", "compress", "crc32", "deflate", "gzclose", "gzlib", "gzread", "gzwrite", "infback",
    "inffast", "inflate", "inftrees", "trees", "uncompr", "zutil",
];

/// zlib's own test program.
const TEST_SOURCE: &str = "test/example.c";

/// The Debian source package, unpacked and packed again below `target/`.
fn tarball() -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/debian-source");
    let status = Command::new("tests/python/fetch_source")
        .arg("zlib")
        .arg(&dir)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(
        status.success(),
        "zlib's source package could not be fetched"
    );
    dir.join("zlib.tar.gz")
}

#[test]
fn zlib_with_the_python_framework() {
    let Some(python) = python("zlib_with_the_python_framework") else {
        return;
    };
    let tarball = tarball();
    let cluster = Cluster::start(3, "cpus:2;mem:1024;disk:1024;ports:[31000-31099]");
    let collect = cluster.dir().join("objects");
    std::fs::create_dir(&collect).unwrap();
    let output = Command::new(python)
        .arg("tests/python/compile_framework.py")
        .env("MESOSD_PROTO", "proto")
        .arg(cluster.address())
        .arg(&tarball)
        .arg(&collect)
        .arg(TEST_SOURCE)
        .args(SOURCES)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}\n{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        cluster.logs()
    );
    assert!(text.contains("inflate(): hello, hello!"), "{text}");
    assert!(text.contains("15 objects from 3 agents"), "{text}");
    cluster.stop();
}
