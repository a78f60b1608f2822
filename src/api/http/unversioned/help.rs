//! `/help`: the endpoints, each with a sentence; and which of them the leading master alone serves.

use std::fmt::Write as _;

use super::refusal::Refusal;
use super::reply::Reply;

/// Who has an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Master,
    Agent,
    Both,
}

/// Path below the process, who has it, what it does.
pub(super) const ENDPOINTS: &[(&str, Of, &str)] = &[
    (
        "/api/v1",
        Of::Both,
        "POST: the operator API, JSON or protobuf.",
    ),
    (
        "/api/v1/scheduler",
        Of::Master,
        "POST: the scheduler API, JSON or protobuf.",
    ),
    (
        "/api/v1/executor",
        Of::Agent,
        "POST: the executor API, JSON or protobuf.",
    ),
    ("/state", Of::Both, "Everything that the daemon knows."),
    (
        "/state-summary",
        Of::Master,
        "Agents and frameworks, with counts in place of tasks.",
    ),
    (
        "/slaves",
        Of::Master,
        "Agents with Resource objects; slave_id=ID for one.",
    ),
    (
        "/frameworks",
        Of::Master,
        "Frameworks with their tasks; framework_id=ID for one.",
    ),
    (
        "/tasks",
        Of::Master,
        "Tasks; limit=N (100, -1 for all), offset=N, order=asc or desc, framework_id=ID, task_id=ID.",
    ),
    ("/roles", Of::Master, "Roles with weights, quota and use."),
    (
        "/offer_constraints_debug",
        Of::Master,
        "Agents that frameworks are not offered because of their offer constraints, by role.",
    ),
    ("/weights", Of::Master, "Weights of roles."),
    ("/quota", Of::Master, "Guarantees and limits of roles."),
    (
        "/maintenance/schedule",
        Of::Master,
        "Machines that are to be maintained, and when.",
    ),
    (
        "/maintenance/status",
        Of::Master,
        "Machines that are draining or down.",
    ),
    (
        "/machine/down",
        Of::Master,
        "POST a JSON list of machine ids: begins their maintenance.",
    ),
    (
        "/machine/up",
        Of::Master,
        "POST a JSON list of machine ids: ends their maintenance.",
    ),
    (
        "/reserve",
        Of::Master,
        "POST slaveId=ID&resources=JSON: reserves free resources of an agent.",
    ),
    (
        "/unreserve",
        Of::Master,
        "POST slaveId=ID&resources=JSON: ends dynamic reservations.",
    ),
    (
        "/create-volumes",
        Of::Master,
        "POST slaveId=ID&volumes=JSON: makes persistent volumes of reserved disk.",
    ),
    (
        "/destroy-volumes",
        Of::Master,
        "POST slaveId=ID&volumes=JSON: deletes persistent volumes.",
    ),
    (
        "/teardown",
        Of::Master,
        "POST frameworkId=ID: ends a framework and its tasks.",
    ),
    ("/redirect", Of::Master, "Sends on to the leading master."),
    (
        "/containers",
        Of::Agent,
        "Containers of executors, what they use, their status; container_id=ID for one.",
    ),
    (
        "/monitor/statistics",
        Of::Agent,
        "What each executor uses, measured at most twice a second.",
    ),
    (
        "/files/browse",
        Of::Both,
        "path=PATH: what is in a folder of a sandbox.",
    ),
    (
        "/files/read",
        Of::Both,
        "path=PATH&offset=N&length=N: a part of a file; offset=-1 gives its size.",
    ),
    ("/files/download", Of::Both, "path=PATH: a whole file."),
    (
        "/files/debug",
        Of::Both,
        "Virtual paths, with what they stand for.",
    ),
    ("/help", Of::Both, "This list; /help/PATH for one endpoint."),
    ("/health", Of::Both, "200 while the daemon answers."),
    ("/version", Of::Both, "What runs, and when it was built."),
    ("/flags", Of::Both, "The flags that the daemon runs with."),
    (
        "/metrics/snapshot",
        Of::Both,
        "All metrics; timeout=DURATION leaves out the late ones.",
    ),
    ("/metrics", Of::Both, "All metrics for Prometheus."),
    (
        "/logging/toggle",
        Of::Both,
        "level=N&duration=DURATION makes the log say more for a while.",
    ),
    (
        "/system/stats.json",
        Of::Both,
        "Load and memory of the host.",
    ),
];

/// Whether a master has something at this path, which only the leading one can answer. What every
/// master answers is asked for elsewhere before.
pub(in crate::api::http) fn of_leader(path: &str) -> bool {
    let own = path.strip_prefix("/master");
    let path = own.filter(|rest| rest.starts_with('/')).unwrap_or(path);
    let mut masters = ENDPOINTS.iter().filter(|(_, of, _)| *of != Of::Agent);
    masters.any(|(known, _, _)| {
        let Some(rest) = path.strip_prefix(known) else {
            return false;
        };
        let rest = rest.strip_prefix(".json").unwrap_or(rest);
        // A path behind it would be sent from master to master for ever.
        let loops = *known == "/redirect" && !rest.trim_end_matches('/').is_empty();
        !loops && (rest.is_empty() || rest.starts_with('/'))
    })
}

/// `/help` lists the endpoints, `/help/<path>` says what one does.
pub(super) fn answer(process: &str, rest: &str) -> Result<Reply, Refusal> {
    let own = if process == "master" {
        Of::Master
    } else {
        Of::Agent
    };
    let here = ENDPOINTS
        .iter()
        .filter(|(_, of, _)| *of == own || *of == Of::Both);
    let wanted = rest.strip_prefix(process).unwrap_or(rest);
    let wanted = wanted.trim_matches('/');
    let mut text = String::from(
        "<!doctype html><meta charset=utf-8><title>Help</title>\
         <style>body{font:1em sans-serif;margin:2em}dt{font-family:monospace;margin-top:.5em}</style>\
         <h1>Endpoints</h1><dl>\n",
    );
    let mut found = false;
    for (path, _, sentence) in here {
        if !wanted.is_empty() && path.trim_matches('/') != wanted {
            continue;
        }
        found = true;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "<dt><a href=\"{path}\">{path}</a><dd>{sentence}");
    }
    if !found {
        return Err(Refusal::NotFound);
    }
    text.push_str("</dl>\n");
    Ok(Reply::Html(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_leader_serves() {
        for (path, expected) in [
            ("/state", true),
            ("/state.json", true),
            ("/master/state", true),
            ("/master/state/", true),
            ("/quota/role/below", true),
            ("/api/v1/scheduler", true),
            ("/master/api/v1", true),
            ("/api/v1/operator", true),
            ("/redirect", true),
            ("/master/redirect/", true),
            ("/redirect/state", false),
            ("/statement", false),
            ("/containers", false),
            ("/", false),
            ("/master", false),
            ("/nothing", false),
            ("/mastery/state", false),
        ] {
            assert_eq!(of_leader(path), expected, "{path}");
        }
    }
}
