//! What a driver needs to know before it starts.

use std::time::Duration;

use crate::election::ZooKeeperUrl;
use crate::election::session::Ensemble;
use crate::proto::v1;

/// Of a session that only follows the leader.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Who acknowledges status updates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledgement {
    /// The driver, when the event after the update is asked for.
    #[default]
    Automatic,
    /// The program, by `Handle::acknowledge`.
    Manual,
}

/// The configuration of a driver.
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port` of one or more masters; any of them will do, the leader is followed.
    pub masters: Vec<String>,
    /// A ZooKeeper ensemble that knows the leader; `masters` are not asked then.
    pub ensemble: Option<Ensemble>,
    /// The framework. With an id it takes the place of the framework that had the id before.
    pub framework: v1::FrameworkInfo,
    /// Roles that are subscribed suppressed.
    pub suppressed_roles: Vec<String>,
    /// Which offers to get at all.
    pub offer_constraints: Option<v1::scheduler::OfferConstraints>,
    /// Who acknowledges.
    pub acknowledgement: Acknowledgement,
    /// Ask for the state of all known tasks after every re-subscription.
    pub reconcile: bool,
    /// First pause before another attempt; doubles with each failure.
    pub backoff_min: Duration,
    /// Longest pause.
    pub backoff_max: Duration,
    /// Longest time of one call, and of the opening of a connection.
    pub call_timeout: Duration,
}

impl Config {
    /// `master` is `host:port` or `zk://[user:password@]host:port[,host:port...]/path`.
    ///
    /// A framework with checkpoints, so that its tasks survive the restart of an agent, and with the
    /// capabilities that a framework of today should have.
    #[must_use]
    pub fn new(master: &str, user: &str, name: &str) -> Self {
        use v1::framework_info::capability::Type;
        let capabilities = [
            Type::TaskKillingState,
            Type::PartitionAware,
            Type::MultiRole,
            Type::ReservationRefinement,
        ];
        let url = master.parse::<ZooKeeperUrl>().ok();
        Self {
            masters: vec![master.to_owned()],
            ensemble: url.map(|url| Ensemble::new(url, SESSION_TIMEOUT)),
            framework: v1::FrameworkInfo {
                user: user.to_owned(),
                name: name.to_owned(),
                checkpoint: Some(true),
                roles: vec!["*".to_owned()],
                capabilities: capabilities
                    .into_iter()
                    .map(|kind| v1::framework_info::Capability {
                        r#type: Some(kind.into()),
                    })
                    .collect(),
                ..Default::default()
            },
            suppressed_roles: Vec::new(),
            offer_constraints: None,
            acknowledgement: Acknowledgement::default(),
            reconcile: true,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            call_timeout: Duration::from_secs(30),
        }
    }
}
