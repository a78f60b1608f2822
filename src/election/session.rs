//! Shell: the only file that speaks to ZooKeeper: one session, its errors, and what we ask of it.
//!
//! On top of the crate `zookeeper-client`, whose traps it keeps away from everybody else: only oneshot
//! watches (its other ones are lost with the connection); every question has a time limit; a lost
//! connection has one name, in whatever way the crate says it; a session that is over is never reused;
//! closing waits until the word has left. Paths are absolute, without the crate's chroot, whose root may
//! not exist yet.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;
use zookeeper_client::{
    Acl, Acls, AuthId, Client, Connector, CreateMode, Error, MultiReadResult, MultiWriteError,
    OneshotWatcher, Permission, SaslOptions, Stat, StateWatcher, TlsOptions,
};

use super::{CANDIDATE, Credentials};
pub use super::{Ensemble, Scheme, TIMEOUT_MAX, TIMEOUT_MIN, Tls};

/// How long a closed session may take to say so.
const CLOSE_MAX: Duration = Duration::from_millis(500);

/// Why ZooKeeper did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZooKeeperError {
    /// No answer: a write may or may not have been done.
    #[error("ZooKeeper does not answer: {0}")]
    Lost(String),
    /// The session is over; nothing of it can be used any more.
    #[error("the ZooKeeper session has ended")]
    Ended,
    /// The credentials are wrong.
    #[error("ZooKeeper refuses the credentials of --zk")]
    Credentials,
    /// The credentials are not enough.
    #[error("ZooKeeper refuses access to {0}: its access list does not name the user of --zk")]
    Access(String),
    /// There is no such znode.
    #[error("there is no znode {0}")]
    Missing(String),
    /// There is one already.
    #[error("the znode {0} exists")]
    Exists(String),
    /// It has changed meanwhile.
    #[error("the znode {0} has changed meanwhile")]
    Changed(String),
    /// A certificate cannot be used.
    #[error("the certificates for ZooKeeper cannot be used: {0}")]
    Certificates(String),
    /// Everything else.
    #[error("ZooKeeper cannot do that with {path}: {reason}")]
    Refused {
        /// The znode.
        path: String,
        /// In the crate's words.
        reason: String,
    },
}

impl ZooKeeperError {
    fn new(path: &str, error: &Error) -> Self {
        match error {
            Error::SessionExpired | Error::ClientClosed | Error::SessionMoved => Self::Ended,
            Error::AuthFailed => Self::Credentials,
            Error::NoAuth | Error::InvalidAcl => Self::Access(path.to_owned()),
            Error::NoNode => Self::Missing(path.to_owned()),
            Error::NodeExists => Self::Exists(path.to_owned()),
            Error::BadVersion => Self::Changed(path.to_owned()),
            // Of a connection that breaks, the crate gives the system's words.
            Error::ConnectionLoss
            | Error::Timeout
            | Error::NoHosts
            | Error::Throttled
            | Error::Custom(_) => Self::Lost(error.to_string()),
            other => Self::Refused {
                path: path.to_owned(),
                reason: other.to_string(),
            },
        }
    }

    /// Nobody knows whether it was done; the same session may know more soon.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

/// Fires once, when what was asked for has changed, or the session is over.
#[derive(Debug)]
pub struct Watch(OneshotWatcher);

impl Watch {
    /// Returns when it has fired.
    pub async fn fired(self) {
        // What has changed is found out by asking again.
        let _ = self.0.changed().await;
    }
}

/// A znode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its data.
    pub data: Vec<u8>,
    /// Counts its changes.
    pub version: i32,
    /// The session that it ends with; none for one that stays.
    pub owner: Option<i64>,
}

impl Content {
    fn new(data: Vec<u8>, stat: &Stat) -> Self {
        Self {
            data,
            version: stat.version,
            owner: (stat.ephemeral_owner != 0).then_some(stat.ephemeral_owner),
        }
    }
}

/// One part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The znode exists, in this version if one is named.
    Check(String, i32),
    /// A new znode that stays.
    Create(String, Vec<u8>),
    /// New data, if the znode has this version.
    Set(String, Vec<u8>, Option<i32>),
    /// Gone.
    Delete(String),
}

impl Change {
    /// The znode.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Check(path, _)
            | Self::Create(path, _)
            | Self::Set(path, _, _)
            | Self::Delete(path) => path,
        }
    }
}

/// A session with an ensemble. Clones are the same session; with the last one it closes.
#[derive(Clone, Debug)]
pub struct Session {
    client: Client,
    timeout: Duration,
    states: StateWatcher,
    /// Who may do what with our znodes.
    acls: Vec<Acl>,
}

impl Session {
    /// Opens a session; tries all servers, for about one session timeout.
    ///
    /// # Errors
    ///
    /// [`ZooKeeperError::Lost`] when no server answers, [`ZooKeeperError::Credentials`] and
    /// [`ZooKeeperError::Certificates`] when trying again will not help.
    pub async fn open(ensemble: &Ensemble) -> Result<Self, ZooKeeperError> {
        let asked = ensemble.timeout.clamp(TIMEOUT_MIN, TIMEOUT_MAX);
        let connector = Client::connector()
            .with_session_timeout(asked)
            // A frozen server is left early enough for another one to answer within the lease.
            .with_connection_timeout(asked / 4);
        let credentials = ensemble.url.credentials();
        let connector = authenticate(connector, credentials, ensemble.scheme);
        let connector = match &ensemble.tls {
            Some(tls) => connector.with_tls(certificates(tls)?),
            None => connector,
        };
        let protocol = if ensemble.tls.is_some() {
            "tcp+tls://"
        } else {
            ""
        };
        let servers = ensemble.url.servers().iter();
        let servers: Vec<String> = servers
            .map(|server| format!("{protocol}{server}"))
            .collect();
        let servers = servers.join(",");
        let client = timeout(asked * 2, connector.connect(&servers))
            .await
            .map_err(|_| ZooKeeperError::Lost("no server answers".to_owned()))?
            .map_err(|error| match ZooKeeperError::new("", &error) {
                ZooKeeperError::Lost(_) => ZooKeeperError::Lost("no server answers".to_owned()),
                other => other,
            })?;
        Ok(Self {
            timeout: client.session_timeout(),
            states: client.state_watcher(),
            client,
            acls: acls(credentials.is_some()),
        })
    }

    /// How long the ensemble waits for a sign of life, as it was granted.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The session's number, which its ephemeral znodes carry.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.client.session_id().0
    }

    /// Returns when the session is over. Cancel safe.
    pub async fn ended(&self) {
        let mut states = self.states.clone();
        let mut state = states.peek_state();
        while !state.is_terminated() {
            state = states.changed().await;
        }
    }

    /// Closes the session, at once for the ensemble if it can be reached. Other clones stop working
    /// when they are dropped.
    pub async fn close(self) {
        let mut states = self.states.clone();
        drop(self);
        let closed = async {
            while !states.peek_state().is_terminated() {
                states.changed().await;
            }
        };
        // The ensemble ends it by itself later.
        let _ = timeout(CLOSE_MAX, closed).await;
    }

    async fn limited<T>(
        &self,
        path: &str,
        question: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, ZooKeeperError> {
        match timeout(self.timeout, question).await {
            Ok(result) => result.map_err(|error| ZooKeeperError::new(path, &error)),
            Err(_) => Err(ZooKeeperError::Lost(format!(
                "nothing within {:?}",
                self.timeout
            ))),
        }
    }

    /// Goes through the ensemble's leader: what is read afterwards is as new as this question.
    pub async fn sync(&self, path: &str) -> Result<(), ZooKeeperError> {
        self.limited(path, self.client.sync(path)).await
    }

    /// The children's names, and a watch on them.
    pub async fn list_and_watch(&self, path: &str) -> Result<(Vec<String>, Watch), ZooKeeperError> {
        let path = absolute(path);
        let listing = self.client.list_and_watch_children(path);
        let (names, watch) = self.limited(path, listing).await?;
        Ok((names, Watch(watch)))
    }

    /// The children's names.
    pub async fn list(&self, path: &str) -> Result<Vec<String>, ZooKeeperError> {
        let path = absolute(path);
        self.limited(path, self.client.list_children(path)).await
    }

    /// A znode, if there is one.
    pub async fn read(&self, path: &str) -> Result<Option<Content>, ZooKeeperError> {
        let path = absolute(path);
        match self.limited(path, self.client.get_data(path)).await {
            Ok((data, stat)) => Ok(Some(Content::new(data, &stat))),
            Err(ZooKeeperError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Those of the znodes that there are, each in the place of its path, in one question. A server that
    /// does not know such questions (ZooKeeper before 3.6) is asked for one after another.
    pub async fn read_all(&self, paths: &[String]) -> Result<Vec<Option<Content>>, ZooKeeperError> {
        let mut reader = self.client.new_multi_reader();
        for path in paths {
            let added = reader.add_get_data(absolute(path));
            added.map_err(|error| ZooKeeperError::new(path, &error))?;
        }
        let question = async {
            match reader.commit().await {
                Err(Error::Unimplemented) => Ok(None),
                other => other.map(Some),
            }
        };
        let Some(answers) = self.limited("", question).await? else {
            let mut found = Vec::with_capacity(paths.len());
            for path in paths {
                found.push(self.read(path).await?);
            }
            return Ok(found);
        };
        let answers = paths.iter().zip(answers);
        let found = answers.map(|(path, answer)| match answer {
            MultiReadResult::Data { data, stat } => Ok(Some(Content::new(data, &stat))),
            MultiReadResult::Error { err: Error::NoNode } => Ok(None),
            MultiReadResult::Error { err } => Err(ZooKeeperError::new(path, &err)),
            other => Err(ZooKeeperError::Refused {
                path: path.clone(),
                reason: format!("asked for data, it answers {other:?}"),
            }),
        });
        found.collect()
    }

    /// Makes a path, all of it that is missing.
    pub async fn make_path(&self, path: &str) -> Result<(), ZooKeeperError> {
        if path.is_empty() {
            return Ok(());
        }
        let options = CreateMode::Persistent.with_acls(Acls::new(&self.acls));
        self.limited(path, self.client.mkdir(path, &options)).await
    }

    /// Makes a candidate's znode below `path`, which ends with the session; its name.
    pub async fn enter(&self, path: &str, data: &[u8]) -> Result<String, ZooKeeperError> {
        let options = CreateMode::EphemeralSequential.with_acls(Acls::new(&self.acls));
        let prefix = format!("{path}/{CANDIDATE}");
        let creating = self.client.create(&prefix, data, &options);
        let (_, number) = self.limited(&prefix, creating).await?;
        Ok(format!("{CANDIDATE}{number}"))
    }

    /// Does all of the changes or none.
    ///
    /// # Errors
    ///
    /// The first change that cannot be done; [`ZooKeeperError::Lost`] when all or none were done.
    pub async fn transact(&self, changes: &[Change]) -> Result<(), ZooKeeperError> {
        let acls = Acls::new(&self.acls);
        let options = CreateMode::Persistent.with_acls(acls);
        let mut writer = self.client.new_multi_writer();
        for change in changes {
            let added = match change {
                Change::Check(path, version) => writer.add_check_version(path, *version),
                Change::Create(path, data) => writer.add_create(path, data, &options),
                Change::Set(path, data, version) => writer.add_set_data(path, data, *version),
                Change::Delete(path) => writer.add_delete(path, None),
            };
            added.map_err(|error| ZooKeeperError::new(change.path(), &error))?;
        }
        let committing = timeout(self.timeout, writer.commit());
        match committing.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(MultiWriteError::RequestFailed { source })) => {
                Err(ZooKeeperError::new("", &source))
            }
            Ok(Err(MultiWriteError::OperationFailed { index, source })) => {
                let path = changes.get(index).map_or("", Change::path);
                Err(ZooKeeperError::new(path, &source))
            }
            Err(_) => Err(ZooKeeperError::Lost(format!(
                "nothing within {:?}",
                self.timeout
            ))),
        }
    }
}

/// The root has a name of its own.
fn absolute(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

fn authenticate(
    connector: Connector,
    credentials: Option<&Credentials>,
    scheme: Scheme,
) -> Connector {
    let Some(Credentials { user, password }) = credentials else {
        return connector;
    };
    match scheme {
        Scheme::Digest => connector.with_auth("digest", format!("{user}:{password}").as_bytes()),
        Scheme::Sasl => {
            connector.with_sasl(SaslOptions::digest_md5(user.clone(), password.clone()))
        }
    }
}

/// As Mesos: open to all without credentials, else all to us and reading to everybody.
fn acls(known: bool) -> Vec<Acl> {
    if known {
        vec![
            Acl::new(Permission::ALL, AuthId::authed()),
            Acl::new(Permission::READ, AuthId::anyone()),
        ]
    } else {
        vec![Acl::new(Permission::ALL, AuthId::anyone())]
    }
}

fn certificates(tls: &Tls) -> Result<TlsOptions, ZooKeeperError> {
    // The crate takes the process's own; which one it is, somebody else may have decided.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wrong = |error: Error| ZooKeeperError::Certificates(error.to_string());
    let options = TlsOptions::new()
        .with_pem_ca(&tls.authorities)
        .map_err(wrong)?;
    match &tls.identity {
        Some((certificate, key)) => options.with_pem_identity(certificate, key).map_err(wrong),
        None => Ok(options),
    }
}
