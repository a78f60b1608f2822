//! Logging to stderr and, if asked, to a file; the level can be changed and the file opened anew while
//! the daemon runs.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Mesos' levels, and the two below them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum LogLevel {
    /// Everything that is known about every step.
    Trace,
    /// What helps to find out why.
    Debug,
    /// What an operator wants to know afterwards.
    #[default]
    Info,
    /// What an operator should look at.
    Warning,
    /// What failed.
    Error,
}

/// What is logged, how and where.
#[derive(Clone, Debug, Default)]
pub struct LogConfig {
    /// The least important level that is shown.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
    /// Nothing on stderr.
    pub quiet: bool,
    /// Also append to this file.
    pub file: Option<PathBuf>,
}

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log file cannot be opened.
    #[error("log file {} cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Logging was started before in this process.
    #[error("logging was started before in this process")]
    Twice,
}

/// A file that lines are appended to.
#[derive(Clone, Debug)]
struct LogFile {
    path: Arc<Path>,
    file: Arc<Mutex<File>>,
}

impl LogFile {
    fn open(path: &Path) -> Result<Self, LogError> {
        Ok(Self {
            path: path.into(),
            file: Arc::new(Mutex::new(open(path)?)),
        })
    }

    fn locked(&self) -> MutexGuard<'_, File> {
        // Whoever panicked with it has written a line, or not.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.locked().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.locked().flush()
    }
}

impl fmt::MakeWriter<'_> for LogFile {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Changes the level of the running process, and the file behind its name.
#[derive(Clone, Debug)]
pub struct LogHandle {
    filter: reload::Handle<Targets, Registry>,
    file: Option<LogFile>,
    usual: LogLevel,
    /// Counts changes, so that an older revert does not undo a newer one.
    changes: Arc<AtomicU64>,
}

/// Where our own lines come from.
const OWN_TARGET: &str = env!("CARGO_CRATE_NAME");

impl LogLevel {
    /// Our own lines at this level; those of libraries only when they warn, because at the lower levels
    /// they drown ours.
    fn filter(self) -> Targets {
        let level = match self {
            Self::Trace => LevelFilter::TRACE,
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warning => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
        };
        Targets::new()
            .with_default(level.min(LevelFilter::WARN))
            .with_target(OWN_TARGET, level)
    }
}

/// Starts logging for the whole process.
pub fn start(config: &LogConfig) -> Result<LogHandle, LogError> {
    let file = config.file.as_deref().map(LogFile::open).transpose()?;
    let (filter, handle) = reload::Layer::new(config.level.filter());
    let stderr = (!config.quiet).then(|| {
        let colours = io::stderr().is_terminal();
        layer(config.format, io::stderr, colours)
    });
    let to_file = file.clone();
    let to_file = to_file.map(|file| layer(config.format, file, false));
    tracing_subscriber::registry()
        .with(filter)
        .with(stderr)
        .with(to_file)
        .try_init()
        .map_err(|_| LogError::Twice)?;
    Ok(LogHandle {
        filter: handle,
        file,
        usual: config.level,
        changes: Arc::default(),
    })
}

fn open(path: &Path) -> Result<File, LogError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|source| LogError::Open {
            path: path.to_owned(),
            source,
        })
}

fn layer<S, W>(format: LogFormat, writer: W, colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    // A closed stderr or a full disk must not end the daemon, and there is no other place to say so.
    let layer = fmt::layer()
        .with_writer(writer)
        .with_ansi(colours)
        .log_internal_errors(false);
    match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }
}

impl LogHandle {
    /// Shows `level` and above for `duration`, then again what the flags say. Needs a running tokio
    /// runtime. A later call replaces an earlier one.
    pub fn set(&self, level: LogLevel, duration: Duration) {
        let change = self.changes.fetch_add(1, Ordering::SeqCst) + 1;
        self.apply(level);
        let handle = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            if handle.changes.load(Ordering::SeqCst) == change {
                handle.apply(handle.usual);
            }
        });
    }

    /// Opens the log file anew, if there is one: somebody may have renamed the old one.
    ///
    /// # Errors
    ///
    /// [`LogError::Open`]; lines still go to the old file then.
    pub fn reopen(&self) -> Result<(), LogError> {
        if let Some(file) = &self.file {
            *file.locked() = open(&file.path)?;
        }
        Ok(())
    }

    fn apply(&self, level: LogLevel) {
        match self.filter.reload(level.filter()) {
            Ok(()) => tracing::info!(?level, "log level changed"),
            Err(error) => tracing::warn!(%error, "log level could not be changed"),
        }
    }

    /// The level that is shown now.
    #[must_use]
    pub fn level(&self) -> Option<LevelFilter> {
        let filter = self.filter.clone_current()?;
        let own = filter.iter().find(|(target, _)| *target == OWN_TARGET);
        own.map(|(_, level)| level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> (reload::Layer<Targets, Registry>, LogHandle) {
        let (filter, handle) = reload::Layer::new(LogLevel::Info.filter());
        let handle = LogHandle {
            filter: handle,
            file: None,
            usual: LogLevel::Info,
            changes: Arc::default(),
        };
        (filter, handle)
    }

    #[tokio::test]
    async fn a_changed_level_comes_back() {
        let (_filter, handle) = handle();
        handle.set(LogLevel::Debug, Duration::from_millis(20));
        assert_eq!(handle.level(), Some(LevelFilter::DEBUG));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(handle.level(), Some(LevelFilter::INFO));
    }

    #[tokio::test]
    async fn an_older_change_does_not_undo_a_newer_one() {
        let (_filter, handle) = handle();
        handle.set(LogLevel::Debug, Duration::from_millis(20));
        handle.set(LogLevel::Trace, Duration::from_secs(3600));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(handle.level(), Some(LevelFilter::TRACE));
    }
}
