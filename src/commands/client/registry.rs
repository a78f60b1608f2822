//! `mesosd registry show | export | import | check`: the registry itself, without a master.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::ClientError;
use super::output::{Format, Output};
use crate::commands::candidate::REGISTRY;
use crate::election::ZooKeeperUrl;
use crate::election::session::Session;
use crate::flags::ZooKeeperFlags;
use crate::proto::json::to_json;
use crate::registrar::{EmbeddedStorage, Record, read_records, replace_records};
use crate::registry::{Registry, Subject};

/// Of an exported file.
const FORMAT: u32 = 1;
/// Largest file that is imported, in bytes.
const BYTES_MAX: u64 = 4 << 30;

/// What to do with which registry.
#[derive(Args, Clone, Debug)]
pub(in crate::commands) struct RegistryArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// List all records.
    Show(Place),
    /// Print all records as JSON that `import` reads.
    Export(Place),
    /// Replace the registry by what `export` has printed; no master may run.
    Import {
        #[command(flatten)]
        place: Place,
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Read every record and say what is wrong with each.
    Check(Place),
}

/// Where a registry is.
#[derive(Args, Clone, Debug)]
#[command(rename_all = "snake_case")]
struct Place {
    /// Work directory of a master that leads alone.
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with = "zk",
        required_unless_present = "zk"
    )]
    work_dir: Option<PathBuf>,
    /// ZooKeeper ensemble and path of masters that are elected.
    #[arg(long, value_name = "URL")]
    zk: Option<ZooKeeperUrl>,
    #[command(flatten)]
    zookeeper: ZooKeeperFlags,
}

/// A registry in a file.
#[derive(Debug, Serialize, Deserialize)]
struct Exported {
    format: u32,
    records: Vec<ExportedRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ExportedRecord {
    key: String,
    /// Base64.
    data: String,
}

impl Place {
    async fn session(&self, url: &ZooKeeperUrl) -> Result<Session, ClientError> {
        let ensemble = self.zookeeper.ensemble(url)?;
        let wrong = |source| ClientError::Ensemble {
            address: url.to_string(),
            source,
        };
        Session::open(&ensemble).await.map_err(wrong)
    }

    /// All records, sorted by key.
    async fn read(&self) -> Result<Vec<Record>, ClientError> {
        match (&self.zk, &self.work_dir) {
            (Some(url), _) => {
                let session = self.session(url).await?;
                Ok(read_records(&session, &url.below(REGISTRY)).await?)
            }
            (None, work_dir) => {
                let work_dir = work_dir.clone().unwrap_or_default();
                Ok(EmbeddedStorage::records(&work_dir)?)
            }
        }
    }

    async fn replace(&self, records: &[(String, Vec<u8>)]) -> Result<(), ClientError> {
        match (&self.zk, &self.work_dir) {
            (Some(url), _) => {
                let session = self.session(url).await?;
                replace_records(&session, url.path(), &url.below(REGISTRY), records).await?;
                session.close().await;
                Ok(())
            }
            (None, work_dir) => {
                let work_dir = work_dir.clone().unwrap_or_default();
                Ok(EmbeddedStorage::replace(&work_dir, records)?)
            }
        }
    }
}

/// Does what is asked for.
pub(super) async fn run(output: &mut Output, arguments: &RegistryArgs) -> Result<(), ClientError> {
    match &arguments.what {
        What::Show(place) => show(output, &place.read().await?),
        What::Export(place) => {
            let records = place
                .read()
                .await?
                .into_iter()
                .map(|record| ExportedRecord {
                    key: record.key,
                    data: STANDARD.encode(record.data),
                });
            let exported = Exported {
                format: FORMAT,
                records: records.collect(),
            };
            let text = serde_json::to_vec_pretty(&exported);
            output.bytes(&text.expect("texts are always JSON"))?;
            output.line("")
        }
        What::Import { place, file } => {
            let records = imported(file)?;
            place.replace(&records).await?;
            let count = records.len();
            match output.format() {
                Format::Json => output.json(&json!({"records": count})),
                Format::Text => output.line(&format!("{count} records imported")),
            }
        }
        What::Check(place) => check(output, &place.read().await?),
    }
}

/// The records of a file, each of them sound.
fn imported(file: &PathBuf) -> Result<Vec<(String, Vec<u8>)>, ClientError> {
    let wrong = |reason: String| ClientError::Import {
        file: file.display().to_string(),
        reason,
    };
    let size = std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?;
    if size.len() > BYTES_MAX {
        return Err(wrong(format!("larger than {BYTES_MAX} bytes")));
    }
    let text = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let exported: Exported =
        serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    if exported.format > FORMAT {
        return Err(wrong(format!(
            "format {} is newer than this mesosd",
            exported.format
        )));
    }
    let mut registry = Registry::default();
    let mut records = Vec::with_capacity(exported.records.len());
    for ExportedRecord { key, data } in exported.records {
        let data = STANDARD.decode(data);
        let data = data.map_err(|error| wrong(format!("{key}: {error}")))?;
        restore(&mut registry, &key, &data).map_err(wrong)?;
        records.push((key, data));
    }
    Ok(records)
}

fn restore(registry: &mut Registry, key: &str, data: &[u8]) -> Result<Subject, String> {
    let subject = Subject::from_key(key).ok_or_else(|| format!("no record is '{key}'"))?;
    let restored = registry.restore(&subject, data);
    restored.map_err(|error| crate::telemetry::chain(&error).to_string())?;
    Ok(subject)
}

fn check(output: &mut Output, records: &[Record]) -> Result<(), ClientError> {
    let mut registry = Registry::default();
    let mut wrong = Vec::new();
    for record in records {
        if let Err(reason) = restore(&mut registry, &record.key, &record.data) {
            wrong.push((record.path.clone(), reason));
        }
    }
    let (count, bad) = (records.len(), wrong.len());
    match output.format() {
        Format::Json => {
            let wrong: Vec<Value> = wrong
                .iter()
                .map(|(path, reason)| json!({"path": path, "reason": reason}))
                .collect();
            output.json(&json!({"records": count, "wrong": wrong}))?;
        }
        Format::Text => {
            for (path, reason) in &wrong {
                output.line(&format!("{path}: {reason}"))?;
            }
            output.line(&format!("{count} records, {bad} of them damaged"))?;
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    output.flush()?;
    Err(ClientError::Damaged { count: bad })
}

fn show(output: &mut Output, records: &[Record]) -> Result<(), ClientError> {
    let mut shown = Vec::with_capacity(records.len());
    for record in records {
        // One at a time, so that one that is damaged hides no other.
        let mut registry = Registry::default();
        let value = match restore(&mut registry, &record.key, &record.data) {
            Ok(subject) => value(&registry, &subject),
            Err(reason) => json!({"damaged": reason}),
        };
        shown.push((record.key.clone(), value));
    }
    match output.format() {
        Format::Json => {
            let records: Vec<Value> = shown
                .into_iter()
                .map(|(key, value)| json!({"key": key, "value": value}))
                .collect();
            output.json(&json!({"records": records}))
        }
        Format::Text => {
            for (key, value) in shown {
                output.line(&format!("{key}  {value}"))?;
            }
            Ok(())
        }
    }
}

/// What a record says.
fn value(registry: &Registry, subject: &Subject) -> Value {
    let message = |bytes: Vec<u8>| serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    match subject {
        Subject::Agent(id) => {
            let state = if registry.gone.contains_key(id) {
                "gone"
            } else if registry.unreachable.contains_key(id) {
                "unreachable"
            } else {
                "admitted"
            };
            let since = registry.gone.get(id).or(registry.unreachable.get(id));
            let standing = registry.standings.get(id);
            json!({
                "state": state,
                "since": since.map(|since| since.as_secs_f64()),
                "deactivated": standing.is_some_and(|standing| standing.deactivated),
                "draining": standing.is_some_and(|standing| standing.drain.is_some()),
                "info": registry.agents.get(id).map(|info| message(to_json(&**info))),
            })
        }
        Subject::Framework(id) => registry
            .frameworks
            .get(id)
            .map_or(Value::Null, |info| message(to_json(&**info))),
        Subject::Weight(role) => registry.weights.get(role).map_or(Value::Null, |weight| {
            json!(f64::from(weight.thousandths()) / 1000.0)
        }),
        Subject::Quota(role) => registry.quotas.get(role).map_or(Value::Null, |quota| {
            message(to_json(&quota.to_config(role)))
        }),
        Subject::Maintenance => message(to_json(&registry.maintenance.schedule())),
    }
}
