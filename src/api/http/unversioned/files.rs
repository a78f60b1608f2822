//! `/files/browse`, `/files/read`, `/files/download`, `/files/debug` of master and agent.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};

use super::master::with;
use super::pieces::{double, text};
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use super::routes::{ANY, Routes};
use crate::api::error::ApiError;
use crate::api::service::files::{Downloaded, FileCalls};
use crate::proto::json::writer::Writer;
use crate::proto::v1;

/// Adds the endpoints. They are those of a process of their own: no other name leads to them.
pub(super) fn add(routes: Routes, calls: &FileCalls) -> Routes {
    routes
        .add_here("/files/browse", ANY, with(calls, browse))
        .add_here("/files/read", ANY, with(calls, read))
        .add_here("/files/download", ANY, with(calls, download))
        .add_here("/files/debug", ANY, with(calls, debug))
}

/// The path that every one of them but the last needs.
fn path(request: &Request) -> Result<String, ApiError> {
    let path = request.query.get("path").filter(|path| !path.is_empty());
    let missing = || ApiError::field("path", "Expecting 'path=value' in query.");
    path.map(str::to_owned).ok_or_else(missing)
}

async fn browse(calls: FileCalls, request: Request) -> Result<Reply, Refusal> {
    let entries = calls.list(path(&request)?).await.map_err(refused)?;
    Ok(Reply::json(|w| {
        w.open_list();
        for entry in &entries {
            w.item();
            info(w, entry);
        }
        w.close_list();
    }))
}

/// One entry of a folder.
fn info(w: &mut Writer, info: &v1::FileInfo) {
    w.open();
    text(w, "\"gid\":", info.gid());
    text(w, "\"mode\":", &mode(info.mode()));
    let modified = info.mtime.map_or(0, |time| time.nanoseconds);
    double(w, "\"mtime\":", (modified / 1_000_000_000) as f64);
    w.key("\"nlink\":");
    w.int32(info.nlink());
    text(w, "\"path\":", &info.path);
    w.key("\"size\":");
    w.uint64(info.size());
    text(w, "\"uid\":", info.uid());
    w.close();
}

/// A mode as `ls -l` shows it.
fn mode(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o060_000 => 'b',
        0o020_000 => 'c',
        0o010_000 => 'p',
        0o140_000 => 's',
        _ => '-',
    };
    let special = [(0o4000, 's', 'S'), (0o2000, 's', 'S'), (0o1000, 't', 'T')];
    let mut shown = String::from(kind);
    for (at, (bit, with, without)) in special.into_iter().enumerate() {
        let rights = mode >> (6 - 3 * at);
        shown.push(if rights & 4 == 0 { '-' } else { 'r' });
        shown.push(if rights & 2 == 0 { '-' } else { 'w' });
        shown.push(match (mode & bit != 0, rights & 1 != 0) {
            (true, true) => with,
            (true, false) => without,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    shown
}

/// A number of the query where -1 is as good as none.
fn number(request: &Request, name: &str) -> Result<Option<u64>, ApiError> {
    let Some(given) = request.query.get(name) else {
        return Ok(None);
    };
    let parsed: Result<i64, _> = given.trim().parse();
    match parsed {
        Ok(-1) => Ok(None),
        Ok(number) => u64::try_from(number)
            .map(Some)
            .map_err(|_| ApiError::field(name, format!("Negative {name} provided: {number}."))),
        Err(error) => {
            let shown: String = given.chars().take(40).collect();
            let message = format!("Failed to parse {name}: '{shown}': {error}.");
            Err(ApiError::field(name, message))
        }
    }
}

async fn read(calls: FileCalls, request: Request) -> Result<Reply, Refusal> {
    let path = path(&request)?;
    let offset = number(&request, "offset")?;
    let length = number(&request, "length")?;
    let slice = calls.read(path, offset, length).await.map_err(refused)?;
    // Without an offset, or with one behind the end, the answer is where the end is.
    let at = offset.map_or(slice.size, |offset| offset.min(slice.size));
    Ok(Reply::json(|w| {
        w.open();
        text(w, "\"data\":", &String::from_utf8_lossy(&slice.data));
        w.key("\"offset\":");
        w.uint64(at);
        w.close();
    }))
}

async fn download(calls: FileCalls, request: Request) -> Result<Reply, Refusal> {
    let file = calls.download(path(&request)?).await.map_err(refused)?;
    Ok(Reply::Other(Box::new(attachment(file))))
}

/// The whole file, named for the browser.
fn attachment(file: Downloaded) -> Response {
    let kind = kind(&file.name);
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | ';');
    let shown: String = file
        .name
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    let disposition = HeaderValue::from_str(&format!("attachment; filename={shown}"));
    let length = HeaderValue::from(file.download.size());
    let chunks = stream::unfold(Some(file), |file| async move {
        let mut file = file?;
        match file.download.next().await {
            Ok(chunk) if chunk.is_empty() => None,
            Ok(chunk) => Some((Ok(Bytes::from(chunk)), Some(file))),
            Err(error) => Some((Err(error), None)),
        }
    });
    let mut response = Body::from_stream(chunks).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_LENGTH, length);
    if let Ok(disposition) = disposition {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    response
}

/// What a file holds, as far as its name tells. Never what a browser would run in our name.
fn kind(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension {
        "txt" | "log" => "text/plain",
        "csv" => "text/csv",
        "json" => "application/json",
        "gz" => "application/gzip",
        "tar" => "application/x-tar",
        "zip" => "application/zip",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "pdf" => "application/pdf",
        _ => "application/octet-stream",
    }
}

async fn debug(calls: FileCalls, _: Request) -> Result<Reply, Refusal> {
    let attached = calls.attached().await?;
    Ok(Reply::json(|w| {
        w.open();
        for (name, path) in &attached {
            w.name(name);
            w.string(path);
        }
        w.close();
    }))
}

/// Mesos says no more than 404 of a file that is not there.
fn refused(error: ApiError) -> Refusal {
    match error {
        ApiError::NotFound(_) => Refusal::NotFound,
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_shown_as_ls_does() {
        assert_eq!(mode(0o100_644), "-rw-r--r--");
        assert_eq!(mode(0o040_755), "drwxr-xr-x");
        assert_eq!(mode(0o041_777), "drwxrwxrwt");
        assert_eq!(mode(0o104_750), "-rwsr-x---");
        assert_eq!(mode(0o102_640), "-rw-r-S---");
        assert_eq!(mode(0o120_777), "lrwxrwxrwx");
    }
}
