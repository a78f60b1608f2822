//! Compiles a real C library on a real cluster: one task per source file over several agents, the
//! objects collected from the sandboxes, linked, and the library's own test program as the last task.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use mesosd::proto::v1::TaskState::TaskFinished;

use crate::cluster::Cluster;
use crate::foreign::Foreign;
use crate::scheduler::{Scheduler, resources, task, uri};

/// zlib's translation units, without the extension.
const SOURCES: &[&str] = &[
    "adler32", "compress", "crc32", "deflate", "gzclose", "gzlib", "gzread", "gzwrite", "infback",
    "inffast", "inflate", "inftrees", "trees", "uncompr", "zutil",
];

/// zlib's own test program.
const TEST_SOURCE: &str = "test/example.c";

/// What both programs compile with.
const FLAGS: &str = "-O2 -fPIC -D_LARGEFILE64_SOURCE=1 -DHAVE_UNISTD_H -I zlib";

/// Resources of each of the agents.
const AGENT: &str = "cpus:2;mem:1024;disk:1024;ports:[31000-31099]";

/// The package is fetched by one test at a time.
static FETCHING: Mutex<()> = Mutex::new(());

/// The Debian source package, unpacked and packed again below `target/`.
fn tarball() -> PathBuf {
    let _one = FETCHING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
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
    let name = "zlib_with_the_python_framework";
    let Some(program) = Foreign::python(name, "compile_framework.py") else {
        return;
    };
    let tarball = tarball();
    let cluster = Cluster::start(3, AGENT);
    let collect = cluster.dir().join("objects");
    std::fs::create_dir(&collect).unwrap();
    let text = program
        .args([cluster.address()])
        .args([&tarball, &collect])
        .args([TEST_SOURCE])
        .args(SOURCES)
        .run(&cluster);
    assert!(text.contains("inflate(): hello, hello!"), "{text}");
    assert!(text.contains("15 objects from 3 agents"), "{text}");
    cluster.stop();
}

#[test]
fn zlib_with_the_rust_sdk() {
    let uri = |path: &Path| uri(format!("file://{}", path.display()));
    let tarball = tarball();
    let cluster = Cluster::start(3, AGENT);
    let mut scheduler = Scheduler::start(&cluster, "rust-compile");
    for source in SOURCES {
        let mut compile = task(
            source,
            &format!("cc {FLAGS} -c zlib/{source}.c -o {source}.o"),
        );
        compile.command.as_mut().unwrap().uris = vec![uri(&tarball)];
        compile.resources = resources(0.2, 64.0);
        scheduler.submit(compile);
    }
    let mut objects = Vec::new();
    let mut agents = BTreeSet::new();
    for source in SOURCES {
        let end = scheduler.end_of(source);
        let stderr = || scheduler.text(source, "stderr");
        assert_eq!(end.state(), TaskFinished, "{end:?}\n{}", stderr());
        agents.insert(scheduler.agent(source));
        let name = format!("{source}.o");
        let path = cluster.dir().join(&name);
        std::fs::write(&path, scheduler.read(source, &name)).unwrap();
        objects.push(path);
    }
    assert_eq!(agents.len(), 3, "{agents:?}");
    let mut test = task(
        "test",
        &format!("cc -I zlib zlib/{TEST_SOURCE} *.o -o example && ./example"),
    );
    test.resources = resources(0.2, 64.0);
    let command = test.command.as_mut().unwrap();
    command.uris = vec![uri(&tarball)];
    command.uris.extend(objects.iter().map(|path| uri(path)));
    scheduler.submit(test);
    let end = scheduler.end_of("test");
    let stderr = scheduler.text("test", "stderr");
    assert_eq!(end.state(), TaskFinished, "{end:?}\n{stderr}");
    let text = scheduler.text("test", "stdout");
    assert!(text.contains("inflate(): hello, hello!"), "{text}");
    scheduler.teardown();
    cluster.stop();
}
