//! The client's commands on a real cluster: tables for people, JSON for scripts, exit codes, pipes.

use std::io::{Read as _, Write as _};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::cluster::Cluster;

const LIMIT: Duration = Duration::from_secs(20);

/// Two tasks that write a line now and then, under a framework `web`.
struct Scene {
    cluster: Cluster,
    run: Child,
}

impl Scene {
    fn start() -> Self {
        let cluster = Cluster::with_flags(
            2,
            "cpus:2;mem:512;disk:1024;ports:[31000-31009]",
            &["--cluster=west"],
            &[],
        );
        let line = "echo begin; cat /dev/zero | head -c 2000000 | tr '\\0' 'x' > large; \
                    while true; do echo more; sleep 0.05; done";
        let run = cluster
            .command(&["run", "--name", "web", "--instances", "2"])
            .args(["--cpus", "0.5", "--mem", "64", "--", "sh", "-c", line])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let scene = Self { cluster, run };
        scene.until("both tasks run", || {
            let tasks = scene.cluster.json(&["ps", "--state", "running"]);
            tasks.as_array().unwrap().len() == 2
        });
        scene
    }

    fn until(&self, what: &str, done: impl FnMut() -> bool) {
        self.cluster.wait_until(what, LIMIT, done);
    }

    fn output(&self, words: &[&str]) -> Output {
        self.cluster.command(words).output().unwrap()
    }

    /// What a command that works prints.
    fn text(&self, words: &[&str]) -> String {
        let output = self.output(words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {stderr}");
        assert!(stderr.is_empty(), "{words:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The exit code and the one line of a command that does not.
    fn failure(&self, words: &[&str]) -> (i32, String) {
        let output = self.output(words);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.stdout.is_empty(), "{words:?}");
        assert_eq!(stderr.lines().count(), 1, "{words:?}: {stderr}");
        let code = output.status.code().unwrap();
        (code, stderr.trim_end().to_owned())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.run.kill();
        let _ = self.run.wait();
    }
}

/// The keys of an object, in order.
fn keys(object: &Value) -> String {
    let keys: Vec<_> = object.as_object().unwrap().keys().cloned().collect();
    keys.join(" ")
}

/// Each word of a header stands where its column begins or ends.
fn assert_aligned(table: &str) {
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() > 1, "{table}");
    assert!(!table.contains('\u{1b}'), "no colours in a pipe: {table:?}");
    for header in lines[0].split_whitespace() {
        let begin = lines[0]
            .find(&format!("{header} "))
            .unwrap_or(lines[0].len() - header.len());
        let end = begin + header.len();
        for line in &lines[1..] {
            let at = |index: usize| line.as_bytes().get(index).copied().unwrap_or(b' ');
            let left = at(begin) != b' ' && (begin == 0 || at(begin - 1) == b' ');
            let right = at(end - 1) != b' ' && at(end) == b' ';
            assert!(left || right, "{header}: {line}\n{table}");
        }
    }
}

/// Why the framework gets no more offers: as a table, as JSON, and over Mesos' HTTP API.
fn explains(scene: &Scene) {
    let answer = scene.cluster.json(&["explain", "web"]);
    assert_eq!(keys(&answer), "framework framework_id roles");
    let role = &answer["roles"][0];
    assert_eq!(keys(role), "demand groups position role");
    let position = role["position"].as_array().unwrap();
    assert_eq!(position.len(), 3, "{answer}");
    let groups = role["groups"].as_array().unwrap();
    let agents = groups
        .iter()
        .map(|group| group["agents"].as_array().unwrap().len());
    assert_eq!(
        agents.sum::<usize>(),
        2,
        "each agent has one reason: {answer}"
    );
    for group in groups {
        assert_eq!(keys(group), "agents message reason would_be_offered_if");
    }
    let text = scene.text(&["explain", "web"]);
    assert!(text.contains("  (") && text.contains("PLACE"), "{text}");
    let agent = groups[0]["agents"][0]["agent_id"].as_str().unwrap();
    let one = scene.cluster.json(&["explain", "web", "--agent", agent]);
    let groups = one["roles"][0]["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 1, "{one}");
    let (code, line) = scene.failure(&["explain", "web", "--role", "nobody"]);
    assert_eq!(code, 1, "{line}");
    assert!(line.contains("nobody"), "{line}");

    let id = answer["framework_id"].as_str().unwrap();
    let body =
        format!("{{\"type\":\"EXPLAIN\",\"explain\":{{\"framework_id\":{{\"value\":\"{id}\"}}}}}}");
    let address = scene.cluster.address();
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    write!(
        stream,
        "POST /api/v1 HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAccept: application/json\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert!(
        reply.contains("\"type\":\"EXPLAIN\"") && reply.contains(id),
        "{reply}"
    );
}

fn tables(scene: &Scene) {
    for words in [
        &["ps"][..],
        &["tasks"],
        &["agents"],
        &["frameworks"],
        &["roles"],
        &["ls", "web-1"],
    ] {
        assert_aligned(&scene.text(words));
    }
    let tasks = scene.text(&["ps"]);
    let row = tasks
        .lines()
        .find(|line| line.starts_with("web-1 "))
        .unwrap();
    let words: Vec<_> = row.split_whitespace().collect();
    assert_eq!(words[1..4], ["web", "running", "web"], "{row}");
    assert_eq!(words[5..8], ["0.5", "64", "MB"], "{row}");
    assert!(words[8].ends_with('s'), "a relative time: {row}");
    let state = scene.text(&["state"]);
    for line in [
        "cluster     west",
        "agents      2 of 2 active",
        "cpus        1 of 4 used",
        "tasks       2 running",
    ] {
        assert!(state.contains(line), "{state}");
    }
}

fn stable_keys(scene: &Scene) {
    let first = |words: &[&str]| scene.cluster.json(words)[0].clone();
    let task = first(&["ps"]);
    let of_task = "agent agent_id container_id executor_id framework framework_id id message name \
                   reason resources since state";
    assert_eq!(keys(&task), of_task);
    assert_eq!(task["state"], "TASK_RUNNING");
    assert_eq!(task["resources"]["cpus"], 0.5);
    assert_eq!(keys(&first(&["tasks"])), of_task);
    assert_eq!(
        keys(&first(&["agents"])),
        "active address allocated attributes deactivated hostname id offered registered reregistered \
         state total version"
    );
    assert_eq!(
        keys(&first(&["frameworks"])),
        "active allocated connected failover_timeout hostname id live name offered principal \
         registered reregistered roles unregistered user"
    );
    assert_eq!(keys(&first(&["roles"])), "frameworks name resources weight");
    assert_eq!(scene.cluster.json(&["offers"]), Value::Array(Vec::new()));
    let state = scene.cluster.json(&["state"]);
    assert_eq!(keys(&state), "agents frameworks master tasks");
    assert_eq!(
        keys(&state["master"]),
        "address cluster elected hostname id started version"
    );
    assert_eq!(state["master"]["address"], scene.cluster.address());
    let file = first(&["ls", "web-1"]);
    assert_eq!(keys(&file), "group mode modified name path size user");
}

fn files_and_logs(scene: &Scene) {
    assert!(scene.text(&["logs", "web-1"]).starts_with("begin\nmore\n"));
    assert!(
        scene
            .text(&["cat", "web-1", "stdout"])
            .starts_with("begin\n")
    );
    assert_eq!(scene.text(&["logs", "--stderr", "web-1"]), "");
    assert_eq!(scene.text(&["cat", "web-1", "large"]).len(), 2_000_000);
    let (code, line) = scene.failure(&["cat", "web-1", "none"]);
    assert_eq!(code, 1, "{line}");
    assert!(line.ends_with("/none' does not exist"), "{line}");
    let (code, line) = scene.failure(&["cat", "web-1", "../../../../../../etc/passwd"]);
    assert_eq!(code, 64, "{line}");
    let (code, line) = scene.failure(&["logs", "nobody"]);
    assert_eq!(code, 1, "{line}");
    assert!(line.starts_with("mesosd: no task 'nobody': "), "{line}");
    let (code, line) = scene.failure(&["logs", "web"]);
    assert_eq!(code, 64, "{line}");
    assert!(
        line.starts_with("mesosd: 'web' fits several tasks: web-1 of "),
        "{line}"
    );
}

/// Reads a little of what a command prints and closes the pipe.
fn readers_that_go_away(scene: &Scene) {
    for words in [
        &["ps"][..],
        &["state", "-o", "json"],
        &["logs", "-f", "web-1"],
        &["cat", "web-1", "large"],
    ] {
        let mut child = scene
            .cluster
            .command(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 1];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {stderr}");
        assert_eq!(stderr, "", "{words:?}");
    }
}

/// On a terminal, and only there, states have colours.
fn colours(scene: &Scene) {
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut command = scene.cluster.command(&["ps"]);
    let mut child = command
        .env_remove("NO_COLOR")
        .stdout(pty.slave)
        .spawn()
        .unwrap();
    // Our copy of the terminal's end would keep the other one from ending.
    drop(command);
    let mut shown = Vec::new();
    // The end of a terminal is an error.
    let _ = std::fs::File::from(pty.master).read_to_end(&mut shown);
    assert!(child.wait().unwrap().success());
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("\u{1b}[32mrunning\u{1b}[0m"), "{shown:?}");
}

fn orders(scene: &mut Scene) {
    assert_eq!(scene.text(&["kill", "web-2"]), "web-2: kill sent\n");
    scene.until("the task is killed", || {
        let ended = scene.cluster.json(&["tasks", "--state", "killed"]);
        ended[0]["id"] == "web-2"
    });
    let (code, line) = scene.failure(&["kill", "web-2"]);
    assert_eq!(code, 1, "{line}");
    let follower = scene
        .cluster
        .command(&["logs", "-f", "web-1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (code, line) = scene.failure(&["teardown", "nobody"]);
    assert_eq!(code, 1, "{line}");
    let told = scene.text(&["teardown", "web"]);
    assert!(told.ends_with("-0000: torn down\n"), "{told}");
    let followed = follower.wait_with_output().unwrap();
    assert!(followed.status.success(), "it ends with the task");
    assert!(followed.stdout.starts_with(b"begin\nmore\n"));
    assert!(!scene.run.wait().unwrap().success());
    assert_eq!(scene.cluster.json(&["ps"]), Value::Array(Vec::new()));
    let over = scene.cluster.json(&["frameworks", "--all"]);
    assert_eq!(
        (&over[0]["name"], &over[0]["live"]),
        (&"web".into(), &false.into())
    );
    // A table without rows has its header all the same.
    assert_eq!(scene.text(&["ps"]).lines().count(), 1);
}

/// A task that asks for what no agent has, and one that must wait.
fn placement(scene: &Scene) {
    let (code, line) = scene.failure(&["run", "--cpus", "9", "--", "true"]);
    assert_eq!(code, 75, "{line}");
    assert_eq!(
        line,
        "mesosd: the task cannot be placed: it needs 9 cpus and the largest agent has 2"
    );
    let words = [
        "run",
        "--name",
        "big",
        "--cpus",
        "2",
        "--instances",
        "3",
        "--",
        "sleep",
        "1000",
    ];
    let mut waiting = scene
        .cluster
        .command(&words)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stderr = waiting.stderr.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stderr), &mut line).unwrap();
    assert_eq!(
        line,
        "mesosd: waiting to place 1 of 3 tasks: agents that could run them have too little free \
         now\n"
    );
    scene.text(&["teardown", "big"]);
    assert!(!waiting.wait().unwrap().success());
}

#[test]
fn people_and_scripts_are_answered() {
    let mut scene = Scene::start();
    tables(&scene);
    explains(&scene);
    stable_keys(&scene);
    files_and_logs(&scene);
    readers_that_go_away(&scene);
    colours(&scene);
    orders(&mut scene);
    placement(&scene);
}
