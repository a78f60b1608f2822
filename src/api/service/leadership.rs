//! Whether this master leads: what every front end asks before it serves a request that needs the leader.

use tokio::sync::watch;

use crate::api::error::ApiError;
use crate::proto::v1;

/// Where a master stands among those of its cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Standing {
    /// It leads.
    #[default]
    Leader,
    /// Another one leads, or nobody is known to.
    Standby {
        /// The one that leads, while it is known.
        leader: Option<Box<v1::MasterInfo>>,
    },
    /// It was elected and reads the registry; it cannot answer yet.
    Recovering,
}

/// The present standing of one master; clones share it.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<Standing>);

impl Leadership {
    /// The standing that an election writes to the other end.
    #[must_use]
    pub fn new(standing: watch::Receiver<Standing>) -> Self {
        Self(standing)
    }

    /// A master that has no rivals.
    #[must_use]
    pub fn always() -> Self {
        // A receiver keeps the last value when its sender is gone.
        Self(watch::channel(Standing::Leader).1)
    }

    /// Where the master stands at this moment.
    #[must_use]
    pub fn now(&self) -> Standing {
        self.0.borrow().clone()
    }

    /// Goes on only when this master leads and is ready.
    ///
    /// # Errors
    ///
    /// [`ApiError::NotLeading`] with the leader's address while one is known; [`ApiError::Unavailable`]
    /// while the registry is being read.
    pub fn check(&self) -> Result<(), ApiError> {
        match self.now() {
            Standing::Leader => Ok(()),
            Standing::Standby { leader } => Err(ApiError::NotLeading {
                leader: leader.as_deref().map(address),
            }),
            Standing::Recovering => Err(ApiError::Unavailable(
                "the master reads its registry; try again".to_owned(),
            )),
        }
    }
}

/// Where a master is reached, `host:port`.
#[must_use]
pub fn address(info: &v1::MasterInfo) -> String {
    let named = info.address.as_ref();
    let host = named.and_then(|address| address.hostname.as_deref());
    let host = host.or(info.hostname.as_deref());
    let host = host.or_else(|| named.and_then(|address| address.ip.as_deref()));
    let host = host.unwrap_or("127.0.0.1");
    if host.contains(':') {
        return format!("[{host}]:{}", info.port);
    }
    format!("{host}:{}", info.port)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_standby_names_the_leader_and_a_new_leader_waits_for_its_registry() {
        let (writer, standing) = watch::channel(Standing::Standby { leader: None });
        let leadership = Leadership::new(standing);
        let nobody = leadership.check().unwrap_err();
        assert_eq!(nobody, ApiError::NotLeading { leader: None });

        let info = v1::MasterInfo {
            hostname: Some("fd00::1".to_owned()),
            port: 5050,
            ..v1::MasterInfo::default()
        };
        let leader = Some(Box::new(info));
        writer.send(Standing::Standby { leader }).unwrap();
        let leader = Some("[fd00::1]:5050".to_owned());
        let elsewhere = leadership.check().unwrap_err();
        assert_eq!(elsewhere, ApiError::NotLeading { leader });

        writer.send(Standing::Recovering).unwrap();
        assert_eq!(leadership.check().unwrap_err().http_status(), 503);
        writer.send(Standing::Leader).unwrap();
        assert_eq!(leadership.check(), Ok(()));
        assert_eq!(Leadership::always().check(), Ok(()));
    }
}
