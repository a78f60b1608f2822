//! The endpoints that every daemon has: health, version, flags, metrics, log level, the host, help.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use http::StatusCode;

use super::fields::Fields;
use super::help;
use super::pieces::double;
use super::pieces::optional;
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use super::routes::{ANY, Asked, GET, Routes};
use super::state::flags;
use crate::api::error::ApiError;
use crate::api::service::daemon::Daemon;
use crate::base::parse_duration;
use crate::proto::json::writer::Writer;
use crate::proto::v1;
use crate::telemetry::HostStats;

/// Adds them; `core` gives what the daemon's loop has measured.
pub(super) fn add<M, A>(routes: Routes, daemon: &Daemon, core: M) -> Routes
where
    M: Fn() -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<BTreeMap<String, f64>, ApiError>> + Send + 'static,
{
    let process = routes.process();
    let (of_version, of_flags) = (daemon.clone(), daemon.clone());
    let (of_metrics, of_logging) = (daemon.clone(), daemon.clone());
    routes
        .add("/health", ANY, &Asked::Here, |_| async {
            Ok(Reply::Empty(StatusCode::OK))
        })
        .add("/version", ANY, &Asked::Here, move |_| {
            let info = of_version.version.clone();
            async move {
                Ok(Reply::json(|w| {
                    w.open();
                    version(w, &info);
                    w.close();
                }))
            }
        })
        .add("/flags", GET, &Asked::Here, move |_| {
            let daemon = of_flags.clone();
            async move {
                Ok(Reply::json(|w| {
                    w.open();
                    flags(w, &daemon);
                    w.close();
                }))
            }
        })
        .add_here("/metrics/snapshot", ANY, move |request| {
            metrics(of_metrics.clone(), core.clone(), request)
        })
        .add_here("/logging/toggle", ANY, move |request| {
            let answer = toggle(&of_logging, &request.query);
            async move { Ok(answer?) }
        })
        .add_here("/system/stats.json", ANY, |_| async { Ok(host()) })
        .add_here("/help", ANY, move |request| async move {
            help::answer(process, &request.rest)
        })
}

/// The members of `/version`, by the alphabet.
fn version(w: &mut Writer, info: &v1::VersionInfo) {
    optional(w, "\"build_date\":", info.build_date.as_deref());
    if let Some(at) = info.build_time {
        double(w, "\"build_time\":", at);
    }
    optional(w, "\"build_user\":", info.build_user.as_deref());
    optional(w, "\"git_branch\":", info.git_branch.as_deref());
    optional(w, "\"git_sha\":", info.git_sha.as_deref());
    optional(w, "\"git_tag\":", info.git_tag.as_deref());
    optional(w, "\"version\":", Some(&info.version));
}

/// `/metrics/snapshot`: what the loop does not tell in time is left out.
async fn metrics<M, A>(daemon: Daemon, core: M, request: Request) -> Result<Reply, Refusal>
where
    M: Fn() -> A,
    A: Future<Output = Result<BTreeMap<String, f64>, ApiError>>,
{
    let time = match request.query.get("timeout") {
        None => None,
        Some(text) => Some(parse_duration(text).map_err(|error| {
            ApiError::field("timeout", format!("timeout: '{text}' is wrong: {error}"))
        })?),
    };
    let core = match time {
        None => core().await?,
        Some(time) => match tokio::time::timeout(time, core()).await {
            Ok(core) => core?,
            Err(_) => BTreeMap::new(),
        },
    };
    let all = daemon.all_metrics(core);
    Ok(Reply::json(|w| {
        w.open();
        for (name, value) in &all {
            w.name(name);
            w.double(*value);
        }
        w.close();
    }))
}

/// `/logging/toggle`: says the level, or changes it for some time.
fn toggle(daemon: &Daemon, query: &Fields) -> Result<Reply, ApiError> {
    let (level, duration) = match (query.get("level"), query.get("duration")) {
        (None, None) => return Ok(Reply::Text(format!("{}\n", daemon.logging_level()))),
        (Some(level), Some(duration)) => (level, duration),
        (Some(_), None) => return Err(ApiError::missing("duration")),
        (None, Some(_)) => return Err(ApiError::missing("level")),
    };
    let wrong = |name, text: &str, why: String| {
        ApiError::field(name, format!("{name}: '{text}' is wrong: {why}"))
    };
    let number = level
        .parse()
        .map_err(|_| wrong("level", level, "write 0 to 3".to_owned()))?;
    let time: Duration =
        parse_duration(duration).map_err(|error| wrong("duration", duration, error.to_string()))?;
    daemon.set_logging_level(number, time.into())?;
    Ok(Reply::Empty(StatusCode::OK))
}

/// `/system/stats.json`.
fn host() -> Reply {
    let stats = HostStats::now();
    Reply::json(|w| {
        w.open();
        if let Some([one, five, fifteen]) = stats.load {
            double(w, "\"avg_load_15min\":", fifteen);
            double(w, "\"avg_load_1min\":", one);
            double(w, "\"avg_load_5min\":", five);
        }
        w.key("\"cpus_total\":");
        w.uint64(stats.cpus as u64);
        w.key("\"mem_free_bytes\":");
        w.uint64(stats.mem_free);
        w.key("\"mem_total_bytes\":");
        w.uint64(stats.mem_total);
        w.close();
    })
}
